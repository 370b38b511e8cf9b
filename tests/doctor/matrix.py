"""The fault cases met at real servers: what the doctor is given, and what it says."""

from __future__ import annotations

import contextlib
import io
import json
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from handfast.cli import main
from handfast.pki.fault_scene import FaultNames, Scene, general_names, leaf_only, self_signed, weak_key
from handfast.pki.template import CLIENT_AUTH, SERVER_AUTH
from tests.doctor.servers import Running, Setting
from tests.faults.meeting import random_names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from handfast.pki.authority import Issued

_ENCIPHERMENT_ONLY = frozenset({"key_encipherment"})
_LOCALHOST = general_names("localhost")
_WITHOUT_WEAK_KEYS = ("nginx", "haproxy", "stunnel", "hitch", "node", "python", "handfast")


@dataclass(frozen=True)
class Answer:
    """What the doctor said: the causes of each finding, and all of it."""

    status: int
    findings: tuple[tuple[str, ...], ...]
    document: dict[str, Any]

    @property
    def causes(self) -> set[str]:
        return {code for finding in self.findings for code in finding}

    def decides(self, code: str) -> bool:
        """Whether it says this, and nothing that could be something else."""
        return (code,) in self.findings and all(len(finding) == 1 for finding in self.findings)


# The last answers: see ``recorded``.
ANSWERS: deque[Answer] = deque(maxlen=8)


# What a case gives in another way than the usual arguments do, which come first.
_GIVEN_ANEW = ("--cert", "--key", "--groups")


def ask(*arguments: object) -> Answer:
    """Run the doctor with these arguments. Of ``_GIVEN_ANEW``, which are taken once, the last of each counts."""
    words = [*map(str, arguments)]
    for option in _GIVEN_ANEW:
        while words.count(option) > 1:
            at = words.index(option)
            del words[at : at + 2]
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()) as complaints:
        status = main(["doctor", *words, "--json"])
    if status not in (0, 1):
        raise AssertionError(complaints.getvalue())
    document = json.loads(output.getvalue())
    findings = tuple(tuple(one["code"] for one in finding["causes"]) for finding in document["findings"])
    ANSWERS.append(Answer(status, findings, document))
    return ANSWERS[-1]


def names(seed: int) -> FaultNames:
    """Names that say nothing of the case, at this machine."""
    return replace(random_names(seed), host="localhost", address="127.0.0.1")


class Cast:
    """One CA with all the clients of the table, and files of it all."""

    def __init__(self, directory: Path, seed: int, fault_names: FaultNames | None = None) -> None:
        self.directory = directory
        self.scene = scene = Scene(fault_names or names(seed), datetime.now(UTC))
        self.good = scene.client()
        self.revoked = scene.client()
        self.ca = self.write("ca.pem", scene.ca.certificate_pem)
        # The whole path is looked up, so each CA of it must have a list.
        self.crl = self.write("crl.pem", scene.crl(self.revoked) + self._list_of_intermediate())
        self.stale_crl = self.write("stale.pem", scene.stale_crl())
        self.issuer = self.write("issuer.pem", scene.intermediate.certificate_pem)
        self.server = self.identity("server", scene.server())

    def _list_of_intermediate(self) -> bytes:
        day = timedelta(days=1)
        return self.scene.intermediate.crl(last_update=self.scene.now - day, next_update=self.scene.now + 30 * day)

    def write(self, name: str, content: bytes) -> Path:
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        return path

    def identity(self, name: str, issued: Issued) -> tuple[Path, Path]:
        return self.write(f"{name}.pem", issued.cert_pem), self.write(f"{name}.key", issued.key_pem)

    def setting(
        self, version: str, server: tuple[Path, Path] | None = None, crl: Path | None = None, *, asks: bool = True
    ) -> Setting:
        certificate, key = server or self.server
        return Setting(self.directory, certificate, key, self.ca if asks else None, crl, version)


@dataclass(frozen=True)
class Case:
    """A client's certificate and the cause that is the truth; ``lists``: whether it takes revocation lists."""

    name: str
    cause: str
    client: Callable[[Cast], Issued | None]
    lists: bool = False


def _below_intermediate(cast: Cast) -> Issued:
    return cast.scene.client(cast.scene.intermediate)


