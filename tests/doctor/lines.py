"""What the tests of the doctor's lines share: the files that they name, the faults, and the lines as they are printed.

A test is in the folder of its cast. There the files have the names that the doctor prints where it knows no others, so
that a line can be taken as it stands.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from handfast.doctor.catalogue import fixes
from handfast.pki.fault_scene import general_names
from handfast.pki.template import SERVER_AUTH
from tests.doctor.matrix import Answer, Cast, ask, target
from tests.doctor.servers import Running, s_server
from tests.doctor.test_protocol_faults import dropping_large_hellos, with_arguments
from tests.doctor.written import by_command
from tests.peers.base import require_peer
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from handfast.pki.authority import Issued

slow = pytest.mark.skipif(os.environ.get("HANDFAST_DOCTOR") != "1", reason="it takes a minute: make doctor-matrix")
OTHER_NAME = "www.other.example"
PASSWORD = b"secret"
# What the doctor prints for a name that it does not know, and which one a reader knows.
_UNKNOWN = {"NAME": "localhost"}


def in_the_folder(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Cast:
    """The cast with all files under the names of ``catalogue.USUAL_NAMES``, in whose folder the test now is."""
    monkeypatch.chdir(cast.directory)
    cast.identity("client", cast.good)
    cast.write("client-ca.pem", cast.scene.ca.certificate_pem)
    cast.write("intermediate.pem", cast.scene.intermediate.certificate_pem)
    cast.write("fresh.pem", cast.crl.read_bytes())
    cast.write("other-ca.pem", cast.scene.other_ca().certificate_pem)
    return cast


def printed(answer: Answer, code: str, place: str) -> str:
    """The line of a fix, out of an answer that has it."""
    does = fixes()[code].does
    causes = (cause for finding in answer.document["findings"] for cause in finding["causes"])
    found = [fix[place] for cause in causes for fix in cause["fixes"] if fix["does"] == does]
    assert found, (code, answer.document["findings"])
    return as_read(found[0])


def usual(code: str, place: str, **known: object) -> str:
    """The line with the usual names in it: what ``printed`` has where the doctor was told these."""
    return as_read(fixes()[code].filled({name: str(value) for name, value in known.items()})[place])


def as_read(line: str) -> str:
    """The line with what only its reader knows."""
    for unknown, name in _UNKNOWN.items():
        line = line.replace(unknown, name)
    return line


def without_comments(line: str, mark: str = "#") -> str:
    return "\n".join(part.partition(f" {mark}")[0].rstrip() for part in line.split("\n"))


def run(command: str) -> None:
    """A command of the doctor's, in the folder."""
    subprocess.run(["/bin/sh", "-ec", command], check=True, timeout=LIMIT, capture_output=True)


def curl(running: Running, *options: str) -> str:
    """What curl says of a server."""
    where = f"https://localhost:{running.port}/"
    return by_command(require_peer("curl"), "-sS", "--noproxy", "*", *options, where)


@dataclass(frozen=True)
class Fault:
    """Something wrong on one side, the cause that it is, and the fix whose line is tried.

    Attributes:
        prepare: what it changes in the files before the program starts.
        mend: what a reader does besides writing the line, such as the command that comes with it.
        while_it_runs: whether that is to be seen without a new start.
        told: what the doctor is told besides the files.
        files: the client's files, which the doctor is told.
    """

    fix: str
    cause: str
    prepare: Callable[[Cast], object] = lambda cast: None
    mend: Callable[[Cast], object] = lambda cast: None
    while_it_runs: bool = False
    told: tuple[object, ...] = ()
    files: tuple[str, ...] = ("--cacert", "ca.pem", "--cert", "client.pem", "--key", "client.key")

    def ask(self, running: Running, *more: object, **how: Any) -> Answer:
        """The doctor about a server."""
        return ask(*target(running, **how), *self.files, *self.told, *more)


@contextlib.contextmanager
def refusing(cast: Cast, code: str) -> Iterator[Running]:
    """An s_server that requires a certificate and shows the fault of a client's fix, if that is about servers."""
    setting = replace(cast.setting("1.3"), client_ca=cast.directory / "client-ca.pem")
    if code == "sni":
        known = ("-servername", "localhost", "-servername_fatal", "-cert2", "server.pem", "-key2", "server.key")
        with with_arguments(setting, *known) as running:
            yield running
    elif code == "small_hello":
        with s_server(setting) as running, dropping_large_hellos(running.port) as port:
            yield Running(port)
    else:
        with s_server(setting) as running:
            yield running


