"""``handfast certs ocsp``: what the CA says of a certificate, as a file to be stapled."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from cryptography import x509

from handfast.cli import ca_options, options, ui
from handfast.pki.crl_files import check_issued_by, own_crl
from handfast.pki.directory import write_files
from handfast.text import escape
from handfast.x509 import loading

if TYPE_CHECKING:
    from pathlib import Path

    from handfast.pki.authority import CertificateAuthority


@click.command(
    cls=options.Verb,
    examples=(
        "handfast certs ocsp pki/server.pem --ca pki/ca.pem",
        "handfast certs ocsp pki/server.pem --ca pki/ca.pem --days 2 --out /srv/server.ocsp",
    ),
)
@click.argument("certificate", metavar="CERT", type=ca_options.FILE)
@ca_options.signing_options
@click.option(
    "--crl", type=ca_options.FILE, metavar="FILE", help="The CA's revocation list. Default: CA.crl, if it is there."
)
@click.option("--out", type=ca_options.FILE, metavar="FILE", help="The file to write, DER. Default: CERT.ocsp.")
@click.option("--days", type=click.IntRange(1, ca_options.MOST_DAYS), help="How long it holds. Default: 7.")
@click.option("--until", metavar="DATE", help="Until when, instead: 2027-01-31, or with a time.")
def command(
    certificate: Path,
    ca: Path,
    ca_key: Path | None,
    ca_password_file: Path | None,
    crl: Path | None,
    out: Path | None,
    days: int | None,
    until: str | None,
) -> None:
    """Write the OCSP response of the CA that issued CERT: good, or revoked if CERT is on its revocation list. A server
    staples it; it is replaced if it is there."""
    now = datetime.now(UTC)
    authority = ca_options.load_ca(ca, ca_key, ca_password_file, now)
    asked = x509.load_der_x509_certificate(ca_options.certificate_in(certificate))
    check_issued_by(authority, asked, path=escape(str(certificate)), ca_path=escape(str(ca)))
    entry = _entry(crl or ca.with_suffix(".crl"), asked, authority, required=crl is not None)
    end = ca_options.end_of(days, until, now)
    if entry is None:
        response = authority.ocsp_response(asked, next_update=end)
    else:
        at = entry.revocation_date_utc
        response = authority.ocsp_response(asked, "revoked", next_update=end, revocation_time=at, reason=_reason(entry))
    path = out or certificate.with_suffix(".ocsp")
    write_files(path.parent, {path.name: response}, replace=True)
    click.echo(path)
    ui.note("it says: good" if entry is None else f"it says: revoked on {entry.revocation_date_utc:%Y-%m-%d}")


def _entry(
    path: Path, asked: x509.Certificate, authority: CertificateAuthority, *, required: bool
) -> x509.RevokedCertificate | None:
    if not required and not path.exists():
        return None
    found = own_crl(loading.read(path), authority, path=escape(str(path)))
    return found.get_revoked_certificate_by_serial_number(asked.serial_number)


def _reason(entry: x509.RevokedCertificate) -> x509.ReasonFlags | None:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return None
