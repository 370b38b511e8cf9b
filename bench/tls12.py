"""Handshakes and records of TLS 1.2, of handfast and of Python's ssl.

All are of TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, X25519 and ECDSA P-256, and each other end is our own. A resumed
handshake is one by ticket, without asymmetric work on either side; OpenSSL's server goes on with the ticket that the
client has, and so does ours as long as that is young.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import handfast
from bench.providers import providers
from bench.scenarios import Key, Timer, batch, check_transfer, each, interleave, one_end
from bench.scenarios import rows as table_rows
from bench.sides import (
    NAME,
    Handfast,
    Maker,
    Pair,
    Pki,
    Row,
    Side,
    Ssl,
    connect,
    handfast_configs,
    handfast_pair,
    ssl_contexts,
)
from handfast.registry import CipherSuite, NamedGroup, ProtocolVersion

SUITE = CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
SIZES = {"64 B": 64, "16 KiB": 16 * 1024, "1 MiB": 1 << 20}


def handfast_12(pki: Pki, *, mutual: bool, provider: str = "") -> tuple[handfast.ClientConfig, handfast.ServerConfig]:
    """Our configurations; sessions are kept and given only where they are resumed."""
    client, server = handfast_configs(pki, mutual=mutual, provider=provider)
    parameters: dict[str, Any] = {
        "versions": (ProtocolVersion.TLS12,),
        "suites": (SUITE,),
        # In TLS 1.2 they are also the curves of the certificates that a client can verify.
        "groups": (NamedGroup.x25519, NamedGroup.secp256r1),
    }
    # A server that asks for no certificate has nothing to judge.
    verifier = server.verifier if mutual else None
    return replace(client, **parameters), replace(server, **parameters, verifier=verifier)


def ssl_12(pki: Pki, *, mutual: bool, tickets: bool = False) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Those of ssl."""
    contexts = ssl_contexts(pki, mutual=mutual)
    for context in contexts:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        if not tickets:
            context.options |= ssl.OP_NO_TICKET
    return contexts


def sides(pki: Pki, *, mutual: bool) -> dict[str, Pair]:
    """Client and server of both, and of our other crypto providers."""
    ssl_client, ssl_server = ssl_12(pki, mutual=mutual)
    return {
        "handfast": handfast_pair(*handfast_12(pki, mutual=mutual)),
        **{f"handfast, {name}": handfast_pair(*handfast_12(pki, mutual=mutual, provider=name)) for name in providers()},
        "ssl": (lambda: Ssl(ssl_client, server=False), lambda: Ssl(ssl_server, server=True)),
    }


def handshakes(pki: Pki, *, mutual: bool, rounds: int, count: int) -> Iterator[Row]:
    """The full handshake."""
    made = sides(pki, mutual=mutual)
    timers: dict[Key, Timer] = {}
    for name in made:
        client, server = (made[name][0], made["handfast"][1]), (made["handfast"][0], made[name][1])
        check(connect(*client)[0])
        check(connect(*server)[0])
        timers[name, "client"] = partial(one_end, client, 0)
        timers[name, "server"] = partial(one_end, server, 1)
    kind = "mutual" if mutual else "full"
    yield from interleave(f"TLS 1.2, {kind} handshake", timers, slow=(), rounds=rounds, count=count)


def check(ends: tuple[Side, Side]) -> None:
    """Both negotiated what the table says."""
    for end in ends:
        if isinstance(end, Ssl):
            right = end.object.version() == "TLSv1.2" and end.facts()[1] == "ECDHE-ECDSA-AES128-GCM-SHA256"
        else:
            right = isinstance(end, Handfast) and end.connection.info.suite == SUITE
        if not right:
            sys.exit(f"handfast: error: TLS 1.2 was to be measured, and {end.facts()} was negotiated")


class Resuming:
    """A client that comes back, again and again; calling it gives the seconds of the end at ``index``."""

    def __init__(self, client: Callable[[Any], Side], server: Maker, index: int) -> None:
        self._client, self._server, self._index = client, server, index
        self._ends: tuple[Any, Any] = connect(partial(client, None), server)[0]

    def __call__(self) -> float:
        session = self._ends[0].object.session if isinstance(self._ends[0], Ssl) else None
        ends, seconds = connect(partial(self._client, session), self._server)
        check(ends)
        if not all(end.facts()[2] for end in ends):
            sys.exit("handfast: error: a session was not resumed")
        self._ends = ends
        return seconds[self._index]


def resumed(pki: Pki, *, rounds: int, count: int) -> Iterator[Row]:
    """The abbreviated handshake, by ticket."""
    ssl_client, ssl_server = ssl_12(pki, mutual=False, tickets=True)
    clients: dict[str, Callable[[], Callable[[Any], Side]]] = {}
    servers: dict[str, Maker] = {}
    for provider in ("", *providers()):
        name = f"handfast, {provider}" if provider else "handfast"
        clients[name], servers[name] = returning(*handfast_12(pki, mutual=False, provider=provider))
    clients["ssl"] = lambda: lambda session: Ssl(ssl_client, server=False, session=session)
    servers["ssl"] = lambda: Ssl(ssl_server, server=True)
    timers: dict[Key, Timer] = {}
    for name in clients:
        timers[name, "client"] = Resuming(clients[name](), servers["handfast"], 0)
        timers[name, "server"] = Resuming(clients["handfast"](), servers[name], 1)
    yield from interleave("TLS 1.2, resumed handshake", timers, slow=(), rounds=rounds, count=count)


def returning(
    client: handfast.ClientConfig, server: handfast.ServerConfig
) -> tuple[Callable[[], Callable[[Any], Side]], Maker]:
    """What makes clients of ours, each of which keeps its own sessions, and what makes servers that issue them."""
    issuing = replace(server, tickets=handfast.SealedTickets())

    def one_client() -> Callable[[Any], Side]:
        own = replace(client, sessions=handfast.SessionCache())
        return lambda _session: Handfast(handfast.ClientConnection(own, server_name=NAME))

    return one_client, lambda: Handfast(handfast.ServerConnection(issuing))


def records(pki: Pki, *, rounds: int, seconds: float) -> Iterator[Row]:
    """Sealing and opening application data, of both servers."""
    made = sides(pki, mutual=False)
    for label, size in SIZES.items():
        data = bytes(size)
        sealed: dict[Key, list[float]] = {(name, "server"): [] for name in made}
        opened: dict[Key, list[float]] = {(name, "server"): [] for name in made}
        for _ in range(rounds):
            for name, (_, make) in made.items():
                (ours, theirs), _ = connect(made["handfast"][0], make)
                check_transfer(name, ours, theirs, data)
                sealed[name, "server"].append(
                    each(partial(theirs.seal, data), seconds, batch=batch(size), after=ours.open)
                )
                opened[name, "server"].append(
                    each(partial(ours.seal, data), seconds, batch=batch(size), timed=theirs.open)
                )
        yield from table_rows(f"TLS 1.2, seal {label}", sealed, "us")
        yield from table_rows(f"TLS 1.2, open {label}", opened, "us")


def rows(pki: Pki, *, rounds: int, count: int, seconds: float = 0.1) -> Iterator[Row]:
    """All rows of TLS 1.2."""
    yield from handshakes(pki, mutual=False, rounds=rounds, count=count)
    yield from handshakes(pki, mutual=True, rounds=rounds, count=count)
    yield from resumed(pki, rounds=rounds, count=count)
    yield from records(pki, rounds=rounds, seconds=seconds)
