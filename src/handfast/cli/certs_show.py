"""``handfast certs show``: what files of certificates, requests, keys and lists hold, and what will be refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handfast.cli import options, ui
from handfast.cli.inspecting import files_and_password, instant, print_facts
from handfast.lint import REFUSERS, RULES, lint
from handfast.lint.rule_table import EVERYONE
from handfast.text import counted
from handfast.x509.purpose import Purpose

if TYPE_CHECKING:
    from handfast.lint import Finding, Report

STANDARD_INPUT = Path("/dev/stdin")


def _print_rules(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    for code, rule in RULES.items():
        click.echo(f"{code:36}{rule.what}: {_refusers(rule.refused_by) or 'a remark'} ({rule.source})")
    ctx.exit()


@click.command(
    cls=options.Verb,
    examples=(
        "handfast certs show server.pem",
        "handfast certs show server.pem server.key ca.pem",
        "handfast certs show --as client bundle.p12",
        "handfast certs show --json pki/*.pem",
        "openssl s_client -connect localhost:1337 -showcerts </dev/null | handfast certs show -",
    ),
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option(
    "--as",
    "purpose",
    type=click.Choice([str(purpose) for purpose in Purpose]),
    help="What the leaves are for; else each is judged by what it says that it is for.",
)
@click.option("--at", metavar="DATE", help="Judge as of this time, not now: 2026-12-31.")
@click.option(
    "--key-password-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Holds the password of what is encrypted; else it is asked for on a terminal.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.option(
    "--list-rules",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_rules,
    help="What is looked for, and who refuses it.",
)
def command(
    files: tuple[Path, ...], purpose: str | None, at: str | None, key_password_file: Path | None, as_json: bool
) -> int:
    """Print what is in each FILE (certificates, requests, keys, revocation lists; PEM, DER, PKCS#7, PKCS#12), and what
    will be refused, by whom and why. The FILE - is standard input.

    FILE:PASSWORD opens what is encrypted, as for curl. Of a private key only the public half is shown. The exit status
    is 1 where something will be refused."""
    names, password = files_and_password(
        [STANDARD_INPUT if str(path) == "-" else path for path in files], key_password_file
    )
    report = lint(*names, password=password, purpose=purpose, at=instant(at))
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2))
    else:
        _print(report)
    return ui.FAILED if report.is_refused else 0


def _print(report: Report) -> None:
    for one in report.shown:
        ui.heading(f"{one.item.place}: {one.item.kind} ({one.item.form})")
        print_facts((label, text) for label, text in one.facts.lines() if text)
        print_facts(("fits" if "key" in one.item.kind else "its key", place) for place in one.fits)
        for finding in one.findings:
            print_facts(_lines(finding))
    refused = sum(bool(finding.refused_by) for finding in report.findings)
    ui.note(f"{counted(refused, 'reason')} for a refusal" if refused else "nothing here will be refused")


def _lines(finding: Finding) -> list[tuple[str, str]]:
    said = f"{finding.code}: it {finding.explanation}"
    if not finding.refused_by:
        return [("remark", said)]
    return [("refused", said), ("by", _refusers(finding.refused_by)), ("hint", finding.advice)]


def _refusers(identifiers: tuple[str, ...]) -> str:
    return "everyone" if identifiers == EVERYONE else ", ".join(REFUSERS[one] for one in identifiers)
