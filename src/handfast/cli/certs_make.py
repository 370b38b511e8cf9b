"""What ``handfast certs`` makes: a new CA with what it issues, more from one that is there, or requests for another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handfast.cli import ca_options, ui
from handfast.errors import ConfigError, bad_option
from handfast.pki.authority import CA_DAYS, LEAF_DAYS, CertificateAuthority
from handfast.pki.directory import write_files
from handfast.pki.issued import certificate_pem
from handfast.pki.requests import CertificateRequest, client_request, server_request
from handfast.pki.subject import common_name, parse_subject
from handfast.x509 import loading
from handfast.x509.describe import describe

if TYPE_CHECKING:
    from handfast.pki.authority import Purpose
    from handfast.pki.issued import Issued

_NOT_IN_FILE_NAMES = re.compile(r"[^A-Za-z0-9._@+-]+")
_MAX_STEM = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """The options of the command, by their names."""

    names: tuple[str, ...]
    directory: Path | None
    server: tuple[str, ...]
    client: tuple[str, ...]
    intermediate: str | None
    csr: tuple[Path, ...]
    purpose: Purpose | None
    request: bool
    ca: Path | None
    ca_key: Path | None
    ca_password_file: Path | None
    ca_name: str | None
    constrain: tuple[str, ...]
    destroy_ca_key: bool
    key_type: str
    fields: str | None
    days: int | None
    until: str | None
    new_key_password_file: Path | None
    p12: bool
    p12_password_file: Path | None
    combined: bool
    replace: bool

    @property
    def new(self) -> bool:
        """Whether a CA is to be made."""
        return self.ca is None and not self.request

    @property
    def folder(self) -> Path:
        """Where the files go."""
        return self.directory or (Path("pki") if self.ca is None else self.ca.parent)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate that is wanted: how its files are called, and what it names."""

    stem: str
    names: tuple[str, ...]
    is_server: bool


class Output:
    """The files that are written together, by their names."""

    def __init__(self, wanted: Wanted) -> None:
        self.files: dict[str, bytes] = {}
        self._combined = wanted.combined
        self._password = None
        if wanted.new_key_password_file is not None:
            self._password = ca_options.password_of(wanted.new_key_password_file, "--key-password-file")
        self._p12 = _p12_password(wanted) if wanted.p12 else None

    def put(self, name: str, content: bytes) -> None:
        """Add a file; ConfigError(bad_option) for a name that is there."""
        # Some file systems do not tell them apart otherwise.
        if name.lower() in (known.lower() for known in self.files):
            reason = "two of the files would have this name"
            raise bad_option(name, reason, "make them one after the other, each with a --dir of its own")
        self.files[name] = content

    def key(self, stem: str, made: Issued | CertificateRequest | CertificateAuthority) -> bytes:
        """Add a key, encrypted if that was asked for; its PEM."""
        if isinstance(made, CertificateAuthority):
            pem = made.key_pem(self._password)
        else:
            pem = made.key_pem if self._password is None else made.encrypted_key_pem(self._password)
        self.put(f"{stem}.key", pem)
        return pem

    def issued(self, stem: str, issued: Issued) -> None:
        """Add a certificate and its key in every form that was asked for."""
        self.put(f"{stem}.pem", issued.cert_pem)
        key = self.key(stem, issued)
        if self._combined:
            self.put(f"{stem}.combined.pem", issued.cert_pem + key)
        if self._p12 is not None:
            self.put(f"{stem}.p12", issued.pkcs12(self._p12, stem))


def make(wanted: Wanted) -> None:
    """Do what is wanted, write all files or none, and say what they are."""
    _refuse_contradictions(wanted)
    leaves = _leaves(wanted)
    output = Output(wanted)
    notes = _requests(wanted, leaves, output) if wanted.request else _issue(wanted, leaves, output)
    try:
        paths = write_files(wanted.folder, output.files, replace=wanted.replace)
    except ConfigError as error:
        raise _about_a_set(error, wanted) from None
    for path in paths:
        click.echo(path)
    for note in notes:
        ui.note(note)


