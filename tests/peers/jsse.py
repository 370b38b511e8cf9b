"""Java's own TLS, JSSE, by a program of our own in programs/Peer.java."""

from __future__ import annotations

import functools
from typing import ClassVar

from tests.peers.base import Cannot, KeyUpdate, require_peer
from tests.peers.hosted import PROGRAMS, Host, HostedClient, HostedPeer, HostedServer


@functools.cache
def _host() -> Host:
    # Most of the time is the start: the first compiler is enough, and so is one thread to collect garbage.
    return Host([require_peer("java"), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", str(PROGRAMS / "Peer.java")])


class JSSEPeer(HostedPeer):
    """SSLSocket."""

    name = "jsse"
    impossible: ClassVar[dict[str, str]] = {
        "early_data": "JSSE has no early data",
        "later": "JSSE has no authentication after the handshake",
        "groups": "JSSE can choose groups for one connection only since Java 20",
        "schemes": "JSSE can choose signature schemes for one connection only since Java 19",
        "export": "JSSE exports keying material only since Java 25",
        "keylog": "JSSE writes no key log",
        "extra": "JSSE's peer is no program with arguments",
    }

    @classmethod
    def host(cls) -> Host:
        require_peer("java")
        return _host()

    def require_possible(self) -> None:
        super().require_possible()
        if self.options.key_update is KeyUpdate.SEND:
            raise Cannot("JSSE changes its keys only with a request for ours")


class JSSEServer(JSSEPeer, HostedServer):
    """A server; its CA names are the subjects of ``trust``."""


class JSSEClient(JSSEPeer, HostedClient):
    """A client."""
