"""Protecting and opening TLS 1.3 records. RFC 9846 5.2 to 5.5.

A protected record is a header (17 03 03, length), the encrypted inner plaintext (content, one byte of content type,
zeros of padding) and a tag. The nonce is the IV with the record's sequence number XORed into it, which is one operation
on integers.

One microsecond is all that a small record costs, so the ways here differ by size:

- One small record: ``encrypt``/``decrypt`` and concatenation.
- Many records to send: all of them are laid out in one buffer, with the plaintext where its ciphertext will stand, and
  encrypted in place: the plaintext is copied once.
- Many records received, or a large one: each is decrypted right behind the previous one's content, over its content
  type, so that the contents of the whole run come out in one piece without another copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from handfast.crypto.suites import TAG_LENGTH, InvalidTag, Suite13
from handfast.errors import LocalFailure, PeerMisbehaved
from handfast.limits import MAX_CIPHERTEXT_13, MAX_INNER_PLAINTEXT, MAX_PLAINTEXT, RECORD_HEADER
from handfast.registry import ContentType

if TYPE_CHECKING:
    from handfast.keys.schedule import TrafficSecret

Buffer: TypeAlias = bytes | bytearray | memoryview
# Content type, content, and the number of padding bytes.
Opened: TypeAlias = tuple[int, bytes, int]

_APPLICATION_DATA = int(ContentType.application_data)
_HEADER_START = b"\x17\3\3"
# What a record is longer than its content, without padding: content type and tag, then the header too.
_GROWTH = 1 + TAG_LENGTH
_OVERHEAD = RECORD_HEADER + _GROWTH
# Up to about this size, copying a record twice is cheaper than the calls that avoid it.
_SMALL = 4096


class Protection13:
    """One direction under one traffic secret: use it either for sealing or for opening.

    ``records`` is the number of records sealed or opened, and the sequence number of the next one; ``limit`` is the
    suite's limit of ``records``, before which a sender must update its keys.
    """

    __slots__ = ("_aead", "_iv", "_opening_limit", "limit", "records", "suite")

    # What a record under these keys says it is, and the longest one.
    content_types = frozenset((ContentType.application_data,))
    max_length = MAX_CIPHERTEXT_13

    def __init__(self, suite: Suite13, secret: TrafficSecret) -> None:
        key, iv = secret.key_and_iv(suite)
        self.suite = suite
        self.records = 0
        self.limit = suite.records_per_key
        # A peer may go by the RFC's 2^24.5 where we stop at 2^24; nobody may go to twice our limit.
        self._opening_limit = 2 * suite.records_per_key
        self._aead = suite.aead(key)
        self._iv = int.from_bytes(iv, "big")

    def __repr__(self) -> str:
        return f"<Protection13 {self.suite.name}, {self.records} records>"

    def seal(self, content_type: int, content: Buffer, padding: int = 0) -> bytes:
        """One whole record of up to 2^14 bytes of content. RFC 9846 5.2. Raises LocalFailure key_exhausted."""
        number = self._take_numbers(1)
        inner = b"".join((content, content_type.to_bytes(1 + padding, "little")))
        header = _HEADER_START + (len(inner) + TAG_LENGTH).to_bytes(2, "big")
        return header + self._aead.encrypt((self._iv ^ number).to_bytes(12, "big"), inner, header)

    def seal_application_data(self, data: Buffer, limit: int = MAX_PLAINTEXT) -> bytes | bytearray:
        """As many records as ``data`` needs, each with up to ``limit`` bytes of it; none for no data. RFC 9846 5.1.

        Raises LocalFailure key_exhausted, and then has sealed nothing.
        """
        if type(data) is not bytes:
            data = memoryview(data).cast("B")
        size = len(data)
        if size > limit:
            return self._seal_many(memoryview(data), limit)
        if not size:
            return b""
        number = self.records
        if number >= self.limit:
            raise LocalFailure("key_exhausted", limit=self.limit)
        self.records = number + 1
        header = _HEADER_START + (size + _GROWTH).to_bytes(2, "big")
        inner = b"".join((data, b"\x17"))
        return header + self._aead.encrypt((self._iv ^ number).to_bytes(12, "big"), inner, header)

    def _seal_many(self, data: memoryview, limit: int) -> bytearray:
        size = len(data)
        count = -(-size // limit)
        number = self._take_numbers(count)
        iv = self._iv
        encrypt_into = self._aead.encrypt_into
        wire = bytearray(size + count * _OVERHEAD)
        view = memoryview(wire)
        at = 0
        for start in range(0, size, limit):
            content = data[start : start + limit]
            length = len(content)
            body = at + RECORD_HEADER
            end = body + length
            header = _HEADER_START + (length + _GROWTH).to_bytes(2, "big")
            view[at:body] = header
            view[body:end] = content
            view[end] = _APPLICATION_DATA
            at = end + _GROWTH
            encrypt_into((iv ^ number).to_bytes(12, "big"), view[body : end + 1], header, view[body:at])
            number += 1
        view.release()
        return wire

    def _take_numbers(self, count: int) -> int:
        """Reserve sequence numbers for ``count`` records to send; the first of them."""
        number = self.records
        if number + count > self.limit:
            raise LocalFailure("key_exhausted", limit=self.limit)
        self.records = number + count
        return number

    def open(self, header: Buffer, body: Buffer) -> Opened:
        """Content type, content and padding of one record. RFC 9846 5.2.

        Raises PeerMisbehaved record_overflow, bad_record_mac, all_zero_inner_plaintext, key_overused.
        """
        length = len(body)
        if length > MAX_CIPHERTEXT_13:
            raise PeerMisbehaved("record_overflow", length=length, limit=MAX_CIPHERTEXT_13)
        number = self.records
        if number >= self._opening_limit:
            raise PeerMisbehaved("key_overused", limit=self._opening_limit)
        if length < _GROWTH:
            raise PeerMisbehaved("bad_record_mac")
        try:
            inner = self._aead.decrypt((self._iv ^ number).to_bytes(12, "big"), body, header)
        except InvalidTag:
            raise PeerMisbehaved("bad_record_mac") from None
        if length > MAX_INNER_PLAINTEXT + TAG_LENGTH:
            raise PeerMisbehaved("record_overflow", length=len(inner), limit=MAX_INNER_PLAINTEXT)
        content_type = inner[-1]
        opened = (content_type, inner[:-1], 0) if content_type else _without_padding(inner)
        self.records = number + 1
        return opened

    def open_run(self, data: Buffer, start: int) -> tuple[bytes | bytearray, int, Opened | None]:
        """Open the complete application_data records from ``start`` on, as long as they hold application data.

        Returns the application data (``bytes``, or a ``bytearray`` that is the caller's), where the next record starts,
        and the record that ended the run, if that was one with other content or with none. The run also ends before a
        record that is not complete, not of the outer type application_data, or longer than TLS 1.3 allows; the returned
        offset is ``start`` if there was none to open. An error in the first record is raised, as ``open`` does; an
        error in a later one by the next call, so that what came before it is not lost.
        """
        end = _record_end(data, start)
        if not end:
            return b"", start, None
        if end + RECORD_HEADER < len(data) or end - start > _SMALL:
            return self._open_many(data, start)
        return self._open_one(data, start, end)

    def _open_one(self, data: Buffer, start: int, end: int) -> tuple[bytes, int, Opened | None]:
        """``open`` for the record that comes most often, one of application data without padding, in one step."""
        body = start + RECORD_HEADER
        number = self.records
        if number < self._opening_limit and _GROWTH < end - body <= MAX_INNER_PLAINTEXT + TAG_LENGTH:
            try:
                inner = self._aead.decrypt((self._iv ^ number).to_bytes(12, "big"), data[body:end], data[start:body])
            except InvalidTag:
                raise PeerMisbehaved("bad_record_mac") from None
            content_type = inner[-1]
            opened = (content_type, inner[:-1], 0) if content_type else _without_padding(inner)
            self.records = number + 1
        else:
            opened = self.open(data[start:body], data[body:end])
        if opened[0] == _APPLICATION_DATA and opened[1]:
            return opened[1], end, None
        return b"", end, opened

    def _open_many(self, data: Buffer, start: int) -> tuple[bytes | bytearray, int, Opened | None]:
        source = memoryview(data)
        output = bytearray(len(source) - start)
        view = memoryview(output)
        decrypt_into = self._aead.decrypt_into
        iv = self._iv
        inner = view[:0]
        filled = 0
        at = start
        last: Opened | None = None
        while last is None and (end := _record_end(data, at)):
            body = at + RECORD_HEADER
            length = end - body - TAG_LENGTH
            number = self.records
            # What ``open`` has to refuse is left to it: now if it comes first, else in the next call.
            if not 1 <= length <= MAX_INNER_PLAINTEXT or number >= self._opening_limit:
                break
            inner = view[filled : filled + length]
            try:
                decrypt_into((iv ^ number).to_bytes(12, "big"), source[body:end], source[at:body], inner)
                if inner[-1] == _APPLICATION_DATA and length > 1:
                    filled += length - 1
                else:
                    opened = _without_padding(bytes(inner))
                    if opened[0] == _APPLICATION_DATA and opened[1]:
                        filled += len(opened[1])
                    else:
                        last = opened
            except (InvalidTag, PeerMisbehaved):
                break
            self.records = number + 1
            at = end
        if at == start:
            return self._open_one(data, start, _record_end(data, start))
        inner.release()
        view.release()
        del output[filled:]
        return output, at, last


def _record_end(data: Buffer, start: int) -> int:
    """Where the record at ``start`` ends, or 0 unless all of it is there and it can be a protected record."""
    if len(data) < start + RECORD_HEADER or data[start] != _APPLICATION_DATA or data[start + 1] != 3:
        return 0
    length = data[start + 3] << 8 | data[start + 4]
    end = start + RECORD_HEADER + length
    return end if end <= len(data) and length <= MAX_CIPHERTEXT_13 else 0


def _without_padding(inner: bytes) -> Opened:
    """Split an inner plaintext that ends in zeros. RFC 9846 5.4."""
    stripped = inner.rstrip(b"\0")
    if not stripped:
        raise PeerMisbehaved("all_zero_inner_plaintext")
    return stripped[-1], stripped[:-1], len(inner) - len(stripped)
