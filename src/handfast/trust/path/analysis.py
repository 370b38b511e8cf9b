"""Why a chain is refused, in words. Nothing here accepts anything.

The library's own error is the same for a wrong CA and for an intermediate that was not sent, so the chain is followed
here once more: from the leaf upwards, at each step to a certificate of the issuer's name whose key verifies the
signature, a root if there is one. Where that ends without a root, the question is what the last issuer is:

- the certificate signed itself: self-signed, or a root that is not trusted here;
- a root, or another presented certificate, has the issuer's name and the signature does not verify under its key: a CA
  of the same name with another key; or, where the key identifiers say that it is the same key, a damaged certificate;
- none has the name: another CA, or an intermediate that the peer should have sent. A leaf alone rarely tells which.
  What tells is an intermediate known here that fits, or an authorityKeyIdentifier that names the issuer's issuer.
  Without these the code is unknown_issuer, and the words say both, with what hints at one of them: the CA's own name,
  or an address where its certificate can be fetched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from handfast.crypto.signatures import may_verify
from handfast.limits import MAX_ANALYSIS_SIGNATURES
from handfast.text import listed
from handfast.trust.path.paths import candidates, issued
from handfast.trust.path.rules import title
from handfast.verdict import Reason
from handfast.x509 import distinguished_names
from handfast.x509.certificates import Malformed, Parsed, parse
from handfast.x509.purpose import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from handfast.trust.path.anchors import Anchors
    from handfast.trust.path.policy import PathPolicy

_INTERMEDIATE_WORDS = ("intermediate", "issuing", "subordinate", "sub-ca", "sub ca", "subca")
_ROOT_WORD = "root"


class Walk(NamedTuple):
    """The best line upwards from the leaf; ``end`` says why it does not reach a root, None when it does."""

    path: list[Parsed]
    end: Reason | None


def follow(
    presented: Sequence[Parsed], anchors: Anchors, policy: PathPolicy, known_intermediates: Sequence[bytes] = ()
) -> Walk:
    """Follow the signatures. ``known_intermediates`` are some that the peer did not send, for the explanation."""
    path = [presented[0]]
    budget = MAX_ANALYSIS_SIGNATURES
    while not anchors.may_end(path[-1], policy):
        last = path[-1]
        found = candidates(path, presented, anchors, policy)
        tried = found[:budget]
        budget -= len(tried)
        issuer = next((one for one, trusted in tried if issued(last, one, trusted=trusted)), None)
        if issuer is None and tried != found:
            words = f"no way to a root was found by trying {MAX_ANALYSIS_SIGNATURES} signatures"
            return Walk(path, Reason("policy", None, words))
        if issuer is None:
            return Walk(path, _dead_end(last, presented, found, anchors, known_intermediates))
        path.append(issuer)
    return Walk(path, None)


def _dead_end(
    last: Parsed,
    presented: Sequence[Parsed],
    namesakes: list[tuple[Parsed, bool]],
    anchors: Anchors,
    known_intermediates: Sequence[bytes],
) -> Reason:
    # One that is trusted and ends no path may not have been presented.
    index = presented.index(last) if last in presented else None
    who = title(last, index)
    if namesakes and last.weak_hash:
        return Reason("weak_signature_hash", index, f"{who} is signed with {last.weak_hash}, which is broken")
    if namesakes:
        issuer, trusted = next((one for one in namesakes if one[1]), namesakes[0])
        return _namesake(last, index, issuer, trusted=trusted)
    if last not in anchors and issued(last, last):
        if index == 0:
            return Reason("self_signed", 0, f"{who} is self-signed, and it is not itself among {_roots(anchors)}")
        return Reason("unknown_issuer", index, f"{who}, a root that was sent along, is not among {_roots(anchors)}")
    return _unknown(last, index, anchors, known_intermediates)


def _namesake(last: Parsed, index: int | None, issuer: Parsed, *, trusted: bool) -> Reason:
    where = "a trusted root" if trusted else "another certificate that was sent"
    if not trusted and not may_verify(issuer.public_key_info):
        words = f"has the name of {title(last, index)}'s issuer, and a key of a kind that is not computed with"
        return Reason("unsupported_key", index, f"{where} {words}")
    if _same_key_identifier(last, issuer):
        words = f"{title(last, index)} is damaged: its signature does not verify, though it names the key of {where}"
        return Reason("bad_signature", index, words)
    words = (
        f"{title(last, index)} is signed by a CA called {last.issuer_text}; {where} has that name, but another key, and"
        " the signature does not verify under it"
    )
    return Reason("same_name_other_key", index, words)


def _unknown(last: Parsed, index: int | None, anchors: Anchors, known_intermediates: Sequence[bytes]) -> Reason:
    issuer = last.issuer_text
    if unusable := anchors.unusable(last.issuer):
        return Reason("unusable_root", None, f"{title(last, index)} was issued by {issuer}, and {unusable}")
    if twin := _same_text(last, anchors):
        ours, theirs = distinguished_names.written_as(twin), distinguished_names.written_as(last.issuer)
        how = f" ({theirs} in the certificate, {ours} in the root)" if ours != theirs else ""
        words = (
            f"{title(last, index)} was issued by {issuer}, which is the name of a trusted root by its text, and not by"
            f" its bytes: the two are encoded differently{how}"
        )
        return Reason("unknown_issuer", index, words)
    if last in anchors:
        words = f"is trusted and is no root: {issuer} issued it, which is not among {_roots(anchors)}"
        return Reason("not_a_root", index, f"{title(last, index)} {words}; by this policy only a root ends a path")
    facts = f"{title(last, index)} was issued by {issuer}, which was not sent and is not among {_roots(anchors)}"
    if evidence := _missing_evidence(last, anchors, known_intermediates):
        return Reason("missing_intermediate", index, f"{facts}; it is an intermediate: {evidence}")
    if _issuer_of_issuer(last) == last.issuer:
        return Reason("unknown_issuer", index, f"{facts}; it is a root, authorityKeyIdentifier says")
    doubt = "either it is a CA that is not trusted here, or an intermediate that should have been sent"
    return Reason("unknown_issuer", index, f"{facts}; {doubt}{_remark(last)}")


def _same_text(last: Parsed, anchors: Anchors) -> bytes:
    """The root's name that reads as the issuer's and is other bytes; b"" if there is none."""
    names = (name for name in anchors.roots.names() if name != last.issuer and distinguished_names.written_as(name))
    return next((name for name in names if distinguished_names.rfc4514(name) == last.issuer_text), b"")


def _missing_evidence(last: Parsed, anchors: Anchors, known_intermediates: Sequence[bytes]) -> str:
    """What shows that the issuer is an intermediate, or ""."""
    for certificate in known_intermediates:
        try:
            candidate = parse(certificate)
        except Malformed:
            continue
        if issued(last, candidate):
            return f"it is known here, and {candidate.issuer_text} issued it"
    above = _issuer_of_issuer(last)
    if above is None or above == last.issuer:
        return ""
    trusted = ", a trusted root," if anchors.named(above) else ""
    return f"authorityKeyIdentifier says that {distinguished_names.rfc4514(above)}{trusted} issued it"


def _remark(last: Parsed) -> str:
    """What hints at one of the two and proves neither: anybody can give a CA any name."""
    words = " ".join(distinguished_names.common_names(last.issuer)).lower()
    if any(word in words for word in _INTERMEDIATE_WORDS):
        return " (its name says intermediate)"
    if _ROOT_WORD in words:
        return " (its name says root)"
    address = _issuer_address(last)
    return f" (the certificate says that it can be fetched from {address})" if address else ""


def _issuer_of_issuer(last: Parsed) -> bytes | None:
    """authorityCertIssuer, RFC 5280 4.2.1.1: the name of who issued the issuer's certificate, as DER."""
    identifier = last.extension(x509.AuthorityKeyIdentifier)
    names = [] if identifier is None else identifier.authority_cert_issuer or []
    return next((name.value.public_bytes() for name in names if isinstance(name, x509.DirectoryName)), None)


