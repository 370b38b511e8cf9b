"""Private keys as they are found in files."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519

from handfast.crypto.private_keys import load_private_key, public_key_of, same_public_key
from handfast.errors import ConfigError

Encoding = serialization.Encoding
Format = serialization.PrivateFormat
PLAIN = serialization.NoEncryption()
LOCKED = serialization.BestAvailableEncryption(b"open sesame")
RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
KEYS = {
    "ECDSA P-256": P256,
    "ECDSA P-521": ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "Ed448": ed448.Ed448PrivateKey.generate(),
    "RSA 2048": RSA,
}
CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
EC_PARAMETERS = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


def pem(key=P256, form=Format.PKCS8, encryption=PLAIN):
    return key.private_bytes(Encoding.PEM, form, encryption)


def failure(data, password=None):
    with pytest.raises(ConfigError) as caught:
        load_private_key(data, path="server.key", password=password)
    assert "server.key" in caught.value.what
    return caught.value


@pytest.mark.parametrize(("name", "key"), KEYS.items(), ids=KEYS)
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER], ids=["PEM", "DER"])
@pytest.mark.parametrize("encryption", [PLAIN, LOCKED], ids=["plain", "encrypted"])
def test_pkcs8(name, key, encoding, encryption):
    data = key.private_bytes(encoding, Format.PKCS8, encryption)
    loaded = load_private_key(data, path="server.key", password=b"open sesame")
    assert public_key_of(loaded).name == name
    assert same_public_key(public_key_of(loaded), public_key_of(key))


@pytest.mark.parametrize("key", [RSA, P256], ids=["PKCS#1", "SEC1"])
def test_traditional_formats(key):
    for data in (
        pem(key, Format.TraditionalOpenSSL),
        pem(key, Format.TraditionalOpenSSL, LOCKED),
        key.private_bytes(Encoding.DER, Format.TraditionalOpenSSL, PLAIN),
    ):
        loaded = load_private_key(data, path="server.key", password=b"open sesame")
        assert same_public_key(public_key_of(loaded), public_key_of(key))


def test_other_blocks_may_stand_around_the_key():
    data = b"Bag Attributes\n" + CERTIFICATE + EC_PARAMETERS + pem(form=Format.TraditionalOpenSSL) + CERTIFICATE
    loaded = load_private_key(data.replace(b"\n", b"\r\n"), path="server.key", password=None)
    assert same_public_key(public_key_of(loaded), public_key_of(P256))
    assert not same_public_key(public_key_of(loaded), public_key_of(RSA))


def test_no_key():
    assert failure(CERTIFICATE).code == "no_key"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a key",
        b"\x30\x03\x02\x01\x00",
        pem()[:60],
        pem().replace(b"M", b"!", 1),
        b"-----BEGIN PRIVATE KEY-----\n" + base64.b64encode(b"noise") + b"\n-----END PRIVATE KEY-----\n",
    ],
    ids=["empty", "text", "DER", "cut", "base64", "noise"],
)
def test_bad_keys(data):
    assert failure(data).code == "bad_key"


@pytest.mark.parametrize(
    "data",
    [
        pem(encryption=LOCKED),
        pem(form=Format.TraditionalOpenSSL, encryption=LOCKED),
        P256.private_bytes(Encoding.DER, Format.PKCS8, LOCKED),
    ],
    ids=["PKCS#8", "SEC1", "DER"],
)
def test_passwords(data):
    assert failure(data).code == "password_needed"
    assert failure(data, b"").code == "password_needed"
    assert failure(data, b"open barley").code == "password_wrong"


UNSUPPORTED = {
    "X25519": pem(x25519.X25519PrivateKey.generate()),
    "DSA": pem(dsa.generate_private_key(1024)),
    "OpenSSH": pem(form=Format.OpenSSH),
    "traditional DSA": pem(dsa.generate_private_key(1024), Format.TraditionalOpenSSL),
    "secp256k1": pem(ec.generate_private_key(ec.SECP256K1())),
}


@pytest.mark.parametrize("data", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_keys_that_tls_does_not_use(data):
    assert failure(data).code == "unsupported_key"


def test_weak_keys_are_refused():
    error = failure(pem(rsa.generate_private_key(65537, 1024)))
    assert error.code == "weak_key"
    assert "RSA 1024" in error.what
