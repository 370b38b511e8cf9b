"""curl through the relay to an nginx that speaks no TLS."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from tests.cli.conftest import CLEAN_ENVIRONMENT
from tests.peers.base import require_peer
from tests.proxy.program import proxying, write_files
from tests.proxy.programs import nginx, started
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from pathlib import Path


def test_curl_and_nginx(tmp_path: Path) -> None:
    files = write_files(tmp_path)
    content = os.urandom(5 * 2**20)
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "file").write_bytes(content)
    tmp_path.chmod(0o755)
    curl = [require_peer("curl"), "-sS", "--cacert", files / "ca.pem"]
    alice = ["--cert", files / "client.pem", "--key", files / "client.key"]
    ours = ("--cert", files / "server.pem", "--key", files / "server.key", "--client-ca", files / "ca.pem")
    command, path = nginx(tmp_path, f"root {tmp_path}/www;")
    with started(command, path) as to, proxying(*ours, "--from", "127.0.0.1:0", "--to", f"tcp://unix:{to}") as proxy:

        def asked(*options: object) -> subprocess.CompletedProcess[bytes]:
            url = f"https://localhost:{proxy.ports[0]}/file"
            words = [*map(str, (*curl, *options)), "--resolve", f"localhost:{proxy.ports[0]}:127.0.0.1", url]
            return subprocess.run(words, capture_output=True, env=CLEAN_ENVIRONMENT, timeout=LIMIT, check=False)

        for version in ("1.2", "1.3"):
            assert asked(*alice, "--tls-max", version).stdout == content
        refused = asked()
        assert refused.returncode == 56
        assert b"certificate required" in refused.stderr
        assert "the client sent no certificate" in proxy.hears("certificate_required")
