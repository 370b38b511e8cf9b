"""The form that RFC 5280 4 prescribes, as far as OpenSSL's X509_V_FLAG_X509_STRICT demands it.

Python 3.13 sets this flag by default, so a certificate that fails here fails there. As in OpenSSL, a certificate that
is itself trusted may have any form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509

from handfast.verdict import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from handfast.trust.path.path_context import PathContext
    from handfast.x509.certificates import Parsed


def form_problems(path: Sequence[Parsed], case: PathContext) -> Iterator[Reason]:
    """What is wrong with the form of a path's certificates, leaf first."""
    for depth, certificate in enumerate(path):
        index = case.position(certificate)
        is_top = depth == len(path) - 1
        for missing in _missing(certificate, is_top=is_top):
            words = f"{certificate.subject_text} lacks {missing}, which RFC 5280 demands"
            yield Reason("missing_required_extension", index, words)
        for problem in _contradictions(certificate):
            yield Reason("policy", index, f"{certificate.subject_text}: {problem}")


def _missing(certificate: Parsed, *, is_top: bool) -> Iterator[str]:
    identifier = certificate.extension(x509.AuthorityKeyIdentifier)
    if not (is_top and certificate.self_issued) and (identifier is None or identifier.key_identifier is None):
        yield "authorityKeyIdentifier"
    if certificate.is_ca and certificate.extension(x509.SubjectKeyIdentifier) is None:
        yield "subjectKeyIdentifier"
    if certificate.is_ca and certificate.extension(x509.KeyUsage) is None:
        yield "keyUsage"


def _contradictions(certificate: Parsed) -> Iterator[str]:
    constraints = certificate.extension(x509.BasicConstraints)
    key_usage = certificate.extension(x509.KeyUsage)
    signs = key_usage is not None and key_usage.key_cert_sign
    if certificate.is_ca and not _critical(certificate, x509.BasicConstraints):
        yield "basicConstraints of a CA is not marked critical"
    if signs and not certificate.is_ca:
        yield "keyUsage has keyCertSign, and basicConstraints says that it is no CA"
    if constraints is not None and constraints.path_length is not None and not signs:
        yield "a path length without keyCertSign in keyUsage"
    if not certificate.subject[2:] and not _critical(certificate, x509.SubjectAlternativeName):
        yield "the subject is empty, and subjectAltName is not critical"


def _critical(certificate: Parsed, kind: type[x509.ExtensionType]) -> bool:
    return kind.oid in certificate.critical
