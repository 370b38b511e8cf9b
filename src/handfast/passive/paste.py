"""Bytes that somebody pasted: hexadecimal text out of a log, a dump or a program, with whatever stands around it.

Understood are plain hexadecimal (also ``0x16, 0x03`` and ``16:03``), dumps with offsets and letters beside the bytes
(hexdump, xxd, Java's ``javax.net.debug``) and what ``openssl s_client -msg`` prints. A line without bytes ends a piece.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from handfast.errors import BadMessage, PeerMisbehaved
from handfast.events import (
    Epoch,
    EventDispatcher,
    MessageSeen,
    Noted,
    RecordSeen,
)
from handfast.limits import MAX_PLAINTEXT, RECORD_HEADER
from handfast.passive.decoder import Decoder
from handfast.passive.keylog_reader import KeyLogSecrets
from handfast.passive.records import find_hello, fits, is_sslv2_hello
from handfast.registry import ContentType, HandshakeType
from handfast.roles import Direction
from handfast.text import escape
from handfast.wire import messages12
from handfast.wire.frames import read_header
from handfast.wire.messages import HANDSHAKE_HEADER, MESSAGES, HandshakeMessage, ServerHello
from handfast.wire.parsing import parse_handshake

C2S, S2C = Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT
# The first byte of a hello in SSLv2's framing has its highest bit set.
_SSLV2 = 0x80
_PAIR = "[0-9a-fA-F]{2}"
# An offset, bytes, and what a dump shows of them as letters: behind two spaces or a bar.
_LINE = re.compile(
    rf"\s*(?:([0-9a-fA-F]{{4,8}})(?::\s*|\s{{2,}}))?((?:{_PAIR}[ \t:,-]{{0,2}})+)(?:\s*\|.*|\s{{2,}}.*|\s*)"
)
_GAP = re.compile(r"\s{2,}")
_NO_DIGIT = re.compile("[^0-9a-fA-F]")
_TITLE = re.compile(r"(>>>|<<<)\s*[^,]*,\s*(\w+)")
_KINDS = {
    "Handshake": ContentType.handshake,
    "Alert": ContentType.alert,
    "ChangeCipherSpec": ContentType.change_cipher_spec,
}
_OF_CLIENT = frozenset({HandshakeType.client_hello, HandshakeType.client_key_exchange, HandshakeType.end_of_early_data})
_OF_SERVER = frozenset(
    {
        HandshakeType.server_hello, HandshakeType.encrypted_extensions, HandshakeType.certificate_request,
        HandshakeType.server_key_exchange, HandshakeType.server_hello_done, HandshakeType.new_session_ticket,
        HandshakeType.hello_request, HandshakeType.certificate_status,
    }
)  # fmt: skip


class Piece(NamedTuple):
    """Bytes that stood together; ``kind`` is their content type and ``arrow`` their direction, where it was said."""

    data: bytes
    kind: int | None
    arrow: str


def pieces(text: str) -> Iterator[Piece]:
    """The bytes in a text, piece by piece."""
    data, kind, arrow, wanted = bytearray(), None, "", True
    for line in [*text.splitlines(), "end"]:
        # Letters count, so nothing is taken out of a line that is understood as it is.
        found = _LINE.fullmatch(line) or _LINE.fullmatch(re.sub("0[xX]", "", line.rstrip()))
        if found is not None:
            data += _bytes_of(found)
            continue
        if data and wanted:
            yield Piece(bytes(data), kind, arrow)
        data.clear()
        title = _TITLE.search(line)
        if title is not None:
            arrow, kind = title[1], _KINDS.get(title[2])
            # What stands around the messages, and of which they are the contents.
            wanted = kind is not None


def _bytes_of(found: re.Match[str]) -> bytes:
    """The bytes of a line. What a dump shows as letters may begin like bytes: there is one letter for each byte."""
    digits = found[2]
    for gap in _GAP.finditer(digits):
        before = bytes.fromhex(_NO_DIGIT.sub("", digits[: gap.start()]))
        if len(found.string) - found.start(2) - gap.end() == len(before):
            return before
    return bytes.fromhex(_NO_DIGIT.sub("", digits))


class Paste:
    """Tells the events of pasted pieces."""

    def __init__(self, watch: EventDispatcher) -> None:
        self._watch = watch
        self._decoder = Decoder(watch, KeyLogSecrets())
        self._directions: dict[str, Direction] = {}
        self._direction = C2S
        self._counts = dict.fromkeys(Direction, 0)
        self._messages = MESSAGES

    def tell(self, piece: Piece) -> bool:
        """Tell what the bytes are; False if they are nothing that is known."""
        data = piece.data
        if piece.kind == ContentType.handshake or (piece.kind is None and _is_message(data)):
            self._handshake(piece)
        elif piece.kind is not None:
            self._record(piece.kind, data, self._directions.get(piece.arrow, self._direction))
        elif is_sslv2_hello(data) or (fits(data) and len(data) > HANDSHAKE_HEADER):
            self._stream(data)
        elif (at := find_hello(data)) >= 0:
            self._stream(data[at:])
        else:
            return False
        return True

    def _stream(self, data: bytes) -> None:
        kind = data[5:6] if data[0] == ContentType.handshake else b""
        direction = _direction_of(kind[0], self._direction) if kind else self._direction
        end = RECORD_HEADER + read_header(data)[1]
        if data[0] < _SSLV2 and len(data) < end:
            # Most pastes that end too early hold most of a hello all the same: its fields are shown as far as they go.
            self._record(data[0], data[RECORD_HEADER:], direction)
            text = f"{end - len(data)} bytes of this record are missing"
            self._watch.emit(Noted(time=self._watch.time, direction=direction, code="gap", text=text))
            return
        self._decoder.feed(direction, data)

    def end(self) -> None:
        """Nothing more comes: show what is no whole message."""
        for direction in Direction:
            if self._counts[direction]:
                self._watch.ended(direction, "eof", self._watch.time)

    def _handshake(self, piece: Piece) -> None:
        data = piece.data
        while len(data) >= HANDSHAKE_HEADER:
            end = HANDSHAKE_HEADER + int.from_bytes(data[1:HANDSHAKE_HEADER])
            self._message(data[:end], piece.arrow)
            data = data[end:]

    def _message(self, raw: bytes, arrow: str) -> None:
        direction = _direction_of(raw[0], self._directions.get(arrow, self._direction))
        if arrow:
            self._directions[arrow] = direction
            self._directions[{">>>": "<<<", "<<<": ">>>"}[arrow]] = S2C if direction is C2S else C2S
        self._direction = direction
        index = self._record(ContentType.handshake, raw, direction)
        try:
            message = self._parsed(raw)
        except (BadMessage, PeerMisbehaved) as error:
            text = f"{HandshakeType.describe(raw[0])} of {len(raw)} bytes: {escape(error.what)}"
            self._watch.emit(Noted(time=self._watch.time, direction=direction, code="undecoded", text=text))
            return
        self._watch.emit(
            MessageSeen(
                time=self._watch.time,
                direction=direction,
                epoch=Epoch.PLAINTEXT,
                message=message,
                raw=raw,
                records=(index,),
            )
        )

    def _parsed(self, raw: bytes) -> HandshakeMessage:
        """The message, of the version that the ServerHello said; without one, of whichever it decodes in."""
        try:
            message = parse_handshake(raw, self._messages)
        except (BadMessage, PeerMisbehaved):
            other = messages12.MESSAGES_12 if self._messages is MESSAGES else MESSAGES
            message = parse_handshake(raw, other)
        if isinstance(message, messages12.ServerHello):
            self._messages = messages12.MESSAGES_12
        elif isinstance(message, ServerHello):
            self._messages = MESSAGES
        return message

    def _record(self, kind: int, content: bytes, direction: Direction) -> int:
        """Tell of a record that may have held this: where only its contents were pasted, its header is made up."""
        index = self._counts[direction]
        self._counts[direction] += 1
        header = bytes((kind, 3, 3)) + min(len(content), MAX_PLAINTEXT).to_bytes(2, "big")
        now = self._watch.tick()
        self._watch.emit(
            RecordSeen(
                time=now,
                direction=direction,
                index=index,
                epoch=Epoch.PLAINTEXT,
                header=header,
                body=content,
                content_type=kind,
                content=content,
            )
        )
        if kind == ContentType.alert and len(content) == 2:
            self._watch.alert(direction, content[0], content[1], authenticated=False, ends=False)
        return index


def _is_message(data: bytes) -> bool:
    """Whether bytes are handshake messages without the header of a record."""
    if len(data) < HANDSHAKE_HEADER or data[0] not in set(HandshakeType) or data[0] in set(ContentType):
        return False
    return HANDSHAKE_HEADER + int.from_bytes(data[1:HANDSHAKE_HEADER]) <= len(data)


def _direction_of(message_type: int, otherwise: Direction) -> Direction:
    if message_type in _OF_CLIENT:
        return C2S
    return S2C if message_type in _OF_SERVER else otherwise
