"""Our side of the protocol tests: connections with small, quick configurations, and tables of refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pytest

from handfast.credentials.credentials import Credentials
from handfast.engine import ClientAuth, ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection
from handfast.errors import HandfastError
from handfast.handshake import seams as seam
from handfast.pki.authority import Issued
from handfast.registry import NamedGroup
from handfast.roles import Role
from handfast.trust.presented import PresentedChain
from handfast.verdict import accept
from tests import certificates
from tests.lies import Lie
from tests.peer import Client, Server
from tests.scripted import Peer, Refusal

X25519, SECP256R1, SECP384R1 = NamedGroup.x25519, NamedGroup.secp256r1, NamedGroup.secp384r1

# What the tests here are about, unless they say otherwise.
DEFAULTS: dict[str, Any] = {"versions": (0x0304,), "groups": (X25519, SECP256R1)}

PLAINTEXT, HANDSHAKE_KEYS, APPLICATION_KEYS = "plaintext", "handshake", "application"


class Judge:
    """A verifier that says what it was made to say, and remembers what it was asked."""

    def __init__(self, answer: object = None) -> None:
        self.answer = accept() if answer is None else answer
        self.asked: list[PresentedChain] = []

    def verify(self, presented: PresentedChain) -> Any:
        self.asked.append(presented)
        return self.answer() if callable(self.answer) else self.answer


def credentials(issued: Issued) -> Credentials:
    """A certificate of the cached ones, with a signer."""
    return Credentials.from_key(issued.chain, issued.key)


def client(*, observers: Any = (), sinks: Any = (), seams: seam.Seams = seam.REAL, **options: Any) -> ClientConnection:
    """Our client, which trusts everybody unless it gets another verifier."""
    settings: dict[str, Any] = {**DEFAULTS, "verifier": Judge(), **options}
    name, early = settings.pop("server_name", "localhost"), settings.pop("early_data", b"")
    config = ClientConfig(**settings)
    return ClientConnection(
        config, server_name=name, early_data=early, observers=observers, secret_sinks=sinks, seams=seams
    )


def server(*, observers: Any = (), sinks: Any = (), seams: seam.Seams = seam.REAL, **options: Any) -> ServerConnection:
    """Our server, which trusts every client whose certificate it asks for."""
    settings: dict[str, Any] = {**DEFAULTS, **options}
    settings.setdefault("credentials", (credentials(certificates.server()),))
    settings.setdefault("verifier", Judge() if may_judge(settings) else None)
    return ServerConnection(ServerConfig(**settings), observers=observers, secret_sinks=sinks, seams=seams)


def may_judge(settings: Mapping[str, Any]) -> bool:
    """Whether a server of these settings may ever ask a client for a certificate: only then it may have a verifier."""
    if settings.get("client_auth", ClientAuth.NONE) is not ClientAuth.NONE:
        return True
    return 0x0304 in ServerConfig(**{**settings, "verifier": None}).enabled_versions


def asking(**options: Any) -> ServerConnection:
    """Our server when it requires a client certificate."""
    return server(client_auth=ClientAuth.REQUIRE_AND_VERIFY, **options)


def meet(role: Role, ours: Mapping[str, Any] | None = None, **options: Any) -> Peer:
    """Our connection of this role, and the peer that it meets, before a byte is sent."""
    if role is Role.CLIENT:
        return Server(client(**(ours or {})), **options)
    return Client(server(**(ours or {})), **options)


both_roles = pytest.mark.parametrize("role", list(Role), ids=lambda role: f"our {role}")


@dataclass(frozen=True)
class Row:
    """One line of a table: in which situation ours refuses, and how.

    The ``lie`` is told at the step that the table is about; a mapping of steps to lies says so itself. ``after`` is
    what the peer does when the handshake is complete. ``peer`` and ``ours`` are further options of the two.
    """

    situation: str
    lie: Lie | Mapping[str, Lie]
    code: str
    alert: str | None
    under: str | None = PLAINTEXT
    peer: Mapping[str, Any] = field(default_factory=dict)
    ours: Mapping[str, Any] = field(default_factory=dict)
    after: Callable[[Peer], object] | None = None

    meet: ClassVar[Callable[..., Peer]] = staticmethod(meet)

    def check(self, role: Role, step: str = "", **more: Any) -> None:
        """Meet the liar and compare; ``more`` replaces fields.

        Its bytes come at once when nobody watches, and one at a time when somebody does: the same must come of it.
        """
        row = replace(self, **more)
        lies = row.lie if isinstance(row.lie, Mapping) else {step: row.lie}
        for chunk, observers in ((0, []), (1, [repr])):
            peer = self.meet(role, {"observers": observers, **row.ours}, lies=lies, chunk=chunk, **row.peer).run()
            if row.after is not None:
                assert peer.complete, peer.connection.error
                row.after(peer)
            assert peer.refusal == Refusal(row.code, row.alert, row.under), peer.connection.error
            assert_dead(peer.connection)


def assert_dead(connection: Connection) -> None:
    """After an error every call raises it, and nothing more is sent."""
    for call in (lambda: connection.receive(b"\x16"), lambda: connection.send(b"data"), connection.eof):
        with pytest.raises(HandfastError) as caught:
            call()
        assert caught.value is connection.error
    connection.close()
    assert connection.outgoing() == b""
    assert not connection.connected


def table(*rows: Row) -> pytest.MarkDecorator:
    """The rows as a parameter of a test."""
    return pytest.mark.parametrize("row", rows, ids=[row.situation for row in rows])
