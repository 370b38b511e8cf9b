"""Certificates for all tests, each made once per test run: making them again for each handshake would take most of the
time. They are healthy; broken ones come from `handfast.pki.faults`, and those who change something make their own."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from handfast.credentials.credentials import Credentials
from handfast.crypto.private_keys import load_private_key
from handfast.pki.authority import CertificateAuthority, Issued

SERVER_NAMES = ("localhost", "127.0.0.1", "::1", "server.example.com")
CLIENT_NAME = "alice"


@functools.cache
def ca(key: str = "ecdsa-p256") -> CertificateAuthority:
    """The root that both sides trust."""
    return CertificateAuthority.create("Test CA", key=key)


@functools.cache
def other_ca() -> CertificateAuthority:
    """A root that nobody trusts unless a test says so."""
    return CertificateAuthority.create("Other CA")


@functools.cache
def intermediate() -> CertificateAuthority:
    """A CA below `ca`."""
    return ca().intermediate("Test Intermediate")


@functools.cache
def server(key: str = "ecdsa-p256", *, names: tuple[str, ...] = SERVER_NAMES) -> Issued:
    """A server certificate directly below `ca`, with a key of this kind."""
    return ca().server(*names, key=key)


@functools.cache
def client(key: str = "ecdsa-p256", *, name: str = CLIENT_NAME) -> Issued:
    """A client certificate directly below `ca`, with a key of this kind."""
    return ca().client(name, key=key)


@functools.cache
def server_below_intermediate() -> Issued:
    """A server certificate whose chain holds an intermediate."""
    return intermediate().server(*SERVER_NAMES)


@functools.cache
def client_below_intermediate() -> Issued:
    """A client certificate whose chain holds an intermediate."""
    return intermediate().client(CLIENT_NAME)


@functools.cache
def rsa_pss(*, purpose: str = "serverAuth") -> Issued:
    """A leaf whose public key says id-RSASSA-PSS, which `cryptography` cannot make: the openssl command does."""
    leaf, key_pem = _rsa_pss_files(purpose)
    return Issued((leaf,), load_private_key(key_pem, path="key"))


def rsa_pss_key_pem(*, purpose: str = "serverAuth") -> bytes:
    """The key of `rsa_pss` as the openssl command wrote it: `cryptography` would forget that it is for PSS."""
    return _rsa_pss_files(purpose)[1]


@functools.cache
def _rsa_pss_files(purpose: str) -> tuple[bytes, bytes]:
    require_peer("openssl")
    extensions = (
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
        f"extendedKeyUsage={purpose}\nsubjectAltName=DNS:localhost,DNS:server.example.com,IP:127.0.0.1,IP:::1\n"
        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "ca.pem").write_bytes(ca().certificate_pem)
        (directory / "ca.key").write_bytes(ca().key_pem())
        (directory / "extensions").write_text(extensions)
        sign = "openssl x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile extensions"
        for command in (
            "openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out key",
            "openssl req -new -key key -subj /O=handfast/CN=localhost -out request",
            f"{sign} -outform DER -out leaf",
        ):
            subprocess.run(command.split(), cwd=directory, check=True, capture_output=True)
        return (directory / "leaf").read_bytes(), (directory / "key").read_bytes()


def require_peer(program: str) -> str:
    """The path of a program that a test needs; without it the test is skipped, or fails if HANDFAST_REQUIRE_PEERS=1."""
    path = shutil.which(program)
    if path is None:
        if os.environ.get("HANDFAST_REQUIRE_PEERS") == "1":
            pytest.fail(f"{program} is not installed, and HANDFAST_REQUIRE_PEERS=1 requires it")
        pytest.skip(f"{program} is not installed")
    return path


class Careless(Credentials):
    """Credentials of a stack that does not look whether chain and key belong together."""

    def __post_init__(self) -> None:
        pass