def leaf_alone(issued: Issued) -> bytes:
    return b"".join(issued.cert_pem.partition(b"-----END CERTIFICATE-----\n")[:2])


def _below_intermediate(side: str) -> Callable[[Cast], None]:
    def prepare(cast: Cast) -> None:
        issued = getattr(cast.scene, side)(cast.scene.intermediate)
        cast.identity(side, issued)
        cast.write(f"{side}.pem", leaf_alone(issued))

    return prepare


def _make_chain(side: str) -> Callable[[Cast], None]:
    return lambda cast: run(usual(f"{side}_sends_chain", "command"))


def renewed(side: str) -> Callable[[Cast], object]:
    """A side's certificate renewed in the same files."""
    return lambda cast: cast.identity(side, cast.good if side == "client" else cast.scene.server())


def locked(side: str) -> Callable[[Cast], object]:
    """A side's key with a password, of which ``PASSWORD`` is the text."""

    def prepare(cast: Cast) -> None:
        password = f"pass:{PASSWORD.decode()}"
        command = f"openssl pkcs8 -topk8 -in {side}.key -passin {password} -passout {password} -out locked.key"
        run(f"{command} && mv locked.key {side}.key && chmod 600 {side}.key")

    return prepare


def named_otherwise(cast: Cast) -> None:
    """A server of another name, also in its subject: HAProxy takes the common name too."""
    leaf = replace(cast.scene.leaf(OTHER_NAME), names=general_names(OTHER_NAME), extended_key_usage=(SERVER_AUTH,))
    cast.identity("server", cast.scene.ca.issue(leaf))


# At a server that requires a client certificate.
OF_CLIENTS = {
    fault.fix: fault
    for fault in (
        Fault("client_shows_certificate", "no_certificate", files=("--cacert", "ca.pem")),
        Fault(
            "client_trusts_server_ca",
            "server_wrong_ca",
            lambda cast: cast.write("ca.pem", (cast.directory / "other-ca.pem").read_bytes()),
            lambda cast: cast.write("ca.pem", cast.scene.ca.certificate_pem),
        ),
        Fault(
            "client_sends_chain",
            "client_missing_intermediate",
            _below_intermediate("client"),
            _make_chain("client"),
            told=("--client-ca", "client-ca.pem", "--issuer", "intermediate.pem"),
        ),
        Fault(
            "client_renews",
            "client_expired",
            lambda cast: cast.identity("client", cast.scene.client(**cast.scene.expired())),
            renewed("client"),
            while_it_runs=True,
        ),
        Fault(
            "client_right_key",
            "client_key_mismatch",
            lambda cast: cast.write("client.key", cast.server[1].read_bytes()),
        ),
        Fault("client_key_password", "client_key_encrypted", locked("client")),
        Fault("name", "server_wrong_name", named_otherwise),
        Fault("sni", "sni_refused", told=("--servername", OTHER_NAME)),
        Fault("bundle", "bundle_shadowed", files=("--cert", "client.pem", "--key", "client.key")),
        Fault("small_hello", "large_hello", told=("--max-time", "2")),
    )
}
# Of a server that should require one.
OF_SERVERS = {
    fault.fix: fault
    for fault in (
        Fault("server_asks", "not_requested"),
        Fault("server_trusts_client_ca", "client_wrong_ca"),
        Fault(
            "server_sends_chain",
            "server_missing_intermediate",
            _below_intermediate("server"),
            _make_chain("server"),
            told=("--issuer", "intermediate.pem"),
        ),
        Fault(
            "server_renews",
            "server_expired",
            lambda cast: cast.identity("server", cast.scene.server(**cast.scene.expired())),
            renewed("server"),
            while_it_runs=True,
        ),
        Fault(
            "server_renews_crl",
            "client_crl_stale",
            lambda cast: cast.write("crl.pem", cast.stale_crl.read_bytes()),
            lambda cast: cast.write("crl.pem", (cast.directory / "fresh.pem").read_bytes()),
            while_it_runs=True,
        ),
        Fault("versions", "no_common_version", told=("--tls", "1.3")),
        Fault("suites", "no_common_suite", told=("--tls", "1.2")),
        Fault("groups", "no_common_group", told=("--groups", "x25519")),
        Fault("alpn", "no_common_alpn"),
    )
}
