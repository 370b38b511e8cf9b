"""What a signer and a key-holder say to each other, byte by byte; docs/keyholder.md is this file in words.

A holder that signed whatever bytes it is given would sign anything: certificates, tokens, handshakes of the other role.
So a request never holds what is signed. It holds the parts from which the holder builds it, ``compose`` is where it
does, and each of the three kinds says by itself in which role the key is used. ``parts_of`` is the way back, for a
``Signer``, who is given the whole content: it takes apart and composes anew, and accepts only what comes out the same.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, TypeAlias

from handfast import der
from handfast.keys.transcript import proof_content
from handfast.limits import HOLDER_CONTENTS, HOLDER_SIGNATURE, MAX_HANDSHAKE_BYTES
from handfast.registry import HandshakeType, NamedGroup, Registry, SignatureScheme
from handfast.roles import Role
from handfast.wire.codec import Fixed, Opaque, Struct, UInt, decode, encode, tls_struct

if TYPE_CHECKING:
    import asyncio

VERSION = 1
FRAME_HEADER = 3


class Kind(Registry):
    """What shall be signed."""

    certificate_verify_13 = 1
    server_key_exchange_12 = 2
    certificate_verify_12 = 3


class Side(Registry):
    """The role in a CertificateVerify of TLS 1.3."""

    client = 1
    server = 2


class Code(Registry):
    """What became of a request."""

    signed = 0
    malformed = 1
    unsupported_version = 2
    caller_refused = 3
    unknown_key = 4
    kind_refused = 5
    role_refused = 6
    scheme_refused = 7
    busy = 8
    signing_failed = 9


EXPLANATIONS: dict[int, str] = {
    Code.malformed: "it could not read the request",
    Code.unsupported_version: "it speaks another version of the protocol",
    Code.caller_refused: "this program is not one that may use it",
    Code.unknown_key: "it does not hold this key",
    Code.kind_refused: "the key is not for TLS 1.2",
    Code.role_refused: "the key is not for this role",
    Code.scheme_refused: "the key is not for this signature scheme",
    Code.busy: "too much is asked of it at once",
    Code.signing_failed: "it failed to sign; its log holds the reason",
}


@tls_struct
class CertificateVerify13(Struct):
    """RFC 9846 4.5.2: the holder adds the spaces and the context string of the role."""

    role: Annotated[int, UInt(1, Side)]
    transcript_hash: Annotated[bytes, Opaque(32, 48)]


@tls_struct
class ServerKeyExchange12(Struct):
    """RFC 8422 5.4: the holder adds that the curve is a named one."""

    client_random: Annotated[bytes, Fixed(32)]
    server_random: Annotated[bytes, Fixed(32)]
    named_curve: Annotated[int, UInt(2, NamedGroup)]
    public: Annotated[bytes, Opaque(32, 133)]


@tls_struct
class CertificateVerify12(Struct):
    """RFC 5246 7.4.8: all handshake messages before it; the holder reads that they are a client's handshake."""

    handshake_messages: Annotated[bytes, Opaque(1, MAX_HANDSHAKE_BYTES)]


Parts: TypeAlias = CertificateVerify13 | ServerKeyExchange12 | CertificateVerify12

_PARTS: dict[int, type[Parts]] = {
    Kind.certificate_verify_13: CertificateVerify13,
    Kind.server_key_exchange_12: ServerKeyExchange12,
    Kind.certificate_verify_12: CertificateVerify12,
}
_KINDS = {cls: kind for kind, cls in _PARTS.items()}


@tls_struct
class Request(Struct):
    """Version and id stand where they are in every version of the protocol, so that any request can be answered."""

    version: Annotated[int, UInt(1)]
    request_id: Annotated[int, UInt(4)]
    key_id: Annotated[bytes, Fixed(32)]
    scheme: Annotated[int, UInt(2, SignatureScheme)]
    kind: Annotated[int, UInt(1, Kind)]
    contents: Annotated[bytes, Opaque(1, HOLDER_CONTENTS)]

    @classmethod
    def of(cls, request_id: int, key_id: bytes, scheme: int, parts: Parts) -> Request:
        """A request for a signature with ``scheme`` over what ``parts`` compose."""
        return cls(VERSION, request_id, key_id, scheme, _KINDS[type(parts)], encode(parts))

    def parts(self) -> Parts:
        """Raises BadMessage, and ValueError for a kind that does not exist."""
        if self.kind not in _PARTS:
            raise ValueError(f"no kind {self.kind}")
        return decode(_PARTS[self.kind], self.contents)


