"""The presentation language: bounds both ways, and errors that say where."""

from __future__ import annotations

from typing import Annotated

import pytest

from handfast.errors import BadMessage
from handfast.registry import AlertDescription
from handfast.wire import extensions, messages, records
from handfast.wire.alerts import Alert
from handfast.wire.codec import (
    Fixed,
    Opaque,
    Remainder,
    Struct,
    StructCodec,
    UInt,
    Undecodable,
    Vector,
    decode,
    encode,
    tls_struct,
)
from handfast.wire.extensions import ExtensionBlock


@tls_struct
class Pair(Struct):
    kind: Annotated[int, UInt(1)]
    name: Annotated[bytes, Opaque(1, 4)]


@tls_struct
class Everything(Struct):
    number: Annotated[int, UInt(3)]
    fixed: Annotated[bytes, Fixed(2)]
    small: Annotated[tuple[int, ...], Vector(UInt(1), 0, 3)]
    words: Annotated[tuple[int, ...], Vector(UInt(2), 2, 2**16 - 2)]
    longs: Annotated[tuple[int, ...], Vector(UInt(4), 0, 8)]
    pairs: Annotated[tuple[Pair, ...], Vector(Pair, 0, 20)]
    pair: Annotated[Pair, Pair]
    rest: Annotated[bytes, Remainder()]


EVERYTHING = Everything(
    0x010203, b"ab", (1, 2), (0x1301,), (7,), (Pair(1, b"x"), Pair(2, b"yz")), Pair(3, b"w"), b"tail"
)
EVERYTHING_BYTES = bytes.fromhex("010203 6162 02 0102 0002 1301 04 00000007 07 01 01 78 02 02 797a 03 01 77 7461696c")


def declared() -> list[type[Struct]]:
    """Every struct that the package declares."""
    things = [thing for module in (extensions, messages, records) for thing in vars(module).values()]
    return [
        thing for thing in things if isinstance(thing, type) and issubclass(thing, Struct) and "CODEC" in vars(thing)
    ]


BOUNDED = [
    pytest.param(codec, id=f"{cls.__name__}.{name}")
    for cls in declared()
    for name, codec in cls.CODEC.fields
    if isinstance(codec, Opaque | Vector | ExtensionBlock)
]


def test_the_bytes_are_those_of_the_rfc() -> None:
    assert encode(EVERYTHING) == EVERYTHING_BYTES
    assert decode(Everything, EVERYTHING_BYTES) == EVERYTHING


def test_equality_is_of_the_fields_and_of_the_class() -> None:
    @tls_struct
    class Other(Struct):
        kind: Annotated[int, UInt(1)]
        name: Annotated[bytes, Opaque(1, 4)]

    assert Pair(1, b"x") == Pair(1, b"x")
    assert Pair(1, b"x") != Pair(2, b"x")
    other: object = Other(1, b"x")
    assert Pair(1, b"x") != other
    assert repr(Pair(1, b"x")) == "Pair(kind=1, name=b'x')"


# RFC 9846 appendix B.3, to be read beside it; but ClientHello extensions as in RFC 5246 7.4.1.2, as it may be of 1.2.
RFC_BOUNDS = """
ClientHello legacy_session_id 0 32
ClientHello cipher_suites 2 65534
ClientHello legacy_compression_methods 1 255
ClientHello extensions 0 65535
ServerHello legacy_session_id_echo 0 32
HelloRetryRequest extensions 6 65535
KeyShareEntry key_exchange 1 65535
KeyShareClientHello client_shares 0 65535
PskKeyExchangeModes ke_modes 1 255
PskIdentity identity 1 65535
OfferedPsks identities 7 65535
OfferedPsks binders 33 65535
SupportedVersionsClientHello versions 2 254
Cookie cookie 1 65535
SignatureSchemeList supported_signature_algorithms 2 65534
NamedGroupList named_group_list 2 65535
CertificateAuthorities authorities 3 65535
OidFilter certificate_extension_oid 1 255
OidFilter certificate_extension_values 0 65535
OidFilters filters 0 65535
EncryptedExtensions extensions 0 65535
CertificateRequest certificate_request_context 0 255
CertificateRequest extensions 0 65535
CertificateEntry cert_data 1 16777215
CertificateEntry extensions 0 65535
Certificate certificate_request_context 0 255
Certificate certificate_list 0 16777215
CertificateVerify signature 0 65535
NewSessionTicket ticket_nonce 0 255
NewSessionTicket ticket 1 65535
NewSessionTicket extensions 0 65535
"""


@pytest.mark.parametrize("line", RFC_BOUNDS.strip().splitlines())
def test_the_bounds_are_those_of_the_rfc(line: str) -> None:
    name, field, minimum, maximum = line.split()
    codec = {cls.__name__: dict(cls.CODEC.fields) for cls in declared()}[name][field]
    assert isinstance(codec, Opaque | Vector | ExtensionBlock)
    assert (codec.minimum, codec.maximum) == (int(minimum), int(maximum))


