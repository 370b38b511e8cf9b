"""Bun's node:tls, which is BoringSSL below, by the program that Node runs. No registry of Python's has it."""

from __future__ import annotations

import functools
import shutil
from typing import ClassVar

import pytest

from tests.peers.base import PeerFailed
from tests.peers.hosted import PROGRAMS, Host, HostedClient, HostedPeer
from tests.peers.node import TLSServer


def program() -> str:
    """Bun, or the end of the running test: where it is missing nothing is demanded."""
    path = shutil.which("bun")
    if path is None:
        pytest.skip("bun is not installed")
        raise PeerFailed("bun")
    return path


@functools.cache
def _host() -> Host:
    quiet = {"BUN_RUNTIME_TRANSPILER_CACHE_PATH": "0", "DO_NOT_TRACK": "1", "NO_COLOR": "1"}
    return Host([program(), "--no-install", str(PROGRAMS / "peer.mjs")], **quiet)


class BunPeer(HostedPeer):
    """node:tls's TLSSocket. Only what the brief tables ask is known to work."""

    name = "bun"
    impossible: ClassVar[dict[str, str]] = {
        "early_data": "Bun has no call for early data",
        "later": "BoringSSL has no authentication after the handshake",
        "key_update": "Bun has no call that changes keys",
        "extra": "Bun's peer is no program with arguments",
    }

    @classmethod
    def host(cls) -> Host:
        program()
        return _host()


class BunServer(BunPeer, TLSServer):
    """tls.Server."""


class BunClient(BunPeer, HostedClient):
    """tls.connect."""
