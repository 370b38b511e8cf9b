"""What `handfast certs` writes, under other implementations: each verifies it offline or in a mutual handshake."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from handfast.cli import main
from tests.certificates import require_peer
from tests.peers import CLIENTS, SERVERS, ClientAuth, Options
from tests.pki.openssl import handshake
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "correct horse"
SETS = {
    "plain": (),
    "intermediate": ("--intermediate", "issuing"),
    "constrained": ("--constrain", "localhost", "--constrain", "127.0.0.0/8", "--destroy-ca-key"),
}
STACKS = ("openssl", "pyopenssl", "python", "go", "node", "jsse", "gnutls", "nss")


@pytest.fixture(scope="module", params=SETS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of one command."""
    made = tmp_path_factory.mktemp("pki")
    (made / "password").write_text(PASSWORD)
    forms = ("--p12", "--p12-password-file", str(made / "password"), "--combined")
    names = ("localhost", "127.0.0.1")
    assert main(["certs", *names, "--client", "alice", "--dir", str(made), *SETS[request.param], *forms]) == 0
    return made


def said_by(program: str, *arguments: str, folder: Path) -> str:
    command = [require_peer(program), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("role", "purpose"), [("server", "sslserver"), ("client", "sslclient")])
def test_openssl_strict(folder: Path, role: str, purpose: str) -> None:
    options = ("-x509_strict", "-auth_level", "2", "-purpose", purpose, "-CAfile", "ca.pem")
    said = said_by("openssl", "verify", *options, "-untrusted", f"{role}.pem", f"{role}.pem", folder=folder)
    assert said == f"{role}.pem: OK\n"


@pytest.mark.parametrize("role", ["server", "client"])
def test_a_newer_openssl_strict(folder: Path, role: str) -> None:
    """That of ``cryptography``, by pyOpenSSL."""
    crypto = pytest.importorskip("OpenSSL.crypto")
    chain = x509.load_pem_x509_certificates((folder / f"{role}.pem").read_bytes())
    leaf, *others = map(crypto.X509.from_cryptography, chain)
    store = crypto.X509Store()
    store.load_locations(str(folder / "ca.pem"))
    store.set_flags(crypto.X509StoreFlags.X509_STRICT)
    crypto.X509StoreContext(store, leaf, others).verify_certificate()


def test_the_strict_rules_of_python(folder: Path) -> None:
    sides = []
    for role, protocol in (("client", ssl.PROTOCOL_TLS_CLIENT), ("server", ssl.PROTOCOL_TLS_SERVER)):
        context = ssl.SSLContext(protocol)
        context.load_verify_locations(folder / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_cert_chain(folder / f"{role}.pem", folder / f"{role}.key")
        sides.append(context)
    client, server = sides
    handshake(client, server, "localhost")


def test_the_default_verifier_of_cryptography(folder: Path) -> None:
    root, *_ = x509.load_pem_x509_certificates((folder / "ca.pem").read_bytes())
    policy = PolicyBuilder().store(Store([root]))
    server, *others = x509.load_pem_x509_certificates((folder / "server.pem").read_bytes())
    policy.build_server_verifier(x509.DNSName("localhost")).verify(server, others)


def test_certtool_of_gnutls(folder: Path) -> None:
    arguments = ("--verify", "--load-ca-certificate", "ca.pem", "--infile", "server.pem")
    said = said_by("certtool", *arguments, "--verify-hostname", "localhost", folder=folder)
    assert "The certificate is trusted" in said
    said = said_by("certtool", "--p12-info", "--inder", "--infile", "client.p12", "--password", PASSWORD, folder=folder)
    assert "BEGIN CERTIFICATE" in said


def test_certutil_of_nss(folder: Path) -> None:
    store = ("-d", "sql:nss")
    (folder / "nss").mkdir()
    said_by("certutil", "-N", *store, "--empty-password", folder=folder)
    said_by("certutil", "-A", *store, "-n", "ca", "-t", "CT,,", "-i", "ca.pem", folder=folder)
    for role in ("server", "client"):
        said_by("pk12util", "-i", f"{role}.p12", *store, "-W", PASSWORD, folder=folder)
    for role, usage in (("server", "V"), ("client", "C")):
        assert "certificate is valid" in said_by("certutil", "-V", *store, "-n", role, "-u", usage, folder=folder)


@pytest.mark.parametrize("folder", ["intermediate"], indirect=True)
def test_keytool_of_java(folder: Path) -> None:
    arguments = ("-list", "-keystore", "server.p12", "-storepass", PASSWORD)
    said = said_by("keytool", *arguments, folder=folder)
    assert "PrivateKeyEntry" in said


def test_openssl_reads_what_is_in_one_file(folder: Path) -> None:
    assert said_by("openssl", "pkey", "-in", "client.combined.pem", folder=folder)
    said = said_by("openssl", "pkcs12", "-in", "client.p12", "-passin", "file:password", "-nokeys", folder=folder)
    assert said.count("BEGIN CERTIFICATE") == (folder / "client.pem").read_text().count("BEGIN CERTIFICATE")


def pairs() -> Iterator[tuple[str, str]]:
    """Each stack as the server of OpenSSL and as Python's client, so that each judges a certificate of either role."""
    for stack in STACKS:
        yield stack, "openssl"
        yield "python", stack
    yield "pyopenssl", "pyopenssl"
    yield "pyopenssl", "curl"


@pytest.mark.parametrize(("server", "client"), [*pairs()])
@pytest.mark.parametrize("folder", ["intermediate"], indirect=True)
def test_both_sides_accept_each_other(folder: Path, server: str, client: str) -> None:
    trust = folder / "ca.pem"
    theirs = Options(
        certificate=folder / "server.pem", key=folder / "server.key", trust=trust, client_auth=ClientAuth.REQUIRE
    )
    ours = Options(certificate=folder / "client.pem", key=folder / "client.key", trust=trust)
    with SERVERS[server](theirs) as serving, CLIENTS[client](serving.port, ours) as connecting:
        outcome = connecting.outcome()
    assert (outcome.received or b"").startswith(b"HTTP/"), outcome.text
