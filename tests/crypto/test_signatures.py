"""Signature schemes: what fits which key, and that what is signed verifies and nothing else does."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa, x25519

from handfast.crypto.private_keys import public_key_of
from handfast.crypto.signatures import (
    CERTIFICATE_ONLY,
    SUPPORTED_SCHEMES,
    UnusableKey,
    certificate_public_key,
    load_public_key,
    same_public_key,
    scheme_fits,
    schemes_for,
    sign,
    verify,
)
from handfast.errors import LocalFailure
from handfast.pki.authority import CertificateAuthority
from handfast.registry import SignatureScheme
from tests.vectors import rfc8448_simple as rfc

S = SignatureScheme
KEYS: dict[str, Any] = {
    "ECDSA P-256": ec.generate_private_key(ec.SECP256R1()),
    "ECDSA P-384": ec.generate_private_key(ec.SECP384R1()),
    "ECDSA P-521": ec.generate_private_key(ec.SECP521R1()),
    "ECDSA secp256k1": ec.generate_private_key(ec.SECP256K1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "Ed448": ed448.Ed448PrivateKey.generate(),
    "RSA 2048": rsa.generate_private_key(65537, 2048),
}
RSA_SCHEMES = (S.rsa_pss_rsae_sha256, S.rsa_pss_rsae_sha384, S.rsa_pss_rsae_sha512)
PSS_SCHEMES = (S.rsa_pss_pss_sha256, S.rsa_pss_pss_sha384, S.rsa_pss_pss_sha512)
PKCS1_SCHEMES = (S.rsa_pkcs1_sha256, S.rsa_pkcs1_sha384, S.rsa_pkcs1_sha512)
FITTING = {
    "ECDSA P-256": (S.ecdsa_secp256r1_sha256,),
    "ECDSA P-384": (S.ecdsa_secp384r1_sha384,),
    "ECDSA P-521": (S.ecdsa_secp521r1_sha512,),
    "ECDSA secp256k1": (),
    "Ed25519": (S.ed25519,),
    "Ed448": (S.ed448,),
    "RSA 2048": RSA_SCHEMES,
}
RSA_ENCRYPTION = bytes.fromhex("300d06092a864886f70d0101010500")
PSS_ABSENT = bytes.fromhex("300b06092a864886f70d01010a")
MESSAGE = b"what is signed"


def spki(key):
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def element(tag, content):
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + content


def pss_spki(algorithm=PSS_ABSENT):
    """The RSA key with another AlgorithmIdentifier."""
    plain = spki(KEYS["RSA 2048"])
    at = plain.index(RSA_ENCRYPTION)
    return element(0x30, algorithm + plain[at + len(RSA_ENCRYPTION) :])


def pss_parameters(hash_name, mgf1_hash_name=None):
    """An AlgorithmIdentifier of id-RSASSA-PSS that names its hashes. RFC 4055 3.1."""
    oids = {"sha256": "0609608648016503040201", "sha384": "0609608648016503040202"}
    of_hash = element(0x30, bytes.fromhex(oids[hash_name] + "0500"))
    of_mgf1_hash = element(0x30, bytes.fromhex(oids[mgf1_hash_name or hash_name] + "0500"))
    mgf1 = element(0x30, bytes.fromhex("06092a864886f70d010108") + of_mgf1_hash)
    parameters = element(0xA0, of_hash) + element(0xA1, mgf1) + element(0xA2, bytes.fromhex("020120"))
    return element(0x30, PSS_ABSENT[2:] + element(0x30, parameters))


@pytest.mark.parametrize(("name", "key"), KEYS.items(), ids=KEYS)
def test_name_and_schemes_of_a_key(name, key):
    public_key = load_public_key(spki(key))
    assert public_key.name == public_key_of(key).name == name
    assert schemes_for(public_key) == FITTING[name]
    fitting = {scheme for scheme in SUPPORTED_SCHEMES if scheme_fits(public_key, scheme)}
    assert fitting == set(FITTING[name]) | (set(PKCS1_SCHEMES) if name == "RSA 2048" else set())


@pytest.mark.parametrize("scheme", SUPPORTED_SCHEMES, ids=S.describe)
def test_sign_verify_and_tamper(scheme):
    name = next((name for name, schemes in FITTING.items() if scheme in schemes), "RSA 2048")
    key = KEYS[name]
    public_key = load_public_key(pss_spki() if scheme in PSS_SCHEMES else spki(key))
    signature = sign(key, scheme, MESSAGE)
    assert verify(public_key, scheme, signature, MESSAGE)
    assert not verify(public_key, scheme, signature, MESSAGE + b"\0")
    assert not verify(public_key, scheme, signature[:-1] + bytes((signature[-1] ^ 1,)), MESSAGE)
    assert not verify(public_key, scheme, signature + b"\0", MESSAGE)
    assert not verify(public_key, scheme, b"", MESSAGE)
    for other in SUPPORTED_SCHEMES:
        if other != scheme:
            assert not verify(public_key, other, signature, MESSAGE), S.describe(other)


def test_the_salt_is_as_long_as_the_hash():
    key = KEYS["RSA 2048"]
    public_key = public_key_of(key)
    for scheme, algorithm in zip(RSA_SCHEMES, (hashes.SHA256(), hashes.SHA384(), hashes.SHA512()), strict=True):
        size = algorithm.digest_size
        right = padding.PSS(padding.MGF1(algorithm), size)
        key.public_key().verify(sign(key, scheme, MESSAGE), MESSAGE, right, algorithm)
        for salt_length in (0, size - 1, size + 1):
            other = key.sign(MESSAGE, padding.PSS(padding.MGF1(algorithm), salt_length), algorithm)
            assert not verify(public_key, scheme, other, MESSAGE)


def test_mgf1_uses_the_same_hash():
    key = KEYS["RSA 2048"]
    other = key.sign(MESSAGE, padding.PSS(padding.MGF1(hashes.SHA384()), 32), hashes.SHA256())
    assert not verify(public_key_of(key), S.rsa_pss_rsae_sha256, other, MESSAGE)


def test_rsassa_pss_keys_are_told_from_rsa_keys():
    key = load_public_key(pss_spki())
    assert key.name == "RSASSA-PSS 2048"
    assert schemes_for(key) == PSS_SCHEMES
    assert not any(scheme_fits(key, scheme) for scheme in RSA_SCHEMES + PKCS1_SCHEMES)
    assert same_public_key(key, public_key_of(KEYS["RSA 2048"]))
    assert not same_public_key(key, public_key_of(rsa.generate_private_key(65537, 2048)))


def test_the_parameters_of_a_pss_key_bind_the_hash():
    assert schemes_for(load_public_key(pss_spki(pss_parameters("sha256")))) == (S.rsa_pss_pss_sha256,)
    assert schemes_for(load_public_key(pss_spki(pss_parameters("sha384")))) == (S.rsa_pss_pss_sha384,)
    assert schemes_for(load_public_key(pss_spki(pss_parameters("sha256", "sha384")))) == ()


def test_a_small_rsa_key_has_no_room_for_a_large_hash():
    numbers = rsa.RSAPrivateNumbers(
        p=rfc.RSA_PRIME1,
        q=rfc.RSA_PRIME2,
        d=rfc.RSA_PRIVATE_EXPONENT,
        dmp1=rsa.rsa_crt_dmp1(rfc.RSA_PRIVATE_EXPONENT, rfc.RSA_PRIME1),
        dmq1=rsa.rsa_crt_dmq1(rfc.RSA_PRIVATE_EXPONENT, rfc.RSA_PRIME2),
        iqmp=rsa.rsa_crt_iqmp(rfc.RSA_PRIME1, rfc.RSA_PRIME2),
        public_numbers=rsa.RSAPublicNumbers(rfc.RSA_PUBLIC_EXPONENT, rfc.RSA_MODULUS),
    )
    key = numbers.private_key()
    assert schemes_for(public_key_of(key)) == (S.rsa_pss_rsae_sha256, S.rsa_pss_rsae_sha384)
    sign(key, S.rsa_pss_rsae_sha384, MESSAGE)
    with pytest.raises(LocalFailure):
        sign(key, S.rsa_pss_rsae_sha512, MESSAGE)


def test_certificate_only_schemes():
    assert frozenset(PKCS1_SCHEMES) == CERTIFICATE_ONLY
    assert S.rsa_pkcs1_sha1 not in SUPPORTED_SCHEMES


def test_signing_with_the_wrong_kind_of_key_fails():
    for name, scheme in (("Ed25519", S.ecdsa_secp256r1_sha256), ("RSA 2048", S.ed25519), ("Ed448", 0x0901)):
        with pytest.raises(LocalFailure) as caught:
            sign(KEYS[name], scheme, MESSAGE)
        assert caught.value.code == "signing_failed"


@pytest.mark.parametrize("cut", [0, 1, 2, 5, 20, -1])
def test_a_broken_public_key(cut):
    with pytest.raises(UnusableKey) as caught:
        load_public_key(spki(KEYS["ECDSA P-256"])[:cut])
    assert caught.value.code == "malformed"


@pytest.mark.parametrize(
    "key", [x25519.X25519PrivateKey.generate(), dsa.generate_private_key(1024)], ids=["X25519", "DSA"]
)
def test_a_key_that_signs_nothing_in_tls(key):
    with pytest.raises(UnusableKey) as caught:
        load_public_key(spki(key))
    assert caught.value.code == "unsupported_key"


def test_the_key_in_a_certificate():
    certificate = rfc.CERTIFICATE[11:-2]
    assert certificate_public_key(certificate).name == "RSA 1024"
    for cut in (0, 1, 4, 30, 120, 200):
        with pytest.raises(UnusableKey):
            certificate_public_key(certificate[:cut])


def test_keys_that_strangers_send_are_kept_within_bounds() -> None:
    authority = CertificateAuthority.create()
    small = authority.client("alice").chain[0]
    kept = certificate_public_key(small)
    assert certificate_public_key(small) is kept
    for number in range(100):
        certificate_public_key(authority.client(f"stranger {number}").chain[0])
    assert certificate_public_key(small) is not kept
    large = authority.server(*(f"{number}.example" for number in range(500))).chain[0]
    assert certificate_public_key(large) is not certificate_public_key(large)
