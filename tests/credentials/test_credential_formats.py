"""Certificates and keys in all the forms in which they are found, and passwords in all in which they are given."""

from __future__ import annotations

import itertools
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from handfast.credentials.credentials import Credentials
from handfast.errors import ApiMisuse, ConfigError
from handfast.x509.pem import encode
from tests.certificates import require_peer
from tests.trust.crafting import Made, client, intermediate, new_key, root, server

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = b"open sesame"
ROOT = root()
MIDDLE = intermediate("Middle", ROOT)
MADE = server(MIDDLE)
RSA = server(MIDDLE, key=new_key("rsa"))


def key_bytes(
    made: Made = MADE, encoding: Encoding = Encoding.PEM, form: Any = PrivateFormat.PKCS8, password: bytes | None = None
) -> bytes:
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    encoded: bytes = made.key.private_bytes(encoding, form, encryption)
    return encoded


def pem(*chain: bytes) -> bytes:
    return b"".join(encode("CERTIFICATE", one) for one in chain)


def p12(
    made: Made = MADE, *others: bytes, key: Any = None, cert: bool = True, password: bytes | None = PASSWORD
) -> bytes:
    return pkcs12.serialize_key_and_certificates(
        b"name",
        key or made.key,
        x509.load_der_x509_certificate(made.der) if cert else None,
        [x509.load_der_x509_certificate(one) for one in others],
        NoEncryption() if password is None else BestAvailableEncryption(password),
    )


def failure(cert: bytes, key: bytes | None = None, password: Any = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        Credentials.from_bytes(cert, key, password, cert_name="c.file", key_name="k.file")
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("made", [MADE, RSA], ids=["ECDSA", "RSA"])
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER], ids=["PEM", "DER"])
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL], ids=["PKCS8", "own"])
def test_keys_in_pem_and_der(made: Made, encoding: Encoding, form: PrivateFormat) -> None:
    key = key_bytes(made, encoding, form)
    assert Credentials.from_bytes(pem(*made.chain), key).chain == made.chain
    assert Credentials.from_bytes(made.der, key).chain == (made.der,)


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER], ids=["PEM", "DER"])
def test_encrypted_keys(encoding: Encoding) -> None:
    key = key_bytes(encoding=encoding, password=PASSWORD)
    assert Credentials.from_bytes(MADE.der, key, PASSWORD).chain == (MADE.der,)
    assert failure(MADE.der, key).code == "password_needed"
    assert failure(MADE.der, key, "wrong").code == "password_wrong"


def test_one_pem_file_holds_key_and_chain_wherever_the_key_stands() -> None:
    blocks = [pem(one) for one in MADE.chain]
    for position in range(len(blocks) + 1):
        together = b"".join([*blocks[:position], key_bytes(), *blocks[position:]])
        assert Credentials.from_bytes(together).chain == MADE.chain


def test_the_order_of_a_chain() -> None:
    upper = intermediate("Upper", ROOT)
    made = server(intermediate("Lower", upper))
    leaf, lower, middle = made.chain
    assert Credentials.from_bytes(pem(leaf, lower, middle, ROOT.der), key_bytes(made)).chain[3] == ROOT.der
    shuffled = failure(pem(leaf, middle, lower), key_bytes(made))
    assert (shuffled.code, shuffled.what) == (
        "issuer_order",
        "c.file: certificate no. 3 issued no. 1 and must stand right after it",
    )
    assert failure(pem(lower, leaf, middle), key_bytes(made)).code == "chain_order"
    # What issued nothing here is no fault: a peer may know better which of two issuers it trusts.
    assert Credentials.from_bytes(pem(leaf, lower, MIDDLE.der), key_bytes(made)).chain[2] == MIDDLE.der
    # An issuer may be left out too.
    assert Credentials.from_bytes(pem(leaf, middle), key_bytes(made)).chain == (leaf, middle)


# PKCS#12


@pytest.mark.parametrize("others", list(itertools.permutations((MIDDLE.der, ROOT.der, root("Trusted once").der))))
def test_pkcs12_has_no_order_and_strangers_in_it_are_left_out(others: tuple[bytes, ...]) -> None:
    credentials = Credentials.from_bytes(p12(MADE, *others), password=PASSWORD)
    assert credentials.chain == (MADE.der, MIDDLE.der, ROOT.der)
    assert credentials.signer.schemes


@pytest.mark.parametrize("password", [None, b""], ids=["none", "empty"])
def test_pkcs12_without_a_password(password: bytes | None) -> None:
    data = p12(password=None)
    assert Credentials.from_bytes(data, password=password).chain == (MADE.der,)


def test_pkcs12_and_other_files_mix() -> None:
    assert Credentials.from_bytes(pem(*MADE.chain), p12(), PASSWORD).chain == MADE.chain
    assert Credentials.from_bytes(p12(MADE, MIDDLE.der), key_bytes(), PASSWORD).chain == MADE.chain
    # The file says nothing of which certificate is the key's.
    assert Credentials.from_bytes(p12(MADE, MIDDLE.der, MADE.der, cert=False), password=PASSWORD).chain == MADE.chain


