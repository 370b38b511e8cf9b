"""Own certificates and keys: what loads, and what is said of what does not."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from handfast.credentials.credentials import Credentials
from handfast.credentials.signers import DEFERRED, LocalSigner
from handfast.crypto import signatures
from handfast.errors import ConfigError, LocalFailure
from handfast.registry import SignatureScheme
from handfast.x509.pem import encode
from tests import certificates
from tests.trust.crafting import Made, client, intermediate, new_key, root, server
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from pathlib import Path

KEYS = ("p256", "p384", "p521", "ed25519", "ed448", "rsa")


def key_pem(made: Made, password: bytes | None = None) -> bytes:
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    encoded: bytes = made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return encoded


def chain_pem(*chain: bytes) -> bytes:
    return b"".join(encode("CERTIFICATE", one) for one in chain)


def failure(cert: bytes, key: bytes | None = None, password: bytes | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        Credentials.from_pem(cert, key, password, cert_name="c.pem", key_name="k.pem")
    return caught.value


@pytest.mark.parametrize("kind", KEYS)
def test_every_kind_of_key_loads_and_signs_what_its_certificate_verifies(kind: str, tmp_path: Path) -> None:
    made = server(intermediate("Middle", root()), key=new_key(kind))
    (tmp_path / "c.pem").write_bytes(chain_pem(*made.chain))
    (tmp_path / "k.pem").write_bytes(key_pem(made))
    credentials = Credentials.from_files(tmp_path / "c.pem", tmp_path / "k.pem")

    assert credentials.chain == made.chain
    assert credentials.names == ("DNS:localhost",)
    assert credentials.key_description == signatures.certificate_public_key(made.der).name
    assert credentials.signer.schemes
    for scheme in credentials.signer.schemes:
        signature = credentials.signer.sign(scheme, b"message")
        assert isinstance(signature, bytes)
        assert signatures.verify(credentials.public_key, scheme, signature, b"message")


def test_the_certificate_tells_that_a_key_is_rsassa_pss() -> None:
    issued = certificates.rsa_pss()
    credentials = Credentials.from_key(issued.chain, issued.key)
    assert credentials.key_description == "RSASSA-PSS 2048"
    assert SignatureScheme.rsa_pss_pss_sha256 in credentials.signer.schemes
    assert SignatureScheme.rsa_pss_rsae_sha256 not in credentials.signer.schemes


def test_one_file_may_hold_both_and_a_key_may_be_encrypted() -> None:
    made = client(root())
    assert Credentials.from_pem(key_pem(made) + chain_pem(made.der)).chain == (made.der,)
    assert Credentials.from_pem(chain_pem(made.der), key_pem(made, b"secret"), b"secret").chain == (made.der,)


def test_a_key_of_another_certificate_and_a_chain_out_of_order() -> None:
    made = client(intermediate("Middle", root()))
    assert failure(chain_pem(*made.chain), key_pem(client(root()))).code == "key_mismatch"
    order = failure(chain_pem(made.above[0], made.der), key_pem(made))
    assert order.code == "chain_order"
    assert "certificate no. 2" in order.what


def test_a_local_key_put_together_by_hand_with_the_chain_of_another() -> None:
    """Nobody verifies what it signs before it is sent, so it is compared when the two meet."""
    trusted = root()
    mine, other = server(trusted), server(trusted)
    made = Credentials(mine.chain, LocalSigner(mine.key))
    for attempt in (
        lambda: Credentials(mine.chain, LocalSigner(other.key)),
        lambda: Credentials(mine.chain, LocalSigner(new_key("rsa"))),
        lambda: replace(made, chain=other.chain),
        lambda: replace(made, signer=LocalSigner(other.key)),
        lambda: Credentials((trusted.der, *mine.chain), LocalSigner(mine.key)),
    ):
        with pytest.raises(ConfigError) as refused:
            attempt()
        assert refused.value.code == "key_mismatch"
    with pytest.raises(ConfigError) as refused:
        Credentials((), LocalSigner(mine.key))
    assert refused.value.code == "no_certificate"
    with pytest.raises(ConfigError) as refused:
        Credentials((b"junk",), LocalSigner(mine.key))
    assert refused.value.code == "bad_certificate"


def test_a_local_key_that_is_not_told_that_it_is_rsassa_pss() -> None:
    """It would sign under schemes that are for other certificates."""
    issued = certificates.rsa_pss()
    with pytest.raises(ConfigError) as refused:
        Credentials(issued.chain, LocalSigner(issued.key))
    assert refused.value.code == "bad_option"
    assert Credentials.from_key(issued.chain, issued.key).signer.schemes


def test_what_is_wrong_with_files_is_said_by_name() -> None:
    made = client(root())
    cert, key = chain_pem(made.der), key_pem(made)
    for error, code, name in (
        (failure(key, cert), "swapped", "c.pem"),
        (failure(made.der, key), "der_as_pem", "c.pem"),
        (failure(b"", key), "no_certificate", "c.pem"),
        (failure(key, key), "no_certificate", "c.pem"),
        (failure(cert, cert), "no_key", "k.pem"),
        (failure(cert), "no_key", "k.pem"),
        (failure(cert, b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"), "bad_key", "k.pem"),
        (failure(cert, key_pem(made, b"secret")), "password_needed", "k.pem"),
        (failure(cert, key_pem(made, b"secret"), b"wrong"), "password_wrong", "k.pem"),
        (failure(encode("CERTIFICATE", b"\x30\x00"), key), "bad_certificate", "c.pem"),
        (failure(cert, key_pem(client(root(), key=new_key("rsa-1024")))), "weak_key", "k.pem"),
    ):
        assert error.code == code, error
        assert name in error.what
        assert error.hint


def test_missing_files_are_named(tmp_path: Path) -> None:
    made = client(root())
    (tmp_path / "c.pem").write_bytes(chain_pem(made.der))
    for cert, key, missing in (("x.pem", "k.pem", "x.pem"), ("c.pem", "k.pem", "k.pem")):
        with pytest.raises(ConfigError) as caught:
            Credentials.from_files(tmp_path / cert, tmp_path / key)
        assert caught.value.code == "file_missing"
        assert str(tmp_path / missing) in caught.value.what


def test_ca_hints_are_looked_for_along_the_whole_chain() -> None:
    trusted = root()
    middle = intermediate("Middle", trusted)
    made = client(middle)
    credentials = Credentials.from_key(made.chain, made.key)
    names = [one.certificate.subject.public_bytes() for one in (middle, trusted, root("Other"))]
    assert credentials.issuer_names == (names[0], names[1])
    assert credentials.issued_by_any([names[2], names[0]])
    assert credentials.issued_by_any([names[1]])
    assert not credentials.issued_by_any([names[2]])
    assert not credentials.issued_by_any([])


def test_keys_do_not_show() -> None:
    made = client(root())
    credentials = Credentials.from_key(made.chain, made.key)
    assert repr(credentials.signer) == "LocalSigner(ECDSA P-256)"
    assert "PrivateKey" not in repr(credentials)


def test_a_scheme_that_the_key_cannot_make() -> None:
    with pytest.raises(LocalFailure):
        LocalSigner(new_key("p256")).sign(SignatureScheme.ed25519, b"message")


def test_a_deferred_answer_is_neither_bytes_nor_a_verdict() -> None:
    assert not isinstance(DEFERRED, (bytes, bool))


def test_a_server_loads_without_x509(tmp_path: Path) -> None:
    made = server(root())
    (tmp_path / "c.pem").write_bytes(chain_pem(*made.chain))
    (tmp_path / "k.pem").write_bytes(key_pem(made))
    script = (
        "import sys\n"
        "from handfast.credentials import credentials\n"
        "from handfast.trust import roots, verifiers\n"
        "from handfast.x509 import describe, names\n"
        "made = credentials.Credentials.from_files(*sys.argv[1:])\n"
        "anchors = roots.Roots.from_file(sys.argv[1])\n"
        "verifiers.PathVerifier(anchors)\n"
        "made.signer.sign(made.signer.schemes[0], b'message'), made.issued_by_any(anchors.names())\n"
        "made.key_description\n"
        "describe.rfc4514(anchors.names()[0])\n"
        "sys.exit(sorted({'cryptography.x509', 'ssl', 'asyncio', 'email', 'json'} & set(sys.modules)) or 0)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "c.pem"), str(tmp_path / "k.pem")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, "")
