"""Finding a path from a presented leaf to a trusted root.

``cryptography``'s verifier builds it, under extension policies of ours: its own, made for the public web, refuse what
private CAs make (basicConstraints that is not critical, no key identifiers, clients without subjectAltName, a critical
extended key usage). It is used through its client verifier in both roles, because the server verifier insists on names
that it can express itself; names are matched in ``names``. Two traps are avoided here, and tested:

- An extension policy without a callback does not check what the default one does. Extended key usage, key usage and
  basicConstraints each have a callback of ours, for CAs and leaves.
- The library does not look at the leaf's key at all, and at nothing outside the path it finds. ``rules`` does.

The library knows no Ed25519 or Ed448 issuers. For a path that rests on such a signature ``lines`` looks for one
certificate signed by the next up to a root, in any order and with strangers among them (RFC 9846 4.5.1). ``rules`` then
checks what the library would have checked, and ``line_problems`` the rest: it refuses name constraints and every
algorithm that the library would not know either.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509 import verification
from cryptography.x509.oid import SignatureAlgorithmOID

from handfast import der
from handfast.crypto import signatures
from handfast.limits import MAX_PATH_SIGNATURES, MAX_PEER_TEXT, MAX_PRESENTED_CERTIFICATES
from handfast.text import escape
from handfast.trust.path_memory import PathMemory
from handfast.trust.verdict import Reason
from handfast.x509.certificates import EDWARDS_SIGNATURES, Malformed, Parsed, hush_parser, parse
from handfast.x509.distinguished_names import rfc4514
from handfast.x509.usage import ca_purposes_allow, leaf_purposes_allow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from handfast.trust.case import Case
    from handfast.trust.policy import PathPolicy
    from handfast.trust.roots import Roots
    from handfast.x509.purpose import Purpose

_LINE_SIGNATURES = EDWARDS_SIGNATURES | {
    SignatureAlgorithmOID.ECDSA_WITH_SHA256,
    SignatureAlgorithmOID.ECDSA_WITH_SHA384,
    SignatureAlgorithmOID.ECDSA_WITH_SHA512,
    SignatureAlgorithmOID.RSA_WITH_SHA256,
    SignatureAlgorithmOID.RSA_WITH_SHA384,
    SignatureAlgorithmOID.RSA_WITH_SHA512,
}
_AGNOSTIC = verification.Criticality.AGNOSTIC


class NoPath(Exception):
    """There is no path; the message is the library's."""


class Anchors:
    """Roots, prepared for looking them up; ``remember`` is how many paths to them are kept."""

    def __init__(self, roots: Roots, remember: int = 0) -> None:
        self.roots = roots
        self.memory = PathMemory(remember)
        self._encoded = frozenset(roots.certificates)
        self._parsed: dict[int, Parsed] = {}
        self._builders: dict[tuple[Purpose, PathPolicy, bool], verification.PolicyBuilder] = {}
        self._by_name: dict[bytes, list[bytes]] = {}
        for certificate in roots.certificates:
            self._by_name.setdefault(der.certificate_fields(certificate).subject, []).append(certificate)

    def __contains__(self, certificate: Parsed) -> bool:
        return certificate.encoded in self._encoded

    def named(self, subject: bytes) -> list[Parsed]:
        """The roots with this DER subject name."""
        found = []
        for certificate in self._by_name.get(subject, ()):
            try:
                found.append(parse(certificate))
            except Malformed:
                continue
        return found

    def unusable(self, subject: bytes) -> str:
        """Which root with this DER subject name cannot be used, where it is and why; "" if all can."""
        for certificate in self._by_name.get(subject, ()):
            try:
                parse(certificate)
            except Malformed as error:
                who = escape(rfc4514(subject), MAX_PEER_TEXT) or "without a subject"
                return f"the trusted root {who} in {self.roots.file_of(certificate)} cannot be used: {error}"
        return ""

    def by_object(self, certificate: x509.Certificate) -> Parsed:
        """The root that the library returned; KeyError when it is not one, Malformed when it does not parse whole."""
        # By identity, because hashing a certificate means hashing all its bytes.
        found = self._parsed.get(id(certificate))
        if found is None or found.certificate is not certificate:
            found = parse(self._objects[certificate], certificate)
            if len(self._parsed) < len(self._objects):
                self._parsed[id(certificate)] = found
        return found

    def builder(self, purpose: Purpose, policy: PathPolicy, *, itself_trusted: bool) -> verification.PolicyBuilder:
        """What the library is to check, but for the time; ``itself_trusted``: the leaf is a root."""
        key = purpose, policy, itself_trusted
        found = self._builders.get(key)
        if found is None:
            found = self._builders[key] = (
                verification.PolicyBuilder()
                .store(self.store)
                .max_chain_depth(MAX_PRESENTED_CERTIFICATES)
                .extension_policies(
                    ca_policy=_ca_policy(purpose),
                    ee_policy=_leaf_policy(purpose, policy, itself_trusted=itself_trusted),
                )
            )
        return found

    @cached_property
    def store(self) -> verification.Store:
        return verification.Store(list(self._objects))

    @cached_property
    def _objects(self) -> dict[x509.Certificate, bytes]:
        """A root that does not parse is left out, so it is not trusted; one that the parser only warns of is."""
        hush_parser()
        objects = {}
        for certificate in self.roots.certificates:
            # Whatever its parser raises: the other roots serve, and ``unusable`` says what is wrong with this one.
            with suppress(Exception):
                objects[x509.load_der_x509_certificate(certificate)] = certificate
        return objects