def test_what_is_wrong_with_pkcs12() -> None:
    data = p12()
    for error, code, name in (
        (failure(data), "password_needed", "c.file"),
        (failure(data, password=b"wrong"), "password_wrong", "c.file"),
        (failure(pem(MADE.der), data, b"wrong"), "password_wrong", "k.file"),
        (failure(data[:-1], password=PASSWORD), "bad_pkcs12", "c.file"),
        (failure(p12(key=client(ROOT).key, password=None, cert=False)), "no_certificate", "c.file"),
        (failure(p12(MADE, key=new_key("rsa-1024"), cert=False)), "password_needed", "c.file"),
        (failure(p12(MADE, key=new_key("rsa-1024"), cert=False), None, PASSWORD), "weak_key", "c.file"),
        (failure(p12(), key_bytes(client(ROOT)), PASSWORD), "key_mismatch", "k.file"),
    ):
        assert error.code == code, error
        assert name in error.what


def test_pkcs12_without_a_key() -> None:
    only = pkcs12.serialize_key_and_certificates(
        None, None, x509.load_der_x509_certificate(MADE.der), None, BestAvailableEncryption(PASSWORD)
    )
    assert failure(only, None, PASSWORD).code == "no_key"
    assert Credentials.from_bytes(only, key_bytes(), PASSWORD).chain == (MADE.der,)


@pytest.mark.parametrize("options", [[], ["-legacy"], ["-keypbe", "NONE", "-certpbe", "NONE"]], ids=str)
def test_pkcs12_as_openssl_writes_it(options: list[str], tmp_path: Path) -> None:
    require_peer("openssl")
    (tmp_path / "all.pem").write_bytes(key_bytes() + pem(*MADE.chain))
    command = "openssl pkcs12 -export -in all.pem -out all.p12 -passout"
    subprocess.run([*command.split(), "pass:open\u00e9sesame", *options], cwd=tmp_path, check=True, capture_output=True)
    assert Credentials.from_files(tmp_path / "all.p12", password="open\u00e9sesame").chain == MADE.chain


# Names


def test_what_a_file_holds_counts_but_for_der_named_pem(tmp_path: Path) -> None:
    for name, data in (("c.crt", MADE.der), ("k.key", key_bytes(encoding=Encoding.DER)), ("p.pem", p12())):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "c.pem").write_bytes(MADE.der)
    (tmp_path / "k.PEM").write_bytes(key_bytes(encoding=Encoding.DER))
    assert Credentials.from_files(tmp_path / "c.crt", tmp_path / "k.key").chain == (MADE.der,)
    assert Credentials.from_files(tmp_path / "p.pem", password=PASSWORD).chain == (MADE.der,)
    for cert, key, named, command in (("c.pem", "k.key", "c.pem", "x509"), ("c.crt", "k.PEM", "k.PEM", "pkey")):
        with pytest.raises(ConfigError) as caught:
            Credentials.from_files(tmp_path / cert, tmp_path / key)
        assert caught.value.code == "der_as_pem"
        assert str(tmp_path / named) in caught.value.what
        assert f"openssl {command} " in caught.value.hint


def test_pem_is_asked_for_by_name() -> None:
    for cert, key in ((MADE.der, key_bytes()), (pem(MADE.der), key_bytes(encoding=Encoding.DER))):
        with pytest.raises(ConfigError) as caught:
            Credentials.from_pem(cert, key)
        assert caught.value.code == "der_as_pem"


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER], ids=["PEM", "DER"])
def test_exchanged_files_are_found_in_every_form(encoding: Encoding) -> None:
    key = key_bytes(encoding=encoding)
    for cert in (pem(MADE.der), MADE.der):
        assert failure(key, cert).code == "swapped"
    assert failure(MADE.der, MADE.der).code == "no_key"
    assert failure(key).code == "no_certificate"


# Passwords


def test_a_password_is_a_value_a_file_or_somebody_who_knows_it(tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes(PASSWORD + b"\r\n")
    key = key_bytes(password=PASSWORD)
    for password in (PASSWORD, PASSWORD.decode(), tmp_path / "password", lambda: PASSWORD, PASSWORD.decode):
        assert Credentials.from_bytes(MADE.der, key, password).chain == (MADE.der,)
    assert failure(MADE.der, key, lambda: None).code == "password_needed"
    for any_key in (key, key_bytes()):
        assert failure(MADE.der, any_key, tmp_path / "none").code == "file_missing"
    with pytest.raises(ApiMisuse, match="a password is bytes or text, not int"):
        Credentials.from_bytes(MADE.der, key, lambda: 7)  # type: ignore[arg-type, return-value]


def test_who_knows_the_password_is_asked_once_and_only_if_it_is_needed() -> None:
    asked = []

    def ask() -> bytes:
        asked.append(1)
        return PASSWORD

    Credentials.from_bytes(MADE.der, key_bytes(), ask)
    Credentials.from_bytes(p12(password=None), password=ask)
    assert asked == []
    Credentials.from_bytes(p12(), key_bytes(password=PASSWORD), ask)
    assert asked == [1]


def test_no_password_shows_in_an_error() -> None:
    error = failure(MADE.der, key_bytes(password=PASSWORD), "hunter2")
    assert "hunter2" not in f"{error} {error.hint} {error.details} {error.explain()}"
    assert error.__context__ is None or "hunter2" not in repr(error.__context__)
