"""The doctor's lines for PostgreSQL and psql, each given to a real one that has the fault: then it works."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from handfast.doctor.catalogue import fixes
from tests.doctor import lines
from tests.doctor.lines import OF_CLIENTS, OF_SERVERS, PASSWORD, Fault, printed, usual, without_comments
from tests.doctor.matrix import Answer, Cast, ask, target
from tests.doctor.servers import Running, listening, process
from tests.doctor.written import by_command, logged
from tests.peers.base import require_peer
from tests.starttls.servers import free_port, owned_by, program
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = lines.slow
STARTTLS = ("--starttls", "postgres")
_CERT = "hostssl all all all cert clientcert=verify-full map=names"


@dataclass(frozen=True)
class Told:
    """What a server is told, a text for each of its files."""

    conf: str = "ssl_ca_file = 'client-ca.pem'"
    hba: str = _CERT
    ident: str = "names /^.*$ postgres"

    def with_line(self, text: str) -> Told:
        """With a line of the doctor's, which says itself where it belongs: it stands last, or first, where it wins."""
        conf, hba, ident = self.conf, self.hba, self.ident
        for one in text.split("\n"):
            plain = without_comments(one)
            if "pg_hba.conf" in one:
                hba = f"{plain}\n{hba}"
            elif "pg_ident.conf" in one:
                ident = f"{plain}\n{ident}"
            else:
                conf = f"{conf}\n{plain}"
        return Told(conf, hba, ident)


@dataclass
class Cluster:
    """One cluster, in whose folder the files of a test are copied."""

    folder: Path
    user: dict[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def take_files(self) -> None:
        """The files of the test as they are now, for the server alone."""
        for path in Path().glob("*"):
            if path.suffix in (".pem", ".key") or path.name == "passphrase":
                shutil.copy(path, self.data)
                (self.data / path.name).chmod(0o600)
        owned_by("postgres", self.folder)

    def command(self, told: Told, port: int) -> list[str]:
        self.take_files()
        (self.data / "told.conf").write_text(f"{told.conf}\n")
        (self.data / "pg_hba.conf").write_text(f"local all all trust\n{told.hba}\n")
        (self.data / "pg_ident.conf").write_text(f"{told.ident}\n")
        given = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder}
        return [program("postgres"), "-D", str(self.data), *(f"--{name}={value}" for name, value in given.items())]

    @contextlib.contextmanager
    def serving(self, told: Told) -> Iterator[Running]:
        port = free_port()
        with listening(
            self.command(told, port), Path("postgres.log").absolute(), port, cwd="/", **self.user
        ) as running:
            ready = [program("pg_isready"), "-q", "-h", str(self.folder), "-p", str(port)]
            assert until(lambda: subprocess.run(ready, timeout=LIMIT, check=False).returncode == 0)
            yield running


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    initdb = program("initdb")
    # pytest's own folders are for nobody else.
    with TemporaryDirectory() as name:
        user = owned_by("postgres", Path(name))
        made = Cluster(Path(name), user)
        command = [initdb, "-D", str(made.data), "-A", "trust", "-U", "postgres"]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, **user)
        with (made.data / "postgresql.conf").open("a") as conf:
            conf.write("ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'\ninclude 'told.conf'\n")
        yield made


def psql(port: int, text: str = "", **changed: str) -> str:
    """What psql says to a query, told by its environment what is right, or not, and by a line of the doctor's."""
    right = {"SSLMODE": "verify-full", "SSLROOTCERT": "ca.pem", "SSLCERT": "client.pem", "SSLKEY": "client.key"}
    usual_place = {"HOST": "localhost", "PORT": str(port), "USER": "postgres", "DATABASE": "postgres"}
    given = {f"PG{name}": value for name, value in {**usual_place, **right, **changed}.items() if value}
    words = shlex.split(without_comments(text).replace("ADDRESS", "127.0.0.1").replace("...", PASSWORD.decode()))
    environment = {"PATH": os.environ["PATH"], "HOME": os.getcwd(), "PGCONNECT_TIMEOUT": str(int(LIMIT)), **given}
    command = [require_peer("psql"), "-At", "-c", "select 'it works'", *words[1:]]
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    return done.stdout + done.stderr


def line(code: str) -> str:
    return usual(code, "postgresql")


def asked_of(fault: Fault, running: Running, *more: object) -> Answer:
    return fault.ask(running, *STARTTLS, *more, http=False)


