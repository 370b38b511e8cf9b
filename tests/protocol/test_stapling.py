"""What stands beside a leaf: an OCSP response and signed certificate timestamps, asked for, presented and read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from OpenSSL import SSL

from handfast.engine import ClientAuth
from handfast.errors import ConfigError
from handfast.registry import ExtensionType
from handfast.roles import Role
from handfast.trust.verifiers import PathVerifier
from handfast.wire.extensions import (
    CertificateStatus,
    CertificateStatusRequest,
    CertificateStatusRequestCertificateRequest,
    ExtensionBody,
    Extensions,
    SignedCertificateTimestampList,
    SignedCertificateTimestampRequest,
)
from handfast.wire.messages import Certificate, CertificateRequest, ClientHello
from tests import certificates
from tests.lens.connections import client_config, converse, roots, server_config
from tests.lies import extended
from tests.peer import Client, Server
from tests.protocol.ours import APPLICATION_KEYS, HANDSHAKE_KEYS, Row, client, credentials, meet, server
from tests.protocol.theirs import client_end, server_end, shake_hands

RESPONSE, TIMESTAMPS = b"an OCSP response", (b"one timestamp", b"another")
BOTH = {"ask_for_ocsp_response": True, "ask_for_timestamps": True}
ASKS = [{}, {"ask_for_ocsp_response": True}, {"ask_for_timestamps": True}, BOTH]

both_roles = pytest.mark.parametrize("role", list(Role), ids=lambda role: f"our {role}")


def stapled(issued, **changes):
    return (replace(credentials(issued), **{"ocsp_response": RESPONSE, "sct_list": TIMESTAMPS, **changes}),)


def beside_leaf(*bodies):
    """A lie: these extensions in the leaf's entry."""

    def lie(certificate):
        leaf, *others = certificate.certificate_list
        leaf = replace(leaf, extensions=Extensions.of(*bodies))
        return replace(certificate, certificate_list=(leaf, *others))

    return lie


# Asking


@pytest.mark.parametrize("asks", ASKS)
def test_what_is_asked_for(asks):
    hello = Server(client(**asks)).run().got(ClientHello)
    request = Client(server(client_auth=ClientAuth.REQUEST, **asks)).run().got(CertificateRequest)
    both: tuple[tuple[ClientHello | CertificateRequest, ExtensionBody], ...] = (
        (hello, CertificateStatusRequest()),
        (request, CertificateStatusRequestCertificateRequest()),
    )
    for message, body in both:
        assert message.extensions.get(ExtensionType.status_request) == (
            body if "ask_for_ocsp_response" in asks else None
        )
        assert message.find(SignedCertificateTimestampRequest) == (
            SignedCertificateTimestampRequest() if "ask_for_timestamps" in asks else None
        )


# Presenting


@pytest.mark.parametrize("asks", ASKS)
@pytest.mark.parametrize("algorithms", [(), (1,)], ids=["plain", "compressed"])
def test_both_sides_present_what_the_other_asks_for(asks, algorithms):
    common = {"certificate_compression": algorithms, **asks}
    told = converse(
        client_config(verifier=PathVerifier(roots(certificates.ca()), ocsp="ignore"), **common),
        server_config(ClientAuth.NONE, credentials=stapled(certificates.server()), **common),
    )
    expected = (
        RESPONSE if "ask_for_ocsp_response" in asks else b"",
        TIMESTAMPS if "ask_for_timestamps" in asks else (),
    )
    info = told[0].info
    assert (info.ocsp_response, info.signed_certificate_timestamps) == expected
    assert ("OCSP response of 16 bytes" in told[0].text) == bool(expected[0])
    assert ("2 certificate timestamps" in told[0].text) == bool(expected[1])
    assert (told[1].info.ocsp_response, told[1].info.signed_certificate_timestamps) == (b"", ())


@pytest.mark.parametrize("asks", ASKS)
def test_our_client_presents_what_the_server_asks_for(asks):
    bodies: list[ExtensionBody] = []
    if "ask_for_ocsp_response" in asks:
        bodies.append(CertificateStatusRequestCertificateRequest())
    if "ask_for_timestamps" in asks:
        bodies.append(SignedCertificateTimestampRequest())
    ours = client(credentials=stapled(certificates.client_below_intermediate()))
    peer = Server(ours, requests_certificate=True, lies={"CertificateRequest": extended(*bodies)}).run()
    assert peer.complete
    leaf, above = peer.got(Certificate).certificate_list
    expected: list[ExtensionBody] = []
    if "ask_for_ocsp_response" in asks:
        expected.append(CertificateStatus(1, RESPONSE))
    if "ask_for_timestamps" in asks:
        expected.append(SignedCertificateTimestampList(TIMESTAMPS))
    assert leaf.extensions == Extensions.of(*expected)
    assert above.extensions == {}


