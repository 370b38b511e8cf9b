"""OCSP responses beside a leaf: which are believed, what they do to a verdict, and when one must come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import ocsp

from handfast import limits
from handfast.errors import ApiMisuse, Fault
from handfast.registry import AlertDescription
from handfast.trust.presented import PresentedChain
from handfast.trust.revocation.crl_store import Crls
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from handfast.verdict import Verdict
from handfast.x509.purpose import Purpose

from .crafting import (
    DAY,
    NOW,
    SERVER,
    Made,
    client,
    constraints,
    dns,
    eku,
    intermediate,
    new_key,
    root,
    rsa_key,
    server,
    usage,
    with_sha1,
)
from .crl_crafting import UNKNOWN, crl, entry
from .ocsp_crafting import (
    FOR_OCSP,
    NO_CHECK,
    SECOND,
    STATUSES,
    about_several,
    error_message,
    must_staple,
    responder,
    response,
    signed_with_sha1,
    with_single_extension,
)

SIGNS = (usage("digital_signature"), True)


def judged(leaf: Made, trusted: Made, stapled: bytes, *, asked: bool = True, at: Any = NOW, **options: Any) -> Verdict:
    presented = PresentedChain(
        chain=leaf.chain,
        purpose=Purpose.SERVER,
        server_name="localhost",
        at=at,
        ocsp_response=stapled,
        asked_for_ocsp_response=asked,
    )
    return PathVerifier(Roots.from_der([trusted.der]), **options).verify(presented)


@dataclass
class Scene:
    """A root and a server of it."""

    kind: str = "p256"

    @cached_property
    def root(self) -> Made:
        return root(key=new_key(self.kind))

    @cached_property
    def server(self) -> Made:
        return server(self.root)

    def response(self, status: ocsp.OCSPCertStatus = STATUSES.GOOD, **options: Any) -> bytes:
        return response(self.server, self.root, status, **options)

    def judged(self, stapled: bytes, **options: Any) -> Verdict:
        return judged(self.server, self.root, stapled, **options)

    def refused(self, stapled: bytes, *words: str, code: str = "ocsp_bad", **options: Any) -> None:
        verdict = self.judged(stapled, **options)
        assert verdict.code == code, verdict.explanation
        assert verdict.reasons[0].certificate_index == 0
        assert verdict.advice
        for one in words:
            assert one in verdict.explanation


@pytest.fixture
def scene() -> Scene:
    return Scene()


# What it says


@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "rsa", "ed25519", "ed448"])
def test_good_revoked_and_unknown(kind: str) -> None:
    scene = Scene(kind)
    assert scene.judged(scene.response(), ocsp="require")
    assert scene.judged(scene.response(STATUSES.REVOKED)).code == "revoked"
    assert scene.judged(scene.response(STATUSES.UNKNOWN)).code == "ocsp_unknown"


def test_revoked_in_words(scene: Scene) -> None:
    for reason, why in ((None, "no reason is given"), (x509.ReasonFlags.key_compromise, "keyCompromise")):
        verdict = scene.judged(scene.response(STATUSES.REVOKED, reason=reason))
        assert verdict.explanation == (
            f"the certificate CN=localhost,O=lab was revoked on 2026-11-19 12:00 UTC ({why}),"
            " says the OCSP response of 2026-11-20 12:00 UTC that came with it"
        )
        assert verdict.error().alert is AlertDescription.certificate_revoked


@pytest.mark.parametrize("code", ["ocsp_missing", "ocsp_bad", "ocsp_stale", "ocsp_unknown"])
def test_a_response_that_is_not_acceptable_is_the_peers_fault(scene: Scene, code: str) -> None:
    stapled, at = {
        "ocsp_missing": (b"", NOW),
        "ocsp_bad": (b"\0", NOW),
        "ocsp_stale": (scene.response(), NOW + 2 * DAY),
        "ocsp_unknown": (scene.response(STATUSES.UNKNOWN), NOW),
    }[code]
    verdict = scene.judged(stapled, at=at, ocsp="require")
    assert verdict.code == code
    assert verdict.error().alert is AlertDescription.bad_certificate_status_response
    assert verdict.error().fault is Fault.PEER


def test_a_client_is_judged_alike(scene: Scene) -> None:
    alice = client(scene.root)
    for status, code in ((STATUSES.GOOD, ""), (STATUSES.REVOKED, "revoked")):
        presented = PresentedChain(
            chain=alice.chain,
            purpose=Purpose.CLIENT,
            server_name=None,
            at=NOW,
            ocsp_response=response(alice, scene.root, status),
        )
        assert PathVerifier(Roots.from_der([scene.root.der])).verify(presented).code == code


def test_what_is_wrong_with_the_path_comes_first(scene: Scene) -> None:
    assert judged(scene.server, root("Other"), b"rubbish").code == "unknown_issuer"


# When


def test_the_clocks_may_differ_a_little(scene: Scene) -> None:
    skew = timedelta(seconds=limits.OCSP_CLOCK_SKEW)
    stapled = scene.response()
    for at in (NOW - DAY - skew, NOW + DAY + skew):
        assert scene.judged(stapled, at=at)
    late, early = NOW + DAY + skew + SECOND, NOW - DAY - skew - SECOND
    scene.refused(stapled, "ended 5 minutes ago, on 2026-11-22 12:00 UTC", code="ocsp_stale", at=late)
    scene.refused(stapled, "begins only in 5 minutes", "the time here is", code="ocsp_stale", at=early)


def test_an_outdated_response_still_says_revoked(scene: Scene) -> None:
    verdict = scene.judged(scene.response(STATUSES.REVOKED), at=NOW + 9 * DAY)
    assert [one.code for one in verdict.reasons] == ["revoked", "ocsp_stale"]


def test_one_that_does_not_say_until_when(scene: Scene) -> None:
    scene.refused(scene.response(next_update=None), "no nextUpdate")


# About whom


@pytest.mark.parametrize("id_hash", [hashes.SHA1(), hashes.SHA256(), hashes.SHA384()])
def test_the_hash_in_its_certificate_id_is_free(scene: Scene, id_hash: Any) -> None:
    assert scene.judged(scene.response(id_hash=id_hash), ocsp="require")


def test_another_certificate_of_the_same_ca(scene: Scene) -> None:
    scene.refused(response(server(scene.root), scene.root), "is about another one")


def test_the_same_number_of_another_ca(scene: Scene) -> None:
    """The CertID names the issuer, too, by name and key: a CA cannot speak for one of the same name."""
    twin = root()
    assert twin.certificate.subject == scene.root.certificate.subject
    scene.refused(response(scene.server, twin, signer=scene.root), "is about another one")


def test_several_at_once(scene: Scene) -> None:
    assert scene.judged(about_several(scene.server, scene.root))
    scene.refused(about_several(scene.server, scene.root, server(scene.root)), "is about 2 certificates")


# By whom


@pytest.mark.parametrize("by_name", [False, True])
def test_the_issuer_signs_or_a_responder_of_its(scene: Scene, by_name: bool) -> None:
    assert scene.judged(scene.response(by_name=by_name))
    for key in (None, rsa_key(), new_key("ed25519")):
        delegate = responder(scene.root, key=key)
        assert scene.judged(scene.response(by_name=by_name, signer=delegate))


def test_below_an_intermediate(scene: Scene) -> None:
    """The leaf's issuer speaks for it; the root above that does not."""
    issuer = intermediate("Issuing CA", scene.root)
    leaf = server(issuer)
    assert judged(leaf, scene.root, response(leaf, issuer))
    assert judged(leaf, scene.root, response(leaf, issuer, signer=responder(issuer)))
    for signer in (scene.root, responder(scene.root)):
        assert judged(leaf, scene.root, response(leaf, issuer, signer=signer)).code == "ocsp_bad"


