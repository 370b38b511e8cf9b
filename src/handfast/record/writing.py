"""Writing records: messages and data become as few records as possible, because each costs a seal and an open."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from handfast.events import Epoch, Event, EventDispatcher, KeysChanged, MessageSeen, RecordSeen
from handfast.limits import MAX_PLAINTEXT
from handfast.roles import Direction
from handfast.wire.frames import APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from handfast.record.protection import Protection13
    from handfast.record.protection12 import Protection12
    from handfast.wire.messages import HandshakeMessage

    Protection: TypeAlias = Protection13 | Protection12
    # A message to write, its encoding, and the events that it causes, which are told after it is written. There need be
    # no message as long as there is no observer.
    Outgoing: TypeAlias = tuple[HandshakeMessage | None, bytes, list[Event]]

# The dummy of middlebox compatibility mode. RFC 9846 D.4.
CHANGE_CIPHER_SPEC_RECORD = b"\x14\x03\x03\x00\x01\x01"


def _seals_nothing(_data: bytes) -> bytes:
    return b""


class RecordWriter:
    """One side's outgoing records; ``sends`` is their direction.

    ``seal_one`` makes one record of 1 to 2^14 bytes of application data if that is all there is to do; else it gives
    b"", and has done nothing.
    """

    # How every connection begins; what changes is set on the object.
    write_protection: Protection | None = None
    _write_epoch = Epoch.PLAINTEXT
    _written = 0
    seal_one: Callable[[bytes], bytes] = staticmethod(_seals_nothing)

    def __init__(self, sends: Direction, watch: EventDispatcher, fragment_limit: int) -> None:
        self.sends = sends
        self.watch = watch
        self.fragment_limit = fragment_limit
        # The bytes that the transport must carry now.
        self.outgoing: list[bytes] = []

    def write_messages(self, messages: Sequence[Outgoing]) -> None:
        """Write a flight, joined into as few records as the limit allows."""
        flight = messages[0][1] if len(messages) == 1 else b"".join([raw for _, raw, _ in messages])
        step = self.fragment_limit
        first = self._written
        for start in range(0, len(flight), step):
            self._write(HANDSHAKE, flight[start : start + step])
            if self.watch.active:
                self._tell_messages(messages, start, min(start + step, len(flight)), first)

    def write(self, content_type: int, content: bytes) -> None:
        """Write one content that is not split: an alert, or an empty application data record."""
        self._write(content_type, content)

    def write_change_cipher_spec(self) -> None:
        """The dummy record of middlebox compatibility mode, always in plaintext. RFC 9846 D.4."""
        self._send(CHANGE_CIPHER_SPEC_RECORD, CHANGE_CIPHER_SPEC, b"\x01", Epoch.PLAINTEXT)

    def write_application_data(self, data: bytes | bytearray | memoryview) -> None:
        """Seal ``data``, of any size, into records."""
        if self.write_protection is None:
            raise ValueError("no write keys")
        if not self.watch.active:
            self.outgoing.append(self.write_protection.seal_application_data(data, self.fragment_limit))
            return
        view = memoryview(data)
        for start in range(0, len(view), self.fragment_limit):
            self._write(APPLICATION_DATA, bytes(view[start : start + self.fragment_limit]))

    def write_fast_path_until(self, records: int) -> None:
        """From how many records under the present keys on ``seal_one`` must do nothing."""
        if self.write_protection is not None:
            self.write_protection.fast_path_until = records
            # It knows no other limit of a fragment than the usual one.
            usual = records and self.fragment_limit == MAX_PLAINTEXT
            self.seal_one = self.write_protection.seal_one if usual else _seals_nothing

    def change_write_keys(self, protection: Protection, epoch: Epoch, suite: int) -> None:
        """Write with these keys from the next record on."""
        self.write_protection = protection
        self.seal_one = _seals_nothing
        self._write_epoch = epoch
        if self.watch.active:
            self.watch.emit(KeysChanged(time=self.watch.time, direction=self.sends, epoch=epoch, suite=suite))

    def write_in_plaintext(self) -> None:
        """Write without keys from the next record on: after early data that a HelloRetryRequest refused."""
        self.write_protection = None
        self.seal_one = _seals_nothing
        self._write_epoch = Epoch.PLAINTEXT
        if self.watch.active:
            self.watch.emit(KeysChanged(time=self.watch.time, direction=self.sends, epoch=Epoch.PLAINTEXT, suite=0))

    def _write(self, content_type: int, content: bytes) -> None:
        if self.write_protection is None:
            # RFC 9846 5.1: the first ClientHello may say 0x0301, every other plaintext record 0x0303.
            first_hello = self.sends is Direction.CLIENT_TO_SERVER and self._written == 0
            size = len(content).to_bytes(2)
            record = b"%c\x03%c%b%b" % (content_type, 1 if first_hello else 3, size, content)
        else:
            record = self.write_protection.seal(content_type, content)
        self._send(record, content_type, content, self._write_epoch)

    def _send(self, record: bytes, content_type: int, content: bytes, epoch: Epoch) -> None:
        self.outgoing.append(record)
        self._written += 1
        if self.watch.active:
            self.watch.emit(
                RecordSeen(
                    time=self.watch.tick(),
                    direction=self.sends,
                    index=self._written - 1,
                    epoch=epoch,
                    header=record[:5],
                    body=record[5:],
                    content_type=content_type,
                    content=content,
                )
            )

    def _tell_messages(self, messages: Sequence[Outgoing], start: int, end: int, first: int) -> None:
        """Tell of the messages of a flight that end within its bytes ``start`` to ``end``, and what each caused."""
        position = 0
        for message, raw, caused in messages:
            begin, position = position, position + len(raw)
            if start < position <= end and message is not None:
                records = tuple(
                    first + index
                    for index in range(begin // self.fragment_limit, (position - 1) // self.fragment_limit + 1)
                )
                now = self.watch.time
                self.watch.emit(
                    MessageSeen(
                        time=now,
                        direction=self.sends,
                        epoch=self._write_epoch,
                        message=message,
                        raw=raw,
                        records=records,
                    )
                )
                for event in caused:
                    event.time = now
                    self.watch.emit(event)
