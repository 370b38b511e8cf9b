"""Protecting and opening TLS 1.2 records with an AEAD. RFC 5246 6.2.3.3, RFC 5288 3 and RFC 7905 2.

A protected record is a header with the true content type, for AES-GCM the second part of the nonce, the encrypted
content and a tag. What is authenticated besides is the sequence number and the header, with the length of the content
in it. AES-GCM's explicit nonce is the sequence number: it never repeats, and needs no randomness (RFC 9325 7.2.1).
"""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

from handfast.crypto.provider import CRYPTOGRAPHY
from handfast.crypto.suites import TAG_LENGTH, InvalidTag
from handfast.crypto.suites12 import Suite12, with_aead
from handfast.errors import LocalFailure, PeerMisbehaved
from handfast.limits import MAX_CIPHERTEXT_12, MAX_PLAINTEXT, RECORD_HEADER
from handfast.record.protection import MOST_ROOM
from handfast.registry import ContentType

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.crypto.provider import CryptoProvider
    from handfast.keys.schedule12 import DirectionKeys
    from handfast.record.protection import Buffer, Opened

_APPLICATION_DATA = int(ContentType.application_data)
_VERSION = b"\3\3"
# How a record of application data starts.
_START = b"\x17\3\3"
# Up to about this size of content, copying a record is cheaper than the calls that avoid it.
_SMALL = 2048