def _issue(wanted: Wanted, leaves: list[Leaf], output: Output) -> list[str]:
    now = datetime.now(UTC)
    until = ca_options.end_of(wanted.days, wanted.until, now)
    end = until or now + timedelta(days=LEAF_DAYS)
    notes: list[str] = []
    if wanted.ca is None:
        issuer = _new_ca(wanted, output, end, now)
    else:
        issuer = ca_options.load_ca(
            wanted.ca, wanted.ca_key, wanted.ca_password_file or wanted.new_key_password_file, now
        )
    if wanted.intermediate is not None:
        issuer = _intermediate(wanted, wanted.intermediate, issuer, output, end)
        notes.append(f"the intermediate CA is {describe(issuer.certificate_der).subject}, and issues what is below")
    for leaf in leaves:
        issued = _leaf(wanted, leaf, issuer, end)
        output.issued(leaf.stem, issued)
        notes.append(_note_of(leaf, issued))
    notes += [_sign_request(wanted, path, issuer, until, output) for path in wanted.csr]
    ca_end = issuer.certificate.not_valid_after_utc
    if (leaves or wanted.csr) and ca_end < end - timedelta(seconds=1):
        notes.append(f"their CA ends on {ca_end:%Y-%m-%d}, and they end with it")
    return notes + _about_the_ca(wanted)


def _new_ca(wanted: Wanted, output: Output, end: datetime, now: datetime) -> CertificateAuthority:
    authority = CertificateAuthority.create(
        wanted.ca_name,
        subject=_without_cn(wanted.fields),
        key=wanted.key_type,
        until=max(end, now + timedelta(days=CA_DAYS)),
        constrain=wanted.constrain,
        now=now,
    )
    output.put("ca.pem", authority.certificate_pem)
    if not wanted.destroy_ca_key:
        output.key("ca", authority)
    return authority


def _intermediate(
    wanted: Wanted, name: str, above: CertificateAuthority, output: Output, end: datetime
) -> CertificateAuthority:
    made = above.intermediate(
        name,
        key=wanted.key_type,
        until=max(end, datetime.now(UTC) + timedelta(days=CA_DAYS)),
        subject=_without_cn(wanted.fields),
        constrain=() if wanted.new else wanted.constrain,
    )
    output.put(f"{stem_of(name)}.pem", b"".join(map(certificate_pem, made.chain)))
    output.key(stem_of(name), made)
    return made


def _leaf(wanted: Wanted, leaf: Leaf, issuer: CertificateAuthority, end: datetime) -> Issued:
    template = issuer.server_template if leaf.is_server else issuer.client_template
    made = template(*leaf.names, key=wanted.key_type, until=end, subject=wanted.fields)
    issuer.check_names(made.names, made.subject)
    return issuer.issue(made)


def _sign_request(
    wanted: Wanted, path: Path, issuer: CertificateAuthority, until: datetime | None, output: Output
) -> str:
    signed = issuer.sign_request(
        loading.read(path),
        *wanted.names,
        purpose=wanted.purpose,
        until=until,
        subject=wanted.fields,
        path=click.format_filename(path),
    )
    output.put(f"{stem_of(path.stem)}.pem", signed.cert_pem)
    facts = describe(signed.chain[0])
    named = f", for {', '.join(facts.names)}" if facts.names else ""
    return f"{click.format_filename(path)} is signed: {facts.subject}{named}"


def _requests(wanted: Wanted, leaves: list[Leaf], output: Output) -> list[str]:
    subject = None if wanted.fields is None else parse_subject(wanted.fields)
    for leaf in leaves:
        request = server_request if leaf.is_server else client_request
        made = request(*leaf.names, key=wanted.key_type, subject=subject)
        output.put(f"{leaf.stem}.csr", made.csr_pem)
        output.key(leaf.stem, made)
    return ["send the .csr files to the CA and keep the keys; put what comes back beside them"]


def _leaves(wanted: Wanted) -> list[Leaf]:
    servers = [_named(text, "--server") for text in wanted.server]
    clients = [_named(text, "--client") for text in wanted.client]
    made = [Leaf(stem_of(names[0]), names, is_server=True) for names in servers]
    if wanted.names and not wanted.csr:
        stem = "server" if wanted.new else stem_of(wanted.names[0])
        made.insert(0, Leaf(stem, wanted.names, is_server=True))
    if not clients and wanted.new and made:
        clients = [("client",)]
    one = wanted.new and len(clients) == 1
    made += [Leaf("client" if one else stem_of(names[0]), names, is_server=False) for names in clients]
    if not made and not wanted.csr and wanted.intermediate is None:
        advice = "name what clients will connect to: handfast certs localhost"
        if not wanted.new:
            advice = "name what is wanted: --client NAME, --server NAME or --csr FILE"
        raise bad_option("NAME", "is missing", advice)
    named = common_name(parse_subject(wanted.fields)) if wanted.fields is not None else ""
    if named and len(made) + len(wanted.csr) != 1:
        raise bad_option("--subject", "its CN would be that of several certificates", "leave the CN out")
    if named and made and named != made[0].names[0]:
        ui.warn(f"--subject: the CN is {named}, and {made[0].names[0]} is not; files are called by the latter")
    return made