def test_another_key_signed(scene: Scene) -> None:
    for options in ({"key": new_key()}, {"key": new_key(), "signer": responder(scene.root)}):
        scene.refused(scene.response(**options), "a signature that is not")


def test_another_kind_of_key_signed(scene: Scene) -> None:
    scene.refused(scene.response(key=new_key("ed25519")), "a signature that is not")


def test_somebody_whose_certificate_is_not_there(scene: Scene) -> None:
    scene.refused(scene.response(signer=responder(scene.root), embedded=()), "names a signer that is neither")
    other = responder(scene.root)
    scene.refused(scene.response(signer=responder(scene.root), embedded=(other,)), "names a signer that is neither")


def test_responders_that_may_not(scene: Scene) -> None:
    for delegate, words in (
        (responder(scene.root, SIGNS), "is not made for that (OCSPSigning)"),
        (responder(scene.root, SIGNS, eku(SERVER)), "is not made for that (OCSPSigning)"),
        (responder(scene.root, SIGNS, eku(x509.ObjectIdentifier("2.5.29.37.0"))), "is not made for that (OCSPSigning)"),
        (responder(scene.root, (usage("key_cert_sign"), True), FOR_OCSP), "keyUsage lacks digitalSignature"),
        (responder(scene.root, SIGNS, FOR_OCSP, (UNKNOWN, True)), "a critical extension"),
        (responder(scene.root, not_after=NOW - SECOND), "is valid from 2026-10-22 12:00 UTC to 2026-11-21 11:59 UTC"),
        (responder(scene.root, not_before=NOW + SECOND), "is valid from 2026-11-21 12:00 UTC"),
        (responder(scene.root, key=rsa_key(1024)), "an RSA key of 1024 bits"),
        (responder(root()), "does not vouch"),
        (responder(None), "does not vouch"),
        (scene.server, "is not made for that (OCSPSigning)"),
    ):
        scene.refused(scene.response(signer=delegate), words)


