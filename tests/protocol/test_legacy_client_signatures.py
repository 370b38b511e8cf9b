"""RSASSA-PKCS1-v1_5 of clients in TLS 1.3: where both sides opted in, and nowhere else. RFC 9963."""

from __future__ import annotations

from typing import Any

import pytest

from handfast.credentials.credentials import Credentials
from handfast.crypto import signatures
from handfast.crypto.signatures import LEGACY_CLIENT_SCHEMES, SUPPORTED_SCHEMES
from handfast.engine import ClientAuth, ClientConfig, PeerAuthenticated, VerifiedPeer
from handfast.errors import ConfigError, PeerIncompatible
from handfast.registry import SignatureScheme
from handfast.wire.extensions import Extensions, SignatureSchemeList
from handfast.wire.messages import CertificateRequest, CertificateVerify, ClientHello
from handfast.wire.messages12 import CertificateRequest as CertificateRequest12
from tests import certificates
from tests.lies import change
from tests.peer import Client, Server
from tests.peer12 import Client12, Server12
from tests.protocol.ours import APPLICATION_KEYS, HANDSHAKE_KEYS, PLAINTEXT, asking, client, credentials, server

LEGACY, LEGACY_384, LEGACY_512 = LEGACY_CLIENT_SCHEMES
PKCS1, PSS = SignatureScheme.rsa_pkcs1_sha256, SignatureScheme.rsa_pss_rsae_sha256
RSA = certificates.client("rsa-2048")
NOT_OFFERED = ("scheme_not_offered", "illegal_parameter")
ACCEPTS: dict[str, Any] = {"accept_legacy_client_signatures": True}
BOTH_VERSIONS: dict[str, Any] = {"versions": (0x0304, 0x0303)}
ONLY_12: dict[str, Any] = {"versions": (0x0303,)}


class Card:
    """A signer as a token has it that knows no RSASSA-PSS, unless it is given other schemes."""

    def __init__(self, issued, *schemes):
        self.key = issued.key
        self.schemes = schemes or (PKCS1, *LEGACY_CLIENT_SCHEMES)

    def sign(self, scheme, message):
        assert scheme in self.schemes
        return signatures.sign(self.key, scheme, message)


def card(*schemes, issued=RSA):
    return {"credentials": (Credentials(issued.chain, Card(issued, *schemes)),)}


def requesting(*schemes):
    """What makes a server of the tests ask for these schemes."""
    return {"CertificateRequest": CertificateRequest(b"", Extensions.of(SignatureSchemeList(schemes)))}


def met(ours, theirs):
    """The two, after they have said all they have to say."""
    for _ in range(4):
        theirs.receive(ours.outgoing())
        ours.receive(theirs.outgoing())
    return ours, theirs


def test_the_code_points():
    assert [(scheme, SignatureScheme.describe(scheme)) for scheme in LEGACY_CLIENT_SCHEMES] == [
        (0x0420, "rsa_pkcs1_sha256_legacy"),
        (0x0520, "rsa_pkcs1_sha384_legacy"),
        (0x0620, "rsa_pkcs1_sha512_legacy"),
    ]
    assert not set(LEGACY_CLIENT_SCHEMES) & set(SUPPORTED_SCHEMES)


@pytest.mark.parametrize("scheme", LEGACY_CLIENT_SCHEMES, ids=SignatureScheme.describe)
def test_they_are_pkcs1_under_another_name(scheme):
    usual = SignatureScheme(scheme & 0xFF00 | 1)
    made = signatures.sign(RSA.key, scheme, b"message")
    assert made == signatures.sign(RSA.key, usual, b"message")
    key = signatures.certificate_public_key(RSA.chain[0])
    assert signatures.verify(key, scheme, made, b"message")
    assert not signatures.verify(key, scheme, made, b"another")
    assert not signatures.verify_12(key, scheme, made, b"message")
    pss = signatures.certificate_public_key(certificates.rsa_pss().chain[0])
    assert not signatures.scheme_fits(pss, scheme)
    assert scheme not in signatures.schemes_for(key) + signatures.schemes_for_12(key)


# Two connections of ours


@pytest.mark.parametrize("scheme", LEGACY_CLIENT_SCHEMES, ids=SignatureScheme.describe)
def test_a_client_whose_key_knows_pkcs1_only(scheme):
    ours, theirs = met(client(**card(scheme)), asking(**ACCEPTS))
    assert ours.connected
    assert isinstance(theirs.info.peer, VerifiedPeer)
    assert theirs.info.peer.chain == RSA.chain
    assert ours.info.own_scheme == theirs.info.peer_scheme == scheme