# What is wrong, as lines of postgresql.conf; "" where it is in the files.
OF_CONF = {
    "server_trusts_client_ca": "ssl_ca_file = 'other-ca.pem'",
    "server_sends_chain": "",
    "server_renews_crl": "ssl_crl_file = 'stale.pem'",
    "versions": "ssl_max_protocol_version = 'TLSv1.2'",
    "suites": "ssl_ciphers = 'ECDHE-RSA-AES128-GCM-SHA256'",
    "groups": "ssl_ecdh_curve = 'secp521r1'",
}
# What is wrong, as psql's environment.
OF_PSQL = {
    "client_shows_certificate": {"SSLCERT": "none.pem", "SSLKEY": "none.key"},
    "client_trusts_server_ca": {},
    "client_sends_chain": {},
    "client_renews": {},
    "client_right_key": {"SSLKEY": "other.key"},
    "client_key_password": {},
    "name": {},
}
OF_THEIR_OWN = {
    "server_asks", "server_renews", "server_right_key", "server_key_password", "server_allows_client", "log",
    "client_renews_crl", "starttls",
}  # fmt: skip


def test_all_lines_are_tried() -> None:
    tried = OF_CONF.keys() | OF_PSQL.keys() | OF_THEIR_OWN
    assert {code for code, fix in fixes().items() if "postgresql" in fix.templates} == tried


