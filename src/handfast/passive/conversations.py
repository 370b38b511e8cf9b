"""Which packets belong together: TCP connections out of a capture, each with its decoder.

A connection is two endpoints; a SYN with another sequence number begins a new one between the same two. TLS is found by
its bytes, on any port: where a direction begins with records, where a ClientHello stands behind another protocol
(STARTTLS, a proxy), or, in a recording that began later, where records follow each other. The client is who sent the
ClientHello; without one who sent the first SYN; in a recording without either, who sent the first record, unless that
is a ServerHello. A connection without one whole record is none of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from handfast.events import EventDispatcher, Observer, SecretSink
from handfast.limits import RECORDED_CONNECTIONS, RECORDED_OVER, RECORDED_PROLOGUE, RECORDED_WAITING
from handfast.passive.decoder import Decoder
from handfast.passive.keylog_reader import KeyLogSecrets
from handfast.passive.packets import ACK, RST, SYN, Endpoint, Segment
from handfast.passive.prologues import prologue
from handfast.passive.records import RecordStream
from handfast.passive.tcp import Stream
from handfast.roles import Direction


class Flow(NamedTuple):
    """A recorded connection; ``number`` counts the TLS connections of a capture from 1, by their first record.

    ``prologue`` names the protocol before TLS, "" for none; ``opening`` counts the TCP connections, from 1.
    """

    number: int
    client: Endpoint
    server: Endpoint
    prologue: str = ""
    opening: int = 0


# Given a new connection, gives its observers and secret sinks.
WatchFactory: TypeAlias = Callable[[Flow], "tuple[Sequence[Observer], Sequence[SecretSink]]"]


class Conversations:
    """The connections of one capture. Feed it the segments in order, then call ``finish``.

    ``over`` is told each TLS connection of which nothing more will come.
    """

    def __init__(
        self, watch: WatchFactory, secrets: KeyLogSecrets, over: Callable[[Flow], object] = lambda _flow: None
    ) -> None:
        self._watch = watch
        self._secrets = secrets
        self._over = over
        self._count = 0
        self._openings = 0
        self._waiting = 0
        # By the two endpoints, the one that was silent longest first.
        self._current: dict[frozenset[Endpoint], _Conversation] = {}
        # Those that are over: what is sent again late is none of a new one.
        self._over_lately: dict[frozenset[Endpoint], _Conversation] = {}

    def take(self, time: float, segment: Segment) -> int:
        """One TCP segment, captured at ``time``; the result is the number of its TCP connection, or 0."""
        if segment.source == segment.destination:
            # Both directions would be one; only a damaged capture has such packets.
            return 0
        key = frozenset((segment.source, segment.destination))
        conversation = self._current.pop(key, None) or self._over_lately.pop(key, None)
        if conversation is None or conversation.is_over(segment):
            if conversation is not None:
                self._finish(conversation)
            self._openings += 1
            conversation = _Conversation(self, segment, self._openings)
            if len(self._current) >= RECORDED_CONNECTIONS:
                self._finish(self._current.pop(next(iter(self._current))))
        before = conversation.waiting_bytes
        conversation.take(time, segment, crowded=self._waiting > RECORDED_WAITING)
        self._waiting += conversation.waiting_bytes - before
        if not conversation.gone:
            self._current[key] = conversation
        else:
            self._over_lately[key] = conversation
            if len(self._over_lately) > RECORDED_OVER:
                del self._over_lately[next(iter(self._over_lately))]
        return conversation.opening

    def finish(self) -> None:
        """Nothing more was captured."""
        for conversation in self._current.values():
            self._finish(conversation)
        self._current.clear()

    def _finish(self, conversation: _Conversation) -> None:
        self._waiting -= conversation.waiting_bytes
        conversation.finish()

    def is_over(self, flow: Flow) -> None:
        """Nothing more will come of a TLS connection."""
        self._over(flow)

    def decoder(
        self,
        flow: Flow,
        clock: Callable[[], float],
        streams: dict[Direction, RecordStream],
    ) -> tuple[Flow, Decoder]:
        """The decoder of a connection that turned out to speak TLS, and what it is called from now on."""
        self._count += 1
        flow = flow._replace(number=self._count)
        observers, sinks = self._watch(flow)
        return flow, Decoder(EventDispatcher(observers, sinks, clock), self._secrets, streams)


class _Conversation:
    """One TCP connection. Once it is ``gone``, nothing more comes of it that could be told."""

    __slots__ = (
        "_changed",
        "_client",
        "_conversations",
        "_decoder",
        "_flow",
        "_foreign",
        "_opened",
        "_records",
        "_streams",
        "_time",
        "gone",
        "opening"
    )  # fmt: skip

    def __init__(self, conversations: Conversations, first: Segment, opening: int) -> None:
        self._conversations = conversations
        self._streams = {first.source: Stream(), first.destination: Stream()}
        self._records: dict[Endpoint, RecordStream] = {}
        self._client = _opener(first)
        self._opened = {first.source: False, first.destination: False}
        self._decoder: Decoder | None = None
        self._flow: Flow | None = None
        self._foreign = False
        self.gone = False
        # Bytes that came again with another content, before TLS was seen.
        self._changed = dict.fromkeys(self._streams, 0)
        self._time = 0.0
        self.opening = opening

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait for missing segments."""
        return sum(stream.waiting_bytes for stream in self._streams.values())

    def is_over(self, segment: Segment) -> bool:
        """Whether this segment begins another connection between the same two."""
        if self.gone and segment.flags & SYN and not segment.flags & ACK:
            return True
        return self._streams[segment.source].is_restarted_by(segment)

    def take(self, time: float, segment: Segment, *, crowded: bool) -> None:
        if self.gone:
            return
        self._time = time
        if self._client is None:
            self._client = _opener(segment)
        sender, receiver = segment.source, segment.destination
        if segment.flags & SYN:
            self._opened[sender] = True
        stream, other = self._streams[sender], self._streams[receiver]
        data = stream.take(segment)
        if changed := stream.changed():
            self._tell_changed(sender, changed)
        if data:
            self._data(sender, receiver, data)
        if segment.flags & ACK:
            other.acknowledge(segment.acknowledged)
            self._skip(receiver, sender, sure=False)
        self._skip(sender, receiver, sure=crowded and bool(stream.waiting_bytes))
        if stream.ended:
            self._end(sender, "eof")
        if segment.flags & RST:
            self._end(sender, "reset")
            self._skip(sender, receiver, sure=True)
            self._skip(receiver, sender, sure=True)
        if segment.flags & RST or (stream.ended and other.ended):
            self._let_go()

    def finish(self) -> None:
        """Nothing more comes: what still waits for missing bytes waits in vain."""
        first, second = self._streams
        self._skip(first, second, sure=True)
        self._skip(second, first, sure=True)
        self._let_go()

    def _let_go(self) -> None:
        """Nothing more comes that could be told."""
        self._foreign = self.gone = True
        self._decoder = None
        self._records.clear()
        for stream in self._streams.values():
            stream.forget()
        if self._flow is not None:
            self._conversations.is_over(self._flow)
            self._flow = None

    def _skip(self, sender: Endpoint, receiver: Endpoint, *, sure: bool) -> None:
        """Go on behind bytes that are known not to come; with ``sure``, behind all that are missing."""
        stream = self._streams[sender]
        while stream.hopeless or (sure and stream.incomplete):
            missing, data = stream.skip()
            if missing:
                self._gap(sender, missing)
            if data:
                self._data(sender, receiver, data)
            if not missing and not data:
                break
        if stream.ended:
            self._end(sender, "eof")

    def _gap(self, sender: Endpoint, missing: int) -> None:
        if self._decoder is not None:
            self._decoder.gap(self._direction(sender), missing)
        elif sender in self._records:
            self._records[sender].lose()

    def _tell_changed(self, sender: Endpoint, count: int) -> None:
        if self._decoder is not None:
            self._decoder.changed(self._direction(sender), count)
        else:
            self._changed[sender] += count

    def _data(self, sender: Endpoint, receiver: Endpoint, data: bytes) -> None:
        if self._foreign:
            return
        records = self._records.get(sender)
        if records is None:
            records = self._records[sender] = RecordStream(anywhere=not self._opened[sender])
        records.feed(data)
        if self._decoder is not None:
            self._decoder.advance(self._direction(sender))
        elif records.begins():
            if records.is_hello or receiver not in self._records or not self._records[receiver].foreign:
                self._begin(sender, receiver, records)
            else:
                # An alert, say, in answer to something that was not TLS.
                self._foreign = True
        elif all(one.foreign > RECORDED_PROLOGUE for one in self._records.values()):
            self._foreign = True
            self._records.clear()

    def _begin(self, sender: Endpoint, receiver: Endpoint, records: RecordStream) -> None:
        """The first whole record is there."""
        if records.is_server_hello:
            self._client = receiver
        elif records.is_hello or self._client is None:
            self._client = sender
        client = self._client
        server = receiver if client == sender else sender
        for end in (client, server):
            self._records.setdefault(end, RecordStream(anywhere=not self._opened[end]))
        before = ""
        if any(one.foreign and not one.anywhere for one in self._records.values()):
            before = prologue(self._records[client].first, self._records[server].first)
        if records.foreign:
            self._records[receiver].follow()
        streams = {
            Direction.CLIENT_TO_SERVER: self._records[client],
            Direction.SERVER_TO_CLIENT: self._records[server],
        }
        flow = Flow(0, client, server, before, self.opening)
        self._flow, self._decoder = self._conversations.decoder(flow, lambda: self._time, streams)
        for end, count in self._changed.items():
            if count:
                self._decoder.changed(self._direction(end), count)
        self._decoder.advance(self._direction(sender))
        self._decoder.advance(self._direction(receiver))

    def _end(self, sender: Endpoint, how: str) -> None:
        if self._decoder is not None:
            self._decoder.end(self._direction(sender), how, self._time)

    def _direction(self, sender: Endpoint) -> Direction:
        return Direction.CLIENT_TO_SERVER if sender == self._client else Direction.SERVER_TO_CLIENT


def _opener(segment: Segment) -> Endpoint | None:
    """Who opened the connection, if this segment tells."""
    if not segment.flags & SYN:
        return None
    return segment.destination if segment.flags & ACK else segment.source
