"""Who refuses what, by the programs themselves: the table of rules says the same.

handfast and `openssl verify` take a moment; `certtool --verify`, programs that start slowly, and connections to a
server for each certificate are left to `make certificate-tools`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from handfast.lint.rule_table import (
    CHROMIUM,
    FIREFOX,
    GNUTLS,
    GO,
    HANDFAST,
    JAVA,
    NODE,
    OPENSSL,
    PYTHON,
    PYTHON_313,
    RULES,
)
from handfast.trust.presented import PresentedChain
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from handfast.x509.purpose import Purpose
from tests import browsers
from tests.certificates import require_peer
from tests.peers import golang, node
from tests.waiting import LIMIT, TEST_LIMIT

from .broken import BROKEN, HEALTHY, NOW, Broken, key_pem, pem

PROGRAMS = Path(__file__).with_name("programs")
# What is wrong with these is not in what a server sends.
ELSEWHERE = {"key_mismatch", "leaf_not_first", "revoked", "revocation_list_expired"}
SENT = [code for code in RULES if code not in ELSEWHERE]
slow = pytest.mark.skipif("HANDFAST_TOOLS" not in os.environ, reason="slow: `make certificate-tools` runs it")


def run(*command: object) -> subprocess.CompletedProcess[str]:
    words = [require_peer(str(command[0])), *map(str, command[1:])]
    return subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=TEST_LIMIT)


# By themselves, in a moment


@pytest.mark.parametrize("code", SENT)
def test_handfast(code: str) -> None:
    if code == "unsupported_key":
        pytest.skip("found in the handshake")
    broken = BROKEN[code]()
    presented = PresentedChain(chain=broken.sent, purpose=Purpose.SERVER, server_name=broken.host, at=NOW)
    verdict = PathVerifier(Roots.from_der([broken.trusted])).verify(presented)
    # The order of issuers matters where our own files are read.
    refused = HANDFAST in RULES[code].refused_by and code != "issuer_order"
    assert verdict.accepted is not refused, verdict


@pytest.mark.parametrize("strict", [False, True], ids=["openssl", "python-3.13"])
@pytest.mark.parametrize("code", SENT)
def test_openssl(code: str, strict: bool, tmp_path: Path) -> None:
    if code in ("unsupported_key", "malformed"):
        pytest.skip("found in the handshake")
    broken = BROKEN[code]()
    for name, chain in (("leaf", broken.sent[:1]), ("others", broken.sent[1:]), ("root", (broken.trusted,))):
        (tmp_path / name).write_bytes(pem(*chain))
    others = ("-untrusted", tmp_path / "others") if broken.sent[1:] else ()
    host = ("-verify_ip" if broken.host[0].isdigit() else "-verify_hostname", broken.host)
    rules = ("-purpose", "sslserver", "-auth_level", "2", *(("-x509_strict", "-partial_chain") if strict else ()))
    trust = ("-CAfile", tmp_path / "root", "-no-CApath", "-no-CAstore")
    done = run("openssl", "verify", *rules, *trust, *others, *host, tmp_path / "leaf")
    refusers = {OPENSSL, PYTHON_313} if strict else {OPENSSL}
    assert (done.returncode != 0) is bool(refusers & set(RULES[code].refused_by)), done.stdout + done.stderr


@slow
@pytest.mark.parametrize("code", SENT)
def test_gnutls(code: str, tmp_path: Path) -> None:
    if code in ("unsupported_key", "malformed", "key_may_not_sign"):
        pytest.skip("found in the handshake")
    if code == "self_signed_leaf":
        pytest.skip("certtool wants a CA, and connections do not")
    broken = BROKEN[code]()
    (tmp_path / "sent").write_bytes(pem(*broken.sent))
    (tmp_path / "root").write_bytes(pem(broken.trusted))
    host = "--verify-hostname", broken.host
    purpose = "--verify-purpose", "1.3.6.1.5.5.7.3.1"
    trust = "--load-ca-certificate", tmp_path / "root"
    done = run("certtool", "--verify", "--infile", tmp_path / "sent", *trust, *host, *purpose)
    assert (done.returncode != 0) is (GNUTLS in RULES[code].refused_by), done.stdout + done.stderr


# By connections


@dataclass(frozen=True)
class Servers:
    """A server for each certificate; ``lines`` are "NAME PORT HOST", ``met`` the names of those asked for something."""

    roots: Path
    lines: Path
    met: set[str]

    @property
    def entries(self) -> list[tuple[str, str, str]]:
        return [tuple(line.split()) for line in self.lines.read_text().splitlines()]  # type: ignore[misc]


def serve(context: ssl.SSLContext, listener: socket.socket, name: str, met: set[str]) -> None:
    def answer(connection: socket.socket) -> None:
        connection.settimeout(LIMIT)
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
            if tls.recv(4096):
                met.add(name)
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")

    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Every broken certificate that a server can send, and a healthy one."""
    folder = tmp_path_factory.mktemp("servers")
    cases: dict[str, Broken] = {code: BROKEN[code]() for code in SENT} | {"healthy": HEALTHY["a server's"]()}
    listeners, lines, roots = [], [], b""
    met: set[str] = set()
    for name, broken in cases.items():
        (folder / "chain").write_bytes(pem(*broken.sent))
        (folder / "key").write_bytes(key_pem(broken.key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("ALL:@SECLEVEL=0")
        try:
            context.load_cert_chain(folder / "chain", folder / "key")
        except ssl.SSLError:
            assert name == "malformed"
            continue
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=serve, args=(context, listener, name, met), daemon=True).start()
        lines.append(f"{name} {listener.getsockname()[1]} {broken.host}\n")
        if name not in ("same_name_other_key", "self_signed_leaf"):
            roots += pem(broken.trusted)
    roots += pem(cases["self_signed_leaf"].trusted)
    (folder / "roots.pem").write_bytes(roots)
    (folder / "lines").write_text("".join(lines))
    yield Servers(folder / "roots.pem", folder / "lines", met)
    for listener in listeners:
        listener.close()


def by_program(*command: object) -> Callable[[Servers, Path], dict[str, str]]:
    def visit(servers: Servers, _folder: Path) -> dict[str, str]:
        done = run(*command, servers.roots, servers.lines)
        assert done.returncode == 0, done.stderr
        return dict(line.split(": ", 1) for line in done.stdout.splitlines())

    return visit


def by_go(servers: Servers, folder: Path) -> dict[str, str]:
    golang.build(PROGRAMS / "visit.go", folder / "visit")
    return by_program(folder / "visit")(servers, folder)


def by_node(servers: Servers, folder: Path) -> dict[str, str]:
    return by_program(node.program(), PROGRAMS / "visit.mjs")(servers, folder)


def by_python(servers: Servers, _folder: Path) -> dict[str, str]:
    context = ssl.create_default_context(cafile=servers.roots)
    found = {}
    for name, port, host in servers.entries:
        found[name] = "ok"
        try:
            with socket.create_connection(("127.0.0.1", int(port)), LIMIT) as connection:
                context.wrap_socket(connection, server_hostname=host).close()
        except ssl.SSLError as error:
            found[name] = str(error)
    return found


def by_curl(servers: Servers, _folder: Path) -> dict[str, str]:
    def visit(port: str, host: str) -> str:
        done = run("curl", "-sS", "--max-time", LIMIT, "--cacert", servers.roots, f"https://{host}:{port}/")
        return "ok" if done.stdout == "hello" else done.stderr

    return {name: visit(port, host) for name, port, host in servers.entries}


def by_gnutls(servers: Servers, _folder: Path) -> dict[str, str]:
    def visit(port: str, host: str) -> str:
        trust = "--x509cafile", servers.roots, "--sni-hostname", "localhost", "--verify-hostname", host
        done = run("gnutls-cli", *trust, "-p", port, "127.0.0.1")
        return "ok" if "Handshake was completed" in done.stdout else done.stdout

    return {name: visit(port, host) for name, port, host in servers.entries}


def by_chromium(servers: Servers, folder: Path) -> dict[str, str]:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed")
    store = folder / ".pki/nssdb"
    store.mkdir(parents=True)
    run("certutil", "-N", "-d", f"sql:{store}", "--empty-password")
    for number, root in enumerate(re.findall(r"(?s)-----BEGIN.*?END CERTIFICATE-----\n", servers.roots.read_text())):
        (folder / "root").write_text(root)
        run("certutil", "-A", "-d", f"sql:{store}", "-n", str(number), "-t", "CT,C,C", "-i", folder / "root")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile", "--dump-dom"]

    def visit(port: str, host: str) -> str:
        command, environment = [browser, *options, f"https://{host}:{port}/"], {**os.environ, "HOME": str(folder)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TEST_LIMIT)
        return "ok" if "hello" in done.stdout else "refused"

    return {name: visit(port, host) for name, port, host in servers.entries}


def by_firefox(servers: Servers, folder: Path) -> dict[str, str]:
    """A page with a picture from each server: it is shown only the sites that it trusts."""
    browsers.executable("firefox")
    database = browsers.database("firefox", folder)
    for number, root in enumerate(re.findall(r"(?s)-----BEGIN.*?END CERTIFICATE-----\n", servers.roots.read_text())):
        (folder / "root").write_text(root)
        trusted = ("-A", "-n", str(number), "-t", "CT,C,C", "-i", folder / "root")
        browsers.tell_database(database, "certutil", *trusted, check=False)
    page = folder / "page.html"
    page.write_text("".join(f'<img src="https://{host}:{port}/">\n' for _, port, host in servers.entries))
    servers.met.clear()
    command, environment = browsers.command("firefox", folder, page.as_uri()), {**os.environ, "HOME": str(folder)}
    subprocess.run(command, env=environment, capture_output=True, timeout=TEST_LIMIT)
    return {name: "ok" if name in servers.met else "refused" for name, _, _ in servers.entries}


PEERS: dict[str, tuple[str, Callable[[Servers, Path], dict[str, str]]]] = {
    "curl": (OPENSSL, by_curl),
    "python": (PYTHON, by_python),
    "go": (GO, by_go),
    "java": (JAVA, by_program("java", "-XX:TieredStopAtLevel=1", PROGRAMS / "Visit.java")),
    "node": (NODE, by_node),
    "gnutls": (GNUTLS, by_gnutls),
    "chromium": (CHROMIUM, by_chromium),
    "firefox": (FIREFOX, by_firefox),
}


@slow
@pytest.mark.parametrize("peer", PEERS)
def test_by_connections(peer: str, servers: Servers, tmp_path: Path) -> None:
    program, visit = PEERS[peer]
    identifiers = {program, PYTHON_313} if program == PYTHON and sys.version_info >= (3, 13) else {program}
    said = visit(servers, tmp_path)
    assert said.pop("healthy") == "ok"
    refused = {code for code, words in said.items() if words != "ok"}
    assert refused == {code for code in said if identifiers & set(RULES[code].refused_by)}, said
