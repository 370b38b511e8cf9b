"""The record layer of one connection: bytes of the transport <-> contents of records. RFC 9846 5.

Reading judges a record by its header before it is buffered whole, opens it, and lets through only what may come at all:
a plaintext record after keys are on, a content type that no record may have, or another record inside a split handshake
message end here. Which message may come next is the handshake's business. What a header may say stands in
``wire/frames.py``, how records are written in ``writing.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from handfast import limits
from handfast.errors import ApiMisuse, PeerMisbehaved
from handfast.events import Epoch, EventDispatcher, KeysChanged, RecordSeen
from handfast.limits import RECORD_HEADER
from handfast.record.other_protocols import FOREIGN_START, refuse_foreign_bytes
from handfast.record.protection import MOST_ROOM, next_room
from handfast.record.writing import CHANGE_CIPHER_SPEC_RECORD, RecordWriter
from handfast.registry import ContentType
from handfast.roles import Role
from handfast.wire.frames import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    CONNECTED,
    HANDSHAKE,
    USUAL_LENGTH,
    USUAL_STARTS,
    HeaderFault,
    read_header,
)
from handfast.wire.joiner import HandshakeJoiner

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.record.protection import Opened
    from handfast.record.writing import Protection

# Why a protected record is sealed that came too early.
BEFORE_KEYS = "it came before any keys were on"


class Record(NamedTuple):
    """What one record held."""

    content_type: int
    content: bytes
    protected: bool


class RecordLayer(RecordWriter):
    """Both directions of one connection's records, from the side of ``role``."""

    # How every connection begins; what changes is set on the layer.
    # Whether a change_cipher_spec may come now: between the first ClientHello and the peer's Finished.
    accepts_change_cipher_spec = False
    # What the next one puts on, where it means that keys change; and why one is refused that may not come now.
    _upcoming: tuple[Protection, Epoch, int] | None = None
    _no_change_cipher_spec = "late_change_cipher_spec"
    _read_protection: Protection | None = None
    _read_epoch = Epoch.PLAINTEXT
    _read = 0
    _change_cipher_specs = 0
    _empty_records = 0
    # KeyUpdates of the peer since application data came.
    key_updates = 0
    opened_any = False
    # For what the next run of application data holds.
    _room = MOST_ROOM
    # How much more of refused early data is passed over; None once that is over.
    _skippable: int | None = None

    def __init__(self, role: Role, watch: EventDispatcher, fragment_limit: int) -> None:
        super().__init__(role.sends, watch, fragment_limit)
        self.receives = role.peer.sends
        self._joiner = HandshakeJoiner(tracking=watch.active)
        self._incoming = bytearray()

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes from the transport."""
        self._incoming += data

    @property
    def heard(self) -> bool:
        """Whether any byte has come."""
        return bool(self._read or self._incoming)

    @property
    def buffered(self) -> int:
        """Bytes received that are not yet a whole record."""
        return len(self._incoming)

    @property
    def unread(self) -> bool:
        """Whether anything waits to be read but the dummy records of middlebox compatibility mode."""
        rest = bytes(self._incoming)
        for _ in range(limits.MAX_CHANGE_CIPHER_SPECS):
            rest = rest.removeprefix(CHANGE_CIPHER_SPEC_RECORD)
        return bool(rest) or not self._joiner.empty

    def keep_trailing_data(self, data: bytes | bytearray | memoryview = b"") -> None:
        """Keep what is buffered and ``data``, which came behind close_notify; a byte above the limit tells of more."""
        most = limits.TRAILING_DATA + 1
        del self._incoming[most:]
        self._incoming += data[: most - len(self._incoming)]

    @property
    def trailing_data(self) -> bytes:
        """What came behind close_notify. Raises ApiMisuse trailing_data_lost where it was too much."""
        if len(self._incoming) > limits.TRAILING_DATA:
            raise ApiMisuse("trailing_data_lost", limit=limits.TRAILING_DATA)
        return bytes(self._incoming)

    @property
    def idle(self) -> bool:
        """Whether nothing waits: no bytes of a record or a message that came, and none to send."""
        return not self._incoming and not self.outgoing and self._joiner.empty

    @property
    def in_message(self) -> bool:
        """Whether a part of a message, or a message that was not taken, is left."""
        return not self._joiner.empty

    @property
    def message_records(self) -> tuple[int, ...]:
        """The indexes of the records that the last message came in; kept only while somebody watches."""
        return self._joiner.records

    @property
    def read_epoch(self) -> Epoch:
        """The keys that protect what is read now."""
        return self._read_epoch

    def next_message(self) -> bytes | None:
        """The next handshake message of the records that were read, with its header; None when more must come."""
        return self._joiner.next() if self._joiner.buffer else None

    def handshake_over(self) -> None:
        """From now on the bytes of messages are no longer counted against the limit of one handshake."""
        self._joiner.handshake_over()

    @property
    def read_protection(self) -> Protection | None:
        """What protects what is read now."""
        return self._read_protection

    def read_application_data(self, data: bytes | bytearray | memoryview) -> tuple[bytes | bytearray, Opened | None]:
        """The contents of the application data records at the front of what is buffered and ``data``.

        The second value is the first record that was something else, if one was met: it is for ``opened``. For a
        connected side without observers: no object is built per record.
        """
        protection = self._read_protection
        if protection is None:
            raise ValueError("no read keys")
        if self._incoming or self._joiner.buffer:
            self._incoming += data
            source: bytes | bytearray | memoryview = self._incoming
        else:
            source = data
        content, consumed, other = protection.open_run(source, 0, self._room)
        self._room = next_room(self._room, other)
        if source is self._incoming:
            del self._incoming[:consumed]
        elif consumed < len(data):
            self._incoming += memoryview(data)[consumed:]
        if content:
            self.opened_any = True
            self._empty_records = self.key_updates = 0
            if self._joiner.buffer:
                raise PeerMisbehaved("interleaved_record", content_type=ContentType.application_data.name)
        return content, other

    @property
    def open_one(self) -> Callable[[bytes | bytearray | memoryview], bytes | bytearray] | None:
        """What opens a whole record of application data that comes next by itself, until anything else comes.

        None while part of a record or a message waits, or something counts against the peer that such data ends.
        """
        protection = self._read_protection
        if protection is None or self._incoming or self._joiner.buffer or self._empty_records or self.key_updates:
            return None
        return protection.open_one

    def next(self) -> Record | bytes | None:
        """The next handshake message with its header, or the next record of another kind; None when bytes are missing.

        The change_cipher_spec of middlebox compatibility mode is not given, nor is early data that was refused.
        """
        incoming, joiner = self._incoming, self._joiner
        while True:
            if joiner.buffer and (message := joiner.next()) is not None:
                return message
            available = len(incoming)
            if available < RECORD_HEADER:
                if incoming and CONNECTED.fault(incoming[:1]) is not None:
                    self._refuse_foreign_bytes()
                return None
            start, length = read_header(incoming)
            if (start not in USUAL_STARTS or length > USUAL_LENGTH) and not self._check_header(start, length):
                return None
            end = RECORD_HEADER + length
            if available < end:
                return None
            frame = bytes(incoming[:end])
            del incoming[:end]
            self._read += 1
            record = self._take(frame[0], frame[:RECORD_HEADER], frame[RECORD_HEADER:])
            if record is not None:
                return record

    def _take(self, content_type: int, header: bytes, body: bytes) -> Record | None:
        """The record; None for part of a message, the dummy change_cipher_spec and early data that was refused."""
        if content_type == CHANGE_CIPHER_SPEC:
            self._take_change_cipher_spec(header, body)
            return None
        protection = self._read_protection
        if protection is not None:
            if content_type in protection.content_types:
                return self._take_protected(protection, header, body)
            return self._take_plaintext_after_keys(header, body)
        if content_type == APPLICATION_DATA and self._skippable is not None and self._joiner.empty:
            self._skip(self._skippable, header, body, BEFORE_KEYS)
            return None
        return self._take_plaintext(content_type, header, body)

    def change_read_keys(self, protection: Protection, epoch: Epoch, suite: int, after: str) -> None:
        """Read with these keys from the next record on. Nothing of a message may be left over. RFC 9846 5.1."""
        self.require_boundary(after)
        self._read_protection = protection
        self._read_epoch = epoch
        if self.watch.active:
            self.watch.emit(KeysChanged(time=self.watch.time, direction=self.receives, epoch=epoch, suite=suite))

    def skip_early_data(self, size: int) -> None:
        """Pass over early data that was refused: up to ``size`` bytes in records that no key of ours opens.

        The first record that opens, or that is plaintext, ends that. RFC 9846 4.3.10.
        """
        self._skippable = size

    def _skip(self, allowed: int, header: bytes, body: bytes, why: str) -> None:
        # Each record counts for what it can hold, and for a byte at least.
        self._skippable = allowed - max(len(body) - limits.MIN_PROTECTED, 1)
        if self._skippable < 0:
            raise PeerMisbehaved("too_much_early_data")
        self._saw(self._read_epoch, header, body, APPLICATION_DATA, unreadable_reason=why)

    def expect_tls12_change_cipher_spec(self) -> None:
        """From here on a change_cipher_spec puts keys on, and none may have come so far. RFC 5246 7.1."""
        self.accepts_change_cipher_spec = False
        self._no_change_cipher_spec = "early_change_cipher_spec"
        if self._change_cipher_specs:
            raise PeerMisbehaved(self._no_change_cipher_spec)

    def await_change_cipher_spec(self, protection: Protection, epoch: Epoch, suite: int, after: str) -> None:
        """The next record, unless it is an alert, must be the change_cipher_spec that puts these read keys on."""
        self.require_boundary(after)
        self._upcoming = protection, epoch, suite

    def require_boundary(self, after: str) -> None:
        """Refuse handshake bytes after a message with which a flight must end. RFC 9846 5.1."""
        if self._joiner.buffer:
            raise PeerMisbehaved("message_spans_key_change", message=after)

    def _check_header(self, start: bytes, length: int) -> bool:
        """Whether this is a record all the same; if not it is refused, or more bytes must tell what it is."""
        content_type = start[0]
        limit = limits.MAX_CIPHERTEXT_13 if content_type == APPLICATION_DATA else limits.MAX_PLAINTEXT
        if self._read_protection is not None and content_type in self._read_protection.content_types:
            limit = self._read_protection.max_length
        fault = CONNECTED.fault(self._incoming, limit=limit)
        if fault is HeaderFault.LENGTH:
            raise PeerMisbehaved("record_overflow", length=length, limit=limit)
        if fault is HeaderFault.VERSION and self._read:
            raise PeerMisbehaved("record_version", version=int.from_bytes(start[1:]))
        if fault is not None:
            self._refuse_foreign_bytes()
        return fault is None

    def _refuse_foreign_bytes(self) -> None:
        """Bytes that no TLS peer sends; at the start of a connection they tell what the peer does speak.

        Returns while a few more of them may still show an HTTP request.
        """
        if self._read:
            raise PeerMisbehaved("unexpected_record_type", content_type=ContentType.describe(self._incoming[0]))
        refuse_foreign_bytes(bytes(self._incoming[:FOREIGN_START]))

    def _take_change_cipher_spec(self, header: bytes, body: bytes) -> None:
        if self.watch.active:
            self._saw(Epoch.PLAINTEXT, header, body, CHANGE_CIPHER_SPEC, body)
        if body != b"\x01":
            raise PeerMisbehaved("bad_change_cipher_spec")
        if self._joiner.buffer:
            raise PeerMisbehaved("interleaved_record", content_type=ContentType.change_cipher_spec.name)
        if self._upcoming is not None:
            (protection, epoch, suite), self._upcoming = self._upcoming, None
            self._no_change_cipher_spec = "late_change_cipher_spec"
            self.change_read_keys(protection, epoch, suite, ContentType.change_cipher_spec.name)
            return
        if not self.accepts_change_cipher_spec:
            raise PeerMisbehaved(self._no_change_cipher_spec)
        self._change_cipher_specs += 1
        if self._change_cipher_specs > limits.MAX_CHANGE_CIPHER_SPECS:
            raise PeerMisbehaved("too_many_change_cipher_specs", limit=limits.MAX_CHANGE_CIPHER_SPECS)

    def _take_plaintext(self, content_type: int, header: bytes, body: bytes) -> Record | None:
        if self.watch.active:
            if content_type == APPLICATION_DATA:
                self._saw(Epoch.PLAINTEXT, header, body, APPLICATION_DATA, unreadable_reason=BEFORE_KEYS)
            else:
                self._saw(Epoch.PLAINTEXT, header, body, content_type, body)
        if content_type == HANDSHAKE and self._upcoming is not None:
            raise PeerMisbehaved("missing_change_cipher_spec")
        record = self._take_content(content_type, body, protected=False)
        if content_type == APPLICATION_DATA:
            raise PeerMisbehaved("early_application_data")
        self._skippable = None
        return record

    def _take_plaintext_after_keys(self, header: bytes, body: bytes) -> Record:
        """An alert that came in plaintext after keys are on, for the connection to judge; any other is an error."""
        self._saw(Epoch.PLAINTEXT, header, body, header[0], body)
        if header[0] != ALERT or len(body) != 2:
            raise PeerMisbehaved("plaintext_after_keys", content_type=ContentType.describe(header[0]))
        return Record(ALERT, body, False)

    def _take_protected(self, protection: Protection, header: bytes, body: bytes) -> Record | None:
        """The record opened; None if it was part of a message, or passed over as early data that was refused."""
        try:
            content_type, content, padding = protection.open(header, body)
        except PeerMisbehaved as error:
            if self._skippable is not None and error.code == "bad_record_mac":
                self._skip(self._skippable, header, body, error.what)
                return None
            self._saw(self._read_epoch, header, body, header[0], unreadable_reason=error.what)
            raise
        if self.watch.active:
            self._saw(self._read_epoch, header, body, content_type, content, padding)
        return self.opened(content_type, content)

    def opened(self, content_type: int, content: bytes) -> Record | None:
        """The record of which this is the content, opened, if it may come now; None if it was part of a message."""
        self.opened_any = True
        self._skippable = None
        return self._take_content(content_type, content, protected=True)

    def _take_content(self, content_type: int, content: bytes, *, protected: bool) -> Record | None:
        """The record, if such a content may come now; None if it was part of a message, which is joined."""
        if content_type == HANDSHAKE and 0 < len(content) <= limits.MAX_PLAINTEXT:
            self._empty_records = 0
            self._joiner.add(content, self._read - 1)
            return None
        if content_type not in (HANDSHAKE, ALERT, APPLICATION_DATA):
            raise PeerMisbehaved("unexpected_record_type", content_type=ContentType.describe(content_type))
        if content_type != HANDSHAKE and self._joiner.buffer:
            raise PeerMisbehaved("interleaved_record", content_type=ContentType.describe(content_type))
        if len(content) > limits.MAX_PLAINTEXT:
            raise PeerMisbehaved("record_overflow", length=len(content), limit=limits.MAX_PLAINTEXT)
        if content:
            self._empty_records = 0
            if content_type == APPLICATION_DATA:
                self.key_updates = 0
        elif content_type != APPLICATION_DATA:
            raise PeerMisbehaved("empty_record", content_type=ContentType.describe(content_type))
        else:
            self._empty_records += 1
            if self._empty_records > limits.MAX_EMPTY_RECORDS:
                raise PeerMisbehaved("too_many_empty_records", limit=limits.MAX_EMPTY_RECORDS)
        return Record(content_type, content, protected)

    def _saw(
        self,
        epoch: Epoch,
        header: bytes,
        body: bytes,
        content_type: int,
        content: bytes = b"",
        padding: int = 0,
        unreadable_reason: str = "",
    ) -> None:
        if self.watch.active:
            self.watch.emit(
                RecordSeen(
                    time=self.watch.tick(),
                    direction=self.receives,
                    index=self._read - 1,
                    epoch=epoch,
                    header=header,
                    body=body,
                    content_type=content_type,
                    content=content,
                    padding=padding,
                    unreadable_reason=unreadable_reason,
                )
            )
