"""Protecting and opening TLS 1.3 records. RFC 9846 5.2 to 5.5.

A protected record is a header (17 03 03, length), the encrypted inner plaintext (content, one byte of content type,
zeros of padding) and a tag. The nonce is the IV with the record's sequence number XORed into it, which is one operation
on integers. Of 256 small records in a row only the last byte is computed: the rest of their nonces is the same.

One microsecond is all that a small record costs, so the ways here differ by size:

- One record to send, or a small one received: ``encrypt``/``decrypt`` and concatenation. Its header is looked up, for
  writing and for comparing.
- Many records to send: all of them are laid out in one buffer, with the plaintext where its ciphertext will stand, and
  encrypted in place: the plaintext is copied once.
- Many records received, or a large one: each is decrypted right behind the previous one's content, over its content
  type, so that the contents of the whole run come out in one piece without another copy.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, NoReturn, Self, TypeAlias

from handfast.crypto.provider import CRYPTOGRAPHY
from handfast.crypto.suites import IV_LENGTH, TAG_LENGTH, InvalidTag, Suite13, with_aead
from handfast.errors import LocalFailure, PeerMisbehaved
from handfast.limits import MAX_CIPHERTEXT_13, MAX_INNER_PLAINTEXT, MAX_PLAINTEXT, RECORD_HEADER
from handfast.registry import ContentType

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.crypto.provider import CryptoProvider
    from handfast.crypto.suites import SplitAead
    from handfast.keys.schedule import TrafficSecret

# Room for what one run of records holds: the least has room for a record, the most is never too little.
_LEAST_ROOM = 2**15
MOST_ROOM = 2**62

Buffer: TypeAlias = bytes | bytearray | memoryview
# Content type, content, and the number of padding bytes.
Opened: TypeAlias = tuple[int, bytes, int]

_APPLICATION_DATA = int(ContentType.application_data)
_HEADER_START = b"\x17\3\3"
# What a record is longer than its content, without padding: content type and tag, then the header too.
_GROWTH = 1 + TAG_LENGTH
_OVERHEAD = RECORD_HEADER + _GROWTH
# What follows content that is to be encrypted in place: its type, and room for the tag.
_TYPE_AND_ROOM = b"\x17" + bytes(TAG_LENGTH)
# The longest body that may hold 2^14 bytes of content: shorter than what RFC 9846 5.2 lets come.
_LONGEST = MAX_INNER_PLAINTEXT + TAG_LENGTH


def _header(length: int) -> bytes:
    """The header of a protected record of ``length`` bytes of content and padding."""
    return _HEADER_START + (length + _GROWTH).to_bytes(2, "big")


# Up to about this size of content, copying a record twice is cheaper than the calls that avoid it.
_SMALL = 2048
# The headers of records by the length of their content: looking one up takes a fifth of the time of making it. Those of
# more than a small record are made when they are needed: they would fill a megabyte.
_HEADERS = (*map(_header, range(_SMALL + 1)), *[b""] * (MAX_PLAINTEXT - _SMALL))

# The last byte of a nonce is looked up by it. All records whose numbers differ in no other byte are a block.
_BYTES = tuple(bytes((value,)) for value in range(256))
# What no number of a record makes a byte.
_NO_BLOCK = 1 << 64


class Protection13:
    """One direction under one traffic secret: use it either for sealing or for opening.

    ``records`` is the number of records sealed or opened, and the sequence number of the next one; ``limit`` is the
    suite's limit of ``records``, before which a sender must update its keys.
    """

    __slots__ = (
        "_aead",
        "_fast_path_until",
        "_flip",
        "_iv",
        "_nonce_start",
        "_opening_limit",
        "limit",
        "records",
        "suite"
    )  # fmt: skip

    # What a record under these keys says it is, and the longest one.
    content_types = frozenset((ContentType.application_data,))
    max_length = MAX_CIPHERTEXT_13

    def __init__(self, suite: Suite13, secret: TrafficSecret) -> None:
        key, iv = secret.key_and_iv(suite)
        self.suite = suite
        self.records = self._fast_path_until = 0
        self.limit = limit = suite.records_per_key
        # A peer may go by the RFC's 2^24.5 where we stop at 2^24; none may go to twice our limit.
        self._opening_limit = 2 * limit
        self._aead = suite.aead(key)
        self._iv = int.from_bytes(iv, "big")
        self._nonce_start, self._flip = b"", _NO_BLOCK

    def __repr__(self) -> str:
        return f"<Protection13 {self.suite.name}, {self.records} records>"

    @property
    def fast_path_until(self) -> int:
        """Up to so many records, application data needs nothing but to be sealed, by ``seal_one``: writing is open, no
        new keys are due, and no observer hears of it."""
        return self._fast_path_until

    @fast_path_until.setter
    def fast_path_until(self, records: int) -> None:
        # What is kept of a block was kept under the number before.
        self._fast_path_until, self._flip = records, _NO_BLOCK

    def renewed(self, secret: TrafficSecret) -> Self:
        """The protection that follows this one, under the next traffic secret. RFC 9846 4.7.3."""
        return type(self)(self.suite, secret)

    def seal(self, content_type: int, content: bytes, padding: int = 0) -> bytes:
        """One whole record of up to 2^14 bytes of content. RFC 9846 5.2. Raises LocalFailure key_exhausted."""
        number = self.records
        if number >= self.limit:
            raise LocalFailure("key_exhausted", limit=self.limit)
        self.records = number + 1
        header = _header(len(content) + padding)
        inner = content + content_type.to_bytes(1 + padding, "little")
        return header + self._aead.encrypt((self._iv ^ number).to_bytes(IV_LENGTH, "big"), inner, header)

    def seal_one(self, data: bytes) -> bytes:
        """One whole record of application data, of 1 to 2^14 bytes.

        b"", and nothing has happened, for more than that, and beyond ``fast_path_until``.
        """
        try:
            header = _HEADERS[len(data)] or _header(len(data))
            # A number is taken with no call in between: in one, a signal's handler may seal, and none may serve twice.
            number = self.records
            nonce = self._nonce_start + _BYTES[number ^ self._flip]
            self.records = number + 1
        except IndexError:
            if len(data) > MAX_PLAINTEXT or self.records >= self._fast_path_until:
                return b""
            header, number = _header(len(data)), self._take_numbers(1)
            nonce = self._begin_block(number, self._fast_path_until)
        return header + self._aead.encrypt(nonce, data + b"\x17", header)

    def _begin_block(self, number: int, until: int) -> bytes:
        """The nonce of this record, of which all but the last byte is kept for those of the same block.

        ``_flip`` makes a number the last byte of its nonce, and a number of any other block no byte at all, so that
        what is kept fits no other records. Nothing is kept of a block that does not end before ``until``: so what is
        kept also says that a record may go this way, and it need not be asked for each.
        """
        nonce = (self._iv ^ number).to_bytes(IV_LENGTH, "big")
        if number | 0xFF < until:
            self._nonce_start, self._flip = nonce[:-1], number ^ nonce[-1]
        return nonce

    def seal_application_data(self, data: Buffer, limit: int = MAX_PLAINTEXT) -> bytes:
        """As many records as ``data`` needs, each with up to ``limit`` bytes of it; none for no data. RFC 9846 5.1.

        Raises LocalFailure key_exhausted, and then has sealed nothing.
        """
        if len(data) > limit:
            return self._seal_many(memoryview(data), limit)
        return self.seal(_APPLICATION_DATA, bytes(data)) if data else b""

    def _seal_many(self, data: memoryview, limit: int) -> bytes:
        size = len(data)
        count = -(-size // limit)
        number = self._take_numbers(count)
        headers = [_header(limit)] * (count - 1) + [_header(size - (count - 1) * limit)]
        parts: list[Buffer] = []
        for header, start in zip(headers, range(0, size, limit), strict=True):
            parts += (header, data[start : start + limit], _TYPE_AND_ROOM)
        # What a BytesIO is made from becomes its buffer, and is what it gives: bytes that can be written as long as
        # there is no other reference to them.
        wire = BytesIO(b"".join(parts))
        with wire.getbuffer() as view:
            self._encrypt_records(view, limit + _OVERHEAD, headers, number)
        return wire.getvalue()

    def _encrypt_records(self, wire: memoryview, step: int, headers: list[bytes], number: int) -> None:
        """Encrypt in place the records that are laid out in ``wire``, one each ``step`` bytes."""
        iv = self._iv
        encrypt_into = self._aead.encrypt_into
        at = RECORD_HEADER
        for header in headers:
            body = wire[at : at - RECORD_HEADER + step]
            encrypt_into((iv ^ number).to_bytes(IV_LENGTH, "big"), body[:-TAG_LENGTH], header, body)
            number += 1
            at += step

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
        number = self.records
        if not _GROWTH <= len(body) <= _LONGEST or number >= self._opening_limit:
            self._refuse_to_open(header, body)
        try:
            inner = self._aead.decrypt((self._iv ^ number).to_bytes(IV_LENGTH, "big"), body, header)
        except InvalidTag:
            raise PeerMisbehaved("bad_record_mac") from None
        content_type = inner[-1]
        opened = (content_type, inner[:-1], 0) if content_type else _without_padding(inner)
        self.records = number + 1
        return opened

    def _refuse_to_open(self, header: Buffer, body: Buffer) -> NoReturn:
        """Say what is wrong with a record that is too long, too short, or one too many under this key."""
        if len(body) > MAX_CIPHERTEXT_13:
            raise PeerMisbehaved("record_overflow", length=len(body), limit=MAX_CIPHERTEXT_13)
        if self.records >= self._opening_limit:
            raise PeerMisbehaved("key_overused", limit=self._opening_limit)
        # Only a record that is the peer's own can be too long inside.
        with suppress(InvalidTag):
            inner = self._aead.decrypt((self._iv ^ self.records).to_bytes(IV_LENGTH, "big"), body, header)
            if len(inner) > MAX_INNER_PLAINTEXT:
                raise PeerMisbehaved("record_overflow", length=len(inner), limit=MAX_INNER_PLAINTEXT)
        raise PeerMisbehaved("bad_record_mac")

    def open_one(self, data: Buffer) -> bytes | bytearray:
        """The content of ``data`` if that is one whole record of application data without padding.

        b"", and nothing has happened, if it is anything else: ``open_run`` then says what. Such a record is what a
        transport brings most often, and known by its header, because only one goes with the length that came.
        """
        size = len(data) - _OVERHEAD
        if not 0 < size <= _SMALL:
            return self._open_large(memoryview(data), size)
        if type(data) is not bytes:
            data = bytes(data)
        header = _HEADERS[size]
        body = data.removeprefix(header)
        if body is data:
            # It begins otherwise. Were it copied all the same, it would not decrypt.
            return b""
        number = self.records
        try:
            nonce = self._nonce_start + _BYTES[number ^ self._flip]
        except IndexError:
            if number >= self._opening_limit:
                return b""
            nonce = self._begin_block(number, self._opening_limit)
        try:
            inner = self._aead.decrypt(nonce, body, header)
        except InvalidTag:
            return b""
        content = inner.removesuffix(b"\x17")
        if len(content) != size:
            return b""
        self.records = number + 1
        return content

    def _open_large(self, data: memoryview, size: int) -> bytearray | bytes:
        """``open_one`` without a copy: the content type is taken off the end of a buffer."""
        number = self.records
        if not _SMALL < size <= MAX_PLAINTEXT or number >= self._opening_limit:
            return b""
        header = _header(size)
        if data[:RECORD_HEADER] != header:
            return b""
        content = bytearray(size + 1)
        try:
            self._aead.decrypt_into(
                (self._iv ^ number).to_bytes(IV_LENGTH, "big"), data[RECORD_HEADER:], header, content
            )
        except InvalidTag:
            return b""
        if content.pop() != _APPLICATION_DATA:
            return b""
        self.records = number + 1
        return content

    def open_run(self, data: Buffer, start: int, room: int = MOST_ROOM) -> tuple[bytes | bytearray, int, Opened | None]:
        """Open the complete application_data records from ``start`` on, as long as they hold application data.

        Returns the application data (``bytes``, or a ``bytearray`` that is the caller's), where the next record starts,
        and the record that ended the run, if that was one with other content or with none. The run also ends before a
        record that is not complete, not of the outer type application_data, or longer than TLS 1.3 allows; the returned
        offset is ``start`` if there was none to open. It ends too where more than ``room`` is needed, which is for one
        record at least: see ``next_room``. An error in the first record is raised, as ``open`` does; an error in a
        later one by the next call, so that what came before it is not lost.
        """
        end = _record_end(data, start)
        if not end:
            return b"", start, None
        output = bytearray(min(len(data) - start, room))
        with memoryview(output) as view:
            filled, at, last = self._open_into(view, data, start)
        if at == start:
            # It raises, and says what is wrong with the first record.
            self.open(data[start : start + RECORD_HEADER], data[start + RECORD_HEADER : end])
        del output[filled:]
        return output, at, last

    def _open_into(self, output: memoryview, data: Buffer, at: int) -> tuple[int, int, Opened | None]:
        """``open_run``'s loop: how much of ``output`` was filled, where the next record starts, what ended it."""
        source = memoryview(data)
        iv = self._iv
        decrypt_into = self._aead.decrypt_into
        known: Buffer = b""
        size = filled = 0
        while True:
            body = at + RECORD_HEADER
            header = data[at:body]
            # Those of a long run are all the same.
            if header != known:
                known, size = header, _inner_length(header)
            end = body + size + TAG_LENGTH
            number = self.records
            # What ``open`` has to refuse is left to it: now if it comes first, else in the next call.
            if not size or end > len(source) or number >= self._opening_limit or filled + size > len(output):
                return filled, at, None
            inner = output[filled : filled + size]
            try:
                decrypt_into((iv ^ number).to_bytes(IV_LENGTH, "big"), source[body:end], header, inner)
                opened = None if inner[-1] == _APPLICATION_DATA and size > 1 else _without_padding(bytes(inner))
            except (InvalidTag, PeerMisbehaved):
                return filled, at, None
            self.records = number + 1
            at = end
            if opened is None:
                filled += size - 1
            elif opened[0] == _APPLICATION_DATA and opened[1]:
                filled += len(opened[1])
            else:
                return filled, at, opened


class NumberedProtection13(Protection13):
    """``Protection13`` over a ``SplitAead``: one record of application data at a time is protected by number.

    The first 4 bytes of a nonce are those of the IV, and the sequence number goes into the other 8.
    """

    __slots__ = ("_decrypt", "_encrypt", "_low", "_refused")

    _aead: SplitAead

    def __init__(self, suite: Suite13, secret: TrafficSecret) -> None:
        super().__init__(suite, secret)
        numbered = self._aead.numbered((self._iv >> 64).to_bytes(4, "big"))
        self._encrypt, self._decrypt, self._refused = numbered.encrypt, numbered.decrypt, self._aead.refused
        self._low = self._iv & 2**64 - 1

    def seal_one(self, data: bytes) -> bytes:
        number = self.records
        size = len(data)
        if number >= self._fast_path_until or size > MAX_PLAINTEXT:
            return b""
        self.records = number + 1
        header = _HEADERS[size] if size <= _SMALL else _header(size)
        return header + self._encrypt(self._low ^ number, data + b"\x17", header)

    def open_one(self, data: Buffer) -> bytes | bytearray:
        size = len(data) - _OVERHEAD
        number = self.records
        if not 0 < size <= _SMALL or number >= self._opening_limit:
            return self._open_large(memoryview(data), size)
        if type(data) is not bytes:
            data = bytes(data)
        header = _HEADERS[size]
        body = data.removeprefix(header)
        if body is data:
            return b""
        try:
            inner = self._decrypt(self._low ^ number, body, header)
        except self._refused:
            return b""
        content = inner.removesuffix(b"\x17")
        if len(content) != size:
            return b""
        self.records = number + 1
        return content


@cache
def protection_13(crypto: CryptoProvider) -> Callable[[Suite13, TrafficSecret], Protection13]:
    """What makes the protection under a suite and a secret with the AEADs of this provider."""
    if crypto is CRYPTOGRAPHY:
        return Protection13
    return lambda suite, secret: NumberedProtection13(with_aead(suite, crypto.aeads[suite.id]), secret)


def next_room(room: int, last: Opened | None) -> int:
    """How much room to make for the next run, of one that had so much and was ended by ``last``.

    Room costs time, and a peer can end each run after a byte, with an empty record or with another message: then there
    is little room next time, and four times as much each time that nothing ended a run.
    """
    return _LEAST_ROOM if last is not None else min(4 * room, MOST_ROOM)


def _record_end(data: Buffer, start: int) -> int:
    """Where the record at ``start`` ends, or 0 unless all of it is there and it can be a protected record."""
    if len(data) < start + RECORD_HEADER or data[start] != _APPLICATION_DATA or data[start + 1] != 3:
        return 0
    length = data[start + 3] << 8 | data[start + 4]
    end = start + RECORD_HEADER + length
    return end if end <= len(data) and length <= MAX_CIPHERTEXT_13 else 0


def _inner_length(header: Buffer) -> int:
    """Of the record with this header, the length without the tag, or 0 if it is none that ``_open_into`` can open."""
    if len(header) < RECORD_HEADER or header[0] != _APPLICATION_DATA or header[1] != 3:
        return 0
    length = (header[3] << 8 | header[4]) - TAG_LENGTH
    return length if 0 < length <= MAX_INNER_PLAINTEXT else 0


def _without_padding(inner: bytes) -> Opened:
    """Split an inner plaintext that ends in zeros. RFC 9846 5.4."""
    stripped = inner.rstrip(b"\0")
    if not stripped:
        raise PeerMisbehaved("all_zero_inner_plaintext")
    return stripped[-1], stripped[:-1], len(inner) - len(stripped)
