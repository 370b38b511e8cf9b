"""What a scripted peer can send, and the ways in which it can lie about one step of its script.

A *lie* is what is sent instead of the honest message of a step, or a function that makes it of that message:

- a message, or bytes: handshake bytes, which share records with their neighbours;
- ``Record``: one record under the keys in use or others, padded, damaged; ``Plain``: one in plaintext; ``Wire``: bytes;
- a list of these, of which ``[]`` sends nothing.

Each function here returns a lie.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

from handfast.record.protection import Protection13
from handfast.record.protection12 import Protection12
from handfast.registry import ContentType
from handfast.wire.compression import ALGORITHMS
from handfast.wire.extensions import ExtensionBody, Extensions, OpaqueExtension
from handfast.wire.messages import HANDSHAKE_HEADER, Certificate, CompressedCertificate, HandshakeMessage

CHANGE_CIPHER_SPEC = int(ContentType.change_cipher_spec)
ALERT = int(ContentType.alert)
HANDSHAKE = int(ContentType.handshake)
APPLICATION_DATA = int(ContentType.application_data)

TLS12, TLS13 = 0x0303, 0x0304
WARNING, FATAL = 1, 2


# What can be sent


class Record(NamedTuple):
    """One record, under the write keys in use unless ``keys`` are given; ``damage`` sees the sealed record last."""

    content_type: int
    content: bytes
    padding: int = 0
    keys: Protection13 | Protection12 | None = None
    damage: Callable[[bytes], bytes] = bytes


class Plain(NamedTuple):
    """One record in plaintext, whatever keys are on."""

    content_type: int
    content: bytes
    version: int = TLS12


class Wire(NamedTuple):
    """Bytes that stand on the wire as they are."""

    data: bytes


Item: TypeAlias = HandshakeMessage | bytes | Record | Plain | Wire
Lie: TypeAlias = Item | Sequence[Item] | Callable[[Any], Item | Sequence[Item]]

DUMMY_CHANGE_CIPHER_SPEC = Plain(CHANGE_CIPHER_SPEC, b"\x01")


def alert(description: int, level: int = FATAL) -> Record:
    """An alert under the keys in use."""
    return Record(ALERT, bytes((level, description)))


def handshake(message_type: int, body: bytes) -> bytes:
    """A handshake message out of any bytes."""
    return bytes((message_type,)) + len(body).to_bytes(3, "big") + body


# Ways to lie


def change(**fields: object) -> Callable[[Any], Any]:
    """The message with other values in these fields."""
    return lambda message: replace(message, **fields)


def extended(*bodies: ExtensionBody) -> Callable[[Any], Any]:
    """The message with these extensions, in place of its own of the same types or after them."""
    return lambda message: replace(message, extensions=Extensions({**message.extensions, **Extensions.of(*bodies)}))


def without(*types: int) -> Callable[[Any], Any]:
    """The message without its extensions of these types."""
    return lambda message: replace(
        message,
        extensions=Extensions({number: body for number, body in message.extensions.items() if number not in types}),
    )


def twice(extension_type: int) -> Callable[[Any], bytes]:
    """The message with one of its extensions a second time."""
    return lambda message: with_raw_extension(message, extension_bytes(message, extension_type))


def with_raw_extension(message: Any, extension: bytes) -> bytes:
    """The message with these bytes at the end of its extensions."""
    raw = message.encode()
    size = len(b"".join(extension_bytes(message, number) for number in message.extensions))
    head = raw[HANDSHAKE_HEADER : len(raw) - size - 2]
    block = raw[len(raw) - size :] + extension
    return handshake(message.HANDSHAKE_TYPE, head + len(block).to_bytes(2, "big") + block)


def extension_bytes(message: Any, extension_type: int) -> bytes:
    """One extension of the message, as it stands on the wire."""
    body = message.extensions[extension_type]
    data = body.data if isinstance(body, OpaqueExtension) else body.CODEC.write(body)
    return extension_type.to_bytes(2, "big") + len(data).to_bytes(2, "big") + bytes(data)


def longer(extra: bytes = b"\0") -> Callable[[HandshakeMessage], bytes]:
    """The message with bytes after its last field, which its length covers."""
    return lambda message: handshake(message.HANDSHAKE_TYPE, message.encode()[HANDSHAKE_HEADER:] + extra)


def shorter(message: HandshakeMessage) -> bytes:
    """The message without its last byte, and with a length that says so."""
    return handshake(message.HANDSHAKE_TYPE, message.encode()[HANDSHAKE_HEADER:-1])


def compressed(algorithm: int = 1, **fields: object) -> Callable[[Certificate], CompressedCertificate]:
    """The Certificate as CompressedCertificate, with other values in these fields. RFC 8879 4."""

    def lie(certificate: Certificate) -> CompressedCertificate:
        body = certificate.encode()[HANDSHAKE_HEADER:]
        data = ALGORITHMS[algorithm].deflate(body)
        return replace(CompressedCertificate(algorithm, len(body), data), **fields)  # type: ignore[arg-type]

    return lie


def followed_by(*items: Item) -> Callable[[HandshakeMessage], Sequence[Item]]:
    """The message, then something more."""
    return lambda message: [message, *items]


def preceded_by(*items: Item) -> Callable[[HandshakeMessage], Sequence[Item]]:
    """Something else, then the message."""
    return lambda message: [*items, message]


def kept(into: list[Any]) -> Callable[[Any], Any]:
    """The message as it is, which is remembered."""

    def keep(message: Any) -> Any:
        into.append(message)
        return message

    return keep


def split_around(*items: Item) -> Callable[[HandshakeMessage], Sequence[Item]]:
    """The message in two records with something between them."""
    return lambda message: [Record(HANDSHAKE, message.encode()[:3]), *items, Record(HANDSHAKE, message.encode()[3:])]


def in_plaintext(message: HandshakeMessage) -> Plain:
    """The message in a plaintext record."""
    return Plain(HANDSHAKE, message.encode())


def sealed(
    padding: int = 0, keys: Protection13 | None = None, damage: Callable[[bytes], bytes] = bytes
) -> Callable[[HandshakeMessage], Record]:
    """The message in a record of its own, protected in this way."""
    return lambda message: Record(HANDSHAKE, message.encode(), padding, keys, damage)


def flipped(data: bytes, at: int = -1) -> bytes:
    """The bytes with one bit of one of them turned over."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)