def test_the_same_after_the_handshake():
    ours = client(post_handshake_auth=True, **card())
    ours, theirs = met(ours, server(**ACCEPTS))
    theirs.request_client_certificate(client_auth=ClientAuth.REQUIRE_AND_VERIFY)
    ours.receive(theirs.outgoing())
    (done,) = [event for event in theirs.receive(ours.outgoing()) if isinstance(event, PeerAuthenticated)]
    assert isinstance(done.peer, VerifiedPeer)
    assert theirs.info.peer_scheme == LEGACY


def test_a_client_shows_nothing_to_a_server_that_did_not_opt_in():
    ours, theirs = met(client(**card()), server(client_auth=ClientAuth.REQUEST))
    assert (ours.connected, theirs.connected) == (True, True)
    assert (ours.info.certificate_sent, theirs.info.peer) == (False, None)


@pytest.mark.parametrize("signer", [PKCS1, None], ids=["names PKCS#1 of TLS 1.2 only", "is a key that we hold"])
def test_a_client_that_did_not_opt_in_never_makes_one(signer):
    own = {"credentials": (credentials(RSA),)} if signer is None else card(signer)
    ours = client(**own)
    peer = Server(ours, requests_certificate=True, lies=requesting(*LEGACY_CLIENT_SCHEMES)).run()
    assert peer.complete
    assert not ours.info.certificate_sent


def test_a_key_that_can_do_better_does():
    ours, theirs = met(client(**card(LEGACY, PSS)), asking(**ACCEPTS))
    assert theirs.info.peer_scheme == PSS
    ours = client(**card(LEGACY, PSS))
    assert Server(ours, requests_certificate=True, lies=requesting(LEGACY)).run().complete
    assert not ours.info.certificate_sent


@pytest.mark.parametrize("client_auth", [ClientAuth.NONE, ClientAuth.REQUEST, ClientAuth.REQUIRE_AND_VERIFY])
def test_what_the_request_names(client_auth):
    for opted_in in (False, True):
        ours = server(client_auth=client_auth, accept_legacy_client_signatures=opted_in, schemes=(PSS, PKCS1))
        request = [one for one in Client(ours, identity=RSA).run().listen().messages if type(one) is CertificateRequest]
        expected = (PSS, PKCS1, *LEGACY_CLIENT_SCHEMES) if opted_in else (PSS, PKCS1)
        named = [] if client_auth is ClientAuth.NONE else [SignatureSchemeList(expected)]
        assert [one.find(SignatureSchemeList) for one in request] == named


# Clients that lie to our server


@pytest.mark.parametrize("scheme", LEGACY_CLIENT_SCHEMES, ids=SignatureScheme.describe)
def test_a_client_that_was_not_asked_for_it(scheme):
    peer = Client(asking(), identity=RSA, scheme=scheme).run()
    assert peer.refusal == (*NOT_OFFERED, APPLICATION_KEYS)
    assert Client(asking(**ACCEPTS), identity=RSA, scheme=scheme).run().complete


def test_pkcs1_by_its_old_name_is_forbidden_all_the_same():
    peer = Client(asking(**ACCEPTS), identity=RSA, scheme=PKCS1).run()
    assert peer.refusal == ("scheme_forbidden", "illegal_parameter", APPLICATION_KEYS)


def test_a_signature_that_proves_nothing():
    lies = {"CertificateVerify": change(signature=bytes(256))}
    peer = Client(asking(**ACCEPTS), identity=RSA, scheme=LEGACY, lies=lies).run()
    assert peer.refusal == ("bad_signature", "decrypt_error", APPLICATION_KEYS)
    lies = {"CertificateVerify": change(algorithm=LEGACY_384)}
    peer = Client(asking(**ACCEPTS), identity=RSA, scheme=LEGACY, lies=lies).run()
    assert peer.refusal == ("bad_signature", "decrypt_error", APPLICATION_KEYS)


@pytest.mark.parametrize("key", ["ecdsa-p256", "rsa-pss"])
def test_a_key_that_they_are_not_for(key):
    issued = certificates.rsa_pss(purpose="clientAuth") if key == "rsa-pss" else certificates.client(key)
    lies = {"CertificateVerify": change(algorithm=LEGACY)}
    peer = Client(asking(**ACCEPTS), identity=issued, lies=lies).run()
    assert peer.refusal == ("scheme_for_other_key", "illegal_parameter", APPLICATION_KEYS)


