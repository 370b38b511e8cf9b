"""``handfast certs``: a CA and what it issues in one command, more from a CA that is there, or a broken set."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from handfast.cli import ca_options, ui, verb_groups
from handfast.cli.certs_make import Wanted, about_files, make
from handfast.crypto.new_keys import KEY_KINDS, ML_DSA_KINDS
from handfast.errors import ConfigError, bad_option
from handfast.pki.faults import FAULTS, FaultNames, write_fault


def _print_faults(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    wide = ui.width_of(sys.stdout) is None
    for fault in FAULTS.values():
        refused = "accepted" if fault.code is None else fault.code
        facts = f"{fault.name:28}{fault.role:8}{refused}"
        # Elsewhere than on a terminal a fault is one line, for who looks for one.
        click.echo(f"{facts:66}{fault.what}" if wide else "\n".join([facts, *ui.definitions([("", fault.what)])]))
    ctx.exit()


# What else there is, each in handfast/cli/certs_NAME.py.
SUBCOMMANDS = {
    "show": "What files of certificates hold, and what will be refused, by whom and why.",
    "check": "Whether a certificate would be accepted, offline, as a connection would judge.",
    "install": "A CA into the system's, the browsers' or Java's store; prints what it would do.",
    "uninstall": "Undoes install.",
    "revoke": "Put certificates on the CA's revocation list.",
    "crl": "Renew the CA's revocation list.",
    "ocsp": "Write the CA's OCSP response for a certificate, to be stapled.",
}


@click.command(
    cls=verb_groups.VerbGroup,
    subcommands=SUBCOMMANDS,
    examples=(
        "handfast certs localhost 127.0.0.1",
        "handfast certs api.internal spiffe://corp.example/api --client alice --dir pki",
        "handfast certs --ca pki/ca.pem --client bob --client carol --server db.internal,10.0.0.7",
        "handfast certs --ca pki/ca.pem --csr device.csr",
        "handfast certs --request --client bob --dir mine",
        "handfast certs --fault expired --dir broken",
        "handfast certs --list-faults",
    ),
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--dir",
    "directory",
    type=ca_options.FILE,
    metavar="DIRECTORY",
    help="Where the files go; made if need be. Default: pki, or where the file of --ca is.",
)
@click.option(
    "--client",
    multiple=True,
    metavar="NAME",
    help="A client certificate for NAME; further names follow after commas; repeatable. Default in a new set: client.",
)
@click.option(
    "--server",
    multiple=True,
    metavar="NAME",
    help="One more server certificate, for NAME; further names follow after commas; repeatable.",
)
@click.option("--intermediate", metavar="NAME", help="Make a CA below the CA, which then issues the rest.")
@ca_options.issuing_options
@click.option("--ca-name", metavar="NAME", help="The new CA's CN. Default: handfast CA and a random number.")
@click.option(
    "--constrain",
    multiple=True,
    metavar="DOMAIN",
    help="Bind the new CA to names below DOMAIN; also 10.0.0.0/8, @DOMAIN, scheme://DOMAIN; repeatable.",
)
@click.option("--destroy-ca-key", is_flag=True, help="Never write the new CA's key: nothing more can come from it.")
@click.option("--csr", multiple=True, type=ca_options.FILE, metavar="FILE", help="Sign this request; repeatable.")
@click.option(
    "--as",
    "purpose",
    type=click.Choice(["server", "client", "ca"]),
    help="What the --csr is signed for. Default: what it asks for.",
)
@click.option("--request", is_flag=True, help="Make keys and requests (.csr) for somebody else's CA.")
@click.option(
    "--subject", "fields", metavar="FIELDS", help='Subject fields, as in "O=Example,OU=Payments"; the CN is the name.'
)
@click.option(
    "--key-type",
    type=click.Choice(sorted(KEY_KINDS + ML_DSA_KINDS)),
    default="ecdsa-p256",
    show_default=True,
    metavar="KIND",
    help=f"The kind of all new keys: {', '.join(sorted(KEY_KINDS + ML_DSA_KINDS))}.",
)
@click.option("--days", type=click.IntRange(1, ca_options.MOST_DAYS), help="How long leaves are valid. Default: 90.")
@click.option("--until", metavar="DATE", help="Until when, instead: 2027-01-31, or with a time.")
@click.option(
    "--key-password-file",
    "new_key_password_file",
    type=ca_options.FILE,
    metavar="FILE",
    help="Encrypt the keys with the password in it.",
)
@click.option("--p12", is_flag=True, help="Also write PKCS#12: NAME.p12.")
@click.option(
    "--p12-password-file",
    type=ca_options.FILE,
    metavar="FILE",
    help="Holds its password. Default: that of --key-password-file, or it is asked for.",
)
@click.option("--combined", is_flag=True, help="Also write certificate and key in one file: NAME.combined.pem.")
@click.option("--replace", is_flag=True, help="Replace files of these names that are there.")
@click.option("--fault", metavar="NAME", help="Make a pair in which one thing is wrong; see --list-faults.")
@click.option(
    "--list-faults",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_faults,
    help="Each fault: who has it, what refuses it, what is wrong.",
)
def command(fault: str | None, **wanted: Any) -> None:
    """Make a CA, a server certificate for the NAMEs and a client certificate: ca.pem, ca.key, server.pem, server.key,
    client.pem and client.key. With --ca, issue more from a CA that is there, as NAME.pem and NAME.key.

    The kind of a NAME is guessed from the string: an IP address, a URI, an e-mail address, else a DNS name."""
    if fault is not None:
        _make_fault(fault, wanted["names"], wanted["directory"] or Path("pki"), replace=wanted["replace"])
        return
    make(Wanted(**wanted))


def _make_fault(fault: str, names: tuple[str, ...], directory: Path, *, replace: bool) -> None:
    if len(names) > 1:
        raise bad_option("NAME", "a fault has one host", "give one NAME, or none for localhost")
    wanted = FaultNames(host=names[0]) if names else FaultNames()
    try:
        made, paths = write_fault(fault, directory, wanted, replace=replace)
    except ConfigError as error:
        raise about_files(error) from None
    for path in paths:
        click.echo(path)
    case = FAULTS[fault]
    ui.note(f"wrong at the {case.role}: {case.what}; connect to {made.host}")
    ui.note(f"what should come of it: {'it is accepted' if case.code is None else case.code}")
