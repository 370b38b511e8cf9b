"""Certificate, CertificateVerify and Finished: who is shown, whether it is proven, and what the verifier said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519

from handfast.crypto import signatures
from handfast.engine import ClientAuth, UnverifiedPeer, VerifiedPeer
from handfast.errors import CertificateRejected
from handfast.limits import MAX_PRESENTED_CERTIFICATES, MAX_RSA_BITS, MAX_RSA_EXPONENT
from handfast.pki.authority import Issued
from handfast.registry import SignatureScheme
from handfast.roles import Role
from handfast.verdict import refuse
from handfast.wire.extensions import Extensions, OpaqueExtension, SignatureSchemeList
from handfast.wire.messages import Certificate, CertificateEntry, CertificateVerify
from handfast.wire.messages12 import Certificate as Certificate12
from handfast.x509.purpose import Purpose
from tests import certificates
from tests.lies import change, extended, flipped, followed_by, kept, longer, shorter, without
from tests.peer import Client, Server
from tests.protocol.ours import (
    APPLICATION_KEYS,
    HANDSHAKE_KEYS,
    Judge,
    Row,
    asking,
    both_roles,
    client,
    credentials,
    meet,
    table,
)
from tests.protocol12.ours12 import meet12
from tests.scripted import proof_content

# A server's alerts after its own Finished use application keys.
UNDER = {Role.CLIENT: HANDSHAKE_KEYS, Role.SERVER: APPLICATION_KEYS}
Scheme = SignatureScheme


def identity(role, key="ecdsa-p256"):
    """The certificate of the peer of this role of ours."""
    if key == "rsa-pss":
        return certificates.rsa_pss(purpose="serverAuth" if role is Role.CLIENT else "clientAuth")
    return certificates.server(key) if role is Role.CLIENT else certificates.client(key)


def check(role, step, lie, code, alert, **peer):
    """The lie, where the peer of our ``role`` shows a certificate."""
    ours = {"client_auth": ClientAuth.REQUIRE_AND_VERIFY} if role is Role.SERVER else {}
    Row("", lie, code, alert, UNDER[role], {"identity": identity(role), **peer}, ours).check(role, step)


# What key it may be


def expensive(bits, exponent):
    """A certificate with an RSA key like that."""
    issued = certificates.server("rsa-2048")
    old = x509.load_der_x509_certificate(issued.chain[0])
    # The library makes no key with the exponent 1.
    key = rsa.RSAPublicNumbers(max(exponent, 3), 2**bits - 1).public_key()
    builder = x509.CertificateBuilder(
        old.issuer, old.subject, key, old.serial_number, old.not_valid_before_utc, old.not_valid_after_utc
    )
    certificate = builder.sign(issued.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    return certificate.replace(b"\x02\1\3\xa3", b"\x02\1\1\xa3").replace(b"\x02\1\3\x30", b"\x02\1\1\x30")


@both_roles
@pytest.mark.parametrize("version", [0x0303, 0x0304])
@pytest.mark.parametrize(("bits", "exponent"), [(MAX_RSA_BITS + 8, 65537), (2048, MAX_RSA_EXPONENT + 1), (2048, 1)])
def test_an_rsa_key_is_judged_before_it_verifies_anything(role, version, bits, exponent):
    shown = expensive(bits, exponent)
    ours: Any = {"versions": (version,)}
    if role is Role.SERVER:
        ours["client_auth"] = ClientAuth.REQUEST
    peer: Any
    more: Any = {"identity": identity(role, "rsa-2048"), "scheme": Scheme.rsa_pss_rsae_sha256}
    if version == 0x0303:
        peer = meet12(role, ours, lies={"Certificate": Certificate12((shown,))}, **more).run()
    else:
        peer = meet(role, ours, lies={"Certificate": Certificate(b"", (CertificateEntry(shown),))}, **more).run()
    assert (peer.refusal.code, peer.refusal.alert) == ("weak_key", "unsupported_certificate")


# What CertificateVerify may be signed with


@pytest.mark.parametrize(
    ("key", "scheme", "code"),
    [
        ("ecdsa-p256", Scheme.ecdsa_secp384r1_sha384, "scheme_for_other_key"),
        ("ecdsa-p256", Scheme.ecdsa_secp521r1_sha512, "scheme_for_other_key"),
        ("ecdsa-p384", Scheme.ecdsa_secp256r1_sha256, "scheme_for_other_key"),
        ("ecdsa-p256", Scheme.ed25519, "scheme_for_other_key"),
        ("ecdsa-p256", Scheme.rsa_pss_rsae_sha256, "scheme_for_other_key"),
        ("ed25519", Scheme.ed448, "scheme_for_other_key"),
        ("ed25519", Scheme.ecdsa_secp256r1_sha256, "scheme_for_other_key"),
        ("rsa-2048", Scheme.rsa_pss_pss_sha256, "scheme_for_other_key"),
        ("rsa-2048", Scheme.ecdsa_secp256r1_sha256, "scheme_for_other_key"),
        ("rsa-pss", Scheme.rsa_pss_rsae_sha256, "scheme_for_other_key"),
        ("rsa-2048", Scheme.rsa_pkcs1_sha256, "scheme_forbidden"),
        ("rsa-2048", Scheme.rsa_pkcs1_sha384, "scheme_forbidden"),
        ("rsa-2048", Scheme.rsa_pkcs1_sha512, "scheme_forbidden"),
        ("rsa-2048", Scheme.rsa_pkcs1_sha1, "scheme_not_offered"),
        ("ecdsa-p256", Scheme.ecdsa_sha1, "scheme_not_offered"),
        ("ecdsa-p256", Scheme.mldsa65, "scheme_not_offered"),
        ("ecdsa-p256", 0x1A1A, "scheme_not_offered"),
    ],
    ids=lambda value: Scheme.describe(value) if isinstance(value, int) else value,
)
@both_roles
def test_certificate_verify_with_a_scheme_that_may_not_be_used(role, key, scheme, code):
    lie = change(algorithm=int(scheme))
    check(role, "CertificateVerify", lie, code, "illegal_parameter", identity=identity(role, key))


@both_roles
def test_certificate_verify_with_a_good_signature_under_a_scheme_that_we_left_out(role):
    ours = {"schemes": (Scheme.ed25519,), "client_auth": ClientAuth.REQUEST}
    if role is Role.CLIENT:
        del ours["client_auth"]
    row = Row("", {}, "scheme_not_offered", "illegal_parameter", UNDER[role], {"identity": identity(role)}, ours)
    row.check(role)


@pytest.mark.parametrize("scheme", [Scheme.rsa_pkcs1_sha256, Scheme.rsa_pkcs1_sha512])
@both_roles
def test_pkcs1_is_refused_though_the_signature_is_good_and_the_scheme_was_offered(role, scheme):
    assert scheme in signatures.SUPPORTED_SCHEMES
    issued = identity(role, "rsa-2048")
    check(role, "", {}, "scheme_forbidden", "illegal_parameter", identity=issued, scheme=int(scheme))


# Proofs that prove nothing

OTHER_KEY = certificates.client("ecdsa-p256", name="mallory").key


@table(
    Row("by another key", {}, "bad_signature", "decrypt_error", peer={"key": OTHER_KEY}),
    Row("with a bit turned over", lambda proof: replace(proof, signature=flipped(proof.signature)), "bad_signature",
        "decrypt_error"),
    Row("that is empty", change(signature=b""), "bad_signature", "decrypt_error"),
    Row("that is no DER", change(signature=bytes(70)), "bad_signature", "decrypt_error"),
    Row("with bytes after it", lambda proof: replace(proof, signature=proof.signature + b"\0"), "bad_signature",
        "decrypt_error"),
)  # fmt: skip
@both_roles
def test_a_signature(role, row):
    peer = {"identity": identity(role)}
    if "key" in row.peer:
        peer["identity"] = Issued(peer["identity"].chain, row.peer["key"])
    check(role, "CertificateVerify", row.lie, row.code, row.alert, **peer)


@pytest.mark.parametrize("salt", [0, 20, 31, 33, 2048 // 8 - 32 - 2], ids=lambda salt: f"{salt} bytes of salt")
@both_roles
def test_a_pss_signature_with(role, salt):
    """The salt is as long as the hash. RFC 9846 4.3.3."""
    issued = identity(role, "rsa-2048")
    peer = meet(role, {"client_auth": ClientAuth.REQUEST} if role is Role.SERVER else {}, identity=issued)

    def other_salt(proof):
        content = proof_content(peer.ROLE, peer.transcript)
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
        return replace(proof, signature=issued.key.sign(content, pss, hashes.SHA256()))

    peer.lies = {"CertificateVerify": other_salt}
    assert peer.run().refusal == ("bad_signature", "decrypt_error", UNDER[role])


@both_roles
def test_a_signature_that_speaks_of_the_other_role(role):
    check(role, "", {}, "bad_signature", "decrypt_error", proves_as=str(role))


@both_roles
def test_a_signature_over_another_handshake(role):
    """What proved something elsewhere proves nothing here."""
    earlier: list[CertificateVerify] = []
    ours = {"client_auth": ClientAuth.REQUEST} if role is Role.SERVER else {}
    assert meet(role, ours, identity=identity(role), lies={"CertificateVerify": kept(earlier)}).run().complete
    check(role, "CertificateVerify", earlier[0], "bad_signature", "decrypt_error")


# What belongs together


@both_roles
def test_a_certificate_without_certificate_verify(role):
    check(role, "CertificateVerify", [], "unexpected_message", "unexpected_message")


@both_roles
def test_certificate_verify_without_a_certificate(role):
    check(role, "Certificate", [], "unexpected_message", "unexpected_message")


@both_roles
def test_certificate_verify_twice(role):
    check(role, "CertificateVerify", lambda proof: [proof, proof], "unexpected_message", "unexpected_message")


@both_roles
def test_a_certificate_twice(role):
    check(role, "Certificate", lambda message: [message, message], "unexpected_message", "unexpected_message")


def test_certificate_verify_after_an_empty_certificate():
    proof = CertificateVerify(Scheme.ecdsa_secp256r1_sha256, bytes(70))
    row = Row("", followed_by(proof), "unexpected_message", "unexpected_message", APPLICATION_KEYS)
    row.check(Role.SERVER, "Certificate", ours={"client_auth": ClientAuth.REQUEST})


def test_a_certificate_that_our_server_did_not_ask_for():
    certificate = Certificate(b"", tuple(CertificateEntry(one) for one in certificates.client().chain))
    row = Row(
        "", lambda finished: [certificate, finished], "unexpected_message", "unexpected_message", APPLICATION_KEYS
    )
    row.check(Role.SERVER, "Finished")


# The messages themselves


@table(
    Row("no certificate", change(certificate_list=()), "empty_server_certificate", "decode_error"),
    Row("a context", change(certificate_request_context=b"context"), "certificate_context", "illegal_parameter"),
    Row("an entry without a certificate", lambda _: b"\x0b\0\0\x09\0\0\0\5" + bytes(5), "length_out_of_bounds",
        "decode_error"),
    Row("a byte too many", longer(), "trailing_bytes", "decode_error"),
    Row("a byte too few", shorter, "truncated", "decode_error"),
)  # fmt: skip
def test_our_client_refuses_a_certificate_with(row):
    check(Role.CLIENT, "Certificate", row.lie, row.code, row.alert)


@table(
    Row("a context", change(certificate_request_context=b"context"), "certificate_context", "illegal_parameter"),
    Row("a byte too many", longer(), "trailing_bytes", "decode_error"),
    Row("a byte too few", shorter, "truncated", "decode_error"),
    Row("no certificate, and a proof", change(certificate_list=()), "unexpected_message", "unexpected_message"),
)  # fmt: skip
def test_our_server_refuses_a_certificate_with(row):
    check(Role.SERVER, "Certificate", row.lie, row.code, row.alert)


@table(
    Row("no extensions", change(extensions=Extensions()), "missing_extension", "missing_extension"),
    Row("no signature_algorithms", lambda request: without(13)(extended(OpaqueExtension(0x1234, b""))(request)),
        "missing_extension", "missing_extension"),
    Row("a context", change(certificate_request_context=b"context"), "certificate_context", "illegal_parameter"),
    Row("an empty list of CA names", extended(OpaqueExtension(47, b"\0\0")), "length_out_of_bounds", "decode_error"),
    Row("an empty list of schemes", extended(OpaqueExtension(13, b"\0\0")), "length_out_of_bounds", "decode_error"),
    Row("a byte too many", longer(), "trailing_bytes", "decode_error"),
)  # fmt: skip
def test_our_client_refuses_a_certificate_request_with(row):
    row.check(Role.CLIENT, "CertificateRequest", under=HANDSHAKE_KEYS, peer={"requests_certificate": True})


def test_a_certificate_request_whose_schemes_our_keys_cannot_make_gets_no_certificate():
    ours = client(credentials=(credentials(certificates.client()),))
    lies = {"CertificateRequest": extended(SignatureSchemeList((Scheme.ed25519, Scheme.rsa_pkcs1_sha256)))}
    peer = Server(ours, requests_certificate=True, lies=lies).run()
    assert peer.complete
    assert not ours.info.certificate_sent


# Finished


@pytest.mark.parametrize(
    ("lie", "code", "alert"),
    [
        (
            lambda finished: replace(finished, verify_data=flipped(finished.verify_data)),
            "bad_finished",
            "decrypt_error",
        ),
        (
            lambda finished: replace(finished, verify_data=flipped(finished.verify_data, 0)),
            "bad_finished",
            "decrypt_error",
        ),
        (lambda finished: replace(finished, verify_data=bytes(32)), "bad_finished", "decrypt_error"),
        (shorter, "length_out_of_bounds", "decode_error"),
        (longer(), "length_out_of_bounds", "decode_error"),
        (change(verify_data=b""), "length_out_of_bounds", "decode_error"),
        (change(verify_data=bytes(48)), "length_out_of_bounds", "decode_error"),
    ],
    ids=[
        "its last bit",
        "its first byte",
        "zeros",
        "a byte too few",
        "a byte too many",
        "nothing",
        "another hash's size",
    ],
)
@both_roles
def test_finished_with_a_mistake_in(role, lie, code, alert):
    check(role, "Finished", lie, code, alert)


# What is presented


def chain_of(role, length):
    """The peer's certificate, and its issuer as often as it takes."""
    issued = identity(role)
    return Issued(issued.chain + (certificates.ca().certificate_der,) * (length - 1), issued.key)