def test_a_hello_that_names_them_changes_nothing():
    own = card(*LEGACY_CLIENT_SCHEMES, PSS, issued=certificates.server("rsa-2048"))
    ours = server(**own, **ACCEPTS)
    assert Client(ours, schemes=(*LEGACY_CLIENT_SCHEMES, *SUPPORTED_SCHEMES)).run().complete
    assert ours.info.own_scheme == PSS
    ours = server(**own, **ACCEPTS)
    peer = Client(ours, schemes=LEGACY_CLIENT_SCHEMES).run()
    assert isinstance(ours.error, PeerIncompatible)
    assert peer.refusal == ("no_common_scheme", "handshake_failure", PLAINTEXT)


def test_a_server_that_has_nothing_else_is_refused_when_it_is_configured():
    """Left alone it would refuse each client that speaks TLS 1.3, also those that speak 1.2 too."""
    other = credentials(certificates.server())
    for own in (card(), card(*LEGACY_CLIENT_SCHEMES), card(PKCS1)):
        for versions in ({}, BOTH_VERSIONS):
            with pytest.raises(ConfigError, match="credentials: none can sign"):
                server(**own, **versions)
        for fine in ({**own, **ONLY_12}, {"credentials": (*own["credentials"], other)}):
            server(**fine)
    server(credentials=lambda hello: other)


# Servers that lie to our client


@pytest.mark.parametrize("scheme", LEGACY_CLIENT_SCHEMES, ids=SignatureScheme.describe)
@pytest.mark.parametrize("own", [{}, card()], ids=["", "our client opted in"])
def test_a_server_that_signs_with_one(scheme, own):
    peer = Server(client(**own), identity=certificates.server("rsa-2048"), scheme=scheme).run()
    assert peer.refusal == (*NOT_OFFERED, HANDSHAKE_KEYS)


def test_no_hello_of_ours_names_them_and_none_can():
    ours = client(**card())
    hello = Server(ours).run().got(ClientHello)
    assert hello.find(SignatureSchemeList) == SignatureSchemeList(SUPPORTED_SCHEMES)
    with pytest.raises(ConfigError, match="rsa_pkcs1_sha256_legacy"):
        ClientConfig(schemes=(LEGACY, PSS))


# TLS 1.2 does not know them


def test_a_client_uses_the_old_name_there():
    ours = client(**card(), **BOTH_VERSIONS)
    requested = (*LEGACY_CLIENT_SCHEMES, *SUPPORTED_SCHEMES)
    assert Server12(ours, requests_certificate=True, requested_schemes=requested).run().complete
    assert ours.info.own_scheme == PKCS1
    ours = client(**card(*LEGACY_CLIENT_SCHEMES), **ONLY_12)
    assert Server12(ours, requests_certificate=True, requested_schemes=requested).run().complete
    assert not ours.info.certificate_sent


def test_a_server_that_signs_with_one_there():
    lies = {"ServerKeyExchange": change(algorithm=LEGACY)}
    issued = certificates.server("rsa-2048")
    peer = Server12(client(**ONLY_12, **card()), identity=issued, scheme=PKCS1, lies=lies).run()
    assert peer.refusal == (*NOT_OFFERED, PLAINTEXT)


def test_a_client_that_signs_with_one_there():
    lies = {"CertificateVerify": change(algorithm=LEGACY)}
    peer = Client12(asking(**ONLY_12, **ACCEPTS), identity=RSA, scheme=PKCS1, lies=lies).run()
    assert peer.refusal == (*NOT_OFFERED, PLAINTEXT)


def test_no_request_there_names_them():
    peer = Client12(asking(**ONLY_12, **ACCEPTS), identity=certificates.client()).run()
    assert peer.got(CertificateRequest12).supported_signature_algorithms == SUPPORTED_SCHEMES


def test_a_server_does_not_sign_with_one_there():
    own = card(*LEGACY_CLIENT_SCHEMES, PKCS1, issued=certificates.server("rsa-2048"))
    ours = server(**own, **ONLY_12)
    assert Client12(ours, schemes=(*LEGACY_CLIENT_SCHEMES, PKCS1)).run().complete
    assert ours.info.own_scheme == PKCS1


def test_what_ours_sends_says_the_scheme_that_it_is():
    peer = Server(client(**card()), requests_certificate=True, lies=requesting(PSS, LEGACY_512, LEGACY)).run()
    assert peer.complete
    assert peer.got(CertificateVerify).algorithm == LEGACY
