"""Options of what works with a CA that is there: which one, the key it signs with, passwords, and until when."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from handfast.cli import options
from handfast.credentials.passwords import asked_once
from handfast.errors import bad_option
from handfast.pki.authority import CertificateAuthority
from handfast.text import escape
from handfast.x509 import loading

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., object]")

FILE = click.Path(path_type=Path)
# Apple refuses more of a server's certificate below a CA that its user added. https://support.apple.com/103214
MOST_DAYS = 825


def signing_options(command: F) -> F:
    """--ca, --ca-key, --ca-password-file, of a command that has no other use than for a CA."""
    return options.together(
        click.option("--ca", type=FILE, metavar="FILE", required=True, help="The CA's certificate."),
        *_key_options(),
    )(command)


def _key_options() -> tuple[Callable[[F], F], ...]:
    return (
        click.option(
            "--ca-key",
            type=FILE,
            metavar="FILE",
            help="The CA's key. Default: in the file of --ca, or FILE.key beside.",
        ),
        click.option("--ca-password-file", type=FILE, metavar="FILE", help="Holds the password of the CA's key."),
    )


def issuing_options(command: F) -> F:
    """--ca, which may be left out, --ca-key and --ca-password-file."""
    return options.together(
        click.option("--ca", type=FILE, metavar="FILE", help="Issue from this CA, and leave it and its files alone."),
        *_key_options(),
    )(command)


def crl_options() -> tuple[Callable[[F], F], ...]:
    """--out, --days, --until of a revocation list."""
    return (
        click.option("--out", type=FILE, metavar="FILE", help="The list's file, PEM. Default: CA.crl beside the CA."),
        click.option("--days", type=click.IntRange(1, MOST_DAYS), help="How long the list holds. Default: 30."),
        click.option("--until", metavar="DATE", help="Until when, instead: 2027-01-31, or with a time."),
    )


def load_ca(ca: Path, ca_key: Path | None, password: Path | None, now: datetime) -> CertificateAuthority:
    """The CA that --ca, --ca-key and --ca-password-file name. Raises ConfigError."""
    certificate = loading.read(ca)
    key_path = ca_key or (ca if b"PRIVATE KEY-----" in certificate else ca.with_suffix(".key"))
    if ca_key is None and not key_path.exists():
        advice = "give --ca-key FILE; a CA whose key was destroyed issues nothing more: make a new one"
        raise bad_option("--ca", f"there is no key beside it: {key_path}", advice)
    authority = CertificateAuthority.load(
        certificate,
        loading.read(key_path),
        path=escape(str(ca)),
        key_path=escape(str(key_path)),
        password=asked_once(password or (lambda: prompted(f"Password of {click.format_filename(key_path)}"))),
        now=now,
    )
    end = authority.certificate.not_valid_after_utc
    if end <= now:
        raise bad_option("--ca", f"this CA ended on {end:%Y-%m-%d}", "make a new CA, and have it trusted")
    return authority


def password_of(path: Path, option: str) -> bytes:
    """The password that a file holds; ConfigError(bad_option) if it holds none."""
    password = asked_once(path)()
    if not password:
        raise bad_option(option, f"{path} holds no password", "write one into it, on one line")
    if len(password) > 1023:
        raise bad_option(option, f"{path} holds more than a password", "give a file that holds nothing else")
    return password


def prompted(what: str, *, again: bool = False) -> bytes | None:
    """A password that is typed at the terminal, unseen; None without a terminal."""
    if not sys.stdin.isatty():
        return None
    typed: str = click.prompt(what, hide_input=True, err=True, confirmation_prompt=again)
    return typed.encode()


def end_of(days: int | None, until: str | None, now: datetime, most: int = MOST_DAYS) -> datetime | None:
    """When what --days or --until says is over; None without both. ConfigError(bad_option)."""
    if until is None:
        return None if days is None else now + timedelta(days=days)
    if days is not None:
        raise bad_option("--until", "--days says it too", "leave one of them out")
    end = _date(until)
    if end <= now:
        raise bad_option("--until", f"{until} is over", "give a day to come")
    if end > now + timedelta(days=most + 1):
        raise bad_option("--until", f"{until} is more than {most} days away", "give an earlier day")
    return end


def _date(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        advice = "write it as 2027-01-31, or with a time as 2027-01-31T12:00:00+00:00"
        raise bad_option("--until", f"{text!r} is no date", advice) from None
    if len(text) <= len("2027-01-31"):
        # A day is meant with its last second.
        moment += timedelta(days=1, seconds=-1)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def certificate_in(path: Path) -> bytes:
    """The first certificate of a file, as DER. Raises ConfigError."""
    data, name = loading.read(path), escape(str(path))
    found = loading.certificates(data, name)
    if not found:
        raise loading.no_certificate(data, name)
    return found[0]
