"""Finding a path from a presented leaf to a trusted root.

``cryptography``'s verifier builds it, under the extension policies of ``anchors``. It is used through its client
verifier in both roles, because the server verifier insists on names that it can express itself; names are matched in
``names``. The library does not look at the leaf's key at all, and at nothing outside the path it finds: ``rules`` does.

The library knows no Ed25519 or Ed448 issuers. For a path that rests on such a signature ``lines`` looks for one
certificate signed by the next up to a root, in any order and with strangers among them (RFC 9846 4.5.1). ``rules`` then
checks what the library would have checked, and ``line_problems`` the rest: it refuses name constraints and every
algorithm that the library would not know either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509 import verification
from cryptography.x509.oid import SignatureAlgorithmOID

from handfast.crypto import signatures
from handfast.limits import MAX_PATH_SIGNATURES, MAX_PRESENTED_CERTIFICATES
from handfast.verdict import Reason
from handfast.x509.certificates import EDWARDS_SIGNATURES, Malformed, Parsed, names_another_issuer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from handfast.trust.path.anchors import Anchors
    from handfast.trust.path.path_context import PathContext
    from handfast.trust.path.policy import PathPolicy

_LINE_SIGNATURES = EDWARDS_SIGNATURES | {
    SignatureAlgorithmOID.ECDSA_WITH_SHA256,
    SignatureAlgorithmOID.ECDSA_WITH_SHA384,
    SignatureAlgorithmOID.ECDSA_WITH_SHA512,
    SignatureAlgorithmOID.RSA_WITH_SHA256,
    SignatureAlgorithmOID.RSA_WITH_SHA384,
    SignatureAlgorithmOID.RSA_WITH_SHA512,
}


class NoPath(Exception):
    """There is no path; the message is the library's."""


def find_paths(parsed: Sequence[Parsed], case: PathContext) -> Iterator[list[Parsed]]:
    """Paths from the leaf to a root, both included, the likeliest first; NoPath where there is none.

    Which of them is usable is for ``rules`` to say, which know more faults than the library does.
    """
    remembered = case.anchors.memory.recall(case.presented, case.policy)
    if remembered is not None:
        yield remembered
    for path in _build_paths(parsed, case):
        if path != remembered:
            yield path


def _build_paths(parsed: Sequence[Parsed], case: PathContext) -> Iterator[list[Parsed]]:
    """The library's path, then those that ``lines`` finds and that the library takes too, if it knows their keys.

    It looks for other ways itself, but gives only one, and some faults of a certificate end its search.
    """
    found: list[list[Parsed]] = []
    refusal = NoPath()
    if not any(certificate.edwards for certificate in parsed):
        try:
            found.append(_library_path(parsed, case))
        except NoPath as error:
            refusal = error
        else:
            yield found[0]
    for path in lines(parsed, case.anchors, case.policy):
        if not rests_on_edwards(path):
            try:
                path = _library_path(path[:-1] or path, case)
            except NoPath as error:
                refusal = refusal if refusal.args else error
                continue
        if path not in found:
            found.append(path)
            yield path
    if not found:
        try:
            raise refusal
        finally:
            # Its frames lead back here, and would keep the connection.
            del refusal


def rests_on_edwards(path: Sequence[Parsed]) -> bool:
    """Whether a signature along the path is one that the library does not know; a root's own does not count."""
    return any(certificate.edwards for certificate in path[:-1])


def lines(parsed: Sequence[Parsed], anchors: Anchors, policy: PathPolicy) -> Iterator[list[Parsed]]:
    """Every way from the leaf up to a root, each certificate issued by the next, in whatever order they were presented.

    At most MAX_PATH_SIGNATURES are tried.
    """
    budget = MAX_PATH_SIGNATURES
    presented = {certificate.encoded: certificate for certificate in parsed}.values()
    begun = [[parsed[0]]]
    while begun:
        path = begun.pop()
        last = path[-1]
        if anchors.may_end(last, policy):
            yield path
            continue
        if len(path) > MAX_PRESENTED_CERTIFICATES:
            continue
        found = candidates(path, presented, anchors, policy)[:budget]
        budget -= len(found)
        begun += [[*path, one] for one, trusted in reversed(found) if issued(last, one, trusted=trusted)]


