"""The doctor's lines for Node, each given to a program that has the fault: then it works."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from handfast.doctor.catalogue import fixes
from tests.doctor import lines
from tests.doctor.lines import OF_CLIENTS, OF_SERVERS, OTHER_NAME, PASSWORD, Fault, printed, refusing, usual
from tests.doctor.matrix import Cast, ask, asked, target
from tests.doctor.servers import PROGRAMS, Running, port_in, process
from tests.doctor.written import logged
from tests.peers.node import program
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = lines.slow
# What is wrong, as options of Node's; "" where it is in the files.
BROKEN = {
    "client_shows_certificate": "{cert: undefined, key: undefined}",
    "client_trusts_server_ca": "{ca: undefined}",
    "client_sends_chain": "",
    "client_renews": "",
    "client_key_password": "",
    "name": "",
    "sni": f"{{servername: '{OTHER_NAME}'}}",
    "bundle": "{ca: undefined}",
    "small_hello": "",
    "server_asks": "{requestCert: false}",
    "server_asks_at_once": "{requestCert: false}",
    "server_trusts_client_ca": "{ca: fs.readFileSync('other-ca.pem')}",
    "server_sends_chain": "",
    "server_renews": "",
    "server_key_password": "",
    "server_renews_crl": "{crl: fs.readFileSync('crl.pem')}",
    "versions": "{maxVersion: 'TLSv1.2'}",
    "suites": "{ciphers: 'ECDHE-RSA-AES128-GCM-SHA256'}",
    "groups": "{ecdhCurve: 'P-521'}",
    "alpn": "{ALPNProtocols: ['postgresql']}",
    "log": "",
}
CLIENTS = [code for code in BROKEN if code in OF_CLIENTS]
SERVERS = [code for code in BROKEN if code in OF_SERVERS]
# In lines that a running server takes.
OF_RUNNING = ("server.",)


def line(code: str, **known: object) -> str:
    own_name = OTHER_NAME if code == "name" else ""
    return usual(code, "node", host="localhost", own_name=own_name, **known)


def command(code: str, role: str, port: int, text: str) -> list[str]:
    return [
        program(),
        str(PROGRAMS / "fixed.mjs"),
        role,
        str(port),
        BROKEN[code],
        text.replace("...'", f"{PASSWORD.decode()}'"),
    ]


def test_all_lines_are_tried() -> None:
    assert {code for code, fix in fixes().items() if "node" in fix.templates} == BROKEN.keys()


@contextlib.contextmanager
def serving(cast: Cast, code: str, text: str = "") -> Iterator[Running]:
    """A server that is told a line when it starts, or once it runs."""
    later = text.startswith(OF_RUNNING)
    log = cast.directory / "node.log"
    with process(command(code, "server", 0, "" if later else text), log) as running:
        served = Running(port_in(running, log, "127.0.0.1:"), log)
        if later:
            OF_SERVERS.get(code, Fault(code, "")).mend(cast)
            assert running.stdin is not None
            running.stdin.write(f"{text}\n".encode())
            assert until(lambda: "done" in served.log())
        yield served


def fetched(cast: Cast, fault: Fault, port: int, text: str = "", **variables: str) -> str:
    """What a client says; while it runs, its files may be renewed."""
    with subprocess.Popen(
        command(fault.fix, "client", port, text),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **variables},
    ) as running:
        assert running.stdout is not None
        first = running.stdout.readline()
        if fault.while_it_runs:
            fault.mend(cast)
        said, _ = running.communicate("\n", LIMIT)
    return first + said


def with_variable(text: str) -> tuple[str, dict[str, str]]:
    """A line of a program's, or the variable that it sets before node."""
    name, mark, rest = text.partition("=")
    if not (mark and name.isupper()):
        return text, {}
    return "", {name: rest.partition(" node")[0]}


@pytest.mark.parametrize("code", CLIENTS)
def test_a_line_for_a_client(code: str, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = OF_CLIENTS[code]
    lines.in_the_folder(cast, monkeypatch)
    if code == "bundle":
        monkeypatch.setenv("SSL_CERT_FILE", "other-ca.pem")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "ca.pem")
    fault.prepare(cast)
    with refusing(cast, code) as running:
        answer = fault.ask(running)
        assert fault.cause in answer.causes, answer.document
        text, variables = with_variable(printed(answer, code, "node"))
        limit = {"HANDSHAKE_LIMIT": "2000"} if code == "small_hello" else {}
        said = fetched(cast, fault, running.port, **limit)
        assert "answered" not in said, said
        fault.prepare(cast)
        if not fault.while_it_runs:
            fault.mend(cast)
        said = fetched(cast, fault, running.port, text, **variables)
    assert "answered 20" in said, (text, said)


@pytest.mark.parametrize("code", SERVERS)
def test_a_line_for_a_server(code: str, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = OF_SERVERS[code]
    lines.in_the_folder(cast, monkeypatch)
    fault.prepare(cast)
    with serving(cast, code) as running:
        answer = fault.ask(running)
        assert fault.cause in answer.causes, answer.document
        texts = printed(answer, code, "node").split("\n")
    for text in texts:
        fault.prepare(cast)
        if not text.startswith(OF_RUNNING):
            fault.mend(cast)
        with serving(cast, code, text) as running:
            answer = fault.ask(running)
            assert answer.status == 0, (text, answer.document)
            # And all that worked before does.
            for version in ("1.2", "1.3"):
                assert asked(cast, running, "--tls", version) == set(), (text, version)


def test_the_line_that_asks_and_requires_nothing(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    with serving(cast, "server_asks_at_once") as running:
        assert asked(cast, running) == {"not_requested"}
    with serving(cast, "server_asks_at_once", line("server_asks_at_once")) as running:
        assert asked(cast, running) == set()
        assert ask(*target(running), "--cacert", "ca.pem").status == 0


def test_the_line_for_a_server_s_password(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    lines.locked("server")(cast)
    answer = ask("--server-cert", "server.pem", "--server-key", "server.key")
    assert answer.causes == {"server_key_encrypted"}
    started = subprocess.run(
        command("server_key_password", "server", 0, ""), capture_output=True, timeout=LIMIT, text=True, check=False
    )
    assert started.returncode != 0
    with serving(cast, "server_key_password", printed(answer, "server_key_password", "node")) as running:
        assert asked(cast, running) == set()


def test_the_line_for_a_log(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    for text in ("", line("log")):
        with serving(cast, "log", text) as running:
            lines.curl(running, "--cacert", "other-ca.pem")
            if text:
                assert "server_wrong_ca" in ask("--log", logged(running, "server_wrong_ca")).causes
            else:
                assert "rror" not in running.log()
