"""What every certificate must satisfy, as a list of what it does not.

``weaknesses`` looks at all that was presented, before any path is built: keys that cost too much time or protect too
little, signatures that rest on a broken hash. ``path_problems`` looks at a path, leaf first. After the library has
found a path they run once more over it, so that accepting takes both; under a straight line they stand alone; and for a
chain that is refused they say why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from handfast.crypto.signatures import rsa_obstacle
from handfast.limits import MIN_RSA_BITS
from handfast.trust.path import strict
from handfast.trust.path.name_constraints import constraint_problems
from handfast.verdict import Reason
from handfast.x509.certificates import names_another_issuer
from handfast.x509.usage import ca_purposes_allow, leaf_purposes_allow, netscape_type_allows, purpose_names, wanted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, timedelta

    from handfast.trust.path.anchors import Anchors
    from handfast.trust.path.path_context import PathContext
    from handfast.x509.certificates import Parsed

# What is processed; RFC 5280 4.2: any other critical extension means refusal. Key identifiers only order candidates.
_PROCESSED = frozenset(
    (
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,
    )
)


def weaknesses(presented: Sequence[Parsed], anchors: Anchors) -> Iterator[Reason]:
    """Keys and signature hashes of all presented certificates; a root's own signature may be, it proves nothing."""
    for index, certificate in enumerate(presented):
        if certificate.rsa is not None:
            who = title(certificate, index)
            bits, exponent = certificate.rsa
            if bits < MIN_RSA_BITS:
                yield Reason("weak_key", index, f"{who} has an RSA key of {bits} bits; {MIN_RSA_BITS} are the least")
            if obstacle := rsa_obstacle(bits, exponent):
                yield Reason("weak_key", index, f"{who} has {obstacle}")
        if certificate.weak_hash and not (certificate.self_issued and certificate in anchors):
            words = f"is signed with {certificate.weak_hash}, which is broken"
            yield Reason("weak_signature_hash", index, f"{title(certificate, index)} {words}")


def path_problems(path: Sequence[Parsed], case: PathContext, *, trusted: bool) -> Iterator[Reason]:
    """What is wrong along a path, leaf first; ``trusted``: its last certificate is a root.

    Name constraints are only looked at when it is: a stranger could make them cost any number of comparisons.
    """
    at = case.presented.at
    for depth, certificate in enumerate(path):
        if not certificate.not_before <= at <= certificate.not_after:
            yield from _date_problems(certificate, case)
        if not _PROCESSED.issuperset(certificate.critical):
            yield from _extension_problems(certificate, case)
        if depth:
            yield from _issuer_problems(certificate, depth - 1, case)
            if case.policy.match_key_identifiers:
                yield from _identifier_problems(path[depth - 1], certificate, case)
        if trusted and x509.NameConstraints in certificate.values:
            yield from constraint_problems(path[:depth], certificate, case)
    itself_trusted = trusted and len(path) == 1
    yield from _leaf_problems(path[0], case, itself_trusted=itself_trusted)
    if case.policy.x509_strict and not itself_trusted:
        yield from strict.form_problems(path, case)


def title(certificate: Parsed, index: int | None) -> str:
    """How a certificate is called in sentences."""
    if index == 0:
        return f"the certificate {certificate.subject_text}"
    if index is None:
        return f"the trusted {'root' if certificate.self_signed else 'certificate'} {certificate.subject_text}"
    return f"certificate no. {index + 1} ({certificate.subject_text})"


def _problem(code: str, certificate: Parsed, words: str, case: PathContext) -> Reason:
    index = case.position(certificate)
    return Reason(code, index, f"{title(certificate, index)} {words}")


def _date_problems(certificate: Parsed, case: PathContext) -> Iterator[Reason]:
    at = case.presented.at
    if at > certificate.not_after:
        when = f"{span(at - certificate.not_after)} ago, on {instant(certificate.not_after)}"
        yield _problem("expired", certificate, f"expired {when}; the time here is {instant(at)}", case)
    if at < certificate.not_before:
        when = f"{span(certificate.not_before - at)}, on {instant(certificate.not_before)}"
        yield _problem("not_yet_valid", certificate, f"becomes valid in {when}; the time here is {instant(at)}", case)