@pytest.mark.parametrize("code", OF_CONF)
def test_a_line_for_the_server(code: str, cluster: Cluster, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    fault = OF_SERVERS[code]
    # PostgreSQL 15 takes one curve, and no X25519.
    more = ("--groups", "secp256r1") if code == "groups" else ()
    fault.prepare(cast)
    broken = Told().with_line(OF_CONF[code])
    with cluster.serving(broken) as running:
        answer = asked_of(fault, running, *more)
        assert fault.cause in answer.causes, answer.document
        text = printed(answer, code, "postgresql")
        if code not in ("versions", "suites", "groups"):
            assert "it works" not in psql(running.port)
    fault.mend(cast)
    with cluster.serving(broken.with_line(text)) as running:
        assert asked_of(fault, running, *more).status == 0
        assert "it works" in psql(running.port)


def test_the_lines_that_ask(cluster: Cluster, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    open_to_all = Told("", "hostssl all all all trust")
    with cluster.serving(open_to_all) as running:
        answer = asked_of(OF_SERVERS["server_asks"], running)
        assert answer.causes == {"not_requested"}
        assert "it works" in psql(running.port, SSLCERT="none.pem")
    told = open_to_all.with_line(printed(answer, "server_asks", "postgresql"))
    # The line lets those in whose common name is that of a user.
    with cluster.serving(told) as running:
        assert asked_of(OF_SERVERS["server_asks"], running).status == 0
        assert "requires a valid client certificate" in psql(running.port, SSLCERT="none.pem", SSLKEY="none.key")
        assert "certificate authentication failed" in psql(running.port)
        cast.identity("client", cast.scene.ca.issue(_of_user(cast, "postgres")))
        assert "it works" in psql(running.port)


def _of_user(cast: Cast, name: str) -> Any:
    leaf, usual_client = cast.scene.leaf(name), cast.scene.client_template()
    return replace(leaf, extended_key_usage=usual_client.extended_key_usage)


def test_the_line_that_lets_somebody_in(cluster: Cluster, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    cast.identity("client", cast.scene.ca.issue(_of_user(cast, "Alice of accounting")))
    told = Told(ident="", hba="hostssl all all all cert clientcert=verify-full")
    with cluster.serving(told) as running:
        said = psql(running.port)
        answer = ask("--log", said)
        assert "client_not_allowed" in answer.causes, said
    text = printed(answer, "server_allows_client", "postgresql")
    text = text.replace("CN", "Alice of accounting").replace("USER ", "postgres ")
    with cluster.serving(told.with_line(text)) as running:
        assert "it works" in psql(running.port), text


def test_the_line_that_reads_the_files_again(cluster: Cluster, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    fault = OF_SERVERS["server_renews"]
    fault.prepare(cast)
    with cluster.serving(Told()) as running:
        answer = asked_of(fault, running)
        assert "server_expired" in answer.causes
        fault.mend(cast)
        cluster.take_files()
        assert "server_expired" in asked_of(fault, running).causes
        query = printed(answer, "server_renews", "postgresql")
        by_command(require_peer("psql"), "-h", cluster.folder, "-p", running.port, "-U", "postgres", "-c", query)
        assert until(lambda: asked_of(fault, running).status == 0)
        assert "it works" in psql(running.port)


@pytest.mark.parametrize("code", ["server_right_key", "server_key_password"])
def test_a_line_for_a_server_that_does_not_start(
    code: str, cluster: Cluster, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines.in_the_folder(cast, monkeypatch)
    broken = Told()
    if code == "server_right_key":
        broken = broken.with_line(f"ssl_key_file = '{cast.identity('other', cast.scene.server())[1].name}'")
        files = ("--server-cert", "server.pem", "--server-key", "other.key")
    else:
        lines.locked("server")(cast)
        cast.write("passphrase", PASSWORD + b"\n")
        broken = broken.with_line("ssl_passphrase_command = 'false'")
        files = ("--server-cert", "server.pem", "--server-key", "server.key")
    with process(cluster.command(broken, free_port()), Path("no.log"), cwd="/", **cluster.user) as running:
        assert running.wait(LIMIT) != 0
    answer = ask(*files)
    assert answer.causes == {"server_key_mismatch" if code == "server_right_key" else "server_key_encrypted"}
    # The right key is in the usual place.
    text = printed(answer, code, "postgresql").replace("other.key", "server.key")
    with cluster.serving(broken.with_line(text)) as running:
        assert "it works" in psql(running.port)


def test_the_lines_for_a_log(cluster: Cluster, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    quiet = Told().with_line("log_min_messages = fatal")
    old = dict(zip(("SSLCERT", "SSLKEY"), cast.identity("old", cast.scene.client(**cast.scene.expired())), strict=True))
    with cluster.serving(quiet) as running:
        psql(running.port, **{name: str(path) for name, path in old.items()})
        assert "it works" in psql(running.port)
        assert "SSL" not in running.log()
    with cluster.serving(quiet.with_line(line("log"))) as running:
        psql(running.port, **{name: str(path) for name, path in old.items()})
        assert "it works" in psql(running.port)
        assert until(lambda: "connection authorized" in running.log())
        assert "client_expired" in ask("--log", logged(running, "client_expired")).causes, running.log()


@pytest.mark.parametrize("code", OF_PSQL)
def test_a_line_for_psql(code: str, cluster: Cluster, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    fault = OF_CLIENTS[code]
    if code == "client_right_key":
        cast.write("other.key", cast.server[1].read_bytes())
    else:
        fault.prepare(cast)
    with cluster.serving(Told()) as running:
        said = psql(running.port, **OF_PSQL[code])
        assert "it works" not in said
        if code == "client_shows_certificate":
            # PostgreSQL asks, and says later that one should have come.
            answer = asked_of(fault, running, "--log", said)
        elif code == "client_right_key":
            answer = asked_of(fault, running, "--key", "other.key")
        else:
            answer = asked_of(fault, running)
        assert fault.cause in answer.causes, answer.document
        fault.mend(cast)
        text = printed(answer, code, "postgresql").replace("other.key", "client.key")
        assert f"port={running.port}" in text
        assert "it works" in psql(running.port, text, **OF_PSQL[code]), text


def test_the_line_for_psql_s_revocation_list(cluster: Cluster, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    with cluster.serving(Told()) as running:
        said = psql(running.port, SSLCRL="stale.pem")
        answer = ask(*target(running, http=False), *STARTTLS, "--cacert", "ca.pem", "--log", said)
        assert "server_crl_stale" in answer.causes, (said, answer.document)
        text = printed(answer, "client_renews_crl", "postgresql")
        assert "it works" in psql(running.port, text, SSLCRL="stale.pem"), text


def test_the_line_for_a_client_that_begins_with_tls(
    cluster: Cluster, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines.in_the_folder(cast, monkeypatch)
    with cluster.serving(Told()) as running:
        answer = Fault("", "").ask(running, http=False)
        log = cast.write("the.log", logged(running, "starttls_port").encode())
        answer = ask(*target(running, http=False), "--cacert", "ca.pem", "--log", log)
        assert "starttls_port" in answer.causes, answer.document
        assert "it works" in psql(running.port, printed(answer, "starttls", "postgresql"), SSLMODE="disable")