def candidates(
    path: list[Parsed], presented: Iterable[Parsed], anchors: Anchors, policy: PathPolicy
) -> list[tuple[Parsed, bool]]:
    """Those of the name that issued the last of the path, and whether they are trusted: the likeliest first.

    That is what authorityKeyIdentifier does not speak against, trusted ones before others. What is on the path already
    is none, or the search would go in a circle: but a root of the same name and key ends it, as one made anew does.
    """
    last = path[-1]
    trusted = [one for one in anchors.named(last.issuer) if anchors.may_end(one, policy) or not passed(one, path)]
    others = [one for one in presented if one.subject == last.issuer and not passed(one, path)]
    named = [*((one, True) for one in trusted), *((one, False) for one in others)]
    return sorted(named, key=lambda candidate: bool(names_another_issuer(last, candidate[0])))


def passed(certificate: Parsed, path: list[Parsed]) -> bool:
    """Whether its name and key are on the path: they lead nowhere new, however many certificates repeat them."""
    return any((one.subject, one.public_key_info) == (certificate.subject, certificate.public_key_info) for one in path)


def line_problems(path: Sequence[Parsed]) -> Iterator[Reason]:
    """What the library would have refused in this path, beyond ``rules``, had it looked at it."""
    for certificate in path:
        who = certificate.subject_text
        if certificate.extension(x509.NameConstraints) is not None:
            words = f"{who} has name constraints, which are not implemented beside Ed25519 and Ed448 signatures"
            yield Reason("unsupported_extension", None, words)
        if not certificate.issuer[2:]:
            yield Reason("malformed", None, f"{who} has no issuer")
    for certificate in path[:-1]:
        if certificate.signature_algorithm not in _LINE_SIGNATURES:
            words = f"{certificate.subject_text} is signed in a way that is not implemented beside Ed25519 and Ed448"
            yield Reason("unsupported_key", None, words)
    yield from key_problems(path)


def key_problems(path: Sequence[Parsed]) -> Iterator[Reason]:
    """Issuers whose keys are of a kind that is not computed with, which the library passes over without a word."""
    for certificate in path[1:]:
        if not _may_issue(certificate):
            words = f"{certificate.subject_text} has a key of a kind that issues no certificates for TLS"
            yield Reason("unsupported_key", None, words)


def _may_issue(issuer: Parsed) -> bool:
    """Whether a CA's key is of a kind that TLS has a signature scheme for."""
    try:
        return bool(signatures.schemes_for(signatures.certificate_public_key(issuer.encoded)))
    except signatures.UnusableKey:
        return False


def issued(certificate: Parsed, issuer: Parsed, *, trusted: bool = False) -> bool:
    """Whether ``issuer`` has the right name and its key verifies the signature.

    A stranger's key, that of an issuer which is not ``trusted``, is only computed with if it is of a usual kind.
    """
    if certificate.issuer != issuer.subject or not (trusted or signatures.may_verify(issuer.public_key_info)):
        return False
    try:
        certificate.certificate.verify_directly_issued_by(issuer.certificate)
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
        return False
    return True


def _library_path(parsed: Sequence[Parsed], case: PathContext) -> list[Parsed]:
    anchors = case.anchors
    itself_trusted = anchors.may_end(parsed[0], case.policy)
    builder = anchors.builder(case.presented.purpose, case.policy, itself_trusted=itself_trusted)
    if builder is None:
        raise NoPath
    verifier = builder.time(case.presented.at).build_client_verifier()
    leaf, *others = (certificate.certificate for certificate in parsed)
    try:
        found = verifier.verify(leaf, others)
    except verification.VerificationError as error:
        raise NoPath(str(error)) from None
    try:
        return [_known(certificate, parsed) or anchors.by_object(certificate) for certificate in found.chain]
    except Malformed:
        raise NoPath from None


def _known(certificate: x509.Certificate, parsed: Sequence[Parsed]) -> Parsed | None:
    """The presented certificate that the library returned, None for a root."""
    for one in parsed:
        if one.certificate is certificate:
            return one
    return None