@tls_struct
class Answer(Struct):
    """The signature, or none and the code that says why. Id 0 stands for the connection, which ends then."""

    version: Annotated[int, UInt(1)]
    request_id: Annotated[int, UInt(4)]
    code: Annotated[int, UInt(1, Code)]
    signature: Annotated[bytes, Opaque(0, HOLDER_SIGNATURE)]


_SIDES = {Side.client: Role.CLIENT, Side.server: Role.SERVER}
# The size of a public value, and whether it is an uncompressed point.
_CURVES = {
    NamedGroup.secp256r1: (65, True),
    NamedGroup.secp384r1: (97, True),
    NamedGroup.secp521r1: (133, True),
    NamedGroup.x25519: (32, False),
    NamedGroup.x448: (56, False),
}
_NAMED_CURVE = b"\x03"
# The messages before a client's CertificateVerify, by their types. RFC 5246 7.3, RFC 6066 8.
_CLIENT_HANDSHAKE = re.compile(
    bytes((HandshakeType.client_hello, HandshakeType.server_hello, HandshakeType.certificate))
    + b"%c?" % HandshakeType.certificate_status
    + bytes((HandshakeType.server_key_exchange, HandshakeType.certificate_request, HandshakeType.server_hello_done))
    + bytes((HandshakeType.certificate, HandshakeType.client_key_exchange)),
    re.DOTALL,
)


def compose(parts: Parts) -> tuple[Role, bytes]:
    """Who signs, and what. Raises ValueError for parts that no handshake has."""
    match parts:
        case CertificateVerify13():
            if parts.role not in _SIDES or len(parts.transcript_hash) not in (32, 48):
                raise ValueError("no role, or no hash, of TLS 1.3")
            role = _SIDES[Side(parts.role)]
            return role, proof_content(role, parts.transcript_hash)
        case ServerKeyExchange12():
            return Role.SERVER, parts.client_random + parts.server_random + _params(parts)
        case CertificateVerify12():
            if not _CLIENT_HANDSHAKE.fullmatch(_types(parts.handshake_messages)):
                raise ValueError("not the messages before a client's CertificateVerify")
            return Role.CLIENT, parts.handshake_messages


def _params(parts: ServerKeyExchange12) -> bytes:
    """ServerECDHParams. RFC 8422 5.4."""
    size, point = _CURVES.get(NamedGroup(parts.named_curve), (0, False))
    if len(parts.public) != size or (point and parts.public[0] != 4):
        raise ValueError("no public value of a curve that is used in TLS 1.2")
    return _NAMED_CURVE + parts.named_curve.to_bytes(2, "big") + bytes([size]) + parts.public


def _types(messages: bytes) -> bytes:
    """The type of each handshake message. Raises ValueError where the last one is cut short."""
    types, at = bytearray(), 0
    while at < len(messages):
        types.append(messages[at])
        at += 4 + int.from_bytes(messages[at + 1 : at + 4], "big")
    if at != len(messages):
        raise ValueError("a handshake message is cut short")
    return bytes(types)


def parts_of(content: bytes) -> Parts:
    """The parts of what a handshake wants signed. Raises ValueError for anything else."""
    candidates: tuple[Parts, ...] = (
        CertificateVerify13(Side.client, content[98:]),
        CertificateVerify13(Side.server, content[98:]),
        ServerKeyExchange12(content[:32], content[32:64], int.from_bytes(content[65:67], "big"), content[68:]),
        CertificateVerify12(content),
    )
    for parts in candidates:
        try:
            if compose(parts)[1] == content:
                return parts
        except ValueError:
            continue
    raise ValueError("this is nothing that a TLS handshake signs")


def key_id_of(public_key_info: bytes) -> bytes:
    """What a key is called: SHA-256 of its SubjectPublicKeyInfo, 32 bytes, as in a pin of RFC 7469."""
    return sha256(public_key_info).digest()


def key_id_of_certificate(certificate: bytes) -> bytes:
    """The id of the key of a DER certificate."""
    return key_id_of(der.certificate_fields(certificate).subject_public_key_info)


# Frames


class FrameTooLarge(Exception):
    """The other side announced more than it may send."""


def frame(message: Request | Answer) -> bytes:
    """A message behind its length."""
    encoded = encode(message)
    return len(encoded).to_bytes(FRAME_HEADER, "big") + encoded


async def read_frame(reader: asyncio.StreamReader, limit: int) -> bytes:
    """The next message. Raises FrameTooLarge before it reads one of more than ``limit`` bytes, and IncompleteReadError
    where the stream ends."""
    length = int.from_bytes(await reader.readexactly(FRAME_HEADER), "big")
    if length > limit:
        raise FrameTooLarge(f"a frame of {length} bytes exceeds the limit of {limit}")
    return await reader.readexactly(length)