@pytest.mark.parametrize(("bits", "exponent"), [(limits.MAX_RSA_BITS + 8, 65537), (2048, limits.MAX_RSA_EXPONENT + 1)])
def test_a_responder_whose_key_costs_too_much(scene: Scene, bits: int, exponent: int) -> None:
    class Expensive:
        def public_key(self) -> rsa.RSAPublicKey:
            return rsa.RSAPublicNumbers(exponent, 2**bits - 1).public_key()

    expensive = responder(scene.root, key=Expensive())
    scene.refused(scene.response(signer=expensive, embedded=(expensive,), key=new_key()), "has an RSA key of")


def test_a_responder_whose_certificate_rests_on_sha1() -> None:
    scene = Scene("rsa")
    delegate = responder(scene.root)
    assert scene.judged(scene.response(signer=delegate))
    scene.refused(scene.response(signer=with_sha1(delegate, scene.root.key)), "does not vouch")


def test_a_responder_that_is_on_the_list(scene: Scene) -> None:
    plain, excused = responder(scene.root, SIGNS, FOR_OCSP), responder(scene.root, SIGNS, FOR_OCSP, NO_CHECK)
    for delegate, revoked, expected in (
        (plain, plain, "ocsp_bad"),
        (plain, excused, ""),
        (excused, excused, ""),
    ):
        lists = Crls.from_der([crl(scene.root, entry(revoked))])
        assert scene.judged(scene.response(signer=delegate), crls=lists).code == expected


def test_only_so_many_signers_are_looked_at(scene: Scene) -> None:
    key = new_key()
    good = responder(scene.root, key=key)
    bad = [responder(scene.root, SIGNS, key=key) for _ in range(limits.MAX_OCSP_RESPONDERS)]
    assert scene.judged(scene.response(signer=good, embedded=(*bad[1:], good)))
    scene.refused(scene.response(signer=good, embedded=(*bad, good)), "is not made for that")


# Its form


def test_what_is_no_response(scene: Scene) -> None:
    good = scene.response()
    for rubbish in (b"\0", b"an OCSP response", good[:-1], good + b"\0", scene.server.der):
        scene.refused(rubbish, "cannot be read")


@pytest.mark.parametrize("at", range(0, 300, 7))
def test_no_altered_bit_makes_another_answer(scene: Scene, at: int) -> None:
    altered = bytearray(scene.response(STATUSES.REVOKED))
    altered[at % len(altered)] ^= 1
    assert scene.judged(bytes(altered)).code in ("ocsp_bad", "revoked")


@pytest.mark.parametrize("status", [one for one in ocsp.OCSPResponseStatus if one.value])
def test_error_messages(scene: Scene, status: ocsp.OCSPResponseStatus) -> None:
    scene.refused(error_message(status), "an error message of its responder", status.name)