def find_paths(parsed: Sequence[Parsed], case: Case) -> Iterator[list[Parsed]]:
    """Paths from the leaf to a root, both included, the likeliest first; NoPath where there is none.

    Which of them is usable is for ``rules`` to say, which know more faults than the library does.
    """
    remembered = case.anchors.memory.recall(case.presented, case.policy)
    if remembered is not None:
        yield remembered
    for path in _build_paths(parsed, case):
        if path != remembered:
            yield path


def _build_paths(parsed: Sequence[Parsed], case: Case) -> Iterator[list[Parsed]]:
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
    for path in lines(parsed, case.anchors):
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


def lines(parsed: Sequence[Parsed], anchors: Anchors) -> Iterator[list[Parsed]]:
    """Every way from the leaf up to a root, each certificate issued by the next, in whatever order they were presented.

    At most MAX_PATH_SIGNATURES are tried.
    """
    budget = MAX_PATH_SIGNATURES
    presented = {certificate.encoded: certificate for certificate in parsed}.values()
    begun = [[parsed[0]]]
    while begun:
        path = begun.pop()
        last = path[-1]
        if last in anchors:
            yield path
            continue
        others = [one for one in presented if one.subject == last.issuer and not passed(one, path)]
        roots = anchors.named(last.issuer)
        candidates = [*((one, True) for one in roots), *((one, False) for one in others)][:budget]
        budget -= len(candidates)
        begun += [[*path, one] for one, trusted in reversed(candidates) if issued(last, one, trusted=trusted)]


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


def _library_path(parsed: Sequence[Parsed], case: Case) -> list[Parsed]:
    anchors = case.anchors
    builder = anchors.builder(case.presented.purpose, case.policy, itself_trusted=parsed[0] in anchors)
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


def _ca_policy(purpose: Purpose) -> verification.ExtensionPolicy:
    def key_usage(_: verification.Policy, __: x509.Certificate, extension: x509.KeyUsage | None) -> None:
        if extension is not None and not extension.key_cert_sign:
            raise ValueError("keyUsage of a CA without keyCertSign")

    def purposes(_: verification.Policy, __: x509.Certificate, extension: x509.ExtendedKeyUsage | None) -> None:
        if not ca_purposes_allow(extension, purpose):
            raise ValueError("extendedKeyUsage of a CA excludes this purpose")

    def basic_constraints(_: verification.Policy, __: x509.Certificate, extension: x509.BasicConstraints) -> None:
        if not extension.ca:
            raise ValueError("an issuer that is not a CA")

    return (
        verification.ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, _AGNOSTIC, basic_constraints)
        .may_be_present(x509.KeyUsage, _AGNOSTIC, key_usage)
        .may_be_present(x509.ExtendedKeyUsage, _AGNOSTIC, purposes)
    )


def _leaf_policy(purpose: Purpose, policy: PathPolicy, *, itself_trusted: bool) -> verification.ExtensionPolicy:
    def key_usage(_: verification.Policy, __: x509.Certificate, extension: x509.KeyUsage | None) -> None:
        if extension is not None and not extension.digital_signature:
            raise ValueError("keyUsage without digitalSignature")

    def purposes(_: verification.Policy, __: x509.Certificate, extension: x509.ExtendedKeyUsage | None) -> None:
        if not leaf_purposes_allow(extension, purpose, any_purpose=policy.any_purpose):
            raise ValueError("extendedKeyUsage excludes this purpose")

    def basic_constraints(
        _: verification.Policy, __: x509.Certificate, extension: x509.BasicConstraints | None
    ) -> None:
        if extension is not None and extension.ca and not (policy.leaf_may_be_ca or itself_trusted):
            raise ValueError("a CA's own certificate as a leaf")

    return (
        verification.ExtensionPolicy.permit_all()
        .may_be_present(x509.BasicConstraints, _AGNOSTIC, basic_constraints)
        .may_be_present(x509.KeyUsage, _AGNOSTIC, key_usage)
        .may_be_present(x509.ExtendedKeyUsage, _AGNOSTIC, purposes)
    )
