"""Making private keys and writing them down; loading somebody's key file is `private_keys`' work."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa

from handfast.errors import bad_option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handfast.crypto.signatures import PrivateKey

DER = serialization.Encoding.DER
PEM = serialization.Encoding.PEM

SignatureHash = hashes.SHA256 | hashes.SHA384 | hashes.SHA512


def _rsa(bits: int) -> Callable[[], PrivateKey]:
    return lambda: rsa.generate_private_key(public_exponent=65537, key_size=bits)


# rsa-1024 exists so that a peer's refusal of it can be tried. There is no rsa-pss: `cryptography` writes every RSA
# public key with the OID rsaEncryption, so it cannot make a certificate that holds id-RSASSA-PSS.
_MAKERS: Mapping[str, Callable[[], PrivateKey]] = {
    "ecdsa-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ecdsa-p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
    "rsa-1024": _rsa(1024),
    "rsa-2048": _rsa(2048),
    "rsa-3072": _rsa(3072),
    "rsa-4096": _rsa(4096),
}
WEAK_KEY_KINDS = ("rsa-1024",)
KEY_KINDS = tuple(kind for kind in _MAKERS if kind not in WEAK_KEY_KINDS)
DEFAULT_KEY = "ecdsa-p256"

# FIPS 204, RFC 9881. They sign certificates. Our TLS has no signature scheme for them: PrivateKey is without them.
_ML_DSA: Mapping[str, Callable[[], object]] = {
    "ml-dsa-44": mldsa.MLDSA44PrivateKey.generate,
    "ml-dsa-65": mldsa.MLDSA65PrivateKey.generate,
    "ml-dsa-87": mldsa.MLDSA87PrivateKey.generate,
}
ML_DSA_KINDS = tuple(_ML_DSA)
_ML_DSA_KEYS = (
    mldsa.MLDSA44PrivateKey,
    mldsa.MLDSA65PrivateKey,
    mldsa.MLDSA87PrivateKey,
    mldsa.MLDSA44PublicKey,
    mldsa.MLDSA65PublicKey,
    mldsa.MLDSA87PublicKey,
)


def new_key(kind: str) -> PrivateKey:
    """A new private key; ConfigError(bad_option) for a kind that is not one of `KEY_KINDS` or `ML_DSA_KINDS`.

    A kind of ML-DSA that the libcrypto under ``cryptography`` cannot make is a ConfigError(bad_option) too.
    """
    if kind in _ML_DSA:
        return _new_ml_dsa_key(kind)
    if kind not in KEY_KINDS:
        raise bad_option(f"key kind {kind!r}", "unknown", f"use {', '.join(KEY_KINDS + ML_DSA_KINDS)}")
    return generate_private_key(kind)


def _new_ml_dsa_key(kind: str) -> PrivateKey:
    try:
        return cast("PrivateKey", _ML_DSA[kind]())
    except UnsupportedAlgorithm:
        advice = "use another kind, or a cryptography with OpenSSL 3.5 or AWS-LC"
        raise bad_option(f"key kind {kind!r}", "the cryptography that is installed cannot make it", advice) from None


def is_ml_dsa(key: object) -> bool:
    """Whether a key of ``cryptography``, public or private, is an ML-DSA key."""
    return isinstance(key, _ML_DSA_KEYS)


def generate_private_key(kind: str) -> PrivateKey:
    """A new private key of one of `KEY_KINDS` or `WEAK_KEY_KINDS`; KeyError for any other kind."""
    return _MAKERS[kind]()


def signature_hash(key: PrivateKey) -> SignatureHash | None:
    """The hash for signing certificates: as strong as the curve, SHA-256 for RSA, None where the scheme has its own."""
    if isinstance(key, rsa.RSAPrivateKey):
        return hashes.SHA256()
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if key.curve.key_size <= 256:
            return hashes.SHA256()
        return hashes.SHA384() if key.curve.key_size <= 384 else hashes.SHA512()
    return None


def private_key_pem(key: PrivateKey, password: bytes | None = None) -> bytes:
    """The key as PKCS#8 PEM, encrypted if a password is given."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
