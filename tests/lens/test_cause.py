"""Why a server refused us, as data and in words: what alerts do not tell and this side can know."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from handfast import der
from handfast.cli import verdict_words
from handfast.engine import ClientAuth
from handfast.errors import CertificateRejected, ConnectionLost, HandfastError, PeerRejected
from handfast.lens import verdict_line as verdict
from handfast.lens.outcome import Outcome
from handfast.outcome.cause import Cause, CauseCode, HttpAnswer, Manner
from handfast.pki.authority import CertificateAuthority, Issued, certificate_der
from handfast.pki.template import SERVER_AUTH, sign
from handfast.registry import AlertDescription, CipherSuite, NamedGroup
from handfast.roles import Direction, Role
from handfast.sessions.cache import SessionCache
from handfast.sessions.tickets import SealedTickets
from handfast.trust.presented import PresentedChain
from handfast.wire.messages12 import HelloRequest
from handfast.x509.purpose import Purpose
from tests import certificates
from tests.lens.connections import Watched, client_config, converse, roots, server_config, verifier
from tests.protocol12.ours12 import meet12

CA = "CN=Test CA,O=handfast"
TLS12: dict[str, Any] = {"versions": (0x0303,)}
NOW = datetime.now(UTC)


def alice(ca: CertificateAuthority | None = None, **changes: Any) -> Issued:
    """A client certificate in which something is changed."""
    authority = ca or certificates.ca()
    return authority.issue(replace(authority.client_template("alice"), **changes))


def refused(shown: Issued, **server: Any):
    client, _ = converse(client_config(shown), server_config(**server))
    cause = client.outcome.cause(client.error)
    assert cause is not None
    assert cause.manner is Manner.ALERT
    return client, cause


def printable(ca: CertificateAuthority) -> x509.Name:
    """The CA's name, of which the CN is a PrintableString."""
    return x509.Name(
        [
            x509.NameAttribute(
                one.oid, str(one.value), _ASN1Type.PrintableString if one.oid == NameOID.COMMON_NAME else None
            )
            for one in ca.certificate.subject
        ]
    )


def alice_in_another_encoding() -> Issued:
    ca = certificates.ca()
    template = ca.client_template("alice")
    return Issued((certificate_der(sign(template, printable(ca), ca.key)),), template.private_key)


# What our own choice had found


@pytest.mark.parametrize(
    ("shown", "code", "said", "advice"),
    [
        (
            lambda: alice(certificates.other_ca()),
            "issuer_not_named",
            "its issuer is not among the CA names",
            "intermediate",
        ),
        (
            lambda: alice(not_before=NOW + timedelta(days=2), not_after=NOW + timedelta(days=9)),
            "not_yet_valid",
            "it is not valid before",
            "clock",
        ),
        (
            lambda: alice(not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=2)),
            "expired",
            "it expired on",
            "renew",
        ),
        (lambda: alice(extended_key_usage=(SERVER_AUTH,)), "wrong_purpose", "its extendedKeyUsage lacks", "clientAuth"),
        (
            lambda: alice(key_usage=frozenset({"key_agreement"})),
            "key_may_not_sign",
            "its keyUsage lacks",
            "digitalSignature",
        ),
    ],
    ids=["another CA", "not yet valid", "expired", "for servers", "may not sign"],
)
@pytest.mark.parametrize("versions", [{}, TLS12], ids=["1.3", "1.2"])
def test_what_was_known_against_our_certificate_is_said_when_it_is_refused(shown, code, said, advice, versions):
    client, cause = refused(shown(), **versions)
    assert cause.code == code
    assert code in cause.objections
    assert f": {said}" in client.verdict
    assert f"offered 1 CA name: [{CA}]" in client.verdict
    assert "all the same" not in client.verdict
    assert advice in client.hint


def test_the_objection_that_fits_the_alert_comes_first():
    stranger = alice(certificates.other_ca(), not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=2))
    _, cause = refused(stranger)
    assert cause.objections == ("expired", "issuer_not_named")
    assert cause.code == "issuer_not_named"


def test_an_issuer_that_was_named_and_is_not_trusted_was_made_anew():
    again = CertificateAuthority.create("Test CA")
    client, cause = refused(certificates.client(), verifier=verifier(again), ca_names=roots(again).names())
    assert cause.code is CauseCode.ISSUER_REKEYED
    assert "the server knows that CA with another key" in client.verdict
    assert "made anew under its old name" in client.hint


def test_a_leaf_alone_may_lack_its_intermediate():
    leaf = Issued(certificates.client_below_intermediate().chain[:1], certificates.client_below_intermediate().key)
    client, cause = refused(leaf, ca_names=None)
    assert cause.code is CauseCode.LEAF_ALONE
    assert "append the intermediate's" in client.hint