def test_critical_extensions(scene: Scene) -> None:
    nonce = x509.OCSPNonce(bytes(16))
    assert scene.judged(scene.response(extensions=((nonce, False), (UNKNOWN, False))))
    for extension in (nonce, UNKNOWN):
        scene.refused(scene.response(extensions=((extension, True),)), "the critical extension")
    assert scene.judged(with_single_extension(scene.server, scene.root, critical=False))
    scene.refused(with_single_extension(scene.server, scene.root, critical=True), "the critical extension 1.2.3.4")


def test_a_weak_signature_hash() -> None:
    scene = Scene("rsa")
    scene.refused(signed_with_sha1(scene.server, scene.root), "another hash than SHA-2")
    for hash_ in (hashes.SHA384(), hashes.SHA512()):
        assert scene.judged(scene.response(signature_hash=hash_))


def test_its_size(scene: Scene) -> None:
    padded = x509.UnrecognizedExtension(UNKNOWN.oid, bytes(limits.MAX_OCSP_RESPONSE))
    scene.refused(scene.response(extensions=((padded, False),)), f"{limits.MAX_OCSP_RESPONSE} are the most")
    size = limits.MAX_OCSP_RESPONSE - len(scene.response()) - 64
    large = x509.UnrecognizedExtension(UNKNOWN.oid, bytes(size))
    assert scene.judged(scene.response(extensions=((large, False),)))


# Whether one must come


def promising(scene: Scene, *features: x509.TLSFeatureType) -> Made:
    return server(scene.root, constraints(False), SIGNS, eku(SERVER), dns("localhost"), must_staple(*features))


@pytest.mark.parametrize(
    ("policy", "asked", "plain", "promise"),
    [
        ("ignore", True, "", ""),
        ("check", False, "", ""),
        ("check", True, "", "ocsp_missing"),
        ("require", False, "ocsp_missing", "ocsp_missing"),
        ("require", True, "ocsp_missing", "ocsp_missing"),
    ],
)
def test_when_none_came(scene: Scene, policy: str, asked: bool, plain: str, promise: str) -> None:
    assert scene.judged(b"", asked=asked, ocsp=policy).code == plain
    verdict = judged(promising(scene), scene.root, b"", asked=asked, ocsp=policy)
    assert verdict.code == promise
    assert ("(must-staple)" in verdict.explanation) == (bool(promise) and asked)


def test_must_staple_is_about_status_request(scene: Scene) -> None:
    version_2 = promising(scene, x509.TLSFeatureType.status_request_v2)
    assert judged(version_2, scene.root, b"")
    both = promising(scene, x509.TLSFeatureType.status_request_v2, x509.TLSFeatureType.status_request)
    assert judged(both, scene.root, b"").code == "ocsp_missing"


def test_must_staple_with_a_response(scene: Scene) -> None:
    leaf = promising(scene)
    assert judged(leaf, scene.root, response(leaf, scene.root))
    assert judged(leaf, scene.root, scene.response()).code == "ocsp_bad"


def test_ignored_is_ignored(scene: Scene) -> None:
    for stapled in (b"rubbish", scene.response(STATUSES.REVOKED)):
        assert scene.judged(stapled, ocsp="ignore")
        assert not scene.judged(stapled)


def test_a_certificate_that_is_itself_trusted_is_nobodys_to_revoke(scene: Scene) -> None:
    assert judged(scene.server, scene.server, b"", ocsp="require")


def test_lists_count_beside_it(scene: Scene) -> None:
    lists = Crls.from_der([crl(scene.root, entry(scene.server))])
    assert scene.judged(scene.response(), crls=lists).code == "revoked"
    clear = Crls.from_der([crl(scene.root)])
    assert scene.judged(scene.response(STATUSES.REVOKED), crls=clear).code == "revoked"
    assert scene.judged(scene.response(), crls=clear)


# The knob


def test_policies() -> None:
    roots = Roots((), "nothing")
    with pytest.raises(ApiMisuse, match="sometimes"):
        PathVerifier(roots, ocsp="sometimes")
    verifiers = [PathVerifier(roots, ocsp=policy) for policy in ("ignore", "check", "require")]
    assert [one.requires_ocsp_response for one in verifiers] == [False, False, True]
    assert len({one.policy_id for one in verifiers}) == 3


def test_the_response_does_not_show() -> None:
    presented = PresentedChain(chain=(), purpose=Purpose.SERVER, server_name=None, at=NOW, ocsp_response=b"rubbish")
    assert "rubbish" not in repr(presented)