def test_what_we_have_not_is_not_presented():
    peer = Client(server(), lies={"ClientHello": extended(CertificateStatusRequest())}).run()
    assert peer.complete
    assert peer.got(Certificate).certificate_list[0].extensions == {}


def test_another_type_of_status_than_ocsp_is_not_ours_to_answer():
    ours = server(credentials=stapled(certificates.server()))
    peer = Client(ours, lies={"ClientHello": extended(CertificateStatusRequest(2, b"\0\0\0\0"))}).run()
    assert peer.complete
    assert peer.got(Certificate).certificate_list[0].extensions == {}


@pytest.mark.parametrize("wrong", [(b"",), (bytes(2**15), bytes(2**15))], ids=["an empty one", "too much"])
def test_timestamps_that_cannot_be_sent(wrong):
    with pytest.raises(ConfigError, match="sct_list"):
        stapled(certificates.server(), sct_list=wrong)


def test_they_do_not_show():
    (mine,) = stapled(certificates.server())
    assert "OCSP" not in repr(mine)
    assert "timestamp" not in repr(mine)


# Reading


def ours_asking(role, **asks):
    return {**asks, "client_auth": ClientAuth.REQUEST} if role is Role.SERVER else asks


def identity(role):
    return certificates.server() if role is Role.CLIENT else certificates.client()


@both_roles
def test_what_the_peer_presented_can_be_read(role):
    lie = beside_leaf(CertificateStatus(1, RESPONSE), SignedCertificateTimestampList(TIMESTAMPS))
    peer = meet(role, ours_asking(role, **BOTH), lies={"Certificate": lie}, identity=identity(role)).run()
    assert peer.complete, peer.connection.error
    info = peer.connection.info
    assert (info.ocsp_response, info.signed_certificate_timestamps) == (RESPONSE, TIMESTAMPS)
    assert "response'" not in repr(info)


@both_roles
def test_nothing_needs_to_be_presented(role):
    peer = meet(role, ours_asking(role, **BOTH), identity=identity(role)).run()
    assert peer.complete, peer.connection.error
    assert (peer.connection.info.ocsp_response, peer.connection.info.signed_certificate_timestamps) == (b"", ())


@both_roles
@pytest.mark.parametrize(
    ("asks", "body"),
    [
        ({}, CertificateStatus(1, RESPONSE)),
        ({}, SignedCertificateTimestampList(TIMESTAMPS)),
        ({"ask_for_timestamps": True}, CertificateStatus(1, RESPONSE)),
        ({"ask_for_ocsp_response": True}, SignedCertificateTimestampList(TIMESTAMPS)),
    ],
)
def test_what_was_not_asked_for_is_refused(role, asks, body):
    under = HANDSHAKE_KEYS if role is Role.CLIENT else APPLICATION_KEYS
    row = Row("", beside_leaf(body), "unrequested_extension", "unsupported_extension", under)
    row.check(role, "Certificate", peer={"identity": identity(role)}, ours=ours_asking(role, **asks))


@both_roles
def test_a_status_that_is_no_ocsp_response(role):
    under = HANDSHAKE_KEYS if role is Role.CLIENT else APPLICATION_KEYS
    row = Row("", beside_leaf(CertificateStatus(2, RESPONSE)), "bad_value", "illegal_parameter", under)
    row.check(role, "Certificate", peer={"identity": identity(role)}, ours=ours_asking(role, **BOTH))


def test_an_answer_in_the_wrong_message():
    row = Row(
        "", extended(CertificateStatusRequest()), "extension_in_wrong_message", "illegal_parameter", HANDSHAKE_KEYS
    )
    row.check(Role.CLIENT, "EncryptedExtensions", ours=BOTH)


# With OpenSSL


def test_openssl_gets_our_response():
    got = []

    def take(connection, data, _):
        got.append(data)
        return True

    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_ocsp_client_callback(take)
    theirs = client_end(context)
    theirs.request_ocsp()
    response = certificates.ca().ocsp_response(certificates.server())
    shake_hands(server(credentials=stapled(certificates.server(), ocsp_response=response)), theirs)
    assert got == [response]


def test_we_get_openssls_response():
    response = certificates.ca().ocsp_response(certificates.server())
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_ocsp_server_callback(lambda connection, _: response)
    ours = client(ask_for_ocsp_response=True)
    shake_hands(ours, server_end(context))
    assert ours.info.ocsp_response == response
