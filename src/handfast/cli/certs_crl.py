"""``handfast certs crl``: the CA's revocation list, made or renewed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from handfast.cli import ca_options, options, ui
from handfast.pki.crl_files import renew_crl

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.x509 import CertificateRevocationList, ReasonFlags

    from handfast.pki.authority import CertificateAuthority


@click.command(
    cls=options.Verb,
    examples=(
        "handfast certs crl --ca pki/ca.pem",
        "handfast certs crl --ca pki/ca.pem --days 7 --out /srv/www/ca.crl",
    ),
)
@ca_options.signing_options
@options.together(*ca_options.crl_options())
def command(
    ca: Path,
    ca_key: Path | None,
    ca_password_file: Path | None,
    out: Path | None,
    days: int | None,
    until: str | None,
) -> None:
    """Write the CA's revocation list anew, with the same entries, a greater number and a later end. Without one there,
    an empty list is made."""
    now = datetime.now(UTC)
    authority = ca_options.load_ca(ca, ca_key, ca_password_file, now)
    write(authority, out or ca.with_suffix(".crl"), (), None, ca_options.end_of(days, until, now))


def write(
    authority: CertificateAuthority,
    path: Path,
    serials: tuple[int, ...],
    reason: ReasonFlags | None,
    until: datetime | None,
) -> CertificateRevocationList:
    """Write the list with further serial numbers on it, and say so."""
    made = renew_crl(path, authority, serials, reason=reason, until=until)
    click.echo(path)
    entries = len(made)
    end = made.next_update_utc
    ui.note(f"{entries} certificate{'' if entries == 1 else 's'} on the list, which holds until {end:%Y-%m-%d}")
    return made