def _issuer_address(last: Parsed) -> str:
    access = last.extension(x509.AuthorityInformationAccess)
    for description in access or ():
        location = description.access_location
        is_issuer = description.access_method == AuthorityInformationAccessOID.CA_ISSUERS
        if is_issuer and isinstance(location, x509.UniformResourceIdentifier):
            return location.value
    return ""


def _same_key_identifier(certificate: Parsed, issuer: Parsed) -> bool:
    wanted = certificate.extension(x509.AuthorityKeyIdentifier)
    own = issuer.extension(x509.SubjectKeyIdentifier)
    return wanted is not None and own is not None and wanted.key_identifier == own.digest


def _roots(anchors: Anchors) -> str:
    return f"the trusted roots, {anchors.roots.source}"


def name_problem(leaf: Parsed, server_name: str, policy: PathPolicy) -> Reason:
    """Why a server's certificate does not match, with all the names that it has."""
    has = leaf.names.labelled()
    own = listed([f"CN={name}" for name in leaf.names.common_names])
    by_common_name = policy.common_name_fallback and own and not leaf.names.dns
    if leaf.extension(x509.SubjectAlternativeName) is None and not by_common_name:
        remark = f"; {own} does not count" if own else ""
        words = f"{title(leaf, 0)} has no subjectAltName, so it is not for {server_name!r}, nor for any host{remark}"
        return Reason("no_subject_alternative_name", 0, words)
    names = listed((*has, own) if by_common_name else has) or "no host"
    return Reason("name_mismatch", 0, f"{title(leaf, 0)} is not for {server_name!r}, but for {names}")


