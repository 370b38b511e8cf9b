"""``handfast certs revoke``: certificates are put on their CA's revocation list."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from cryptography import x509

from handfast.cli import ca_options, certs_crl, options, ui
from handfast.errors import bad_option
from handfast.pki.crl_files import check_issued_by
from handfast.text import escape

if TYPE_CHECKING:
    from pathlib import Path

    from handfast.pki.authority import CertificateAuthority

# RFC 5280 5.3.1, without the two that only lists of changes hold.
REASONS = {
    reason.value: reason
    for reason in x509.ReasonFlags
    if reason not in (x509.ReasonFlags.remove_from_crl, x509.ReasonFlags.certificate_hold)
}


@click.command(
    cls=options.Verb,
    examples=(
        "handfast certs revoke pki/bob.pem --ca pki/ca.pem",
        "handfast certs revoke pki/bob.pem --ca pki/ca.pem --reason keyCompromise",
        "handfast certs revoke --serial 5c:81:0f --ca pki/ca.pem",
    ),
)
@click.argument("certificates", nargs=-1, metavar="[CERT]...", type=ca_options.FILE)
@click.option(
    "--serial", multiple=True, metavar="HEX", help="A serial number, of a certificate that is lost; repeatable."
)
@ca_options.signing_options
@click.option("--reason", type=click.Choice(list(REASONS)), metavar="REASON", help=f"Why: {', '.join(REASONS)}.")
@options.together(*ca_options.crl_options())
def command(
    certificates: tuple[Path, ...],
    serial: tuple[str, ...],
    ca: Path,
    ca_key: Path | None,
    ca_password_file: Path | None,
    reason: str | None,
    out: Path | None,
    days: int | None,
    until: str | None,
) -> None:
    """Put each CERT on the revocation list of the CA that issued it, a file that is made beside the CA if need be.
    Programs that read this list refuse them from then on; others do not hear of it."""
    if not certificates and not serial:
        raise bad_option("CERT", "is missing", "name the file of the certificate, or give --serial HEX")
    now = datetime.now(UTC)
    authority = ca_options.load_ca(ca, ca_key, ca_password_file, now)
    serials = [_serial_of(path, authority, ca) for path in certificates] + [_parsed(text) for text in serial]
    path = out or ca.with_suffix(".crl")
    certs_crl.write(authority, path, tuple(serials), REASONS.get(reason or ""), ca_options.end_of(days, until, now))
    ui.note(f"give {click.format_filename(path)} to those who check: serve --crl, or anywhere that lists are read")


def _serial_of(path: Path, authority: CertificateAuthority, ca: Path) -> int:
    certificate = x509.load_der_x509_certificate(ca_options.certificate_in(path))
    check_issued_by(authority, certificate, path=escape(str(path)), ca_path=escape(str(ca)))
    return certificate.serial_number


def _parsed(text: str) -> int:
    try:
        number = int(text.replace(":", ""), 16)
    except ValueError:
        number = 0
    # RFC 5280 4.1.2.2: positive, of 20 bytes at most.
    if not 0 < number < 1 << 159:
        raise bad_option(
            "--serial", f"{text!r} is no serial number", "write it in hexadecimal, as openssl x509 -serial does"
        )
    return number