def test_as_many_certificates_as_are_read():
    for role in Role:
        ours = {"client_auth": ClientAuth.REQUEST} if role is Role.SERVER else {}
        peer = meet(role, ours, identity=chain_of(role, MAX_PRESENTED_CERTIFICATES)).run()
        assert peer.complete, peer.connection.error
        assert len(peer.connection.info.peer_chain) == MAX_PRESENTED_CERTIFICATES


@both_roles
def test_more_certificates_than_are_read(role):
    issued = chain_of(role, MAX_PRESENTED_CERTIFICATES + 1)
    check(role, "", {}, "too_many_certificates", "bad_certificate", identity=issued)


def certificate_of(public_key):
    """A certificate of the test CA for a public key whose private half nobody has."""
    template = certificates.server().certificate
    builder = x509.CertificateBuilder(
        template.issuer, template.subject, public_key, 7, template.not_valid_before_utc, template.not_valid_after_utc
    )
    return builder.sign(certificates.ca().key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize(
    ("leaf", "code", "alert"),
    [
        (b"\x30\x03\2\1\0", "malformed", "bad_certificate"),
        (b"no certificate", "malformed", "bad_certificate"),
        (certificates.server().chain[0][:-300], "malformed", "bad_certificate"),
        (certificate_of(x25519.X25519PrivateKey.generate().public_key()), "unsupported_key", "unsupported_certificate"),
        (certificate_of(rsa.RSAPublicNumbers(3, 2**16383 + 1).public_key()), "weak_key", "unsupported_certificate"),
        (certificate_of(ec.generate_private_key(ec.SECP256K1()).public_key()), "scheme_for_other_key",
         "illegal_parameter"),
    ],
    ids=["another structure", "no structure", "cut short", "an X25519 key", "16384 bits of RSA", "an unknown curve"],
)  # fmt: skip
@both_roles
def test_a_leaf_that_holds(role, leaf, code, alert):
    certificate = Certificate(b"", (CertificateEntry(leaf),))
    check(role, "Certificate", certificate, code, alert)


def test_the_chain_stays_readable_after_a_failure():
    for role in Role:
        ours = {"client_auth": ClientAuth.REQUEST} if role is Role.SERVER else {}
        peer = meet(role, ours, identity=identity(role), lies={"CertificateVerify": change(signature=b"?")}).run()
        assert peer.error.code == "bad_signature"
        assert peer.connection.info.peer_chain == identity(role).chain
        assert peer.connection.info.peer is None


# What the verifier says

ALERTS = {
    "certificate_required": "certificate_required",
    "expired": "certificate_expired",
    "not_yet_valid": "certificate_expired",
    "unknown_issuer": "unknown_ca",
    "same_name_other_key": "unknown_ca",
    "missing_intermediate": "unknown_ca",
    "self_signed": "unknown_ca",
    "not_a_root": "unknown_ca",
    "other_issuer_named": "unknown_ca",
    "issuer_not_a_ca": "unknown_ca",
    "path_too_long": "unknown_ca",
    "unusable_root": "unknown_ca",
    "no_roots": "unknown_ca",
    "name_mismatch": "bad_certificate",
    "no_subject_alternative_name": "bad_certificate",
    "name_constraint": "bad_certificate",
    "bad_signature": "bad_certificate",
    "weak_signature_hash": "bad_certificate",
    "malformed": "bad_certificate",
    "too_many_certificates": "bad_certificate",
    "missing_required_extension": "bad_certificate",
    "policy": "bad_certificate",
    "pin_mismatch": "bad_certificate",
    "key_changed": "bad_certificate",
    "spiffe_id": "bad_certificate",
    "wrong_purpose": "unsupported_certificate",
    "key_may_not_sign": "unsupported_certificate",
    "weak_key": "unsupported_certificate",
    "unsupported_key": "unsupported_certificate",
    "unsupported_extension": "unsupported_certificate",
    "revoked": "certificate_revoked",
    "revocation_unknown": "certificate_unknown",
    "revocation_stale": "internal_error",
    "revocation_unusable": "internal_error",
    "ocsp_missing": "bad_certificate_status_response",
    "ocsp_bad": "bad_certificate_status_response",
    "ocsp_stale": "bad_certificate_status_response",
    "ocsp_unknown": "bad_certificate_status_response",
    "access_denied": "access_denied",
    "no_verdict": "internal_error",
    "verifier_failed": "internal_error",
}


def test_every_reason_for_a_refusal_has_its_alert():
    assert set(ALERTS) == set(CertificateRejected.catalogue)


@pytest.mark.parametrize("code", ALERTS)
@both_roles
def test_the_verifier_refuses_with(role, code):
    """A client judges before it answers, so its alert is under handshake keys; both tell the verdict and the chain."""
    verdict = refuse(code, "this is why")
    ours: dict[str, Any] = {"verifier": Judge(verdict)}
    if role is Role.SERVER:
        ours["client_auth"] = ClientAuth.REQUIRE_AND_VERIFY
    Row("", {}, code, ALERTS[code], UNDER[role], {"identity": identity(role)}, ours).check(role)
    peer = meet(role, ours, identity=identity(role)).run()
    assert isinstance(peer.raised, CertificateRejected)
    assert peer.raised.verdict is verdict
    assert peer.connection.info.peer == UnverifiedPeer(identity(role).chain, verdict)
    assert peer.connection.info.verified_peer is None


def test_our_client_shows_no_certificate_to_a_server_that_it_refuses():
    ours = client(verifier=Judge(refuse("expired", "why")), credentials=(credentials(certificates.client()),))
    peer = Server(ours, requests_certificate=True).run()
    assert peer.refusal == ("expired", "certificate_expired", HANDSHAKE_KEYS)
    assert [type(message).__name__ for message in peer.messages] == ["ClientHello"]
    assert not ours.info.certificate_sent


def test_a_lenient_client_goes_on_and_knows_that_the_server_is_not_verified():
    verdict = refuse("unknown_issuer", "why")
    peer = Server(client(verifier=Judge(verdict), enforce_verdict=False)).run()
    assert peer.complete
    assert peer.connection.info.peer == UnverifiedPeer(certificates.server().chain, verdict)
    assert peer.connection.info.verified_peer is None


def test_a_verifier_is_told_what_it_judges():
    judge = Judge()
    Server(client(verifier=judge, server_name="server.example.com")).run()
    Client(asking(verifier=judge), identity=certificates.client()).run()
    server_chain, client_chain = judge.asked
    assert (server_chain.purpose, server_chain.server_name) == (Purpose.SERVER, "server.example.com")
    assert server_chain.chain == certificates.server().chain
    assert (client_chain.purpose, client_chain.server_name) == (Purpose.CLIENT, None)
    assert client_chain.chain == certificates.client().chain


@pytest.mark.parametrize("step", ["Certificate", "CertificateVerify", "Finished"])
@both_roles
def test_no_verifier_is_asked_about_a_peer_that_proved_nothing(role, step):
    judge = Judge()
    ours = {"verifier": judge, **({"client_auth": ClientAuth.REQUIRE_AND_VERIFY} if role is Role.SERVER else {})}
    peer = meet(role, ours, identity=identity(role), lies={step: shorter}).run()
    assert peer.connection.error is not None
    assert judge.asked == []
    assert not isinstance(peer.connection.info.peer, VerifiedPeer)
