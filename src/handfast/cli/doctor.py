"""``handfast doctor``: why mutual TLS fails, or would: the cause, the evidence, the fix."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handfast.cli import option_sources, options, trust_options, ui
from handfast.cli.doctor_inputs import Asked, given
from handfast.cli.starttls import PROTOCOLS
from handfast.errors import bad_option
from handfast.text import counted

if TYPE_CHECKING:
    from handfast.doctor.diagnosis import Diagnosis
    from handfast.doctor.evidence import Evidence

_FILE = click.Path(path_type=Path)
# What says how connections to TARGET are made.
_OF_CONNECTIONS = frozenset(
    {
        "starttls", "family", "connect_to", "resolve", "proxy", "insecure", "max_time",
        "tls", "suites", "groups", "alpn", "old_main_secret", "crypto_provider",
    }
)  # fmt: skip
# Which option gives the input that the diagnosis asks for, by its name.
_OPTIONS = {
    "SERVER_LOG": "--log",
    "CLIENT_CA": "--client-ca",
    "CLIENT_ISSUER": "--issuer",
    "SERVER_ISSUER": "--issuer",
    "CRL": "--crl",
    "CLIENT_CERTIFICATE": "--cert",
    "SERVER_CERTIFICATE": "--server-cert",
    "CLIENT_TRUST": "--cacert",
    "CLIENT_LOG": "--log",
    "TARGET": "TARGET",
}
_WOULD_TELL = (
    "  what would tell: a connection to the server (TARGET), its log at level info, or what the client says (--log)"
)


@click.command(
    cls=options.Verb,
    examples=(
        "handfast doctor https://localhost:1337/ --cacert ca.pem --cert client.pem --key client.key",
        "handfast doctor db.example.com --starttls postgres --cacert ca.pem --cert client.pem --key client.key",
        "handfast doctor --cert client.pem --key client.key --cacert ca.pem  (files alone, no connection)",
        "handfast doctor --cert client.pem --client-ca ca.pem --crl ca.crl  (both sides' files)",
        "handfast doctor --capture failed.pcapng --keylog keys.log --cacert ca.pem",
        "handfast doctor --log 'SSL routines::peer did not return a certificate'",
        "handfast doctor https://localhost:1337/ --report  (for a bug report, nothing secret in it)",
    ),
)
@click.argument("target", required=False)
@options.identity_options
@click.option("--cacert", type=_FILE, metavar="FILE_OR_DIR", help="What the client trusts; else the usual places.")
@click.option("--client-ca", type=_FILE, metavar="FILE_OR_DIR", help="What the server trusts.")
@click.option("--server-cert", type=_FILE, metavar="FILE", help="The server's certificate file, leaf first.")
@click.option("--server-key", type=_FILE, metavar="FILE", help="The server's key file.")
@click.option("--crl", type=_FILE, metavar="FILE_OR_DIR", help="The server's revocation lists.")
@click.option("--issuer", type=_FILE, metavar="FILE", help="CA certificates that may be missing in a chain.")
@trust_options.policy_option
@click.option("--capture", type=_FILE, metavar="FILE", help="Look at the connections of a pcap or pcapng file.")
@click.option("--keylog", "read_keylog", type=_FILE, metavar="FILE", help="Read the capture's keys from here.")
@click.option("--log", "log_text", metavar="TEXT|FILE", help="What a log says: a line, a file, or - for stdin.")
@click.option("--servername", metavar="NAME", help="Ask for, and verify, this name instead of the target's.")
@click.option("--starttls", type=click.Choice(list(PROTOCOLS)), help="Ask for TLS in this protocol first.")
@click.option("-4", "--ipv4", "family", flag_value="4", help="Use IPv4 addresses only.")
@click.option("-6", "--ipv6", "family", flag_value="6", help="Use IPv6 addresses only.")
@click.option("--connect-to", multiple=True, metavar="HOST:PORT:TOHOST:TOPORT", help="Connect elsewhere, as curl.")
@click.option(
    "--resolve", multiple=True, metavar="HOST:PORT:ADDRESS[,ADDRESS]", help="Take these addresses, ask no DNS."
)
@click.option("--proxy", metavar="[http://][USER:PASSWORD@]HOST:PORT", help="Go through an HTTP proxy; '' for none.")
@click.option("-k", "--insecure", is_flag=True, help="Show the certificate also to a server that is not verified.")
@click.option("--max-time", type=options.MAX_TIME, metavar="SECONDS", help="For each connection.")
@options.parameter_options
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.option("--report", is_flag=True, help="A report for others, in Markdown, with nothing secret in it.")
def command(as_json: bool, report: bool, **asked: Any) -> int:
    """Find out why mutual TLS fails, or would, with TARGET (an https:// URL, or HOST[:PORT]), from files, from a
    capture, from a log, or from several of these.

    The exit status is 0 if nothing is wrong, 1 if a fault is found, 2 if a file cannot be read or there is nothing to
    judge by, as in a log without a line that is known."""
    from handfast.doctor.diagnosis import diagnose
    from handfast.doctor.gather import gather

    if as_json and report:
        raise bad_option("--report", "--json asks for another form of the same", "give one of them")
    if asked["target"] is None:
        reason, advice = "without TARGET no connection is made", "give a target, or leave it out"
        option_sources.refuse_idle(_OF_CONNECTIONS, reason, advice)
    evidence = gather(given(Asked(**asked)))
    diagnosis = diagnose(evidence)
    _Output(diagnosis, evidence, asked["starttls"] is None).print(as_json=as_json, report=report)
    if diagnosis.undecided:
        return ui.BAD_USAGE
    return 0 if diagnosis.healthy else ui.FAILED


@dataclass(frozen=True, slots=True)
class _Output:
    diagnosis: Diagnosis
    evidence: Evidence
    may_be_http: bool

    def print(self, *, as_json: bool, report: bool) -> None:
        from handfast.doctor.presentation import as_dict, report_lines

        if as_json:
            click.echo(json.dumps(as_dict(self.diagnosis, self.evidence), indent=2))
        elif report:
            click.echo("\n".join(report_lines(self.diagnosis, self.evidence, _heading())))
        else:
            self._print_lines()
        made = sum(one.live for one in self.evidence.attempts)
        if made:
            ui.note(f"{counted(made, 'connection')} made")

    def _print_lines(self) -> None:
        from handfast.doctor.presentation import finding_lines, verdict_line

        for finding in self.diagnosis.findings:
            for line in finding_lines(finding, self.evidence):
                option = _OPTIONS.get(finding.separates.name) if line.startswith("  what would tell:") else None
                click.echo(f"{line} ({option})" if option else line)
        if not self.diagnosis.findings:
            click.echo(verdict_line(self.diagnosis, self.evidence))
            if self.diagnosis.undecided:
                click.echo(_WOULD_TELL)
            else:
                self._print_what_was_seen()
        for remark in self.diagnosis.remarks:
            ui.note(f"remark: {remark}")

    def _print_what_was_seen(self) -> None:
        from handfast.doctor.presentation import attempt_facts

        live = [one for one in self.evidence.attempts if one.live]
        for one in live:
            (_, title), *facts = attempt_facts(one)
            ui.note(f"{title}: {'; '.join(f'{label}: {text}' for label, text in facts)}")
        asked_nothing = live and live[-1].ca_names is not None and live[-1].http is None and not live[-1].answered
        if asked_nothing and self.may_be_http:
            ui.note(
                "the server was asked for nothing; what it refuses in an answer only, as nginx does, https:// shows"
            )


def _heading() -> str:
    import platform
    from importlib.metadata import version

    from handfast.crypto.library import versions

    cryptography, openssl = versions()
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    ours = f"handfast {version('handfast')}, Python {platform.python_version()}"
    return f"{ours}, cryptography {cryptography}, {openssl}, {at}"
