"""Bytes -> rows: the fields of a record and of what it holds, so that every byte belongs to exactly one leaf.

A row is a field as a page shows it. Containers stand before what they contain, ``depth`` less deep; all other rows are
leaves, and those of a record cover its bytes once. ``covered`` holds that to be so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from handfast.events import Epoch, SecretLevel
from handfast.lens.dump import SESSION_FIELDS, halves
from handfast.lens.page import plain_words
from handfast.registry import AlertDescription, ContentType
from handfast.wire import alerts
from handfast.wire.fields import Field, Kind, fields_of, fields_of_struct
from handfast.wire.records import RecordHeader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from handfast.events import RecordSeen
    from handfast.outcome.describer import Describer
    from handfast.wire.messages import Messages

TAG = 16


class Uncovered(Exception):
    """Some byte belongs to no leaf, or to two: a fault of this module."""


@dataclass(slots=True, kw_only=True)
class Row:
    """One field: bytes ``start`` to ``end`` of what it stands in.

    Attributes:
        data: its bytes; None for those that are not shown.
        hidden: why not: ``traffic`` or ``all``, the level of secrets that shows them, or ``cut`` for too many.
        lines: what a certificate or a name says, a fact a line.
        message: of the heading of a message, its number in the story.
        continued: whether it began in an earlier record.
        said: the plain words, of the field first and of its value after that, each with its section.
    """

    name: str
    start: int
    end: int
    depth: int = 0
    kind: Kind = Kind.VALUE
    text: str = ""
    data: bytes | None = None
    hidden: str = ""
    lines: list[str] | None = None
    message: int | None = None
    continued: bool = False
    said: tuple[plain_words.Words, ...] = ()

    @property
    def leaf(self) -> bool:
        """Whether it is one of those that cover each byte once."""
        return self.kind is not Kind.CONTAINER

    def part(self, start: int, end: int, shift: int, deeper: int) -> Row:
        """What of it lies between ``start`` and ``end``, moved by ``shift`` and indented."""
        low, high = max(self.start, start), min(self.end, end)
        data = None if self.data is None else self.data[low - self.start : high - self.start]
        continued = self.continued or low > self.start
        return replace(
            self, start=low + shift, end=high + shift, depth=self.depth + deeper, data=data, continued=continued
        )


def hide(row: Row, level: str) -> Row:
    """The row without its bytes."""
    return replace(row, data=None, text="", lines=None, hidden=level)


def covered(rows: list[Row], size: int, data: bytes, *, strict: bool = False) -> list[Row]:
    """The rows, if their leaves cover ``size`` bytes, each once; else one leaf for all of them.

    Raises Uncovered with ``strict``.
    """
    at = 0
    for row in rows:
        if not row.leaf:
            continue
        if row.start != at or row.end < at:
            break
        at = row.end
    else:
        if at == size:
            return rows
    if strict:
        raise Uncovered(f"{at} of {size} bytes: {[(row.name, row.start, row.end) for row in rows if row.leaf]}")
    # What of it must not be shown is not known here.
    held = None if any(row.hidden for row in rows) else data
    return [Row(name="undecoded", start=0, end=size, kind=Kind.UNDECODED, data=held, hidden="" if held else "all")]


def of_header(record: RecordSeen) -> list[Row]:
    """The five bytes before every record. RFC 9846 5.1."""
    return [_row(field) for field in fields_of_struct(record.header, RecordHeader)]


def of_protected(record: RecordSeen, size: int, explicit_nonce: int, *, aead: bool) -> list[Row]:
    """A protected record as it stands on the wire; ``size`` is its length without the header. RFC 9846 5.2."""
    at, rows = len(record.header), list[Row]()
    tag = TAG if aead and size >= explicit_nonce + TAG else 0
    for name, length in (("explicit_nonce", explicit_nonce), ("ciphertext", size - explicit_nonce - tag), ("tag", tag)):
        if length > 0:
            start = at - len(record.header)
            data = record.body[start : start + length]
            rows.append(Row(name=name, start=at, end=at + length, data=data, said=_SAID[name]))
            at += length
    return rows


def _say(sentence: str, section: str) -> tuple[plain_words.Words, ...]:
    return (plain_words.Words(sentence, section),)


_SAID = {
    "explicit_nonce": _say(
        "The part of the nonce that TLS 1.2 sends with each record, so that both sides use the same.", "RFC 5288 3"
    ),
    "ciphertext": _say(
        "What the record holds, encrypted: only the two sides, and those who have their keys, can read it.",
        "RFC 9846 5.2",
    ),
    "tag": _say(
        "Proof that nobody changed the record on its way: a single changed bit, and it does not open.", "RFC 9846 5.2"
    ),
    "content": _say("What the application sent: TLS carries it and does not look at it.", "RFC 9846 5"),
    "fragment": _say("The content of the record.", "RFC 9846 5.1"),
    "type": _say(
        "What kind of content the record holds; on the wire every protected record says application_data.",
        "RFC 9846 5.2",
    ),
    "zeros": _say("Zeros that hide how long the content is.", "RFC 9846 5.4"),
    "change_cipher_spec": _say(
        "In TLS 1.3 it means nothing, and is there for middleboxes that expect TLS 1.2; in TLS 1.2 it says that the"
        " next record is protected.",
        "RFC 9846 5",
    ),
    "undecoded": _say("Bytes that are no valid part of the protocol.", ""),
}


def of_inner(record: RecordSeen, at: int, *, tls13: bool) -> list[Row]:
    """What stands behind the content of a decrypted record of TLS 1.3: its type and the padding. RFC 9846 5.4."""
    if not tls13:
        return []
    kind, text = bytes((record.content_type,)), ContentType.describe(record.content_type)
    rows = [Row(name="type", start=at, end=at + 1, text=text, data=kind, said=_SAID["type"])]
    if record.padding:
        zeros = bytes(min(record.padding, 64))
        cut = "cut" if record.padding > len(zeros) else ""
        end = at + 1 + record.padding
        rows.append(Row(name="zeros", start=at + 1, end=end, data=zeros, hidden=cut, said=_SAID["zeros"]))
    return rows


def of_content(record: RecordSeen, size: int, at: int, levels: frozenset[SecretLevel]) -> list[Row]:
    """The content of a record that holds no handshake messages; ``size`` is what it was before it was cut."""
    data = record.content
    if record.content_type == ContentType.alert:
        return [_row(field, at) for field in fields_of_struct(data, alerts.Alert)]
    name = "content"
    if record.content_type == ContentType.change_cipher_spec:
        name = "change_cipher_spec"
    elif record.content_type != ContentType.application_data:
        name = "fragment"
    row = Row(name=name, start=at, end=at + size, data=data, said=_SAID[name])
    if record.content_type == ContentType.application_data and record.epoch is not Epoch.PLAINTEXT:
        if SecretLevel.TRAFFIC not in levels:
            return [hide(row, SecretLevel.TRAFFIC)]
        row.text = _readable(data)
    row.hidden = "cut" if len(data) < size else ""
    return [row]


def _readable(data: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data[:2000])


def undecoded(raw: bytes, start: int, levels: frozenset[SecretLevel]) -> Row:
    """Bytes that are no message."""
    row = Row(name="undecoded", start=start, end=start + len(raw), kind=Kind.UNDECODED, data=raw)
    row.said = _SAID["undecoded"]
    # They may hold a ticket.
    return row if SecretLevel.ALL in levels else hide(row, SecretLevel.ALL)


def of_message(raw: bytes, messages: Messages, describer: Describer, levels: frozenset[SecretLevel]) -> list[Row]:
    """The fields of a handshake message; those with which a session is resumed are hidden below level ``all``."""
    rows: list[Row] = []
    group: Any = None
    for field in fields_of(raw, messages):
        group = field.value if field.name == "group" else group
        row = _row(field)
        if field.name in SESSION_FIELDS and field.leaf and SecretLevel.ALL not in levels:
            rows.append(hide(row, SecretLevel.ALL))
        elif isinstance(field.value, bytes) and field.name == "key_exchange":
            rows += _in_halves(row, group)
        else:
            row.lines = _described(field, describer)
            rows.append(row)
    return rows


def _in_halves(row: Row, group: object) -> Iterator[Row]:
    """A key share; that of a hybrid group as a container of its parts."""
    parts = [] if row.data is None else list(halves(group, row.data))
    if not parts:
        yield row
        return
    yield replace(row, kind=Kind.CONTAINER, data=None, text=" + ".join(name for name, _ in parts))
    at = row.start
    for name, part in parts:
        yield replace(row, name=name, start=at, end=at + len(part), depth=row.depth + 1, data=part)
        at += len(part)


def _row(field: Field, shift: int = 0) -> Row:
    data: bytes | None = None
    if field.leaf:
        size = field.end - field.start
        data = field.value if isinstance(field.value, bytes) else (field.value or 0).to_bytes(size, "big")
    text = "" if data is not None and field.text == data.hex() else field.text
    return Row(
        name=field.name,
        start=field.start + shift,
        end=field.end + shift,
        depth=field.depth,
        kind=field.kind,
        text=text,
        data=data,
        said=plain_words.of_field(field),
    )


def _described(field: Field, describer: Describer) -> list[str] | None:
    if not isinstance(field.value, bytes) or not field.value:
        return None
    if field.name == "cert_data" or (field.path[0] == "certificate_list" and len(field.path) == 2):
        return describer.certificate(field.value)
    return [describer.name(field.value)] if "authorities" in "".join(field.path[:-1]) else None


def as_data(rows: Iterable[Row], sentence: Any) -> list[dict[str, Any]]:
    """The rows for a page, what is empty left out; ``sentence`` gives the numbers of words that the page shares."""
    found = []
    for row in rows:
        said: dict[str, Any] = {"n": row.name, "s": row.start, "e": row.end}
        optional = {
            "d": row.depth,
            "k": "" if row.kind is Kind.VALUE else str(row.kind),
            "t": row.text,
            "x": "" if row.data is None else row.data.hex(),
            "h": str(row.hidden),
            "l": row.lines,
            "c": row.continued,
            "w": sentence(row.said),
        }
        said |= {key: value for key, value in optional.items() if value}
        if row.message is not None:
            said["m"] = row.message
        found.append(said)
    return found


def alert_name(description: int) -> str:
    """ "certificate_required (116)"."""
    return f"{AlertDescription.describe(description)} ({int(description)})"