def test_what_nothing_here_speaks_against_is_the_servers_to_explain():
    chain = certificates.client_below_intermediate()
    client, cause = refused(chain, ca_names=None, verifier=verifier(certificates.other_ca()))
    assert cause.code is CauseCode.CERTIFICATE_REFUSED
    assert client.hint.startswith("nothing here speaks against our certificate")


def test_a_name_that_is_equal_in_text_only_is_called_so():
    client, cause = refused(alice_in_another_encoding())
    assert cause.code is CauseCode.ISSUER_ENCODING
    assert (
        f"its issuer {CA} is among the CA names that the server sent by its text, and not by its bytes"
        in client.verdict
    )
    assert "PrintableString" in client.verdict
    assert "string types" in client.hint


def test_a_root_that_is_equal_in_text_only_is_called_so():
    chain = alice_in_another_encoding().chain
    shown = PresentedChain(chain=chain, purpose=Purpose.CLIENT, server_name=None, at=datetime.now(UTC))
    refusal = verifier(certificates.ca()).verify(shown)
    assert refusal.code == "unknown_issuer"
    assert "is the name of a trusted root by its text, and not by its bytes" in refusal.explanation
    assert "not among" not in refusal.explanation


def test_the_encodings_differ_indeed():
    assert der.certificate_fields(alice_in_another_encoding().chain[0]).issuer != roots(certificates.ca()).names()[0]


# Nothing shown


@pytest.mark.parametrize(
    ("ours", "code"),
    [((), "no_certificate"), ((certificates.other_ca,), "certificate_withheld")],
    ids=["none", "unfit"],
)
def test_a_certificate_that_was_not_shown(ours, code):
    config = client_config(*(alice(ca()) for ca in ours), when_no_certificate_matches="send_none")
    client, _ = converse(config, server_config())
    cause = client.outcome.cause(client.error)
    assert cause is not None
    assert (cause.code, cause.certificate, cause.sent) == (code, b"", 0)
    assert f"one issued by [{CA}]" in client.hint


# Closed without a word


def lost(client: Watched, error: ConnectionLost) -> tuple[str, Cause]:
    return verdict.line(client.outcome, error, verdict_words.DESCRIBER), known(client.outcome, error)


def known(outcome: Outcome, error: HandfastError | None = None) -> Cause:
    cause = outcome.cause(error)
    assert cause is not None
    return cause


def test_a_connection_that_ends_right_after_our_certificate_was_refused():
    client, _ = converse(client_config(certificates.client()), server_config(), talk=False)
    line, cause = lost(client, ConnectionLost("unexpected_eof", received=0, cut=False, where=""))
    assert (cause.code, cause.manner) == (
        CauseCode.LEAF_ALONE,
        Manner.CLOSE,
    ) or cause.code is CauseCode.CERTIFICATE_REFUSED
    assert "right after the client showed CN=alice" in line
    assert "almost certainly a refusal" in line


def test_a_connection_that_ends_after_an_answer_was_not():
    client, _ = converse(client_config(certificates.client()), server_config())
    assert client.outcome.cause(ConnectionLost("unexpected_eof", received=9, cut=False, where="")) is None


@pytest.mark.parametrize("version", [{}, TLS12], ids=["1.3", "1.2"])
def test_a_close_after_we_declined_says_that_we_did(version):
    client, _ = converse(client_config(), server_config(**version))
    assert client.error is not None
    error = ConnectionLost("eof_in_handshake", stage="we had waited for the server's Finished")
    # The same connection, had the server closed instead of sending its alert.
    client.outcome.alerts.clear()
    line, cause = lost(client, error)
    assert cause.code is CauseCode.NO_CERTIFICATE
    assert line.startswith(error.what)
    assert "right after the client was asked for a certificate and sent none (none is configured)" in line
    assert "give one in credentials" in verdict.hint(client.outcome, error)


@pytest.mark.parametrize("code", ["handshake_timeout", "too_slow", "timeout"])
def test_a_wait_that_ends_is_no_refusal(code):
    client, _ = converse(client_config(certificates.client()), server_config(), talk=False)
    assert client.outcome.cause(ConnectionLost(code, seconds=1.0, waiting="Finished")) is None
    lost_hello, _ = converse(client_config(), server_config(), lost=True)
    cause = lost_hello.outcome.cause(ConnectionLost(code, seconds=1.0, waiting="ServerHello"))
    assert cause is not None
    assert cause.code is CauseCode.LARGE_HELLO


