"""Key exchange, certificates, proofs and Finished of TLS 1.2: what is refused, in each role."""

from __future__ import annotations

from dataclasses import replace

import pytest

from handfast.credentials.credentials import Credentials
from handfast.crypto.signatures import SUPPORTED_SCHEMES
from handfast.engine import ClientAuth
from handfast.errors import HandfastError
from handfast.limits import MAX_PRESENTED_CERTIFICATES
from handfast.registry import SignatureScheme
from handfast.roles import Role
from handfast.verdict import accept, refuse
from handfast.wire.codec import encode
from handfast.wire.messages import Finished
from handfast.wire.messages12 import Certificate, CertificateRequest, ClientKeyExchange, ServerKeyExchange
from tests import certificates
from tests.lies import (
    change,
    flipped,
    followed_by,
    handshake,
    kept,
    longer,
    preceded_by,
    shorter,
)
from tests.peer import Client
from tests.peer12 import Client12, Server12
from tests.protocol.ours import Judge, both_roles, client, credentials, server, table
from tests.protocol.test_client_auth import ALERTS, OUTCOMES, REQUIRED, check_outcome, judge_of, shown
from tests.protocol12.ours12 import BOTH, KEYS, PLAINTEXT, TLS12, Row12, meet12

P256, P384, X25519 = 0x0017, 0x0018, 0x001D
ASKING = {"client_auth": ClientAuth.REQUEST}
ALICE = {"identity": certificates.client()}
WEAK = Certificate((b"not a certificate",))


def params(**fields):
    return lambda message: replace(message, params=replace(message.params, **fields))


def signed_badly(message):
    return replace(message, signature=flipped(message.signature))


def with_scheme(scheme):
    return change(algorithm=int(scheme))


@table(
    Row12("a curve that we did not offer", params(named_curve=P384), "group_not_offered", "illegal_parameter"),
    Row12("a hybrid that we offered", params(named_curve=0x11EC), "group_not_offered", "illegal_parameter",
        ours={"groups": (0x11EC, X25519)}),
    Row12("a curve given in full", params(curve_type=1), "bad_value", "illegal_parameter"),
    Row12("a signature of something else", signed_badly, "bad_signature", "decrypt_error"),
    Row12("parameters that were not signed", params(public=bytes(31) + b"\x09"), "bad_signature", "decrypt_error"),
    Row12("no signature", change(signature=b""), "bad_signature", "decrypt_error"),
    Row12("a scheme that we did not offer", with_scheme(SignatureScheme.ed25519), "scheme_not_offered",
        "illegal_parameter", ours={"schemes": (SignatureScheme.ecdsa_secp256r1_sha256,)}),
    Row12("SHA-1", with_scheme(SignatureScheme.ecdsa_sha1), "scheme_not_offered", "illegal_parameter"),
    Row12("a scheme for RSA keys", with_scheme(SignatureScheme.rsa_pkcs1_sha256), "scheme_for_other_key",
        "illegal_parameter"),
    Row12("a scheme for RSASSA-PSS keys", with_scheme(SignatureScheme.rsa_pss_pss_sha256), "scheme_for_other_key",
        "illegal_parameter", peer={"identity": certificates.server("rsa-2048"), "chosen_suite": 0xC02F}),
    Row12("left out", [], "unexpected_message", "unexpected_message"),
    Row12("sent twice", lambda message: [message, message], "unexpected_message", "unexpected_message"),
    Row12("a byte too many", longer(), "trailing_bytes", "decode_error"),
    Row12("a byte too few", shorter, "truncated", "decode_error"),
    Row12("an empty public value", params(public=b"x"), "bad_signature", "decrypt_error"),
)  # fmt: skip
def test_server_key_exchange_with(row):
    row.check(Role.CLIENT, "ServerKeyExchange")


def resigned(**fields):
    """A ServerKeyExchange with these parameters, honestly signed."""

    def lie(peer):
        def tell(message):
            changed = replace(message.params, **fields)
            scheme, signature = peer._sign(b"".join(peer.randoms) + encode(changed))
            return replace(message, params=changed, algorithm=scheme, signature=signature)

        return tell

    return lie


