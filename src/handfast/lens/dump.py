"""The fields of a message as lines: named values, or every byte beside the name of its field."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.registry import NamedGroup
from handfast.wire.fields import Field, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handfast.outcome.describer import Describer

_ROW = 16
_BYTES_SHOWN = 48
# Tickets and PSK identities: with the PSK they resume the session, so they are shown with the resumption secrets only.
SESSION_FIELDS = frozenset({"ticket", "identity"})


# What a hybrid key share is made of, in the order of the wire: of a client and, where that differs, of a server.
# draft-ietf-tls-ecdhe-mlkem 4.
_HYBRIDS = {
    NamedGroup.X25519MLKEM768: (("ML-KEM-768", 1184, 1088), ("x25519", 32, 32)),
    NamedGroup.SecP256r1MLKEM768: (("secp256r1", 65, 65), ("ML-KEM-768", 1184, 1088)),
    NamedGroup.SecP384r1MLKEM1024: (("secp384r1", 97, 97), ("ML-KEM-1024", 1568, 1568)),
}


def named_fields(fields: list[Field], describer: Describer, *, hide_sessions: bool) -> Iterator[str]:
    """A line per value, indented by its depth; lengths and what a container's line has said already are left out."""
    listed: tuple[str, ...] | None = None
    group: object = None
    for field in _body(fields):
        group = field.value if field.name == "group" else group
        if field.kind is Kind.LENGTH or field.name == "extension_type" or (listed and field.path[:-1] == listed):
            continue
        if field.kind is Kind.CONTAINER and field.text and not field.text.endswith(("entry", "entries")):
            listed = field.path
        indent = "  " * field.depth
        yield indent + field.name + _value(field, hide_sessions=hide_sessions)
        for line in _described(field, describer):
            yield f"{indent}  {line}"
        if field.name == "key_exchange" and isinstance(field.value, bytes):
            yield from (f"{indent}  {name}: {_shortened(half)}" for name, half in halves(group, field.value))


def halves(group: object, share: bytes) -> Iterator[tuple[str, bytes]]:
    """The parts of a hybrid key share, by their names, if its length is that of one."""
    parts = _HYBRIDS.get(group, ())  # type: ignore[call-overload]
    at = 0
    for side in (1, 2):
        if parts and sum(part[side] for part in parts) == len(share):
            for part in parts:
                size = int(part[side])
                yield part[0], share[at : at + size]
                at += size
            return


def _shortened(value: bytes) -> str:
    return value.hex() if len(value) <= _BYTES_SHOWN else f"{value[:_BYTES_SHOWN].hex()}... ({len(value)} bytes)"


def dumped_fields(fields: list[Field], describer: Describer, *, hide_sessions: bool) -> Iterator[str]:
    """Every byte, in rows of 16 with the offset in the message, beside the name of its field."""
    for field in fields:
        title = "  " * field.depth + field.name
        if not field.leaf:
            yield f"{'':4}  {'':47}  {title}" + (f": {field.text}" if field.text.endswith(("entry", "entries")) else "")
            continue
        value = field.value
        if isinstance(value, bytes) and hide_sessions and field.name in SESSION_FIELDS:
            yield f"{field.start:04x}  {'..':47}  {title}{_hidden_session(value)}"
            continue
        shown = "" if isinstance(value, bytes) and field.text == value.hex() else f": {field.text}"
        shown = ": (empty)" if value == b"" else shown
        data = value if isinstance(value, bytes) else (value or 0).to_bytes(field.end - field.start, "big")
        yield from hexdump(data, field.start, title + shown)
        yield from (f"{'':4}  {'':47}  {'  ' * field.depth}  {line}" for line in _described(field, describer))


def hexdump(data: bytes, offset: int = 0, title: str = "") -> Iterator[str]:
    """Rows of 16 bytes; ``title`` stands beside the first. No bytes give one row without any."""
    for start in range(0, max(len(data), 1), _ROW):
        row = data[start : start + _ROW].hex(" ")
        yield f"{offset + start:04x}  {row:47}  {title}".rstrip()
        title = ""


def readable_dump(data: bytes) -> Iterator[str]:
    """A hexdump with the printable ASCII characters at the end of each row, for application data."""
    for start, row in zip(range(0, max(len(data), 1), _ROW), hexdump(data), strict=True):
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data[start : start + _ROW])
        yield f"{row:53}  {text}".rstrip()


def _body(fields: list[Field]) -> list[Field]:
    """Without the handshake header, which the message's heading has told."""
    return [field for field in fields if field.path not in (("msg_type",), ("length",))]


def _value(field: Field, *, hide_sessions: bool) -> str:
    if field.kind is Kind.CONTAINER:
        return f": {field.text}" if field.text else ""
    if not isinstance(field.value, bytes):
        return f": {field.text}"
    if hide_sessions and field.name in SESSION_FIELDS:
        return _hidden_session(field.value)
    if not field.value:
        return ": (empty)"
    if _is_certificate(field) or _is_name(field):
        return f" ({len(field.value)} bytes)"
    if field.text != field.value.hex() or len(field.value) <= _BYTES_SHOWN:
        return f": {field.text}"
    return f": {field.value[:_BYTES_SHOWN].hex()}... ({len(field.value)} bytes)"


def _hidden_session(value: bytes) -> str:
    return f': {len(value)} bytes (hidden: secrets="all" shows them)'


def _described(field: Field, describer: Describer) -> list[str]:
    """What a certificate or a CA name says, to stand below its bytes."""
    if isinstance(field.value, bytes) and _is_certificate(field):
        return describer.certificate(field.value)
    if isinstance(field.value, bytes) and _is_name(field):
        return [describer.name(field.value)]
    return []


def _is_certificate(field: Field) -> bool:
    return field.name == "cert_data"


def _is_name(field: Field) -> bool:
    return "authorities" in field.path[:-1]