def test_a_server_that_gave_a_ticket_had_let_us_in():
    config = client_config(certificates.client(), sessions=SessionCache())
    client, _ = converse(config, server_config(tickets=SealedTickets()), talk=False)
    assert "NewSessionTicket" in client.text
    assert client.outcome.cause(ConnectionLost("unexpected_eof", received=0, cut=False, where="")) is None


def test_an_alert_about_something_else_is_not_laid_on_the_certificate():
    client, _ = converse(client_config(alice(certificates.other_ca())), server_config())
    client.outcome.alerts[Direction.SERVER_TO_CLIENT] = AlertDescription.illegal_parameter
    error = PeerRejected("illegal_parameter", alert="illegal_parameter (47)", stage="")
    assert client.outcome.cause(error) is None


def test_nothing_that_comes_back_for_a_large_hello():
    client, _ = converse(client_config(), server_config(), lost=True)
    error = ConnectionLost("eof_in_handshake", stage="we had waited for the server's ServerHello")
    assert known(client.outcome, error).code is CauseCode.LARGE_HELLO
    assert 'groups=["x25519"]' in verdict.hint(client.outcome, error)
    small, _ = converse(client_config(groups=(NamedGroup.x25519,)), server_config(), lost=True)
    assert small.outcome.cause(error) is None
    assert verdict.hint(small.outcome, error) == error.hint


# TLS 1.2 servers that ask again


def test_a_server_that_asks_for_a_second_handshake_wants_a_certificate():
    outcome = Outcome(Role.CLIENT)
    peer = meet12(Role.CLIENT, {"observers": [outcome]}).run().say(HelloRequest())
    assert peer.complete
    line = verdict.line(outcome, None, verdict_words.DESCRIBER)
    assert "it then asked for a second handshake (HelloRequest), which we declined" in line
    error = ConnectionLost("unexpected_eof", received=0, cut=False, where="")
    assert known(outcome, error).code is CauseCode.RENEGOTIATION
    assert "SSLVerifyClient" in verdict.hint(outcome, error)
    outcome.http = HttpAnswer(403, "Forbidden")
    assert known(outcome).code is CauseCode.RENEGOTIATION


# HTTP


@pytest.mark.parametrize("status", [400, 401, 403, 495, 496])
def test_an_http_status_that_refuses_is_part_of_the_verdict(status):
    client, _ = converse(client_config(alice(certificates.other_ca())), server_config(ClientAuth.REQUEST))
    client.outcome.http = HttpAnswer(status, "Oh\x1b")
    assert client.verdict.startswith(f"TLS 1.3 OK, but the server answered HTTP {status} Oh\\x1b: server CN=localhost")
    assert "mutual" not in client.verdict
    cause = known(client.outcome)
    assert (cause.code, cause.manner) == (CauseCode.ISSUER_NOT_NAMED, Manner.HTTP)


def test_an_http_status_that_does_not_refuse_is_told():
    client, _ = converse(client_config(certificates.client()), server_config())
    client.outcome.http = HttpAnswer(404, "Not Found")
    assert client.verdict.startswith("mutual TLS 1.3 OK: server ")
    assert "and the server answered HTTP 404 Not Found; " in client.verdict
    assert client.outcome.cause() is None


# What we offer


def test_a_refused_hello_names_what_it_offered():
    client, _ = converse(
        client_config(suites=(CipherSuite.TLS_AES_128_GCM_SHA256,)),
        server_config(suites=(CipherSuite.TLS_AES_256_GCM_SHA384,)),
    )
    assert known(client.outcome, client.error).code is CauseCode.NOTHING_IN_COMMON
    assert "we offer TLS 1.3; suites TLS_AES_128_GCM_SHA256; groups X25519MLKEM768" in client.verdict
    assert "signature schemes" in client.verdict


def test_a_refused_version_names_the_versions_alone():
    client, _ = converse(client_config(versions=(0x0304,)), server_config(versions=(0x0303,)))
    assert client.verdict == "server refused: protocol_version (70); we offer TLS 1.3"
    assert "no RSA key exchange" not in client.hint


def test_a_protocol_that_was_not_selected_is_told_on_both_sides():
    for side in converse(client_config(), server_config(ClientAuth.NONE, application_protocols=())):
        who = "we" if side.role is Role.CLIENT else "the client"
        assert f"no ALPN selected ({who} offered h2, http/1.1)" in side.verdict


# The other side


def test_a_server_needs_no_cause_and_a_client_that_refuses_none_either():
    client, server = converse(client_config(), server_config(), server_name="elsewhere.example")
    assert isinstance(client.error, CertificateRejected)
    assert client.outcome.cause(client.error) is None
    assert server.outcome.cause(server.error) is None
    assert Direction.CLIENT_TO_SERVER in client.outcome.alerts
