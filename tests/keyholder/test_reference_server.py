"""``python -m handfast.keyholder``: the reference holder as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from handfast import ClientConfig, PathVerifier, Roots
from handfast.errors import LocalFailure
from handfast.keyholder.__main__ import main
from handfast.keyholder.messages import CertificateVerify13, ServerKeyExchange12, Side, compose
from handfast.registry import NamedGroup, SignatureScheme
from tests import certificates
from tests.aio.support import identity
from tests.keyholder.support import close, remote
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Files

ECDSA = SignatureScheme.ecdsa_secp256r1_sha256
AS_SERVER = compose(CertificateVerify13(Side.server, bytes(32)))[1]
AS_CLIENT = compose(CertificateVerify13(Side.client, bytes(32)))[1]
IN_TLS12 = compose(ServerKeyExchange12(bytes(32), bytes(32), NamedGroup.x25519, bytes(32)))[1]


class Holder:
    """The process, from when it listens until it is told to stop."""

    def __init__(self, *flags: object) -> None:
        self._command = [sys.executable, "-m", "handfast.keyholder", *map(str, flags)]

    def __enter__(self) -> list[str]:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        found: list[str] = json.loads(self._process.stdout.readline())["listening"]
        return found

    def __exit__(self, *exception: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        _, self.log = self._process.communicate(timeout=LIMIT)
        self.status = self._process.returncode


def test_on_a_unix_socket(files: Files, tmp_path: Path) -> None:
    key = files.write(certificates.server().key_pem)
    holder = Holder("--key", key, "--role", "server", "--scheme", "ecdsa_secp256r1_sha256", "--unix", tmp_path / "s")
    server = remote(certificates.server(), tmp_path / "s")
    with holder as listening:
        assert listening == [str(tmp_path / "s")]
        assert server.signer.sign(ECDSA, AS_SERVER)
        for content, reason in ((AS_CLIENT, "not for this role"), (IN_TLS12, "not for TLS 1.2")):
            with pytest.raises(LocalFailure, match=reason):
                server.signer.sign(ECDSA, content)
        close(server)
    assert holder.status == 0
    assert "signed as server with ecdsa_secp256r1_sha256" in holder.log
    assert "role_refused" in holder.log
    assert not (tmp_path / "s").exists()


def test_with_tls_and_an_encrypted_key(files: Files) -> None:
    encrypted = certificates.server().key.private_bytes(*_encrypted(b"open sesame"))
    own = files.identity(certificates.server())
    flags: list[Any] = ["--key", files.write(encrypted), "--key-password-file", files.write(b"open sesame\n")]
    flags += ["--role", "server", "--tls12", "--listen", "127.0.0.1:0", "--cert", own["certificate"]]
    flags += ["--cert-key", own["key"], "--client-ca", files.roots(certificates.ca()), "--name", "DNS:alice"]
    tls = ClientConfig(
        verifier=PathVerifier(Roots.from_der([certificates.ca().certificate_der])),
        credentials=[identity(certificates.client())],
    )
    with Holder(*flags) as (address,):
        host, _, port = address.rpartition(":")
        server = remote(certificates.server(), (host, int(port)), tls=tls)
        assert server.signer.sign(ECDSA, AS_SERVER)
        assert server.signer.sign(ECDSA, IN_TLS12)
        close(server)


def _encrypted(password: bytes) -> Any:
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

    return Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ([], "required"),
        (["--key", "{key}", "--role", "nobody"], "invalid choice"),
        (["--key", "{key}", "--role", "server"], "nobody could connect"),
        (["--key", "no-such-file", "--role", "server", "--unix", "s"], "no such file"),
        (["--key", "{key}", "--role", "server", "--scheme", "rot13", "--unix", "s"], "no signature scheme"),
        (["--key", "{key}", "--role", "server", "--scheme", "ed25519", "--unix", "s"], "cannot make ed25519"),
        (["--key", "{key}", "--role", "server", "--listen", "localhost:0"], "not complete"),
    ],
)
def test_flags_that_make_no_sense(
    files: Files, capsys: pytest.CaptureFixture[str], flags: list[str], complaint: str
) -> None:
    key = files.write(certificates.server().key_pem)
    assert main([flag.format(key=key) for flag in flags]) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert "handfast: hint: " in said