CLIENTS = (
    Case("none", "no_certificate", lambda cast: None),
    Case("wrong-ca", "client_wrong_ca", lambda c: c.scene.client(c.scene.other_ca())),
    Case("same-name-ca", "client_twin_ca", lambda c: c.scene.client(c.scene.twin_ca())),
    Case("expired", "client_expired", lambda c: c.scene.client(**c.scene.expired())),
    Case("not-yet-valid", "client_not_yet_valid", lambda c: c.scene.client(**c.scene.future())),
    Case("server-purpose", "client_wrong_purpose", lambda c: c.scene.client(extended_key_usage=(SERVER_AUTH,))),
    Case(
        "missing-intermediate",
        "client_missing_intermediate",
        lambda c: leaf_only(c.scene.client(c.scene.intermediate)),
    ),
    Case("self-signed", "client_self_signed", lambda c: self_signed(c.scene.client_template())),
    Case("revoked", "client_revoked", lambda c: c.revoked, lists=True),
    Case("no-digital-signature", "client_key_may_not_sign", lambda c: c.scene.client(key_usage=_ENCIPHERMENT_ONLY)),
    Case("issuer-not-a-ca", "client_issuer_not_a_ca", lambda c: c.scene.client(c.scene.leaf_as_ca())),
    Case("rsa-1024", "client_weak_key", lambda c: c.scene.client(key=weak_key())),
)
HEALTHY: tuple[tuple[str, Callable[[Cast], Issued]], ...] = (
    ("good", lambda cast: cast.good),
    ("good-intermediate", _below_intermediate),
    ("good-uri", lambda cast: cast.scene.client(names=general_names(cast.scene.names.client_uri))),
)


@dataclass(frozen=True)
class ServerCase:
    """A server's certificate, the cause that is the truth, and the host to which the client goes."""

    name: str
    cause: str
    server: Callable[[Scene], Issued]
    host: str = "localhost"
    # Servers that do not start with it, or end at the first hello.
    refused_by: tuple[str, ...] = ()


SERVER_CASES = (
    ServerCase("wrong-san", "server_wrong_name", lambda s: s.server(names=general_names(s.names.other_host))),
    ServerCase("no-san", "server_no_san", lambda s: s.server(names=())),
    ServerCase("no-san-by-address", "server_no_san", lambda s: s.server(names=()), "127.0.0.1"),
    ServerCase(
        "email-only-san",
        "server_wrong_name",
        lambda s: s.server(names=general_names(s.names.email)),
        refused_by=("hitch",),
    ),
    ServerCase("address-not-in-san", "server_wrong_name", lambda s: s.server(names=_LOCALHOST), "127.0.0.1"),
    ServerCase("expired", "server_expired", lambda s: s.server(**s.expired())),
    ServerCase("not-yet-valid", "server_not_yet_valid", lambda s: s.server(**s.future())),
    ServerCase(
        "client-purpose",
        "server_wrong_purpose",
        lambda s: s.server(extended_key_usage=(CLIENT_AUTH,)),
    ),
    ServerCase("wrong-ca", "server_wrong_ca", lambda s: s.server(s.other_ca())),
    ServerCase("same-name-ca", "server_twin_ca", lambda s: s.server(s.twin_ca())),
    ServerCase("missing-intermediate", "server_missing_intermediate", lambda s: leaf_only(s.server(s.intermediate))),
    ServerCase("self-signed", "server_self_signed", lambda s: self_signed(s.server_template())),
    ServerCase("rsa-1024", "server_weak_key", lambda s: s.server(key=weak_key()), refused_by=_WITHOUT_WEAK_KEYS),
    ServerCase("issuer-not-a-ca", "server_issuer_not_a_ca", lambda s: s.server(s.leaf_as_ca())),
    ServerCase("name-constraints", "server_name_constraint", lambda s: s.server(s.constrained_ca())),
    ServerCase("no-aki", "server_form", lambda s: s.server(authority_key_identifier=False)),
    ServerCase("no-digital-signature", "server_key_may_not_sign", lambda s: s.server(key_usage=_ENCIPHERMENT_ONLY)),
)


def target(running: Running, host: str = "localhost", *, http: bool = True) -> tuple[object, ...]:
    """The arguments that name a server."""
    if not http:
        return f"{host}:{running.port}", "--resolve", f"localhost:{running.port}:127.0.0.1"
    return f"https://{host}:{running.port}/", "--resolve", f"localhost:{running.port}:127.0.0.1"


def asked(cast: Cast, running: Running, *more: object) -> set[str]:
    """The causes that are named where the good client asks a server."""
    certificate, key = cast.identity("client", cast.good)
    return ask(*target(running), "--cacert", cast.ca, "--cert", certificate, "--key", key, *more).causes
