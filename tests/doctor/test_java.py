"""The doctor's lines for Java, each given to a program that has the fault: then it works."""

from __future__ import annotations

import atexit
import contextlib
import shlex
from functools import cache
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from handfast.doctor.catalogue import fixes
from tests.doctor import lines
from tests.doctor.lines import OF_CLIENTS, OF_SERVERS, OTHER_NAME, printed, refusing, usual, without_comments
from tests.doctor.matrix import Cast, ask, asked, target
from tests.doctor.servers import PROGRAMS, Running, process_server
from tests.doctor.written import by_command, logged
from tests.peers.base import require_peer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = lines.slow
_STORES = "-Djavax.net.ssl.keyStore={0}.p12 -Djavax.net.ssl.trustStore=trust.p12"
_PASSWORDS = "-Djavax.net.ssl.keyStorePassword=changeit -Djavax.net.ssl.trustStorePassword=changeit"
# What is wrong, as properties or as the name of a case; "" where it is in the files.
BROKEN = {
    "client_shows_certificate": "-Djavax.net.ssl.keyStore=",
    "client_trusts_server_ca": "",
    "client_sends_chain": "",
    "client_renews": "",
    "name": "",
    "sni": "sni broken",
    "bundle": "-Djavax.net.ssl.trustStore=none.p12",
    "small_hello": "",
    "server_asks": "-Dasks_nothing=true",
    "server_asks_at_once": "-Dasks_nothing=true",
    "server_trusts_client_ca": "",
    "server_sends_chain": "",
    "server_renews": "",
    "server_renews_crl": "",
    "versions": "-Djdk.tls.server.protocols=TLSv1.2 -Djdk.tls.client.protocols=TLSv1.2",
    "suites": "-Djdk.tls.server.cipherSuites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "groups": "-Djdk.tls.namedGroups=secp521r1",
    "alpn": "alpn broken",
    "log": "",
}
CLIENTS = [code for code in BROKEN if code in OF_CLIENTS]
SERVERS = [code for code in BROKEN if code in OF_SERVERS]
# Java 17 sends no hello that is too large.
_HARMLESS = {"small_hello"}


def line(code: str) -> str:
    return usual(code, "java", own_name=OTHER_NAME if code == "name" else "")


def test_all_lines_are_tried() -> None:
    assert {code for code, fix in fixes().items() if "java" in fix.templates} == BROKEN.keys()


def _is_code(text: str) -> bool:
    return without_comments(text, "//").endswith(";")


@cache
def classes() -> str:
    """The folder of the program with all lines of code in it, compiled once."""
    require_peer("java")
    compiler, folder = require_peer("javac"), TemporaryDirectory()
    atexit.register(folder.cleanup)
    code = {name: line(name) for name in BROKEN if _is_code(line(name))}
    code |= {"sni broken": code["sni"].replace("localhost", OTHER_NAME)}
    code |= {"alpn broken": code["alpn"].replace("http/1.1", "postgresql")}
    text = (PROGRAMS / "Fixed.java").read_text()
    text = text.replace("/* server_renews_crl */", code.pop("server_renews_crl"))
    for place, mark in (("of a server", "sslServerSocket"), ("of a client", " socket")):
        cases = "".join(f'case "{name}": {{\n{one}\nbreak; }}\n' for name, one in code.items() if mark in f" {one}")
        text = text.replace(f"/* {place} */", cases)
    with open(f"{folder.name}/Fixed.java", "w") as source:
        source.write(text)
    said = by_command(compiler, "-d", folder.name, source.name)
    assert "error" not in said, said
    return folder.name


def stores(side: str) -> None:
    """A side's key store and trust store, of its files, as the doctor's own lines make them."""
    lines.run("rm -f trust.p12")
    lines.run(line(f"{side}_renews"))
    trusting = "server_trusts_client_ca" if side == "server" else "client_trusts_server_ca"
    lines.run(line(trusting).split("\n")[0])


