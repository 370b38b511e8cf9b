"""Signature schemes and the public keys that they fit. RFC 9846 4.3.3 and 4.5.2.

A scheme names hash, padding and, in TLS 1.3, the kind of key: ecdsa_secp256r1_sha256 is for P-256 alone, and
rsa_pss_rsae_sha256 and rsa_pss_pss_sha256 make the same signature with keys that their certificates call
rsaEncryption or id-RSASSA-PSS. ``cryptography`` loads both of these as RSA keys, so the kind is read from the
AlgorithmIdentifier of the SubjectPublicKeyInfo, by ``der``, which also finds that structure in a certificate without
loading X.509 code.

Private keys are ``cryptography``'s own objects, public keys are ``PublicKey``, which knows its kind.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

from handfast import der
from handfast.errors import LocalFailure
from handfast.limits import MAX_RSA_BITS, MAX_RSA_EXPONENT
from handfast.registry import SignatureScheme

if TYPE_CHECKING:
    PrivateKey: TypeAlias = (
        ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey | rsa.RSAPrivateKey
    )

# Whole DER elements: the algorithms of keys, and of EC keys the curves. RFC 3279 2.3, RFC 5480 2.1.1, RFC 8410 3.
_RSA_ENCRYPTION = bytes.fromhex("06092a864886f70d010101")
_RSASSA_PSS = bytes.fromhex("06092a864886f70d01010a")
_EC_PUBLIC_KEY = bytes.fromhex("06072a8648ce3d0201")
_EDWARDS = (bytes.fromhex("06032b6570"), bytes.fromhex("06032b6571"))
_CURVE_OIDS = (
    bytes.fromhex("06082a8648ce3d030107"),
    bytes.fromhex("06052b81040022"),
    bytes.fromhex("06052b81040023"),
)
_HASH_OIDS = {
    "sha256": bytes.fromhex("0609608648016503040201"),
    "sha384": bytes.fromhex("0609608648016503040202"),
    "sha512": bytes.fromhex("0609608648016503040203"),
}
_CURVES = {
    "secp256r1": "P-256",
    "secp384r1": "P-384",
    "secp521r1": "P-521",
}
_ECDSA_KINDS = frozenset(f"ECDSA {curve}" for curve in _CURVES.values())


class UnusableKey(ValueError):
    """Bytes hold no public key that TLS can use.

    ``code`` is one of CertificateRejected: malformed, unsupported_key, weak_key.
    """

    def __init__(self, code: str, explanation: str) -> None:
        super().__init__(explanation)
        self.code = code


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key and what kind it is.

    ``kind`` is ``RSA``, ``RSASSA-PSS``, ``ECDSA P-256`` (and so on), ``Ed25519``, ``Ed448``, or the name of another
    curve; ``bits`` is the size of the modulus or curve; ``pss_hashes`` are the hashes that the parameters of an
    RSASSA-PSS key allow.
    """

    kind: str
    bits: int
    pss_hashes: tuple[str, ...]
    _key: Any = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """The key in words: ``ECDSA P-256``, ``RSA 2048``, ``RSASSA-PSS 2048``, ``Ed25519``."""
        return f"{self.kind} {self.bits}" if self.kind in ("RSA", "RSASSA-PSS") else self.kind


@dataclass(frozen=True, slots=True)
class _Scheme:
    """``arguments`` follow the message in sign() and verify() of ``cryptography``'s keys of this ``kind``."""

    kind: str
    arguments: tuple[Any, ...] = ()
    pss_hash: str = ""
    minimum_rsa_bytes: int = 0


def _ecdsa(curve: str, algorithm: hashes.HashAlgorithm) -> _Scheme:
    return _Scheme(f"ECDSA {curve}", (ec.ECDSA(algorithm),))


def _pss(kind: str, algorithm: hashes.HashAlgorithm) -> _Scheme:
    # The salt is as long as the hash, neither more nor less: RFC 9846 4.3.3. RFC 8017 9.1.1 gives the room it needs.
    size = algorithm.digest_size
    arguments = (padding.PSS(padding.MGF1(algorithm), size), algorithm)
    return _Scheme(kind, arguments, algorithm.name if kind == "RSASSA-PSS" else "", 2 * size + 2)


def _pkcs1(algorithm: hashes.HashAlgorithm) -> _Scheme:
    return _Scheme("RSA", (padding.PKCS1v15(), algorithm))


