"""Recorded connections: a capture and its keys -> the same events that a live connection tells.

What a recording cannot know is what no byte of it says: why a side chose or refused, what it waited for, when it was
done, and the secrets that no key log holds. docs/events.md has the list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from handfast.errors import ConfigError
from handfast.events import Event, Observer, Secret, SecretSink
from handfast.passive.capture import Capture, Packet, Secrets, is_seekable, read_capture, read_secrets
from handfast.passive.conversations import Conversations, Flow, WatchFactory
from handfast.passive.keylog_reader import KeyLogSecrets
from handfast.passive.packets import Endpoint, Frames

__all__ = [
    "Capture",
    "Decoded",
    "Endpoint",
    "Flow",
    "Reading",
    "RecordedConnection",
    "WatchFactory",
    "decode",
    "replay",
]


@dataclass(slots=True)
class RecordedConnection:
    """One TLS connection of a capture: who talked, what was told, and the secrets that were used."""

    flow: Flow
    events: list[Event] = field(default_factory=list)
    secrets: list[Secret] = field(default_factory=list)


class Decoded(NamedTuple):
    """The TLS connections of a capture, in the order of their first records; ``damage`` is what ended it too early."""

    connections: list[RecordedConnection]
    damage: ConfigError | None


def decode(capture: Capture, keylog: bytes = b"") -> Decoded:
    """The events of every TLS connection in a capture. ``keylog`` is an NSS key log; secrets in the capture count too.

    Raises ConfigError not_a_capture.
    """
    connections: list[RecordedConnection] = []

    def watch(flow: Flow) -> tuple[list[Observer], list[SecretSink]]:
        connection = RecordedConnection(flow)
        connections.append(connection)
        return [connection.events.append], [connection.secrets.append]

    return Decoded(connections, replay(capture, watch, keylog))


class Reading:
    """A capture being read, one packet with each step of the iteration; ``replay`` says what is told to whom.

    ``damage`` is known when the iteration has ended.
    """

    def __init__(
        self,
        capture: Capture | Iterable[Packet | Secrets],
        watch: WatchFactory,
        secrets: KeyLogSecrets,
        *,
        over: Callable[[Flow], object] = lambda _flow: None,
        packet: Callable[[int], object] = lambda _opening: None,
    ) -> None:
        self.damage: ConfigError | None = None
        self._secrets = secrets
        self._packet = packet
        self._conversations = Conversations(watch, secrets, over)
        if isinstance(capture, (bytes, bytearray, memoryview)) or hasattr(capture, "read"):
            file = cast(Capture, capture)
            if is_seekable(file):
                self._collect(file)
            self._items: Iterable[Packet | Secrets] = read_capture(file)
        else:
            self._items = capture

    def __iter__(self) -> Iterator[None]:
        frames = Frames()
        try:
            for item in self._items:
                if isinstance(item, Secrets):
                    self._secrets.add(item.text)
                    continue
                segment = frames.tcp_segment(item.link_type, item.data)
                self._packet(0 if segment is None else self._conversations.take(item.time, segment))
                yield
        except ConfigError as error:
            self.damage = error
        self._conversations.finish()
        if self.damage is None and frames.not_read:
            [(name, count)] = frames.not_read.most_common(1)
            self.damage = ConfigError("link_type_not_read", name=name, packets=count)
        yield

    def _collect(self, capture: Capture) -> None:
        try:
            for secrets in read_secrets(capture):
                self._secrets.add(secrets.text)
        except ConfigError:
            # The damage is met once more.
            return


def replay(
    capture: Capture | Iterable[Packet | Secrets],
    watch: WatchFactory,
    keylog: bytes | KeyLogSecrets = b"",
    *,
    over: Callable[[Flow], object] = lambda _flow: None,
    packet: Callable[[int], object] = lambda _opening: None,
) -> ConfigError | None:
    """Tell the observers and secret sinks that ``watch`` gives for each connection, as if they had been there.

    Secrets are looked for in the whole capture first, so it does not matter where in it they stand; in a pipe, which is
    read once, they must stand before what they open. ``over`` is told each connection of which nothing more will come;
    ``packet``, for each packet, the number of its TCP connection (``Flow.opening``), 0 for none.

    Returns the error that says where a damaged capture ended too early, or link_type_not_read. Raises ConfigError
    not_a_capture.
    """
    secrets = keylog if isinstance(keylog, KeyLogSecrets) else KeyLogSecrets(keylog)
    reading = Reading(capture, watch, secrets, over=over, packet=packet)
    for _ in reading:
        pass
    return reading.damage
