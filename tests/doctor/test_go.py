"""The doctor's lines for Go, each compiled into a program that has the fault: then it works."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from handfast.doctor.catalogue import fixes
from tests.doctor import lines
from tests.doctor.lines import OF_CLIENTS, OF_SERVERS, Fault, printed, refusing, usual, without_comments
from tests.doctor.matrix import Cast, ask, asked, target
from tests.doctor.servers import PROGRAMS, Running, process_server
from tests.doctor.written import logged
from tests.peers.golang import build
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = lines.slow
# What is wrong, as Go has it; "" where it is in the files.
BROKEN = {
    "client_shows_certificate": "&tls.Config{Certificates: nil}",
    "client_trusts_server_ca": "",
    "client_sends_chain": "",
    "client_renews": "",
    "name": "",
    "sni": f'&tls.Config{{ServerName: "{lines.OTHER_NAME}"}}',
    "small_hello": "",
    "server_asks": "&tls.Config{ClientAuth: tls.NoClientCert, ClientCAs: nil}",
    "server_asks_at_once": "&tls.Config{ClientAuth: tls.NoClientCert, ClientCAs: nil}",
    "server_trusts_client_ca": '&tls.Config{ClientCAs: poolOf("other-ca.pem")}',
    "server_sends_chain": "",
    "server_renews": "",
    "server_renews_crl": (
        "VerifyPeerCertificate: func(list *x509.RevocationList) func([][]byte, [][]*x509.Certificate) error { "
        'return func([][]byte, [][]*x509.Certificate) error { return current(list) } }(parsed(read("crl.pem")))'
    ),
    "versions": "&tls.Config{MaxVersion: tls.VersionTLS12}",
    "suites": (
        "&tls.Config{CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}, MaxVersion: tls.VersionTLS12}"
    ),
    "groups": "&tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP521}}",
    "alpn": '&tls.Config{NextProtos: []string{"postgresql"}}',
    "": "&tls.Config{RootCAs: nil}",
    "log": '&http.Server{ErrorLog: log.New(io.Discard, "", 0)}',
}
CLIENTS = [code for code in BROKEN if code in OF_CLIENTS]
SERVERS = [code for code in BROKEN if code in OF_SERVERS]


def line(code: str) -> str:
    return usual(code, "go", own_name=lines.OTHER_NAME if code == "name" else "")


def test_all_lines_are_tried() -> None:
    assert {code for code, fix in fixes().items() if "go" in fix.templates} == BROKEN.keys() - {""}


def _case(name: str, text: str) -> str:
    """A case of the program that does what a line says."""
    code = without_comments(text, "//")
    fields = ", ".join(f'"{field}"' for field in re.findall(r"[{ ]([A-Z]\w+):", " " + code))
    if code.startswith("tls.LoadX509KeyPair"):
        done = f"pair, err := {code}\ncheck(err)\nconfig.Certificates = []tls.Certificate{{pair}}"
    elif code.startswith("pool."):
        done = f'pem := read("client-ca.pem")\n{code}\nconfig.ClientCAs = pool'
    elif "http.Server{" in code:
        done = f"told(server, &{code.lstrip('&')}, {fields})"
    elif code.startswith("&"):
        done = f"told(config, {code}, {fields})"
    elif code.startswith("data"):
        checking = f"{code}\nif err != nil {{ return err }}\nreturn current(list)"
        done = f"config.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error {{\n{checking}\n}}"
    else:
        done = f"told(config, &tls.Config{{{code}}}, {fields})"
    return f'cases["{name}"] = func(config *tls.Config, pool *x509.CertPool, pair tls.Certificate) {{\n{done}\n}}\n'


@cache
def program() -> Path:
    """The program with all lines in it, compiled once."""
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    broken = (_case(f"{code} broken", text) for code, text in BROKEN.items() if text)
    mended = (_case(code, line(code)) for code in BROKEN if code)
    source = Path(folder.name) / "fixed.go"
    told = "".join((*broken, *mended))
    source.write_text(f"{(PROGRAMS / 'fixed.go').read_text()}\nfunc init() {{\n{told}}}\n")
    build(source, source.with_suffix(""))
    return source.with_suffix("")


def cases(code: str, *, mended: bool) -> list[str]:
    return [*([f"{code} broken"] if BROKEN[code] else []), *([code] if mended else [])]


@contextlib.contextmanager
def serving(cast: Cast, code: str, *, mended: bool) -> Iterator[Running]:
    command = [str(program()), "server", *cases(code, mended=mended), "--"]
    with process_server(command, cast.directory / "go.log", "127.0.0.1:") as running:
        yield running


def fetched(cast: Cast, fault: Fault, port: int, *, mended: bool, **variables: str) -> str:
    """What a client says; while it runs, its files are renewed."""
    command = [str(program()), "client", *cases(fault.fix, mended=mended), str(port)]
    limit = f"{2 if fault.fix == 'small_hello' and not mended else LIMIT}s"
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "HANDSHAKE_LIMIT": limit, **variables},
    ) as running:
        assert running.stdout is not None
        first = running.stdout.readline()
        if fault.while_it_runs:
            fault.mend(cast)
        said, _ = running.communicate("\n", LIMIT)
    return first + said


@pytest.mark.parametrize("code", CLIENTS)
def test_a_line_for_a_client(code: str, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = OF_CLIENTS[code]
    lines.in_the_folder(cast, monkeypatch)
    fault.prepare(cast)
    with refusing(cast, code) as running:
        answer = fault.ask(running)
        assert fault.cause in answer.causes, answer.document
        assert printed(answer, code, "go") == line(code)
        said = fetched(cast, fault, running.port, mended=False)
        assert "answered" not in said
        fault.prepare(cast)
        if not fault.while_it_runs:
            fault.mend(cast)
        said = fetched(cast, fault, running.port, mended=True)
    assert "answered 20" in said, said


@pytest.mark.parametrize("code", SERVERS)
def test_a_line_for_a_server(code: str, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = OF_SERVERS[code]
    lines.in_the_folder(cast, monkeypatch)
    fault.prepare(cast)
    with serving(cast, code, mended=False) as running:
        answer = fault.ask(running)
        assert fault.cause in answer.causes, answer.document
        assert printed(answer, code, "go") == line(code)
    fault.prepare(cast)
    if not fault.while_it_runs:
        fault.mend(cast)
    with serving(cast, code, mended=True) as running:
        if fault.while_it_runs:
            fault.mend(cast)
        answer = fault.ask(running)
    assert answer.status == 0, answer.document


def test_the_variable_for_a_client(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    name, _, value = line("client_trusts_server_ca").rpartition("// or ")[2].partition("=")
    without_roots = Fault("", "")
    with refusing(cast, "") as running:
        said = fetched(cast, without_roots, running.port, mended=False)
        assert "unknown authority" in said, said
        said = fetched(cast, without_roots, running.port, mended=False, **{name: value})
    assert "answered 200" in said, said


def test_the_variable_for_a_small_hello(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    name, _, value = line("small_hello").rpartition("// or ")[2].partition("=")
    with refusing(cast, "small_hello") as running:
        said = fetched(cast, OF_CLIENTS["small_hello"], running.port, mended=False, **{name: value})
    assert "answered 200" in said, said


def test_the_line_that_asks_and_requires_nothing(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go itself has neither of the two ways to ask later."""
    lines.in_the_folder(cast, monkeypatch)
    with serving(cast, "server_asks_at_once", mended=False) as running:
        assert asked(cast, running) == {"not_requested"}
    with serving(cast, "server_asks_at_once", mended=True) as running:
        assert asked(cast, running) == set()
        assert ask(*target(running), "--cacert", "ca.pem").status == 0


def test_the_line_for_a_log(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    old = ("--cert", *cast.identity("old", cast.scene.client(**cast.scene.expired())))
    with serving(cast, "log", mended=False) as running:
        assert "client_expired" in asked(cast, running, old[0], old[1], "--key", old[2])
        assert "tls" not in running.log()
    with serving(cast, "log", mended=True) as running:
        asked(cast, running, old[0], old[1], "--key", old[2])
        assert "client_expired" in ask("--log", logged(running, "client_expired")).causes
