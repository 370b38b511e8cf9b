"""What it costs to read the longest lists that fit into a message, in instructions: tens of thousands at most.

Every list of every message of both versions, found in the declarations, is filled to its message's limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from handfast import limits
from handfast.errors import HandfastError
from handfast.registry import HandshakeType
from handfast.wire.codec import Fixed, Opaque, Remainder, StructCodec, UInt, Vector
from handfast.wire.extensions import ExtensionBlock
from handfast.wire.messages import MESSAGES, HelloRetryRequest
from handfast.wire.messages12 import MESSAGES_12
from handfast.wire.parsing import parse_handshake
from tests.counting import instructions
from tests.lies import handshake

CLASSES: list[Any] = list(dict.fromkeys([*MESSAGES.values(), HelloRetryRequest, *MESSAGES_12.values()]))


def prefixed(codec: Any, content: bytes) -> bytes:
    return len(content).to_bytes(codec.prefix, "big") + content


def smallest(codec: Any) -> bytes:
    match codec:
        case UInt() | Fixed():
            return bytes(codec.size)
        case Opaque():
            return prefixed(codec, bytes(codec.minimum))
        case Vector():
            return filled(codec, max(codec.minimum, 1)) if codec.minimum else prefixed(codec, b"")
        case ExtensionBlock():
            return prefixed(codec, b"\xff\xff\0\3abc" if codec.minimum else b"")
        case StructCodec():
            return b"".join(smallest(field) for _, field in codec.fields)
        case Remainder():
            return b""
    raise AssertionError(codec)


def filled(codec: Any, size: int) -> bytes:
    """The list with the smallest items, in so many bytes at least if that is one item, else at most."""
    item = smallest(codec.item)
    return prefixed(codec, item * max(1, min(size, codec.maximum) // len(item)))


def blocks(codec: Any, size: int) -> Iterator[tuple[str, bytes]]:
    """An extension block full of extensions, and with each list of each extension full."""
    count = min(size, codec.maximum) // 4
    kinds = [number for number in range(2**16) if number not in codec.forms][:count]
    yield "extensions", prefixed(codec, b"".join(number.to_bytes(2, "big") + b"\0\0" for number in kinds))
    for number, form in codec.forms.items():
        for name, body in bodies(form.CODEC, min(size, codec.maximum) - 4):
            extension = number.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body
            yield f"{form.__name__}.{name}", prefixed(codec, extension)


def bodies(codec: Any, size: int) -> Iterator[tuple[str, bytes]]:
    """A struct with each of its lists full, all else being small."""
    parts = [(name, field, smallest(field)) for name, field in codec.fields]
    for position, (name, field, _) in enumerate(parts):
        before = b"".join(part for _, _, part in parts[:position])
        after = b"".join(part for _, _, part in parts[position + 1 :])
        room = size - len(before) - len(after) - 3
        full: Any = ()
        if isinstance(field, Vector):
            full = [(name, filled(field, room))]
            item = field.item
            if isinstance(item, StructCodec):
                full += [(f"{name}[].{inner}", prefixed(field, body)) for inner, body in bodies(item, room - 8)]
        elif isinstance(field, ExtensionBlock):
            full = blocks(field, room)
        for inner, part in full:
            yield inner, before + part + after


def longest() -> Iterator[Any]:
    for cls in CLASSES:
        messages = MESSAGES if cls in MESSAGES.values() else MESSAGES_12
        most = limits.MAX_CLIENT_HELLO if HandshakeType.client_hello == cls.HANDSHAKE_TYPE else 2**16
        for name, body in bodies(cls.CODEC, most - 4):
            yield pytest.param(
                messages, handshake(cls.HANDSHAKE_TYPE, body), id=f"{cls.__module__[-2:]}-{cls.__name__}.{name}"
            )


@pytest.mark.parametrize(("messages", "raw"), list(longest()))
def test_the_longest_list_costs_little(messages: Any, raw: bytes) -> None:
    def read() -> None:
        with suppress(HandfastError):
            parse_handshake(raw, messages)

    assert instructions(read) < 80_000


def test_many_lists_were_found() -> None:
    names = {str(param.id).partition("-")[2] for param in longest()}
    assert {
        "ClientHello.cipher_suites", "ClientHello.extensions", "ClientHello.KeyShareClientHello.client_shares",
        "ClientHello.NamedGroupList.named_group_list", "ClientHello.OfferedPsks.identities",
        "ClientHello.OfferedPsks.binders", "ClientHello.ProtocolNameList.protocol_name_list",
        "ClientHello.ServerNameList.server_name_list", "ClientHello.SupportedVersionsClientHello.versions",
        "ClientHello.SignatureSchemeList.supported_signature_algorithms", "CertificateRequest.OidFilters.filters",
        "CertificateRequest.CertificateAuthorities.authorities", "Certificate.certificate_list",
        "ClientHello.CertificateCompressionAlgorithms.algorithms", "CertificateRequest.certificate_authorities",
        "Certificate.certificate_list[].SignedCertificateTimestampList.sct_list",
    } <= names  # fmt: skip
