"""What an endpoint is told to do, beside the engine's configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from handfast import limits
from handfast.engine import ClientAuth, ClientConfig, ServerConfig
from handfast.errors import ApiMisuse
from handfast.roles import Role

if TYPE_CHECKING:
    from pathlib import Path

    from handfast.events import Observer


class Shutdown(StrEnum):
    """How a connection in good order is ended.

    ``wait``: close_notify, then read until the peer's. ``follow``: read until the peer's close_notify, then send ours.
    ``close_notify``: send it and close the transport at once. ``none``: close the transport without it. ``reset``: make
    the transport end with a TCP reset.
    """

    WAIT = "wait"
    FOLLOW = "follow"
    CLOSE_NOTIFY = "close_notify"
    NONE = "none"
    RESET = "reset"


class KeyUpdate(StrEnum):
    """Whether our write keys change right after the handshake, and whether the peer is asked to change its own."""

    NONE = "none"
    SEND = "send"
    REQUEST = "request"


class Address(NamedTuple):
    """Where to listen or connect."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Export(NamedTuple):
    """Keying material to export: ``length`` bytes; None is no context. RFC 9846 7.5 and RFC 5705 4."""

    label: str
    context: bytes | None
    length: int


@dataclass(frozen=True, kw_only=True)
class Options:
    """One endpoint.

    Attributes:
        config: decides the role, which is independent of who listens and who connects.
        listen, connect: one of the two.
        server_name: at a client, the name to ask for and to verify; None asks for none.
        count: how many connections are made, one after the other.
        timeout: seconds for each wait for the peer, including the wait for somebody who connects.
        send: application data. A client sends first and then reads; a server reads first.
        expect_bytes: how much application data to read; what comes in the same record is read too.
        echo_xor: instead of the two above: send back each byte, XOR 0xFF, until the peer's close_notify.
        exports: what to export after the handshake.
        key_update: after the handshake, before any data.
        early_data: at a client, what to send before the handshake is over, where a session allows it.
        require_later: at a server, the mode under which the client is asked for its certificate after the handshake and
            the key update, before any data; None does not ask then.
        shutdown: the end.
        keylog: a file to which the connection's traffic secrets are appended.
        watched: with False the engine runs without observers, on the path that connections normally take; the outcome
            then lacks what only an observer sees.
        observers: further observers.

    Raises ApiMisuse for what contradicts itself.
    """

    config: ClientConfig | ServerConfig
    listen: Address | None = None
    connect: Address | None = None
    server_name: str | None = None
    count: int = 1
    timeout: float = limits.HANDSHAKE_TIMEOUT
    send: bytes = b""
    expect_bytes: int = 0
    echo_xor: bool = False
    exports: Sequence[Export] = ()
    key_update: KeyUpdate = KeyUpdate.NONE
    early_data: bytes = b""
    require_later: ClientAuth | None = None
    shutdown: Shutdown = Shutdown.WAIT
    keylog: Path | None = None
    watched: bool = True
    observers: Sequence[Observer] = ()

    def __post_init__(self) -> None:
        if (self.listen is None) == (self.connect is None):
            raise ApiMisuse("bad_argument", reason="an endpoint either listens or connects")
        if self.role is Role.SERVER and self.server_name is not None:
            raise ApiMisuse("bad_argument", reason="a server asks for no server name")
        if self.role is Role.CLIENT and self.require_later is not None:
            raise ApiMisuse("bad_argument", reason="a client asks for no client certificate")
        if self.echo_xor and (self.send or self.expect_bytes):
            raise ApiMisuse("bad_argument", reason="an endpoint that echoes neither sends nor expects data of its own")
        if self.count < 1 or self.expect_bytes < 0 or self.timeout <= 0:
            raise ApiMisuse("bad_argument", reason="count and timeout must be positive, and expect_bytes not negative")

    @property
    def role(self) -> Role:
        """Which side of the connection this is."""
        return Role.CLIENT if isinstance(self.config, ClientConfig) else Role.SERVER