BAD_POINTS = [
    (X25519, bytes(32), "all zero"),
    (X25519, bytes(31), "short"),
    (P256, bytes([4]) + bytes(64), "off the curve"),
    (P256, bytes([2]) + bytes(32), "compressed"),
    (P256, bytes([6]) + bytes(64), "hybrid form"),
    (P256, b"\0", "at infinity"),
]


@pytest.mark.parametrize(("group", "public", "why"), BAD_POINTS, ids=[why for _, _, why in BAD_POINTS])
@both_roles
def test_bad_public_values(role, group, public, why):
    if role is Role.CLIENT:
        peer = meet12(role, group=group)
        peer.lies = {"ServerKeyExchange": resigned(public=public)(peer)}
    else:
        groups = (group, P256) if group != P256 else (P256,)
        lies = {"ClientKeyExchange": ClientKeyExchange(public)}
        peer = meet12(role, {"groups": (group,)}, groups=groups, lies=lies)
    assert peer.run().refusal == ("bad_key_share", "illegal_parameter", PLAINTEXT)


def test_the_signature_covers_our_random():
    """A ServerKeyExchange of another connection, for all that its parameters are."""
    seen: list[ServerKeyExchange] = []
    peer = meet12(Role.CLIENT, lies={"ServerKeyExchange": kept(seen)}).run()
    assert peer.complete
    Row12("", seen[0], "bad_signature", "decrypt_error").check(Role.CLIENT, "ServerKeyExchange")


@table(
    Row12("no certificate", Certificate(()), "empty_server_certificate", "decode_error"),
    Row12("one that does not parse", WEAK, "malformed", "bad_certificate"),
    Row12("too many", Certificate((b"x",) * (MAX_PRESENTED_CERTIFICATES + 1)), "too_many_certificates",
        "bad_certificate"),
    Row12("left out", [], "unexpected_message", "unexpected_message"),
    Row12("one whose key is not for the suite", Certificate(certificates.server("rsa-2048").chain),
        "key_for_other_suite", "illegal_parameter"),
    Row12("another's", Certificate(certificates.server(names=("other.example.com",)).chain), "bad_signature",
        "decrypt_error"),
    Row12("an empty entry", handshake(11, b"\0\0\3\0\0\0"), "length_out_of_bounds", "decode_error"),
)  # fmt: skip
def test_server_certificate_with(row):
    row.check(Role.CLIENT, "Certificate")


@table(
    Row12("no types", handshake(13, b"\0\0\2\4\3\0\0"), "length_out_of_bounds", "decode_error"),
    Row12("no schemes", handshake(13, b"\1\x40\0\0\0\0"), "length_out_of_bounds", "decode_error"),
    Row12("an empty name", handshake(13, b"\1\x40\0\2\4\3\0\2\0\0"), "length_out_of_bounds", "decode_error"),
    Row12("twice", lambda message: [message, message], "unexpected_message", "unexpected_message"),
    Row12("before ServerKeyExchange", {"ServerKeyExchange": [], "CertificateRequest": lambda message: message},
        "unexpected_message", "unexpected_message"),
)  # fmt: skip
def test_certificate_request_with(row):
    row.check(Role.CLIENT, "CertificateRequest", peer={"requests_certificate": True})


@table(
    Row12("something in it", handshake(14, b"\0"), "trailing_bytes", "decode_error"),
    Row12("something behind it", followed_by(handshake(20, bytes(12))), "message_spans_key_change",
        "unexpected_message"),
    Row12("half a message behind it", followed_by(b"\x14"), "message_spans_key_change", "unexpected_message"),
    Row12("a HelloRequest before it", preceded_by(handshake(0, b"")), "unexpected_message", "unexpected_message"),
)  # fmt: skip
def test_server_hello_done_with(row):
    row.check(Role.CLIENT, "ServerHelloDone")


@table(
    Row12("left out", [], "unexpected_message", "unexpected_message", ours=ASKING),
    Row12("unasked", {"ClientKeyExchange": preceded_by(Certificate(certificates.client().chain))},
        "unexpected_message", "unexpected_message"),
    Row12("one that does not parse", WEAK, "malformed", "bad_certificate", ours=ASKING),
    Row12("too many", Certificate((b"x",) * (MAX_PRESENTED_CERTIFICATES + 1)), "too_many_certificates",
        "bad_certificate", ours=ASKING),
)  # fmt: skip
def test_client_certificate_with(row):
    row.check(Role.SERVER, "Certificate", peer=ALICE)


