"""Distinguished names as text. RFC 4514."""

from __future__ import annotations

from functools import lru_cache

from handfast import der
from handfast.limits import MAX_KEPT_NAME
from handfast.text import escape

# RFC 4514 3, and the further ones that private CAs use.
_SHORT_NAMES = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.42": "GN",
    "2.5.4.46": "dnQualifier",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
}
_COMMON_NAME = "2.5.4.3"
_ORGANIZATIONAL_UNIT = "2.5.4.11"
# UTF8String, NumericString, PrintableString, TeletexString, IA5String, VisibleString; UniversalString, BMPString.
_TEXT_ENCODINGS = {
    0x0C: "utf-8", 0x12: "ascii", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1A: "ascii",
    0x1C: "utf-32-be", 0x1E: "utf-16-be",
}  # fmt: skip
_STRING_TYPES = {
    0x0C: "UTF8String", 0x12: "NumericString", 0x13: "PrintableString", 0x14: "TeletexString", 0x16: "IA5String",
    0x1A: "VisibleString", 0x1C: "UniversalString", 0x1E: "BMPString",
}  # fmt: skip
_SPECIAL = frozenset(',+"\\<>;')


def rfc4514(name: bytes) -> str:
    """A DER Name as RFC 4514 text, most specific part first, escaped for terminals; "unreadable: ..." if malformed."""
    return escape(_shown(name))


def rfc4514_ascii(name: bytes) -> str:
    """As ``rfc4514``, for programs: in printable ASCII, other characters by the bytes of their UTF-8. RFC 4514 2.4."""
    text = _shown(name)
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        one if " " <= one <= "~" else "".join(f"\\{byte:02X}" for byte in one.encode("utf-8", "surrogatepass"))
        for one in text
    )


def _shown(name: bytes) -> str:
    try:
        parts = ["+".join(_attribute(*pair) for pair in attributes) for attributes in _relative_names(name)]
    except ValueError as error:
        return f"unreadable: {error}"
    return ",".join(reversed(parts))


def attribute_values(name: bytes, oid: str) -> tuple[str, ...]:
    """The text values of one attribute type, most specific first; ValueError when the name is malformed."""
    pairs = [pair for attributes in _relative_names(name) for pair in attributes]
    return tuple(text for kind, value in reversed(pairs) if kind == oid and (text := _text(value)) is not None)


def common_names(name: bytes) -> tuple[str, ...]:
    """The commonName values, most specific first; ValueError when the name is malformed."""
    return attribute_values(name, _COMMON_NAME)


def organizational_units(name: bytes) -> tuple[str, ...]:
    """The organizationalUnitName values, most specific first; ValueError when the name is malformed."""
    return attribute_values(name, _ORGANIZATIONAL_UNIT)


def written_as(name: bytes) -> str:
    """The string types that a DER Name is written in, each once: "PrintableString, UTF8String"; "" if malformed."""
    try:
        tags = dict.fromkeys(value.tag for attributes in _relative_names(name) for _, value in attributes)
    except ValueError:
        return ""
    return ", ".join(_STRING_TYPES.get(tag, f"type {tag:#04x}") for tag in tags)


def _relative_names(name: bytes) -> tuple[tuple[tuple[str, der.Element], ...], ...]:
    return _take_apart(name) if len(name) > MAX_KEPT_NAME else _take_apart_or_remember(name)


def _take_apart(name: bytes) -> tuple[tuple[tuple[str, der.Element], ...], ...]:
    return tuple(
        tuple([_type_and_value(attribute) for attribute in der.elements(der.expect(relative, der.SET))])
        for relative in der.elements(der.expect(der.element(name), der.SEQUENCE))
    )


# Few, and none that is large, because strangers choose what is kept; enough for the CAs that all peers share.
_take_apart_or_remember = lru_cache(maxsize=64)(_take_apart)


def _type_and_value(attribute: der.Element) -> tuple[str, der.Element]:
    pair = list(der.elements(der.expect(attribute, der.SEQUENCE)))
    if len(pair) != 2:
        raise ValueError("an attribute that is not a type and a value")
    return der.object_identifier(der.expect(pair[0], der.OBJECT_IDENTIFIER)), pair[1]


def _text(value: der.Element) -> str | None:
    encoding = _TEXT_ENCODINGS.get(value.tag)
    if encoding is None:
        return None
    try:
        return value.content.decode(encoding)
    except UnicodeDecodeError:
        return None


def _attribute(oid: str, value: der.Element) -> str:
    text = _text(value)
    if text is None:
        return f"{_SHORT_NAMES.get(oid, oid)}=#{value.encoded.hex()}"
    return f"{_SHORT_NAMES.get(oid, oid)}={_escape_value(text)}"


def _escape_value(text: str) -> str:
    """RFC 4514 2.4."""
    escaped = text
    if not _SPECIAL.isdisjoint(text):
        escaped = "".join(f"\\{character}" if character in _SPECIAL else character for character in text)
    if escaped[:1] in (" ", "#"):
        escaped = "\\" + escaped
    if text.endswith(" ") and len(text) > 1:
        escaped = escaped[:-1] + "\\ "
    return escaped.replace("\0", "\\00")