def command(side: str, port: int, broken: str, text: str) -> list[str]:
    """The program, with what is wrong and then with a line: its commands are run, its properties and code stand."""
    options, case = shlex.split(f"{_STORES.format(side)} {_PASSWORDS}"), broken
    if broken.startswith("-D"):
        options, case = [*options, *broken.split()], ""
    for one in without_comments(text).split("\n"):
        if one.startswith(("openssl", "keytool")):
            lines.run(f"rm -f client.p12; {one}" if "client.p12" in one else one)
        elif one.startswith("-D"):
            options += shlex.split(one)
    machine = [require_peer("java"), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", classes()]
    return [*machine, *options, "Fixed", side, str(port), case]


def case_of(code: str, text: str) -> str:
    """The case of the program that a line is, if it is code."""
    return code if _is_code(text) else ""


@contextlib.contextmanager
def serving(cast: Cast, code: str, text: str = "") -> Iterator[Running]:
    words = command("server", 0, BROKEN[code], text)
    words[-1] = case_of(code, text) or (code if code == "server_renews_crl" else words[-1])
    with process_server(words, cast.directory / "java.log", "127.0.0.1:") as running:
        yield running


def fetched(code: str, port: int, text: str = "") -> str:
    words = command("client", port, BROKEN[code], text)
    words[-1] = case_of(code, text) or words[-1]
    return by_command(*words)


@pytest.mark.parametrize("code", CLIENTS)
def test_a_line_for_a_client(code: str, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = OF_CLIENTS[code]
    lines.in_the_folder(cast, monkeypatch)
    if code == "bundle":
        monkeypatch.setenv("SSL_CERT_FILE", "other-ca.pem")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "ca.pem")
    fault.prepare(cast)
    stores("client")
    with refusing(cast, code) as running:
        answer = fault.ask(running)
        assert fault.cause in answer.causes, answer.document
        text = printed(answer, code, "java")
        assert text == line(code)
        if code not in _HARMLESS:
            said = fetched(code, running.port)
            assert "answered HTTP" not in said, said
        fault.mend(cast)
        if "trust.p12" in text:
            lines.run("rm -f trust.p12")
        said = fetched(code, running.port, text)
    assert "answered HTTP/1.0 200" in said, (text, said)


@pytest.mark.parametrize("code", SERVERS)
def test_a_line_for_a_server(code: str, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = OF_SERVERS[code]
    lines.in_the_folder(cast, monkeypatch)
    fault.prepare(cast)
    stores("server")
    if code == "server_trusts_client_ca":
        other = line(code).split("\n")[0].replace("client-ca", "other-ca")
        lines.run(f"rm trust.p12; {other}")
    with serving(cast, code) as running:
        answer = fault.ask(running)
        assert fault.cause in answer.causes, answer.document
        text = printed(answer, code, "java")
        assert text == line(code)
    fault.mend(cast)
    with serving(cast, code, text) as running:
        answer = fault.ask(running)
        assert answer.status == 0, (text, answer.document)
        for version in ("1.2", "1.3"):
            assert asked(cast, running, "--tls", version) == set(), (text, version)


def test_the_line_for_versions_of_a_client(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    stores("client")
    with refusing(cast, "") as running:
        assert "protocol_version" in fetched("versions", running.port)
        assert "answered HTTP" in fetched("versions", running.port, line("versions"))


def test_what_the_line_for_suites_says_of_disabled_algorithms(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    stores("server")
    name = line("suites").split("\n")[1].partition(" ")[0]
    cast.write("java.security", f"{name}=ECDHE\n".encode())
    monkeypatch.setitem(BROKEN, "suites", "-Djava.security.properties=java.security")
    with serving(cast, "suites") as running:
        assert "no_common_suite" in OF_SERVERS["suites"].ask(running).causes
    cast.write("java.security", f"{name}=SSLv3\n".encode())
    with serving(cast, "suites", line("suites")) as running:
        assert OF_SERVERS["suites"].ask(running).status == 0


def test_the_line_that_asks_and_requires_nothing(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    stores("server")
    with serving(cast, "server_asks_at_once") as running:
        assert asked(cast, running) == {"not_requested"}
    with serving(cast, "server_asks_at_once", line("server_asks_at_once")) as running:
        assert asked(cast, running) == set()
        assert ask(*target(running), "--cacert", "ca.pem").status == 0


def test_the_line_for_a_log(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    stores("server")
    old = cast.identity("old", cast.scene.client(**cast.scene.expired()))
    client = ("--cert", old[0], "--key", old[1])
    for text in ("", line("log")):
        with serving(cast, "log", text) as running:
            assert "client_expired" in ask(*target(running), "--cacert", "ca.pem", *client).causes
            if text:
                assert "client_expired" in ask("--log", logged(running, "client_expired")).causes
            else:
                assert running.log().count("\n") == 1
