"""Connections in memory whose both sides are watched and recorded, each by itself."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from handfast.engine import ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection
from handfast.errors import HandfastError
from handfast.events import Event, Secret
from handfast.handshake.seams import Seams
from handfast.lens.keylog import KeyLog
from handfast.lens.pcapng import LOOPBACK_MSS, CaptureFile, Flow
from handfast.roles import Direction, Role

CLIENT, SERVER = ("127.0.0.1", 51515), ("127.0.0.1", 1337)
C2S, S2C = Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT


def steps() -> Callable[[], float]:
    """A clock that shows another time, with all the digits that a float has, each time it is read."""
    start, ticks = time.time(), count()
    return lambda: start + next(ticks) * 0.012345678


def unchanged(message: Any) -> Any:
    return message


@dataclass
class Side:
    """One side of a connection: what it told, and what was recorded of it."""

    role: Role
    edit: Callable[[Any], Any] = unchanged
    mss: int = LOOPBACK_MSS
    events: list[Event] = field(default_factory=list)
    secrets: list[Secret] = field(default_factory=list)
    keylog: list[str] = field(default_factory=list)
    error: HandfastError | None = None

    def __post_init__(self) -> None:
        self._blocks: list[bytes] = []
        self.flow = Flow(CaptureFile(self._blocks.append), CLIENT, SERVER, mss=self.mss)

    @property
    def watching(self) -> dict[str, Any]:
        """What this side's connection is made with."""
        sinks = [self.secrets.append, KeyLog(self.keylog.append), self.flow.secret]
        seams = Seams(clock=steps(), edit=self.edit)
        return {"observers": (self.events.append, self.flow), "secret_sinks": sinks, "seams": seams}

    @property
    def capture(self) -> bytes:
        self.flow.finish()
        return b"".join(self._blocks)

    @property
    def keys(self) -> bytes:
        return "".join(self.keylog).encode()


class Pair:
    """A client and a server, and the wire between them. ``tamper`` sees what crosses it and says what arrives."""

    def __init__(
        self,
        client: ClientConfig,
        server: ServerConfig,
        *,
        client_edit: Callable[[Any], Any] = unchanged,
        server_edit: Callable[[Any], Any] = unchanged,
        early_data: bytes = b"",
        tamper: Callable[[Direction, bytes], bytes] = lambda _direction, data: data,
        **recording: Any,
    ) -> None:
        self.client_side = Side(Role.CLIENT, client_edit, **recording)
        self.server_side = Side(Role.SERVER, server_edit, **recording)
        self._tamper = tamper
        self.client = ClientConnection(
            client, server_name="localhost", early_data=early_data, **self.client_side.watching
        )
        self.server = ServerConnection(server, **self.server_side.watching)

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.client_side, self.server_side

    def _ways(self) -> Iterator[tuple[Connection, Connection, Side, Direction]]:
        yield self.client, self.server, self.server_side, C2S
        yield self.server, self.client, self.client_side, S2C

    def settle(self) -> None:
        """Carry bytes until both sides are silent; a side that failed reads no more."""
        moved = True
        while moved:
            moved = False
            for sender, receiver, side, direction in self._ways():
                data = self._tamper(direction, sender.outgoing())
                if data and side.error is None:
                    moved = True
                    try:
                        receiver.receive(data)
                    except HandfastError as error:
                        side.error = error

    def say(self, speaker: Connection, data: bytes) -> None:
        if speaker.error is None:
            speaker.send(data)
        self.settle()

    def close(self) -> None:
        for end in (self.client, self.server):
            end.close()
            self.settle()

    def cut(self) -> None:
        """Both transports end."""
        for end, side in ((self.client, self.client_side), (self.server, self.server_side)):
            try:
                end.eof()
            except HandfastError as error:
                side.error = error


def blocks(capture: bytes) -> Iterator[tuple[int, bytes]]:
    """The blocks of a little-endian pcapng file: kind, and the whole block."""
    at = 0
    while at < len(capture):
        kind, length = struct.unpack_from("<II", capture, at)
        yield kind, capture[at : at + length]
        at += length


def without_secrets(capture: bytes) -> bytes:
    stripped = b"".join(block for kind, block in blocks(capture) if kind != 0x0A)
    assert b"TRAFFIC_SECRET" not in stripped
    return stripped


def talk(pair: Pair) -> None:
    """An exchange from the first byte to the last, as far as it comes."""
    pair.settle()
    if pair.client.connected and pair.server.connected:
        pair.say(pair.client, b"a question")
        pair.say(pair.server, b"an answer")
        pair.close()
    pair.cut()