@table(
    # What comes instead is a change_cipher_spec.
    Row12("left out", [], "early_change_cipher_spec", "unexpected_message"),
    Row12("a signature of something else", signed_badly, "bad_signature", "decrypt_error"),
    Row12("a scheme that we did not offer", with_scheme(SignatureScheme.ecdsa_secp384r1_sha384), "scheme_not_offered",
        "illegal_parameter", ours={"schemes": (SignatureScheme.ecdsa_secp256r1_sha256,)}),
    Row12("SHA-1", with_scheme(SignatureScheme.ecdsa_sha1), "scheme_not_offered", "illegal_parameter"),
    Row12("a scheme for another kind of key", with_scheme(SignatureScheme.ed25519), "scheme_for_other_key",
        "illegal_parameter"),
    Row12("twice", lambda message: [message, message], "message_spans_key_change", "unexpected_message"),
)  # fmt: skip
def test_client_certificate_verify_with(row):
    row.check(Role.SERVER, "CertificateVerify", peer=ALICE, ours={**ASKING, **row.ours})


@table(
    Row12("left out", [], "early_change_cipher_spec", "unexpected_message"),
    Row12("twice", lambda message: [message, message], "message_spans_key_change", "unexpected_message"),
    Row12("a byte too many", longer(), "trailing_bytes", "decode_error"),
    Row12("nothing in it", handshake(16, b""), "truncated", "decode_error"),
    Row12("Finished behind it", followed_by(handshake(20, bytes(12))), "message_spans_key_change",
        "unexpected_message"),
    Row12("a CertificateVerify behind it", followed_by(handshake(15, bytes(4))), "message_spans_key_change",
        "unexpected_message"),
)  # fmt: skip
def test_client_key_exchange_with(row):
    row.check(Role.SERVER, "ClientKeyExchange")


# Finished


@pytest.mark.parametrize(
    ("lie", "code", "alert"),
    [
        (lambda message: Finished(flipped(message.verify_data)), "bad_finished", "decrypt_error"),
        (Finished(bytes(12)), "bad_finished", "decrypt_error"),
        (lambda message: Finished(message.verify_data[:-1]), "length_out_of_bounds", "decode_error"),
        (lambda message: Finished(message.verify_data + b"\0"), "length_out_of_bounds", "decode_error"),
        (Finished(bytes(32)), "length_out_of_bounds", "decode_error"),
        (handshake(11, bytes(3)), "unexpected_message", "unexpected_message"),
        (handshake(0, b""), "unexpected_message", "unexpected_message"),
    ],
    ids=["one bit", "zeros", "shorter", "longer", "as in 1.3", "a Certificate", "a HelloRequest"],
)
@both_roles
def test_finished_with(role, lie, code, alert):
    under = KEYS if role is Role.CLIENT else PLAINTEXT
    Row12("", lie, code, alert, under).check(role, "Finished")


def test_no_server_is_known_before_its_finished_is_right():
    peer = meet12(Role.CLIENT, lies={"Finished": Finished(bytes(12))}).run()
    assert peer.connection.info.peer_chain
    assert peer.connection.info.peer is None


@both_roles
def test_each_side_has_a_finished_of_its_own(role):
    """Ours is not accepted when it comes back."""
    peer = meet12(role)
    peer.lies = {"Finished": lambda _: Finished(peer._verify_data(role))}
    under = KEYS if role is Role.CLIENT else PLAINTEXT
    assert peer.run().refusal == ("bad_finished", "decrypt_error", under)


def test_a_hello_altered_on_the_way_is_noticed():
    """Somebody changed the name that our client asks for; with the extended main secret even the keys differ."""
    ours, theirs = client(**BOTH), server(versions=(TLS12,))
    theirs.receive(ours.outgoing().replace(b"localhost", b"l0calhost"))
    ours.receive(theirs.outgoing())
    with pytest.raises(HandfastError) as caught:
        theirs.receive(ours.outgoing())
    assert caught.value.code == "bad_record_mac"


