"""The five ways to ask for a client certificate, against each kind of client: who gets in, and what is known of them.

Possession of the key is proven in every mode in which a certificate may be shown; the verdict is computed in every such
mode, and ends the connection only in those that say "verify".
"""

from __future__ import annotations

import pytest

from handfast.crypto.signatures import SUPPORTED_SCHEMES
from handfast.engine import ClientAuth, UnverifiedPeer, VerifiedPeer
from handfast.errors import ConfigError
from handfast.pki.authority import Issued
from handfast.roles import Role
from handfast.verdict import refuse
from handfast.wire.extensions import Extensions, SignatureSchemeList
from handfast.wire.messages import Certificate, CertificateRequest
from tests import certificates
from tests.peer import Client, Server
from tests.protocol.ours import APPLICATION_KEYS, Judge, Row, client, credentials, server

NONE, REQUEST, REQUIRE_ANY = ClientAuth.NONE, ClientAuth.REQUEST, ClientAuth.REQUIRE_ANY
VERIFY_IF_GIVEN, REQUIRE_AND_VERIFY = ClientAuth.VERIFY_IF_GIVEN, ClientAuth.REQUIRE_AND_VERIFY

NO_CERTIFICATE, GOOD, REFUSED, NOT_PROVEN = "no certificate", "a good one", "one the verifier refuses", "another's"

NOBODY, VERIFIED, UNVERIFIED = type(None), VerifiedPeer, UnverifiedPeer
REQUIRED, UNKNOWN_CA, BAD_PROOF = "certificate_required", "unknown_issuer", "bad_signature"
ALERTS = {REQUIRED: "certificate_required", UNKNOWN_CA: "unknown_ca", BAD_PROOF: "decrypt_error"}

# (mode, what the client shows) -> how it is refused, if it is; who the server says it is. So in every version.
OUTCOMES = {
    (NONE, NO_CERTIFICATE): (None, NOBODY),
    (NONE, GOOD): (None, NOBODY),
    (NONE, REFUSED): (None, NOBODY),
    (NONE, NOT_PROVEN): (None, NOBODY),
    (REQUEST, NO_CERTIFICATE): (None, NOBODY),
    (REQUEST, GOOD): (None, VERIFIED),
    (REQUEST, REFUSED): (None, UNVERIFIED),
    (REQUEST, NOT_PROVEN): (BAD_PROOF, NOBODY),
    (REQUIRE_ANY, NO_CERTIFICATE): (REQUIRED, NOBODY),
    (REQUIRE_ANY, GOOD): (None, VERIFIED),
    (REQUIRE_ANY, REFUSED): (None, UNVERIFIED),
    (REQUIRE_ANY, NOT_PROVEN): (BAD_PROOF, NOBODY),
    (VERIFY_IF_GIVEN, NO_CERTIFICATE): (None, NOBODY),
    (VERIFY_IF_GIVEN, GOOD): (None, VERIFIED),
    (VERIFY_IF_GIVEN, REFUSED): (UNKNOWN_CA, UNVERIFIED),
    (VERIFY_IF_GIVEN, NOT_PROVEN): (BAD_PROOF, NOBODY),
    (REQUIRE_AND_VERIFY, NO_CERTIFICATE): (REQUIRED, NOBODY),
    (REQUIRE_AND_VERIFY, GOOD): (None, VERIFIED),
    (REQUIRE_AND_VERIFY, REFUSED): (UNKNOWN_CA, UNVERIFIED),
    (REQUIRE_AND_VERIFY, NOT_PROVEN): (BAD_PROOF, NOBODY),
}


def shown(what):
    if what == NO_CERTIFICATE:
        return None
    alice = certificates.client()
    return Issued(alice.chain, certificates.client(name="mallory").key) if what == NOT_PROVEN else alice


@pytest.mark.parametrize(("mode", "what"), OUTCOMES)
def test_every_mode_against_every_client(mode, what):
    judge = judge_of(what)
    peer = Client(server(client_auth=mode, verifier=judge), identity=shown(what)).run()
    check_outcome(peer, judge, mode, what, ALERTS, APPLICATION_KEYS)


def judge_of(what):
    return Judge(refuse("unknown_issuer", "its CA is unknown") if what == REFUSED else None)


