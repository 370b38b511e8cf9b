"""Which packets belong together: TCP connections out of a capture, each with its decoder.

A connection is two endpoints; a SYN with another sequence number begins a new one between the same two. The client is
who sent the first SYN; in a recording that began later, who sent the first record, unless that is a ServerHello. A
connection whose first bytes are no TLS record is none of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from handfast.events import EventDispatcher, Observer, SecretSink
from handfast.limits import RECORDED_CONNECTIONS
from handfast.passive.decoder import Decoder
from handfast.passive.keylog_reader import KeyLogSecrets
from handfast.passive.packets import RST, SYN, Endpoint, Segment
from handfast.passive.tcp import Stream
from handfast.registry import ContentType, HandshakeType
from handfast.roles import Direction

_ACK = 16


class Flow(NamedTuple):
    """A recorded connection; ``number`` counts the TLS connections of a capture from 1, by their first record."""

    number: int
    client: Endpoint
    server: Endpoint


# Given a new connection, gives its observers and secret sinks.
WatchFactory: TypeAlias = Callable[[Flow], "tuple[Sequence[Observer], Sequence[SecretSink]]"]


class Conversations:
    """The connections of one capture. Feed it the segments in order, then call ``finish``."""

    def __init__(self, watch: WatchFactory, secrets: KeyLogSecrets) -> None:
        self._watch = watch
        self._secrets = secrets
        self._count = 0
        # By the two endpoints, the one that was silent longest first.
        self._current: dict[frozenset[Endpoint], _Conversation] = {}

    def take(self, time: float, segment: Segment) -> None:
        """One TCP segment, captured at ``time``."""
        key = frozenset((segment.source, segment.destination))
        conversation = self._current.pop(key, None)
        if conversation is None or conversation.is_over(segment):
            if conversation is not None:
                conversation.finish()
            conversation = _Conversation(self, segment)
            if len(self._current) >= RECORDED_CONNECTIONS:
                self._current.pop(next(iter(self._current))).finish()
        self._current[key] = conversation
        conversation.take(time, segment)

    def finish(self) -> None:
        """Nothing more was captured."""
        for conversation in self._current.values():
            conversation.finish()
        self._current.clear()

    def decoder(self, client: Endpoint, server: Endpoint, clock: Callable[[], float]) -> Decoder:
        """The decoder of a connection that turned out to speak TLS."""
        self._count += 1
        observers, sinks = self._watch(Flow(self._count, client, server))
        return Decoder(EventDispatcher(observers, sinks, clock), self._secrets)


class _Conversation:
    """One TCP connection."""

    def __init__(self, conversations: Conversations, first: Segment) -> None:
        self._conversations = conversations
        self._streams = {first.source: Stream(), first.destination: Stream()}
        self._client = _opener(first)
        self._decoder: Decoder | None = None
        self._foreign = False
        self._time = 0.0

    def is_over(self, segment: Segment) -> bool:
        """Whether this segment begins another connection between the same two."""
        return self._streams[segment.source].is_restarted_by(segment)

    def take(self, time: float, segment: Segment) -> None:
        self._time = time
        if self._client is None:
            self._client = _opener(segment)
        stream = self._streams[segment.source]
        data = stream.take(segment)
        if data:
            self._data(segment.source, segment.destination, data)
        if stream.ended:
            self._end(segment.source, "eof")
        if segment.flags & RST:
            self._end(segment.source, "reset")
        if stream.overflowed:
            self._end(segment.source, "gap")

    def finish(self) -> None:
        """Nothing more comes: what still waits for missing bytes waits in vain."""
        for sender, stream in self._streams.items():
            if stream.incomplete:
                self._end(sender, "gap")

    def _data(self, sender: Endpoint, receiver: Endpoint, data: bytes) -> None:
        if self._decoder is None and not self._foreign:
            self._recognize(sender, receiver, data)
        if self._decoder is not None:
            self._decoder.feed(self._direction(sender), data)

    def _recognize(self, sender: Endpoint, receiver: Endpoint, data: bytes) -> None:
        """Whether the first bytes are those of TLS, and whose they are."""
        known = ContentType.change_cipher_spec <= data[0] <= ContentType.application_data
        self._foreign = not known or data[1:2] not in (b"", b"\3")
        if self._foreign:
            return
        if self._client is None:
            answers = data[0] == ContentType.handshake and data[5:6] == bytes((HandshakeType.server_hello,))
            self._client = receiver if answers else sender
        server = receiver if self._client == sender else sender
        self._decoder = self._conversations.decoder(self._client, server, lambda: self._time)

    def _end(self, sender: Endpoint, how: str) -> None:
        if self._decoder is not None:
            self._decoder.end(self._direction(sender), how, self._time)

    def _direction(self, sender: Endpoint) -> Direction:
        return Direction.CLIENT_TO_SERVER if sender == self._client else Direction.SERVER_TO_CLIENT


def _opener(segment: Segment) -> Endpoint | None:
    """Who opened the connection, if this segment tells."""
    if not segment.flags & SYN:
        return None
    return segment.destination if segment.flags & _ACK else segment.source
