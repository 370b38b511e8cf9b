"""The columns of docs/interop.md: the foreign peers, each as client and as server, and what they are."""

from __future__ import annotations

import functools
import re
import ssl
import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.peers import CLIENTS, SERVERS, ClientPeer, ServerPeer, require_peer
from tests.peers.gnutls import capabilities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HYBRIDS = ("X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024")
FIRST_OPENSSL_WITH_HYBRIDS = (3, 5)


@dataclass(frozen=True)
class Column:
    """A foreign peer in one role. ``program`` is what is run, and ``version`` tells what that is on this machine.

    ``tls`` is the version that is spoken: with "1.2" the peer speaks no other, and ours speaks both.
    """

    peer: type[ClientPeer] | type[ServerPeer]
    program: str
    version: Callable[[], str]
    tls: str = "1.3"

    @property
    def name(self) -> str:
        return f"{self.peer.name} {'client' if self.is_client else 'server'}"

    @property
    def is_client(self) -> bool:
        return issubclass(self.peer, ClientPeer)

    def lacks_group(self, group: str) -> str | None:
        """Why this peer cannot agree on a group, or None."""
        if self.peer.name == "gnutls":
            known = f"GROUP{group.upper()}" in capabilities().replace("-", "")
            return None if known else f"{self.version()} has no {group}"
        number = re.search(r"OpenSSL[ /](\d+)\.(\d+)", self.version())
        if group in HYBRIDS and number and (int(number[1]), int(number[2])) < FIRST_OPENSSL_WITH_HYBRIDS:
            return f"OpenSSL before 3.5 has no {group}"
        return None


def _first_line(*command: str) -> str:
    run = subprocess.run([require_peer(command[0]), *command[1:]], capture_output=True, text=True, timeout=20)
    return run.stdout.splitlines()[0]


@functools.cache
def openssl_version() -> str:
    return " ".join(_first_line("openssl", "version").split()[:2])


@functools.cache
def gnutls_version() -> str:
    return f"GnuTLS {_first_line('gnutls-cli', '--version').split()[-1]}"


@functools.cache
def curl_version() -> str:
    curl, number, *_, libraries = _first_line("curl", "--version").split(maxsplit=3)
    library = re.search(r"(\w+SSL|GnuTLS)/(\S+)", libraries)
    return f"{curl} {number}" + (f", {library[1]} {library[2]}" if library else "")


@functools.cache
def python_version() -> str:
    import platform

    return f"Python {platform.python_version()}, {' '.join(ssl.OPENSSL_VERSION.split()[:2])}"


@functools.cache
def pyopenssl_version() -> str:
    import OpenSSL
    from OpenSSL import SSL

    library = SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode()
    return f"pyOpenSSL {OpenSSL.__version__}, {' '.join(library.split()[:2])}"


_ABOUT: dict[str, tuple[str, str, Callable[[], str]]] = {
    "openssl": ("s_client", "s_server", openssl_version),
    "gnutls": ("gnutls-cli", "gnutls-serv", gnutls_version),
    "curl": ("curl", "", curl_version),
    "python": ("ssl.SSLSocket", "ssl.SSLSocket", python_version),
    "pyopenssl": ("SSL.Connection", "SSL.Connection", pyopenssl_version),
}


def _columns(peers: Iterable[type[ClientPeer]] | Iterable[type[ServerPeer]]) -> tuple[Column, ...]:
    made = []
    for peer in peers:
        client, server, version = _ABOUT[peer.name]
        made.append(Column(peer, client if issubclass(peer, ClientPeer) else server, version))
    return tuple(made)


CLIENT_COLUMNS = _columns(CLIENTS.values())
SERVER_COLUMNS = _columns(SERVERS.values())
COLUMNS = (*CLIENT_COLUMNS, *SERVER_COLUMNS)


def in_both_versions(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """These, and the same again in TLS 1.2."""
    return (*columns, *(replace(column, tls="1.2") for column in columns))