class Protection12:
    """One direction: use it either for sealing or for opening.

    ``records`` is the number of records sealed or opened, and the sequence number of the next one; ``limit`` is the
    suite's limit of ``records``, before which a sender must stop. Up to ``fast_path_until`` records, application data
    needs nothing but to be sealed: writing is open, and no observer hears of it.

    As in TLS 1.3's, the ways differ by size: small records cost copies, large ones are sealed and opened in place.
    """

    __slots__ = (
        "_aead",
        "_explicit",
        "_iv",
        "_number",
        "_opening_limit",
        "fast_path_until",
        "limit",
        "overhead",
        "records",
        "suite"
    )  # fmt: skip

    # What a record under these keys says it is, and the longest one.
    content_types = frozenset((ContentType.alert, ContentType.handshake, ContentType.application_data))
    max_length = MAX_CIPHERTEXT_12
    # The most content of a record that is opened by itself.
    most_content = MAX_PLAINTEXT

    def __init__(self, suite: Suite12, keys: DirectionKeys) -> None:
        self.suite = suite
        self.records = 0
        self.fast_path_until = 0
        self.limit = suite.records_per_key
        self.overhead = suite.explicit_nonce + TAG_LENGTH
        self._explicit = suite.explicit_nonce
        # As for TLS 1.3: a peer may go by the RFC's 2^24.5, and none to twice our limit.
        self._opening_limit = 2 * suite.records_per_key
        self._aead = suite.aead(keys.key)
        self._iv = keys.iv
        self._number = int.from_bytes(keys.iv, "big")

    def __repr__(self) -> str:
        return f"<Protection12 {self.suite.name}, {self.records} records>"

    def seal(self, content_type: int, content: Buffer) -> bytes:
        """One whole record of up to 2^14 bytes of content. Raises LocalFailure key_exhausted."""
        number = self.records
        if number >= self.limit:
            raise LocalFailure("key_exhausted", limit=self.limit)
        self.records = number + 1
        start = bytes((content_type,)) + _VERSION
        length = len(content)
        explicit = number.to_bytes(self._explicit, "big") if self._explicit else b""
        associated_data = self._associated_data(number, start, length)
        sealed = self._aead.encrypt(self._nonce(number, explicit), content, associated_data)
        return b"".join((start, (length + self.overhead).to_bytes(2, "big"), explicit, sealed))

    def seal_one(self, data: bytes) -> bytes:
        """One whole record of application data, of 1 to 2^14 bytes.

        b"", and nothing has happened, for more than that, and beyond ``fast_path_until``.
        """
        size = len(data)
        number = self.records
        if number >= self.fast_path_until or size > MAX_PLAINTEXT:
            return b""
        # With no call in between: in one, a signal's handler may seal, and no number may serve twice.
        self.records = number + 1
        sequence = number.to_bytes(8, "big")
        header = _START + (size + self.overhead).to_bytes(2, "big")
        associated_data = sequence + _START + size.to_bytes(2, "big")
        if self._explicit:
            return header + sequence + self._aead.encrypt(self._iv + sequence, data, associated_data)
        return header + self._aead.encrypt((self._number ^ number).to_bytes(12, "big"), data, associated_data)

    def seal_application_data(self, data: Buffer, limit: int = MAX_PLAINTEXT) -> bytes:
        """As many records as ``data`` needs, each with up to ``limit`` bytes of it; none for no data.

        Raises LocalFailure key_exhausted, and then has sealed nothing.
        """
        view = memoryview(data).cast("B")
        size = len(view)
        count = -(-size // limit)
        if self.records + count > self.limit:
            raise LocalFailure("key_exhausted", limit=self.limit)
        if count < 2:
            return self.seal(_APPLICATION_DATA, view) if size else b""
        # What a BytesIO is made from becomes its buffer, and is what it gives: each record is encrypted to its place.
        wire = BytesIO(bytes(size + count * (RECORD_HEADER + self.overhead)))
        with wire.getbuffer() as place:
            at = 0
            for start in range(0, size, limit):
                at = self._seal_into(place, at, view[start : start + limit])
        return wire.getvalue()

    def _seal_into(self, place: memoryview, at: int, content: memoryview) -> int:
        """Seal one record of application data to ``place`` from ``at`` on; where it ends."""
        number = self.records
        self.records = number + 1
        length = len(content)
        explicit = number.to_bytes(self._explicit, "big") if self._explicit else b""
        body = at + RECORD_HEADER + self._explicit
        end = body + length + TAG_LENGTH
        place[at:body] = b"".join((_START, (length + self.overhead).to_bytes(2, "big"), explicit))
        associated_data = self._associated_data(number, _START, length)
        self._aead.encrypt_into(self._nonce(number, explicit), content, associated_data, place[body:end])
        return end

    def open(self, header: Buffer, body: Buffer) -> Opened:
        """Content type and content of one record; there is no padding.

        Raises PeerMisbehaved record_overflow, bad_record_mac, key_overused.
        """
        length = len(body)
        if length > MAX_CIPHERTEXT_12:
            raise PeerMisbehaved("record_overflow", length=length, limit=MAX_CIPHERTEXT_12)
        if self.records >= self._opening_limit:
            raise PeerMisbehaved("key_overused", limit=self._opening_limit)
        if length < self.overhead:
            raise PeerMisbehaved("bad_record_mac")
        nonce = self._nonce(self.records, bytes(body[: self._explicit]))
        associated_data = self._associated_data(self.records, bytes(header[:3]), length - self.overhead)
        try:
            content = self._aead.decrypt(nonce, body[self._explicit :], associated_data)
        except InvalidTag:
            raise PeerMisbehaved("bad_record_mac") from None
        if len(content) > self.most_content:
            raise PeerMisbehaved("record_overflow", length=len(content), limit=self.most_content)
        self.records += 1
        return header[0], content, 0

    def open_one(self, data: Buffer) -> bytes | bytearray:
        """The content of ``data`` if that is one whole record of application data.

        b"", and nothing has happened, if it is anything else: ``open_run`` then says what.
        """
        size = len(data) - RECORD_HEADER - self.overhead
        number = self.records
        if not 0 < size <= MAX_PLAINTEXT or number >= self._opening_limit:
            return b""
        body = size + self.overhead
        if data[0] != _APPLICATION_DATA or data[1] != 3 or data[2] != 3 or data[3] << 8 | data[4] != body:
            return b""
        sequence = number.to_bytes(8, "big")
        associated_data = sequence + _START + size.to_bytes(2, "big")
        start = RECORD_HEADER + self._explicit
        nonce = self._iv + data[RECORD_HEADER:start] if self._explicit else (self._number ^ number).to_bytes(12, "big")
        content: bytes | bytearray
        try:
            if size <= _SMALL:
                content = self._aead.decrypt(nonce, data[start:], associated_data)
            else:
                content = bytearray(size)
                self._aead.decrypt_into(nonce, memoryview(data)[start:], associated_data, content)
        except InvalidTag:
            return b""
        self.records = number + 1
        return content

    def open_run(self, data: Buffer, start: int, room: int = MOST_ROOM) -> tuple[bytes | bytearray, int, Opened | None]:
        """Open the complete application_data records from ``start`` on, as long as they hold application data.

        Returns the application data, where the next record starts, and the record that ended the run, if that was an
        empty one. The run also ends before a record that is not complete, not application_data, or too long; the
        returned offset is ``start`` if there was none to open. It ends too where more than ``room`` is needed, which is
        for one record at least. An error in the first record is raised, as ``open`` does; an error in a later one by
        the next call, so that what came before it is not lost.
        """
        source = memoryview(data)
        end = _record_end(source, start)
        if not end:
            return b"", start, None
        output = bytearray(min(len(source) - start, room))
        at, filled = start, 0
        last: Opened | None = None
        with memoryview(output) as view:
            while last is None and end:
                size = end - at - RECORD_HEADER - self.overhead
                if not 0 <= size <= MAX_PLAINTEXT or filled + size > len(output):
                    break
                if not self._open_into(view[filled : filled + size], source[at:end]):
                    break
                if not size:
                    last = _APPLICATION_DATA, b"", 0
                filled += size
                at = end
                end = _record_end(source, at)
        if at == start:
            # It raises, and says what is wrong with the first record.
            self.open(source[at : at + RECORD_HEADER], source[at + RECORD_HEADER : end])
        del output[filled:]
        return output, at, last

    def _open_into(self, output: memoryview, record: memoryview) -> bool:
        """Open one record to ``output``, which has the size of its content; False, and nothing has happened, if not."""
        if self.records >= self._opening_limit:
            return False
        start = RECORD_HEADER + self._explicit
        nonce = self._nonce(self.records, bytes(record[RECORD_HEADER:start]))
        associated_data = self._associated_data(self.records, bytes(record[:3]), len(output))
        try:
            self._aead.decrypt_into(nonce, record[start:], associated_data, output)
        except InvalidTag:
            return False
        self.records += 1
        return True

    def _nonce(self, number: int, explicit: bytes) -> bytes:
        if explicit:
            return self._iv + explicit
        return (self._number ^ number).to_bytes(len(self._iv), "big")

    def _associated_data(self, number: int, start: bytes, length: int) -> bytes:
        """RFC 5246 6.2.3.3; ``start`` is the record's type and version."""
        return b"".join((number.to_bytes(8, "big"), start, length.to_bytes(2, "big")))


@cache
def protection_12(crypto: CryptoProvider) -> Callable[[Suite12, DirectionKeys], Protection12]:
    """What makes the protection under a suite and one direction's keys with the AEADs of this provider."""
    if crypto is CRYPTOGRAPHY:
        return Protection12
    return lambda suite, keys: Protection12(with_aead(suite, crypto.aeads[suite.id]), keys)


def _record_end(data: memoryview, start: int) -> int:
    """Where the application_data record at ``start`` ends, or 0 unless all of it is there and it is not too long."""
    if len(data) < start + RECORD_HEADER or data[start] != _APPLICATION_DATA or data[start + 1] != 3:
        return 0
    length = data[start + 3] << 8 | data[start + 4]
    end = start + RECORD_HEADER + length
    return end if end <= len(data) and length <= MAX_CIPHERTEXT_12 else 0
