"""Trusted roots, prepared for looking them up and for ``cryptography``'s verifier.

The verifier works under extension policies of ours: its own, made for the public web, refuse what private CAs make
(basicConstraints that is not critical, no key identifiers, clients without subjectAltName, a critical extended key
usage). An extension policy without a callback does not check what the default one does, so extended key usage, key
usage and basicConstraints each have a callback of ours, for CAs and leaves.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509 import verification

from handfast import der
from handfast.limits import MAX_PEER_TEXT, MAX_PRESENTED_CERTIFICATES
from handfast.text import escape
from handfast.trust.path.path_memory import PathMemory
from handfast.x509.certificates import Malformed, Parsed, hush_parser, parse
from handfast.x509.distinguished_names import rfc4514
from handfast.x509.usage import ca_purposes_allow, leaf_purposes_allow

if TYPE_CHECKING:
    from handfast.trust.path.policy import PathPolicy
    from handfast.trust.roots import Roots
    from handfast.x509.purpose import Purpose

_AGNOSTIC = verification.Criticality.AGNOSTIC


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

    def may_end(self, certificate: Parsed, policy: PathPolicy) -> bool:
        """Whether a path may end at this certificate."""
        return certificate in self and (policy.partial_chain or certificate.self_signed)

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

    def builder(
        self, purpose: Purpose, policy: PathPolicy, *, itself_trusted: bool
    ) -> verification.PolicyBuilder | None:
        """What the library is to check, but for the time; ``itself_trusted``: the leaf is a root.

        None where there is nothing that a path could end at.
        """
        key = purpose, policy, itself_trusted
        found = self._builders.get(key)
        store = self._store if policy.partial_chain else self._store_of_roots
        if found is None and store is not None:
            found = self._builders[key] = (
                verification.PolicyBuilder()
                .store(store)
                .max_chain_depth(MAX_PRESENTED_CERTIFICATES)
                .extension_policies(
                    ca_policy=_ca_policy(purpose),
                    ee_policy=_leaf_policy(purpose, policy, itself_trusted=itself_trusted),
                )
            )
        return found

    @cached_property
    def _store(self) -> verification.Store | None:
        return verification.Store(list(self._objects)) if self._objects else None

    @cached_property
    def _store_of_roots(self) -> verification.Store | None:
        """Of those alone that are self-signed."""
        found = []
        for certificate, encoded in self._objects.items():
            with suppress(Malformed):
                if parse(encoded).self_signed:
                    found.append(certificate)
        return verification.Store(found) if found else None

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