def check_outcome(peer, judge, mode, what, alerts, keys):
    """``alerts`` are what the client is told of each refusal, under these keys."""
    refusal, known = OUTCOMES[mode, what]
    ours = peer.connection
    assert peer.refusal == (None if refusal is None else (refusal, alerts[refusal], keys))
    assert ours.connected == (refusal is None)
    assert type(ours.info.peer) is known
    assert ours.info.client_auth_requested == (mode is not NONE)
    came = mode is not NONE and what != NO_CERTIFICATE
    assert ours.info.peer_chain == (certificates.client().chain if came else ())
    assert len(judge.asked) == (came and what != NOT_PROVEN)
    assert ours.info.client_cert_error == client_cert_error(mode, what)


def client_cert_error(mode, what):
    if mode is not NONE and what == REFUSED:
        return "its CA is unknown"
    if what == NO_CERTIFICATE and mode.requires_certificate:
        return "the client sent no certificate, and this server requires one"
    return ""


def test_the_table_has_every_case():
    assert set(OUTCOMES) == {
        (mode, what) for mode in ClientAuth for what in (NO_CERTIFICATE, GOOD, REFUSED, NOT_PROVEN)
    }


@pytest.mark.parametrize("mode", [mode for mode in ClientAuth if mode is not NONE])
@pytest.mark.parametrize("step", ["Certificate", "CertificateVerify"])
def test_no_mode_lets_a_client_leave_a_message_out(mode, step):
    row = Row("", [], "unexpected_message", "unexpected_message", APPLICATION_KEYS)
    row.check(Role.SERVER, step, peer={"identity": certificates.client()}, ours={"client_auth": mode})


@pytest.mark.parametrize("mode", [REQUEST, REQUIRE_ANY])
def test_without_a_verifier_nobody_is_verified(mode):
    ours = server(client_auth=mode, verifier=None)
    assert Client(ours, identity=certificates.client()).run().complete
    assert isinstance(ours.info.peer, UnverifiedPeer)
    assert ours.info.peer.verdict.code == "no_roots"


@pytest.mark.parametrize("mode", [VERIFY_IF_GIVEN, REQUIRE_AND_VERIFY])
def test_a_mode_that_verifies_needs_a_verifier(mode):
    with pytest.raises(ConfigError) as caught:
        server(client_auth=mode, verifier=None)
    assert caught.value.code == "bad_option"


# The client's side: what it shows to whom


def test_our_client_shows_its_certificate_only_when_asked():
    ours = client(credentials=(credentials(certificates.client()),))
    peer = Server(ours).run()
    assert peer.complete
    assert not any(isinstance(message, Certificate) for message in peer.messages)
    assert (ours.info.client_auth_requested, ours.info.ca_names, ours.info.certificate_sent) == (False, None, False)


def test_our_client_shows_its_certificate():
    ours = client(credentials=(credentials(certificates.client()),))
    peer = Server(ours, requests_certificate=True).run()
    assert peer.complete
    assert [entry.cert_data for entry in peer.got(Certificate).certificate_list] == [*certificates.client().chain]
    assert (ours.info.client_auth_requested, ours.info.ca_names, ours.info.certificate_sent) == (True, (), True)


def test_our_client_shows_an_empty_certificate_when_it_has_none():
    peer = Server(client(), requests_certificate=True).run()
    assert peer.complete
    assert peer.got(Certificate).certificate_list == ()


def test_our_client_prefers_the_certificate_of_a_ca_that_the_server_names():
    stranger = certificates.other_ca().client("alice")
    ours = client(credentials=(credentials(stranger), credentials(certificates.client())))
    name = certificates.ca().certificate.subject.public_bytes()
    peer = Server(ours, requests_certificate=True, ca_names=(name,)).run()
    assert peer.complete
    assert peer.got(Certificate).certificate_list[0].cert_data == certificates.client().chain[0]


def test_our_server_asks_with_all_its_schemes_and_no_context():
    peer = Client(server(client_auth=REQUEST)).run()
    request = peer.got(CertificateRequest)
    assert request.certificate_request_context == b""
    assert request.extensions == Extensions.of(SignatureSchemeList(SUPPORTED_SCHEMES))
