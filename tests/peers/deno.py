"""Deno's node:tls, which is rustls below, by the program that Node runs."""

from __future__ import annotations

import functools
import shutil
from typing import ClassVar

from tests.peers.base import PeerFailed, missing
from tests.peers.hosted import PROGRAMS, Host, HostedClient, HostedPeer, beside_python
from tests.peers.node import TLSServer


def program() -> str:
    """Deno as its wheel brings it, or another on PATH, or the end of the running test."""
    path = beside_python("deno") or shutil.which("deno")
    if path is None:
        missing("the wheel deno is not installed")
        raise PeerFailed("deno")
    return path


@functools.cache
def _host() -> Host:
    # It finds no place for its caches there, so it has none.
    quiet = {"DENO_DIR": "/dev/null", "DENO_NO_UPDATE_CHECK": "1", "NO_COLOR": "1"}
    arguments = ["run", "--allow-all", "--cached-only", "--no-config", "--no-lock", str(PROGRAMS / "peer.mjs")]
    return Host([program(), *arguments], **quiet)


class DenoPeer(HostedPeer):
    """node:tls's TLSSocket."""

    name = "deno"
    impossible: ClassVar[dict[str, str]] = {
        "suites": "Deno cannot choose suites",
        "groups": "Deno cannot choose groups",
        "schemes": "Deno cannot choose signature schemes",
        "export": "Deno exports no keying material",
        "keylog": "Deno's node:tls has no key log",
        "early_data": "Deno has no call for early data",
        "later": "rustls has no authentication after the handshake",
        "key_update": "Deno has no call that changes keys",
        "extra": "Deno's peer is no program with arguments",
    }

    @classmethod
    def host(cls) -> Host:
        program()
        return _host()


class DenoServer(DenoPeer, TLSServer):
    """tls.Server."""


class DenoClient(DenoPeer, HostedClient):
    """tls.connect."""