def span(length: timedelta) -> str:
    """A length of time in its largest unit: "2 days", "3 hours"."""
    seconds = int(length.total_seconds())
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


def instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")


def _extension_problems(certificate: Parsed, case: PathContext) -> Iterator[Reason]:
    for oid in certificate.critical:
        if oid not in _PROCESSED:
            words = f"has the critical extension {oid.dotted_string}, which handfast does not process"
            yield _problem("unsupported_extension", certificate, words, case)


def _issuer_problems(certificate: Parsed, below: int, case: PathContext) -> Iterator[Reason]:
    """``below``: how many CAs stand between this one and the leaf."""
    purpose = case.presented.purpose
    if not certificate.is_ca:
        why = "has basicConstraints CA:FALSE" if certificate.is_v3 else "is of X.509 version 1"
        if certificate.is_v3 and certificate.extension(x509.BasicConstraints) is None:
            why = "has no basicConstraints"
        yield _problem("issuer_not_a_ca", certificate, f"issued a certificate and is no CA: it {why}", case)
        return
    key_usage = certificate.extension(x509.KeyUsage)
    if key_usage is not None and not key_usage.key_cert_sign:
        words = "issued a certificate, but its keyUsage lacks keyCertSign"
        yield _problem("issuer_not_a_ca", certificate, words, case)
    constraints = certificate.extension(x509.BasicConstraints)
    if constraints is not None and constraints.path_length is not None and constraints.path_length < below:
        words = f"allows {constraints.path_length} CAs below it, and there are {below}"
        yield _problem("path_too_long", certificate, words, case)
    purposes = certificate.extension(x509.ExtendedKeyUsage)
    if purposes is not None and not ca_purposes_allow(purposes, purpose):
        words = f"may issue for {', '.join(purpose_names(purposes))} only, not for {wanted(purpose)}"
        yield _problem("wrong_purpose", certificate, words, case)
    if certificate.rsa is not None and certificate.rsa[0] < MIN_RSA_BITS and case.position(certificate) is None:
        words = f"has an RSA key of {certificate.rsa[0]} bits; {MIN_RSA_BITS} are the least"
        yield _problem("weak_key", certificate, words, case)


def _identifier_problems(certificate: Parsed, issuer: Parsed, case: PathContext) -> Iterator[Reason]:
    """Where authorityKeyIdentifier names another key than the issuer's, or another certificate. RFC 5280 4.2.1.1."""
    if another := names_another_issuer(certificate, issuer):
        which = title(issuer, case.position(issuer))
        words = f"names {another} of its issuer than {which} has (authorityKeyIdentifier)"
        yield _problem("other_issuer_named", certificate, words, case)


def _leaf_problems(leaf: Parsed, case: PathContext, *, itself_trusted: bool) -> Iterator[Reason]:
    purpose, policy = case.presented.purpose, case.policy
    if not leaf.is_v3:
        words = "is of X.509 version 1, so nothing in it says what it is for"
        cure = "have it issued with extensions (openssl x509 -req takes them from -extfile)"
        yield _problem("policy", leaf, f"{words}: {cure}", case)
    purposes = leaf.extension(x509.ExtendedKeyUsage)
    if purposes is not None and not leaf_purposes_allow(purposes, purpose, any_purpose=policy.any_purpose):
        made = ", ".join(purpose_names(purposes))
        words = f"is made for {made}, and here it is used as a {purpose} certificate, which takes {wanted(purpose)}"
        yield _problem("wrong_purpose", leaf, words, case)
    # The parser does not know it.
    typed = policy.netscape_type and x509.UnrecognizedExtension in leaf.values
    if typed and not netscape_type_allows(leaf.certificate.extensions, purpose):
        words = f"has an nsCertType, which Netscape had before extended key usage, that leaves out {purpose}s"
        yield _problem("wrong_purpose", leaf, words, case)
    key_usage = leaf.extension(x509.KeyUsage)
    if key_usage is not None and not key_usage.digital_signature:
        words = "has a keyUsage without digitalSignature, so its key may not sign, and TLS 1.3 makes it sign"
        yield _problem("key_may_not_sign", leaf, words, case)
    if leaf.is_ca and not (policy.leaf_may_be_ca or itself_trusted):
        yield _problem("policy", leaf, f"is a CA's own certificate, not one for a {purpose}", case)