def _named(text: str, option: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(","))
    if not all(names):
        raise bad_option(
            option, f"{text!r} has an empty name", "write names with commas between them: bob,bob@corp.example"
        )
    return names


def stem_of(name: str) -> str:
    """What the files for a name are called, without their endings: letters, digits and what no shell minds."""
    stem = _NOT_IN_FILE_NAMES.sub("-", name.replace("*", "_wildcard").replace("://", "-")).strip(".-")
    return stem[:_MAX_STEM] or "certificate"


def _note_of(leaf: Leaf, issued: Issued) -> str:
    facts = describe(issued.chain[0])
    if leaf.is_server:
        return f"the server certificate is for {', '.join(facts.names)}"
    return f"the client certificate is for {facts.subject}"


def _about_the_ca(wanted: Wanted) -> list[str]:
    if not wanted.new:
        return []
    folder = click.format_filename(wanted.folder)
    if wanted.destroy_ca_key:
        return [f"the key of {folder}/ca.pem was never written: nothing more can come from this CA"]
    return [f"whoever has {folder}/ca.key can make more of them; keep it apart, or delete it"]


def _without_cn(subject: str | None) -> str | None:
    """The subject for a CA, whose CN is its own."""
    if subject is None:
        return None
    fields = [field for rdn in parse_subject(subject).rdns for field in rdn if field.rfc4514_attribute_name != "CN"]
    return ",".join(field.rfc4514_string() for field in fields) or None


def _p12_password(wanted: Wanted) -> bytes:
    path = wanted.p12_password_file or wanted.new_key_password_file
    if path is not None:
        return ca_options.password_of(path, "--p12-password-file")
    typed = ca_options.prompted("Password of the .p12 files", again=True)
    if not typed:
        raise bad_option(
            "--p12", "it needs a password, and there is no terminal to ask at", "give --p12-password-file FILE"
        )
    return typed


def _refuse_contradictions(wanted: Wanted) -> None:
    given = {
        "--ca": wanted.ca is not None,
        "--ca-name": wanted.ca_name is not None,
        "--destroy-ca-key": wanted.destroy_ca_key,
        "--constrain": bool(wanted.constrain),
        "--intermediate": wanted.intermediate is not None,
        "--csr": bool(wanted.csr),
        "--ca-key": wanted.ca_key is not None,
        "--ca-password-file": wanted.ca_password_file is not None,
        "--p12": wanted.p12,
        "--combined": wanted.combined,
        "--days": wanted.days is not None,
        "--until": wanted.until is not None,
    }
    for option in ("--ca", *given) if wanted.request else ():
        if given[option]:
            raise bad_option(option, "--request makes keys and requests, and no certificate", "leave one of them out")
    for option in ("--ca-name", "--destroy-ca-key") if wanted.ca else ():
        if given[option]:
            raise bad_option(option, "it is for a new CA, and --ca names one that is there", "leave one of them out")
    if wanted.ca and wanted.constrain and wanted.intermediate is None:
        raise bad_option("--constrain", "the CA of --ca is as it is", "give --intermediate NAME, which it will bind")
    for option in () if wanted.ca else ("--csr", "--ca-key", "--ca-password-file"):
        if given[option]:
            raise bad_option(option, "there is no CA that could sign", "give --ca FILE")
    _refuse_idle_options(wanted)


def _refuse_idle_options(wanted: Wanted) -> None:
    idle: dict[str, Any] = {
        "--as": wanted.purpose if not wanted.csr else None,
        "--p12-password-file": wanted.p12_password_file if not wanted.p12 else None,
    }
    for option, value in idle.items():
        if value is not None:
            needed = "--csr FILE" if option == "--as" else "--p12"
            raise bad_option(option, f"it is for {needed}", f"give {needed} too, or leave it out")
    if wanted.names and len(wanted.csr) > 1:
        raise bad_option("NAME", "there are several requests", "sign the one that these names are for by itself")


def about_files(error: ConfigError) -> ConfigError:
    """The error of writing certificates; what to do about one that is there, which can be replaced."""
    if error.code != "file_exists":
        return error
    return bad_option(str(error.details["path"]), "exists already", "choose another --dir, or --replace")


def _about_a_set(error: ConfigError, wanted: Wanted) -> ConfigError:
    """What to do about a CA that is there, which can go on."""
    ca = wanted.folder / "ca.pem"
    if error.code != "file_exists" or not wanted.new or not ca.exists():
        return about_files(error)
    shown = click.format_filename(ca)
    advice = (
        f"to add to what is there: handfast certs --ca {shown} --client NAME; or choose another --dir, or --replace"
    )
    return bad_option(shown, "exists already", advice)