# In the default order of preference, for signing and for what is offered: short and quick signatures first, of RSA the
# smallest hash first, since its strength is that of the key at any hash.
_SCHEMES: dict[int, _Scheme] = {
    SignatureScheme.ecdsa_secp256r1_sha256: _ecdsa("P-256", hashes.SHA256()),
    SignatureScheme.ed25519: _Scheme("Ed25519"),
    SignatureScheme.ecdsa_secp384r1_sha384: _ecdsa("P-384", hashes.SHA384()),
    SignatureScheme.ecdsa_secp521r1_sha512: _ecdsa("P-521", hashes.SHA512()),
    SignatureScheme.ed448: _Scheme("Ed448"),
    SignatureScheme.rsa_pss_rsae_sha256: _pss("RSA", hashes.SHA256()),
    SignatureScheme.rsa_pss_rsae_sha384: _pss("RSA", hashes.SHA384()),
    SignatureScheme.rsa_pss_rsae_sha512: _pss("RSA", hashes.SHA512()),
    SignatureScheme.rsa_pss_pss_sha256: _pss("RSASSA-PSS", hashes.SHA256()),
    SignatureScheme.rsa_pss_pss_sha384: _pss("RSASSA-PSS", hashes.SHA384()),
    SignatureScheme.rsa_pss_pss_sha512: _pss("RSASSA-PSS", hashes.SHA512()),
    SignatureScheme.rsa_pkcs1_sha256: _pkcs1(hashes.SHA256()),
    SignatureScheme.rsa_pkcs1_sha384: _pkcs1(hashes.SHA384()),
    SignatureScheme.rsa_pkcs1_sha512: _pkcs1(hashes.SHA512()),
}
_SHA2 = (hashes.SHA256(), hashes.SHA384(), hashes.SHA512())
# For keys of clients that can do nothing else; RFC 9963.
_LEGACY_SCHEMES: dict[int, _Scheme] = {
    SignatureScheme.rsa_pkcs1_sha256_legacy: _pkcs1(hashes.SHA256()),
    SignatureScheme.rsa_pkcs1_sha384_legacy: _pkcs1(hashes.SHA384()),
    SignatureScheme.rsa_pkcs1_sha512_legacy: _pkcs1(hashes.SHA512()),
}
_ALL_SCHEMES = _SCHEMES | _LEGACY_SCHEMES
_X509_ALGORITHMS: dict[str, tuple[str, tuple[Any, ...]]] = {
    **{f"1.2.840.10045.4.3.{arc}": ("ECDSA", (ec.ECDSA(one),)) for arc, one in enumerate(_SHA2, 2)},
    **{f"1.2.840.113549.1.1.{arc}": ("RSA", (padding.PKCS1v15(), one)) for arc, one in enumerate(_SHA2, 11)},
    "1.3.101.112": ("Ed25519", ()),
    "1.3.101.113": ("Ed448", ()),
}

SUPPORTED_SCHEMES: tuple[int, ...] = tuple(_SCHEMES)
# TLS 1.3 allows these in the signatures of certificates and forbids them in CertificateVerify. RFC 9846 4.3.3.
CERTIFICATE_ONLY: frozenset[int] = frozenset(
    (SignatureScheme.rsa_pkcs1_sha256, SignatureScheme.rsa_pkcs1_sha384, SignatureScheme.rsa_pkcs1_sha512)
)
# PKCS#1 v1.5 in TLS 1.3 after all, in a client's CertificateVerify alone and if the server asked for it. RFC 9963 3.
LEGACY_CLIENT_SCHEMES: tuple[int, ...] = tuple(_LEGACY_SCHEMES)


def may_prove(scheme: int, *, client: bool) -> bool:
    """Whether a client, or else a server, may ever use ``scheme`` in a TLS 1.3 CertificateVerify. RFC 9846 4.5.2."""
    return scheme not in CERTIFICATE_ONLY and (client or scheme not in _LEGACY_SCHEMES)


def scheme_fits(key: PublicKey, scheme: int) -> bool:
    """Whether a key of this kind and size can make signatures of ``scheme``, wherever those may stand."""
    entry = _ALL_SCHEMES.get(scheme)
    return (
        entry is not None
        and entry.kind == key.kind
        and (not entry.pss_hash or entry.pss_hash in key.pss_hashes)
        and (key.bits + 6) // 8 >= entry.minimum_rsa_bytes
    )


def scheme_fits_12(key: PublicKey, scheme: int) -> bool:
    """Whether it fits in TLS 1.2, where an ECDSA scheme says nothing of the curve. RFC 9846 4.3.3 and RFC 8422 5.4."""
    entry = _SCHEMES.get(scheme)
    either = entry is not None and entry.kind.startswith("ECDSA") and key.kind in _ECDSA_KINDS
    return either or (scheme in _SCHEMES and scheme_fits(key, scheme))


def schemes_for_12(key: PublicKey) -> tuple[int, ...]:
    """The schemes with which ``key`` can sign a TLS 1.2 handshake; those that TLS 1.3 allows it too come first."""
    own = schemes_for(key)
    return own + tuple(scheme for scheme in _SCHEMES if scheme not in own and scheme_fits_12(key, scheme))