@pytest.mark.parametrize("codec", BOUNDED)
def test_a_length_outside_the_bounds_does_not_parse(codec: Opaque | Vector | ExtensionBlock) -> None:
    outside = [codec.minimum - 1, codec.maximum + 1]
    for length in [length for length in outside if 0 <= length < 256**codec.prefix]:
        data = length.to_bytes(codec.prefix, "big") + bytes(length)
        with pytest.raises(Undecodable, match="length_out_of_bounds"):
            codec.read(data, 0, len(data))


@pytest.mark.parametrize("codec", BOUNDED)
def test_a_length_outside_the_bounds_does_not_build(codec: Opaque | Vector | ExtensionBlock) -> None:
    if isinstance(codec, Opaque):
        if codec.minimum:
            with pytest.raises(ValueError, match=f"0 bytes, outside {codec.minimum}"):
                codec.write(b"")
        with pytest.raises(ValueError, match=f"outside {codec.minimum}..{codec.maximum}"):
            codec.write(bytes(codec.maximum + 1))
    elif isinstance(codec, Vector) and codec.minimum:
        with pytest.raises(ValueError, match=f"0 bytes, outside {codec.minimum}"):
            codec.write(())
    elif isinstance(codec, ExtensionBlock):
        block = extensions.Extensions.of(*(extensions.OpaqueExtension(number, bytes(2**15)) for number in (1, 2)))
        with pytest.raises(ValueError, match=f"outside {codec.minimum}..{codec.maximum}"):
            codec.write(block)


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        (UInt(1), 256),
        (UInt(3), -1),
        (Fixed(2), b"abc"),
        (Vector(UInt(2), 0, 4), (1, 2, 3)),
        (Vector(UInt(1), 0, 4), (256,)),
        (Vector(UInt(2), 0, 4), (-1,)),
        (Vector(Opaque(1, 9), 0, 4), (b"abcd",)),
    ],
)
def test_a_value_that_does_not_fit_does_not_build(codec: UInt | Fixed | Vector, value: object) -> None:
    with pytest.raises(ValueError, match=r"fit|instead|outside"):
        codec.write(value)  # type: ignore[arg-type]


def test_a_value_that_does_not_build_is_named() -> None:
    with pytest.raises(ValueError, match=r"^Everything\.pair: Pair\.name: 5 bytes, outside 1\.\.4$"):
        encode(Everything(0, b"ab", (), (1,), (), (), Pair(1, b"12345"), b""))


@pytest.mark.parametrize(
    ("data", "code", "field", "details"),
    [
        ("0102", "truncated", "number", {"missing": 1}),
        ("010203 61", "truncated", "fixed", {"missing": 1}),
        ("010203 6162", "truncated", "small", {"missing": 1}),
        ("010203 6162 00 00", "truncated", "words", {"missing": 1}),
        ("010203 6162 04", "length_out_of_bounds", "small", {"length": 4, "minimum": 0, "maximum": 3}),
        ("010203 6162 00 0002 13", "truncated", "words", {"missing": 1}),
        ("010203 6162 00 0003 130113", "truncated", "words", {"missing": 1}),
        ("010203 6162 00 0002 1301 00 04 0101780201", "truncated", "pairs", {"missing": None}),
        ("010203 6162 00 0002 1301 00 05 0101780201", "truncated", "pairs[1].name", {"missing": 1}),
        ("010203 6162 00 0002 1301 00 00 01 00", "length_out_of_bounds", "pair.name", {"length": 0}),
    ],
)
def test_what_does_not_parse_is_named(data: str, code: str, field: str, details: dict[str, int | None]) -> None:
    with pytest.raises(BadMessage) as caught:
        decode(Everything, bytes.fromhex(data))
    assert (caught.value.code, caught.value.details["message"]) == (code, "Everything")
    assert str(caught.value.details["field"]).startswith(field)
    for name, value in details.items():
        assert value is None or caught.value.details[name] == value
    assert caught.value.alert is AlertDescription.decode_error


def test_bytes_left_over_are_an_error() -> None:
    with pytest.raises(BadMessage) as caught:
        decode(Pair, bytes.fromhex("01 01 78 00 00"))
    assert caught.value.code == "trailing_bytes"
    assert caught.value.details == {"message": "Pair", "field": "name", "extra": 2}


def test_an_item_cannot_read_past_its_vector() -> None:
    """The vector announces 4 bytes; its second pair would end in the field after it."""
    with pytest.raises(BadMessage, match=r"in pairs\[1\]\.name\n"):
        decode(Everything, bytes.fromhex("010203 6162 00 0002 1301 00 05 010178 0202 797a 030177"))


def test_every_declared_struct_is_made_of_codecs() -> None:
    kinds = UInt | Fixed | Opaque | Remainder | Vector | StructCodec | ExtensionBlock
    assert len(declared()) > 60
    for cls in declared():
        assert all(isinstance(codec, kinds) for _, codec in cls.CODEC.fields), cls
    assert [name for name, _ in Alert.CODEC.fields] == ["level", "description"]
