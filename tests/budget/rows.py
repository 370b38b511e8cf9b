"""What is counted: handshakes and records of two of our connections, by the engine's public methods.

TLS_AES_128_GCM_SHA256 (in TLS 1.2 its ECDSA sibling), X25519, certificates with P-256 keys, paths remembered. Whoever
meets has met before, so what is made once and kept is made already, but for the hello that never came before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import handfast
from handfast.registry import CipherSuite, NamedGroup, ProtocolVersion
from tests import certificates
from tests.budget.counting import Bytecodes

NAME = "localhost"
WARM_UP = 4
SIZE = 64

# The bytecodes of client and server; None for a side that the row is not about.
Sides = tuple[Bytecodes | None, Bytecodes | None]
NEW_HELLO = "first receive, new hello"


@dataclass(frozen=True)
class Configs:
    """A client and a server that meet again and again."""

    client: handfast.ClientConfig
    server: handfast.ServerConfig

    def meet(self) -> tuple[tuple[handfast.ClientConnection, handfast.ServerConnection], tuple[Bytecodes, Bytecodes]]:
        """One handshake, up to the last byte that either side sends; both connections, and what each cost."""
        ours, theirs = Bytecodes(), Bytecodes()
        client = ours.of(handfast.ClientConnection, self.client, server_name=NAME)
        server = theirs.of(handfast.ServerConnection, self.server)
        while flight := ours.of(client.outgoing):
            theirs.of(server.receive, flight)
            if answer := theirs.of(server.outgoing):
                ours.of(client.receive, answer)
        return (client, server), (ours, theirs)


def configs(*, mutual: bool = False, sessions: bool = False, old: bool = False) -> Configs:
    """``sessions``: the client resumes the newest one, and the server gives one ticket. ``old``: TLS 1.2."""
    roots = handfast.Roots.from_der([certificates.ca().certificate_der])
    both: dict[str, Any] = {
        "verifier": handfast.PathVerifier(roots, remember_paths=8),
        "suites": (CipherSuite.TLS_AES_128_GCM_SHA256,),
        "groups": (NamedGroup.x25519,),
    }
    if old:
        both["versions"] = (ProtocolVersion.TLS12,)
        both["suites"] = (CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,)
        # In TLS 1.2 they are also the curves of the certificates that a client can verify.
        both["groups"] = (NamedGroup.x25519, NamedGroup.secp256r1)
    server, client = certificates.server(), certificates.client()
    ours = [handfast.Credentials.from_pem(client.cert_pem, client.key_pem)] if mutual else []
    wanted = handfast.ClientAuth.REQUIRE_AND_VERIFY if mutual else handfast.ClientAuth.NONE
    theirs = [handfast.Credentials.from_pem(server.cert_pem, server.key_pem)]
    cache = handfast.SessionCache() if sessions else None
    # Who asks nobody for a certificate, and cannot do so later, judges none.
    without = {name: value for name, value in both.items() if name != "verifier"}
    judging = {} if old and not mutual else {"verifier": both["verifier"]}
    given: dict[str, Any] = {"tickets": handfast.SealedTickets(), "ticket_count": 1} if sessions else {}
    return Configs(
        handfast.ClientConfig(credentials=ours, sessions=cache, **both),
        handfast.ServerConfig(credentials=theirs, client_auth=wanted, **given, **{**without, **judging}),
    )


def handshake(made: Configs, *, resumed: bool = False, retried: bool = False) -> Callable[[], Sides]:
    """Counts one more handshake of these."""
    for _ in range(WARM_UP):
        made.meet()

    def once() -> Sides:
        (client, _), counted = made.meet()
        if (client.info.resumed, client.info.retried) != (resumed, retried) or client.info.peer is None:
            raise ValueError("the handshake was not of the kind that is counted")
        return counted

    return once


def with_retry() -> Configs:
    """The client guesses a group that the server does not speak."""
    made = configs()
    return replace(made, client=replace(made.client, groups=(NamedGroup.secp256r1, NamedGroup.x25519)))


def record(*, opens: bool) -> Callable[[], Sides]:
    """Counts one record of ``SIZE`` bytes of application data, at either end."""
    ends, _ = configs().meet()

    def once() -> Sides:
        counted = Bytecodes(), Bytecodes()
        for (end, other), bytecodes in zip((ends, ends[::-1]), counted, strict=True):
            sender, receiver = (other, end) if opens else (end, other)
            seal, open_ = (Bytecodes(), bytecodes) if opens else (bytecodes, Bytecodes())
            seal.of(sender.send, bytes(SIZE))
            [data] = open_.of(receiver.receive, seal.of(sender.outgoing))
            if not isinstance(data, handfast.Data) or bytes(data.data) != bytes(SIZE):
                raise ValueError("the record was not received")
        return counted

    for _ in range(WARM_UP):
        once()
    return once


def new_hello() -> Callable[[], Sides]:
    """Counts what a server does for a hello that never came before: another name each time."""
    made = configs()
    names = count(100)

    def once() -> Sides:
        counted = Bytecodes()
        client = handfast.ClientConnection(made.client, server_name=f"h{next(names)}.example")
        server = handfast.ServerConnection(made.server)
        counted.of(server.receive, client.outgoing())
        return None, counted

    for _ in range(WARM_UP):
        once()
    return once


# Each makes what counts one of the kind.
ROWS: dict[str, Callable[[], Callable[[], Sides]]] = {
    "full": lambda: handshake(configs()),
    "mutual": lambda: handshake(configs(mutual=True)),
    "resumed": lambda: handshake(configs(sessions=True), resumed=True),
    "HelloRetryRequest": lambda: handshake(with_retry(), retried=True),
    "TLS 1.2 full": lambda: handshake(configs(old=True)),
    "TLS 1.2 mutual": lambda: handshake(configs(mutual=True, old=True)),
    "TLS 1.2 resumed": lambda: handshake(configs(sessions=True, old=True), resumed=True),
    "seal 64 bytes": lambda: record(opens=False),
    "open 64 bytes": lambda: record(opens=True),
    NEW_HELLO: new_hello,
}


def counts() -> Iterator[tuple[str, int]]:
    """Each row and side, with its bytecodes. Raises ValueError for one that is not the same each time."""
    for name, make in ROWS.items():
        once = make()
        figures = [[None if side is None else side.total for side in once()] for _ in range(3)]
        if any(one != figures[0] for one in figures):
            raise ValueError(f"{name} does not take the same number of bytecodes each time: {figures}")
        for side, figure in zip(("client", "server"), figures[0], strict=True):
            if figure is not None:
                yield f"{name}, {side}", figure


def by_function(row: str) -> Iterator[tuple[str, str, int]]:
    """The functions that a row executes: side, name and bytecodes, the costliest first."""
    for side, counted in zip(("client", "server"), ROWS[row]()(), strict=True):
        for code, figure in [] if counted is None else counted.by_function.most_common():
            module = code.co_filename.rpartition("handfast/")[2]
            yield side, f"{module}:{code.co_qualname}", figure