def schemes_of_any_version(key: PublicKey) -> tuple[int, ...]:
    """All schemes with which ``key`` can sign a handshake of any version, also those that must be asked for."""
    return schemes_for_12(key) + tuple(scheme for scheme in _LEGACY_SCHEMES if scheme_fits(key, scheme))


def schemes_for(key: PublicKey) -> tuple[int, ...]:
    """The schemes with which ``key`` can sign a TLS 1.3 CertificateVerify, in order of preference. RFC 9846 4.5.2."""
    return tuple(scheme for scheme in _SCHEMES if scheme not in CERTIFICATE_ONLY and scheme_fits(key, scheme))


def sign(private_key: PrivateKey, scheme: int, message: bytes) -> bytes:
    """The signature. RFC 9846 4.3.3. Raises LocalFailure signing_failed if key and scheme do not go together."""
    try:
        return bytes(cast("Any", private_key).sign(message, *_ALL_SCHEMES[scheme].arguments))
    except (KeyError, TypeError, ValueError, AttributeError, UnsupportedAlgorithm) as error:
        reason = f"the key cannot make {SignatureScheme.describe(scheme)} signatures"
        raise LocalFailure("signing_failed", reason=reason) from error


def ecdsa_signature(raw: bytes) -> bytes:
    """The Ecdsa-Sig-Value of two numbers side by side, which is how tokens answer. RFC 3279 2.2.3."""
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    half = len(raw) // 2
    return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))


def digest_info(name: str, digest: bytes) -> bytes:
    """The DigestInfo of a digest by ``sha256`` and so on, for tokens that only pad and sign it. RFC 8017 9.2."""
    algorithm = _HASH_OIDS[name] + b"\x05\x00"
    content = bytes((0x30, len(algorithm))) + algorithm + bytes((0x04, len(digest))) + digest
    return bytes((0x30, len(content))) + content


def verify(key: PublicKey, scheme: int, signature: bytes, message: bytes) -> bool:
    """Whether ``signature`` is one of ``message`` under ``scheme``; False too if the scheme does not fit the key."""
    return scheme_fits(key, scheme) and _verify(key, scheme, signature, message)


def verify_12(key: PublicKey, scheme: int, signature: bytes, message: bytes) -> bool:
    """Whether ``signature`` is one of ``message`` under ``scheme`` by TLS 1.2's rules; False too if it does not fit."""
    return scheme_fits_12(key, scheme) and _verify(key, scheme, signature, message)


def _verify(key: PublicKey, scheme: int, signature: bytes, message: bytes) -> bool:
    try:
        key._key.verify(signature, message, *_ALL_SCHEMES[scheme].arguments)
    except InvalidSignature:
        return False
    return True


def verify_before_12(key: PublicKey, signature: bytes, message: bytes) -> bool | None:
    """Whether it is a signature of ``message`` by the rules of TLS 1.1 and 1.0; None for a key that these have not.

    RFC 4346 7.4.3: RSA signs MD5 and SHA-1 side by side, without a DigestInfo; RFC 4492 5.4: ECDSA signs SHA-1.
    """
    try:
        if key.kind == "RSA":
            signed = key._key.recover_data_from_signature(signature, padding.PKCS1v15(), None)
            return bool(signed == hashlib.md5(message).digest() + hashlib.sha1(message).digest())
        if key.kind in _ECDSA_KINDS:
            key._key.verify(signature, message, ec.ECDSA(hashes.SHA1()))
            return True
    except InvalidSignature:
        return False
    return None


def verify_x509(key: PublicKey, algorithm: str, signature: bytes, message: bytes) -> bool:
    """Whether it is a signature under an algorithm of X.509, a dotted OID, which leaves an ECDSA key's curve open.

    RFC 4055 5, 5758 3.2, 8410 3. What is not in SHA-2's family, and RSASSA-PSS, whose OID says too little, is False.
    """
    kind, arguments = _X509_ALGORITHMS.get(algorithm, ("", ()))
    if not kind or not (key.kind in _ECDSA_KINDS if kind == "ECDSA" else key.kind == kind):
        return False
    try:
        key._key.verify(signature, message, *arguments)
    except InvalidSignature:
        return False
    return True


def uncompressed_point(key: PublicKey) -> bytes:
    """The point that is this key of a NIST curve. SEC 1 2.3.3."""
    numbers: ec.EllipticCurvePublicNumbers = key._key.public_numbers()
    size = (key.bits + 7) // 8
    return b"\4" + numbers.x.to_bytes(size, "big") + numbers.y.to_bytes(size, "big")


