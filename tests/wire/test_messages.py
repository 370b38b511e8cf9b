"""Handshake messages and alerts: there and back, and what must not parse."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfast.errors import BadMessage, PeerMisbehaved
from handfast.registry import AlertDescription, ExtensionType, HandshakeType, ProtocolVersion
from handfast.wire import extensions as ext
from handfast.wire import messages12
from handfast.wire.alerts import Alert
from handfast.wire.extensions import ExtensionBody, Extensions, OpaqueExtension
from handfast.wire.messages import (
    HELLO_RETRY_REQUEST_RANDOM,
    MESSAGES,
    Certificate,
    CertificateEntry,
    CertificateRequest,
    ClientHello,
    EncryptedExtensions,
    Extended,
    Finished,
    HandshakeMessage,
    HelloRetryRequest,
    KeyUpdate,
    Messages,
    NewSessionTicket,
    ServerHello,
    message_hash,
)
from handfast.wire.messages12 import MESSAGES_12
from handfast.wire.parsing import parse_handshake
from tests.vectors import rfc8448_simple as rfc
from tests.wire.hellos import openssl_client_hello
from tests.wire.strategies import MESSAGE_CLASSES, any_message, messages, structs, table_of

# Big enough for the smallest block that any message allows, and unknown to all.
FILLER = OpaqueExtension(0xFFFE, bytes(4))

FORMS = [
    pytest.param(cls, form, id=f"{cls.__name__}-{form.__name__}")
    for cls in (*MESSAGE_CLASSES, CertificateEntry)
    if issubclass(cls, Extended)
    for form in cls.EXTENSIONS.values()
]


def with_header(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def hello(*bodies: ExtensionBody) -> ClientHello:
    return ClientHello(0x0303, bytes(32), b"", (0x1301,), b"\0", Extensions.of(*bodies))


def block(*pairs: tuple[int, str]) -> bytes:
    """A block of extensions as bytes, so that it can say what ``Extensions`` cannot."""
    parts = [kind.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data for kind, data in decoded(*pairs)]
    content = b"".join(parts)
    return len(content).to_bytes(2, "big") + content


def decoded(*pairs: tuple[int, str]) -> list[tuple[int, bytes]]:
    return [(kind, bytes.fromhex(data)) for kind, data in pairs]


def hello_bytes(extensions: bytes) -> bytes:
    body = bytes.fromhex("0303") + bytes(32) + bytes.fromhex("00 0002 1301 01 00") + extensions
    return with_header(HandshakeType.client_hello, body)


@pytest.mark.parametrize("cls", MESSAGE_CLASSES)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_every_message_survives_the_wire(cls: type[HandshakeMessage], data: st.DataObject) -> None:
    message = data.draw(messages(cls))
    raw = message.encode()
    parsed = parse_handshake(raw, table_of(cls))
    assert type(parsed) is cls
    assert parsed == message
    assert parsed.raw == raw
    assert parsed.encode() == raw
    assert message.raw == b""


@pytest.mark.parametrize(("cls", "form"), FORMS)
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_every_extension_survives_in_every_message(
    cls: type[HandshakeMessage | CertificateEntry], form: type[ExtensionBody], data: st.DataObject
) -> None:
    body = data.draw(structs(form))
    known = st.just(Extensions.of(body, FILLER))
    if issubclass(cls, CertificateEntry):
        entry = data.draw(structs(cls, extensions=known))
        parsed = parse_handshake(Certificate(b"", (entry,)).encode())
        assert isinstance(parsed, Certificate)
        holder: Extended = parsed.certificate_list[0]
    else:
        again = parse_handshake(data.draw(messages(cls, extensions=known)).encode())
        assert isinstance(again, Extended)
        holder = again
    assert holder.find(form) == body
    assert [holder.extensions[kind] for kind in (form.EXTENSION_TYPE, FILLER.extension_type)] == [body, FILLER]


@pytest.mark.parametrize("cls", MESSAGE_CLASSES)
@given(data=st.data())
@settings(max_examples=5, deadline=None)
def test_a_truncated_message_never_parses_as_it_was(cls: type[HandshakeMessage], data: st.DataObject) -> None:
    raw = data.draw(messages(cls)).encode()
    for length in range(len(raw)):
        with pytest.raises(BadMessage):
            parse_handshake(raw[:length], table_of(cls))
        if length >= 4:
            reparse(with_header(raw[0], raw[4:length]), table_of(cls))


def reparse(raw: bytes, table: Messages) -> None:
    """Either the bytes do not decode, or they decode to a message that these bytes stand for."""
    try:
        message = parse_handshake(raw, table)
    except (BadMessage, PeerMisbehaved):
        return
    assert parse_handshake(message.encode(), table) == message


@pytest.mark.parametrize("table", [MESSAGES, MESSAGES_12], ids=["1.3", "1.2"])
@given(kind=st.sampled_from([*MESSAGES, *MESSAGES_12, 99]), body=st.binary(max_size=120))
@settings(max_examples=200, deadline=None)
def test_random_bytes_parse_or_are_refused(table: Messages, kind: int, body: bytes) -> None:
    reparse(with_header(kind, body), table)


@given(message=any_message(), data=st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_message_parses_or_is_refused(message: HandshakeMessage, data: st.DataObject) -> None:
    raw = bytearray(message.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    reparse(bytes(raw), table_of(type(message)))


def test_the_hello_of_openssl_parses_and_encodes_to_the_same_bytes() -> None:
    raw = openssl_client_hello(server_name="example.com", protocols=("h2", "http/1.1"))
    message = parse_handshake(raw)
    assert isinstance(message, ClientHello)
    assert message.encode() == raw
    names = message.find(ext.ServerNameList)
    assert names == ext.ServerNameList((ext.ServerName(0, b"example.com"),))
    protocols = message.find(ext.ProtocolNameList)
    assert protocols is not None
    assert protocols.protocol_name_list == (b"h2", b"http/1.1")
    versions = message.find(ext.SupportedVersionsClientHello)
    assert versions is not None
    assert ProtocolVersion.TLS13 in versions.versions
    known = [kind for kind, body in message.extensions.items() if not isinstance(body, OpaqueExtension)]
    assert known == list(message.extensions)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (rfc.CLIENT_HELLO, "ClientHello"),
        (rfc.SERVER_HELLO, "ServerHello"),
        (rfc.ENCRYPTED_EXTENSIONS, "EncryptedExtensions"),
        (rfc.CERTIFICATE, "Certificate"),
        (rfc.CERTIFICATE_VERIFY, "CertificateVerify"),
        (rfc.SERVER_FINISHED, "Finished"),
        (rfc.NEW_SESSION_TICKET, "NewSessionTicket"),
    ],
)
def test_the_messages_of_rfc_8448_parse_and_encode_to_the_same_bytes(raw: bytes, name: str) -> None:
    message = parse_handshake(raw)
    assert type(message).__name__ == name
    assert message.encode() == raw


def test_the_key_shares_of_rfc_8448_are_found() -> None:
    client, server = parse_handshake(rfc.CLIENT_HELLO), parse_handshake(rfc.SERVER_HELLO)
    assert isinstance(client, ClientHello)
    assert isinstance(server, ServerHello)
    offered, chosen = client.find(ext.KeyShareClientHello), server.find(ext.KeyShareServerHello)
    assert offered == ext.KeyShareClientHello((ext.KeyShareEntry(29, rfc.CLIENT_PUBLIC_KEY),))
    assert chosen == ext.KeyShareServerHello(ext.KeyShareEntry(29, rfc.SERVER_PUBLIC_KEY))


def test_a_hello_may_end_before_the_extensions() -> None:
    raw = hello_bytes(b"")
    message = parse_handshake(raw)
    assert message == hello()
    assert message.encode() == raw


def test_the_block_of_extensions_may_be_empty_as_in_tls_1_2() -> None:
    message = parse_handshake(hello_bytes(bytes(2)))
    assert message == hello()
    assert message.encode() == hello_bytes(b"")


@pytest.mark.parametrize("length", range(1, 4))
def test_a_block_of_extensions_is_not_shorter_than_one(length: int) -> None:
    with pytest.raises(BadMessage) as caught:
        parse_handshake(hello_bytes(length.to_bytes(2, "big") + bytes(length)))
    assert caught.value.code == "truncated"


def test_a_certificate_request_may_hold_no_extension() -> None:
    assert parse_handshake(bytes.fromhex("0d 000003 00 0000")) == CertificateRequest(b"")


def test_a_server_hello_of_tls_1_2_parses() -> None:
    body = bytes.fromhex("0303") + bytes(range(32)) + bytes.fromhex("00 c02b 00")
    for tail in (b"", bytes.fromhex("0000"), bytes.fromhex("0005 ff01 0001 00")):
        message = parse_handshake(with_header(HandshakeType.server_hello, body + tail))
        assert isinstance(message, messages12.ServerHello)
        assert message.cipher_suite == 0xC02B
        assert message.find(ext.RenegotiationInfo) == (ext.RenegotiationInfo(b"") if len(tail) > 2 else None)


def test_a_server_hello_whose_extensions_do_not_parse_is_one_of_tls_1_2() -> None:
    whole = ServerHello(0x0303, bytes(32), b"id", 0x1301, 0, Extensions.of(ext.SupportedVersionsServerHello(0x0304)))
    assert parse_handshake(whole.encode()) == whole
    for broken in (whole.encode()[:-6], whole.encode()[:20]):
        with pytest.raises(BadMessage) as caught:
            parse_handshake(with_header(HandshakeType.server_hello, broken[4:]))
        assert caught.value.code == "truncated"


def test_the_random_alone_makes_a_hello_retry_request() -> None:
    extensions = Extensions.of(ext.SupportedVersionsServerHello(0x0304), ext.KeyShareHelloRetryRequest(29))
    retry = HelloRetryRequest(0x0303, HELLO_RETRY_REQUEST_RANDOM, b"", 0x1301, 0, extensions)
    raw = retry.encode()
    assert parse_handshake(raw) == retry
    other = raw[:6] + bytes(32) + raw[38:]
    with pytest.raises(BadMessage) as caught:
        parse_handshake(other)
    # The two bytes of selected_group are no KeyShareEntry.
    assert caught.value.details["message"] == "ServerHello"


@pytest.mark.parametrize("kind", [0x0A0A, 0x1A1A, 0xFAFA, 0x1234])
def test_grease_and_unknown_extensions_are_kept_in_their_place(kind: int) -> None:
    known = ext.SupportedVersionsClientHello((0x0A0A, 0x0304))
    message = parse_handshake(hello(OpaqueExtension(kind, b"\0"), known, FILLER).encode())
    assert isinstance(message, ClientHello)
    assert list(message.extensions.items()) == [
        (kind, OpaqueExtension(kind, b"\0")),
        (ExtensionType.supported_versions, known),
        (FILLER.extension_type, FILLER),
    ]


def test_a_known_extension_in_the_wrong_message_is_kept_undecoded() -> None:
    raw = with_header(HandshakeType.encrypted_extensions, block((ExtensionType.key_share, "001d")))
    message = parse_handshake(raw)
    assert message == EncryptedExtensions(Extensions.of(OpaqueExtension(ExtensionType.key_share, b"\x00\x1d")))
    assert isinstance(message, EncryptedExtensions)
    assert message.find(ext.KeyShareServerHello) is None


@pytest.mark.parametrize("kind", [ExtensionType.supported_groups, 0x0A0A])
def test_two_extensions_of_one_type_are_illegal(kind: int) -> None:
    data = "0002001d" if kind == ExtensionType.supported_groups else ""
    with pytest.raises(PeerMisbehaved) as caught:
        parse_handshake(hello_bytes(block((kind, data), (0x1234, ""), (kind, data))))
    assert caught.value.code == "duplicate_extension"
    assert caught.value.details == {"message": "ClientHello", "extension": ExtensionType.describe(kind)}
    assert caught.value.alert is AlertDescription.illegal_parameter
    with pytest.raises(ValueError, match="two extensions of type"):
        Extensions.of(OpaqueExtension(kind, b""), OpaqueExtension(kind, b""))


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (ExtensionType.supported_groups, "0002001d 00"),
        (ExtensionType.extended_main_secret, "00"),
        (ExtensionType.key_share, "0000 00"),
        (ExtensionType.psk_key_exchange_modes, "0101 ff"),
    ],
)
def test_bytes_left_over_in_an_extension_are_an_error(kind: int, data: str) -> None:
    """In a hello it is found when the version is known, in which it means something or not."""
    message = parse_handshake(hello_bytes(block((kind, data), (0xFFFE, "00000000"))))
    assert isinstance(message, ClientHello)
    assert message.extensions[kind] == OpaqueExtension(kind, bytes.fromhex(data))
    message.check_decoded({kind})
    with pytest.raises(BadMessage) as caught:
        message.check_decoded()
    assert caught.value.code == "trailing_bytes"
    assert caught.value.details["extra"] == 1
    assert caught.value.details["field"] == f"extensions.{ExtensionType.describe(kind)}"


@pytest.mark.parametrize(
    ("content", "missing"),
    [("1234 0004 000000", 1), ("fffe 0004 00000000 1234 00", 1), ("fffe 0004 00000000 12", 3)],
)
def test_an_extension_cannot_read_past_its_block(content: str, missing: int) -> None:
    """In a Certificate more bytes follow the block, which an unchecked length would take for its own."""
    block = bytes.fromhex(content)
    entry = bytes.fromhex("000001 aa") + len(block).to_bytes(2, "big") + block
    entries = entry + bytes.fromhex("000001 bb 0000")
    raw = with_header(HandshakeType.certificate, b"\0" + len(entries).to_bytes(3, "big") + entries)
    with pytest.raises(BadMessage) as caught:
        parse_handshake(raw)
    assert (caught.value.code, caught.value.details["missing"]) == ("truncated", missing)
    with pytest.raises(BadMessage) as caught:
        parse_handshake(hello_bytes(len(block).to_bytes(2, "big") + block))
    assert (caught.value.code, caught.value.details["missing"]) == ("truncated", missing)


def test_an_error_says_where_in_the_message_it_is() -> None:
    entry = CertificateEntry(b"der", Extensions.of(OpaqueExtension(ExtensionType.status_request, b"\x01\0\0\0")))
    with pytest.raises(BadMessage) as caught:
        parse_handshake(Certificate(b"", (CertificateEntry(b"leaf"), entry)).encode())
    assert caught.value.details["field"] == "certificate_list[1].extensions.status_request.response"
    assert caught.value.code == "length_out_of_bounds"


def test_the_header_must_announce_exactly_what_follows() -> None:
    raw = KeyUpdate(1).encode()
    assert raw == bytes.fromhex("18 000001 01")
    # Finished takes all bytes that it is given, so only the header can say that there is one too many.
    for message in (raw, Finished(bytes(32)).encode()):
        with pytest.raises(BadMessage) as caught:
            parse_handshake(message + b"\0")
        assert (caught.value.code, caught.value.details["extra"]) == ("trailing_bytes", 1)
    with pytest.raises(BadMessage) as caught:
        parse_handshake(with_header(HandshakeType.key_update, b"\x01\x00"))
    assert caught.value.code == "trailing_bytes"
    assert caught.value.details["field"] == "request_update"


@pytest.mark.parametrize("kind", [0, 3, 12, 255])
def test_an_unknown_message_is_unexpected(kind: int) -> None:
    with pytest.raises(BadMessage) as caught:
        parse_handshake(with_header(kind, b""))
    assert caught.value.code == "unknown_message"
    assert caught.value.alert is AlertDescription.unexpected_message


def test_the_bytes_received_stand_outside_comparison_and_repr() -> None:
    built = Finished(b"\x5a" * 32)
    parsed = parse_handshake(built.encode())
    assert parsed == built
    assert parsed.raw
    assert repr(parsed) == repr(built)


def test_a_message_too_big_for_its_header_does_not_build() -> None:
    with pytest.raises(ValueError, match="do not fit a handshake message"):
        Finished(bytes(2**24)).encode()


def test_early_data_has_another_form_in_a_ticket() -> None:
    ticket = NewSessionTicket(3600, 1, b"\0", b"ticket", Extensions.of(ext.EarlyDataIndicationNewSessionTicket(16384)))
    parsed = parse_handshake(ticket.encode())
    assert isinstance(parsed, NewSessionTicket)
    assert parsed.find(ext.EarlyDataIndicationNewSessionTicket) == ext.EarlyDataIndicationNewSessionTicket(16384)
    assert parsed.find(ext.EarlyDataIndication) is None


def test_message_hash_is_a_message_of_its_own() -> None:
    assert message_hash(bytes(48)) == bytes.fromhex("fe 000030") + bytes(48)


def test_an_alert_has_two_bytes() -> None:
    assert Alert(2, AlertDescription.handshake_failure).encode() == b"\x02\x28"