def advice(code: str, purpose: Purpose) -> str:
    """What to do about a refusal."""
    return _ADVICE.get(code, _ADVICE_BY_PURPOSE[purpose].get(code, "have the certificate made anew"))


def further_than(first: Reason, reasons: Sequence[Reason]) -> Iterator[Reason]:
    """The reasons beside the first, each once."""
    yield from dict.fromkeys(reason for reason in reasons if reason != first)


_ADVICE = {
    "certificate_required": "give the peer a certificate and its key",
    "expired": "renew the certificate, or set the clock if the time here is wrong",
    "not_yet_valid": "set the clock right on the machine that is wrong, or wait",
    "missing_intermediate": "the peer must send its whole chain: the certificate first, then the intermediates",
    "same_name_other_key": "the CA was probably made anew under its old name: use the CA certificate that fits, or have"
    " the certificate issued by the trusted one",
    "bad_signature": "the certificate was altered or copied badly: fetch it again from the CA",
    "not_a_root": "trust the root above it too, or choose a policy that takes a partial chain",
    "other_issuer_named": "use the CA certificate that it was issued with, or have the certificate issued anew",
    "issuer_not_a_ca": "have the certificate issued by a CA certificate: basicConstraints CA:TRUE, keyCertSign",
    "path_too_long": "issue from a CA higher up, or raise the path length of the CA",
    "name_constraint": "use a name inside the CA's constraint, or another CA",
    "weak_signature_hash": "have the certificate issued anew with SHA-256",
    "malformed": "have the certificate issued anew, with another tool",
    "weak_key": "make a new key: RSA of 2048 bits and more, or ECDSA P-256",
    "unsupported_key": "use ECDSA P-256, P-384, P-521, Ed25519, Ed448 or RSA, signed with SHA-2",
    "key_may_not_sign": "have the certificate issued with keyUsage digitalSignature",
    "missing_required_extension": "have the certificate issued with that extension, or choose a less strict policy",
    "policy": "have the certificate issued anew, or choose another policy",
    "too_many_certificates": "send the leaf and its intermediates only",
    "no_roots": "name the trusted CA's certificate",
    "revoked": "have a new certificate issued, with a new key if the old one got into other hands",
    "revocation_unknown": "add that CA's revocation list, or check the leaf alone, or allow what no list speaks of",
    "revocation_stale": "fetch the CA's current revocation list, or set the clock if the time here is wrong",
    "ocsp_missing": "the peer must send an OCSP response beside its certificate (OCSP stapling)",
    "ocsp_bad": "the peer must fetch another OCSP response from its CA",
    "ocsp_stale": "the peer must fetch a current OCSP response from its CA; or set the clock if the time here is wrong",
    "ocsp_unknown": "the peer must ask its CA why it does not know the certificate, or use another one",
    "revocation_unusable": "fetch the revocation list again from the CA that issued the certificate",
    "unusable_root": "fetch that root again from its CA, or have the CA make it anew",
    "unsupported_extension": "have the certificate issued without that extension, or not critical",
}
_ADVICE_BY_PURPOSE = {
    Purpose.SERVER: {
        "unknown_issuer": "add that CA to the verifier's roots, or make the server send its intermediates",
        "self_signed": "add this very certificate to the verifier's roots, or have it issued by a CA",
        "name_mismatch": "connect to a name that the certificate has, or have it issued for this one",
        "no_subject_alternative_name": "have the certificate issued with the host in subjectAltName",
        "wrong_purpose": "give the server a certificate with the extended key usage serverAuth",
    },
    Purpose.CLIENT: {
        "unknown_issuer": "add that CA to the verifier's roots, or make the client send its intermediates",
        "self_signed": "add this very certificate to the verifier's roots, or have it issued by the CA",
        "wrong_purpose": "give the client a certificate with the extended key usage clientAuth",
    },
}
