"""What stands beside a server's certificate in TLS 1.2: an OCSP response and timestamps. RFC 6066 8, RFC 6962 3.3.1."""

from __future__ import annotations

from dataclasses import replace

import pytest
from OpenSSL import SSL

from handfast.engine import ClientAuth
from handfast.roles import Role
from handfast.wire import extensions as ext
from handfast.wire.messages import ClientHello
from handfast.wire.messages12 import CertificateStatus, ServerHello
from tests import certificates
from tests.lens.connections import client_config, converse, server_config
from tests.lies import change, extended, handshake, preceded_by
from tests.protocol.ours import client, credentials, server, table
from tests.protocol.theirs import client_end, server_end, shake_hands
from tests.protocol12.ours12 import BOTH, ONLY, TLS12, Row12, meet12

RESPONSE, TIMESTAMPS = b"an OCSP response", (b"one timestamp", b"another")
ASKS = {"ask_for_ocsp_response": True, "ask_for_timestamps": True}
STAPLED = {"ocsp_response": RESPONSE, "timestamps": TIMESTAMPS}
REQUESTS = extended(ext.CertificateStatusRequest(), ext.SignedCertificateTimestampRequest())


def stapled(**changes):
    mine = credentials(certificates.server())
    return {"credentials": (replace(mine, **{"ocsp_response": RESPONSE, "sct_list": TIMESTAMPS, **changes}),)}


@pytest.mark.parametrize("versions", [BOTH, ONLY], ids=["both", "1.2 only"])
def test_our_client_asks_and_reads(versions):
    peer = meet12(Role.CLIENT, {**versions, **ASKS, "certificate_compression": (1,)}, **STAPLED).run()
    assert peer.complete, peer.connection.error
    hello = peer.got(ClientHello)
    assert hello.find(ext.CertificateStatusRequest) is not None
    assert hello.find(ext.SignedCertificateTimestampRequest) is not None
    assert (hello.find(ext.CertificateCompressionAlgorithms) is not None) == (versions is BOTH)
    info = peer.connection.info
    assert (info.ocsp_response, info.signed_certificate_timestamps) == (RESPONSE, TIMESTAMPS)


def test_our_client_does_not_ask_unless_told_to():
    hello = meet12(Role.CLIENT, ONLY).run().got(ClientHello)
    assert hello.find(ext.CertificateStatusRequest) is None
    assert hello.find(ext.SignedCertificateTimestampRequest) is None


@pytest.mark.parametrize("announced", [True, False])
def test_a_response_need_not_come(announced):
    """RFC 6066 8: not even one that was announced."""
    peer = meet12(Role.CLIENT, ASKS, announces_response=announced).run()
    assert peer.complete, peer.connection.error
    assert (peer.connection.info.ocsp_response, peer.connection.info.signed_certificate_timestamps) == (b"", ())


@table(
    Row12("a response without being asked", {}, "unrequested_extension", "unsupported_extension",
        peer={"ocsp_response": RESPONSE}),
    Row12("timestamps without being asked", {}, "unrequested_extension", "unsupported_extension",
        peer={"timestamps": TIMESTAMPS}),
    Row12("a response that it did not announce", {"ServerKeyExchange": preceded_by(CertificateStatus(1, RESPONSE))},
        "unexpected_message", "unexpected_message", ours=ASKS),
    Row12("two responses", {"CertificateStatus": lambda message: [message, message]}, "unexpected_message",
        "unexpected_message", ours=ASKS, peer=STAPLED),
    Row12("a status that is no OCSP response", {"CertificateStatus": change(status_type=2)}, "bad_value",
        "illegal_parameter", ours=ASKS, peer=STAPLED),
    Row12("a response of no bytes", {"CertificateStatus": handshake(22, b"\1\0\0\0")}, "length_out_of_bounds",
        "decode_error", ours=ASKS, peer=STAPLED),
)  # fmt: skip
def test_our_client_refuses(row):
    row.check(Role.CLIENT)


def test_our_server_presents_what_is_asked_for():
    peer = meet12(Role.SERVER, stapled(), lies={"ClientHello": REQUESTS}).run()
    assert peer.complete, peer.connection.error
    answer = peer.got(ServerHello)
    assert answer.find(ext.CertificateStatusAcknowledged) is not None
    assert answer.find(ext.SignedCertificateTimestampList) == ext.SignedCertificateTimestampList(TIMESTAMPS)
    assert peer.got(CertificateStatus) == CertificateStatus(1, RESPONSE)


@pytest.mark.parametrize(
    ("ours", "lies"),
    [
        (stapled(), {}),
        ({}, {"ClientHello": REQUESTS}),
        (stapled(sct_list=()), {"ClientHello": extended(ext.CertificateStatusRequest(2, bytes(4)))}),
    ],
    ids=["not asked", "nothing to present", "asked for another type of status"],
)
def test_our_server_presents_nothing_else(ours, lies):
    peer = meet12(Role.SERVER, ours, lies=lies).run()
    assert peer.complete, peer.connection.error
    answer = peer.got(ServerHello)
    assert answer.find(ext.CertificateStatusAcknowledged) is None
    assert answer.find(ext.SignedCertificateTimestampList) is None


def test_the_trace_tells_of_both():
    response = certificates.ca().ocsp_response(certificates.server())
    told = converse(client_config(**ONLY, **ASKS), server_config(ClientAuth.NONE, **stapled(ocsp_response=response)))
    for one in told:
        assert f"OCSP response of {len(response)} bytes" in one.text
        assert "2 certificate timestamps" in one.text
    assert told[0].info.ocsp_response == response


# With OpenSSL


def context_of_12(method):
    context = SSL.Context(method)
    context.set_max_proto_version(TLS12)
    return context


def test_openssl_gets_our_response():
    got = []

    def take(connection, data, _):
        got.append(data)
        return True

    context = context_of_12(SSL.TLS_CLIENT_METHOD)
    context.set_ocsp_client_callback(take)
    theirs = client_end(context)
    theirs.request_ocsp()
    response = certificates.ca().ocsp_response(certificates.server())
    shake_hands(server(**BOTH, **stapled(ocsp_response=response)), theirs)
    assert got == [response]


@pytest.mark.parametrize(
    "response", [certificates.ca().ocsp_response(certificates.server()), b""], ids=["a response", "none"]
)
def test_we_get_openssls_response(response):
    context = context_of_12(SSL.TLS_SERVER_METHOD)
    context.set_ocsp_server_callback(lambda connection, _: response)
    ours, theirs = client(**{**BOTH, **ASKS}), server_end(context)
    shake_hands(ours, theirs)
    assert (ours.info.version, ours.info.ocsp_response) == (TLS12, response)
