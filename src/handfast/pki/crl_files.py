"""The revocation list of a CA as a file beside it, which each revocation and each renewal writes anew."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from handfast.crypto import new_keys
from handfast.errors import ConfigError
from handfast.files import errors_for, kind_of
from handfast.pki.directory import locked, write_files
from handfast.pki.issued import CertificateChain
from handfast.pki.revocation import CRL_DAYS
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from os import PathLike

    from handfast.pki.authority import CertificateAuthority
    from handfast.pki.revocation import Revocable

# Neither through a link, nor waiting for the writer of a pipe.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def renew_crl(
    path: str | PathLike[str],
    ca: CertificateAuthority,
    revoked: Sequence[Revocable] = (),
    *,
    reason: x509.ReasonFlags | None = None,
    days: float = CRL_DAYS,
    until: datetime | None = None,
) -> x509.CertificateRevocationList:
    """Write the CA's list to ``path``, PEM, with what was on it before and what is ``revoked`` now; returns it.

    The file is replaced in one step. Its directory is locked meanwhile, so that of two revocations at once neither is
    lost. Raises ConfigError not_its_issuer for a certificate that another CA issued, bad_crl for a list there that is
    not this CA's, and those of `write_files`.
    """
    path = Path(path)
    for item in revoked:
        if not isinstance(item, int):
            certificate = item.certificate if isinstance(item, CertificateChain) else item
            check_issued_by(ca, certificate, path="the certificate", ca_path="this CA's file")
    with locked(path.parent) as directory:
        before = _read(directory, path)
        known = None if before is None else own_crl(before, ca, path=escape(str(path)))
        previous = None if known is None else known.public_bytes(new_keys.PEM)
        pem = ca.crl(revoked, previous=previous, days=days, next_update=until, reason=reason)
        write_files(path.parent, {path.name: pem}, replace=True)
    return x509.load_pem_x509_crl(pem)


def own_crl(data: bytes, ca: CertificateAuthority, *, path: str) -> x509.CertificateRevocationList:
    """The list in ``data``, PEM or DER, the contents of ``path``; ConfigError bad_crl if it is not one of this CA's."""
    try:
        found = x509.load_pem_x509_crl(data) if b"-----BEGIN " in data else x509.load_der_x509_crl(data)
        list(found)
        list(found.extensions)
    except Exception as error:  # noqa: BLE001 (the parser raises errors of many kinds)
        raise ConfigError("bad_crl", path=path, reason=error) from None
    issuer = ca.certificate
    if found.issuer != issuer.subject or not found.is_signature_valid(issuer.public_key()):  # type: ignore[arg-type]
        raise ConfigError("bad_crl", path=path, reason="it is another CA's")
    return found


def check_issued_by(ca: CertificateAuthority, certificate: x509.Certificate, *, path: str, ca_path: str) -> None:
    """ConfigError not_its_issuer if it was not this CA that issued the certificate."""
    try:
        certificate.verify_directly_issued_by(ca.certificate)
    except (ValueError, TypeError, InvalidSignature):
        issuer = escape(certificate.issuer.rfc4514_string())
        raise ConfigError("not_its_issuer", path=path, ca=ca_path, issuer=issuer) from None


def _read(directory: int, path: Path) -> bytes | None:
    with errors_for(path):
        try:
            descriptor = os.open(path.name, _READ, dir_fd=directory)
        except FileNotFoundError:
            return None
    try:
        # A directory can be opened, and not read.
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError("not_a_regular_file", path=escape(str(path)), kind=kind_of(status))
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)
