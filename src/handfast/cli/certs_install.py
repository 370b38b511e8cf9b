"""``handfast certs install``: a CA becomes trusted by the system, by browsers or by Java, if that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from handfast.cli import options, trust_stores, ui
from handfast.errors import ConfigError, bad_option
from handfast.lint import Kind, read
from handfast.text import escape
from handfast.x509 import loading
from handfast.x509.certificates import Malformed, parse

F = TypeVar("F", bound=Callable[..., object])

# What --nss and --java mean without a value.
_USUAL = "usual"
_PATH = click.Path(path_type=Path)


class Ca(NamedTuple):
    """The file and the certificate in it."""

    path: Path
    certificate: bytes
    subject: str


def store_options(command: F) -> F:
    """CA, --system, --nss, --java, --root, --store-password-file."""
    return options.together(
        click.argument("ca", type=_PATH, metavar="CA"),
        click.option("--system", is_flag=True, help="The system's store, by update-ca-certificates or trust."),
        click.option(
            "--nss",
            cls=options.OptionalValue,
            bare=_USUAL,
            metavar="[=DIR]",
            help="Chromium's and Firefox's databases in the home folder, by certutil; with =DIR that one.",
        ),
        click.option(
            "--java",
            cls=options.OptionalValue,
            bare=_USUAL,
            metavar="[=KEYSTORE]",
            help="Java's list of CAs, by keytool; with =KEYSTORE that one.",
        ),
        click.option("--root", type=_PATH, metavar="DIR", help="For --system: the root of the file system, if not /."),
        click.option(
            "--store-password-file",
            type=_PATH,
            metavar="FILE",
            help="Holds the password of the database or keystore.",
        ),
    )(command)


@click.command(
    cls=options.Verb,
    examples=(
        "handfast certs install pki/ca.pem",
        "handfast certs install pki/ca.pem --nss",
        "sudo handfast certs install pki/ca.pem --system --java",
    ),
)
@store_options
def command(ca: Path, **asked: Any) -> int:
    """Make the CA whose certificate is in the file CA trusted, where it is asked for.

    Without --system, --nss or --java it only prints what it would do. uninstall undoes it."""
    return work(ca, undo=False, **asked)


def work(
    path: Path,
    *,
    undo: bool,
    system: bool,
    nss: str | None,
    java: str | None,
    root: Path | None,
    store_password_file: Path | None,
) -> int:
    """Do or undo it in the stores that are asked for, or print the commands for all; the exit status."""
    if root is not None and not system:
        raise bad_option("--root", "it is about the system's store", "give --system too")
    ca = _loaded(path)
    asked = system or nss is not None or java is not None
    stores = []
    if system or not asked:
        stores.append(trust_stores.system_store(path, ca.certificate, root))
    if nss is not None or not asked:
        found = _databases(nss, asked=asked)
        stores += [trust_stores.nss_store(path, ca.certificate, one, store_password_file) for one in found]
    if java is not None or not asked:
        keystore = None if java in (None, _USUAL) else trust_stores.checked_keystore(Path(java))
        stores.append(trust_stores.java_store(path, ca.certificate, keystore, store_password_file))
    if asked:
        # All of them, also after one that failed.
        return max([_do(store, ca, undo=undo) for store in stores])
    for store in stores:
        _print_commands(store, undo=undo)
    ui.note("nothing was changed: --system, --nss and --java say where to do it")
    return 0


def _loaded(path: Path) -> Ca:
    """The one CA certificate of a PEM file. Raises ConfigError."""
    data, name = loading.read(path), escape(str(path))
    items = read(data, name)
    if items[0].kind is not Kind.CERTIFICATE:
        raise loading.no_certificate(data, name)
    if items[0].form != "PEM":
        raise ConfigError("der_as_pem", path=name, command="x509")
    if len(items) > 1:
        raise bad_option("CA", f"{name} holds {len(items)} things", "give a file with the CA's certificate alone")
    try:
        parsed = parse(items[0].encoded)
    except Malformed as error:
        raise ConfigError("bad_certificate", path=name, reason=error) from None
    if not parsed.is_ca:
        raise ConfigError("not_a_ca", path=name)
    return Ca(path, parsed.encoded, parsed.subject_text)


def _databases(nss: str | None, *, asked: bool) -> tuple[Path, ...]:
    if nss is not None and nss != _USUAL:
        return (trust_stores.checked_database(Path(nss)),)
    found = trust_stores.nss_databases()
    if not found and asked:
        advice = "start the browser once, or name one: --nss=DIR"
        raise bad_option("--nss", "there is no database of Chromium or Firefox in the home folder", advice)
    return found or (trust_stores.usual_database(),)


def _do(store: trust_stores.Store, ca: Ca, *, undo: bool) -> int:
    if not store.is_usable:
        ui.warn(f"{store.tool} is not installed (Debian: {store.package}); the commands are")
        _print_commands(store, undo=undo)
        return ui.FAILED
    if store.holds() is not undo:
        click.echo(f"{'is not' if undo else 'is already'} in {store.name}: {ca.subject}")
        return 0
    for command in store.uninstall if undo else store.install:
        if complaint := trust_stores.run(command):
            ui.warn(f"{store.name}: {command[0]}: {complaint}")
            ui.note("it may take root's rights; the commands are")
            _print_commands(store, undo=undo)
            return ui.FAILED
    if store.holds() is undo:
        ui.warn(f"{store.name} {'still holds it' if undo else 'does not hold it'}, though no command failed")
        return ui.FAILED
    click.echo(f"{'removed from' if undo else 'installed in'} {store.name}: {ca.subject}")
    return 0


def _print_commands(store: trust_stores.Store, *, undo: bool) -> None:
    click.echo(f"{store.name}:")
    for command in store.uninstall if undo else store.install:
        click.echo("\n".join(ui.command_lines(command, 120)))