def load_public_key(spki: bytes) -> PublicKey:
    """The key of a DER SubjectPublicKeyInfo. RFC 5280 4.1.2.7. Raises UnusableKey.

    What it costs to compute with an RSA key is known before anything is computed: see ``rsa_obstacle``.
    """
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        oid, parameters = _algorithm(spki)
        if obstacle := rsa_obstacle(*rsa_numbers(spki)) if oid in (_RSA_ENCRYPTION, _RSASSA_PSS) else "":
            raise UnusableKey("weak_key", obstacle)
        key = load_der_public_key(spki)
    except UnusableKey:
        raise
    except (ValueError, OverflowError):
        raise UnusableKey("malformed", "the public key does not parse") from None
    except UnsupportedAlgorithm:
        raise UnusableKey("unsupported_key", "the public key is of an unknown kind") from None
    if oid == _RSASSA_PSS and isinstance(key, rsa.RSAPublicKey):
        return PublicKey("RSASSA-PSS", key.key_size, _allowed_hashes(parameters), key)
    return describe_public_key(key)


def rsa_numbers(spki: bytes) -> tuple[int, int]:
    """Modulus size in bits and exponent, read before any library does arithmetic with them. RFC 8017 A.1.1.

    Raises ValueError where they are not there.
    """
    _, bits = der.elements(der.expect(der.element(spki), der.SEQUENCE))
    key = der.element(der.expect(bits, der.BIT_STRING)[1:])
    modulus, exponent = (
        int.from_bytes(der.expect(number, der.INTEGER), "big") for number in der.elements(der.expect(key, der.SEQUENCE))
    )
    return modulus.bit_length(), exponent


def rsa_obstacle(bits: int, exponent: int) -> str:
    """Why a stranger's RSA key must not be computed with, since that would take too long; "" if it may."""
    if bits > MAX_RSA_BITS:
        return f"an RSA key of {bits} bits; {MAX_RSA_BITS} are the most"
    if exponent >= MAX_RSA_EXPONENT or exponent < 3 or not exponent & 1:
        return f"an RSA key of {bits} bits with an exponent that is not a usual one"
    return ""


def may_verify(spki: bytes) -> bool:
    """Whether signatures may be verified with a stranger's key: of a kind, a curve and a size that are known."""
    try:
        oid, parameters = _algorithm(spki)
        if oid in (_RSA_ENCRYPTION, _RSASSA_PSS):
            return not rsa_obstacle(*rsa_numbers(spki))
    except ValueError:
        return False
    return oid in _EDWARDS or (oid == _EC_PUBLIC_KEY and parameters in _CURVE_OIDS)


def certificate_public_key(certificate: bytes) -> PublicKey:
    """The key of a DER certificate. RFC 5280 4.1. Raises UnusableKey."""
    return _key_of(certificate) if len(certificate) > _MAX_KEPT else _key_or_remember(certificate)


def _key_of(certificate: bytes) -> PublicKey:
    try:
        spki = der.certificate_fields(certificate).subject_public_key_info
    except ValueError:
        raise UnusableKey("malformed", "the certificate does not parse") from None
    return load_public_key(spki)


# Few, and none that is large, because strangers choose what is kept; enough for the peers that one speaks to all day.
_MAX_KEPT = 4096
_key_or_remember = lru_cache(maxsize=32)(_key_of)


def describe_public_key(key: object) -> PublicKey:
    """A ``cryptography`` public key as ``PublicKey``; an RSA key counts as rsaEncryption. Raises UnusableKey."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        curve = key.curve.name
        return PublicKey(f"ECDSA {_CURVES.get(curve, curve)}", key.curve.key_size, (), key)
    if isinstance(key, rsa.RSAPublicKey):
        return PublicKey("RSA", key.key_size, (), key)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return PublicKey("Ed25519", 256, (), key)
    if isinstance(key, ed448.Ed448PublicKey):
        return PublicKey("Ed448", 456, (), key)
    kind = type(key).__name__.removesuffix("PublicKey")
    raise UnusableKey("unsupported_key", f"TLS has no signature scheme for {kind} keys")


def same_public_key(one: PublicKey, other: PublicKey) -> bool:
    """Whether two public keys are the same, whatever their certificates call the algorithm."""
    return bool(one._key == other._key)


def _algorithm(spki: bytes) -> tuple[bytes, bytes]:
    """OID and parameters, each a whole DER element, of a SubjectPublicKeyInfo."""
    algorithm, _ = der.elements(der.expect(der.element(spki), der.SEQUENCE))
    oid, *parameters = der.elements(der.expect(algorithm, der.SEQUENCE))
    return oid.encoded, b"".join(one.encoded for one in parameters)


def _allowed_hashes(parameters: bytes) -> tuple[str, ...]:
    """The hashes that RSASSA-PSS-params allow: all if absent, else the one named for hash and MGF1. RFC 4055 3.1.

    Parameters that leave the hash to the default mean SHA-1, which no scheme uses.
    """
    if not parameters:
        return tuple(_HASH_OIDS)
    return tuple(name for name, oid in _HASH_OIDS.items() if parameters.count(oid) == 2)
