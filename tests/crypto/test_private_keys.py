"""Private keys as they are found in files."""

from __future__ import annotations

import base64
import secrets
from math import gcd

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519

from handfast.credentials.signers import LocalSigner
from handfast.crypto.private_keys import load_private_key, public_key_of, same_public_key
from handfast.errors import ConfigError, LocalFailure

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


# RSA keys whose numbers are wrong


def rsa_bytes(bits=2048, **changes):
    """A key in PKCS#1 whose numbers fit each other, its factors being primes only by chance; then changed."""
    e, p, q = 65537, 0, 0
    while gcd(e, (p - 1) * (q - 1)) != 1 or gcd(p, q) != 1 or p == q:
        p, q = (secrets.randbits(bits // 2) | 3 << bits // 2 - 2 | 1 for _ in range(2))
    d = pow(e, -1, (p - 1) * (q - 1))
    numbers = {"p": p, "q": q, "d": d, "dmp1": d % (p - 1), "dmq1": d % (q - 1), "iqmp": pow(q, -1, p), "n": p * q}
    numbers |= {name: numbers[name] + change for name, change in changes.items()}
    order = (0, numbers["n"], e, *[numbers[name] for name in ("d", "p", "q", "dmp1", "dmq1", "iqmp")])
    return der_bytes(0x30, b"".join(der_bytes(2, number.to_bytes(number.bit_length() // 8 + 1)) for number in order))


def der_bytes(tag, content):
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8)
    length = bytes([len(content)]) if len(content) < 0x80 else bytes([0x80 | len(size)]) + size
    return bytes([tag]) + length + content


def test_a_large_rsa_key_is_not_searched_for_primes():
    """That would take 10 s. If they are none, the first signature shows it, which is made when a signer is."""
    key = load_private_key(rsa_bytes(8192), path="server.key")
    with pytest.raises(LocalFailure) as caught:
        LocalSigner(key)
    assert caught.value.code == "wrong_signature"


@pytest.mark.parametrize("number", ["p", "q", "d", "dmp1", "dmq1", "iqmp", "n"])
def test_the_numbers_of_an_rsa_key_must_fit_each_other(number):
    assert failure(rsa_bytes(**{number: 2})).code == "bad_key"