# Who the client is


@pytest.mark.parametrize(("mode", "what"), OUTCOMES)
def test_every_mode_against_every_client(mode, what):
    judge = judge_of(what)
    peer = Client12(server(**BOTH, client_auth=mode, verifier=judge), identity=shown(what)).run()
    # RFC 5246 7.4.6: there is no alert certificate_required.
    check_outcome(peer, judge, mode, what, {**ALERTS, REQUIRED: "handshake_failure"}, PLAINTEXT)


# Nothing of ours is shown before the server is proven and judged


class Signer:
    """Says when it is asked."""

    def __init__(self, inner, asked):
        self.schemes = inner.schemes
        self.inner = inner
        self.asked = asked

    def sign(self, scheme, message):
        self.asked.append("signer")
        return self.inner.sign(scheme, message)


def meet_showing(asked, answer=None, **options):
    mine = credentials(certificates.client())
    mine = replace(mine, signer=Signer(mine.signer, asked))

    def judged():
        asked.append("verifier")
        return accept() if answer is None else answer

    ours = client(**BOTH, credentials=(mine,), verifier=Judge(judged))
    return Server12(ours, requests_certificate=True, **options)


def test_the_verifier_is_asked_before_the_signer():
    asked: list[str] = []
    peer = meet_showing(asked).run()
    assert peer.complete
    assert asked == ["verifier", "signer"]


def test_a_server_that_is_refused_sees_no_certificate():
    asked: list[str] = []
    peer = meet_showing(asked, refuse("unknown_issuer", "its CA is unknown")).run()
    assert peer.refusal == ("unknown_issuer", "unknown_ca", PLAINTEXT)
    assert asked == ["verifier"]
    assert not any(isinstance(message, Certificate) for message in peer.messages)


def test_a_server_that_proves_nothing_is_not_even_judged():
    asked: list[str] = []
    peer = meet_showing(asked, lies={"ServerKeyExchange": signed_badly}).run()
    assert peer.refusal == ("bad_signature", "decrypt_error", PLAINTEXT)
    assert asked == []
    assert peer.connection.info.peer is None


@both_roles
def test_a_foreign_signer_that_errs_is_caught(role):
    issued = certificates.client() if role is Role.CLIENT else certificates.server()
    mine = credentials(issued)
    wrong = Credentials(issued.chain, Signer(credentials(certificates.client(name="mallory")).signer, []))
    assert mine.chain == wrong.chain
    options = {"requests_certificate": True} if role is Role.CLIENT else {}
    peer = meet12(role, {"credentials": (wrong,)}, **options).run()
    assert peer.refusal == ("wrong_signature", "internal_error", PLAINTEXT)


def test_a_foreign_signer_is_asked_for_what_it_can_do():
    issued = certificates.server("rsa-2048")
    mine = credentials(issued)
    pss_only = replace(mine, signer=Signer(mine.signer, []))
    schemes = (SignatureScheme.rsa_pkcs1_sha256,)
    peer = meet12(Role.SERVER, {"credentials": (pss_only,)}, schemes=schemes).run()
    assert peer.refusal == ("no_common_scheme", "handshake_failure", PLAINTEXT)
    assert meet12(Role.SERVER, {"credentials": (mine,)}, schemes=schemes).run().complete


def test_a_signer_of_pkcs1_is_asked_for_something_else_in_tls_13():
    issued = certificates.server("rsa-2048")
    mine = credentials(issued)
    signer = Signer(mine.signer, [])
    signer.schemes = (SignatureScheme.rsa_pkcs1_sha256, *mine.signer.schemes)
    ours = server(**BOTH, credentials=(replace(mine, signer=signer),))
    assert Client(ours).run().complete
    assert ours.info.own_scheme == SignatureScheme.rsa_pss_rsae_sha256
    peer = meet12(Role.SERVER, {"credentials": (replace(mine, signer=signer),)}).run()
    assert peer.complete
    assert peer.connection.info.own_scheme == SignatureScheme.rsa_pkcs1_sha256


def test_the_request_names_all_our_schemes():
    peer = meet12(Role.SERVER, ASKING).run()
    assert peer.got(CertificateRequest).supported_signature_algorithms == SUPPORTED_SCHEMES
