"""Programs of others that stand behind the proxy."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.peers.base import require_peer
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def started(command: list[str], path: Path) -> Iterator[str]:
    """Runs a program until the block ends; the path of the Unix socket at which it listens."""

    def listens() -> bool:
        with socket.socket(socket.AF_UNIX) as sock:
            return sock.connect_ex(str(path)) == 0 or process.poll() is not None

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert until(listens)
            assert process.poll() is None, process.communicate()[0]
            yield str(path)
        finally:
            process.terminate()
            process.communicate(timeout=LIMIT)


def nginx(folder: Path, server: str, *, listen: str = "") -> tuple[list[str], Path]:
    """The command of an nginx with this server, and where it listens."""
    program = require_peer("nginx")
    path = folder / "nginx.sock"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    config = folder / "nginx.conf"
    config.write_text(
        ("user root;\n" if os.geteuid() == 0 else "")
        + f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log stderr warn;\n"
        f"events {{ worker_connections 64; }}\nhttp {{\naccess_log off;\n{temporary}"
        f"server {{ listen unix:{path} {listen};\n{server}\n}} }}\n"
    )
    return [program, "-e", "stderr", "-p", str(folder), "-c", str(config)], path


def haproxy(folder: Path, frontend: str, *, bind: str = "") -> tuple[list[str], Path]:
    """The command of a haproxy with this frontend, and where it listens."""
    program = require_peer("haproxy")
    path = folder / "haproxy.sock"
    config = folder / "haproxy.cfg"
    config.write_text(
        f"global\n nbthread 1\ndefaults\n mode http\n timeout client {LIMIT:.0f}s\n timeout http-request {LIMIT:.0f}s\n"
        f"frontend x\n bind unix@{path} {bind}\n {frontend}\n"
    )
    return [program, "-db", "-f", str(config)], path
