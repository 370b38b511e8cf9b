"""``handfast certs``: a CA, a server certificate and a client certificate in one command, or broken ones on purpose."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from handfast.cli import ui, verb_groups
from handfast.crypto.new_keys import KEY_KINDS
from handfast.errors import bad_option
from handfast.pki.authority import CertificateAuthority
from handfast.pki.directory import write_pki
from handfast.pki.faults import FAULTS, FaultNames, write_fault
from handfast.x509.describe import describe


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
}


@click.command(
    cls=verb_groups.VerbGroup,
    subcommands=SUBCOMMANDS,
    examples=(
        "handfast certs localhost 127.0.0.1",
        "handfast certs api.internal spiffe://corp.example/api --client alice --dir pki",
        "handfast certs --fault expired --dir broken",
        "handfast certs --list-faults",
    ),
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    default=Path("pki"),
    show_default=True,
    metavar="DIRECTORY",
    help="Where the files go; made if need be.",
)
@click.option(
    "--client", default="client", show_default=True, metavar="NAME", help="Whom the client certificate names."
)
@click.option(
    "--key-type",
    type=click.Choice(sorted(KEY_KINDS)),
    default="ecdsa-p256",
    show_default=True,
    metavar="KIND",
    help=f"The kind of all keys: {', '.join(sorted(KEY_KINDS))}.",
)
@click.option("--days", type=click.IntRange(1, 825), default=90, show_default=True, help="How long leaves are valid.")
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
def command(
    names: tuple[str, ...], directory: Path, client: str, key_type: str, days: int, replace: bool, fault: str | None
) -> None:
    """Make a CA, a server certificate for the NAMEs and a client certificate: ca.pem, ca.key, server.pem, server.key,
    client.pem and client.key.

    The kind of a NAME is guessed from the string: an IP address, a URI, an e-mail address, else a DNS name."""
    if fault is not None:
        _make_fault(fault, names, directory, replace=replace)
        return
    if not names:
        raise bad_option("NAME", "is missing", "name what clients will connect to: handfast certs localhost")
    authority = CertificateAuthority.create(key=key_type)
    server = authority.server(*names, key=key_type, days=days)
    issued = authority.client(client, key=key_type, days=days)
    for path in write_pki(directory, authority, server=server, client=issued, replace=replace):
        click.echo(path)
    ui.note(f"the server certificate is for {', '.join(describe(server.chain[0]).names)}")
    ui.note(f"the client certificate is for {describe(issued.chain[0]).subject}")
    ui.note(f"whoever has {click.format_filename(directory)}/ca.key can make more of them; keep it apart, or delete it")


def _make_fault(fault: str, names: tuple[str, ...], directory: Path, *, replace: bool) -> None:
    if len(names) > 1:
        raise bad_option("NAME", "a fault has one host", "give one NAME, or none for localhost")
    wanted = FaultNames(host=names[0]) if names else FaultNames()
    made, paths = write_fault(fault, directory, wanted, replace=replace)
    for path in paths:
        click.echo(path)
    case = FAULTS[fault]
    ui.note(f"wrong at the {case.role}: {case.what}; connect to {made.host}")
    ui.note(f"what should come of it: {'it is accepted' if case.code is None else case.code}")
