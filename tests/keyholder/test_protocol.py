"""What is said on the wire, and what the holder builds from it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from handfast import limits
from handfast.crypto import groups
from handfast.errors import HandfastError
from handfast.keyholder import messages
from handfast.keyholder.messages import (
    Answer,
    CertificateVerify12,
    CertificateVerify13,
    Code,
    Request,
    ServerKeyExchange12,
    Side,
    compose,
    frame,
    key_id_of_certificate,
    parts_of,
)
from handfast.registry import NamedGroup, SignatureScheme
from handfast.roles import Role
from handfast.wire.codec import decode, encode
from tests import certificates
from tests.wire.strategies import structs

RANDOMS = bytes(range(32)), bytes(range(32, 64))


def message(kind: int, body: bytes = b"body") -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


CLIENTS_HANDSHAKE = b"".join(map(message, (1, 2, 11, 22, 12, 13, 14, 11, 16)))


def exchange(group: int) -> ServerKeyExchange12:
    return ServerKeyExchange12(*RANDOMS, group, groups.generate(group).public)


CURVES = [NamedGroup.secp256r1, NamedGroup.secp384r1, NamedGroup.secp521r1, NamedGroup.x25519, NamedGroup.x448]
HONEST = [
    CertificateVerify13(Side.client, bytes(32)),
    CertificateVerify13(Side.server, bytes(48)),
    *(exchange(group) for group in CURVES),
    CertificateVerify12(CLIENTS_HANDSHAKE),
    CertificateVerify12(CLIENTS_HANDSHAKE.replace(message(22), b"")),
]


@pytest.mark.parametrize("parts", HONEST, ids=lambda parts: type(parts).__name__)
def test_parts_compose_what_a_handshake_signs_and_come_back_from_it(parts: messages.Parts) -> None:
    _, content = compose(parts)
    assert parts_of(content) == parts
    request = Request.of(7, bytes(32), SignatureScheme.ed25519, parts)
    again = decode(Request, frame(request)[messages.FRAME_HEADER :])
    assert again == request
    assert again.parts() == parts


def test_the_content_is_that_of_the_rfc() -> None:
    transcript_hash = hashlib.sha256(b"").digest()
    for side, role, word in ((Side.client, Role.CLIENT, b"client"), (Side.server, Role.SERVER, b"server")):
        content = b" " * 64 + b"TLS 1.3, " + word + b" CertificateVerify\0" + transcript_hash
        assert compose(CertificateVerify13(side, transcript_hash)) == (role, content)
    role, content = compose(exchange(NamedGroup.x25519))
    assert role is Role.SERVER
    assert content[:68] == b"".join(RANDOMS) + bytes.fromhex("03001d20")


def test_a_key_is_called_by_the_hash_of_its_public_key_info() -> None:
    certificate = certificates.server().chain[0]
    key = x509.load_der_x509_certificate(certificate).public_key()
    info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert key_id_of_certificate(certificate) == hashlib.sha256(info).digest()


NO_HANDSHAKE = {
    "nothing": b"",
    "a text": b"I owe you a million",
    "a certificate to be": certificates.server().chain[0],
    "a hash of no suite": compose(CertificateVerify13(Side.server, bytes(32)))[1] + bytes(8),
    "a role of no side": b" " * 64 + b"TLS 1.3, nobody CertificateVerify\0" + bytes(32),
    "other spaces": b" " * 65 + compose(CertificateVerify13(Side.server, bytes(32)))[1][65:],
    "an explicit curve": b"".join(RANDOMS) + b"\x01\x00\x1d\x20" + bytes(32),
    "a curve that is none": b"".join(RANDOMS) + b"\x03\xff\xff\x20" + bytes(32),
    "a share of a hybrid": b"".join(RANDOMS) + b"\x03\x11\xec\x20" + bytes(32),
    "a public value too short": b"".join(RANDOMS) + b"\x03\x00\x1d\x1f" + bytes(31),
    "a public value too long": b"".join(RANDOMS) + b"\x03\x00\x1d\x20" + bytes(33),
    "a length that lies": b"".join(RANDOMS) + b"\x03\x00\x1d\x21" + bytes(32),
    "a compressed point": b"".join(RANDOMS) + b"\x03\x00\x17\x41\x02" + bytes(64),
    "one message": message(1),
    "a handshake in another order": b"".join(map(message, (1, 2, 11, 13, 12, 14, 11, 16))),
    "a handshake that goes on": CLIENTS_HANDSHAKE + message(20),
    "a handshake that is cut short": CLIENTS_HANDSHAKE[:-1],
}


@pytest.mark.parametrize("content", NO_HANDSHAKE.values(), ids=NO_HANDSHAKE)
def test_what_no_handshake_signs_has_no_parts(content: bytes) -> None:
    with pytest.raises(ValueError, match="nothing that a TLS handshake signs"):
        parts_of(content)


@given(st.one_of(*(structs(cls) for cls in (CertificateVerify13, ServerKeyExchange12, CertificateVerify12))))
@settings(max_examples=100)
def test_whatever_composes_is_one_of_three_shapes(parts: messages.Parts) -> None:
    try:
        role, content = compose(parts)
    except ValueError:
        return
    assert parts_of(content) == parts
    assert role is (Role.SERVER if isinstance(parts, ServerKeyExchange12) else role)


@given(structs(Request))
@settings(max_examples=50)
def test_requests_survive_the_wire(request: Request) -> None:
    encoded = encode(request)
    assert decode(Request, encoded) == request
    assert encoded[1:5] == request.request_id.to_bytes(4, "big")
    try:
        compose(request.parts())
    except (ValueError, HandfastError):
        return


@given(structs(Answer))
@settings(max_examples=20)
def test_answers_survive_the_wire(answer: Answer) -> None:
    assert decode(Answer, encode(answer)) == answer


def test_frames_have_room_for_what_they_hold() -> None:
    longest = Request.of(1, bytes(32), 0, CertificateVerify12(bytes(limits.MAX_HANDSHAKE_BYTES)))
    assert len(longest.contents) <= limits.HOLDER_CONTENTS
    assert len(encode(longest)) <= limits.HOLDER_REQUEST_FRAME
    assert len(encode(Answer(1, 1, 0, bytes(limits.HOLDER_SIGNATURE)))) <= limits.HOLDER_ANSWER_FRAME
    with pytest.raises(ValueError, match="outside"):
        encode(Answer(1, 1, 0, bytes(limits.HOLDER_SIGNATURE + 1)))


def test_every_refusal_has_words() -> None:
    assert set(messages.EXPLANATIONS) == set(Code) - {Code.signed}


# docs/keyholder.md

PAGE = (Path(__file__).parents[2] / "docs" / "keyholder.md").read_text()


def test_the_example_of_the_page() -> None:
    shown = re.search(r"Example: .*?```text\n(.*?)```", PAGE, re.DOTALL)
    assert shown is not None
    key_id, scheme = bytes(range(32)), SignatureScheme.ecdsa_secp256r1_sha256
    request = Request.of(1, key_id, scheme, CertificateVerify13(Side.server, bytes(32)))
    answer = Answer(messages.VERSION, 1, Code.role_refused, b"")
    assert bytes.fromhex(shown[1]) == frame(request) + frame(answer)


def test_the_page_has_every_code_and_every_limit() -> None:
    rows = dict(re.findall(r"^\| (\d) (\w+) \|", PAGE, re.MULTILINE))
    assert rows == {str(code.value): code.name for code in Code}
    for words in (
        f"contents<1..{limits.HOLDER_CONTENTS}>",
        f"signature<0..{limits.HOLDER_SIGNATURE}>",
        f"handshake_messages<1..{limits.MAX_HANDSHAKE_BYTES}>",
        f"longer than {limits.HOLDER_REQUEST_FRAME} bytes",
        f"more than {limits.HOLDER_PENDING} requests",
        f"{limits.HOLDER_PENDING_PER_CALLER} or {limits.HOLDER_PENDING_BYTES_PER_CALLER // 2**20} MiB of this caller's",
        f"{limits.HOLDER_SIGNATURES_AT_ONCE} at once, then {limits.HOLDER_SIGNATURES_PER_SECOND:.0f} per second",
        f"there are {limits.HOLDER_CONNECTIONS}, or {limits.HOLDER_CONNECTIONS_PER_CALLER} of this caller",
        f"nothing happens for {limits.HOLDER_IDLE_TIMEOUT:.0f} seconds",
        f"idle for {limits.LINK_IDLE:.0f} s",
        f"{limits.LOGGED_FAILURES_AT_ONCE} of one caller at once",
        f"then {limits.LOGGED_FAILURES_PER_SECOND:.0f} per second, and the next line",
        f"up to {limits.HOLDER_PENDING // 2} requests at once",
        f"within `timeout` seconds, {limits.REMOTE_SIGNER_TIMEOUT:.0f} by default",
        f"pauses from {limits.RECONNECT_FIRST} s that double up to {limits.RECONNECT_MOST:.0f} s",
    ):
        assert words in PAGE, words
