"""``handfast certs check``: what a peer would say to a certificate, found out without a connection."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from handfast.cli import options, trust_options, ui
from handfast.cli.in_options import in_options
from handfast.cli.inspecting import instant, print_facts, typed_password
from handfast.cli.verdict_words import DESCRIBER
from handfast.credentials.passwords import asked_once
from handfast.errors import bad_option
from handfast.lint import Kind, read
from handfast.outcome import failure_words
from handfast.outcome.failure import Failure
from handfast.roles import Role
from handfast.text import escape
from handfast.trust.path.policy import POLICIES
from handfast.trust.presented import PresentedChain
from handfast.trust.verifiers import PathVerifier
from handfast.x509 import loading
from handfast.x509.certificates import Malformed, parse
from handfast.x509.names import reference_identity
from handfast.x509.purpose import Purpose
from handfast.x509.usage import leaf_purposes_allow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handfast.credentials.passwords import Password
    from handfast.verdict import Verdict


class Checked(NamedTuple):
    """One file's chain, the role that it was judged for, and what came of it."""

    file: str
    chain: tuple[bytes, ...]
    purpose: Purpose
    verdict: Verdict

    @property
    def words(self) -> str:
        """What a connection would say."""
        if self.verdict.accepted:
            return f"accepted as a {self.purpose}'s: {self.verdict.explanation}"
        error = self.verdict.error()
        role = Role(self.purpose)
        alerts = {} if error.alert is None else {role.peer: int(error.alert)}
        failure = Failure(role=role.peer, error=error, chains={role: self.chain}, alerts=alerts)
        return failure_words.line(failure, DESCRIBER)

    @property
    def hint(self) -> str:
        """What to do about a refusal."""
        # A client's certificate is held against --client-ca elsewhere.
        return in_options(self.verdict.advice).replace("--client-ca", "--cacert")

    def as_dict(self) -> dict[str, object]:
        """The judgement as plain data, for JSON."""
        verdict = self.verdict
        return {
            "file": self.file,
            "as": str(self.purpose),
            "accepted": verdict.accepted,
            "code": verdict.code,
            "explanation": verdict.explanation,
            "advice": self.hint,
            "reasons": [
                {"code": one.code, "certificate": one.certificate_index, "explanation": one.explanation}
                for one in verdict.reasons
            ],
            "names": verdict.names,
            "path": [DESCRIBER.identity(one) for one in verdict.path],
        }


@click.command(
    cls=options.Verb,
    examples=(
        "handfast certs check --cacert ca.pem server.pem --for localhost",
        "handfast certs check --cacert ca.pem client.pem --as client --crl crl.pem",
        "handfast certs check --cacert ca.pem server.pem --policy strict --at 2027-01-01",
    ),
)
@click.argument("certificates", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="CERT...")
@click.option(
    "--cacert",
    type=click.Path(path_type=Path),
    metavar="FILE_OR_DIR",
    help="Trust these roots; else those of the environment or the system.",
)
@click.option("--for", "server_name", metavar="HOST", help="The name or address that a client would go to.")
@click.option(
    "--as",
    "purpose",
    type=click.Choice([str(purpose) for purpose in Purpose]),
    help="Whose certificate it is; else what it says that it is for.",
)
@click.option(
    "--policy",
    type=click.Choice(list(POLICIES)),
    default="handfast",
    show_default=True,
    help="Which rules certificates are held to.",
)
@click.option(
    "--crl", type=click.Path(path_type=Path), metavar="FILE_OR_DIR", help="Refuse what these revocation lists hold."
)
@click.option("--at", metavar="DATE", help="Judge as of this time, not now: 2026-12-31.")
@click.option(
    "--key-password-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Holds the password of a PKCS#12 file; else it is asked for on a terminal.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def command(
    certificates: tuple[Path, ...],
    cacert: Path | None,
    server_name: str | None,
    purpose: str | None,
    policy: str,
    crl: Path | None,
    at: str | None,
    key_password_file: Path | None,
    as_json: bool,
) -> int:
    """Judge the chain in each CERT (PEM with the leaf first, DER, PKCS#7, PKCS#12) as a connection would, offline.

    The exit status is 0 if all are accepted, 1 if one is refused, 2 if a file cannot be read."""
    if server_name is not None:
        if purpose == Purpose.CLIENT:
            raise bad_option("--for", "a client's certificate is compared with no host", "leave it out")
        reference_identity(server_name)
        purpose = Purpose.SERVER
    judged_at = instant(at) or datetime.now(UTC)
    chains = dict(_chains(certificates, asked_once(key_password_file or typed_password)))
    verifier = PathVerifier(
        trust_options.roots(cacert),
        policy=policy,
        check_name=server_name is not None,
        crls=trust_options.crls(crl),
        known_intermediates=tuple(one for chain in chains.values() for one in chain),
    )
    found = []
    for file, chain in chains.items():
        role = Purpose(purpose) if purpose else _purpose_of(chain[0])
        presented = PresentedChain(chain=chain, purpose=role, server_name=server_name, at=judged_at)
        found.append(Checked(file, chain, role, verifier.verify(presented)))
    if as_json:
        click.echo(json.dumps({"roots": verifier.roots.source, "checked": [one.as_dict() for one in found]}, indent=2))
    else:
        _print(found, verifier, server_name)
    return 0 if all(one.verdict.accepted for one in found) else ui.FAILED


def _chains(paths: tuple[Path, ...], password: Password) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    """The certificates of each file. Raises ConfigError."""
    secret = asked_once(password)
    for path in paths:
        data, name = loading.read(path), escape(str(path))
        chain = tuple(item.encoded for item in read(data, name, secret) if item.kind is Kind.CERTIFICATE)
        if not chain:
            raise loading.no_certificate(data, name)
        yield name, chain


def _purpose_of(leaf: bytes) -> Purpose:
    """The role that a certificate says that it is for: the server's unless it is a client's alone."""
    from cryptography.x509 import ExtendedKeyUsage

    try:
        purposes = parse(leaf).extension(ExtendedKeyUsage)
    except Malformed:
        return Purpose.SERVER
    may_serve = leaf_purposes_allow(purposes, Purpose.SERVER, any_purpose=True)
    may_ask = leaf_purposes_allow(purposes, Purpose.CLIENT, any_purpose=True)
    return Purpose.CLIENT if may_ask and not may_serve else Purpose.SERVER


def _print(found: list[Checked], verifier: PathVerifier, server_name: str | None) -> None:
    for one in found:
        click.echo(f"{one.file}: {one.words}")
        if one.verdict.accepted:
            print_facts(("through", DESCRIBER.identity(certificate)) for certificate in one.verdict.path[1:])
            continue
        print_facts(("also", f"{reason.code}: {reason.explanation}") for reason in one.verdict.reasons[1:])
        print_facts([("hint", one.hint)])
    ui.note(f"held against {verifier.roots.source}")
    if server_name is None and any(one.purpose is Purpose.SERVER for one in found):
        ui.note("no name was compared; --for HOST does that")
