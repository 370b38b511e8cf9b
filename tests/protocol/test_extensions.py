"""Extensions in messages where they do not belong, and answers that nobody asked for, in every message and both roles.

The table is RFC 9846's in section 4.3, with what older documents allow in a ClientHello.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from handfast.engine import ClientAuth
from handfast.registry import ExtensionType
from handfast.roles import Role
from handfast.wire.extensions import OpaqueExtension
from handfast.wire.messages import (
    MESSAGES,
    Certificate,
    CertificateEntry,
    CertificateRequest,
    ClientHello,
    EncryptedExtensions,
    HandshakeMessage,
    HelloRetryRequest,
    NewSessionTicket,
    ServerHello,
)
from tests import certificates
from tests.lies import extended, extension_bytes, handshake, twice, with_raw_extension
from tests.peer import Server
from tests.protocol.ours import HANDSHAKE_KEYS, PLAINTEXT, SECP256R1, Row, client, table

MESSAGE: dict[str, type[HandshakeMessage | CertificateEntry]] = {
    "CH": ClientHello,
    "SH": ServerHello,
    "HRR": HelloRetryRequest,
    "EE": EncryptedExtensions,
    "CR": CertificateRequest,
    "CT": CertificateEntry,
    "NST": NewSessionTicket,
}
BELONGS = {
    "server_name": "CH EE CR",
    "max_fragment_length": "CH EE",
    "status_request": "CH CR CT",
    "supported_groups": "CH EE",
    "ec_point_formats": "CH",
    "signature_algorithms": "CH CR",
    "application_layer_protocol_negotiation": "CH EE",
    "signed_certificate_timestamp": "CH CR CT",
    "client_certificate_type": "CH EE",
    "server_certificate_type": "CH EE",
    "padding": "CH",
    "encrypt_then_mac": "CH",
    "extended_main_secret": "CH",
    "compress_certificate": "CH CR",
    "record_size_limit": "CH EE",
    "delegated_credential": "CH CR CT",
    "session_ticket": "CH",
    "pre_shared_key": "CH SH",
    "early_data": "CH EE NST",
    "supported_versions": "CH SH HRR",
    "cookie": "CH HRR",
    "psk_key_exchange_modes": "CH",
    "certificate_authorities": "CH CR",
    "oid_filters": "CR",
    "post_handshake_auth": "CH",
    "signature_algorithms_cert": "CH CR",
    "key_share": "CH SH HRR",
    "quic_transport_parameters": "CH EE",
    "ticket_request": "CH EE",
    "application_settings_old": "CH EE",
    "application_settings": "CH EE",
    "encrypted_client_hello": "CH HRR EE",
    "renegotiation_info": "CH",
}
# Bodies that decode, for the answers that nobody asked for; the others may be empty.
BODIES = {
    "max_fragment_length": b"\1",
    "status_request": b"\1\0\0\1\0",
    "application_layer_protocol_negotiation": b"\0\3\2h2",
    "signed_certificate_timestamp": b"\0\3\0\1a",
    "client_certificate_type": b"\0",
    "server_certificate_type": b"\0",
    "record_size_limit": b"\x40\1",
    "pre_shared_key": b"\0\0",
    "ticket_request": b"\1",
}
# What our client always asks for, or what must stand in the message anyway.
ASKED = {"SH": {"supported_versions", "key_share"}, "HRR": {"supported_versions", "key_share", "cookie"}}
ASKED["EE"] = {"supported_groups"}

STEP = {"SH": "ServerHello", "HRR": "HelloRetryRequest", "EE": "EncryptedExtensions", "CT": "Certificate"}


def body(name):
    return OpaqueExtension(ExtensionType[name], BODIES.get(name, b""))


def in_certificate(*bodies):
    """The Certificate with these extensions in its first entry."""

    def lie(message):
        first, *others = message.certificate_list
        return replace(message, certificate_list=(extended(*bodies)(first), *others))

    return lie


def misplaced():
    for message, step in STEP.items():
        for name, places in BELONGS.items():
            if name not in ASKED.get(message, ()):
                yield pytest.param(step, name, message in places.split(), id=f"{name} in {step}")


def test_the_table_is_what_the_messages_hold():
    declared = {
        (ExtensionType(number).name, short) for short, message in MESSAGE.items() for number in message.EXTENSIONS
    }
    assert declared == {(name, message) for name, places in BELONGS.items() for message in places.split()}
    assert {*MESSAGE.values(), Certificate} >= {message for message in MESSAGES.values() if message.EXTENSIONS}


@pytest.mark.parametrize(("step", "name", "belongs"), list(misplaced()))
def test_our_client_refuses(step, name, belongs):
    lie = in_certificate(body(name)) if step == "Certificate" else extended(body(name))
    code, alert = "extension_in_wrong_message", "illegal_parameter"
    if belongs:
        code, alert = "unrequested_extension", "unsupported_extension"
    under = PLAINTEXT if step in ("ServerHello", "HelloRetryRequest") else HANDSHAKE_KEYS
    peer = {"group": SECP256R1} if step == "HelloRetryRequest" else {}
    Row(name, lie, code, alert, under, peer, {"server_name": None}).check(Role.CLIENT, step)


@pytest.mark.parametrize("name", [name for name, places in BELONGS.items() if "CR" not in places.split()])
def test_our_client_refuses_in_a_certificate_request(name):
    row = Row(name, extended(body(name)), "extension_in_wrong_message", "illegal_parameter", HANDSHAKE_KEYS)
    row.check(Role.CLIENT, "CertificateRequest", peer={"requests_certificate": True})


@pytest.mark.parametrize("name", BELONGS)
def test_our_server_refuses_in_a_client_certificate(name):
    code, alert = "extension_in_wrong_message", "illegal_parameter"
    if "CT" in BELONGS[name].split():
        code, alert = "unrequested_extension", "unsupported_extension"
    row = Row(name, in_certificate(body(name)), code, alert, "application")
    ours = {"client_auth": ClientAuth.REQUEST}
    row.check(Role.SERVER, "Certificate", peer={"identity": certificates.client()}, ours=ours)


@pytest.mark.parametrize("name", [name for name, places in BELONGS.items() if "CH" not in places.split()])
def test_our_server_refuses_in_a_client_hello(name):
    row = Row(name, extended(body(name)), "extension_in_wrong_message", "illegal_parameter")
    row.check(Role.SERVER, "ClientHello")


UNKNOWN = OpaqueExtension(0x1234, b"?")
GREASE = OpaqueExtension(0x2A2A, b"")


@table(
    Row("ServerHello", {"ServerHello": extended(UNKNOWN)}, "unrequested_extension", "unsupported_extension"),
    Row("ServerHello, a reserved one", {"ServerHello": extended(GREASE)}, "unrequested_extension",
        "unsupported_extension"),
    Row("HelloRetryRequest", {"HelloRetryRequest": extended(UNKNOWN)}, "unrequested_extension", "unsupported_extension",
        peer={"group": SECP256R1}),
    Row("EncryptedExtensions", {"EncryptedExtensions": extended(UNKNOWN)}, "unrequested_extension",
        "unsupported_extension", HANDSHAKE_KEYS),
    Row("Certificate", {"Certificate": in_certificate(UNKNOWN)}, "unrequested_extension", "unsupported_extension",
        HANDSHAKE_KEYS),
)  # fmt: skip
def test_our_client_refuses_an_unknown_extension_in(row):
    row.check(Role.CLIENT)


def test_our_client_refuses_an_ocsp_response_of_an_unknown_type():
    lie = in_certificate(OpaqueExtension(ExtensionType.status_request, b"\7\0\0\1\0"))
    row = Row("", lie, "unrequested_extension", "unsupported_extension", HANDSHAKE_KEYS)
    row.check(Role.CLIENT, "Certificate")


def test_our_client_ignores_unknown_extensions_of_a_certificate_request():
    lies = {"CertificateRequest": extended(UNKNOWN, GREASE)}
    assert Server(client(), requests_certificate=True, lies=lies).run().complete


def twice_in_certificate(message):
    """The Certificate with an OCSP response twice in its first and only entry."""
    data = message.certificate_list[0].cert_data
    extension = extension_bytes(extended(body("status_request"))(message.certificate_list[0]), 5)
    entry = len(data).to_bytes(3, "big") + data + len(2 * extension).to_bytes(2, "big") + 2 * extension
    return handshake(11, b"\0" + len(entry).to_bytes(3, "big") + entry)


@table(
    Row("ServerHello", {"ServerHello": twice(ExtensionType.key_share)}, "duplicate_extension", "illegal_parameter"),
    Row("HelloRetryRequest", {"HelloRetryRequest": twice(ExtensionType.key_share)}, "duplicate_extension",
        "illegal_parameter", peer={"group": SECP256R1}),
    Row("EncryptedExtensions",
        {"EncryptedExtensions": lambda message: with_raw_extension(message, b"\0\0\0\0\0\0\0\0")},
        "duplicate_extension", "illegal_parameter", HANDSHAKE_KEYS),
    Row("CertificateRequest", {"CertificateRequest": twice(ExtensionType.signature_algorithms)}, "duplicate_extension",
        "illegal_parameter", HANDSHAKE_KEYS, {"requests_certificate": True}),
    Row("Certificate", {"Certificate": twice_in_certificate}, "duplicate_extension", "illegal_parameter",
        HANDSHAKE_KEYS),
)  # fmt: skip
def test_our_client_refuses_two_extensions_of_one_type_in(row):
    row.check(Role.CLIENT)


def test_the_answer_to_a_server_name_may_come():
    lies = {"EncryptedExtensions": extended(OpaqueExtension(0, b""))}
    assert Server(client(), lies=lies).run().complete


def test_the_servers_groups_may_come():
    lies = {"EncryptedExtensions": extended(OpaqueExtension(ExtensionType.supported_groups, b"\0\2\0\x17"))}
    assert Server(client(), lies=lies).run().complete
