"""AWS-LC as a provider, through the private module of qh3. The only file that imports qh3; see docs/providers.md.

What it does: X25519, ECDHE over P-256, X25519MLKEM768; AES-GCM and ChaCha20-Poly1305, record by record; ECDSA over
P-256 with SHA-256. What it declares not to have, and leaves to the default provider: all other groups and schemes, and
AEADs in place, for runs of records and large ones. Nothing else is left to the default provider, and no failure is.

The module takes what the RFCs forbid (compressed points) and panics where it should refuse (ML-KEM encapsulation keys
out of range), so what a peer sends is checked here first. It takes ``bytes`` and no other buffers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from qh3._hazmat import (
    AeadAes128Gcm,
    AeadAes256Gcm,
    AeadChaCha20Poly1305,
    CryptoError,
    ECDHP256KeyExchange,
    EcPrivateKey,
    SignatureError,
    X25519KeyExchange,
    X25519ML768KeyExchange,
    verify_with_public_key,
)

from handfast.crypto import groups, signatures
from handfast.crypto.provider import CRYPTOGRAPHY, CryptoProvider, Sign
from handfast.crypto.suites import Aead, InvalidTag, NumberedAead
from handfast.errors import LocalFailure
from handfast.registry import CipherSuite, NamedGroup, SignatureScheme

if TYPE_CHECKING:
    from handfast.crypto.groups import Exchange, Finish
    from handfast.crypto.signatures import PrivateKey, PublicKey

    Buffer = bytes | bytearray | memoryview

ECDSA_P256 = int(SignatureScheme.ecdsa_secp256r1_sha256)
_P256_BITS = 256

# Key exchange


class _Key(Protocol):
    """An ephemeral key of the module."""

    def public_key(self) -> bytes: ...

    def exchange(self, peer_public_key: bytes, /) -> bytes: ...


def _exchanged(key: _Key, peer_public: bytes) -> bytes:
    """The shared secret; ValueError for a public value that the module refuses."""
    try:
        return key.exchange(peer_public)
    except CryptoError:
        raise ValueError("not a public value") from None


def _refuse_zeros(secret: bytes) -> None:
    """RFC 7748 6.1 and RFC 9846 7.4.2: what comes of a point of small order. The module refuses it, too."""
    if not any(secret):
        raise ValueError("a point of small order")


class _X25519:
    """RFC 7748."""

    client_length = server_length = 32

    def _secret(self, key: _Key, peer_public: bytes) -> bytes:
        secret = _exchanged(key, peer_public)
        _refuse_zeros(secret)
        return secret

    def generate(self) -> tuple[bytes, Finish]:
        key = X25519KeyExchange()
        return key.public_key(), partial(self._secret, key)

    def encapsulate(self, peer_public: bytes) -> tuple[bytes, bytes]:
        key = X25519KeyExchange()
        return key.public_key(), self._secret(key, peer_public)


class _P256:
    """Uncompressed points only, RFC 9846 4.3.8.2; the module would take the other forms, at their lengths."""

    client_length = server_length = 65

    def _secret(self, key: _Key, peer_public: bytes) -> bytes:
        if len(peer_public) != self.client_length or peer_public[0] != 4:
            raise ValueError("not an uncompressed point")
        return _exchanged(key, peer_public)

    def generate(self) -> tuple[bytes, Finish]:
        key = ECDHP256KeyExchange()
        return key.public_key(), partial(self._secret, key)

    def encapsulate(self, peer_public: bytes) -> tuple[bytes, bytes]:
        key = ECDHP256KeyExchange()
        return key.public_key(), self._secret(key, peer_public)


# The coefficients of an encapsulation key stand in 12 bits each, and are below 3329. As one large number, every second
# one has 12 bits of room above it, which one addition carries into if it is too large.
_COEFFICIENTS = 768
_COEFFICIENT_BYTES = _COEFFICIENTS * 12 // 8
_PAIRS = sum(1 << 24 * pair for pair in range(_COEFFICIENTS // 2))
_COEFFICIENT, _TO_CARRY, _CARRY = _PAIRS * 0xFFF, _PAIRS * (0x1000 - 3329), _PAIRS * 0x1000


def _check_encapsulation_key(key: bytes) -> None:
    """The modulus check of FIPS 203 7.2; ValueError."""
    coefficients = int.from_bytes(key[:_COEFFICIENT_BYTES], "little")
    even, odd = coefficients & _COEFFICIENT, coefficients >> 12 & _COEFFICIENT
    if (even + _TO_CARRY | odd + _TO_CARRY) & _CARRY:
        raise ValueError("a coefficient beyond the modulus")


class _X25519MLKEM768:
    """ML-KEM first. draft-ietf-tls-ecdhe-mlkem 4.1 to 4.3."""

    client_length, server_length = 1216, 1120

    def generate(self) -> tuple[bytes, Finish]:
        key = X25519ML768KeyExchange()
        return key.public_key(), partial(self._secret, key)

    def encapsulate(self, peer_public: bytes) -> tuple[bytes, bytes]:
        _check_encapsulation_key(peer_public)
        key = X25519ML768KeyExchange()
        secret = self._secret(key, peer_public)
        return key.shared_ciphertext(), secret

    def _secret(self, key: _Key, peer_public: bytes) -> bytes:
        secret = _exchanged(key, peer_public)
        _refuse_zeros(secret[32:])
        return secret


_OWN_EXCHANGES: dict[int, Exchange] = {
    NamedGroup.X25519MLKEM768: _X25519MLKEM768(),
    NamedGroup.x25519: _X25519(),
    NamedGroup.secp256r1: _P256(),
}
# The groups that handfast speaks are the default provider's, also where it has more or fewer of them.
_EXCHANGES = {group: _OWN_EXCHANGES.get(group, exchange) for group, exchange in groups.EXCHANGES.items()}

# Record protection


class _Aead:
    """An AEAD of the module behind ``SplitAead``. It takes the nonce apart, and in place it is the default one's."""

    __slots__ = ("_default", "_in_place", "_key", "_make", "_numbered", "_start")

    refused = CryptoError

    def __init__(self, make: Callable[[bytes, bytes], NumberedAead], default: Callable[[bytes], Aead], key: bytes):
        self._make = make
        self._default = default
        self._key = key
        self._start: bytes | None = None
        self._in_place: Aead | None = None

    def numbered(self, start: bytes) -> NumberedAead:
        # The module XORs the number into the end of the nonce that it is made with. There is one start for each key.
        if start != self._start:
            self._numbered = self._make(self._key, start + bytes(8))
            self._start = start
        return self._numbered

    def encrypt(self, nonce: bytes, data: Buffer, associated_data: Buffer) -> bytes:
        number = int.from_bytes(nonce[4:], "big")
        return self.numbered(nonce[:4]).encrypt(number, bytes(data), bytes(associated_data))

    def decrypt(self, nonce: bytes, data: Buffer, associated_data: Buffer) -> bytes:
        number = int.from_bytes(nonce[4:], "big")
        try:
            return self.numbered(nonce[:4]).decrypt(number, bytes(data), bytes(associated_data))
        except CryptoError:
            raise InvalidTag from None

    @property
    def encrypt_into(self) -> Callable[..., int]:
        return self._by_default().encrypt_into

    @property
    def decrypt_into(self) -> Callable[..., int]:
        return self._by_default().decrypt_into

    def _by_default(self) -> Aead:
        if self._in_place is None:
            self._in_place = self._default(self._key)
        return self._in_place


_AES_128, _AES_256, _CHACHA20 = AeadAes128Gcm, AeadAes256Gcm, AeadChaCha20Poly1305
_AEADS: dict[int, Callable[[bytes, bytes], NumberedAead]] = {
    CipherSuite.TLS_AES_128_GCM_SHA256: _AES_128,
    CipherSuite.TLS_AES_256_GCM_SHA384: _AES_256,
    CipherSuite.TLS_CHACHA20_POLY1305_SHA256: _CHACHA20,
    CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: _AES_128,
    CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: _AES_128,
    CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: _AES_256,
    CipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: _AES_256,
    CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: _CHACHA20,
    CipherSuite.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: _CHACHA20,
}


# Signatures


def _signer(private_key: PrivateKey) -> Sign:
    """What signs with this key: the module for ECDSA over P-256 with SHA-256, the default provider for all else."""
    by_default = partial(signatures.sign, private_key)
    if signatures.describe_public_key(private_key.public_key()).kind != "ECDSA P-256":
        return by_default
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    encoded = private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    try:
        own = EcPrivateKey(encoded, _P256_BITS, True)
    except CryptoError as error:
        raise LocalFailure("signing_failed", reason=f"aws-lc does not take the key: {error}") from None

    def sign(scheme: int, message: bytes) -> bytes:
        return own.sign(bytes(message)) if scheme == ECDSA_P256 else by_default(scheme, message)

    return sign


def _verify_p256(key: PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        verify_with_public_key(signatures.uncompressed_point(key), ECDSA_P256, bytes(message), bytes(signature))
    except (SignatureError, CryptoError):
        return False
    return True


def _verify(key: PublicKey, scheme: int, signature: bytes, message: bytes) -> bool:
    if scheme == ECDSA_P256 and key.kind == "ECDSA P-256":
        return _verify_p256(key, signature, message)
    return signatures.verify(key, scheme, signature, message)


def _verify_12(key: PublicKey, scheme: int, signature: bytes, message: bytes) -> bool:
    # In TLS 1.2 the scheme names the hash alone, and the curve is the key's.
    if scheme == ECDSA_P256 and key.kind == "ECDSA P-256":
        return _verify_p256(key, signature, message)
    return signatures.verify_12(key, scheme, signature, message)


PROVIDER = CryptoProvider(
    "aws-lc",
    partial(groups.generate, exchanges=_EXCHANGES),
    partial(groups.encapsulate, exchanges=_EXCHANGES),
    {number: partial(_Aead, _AEADS[number], default) for number, default in CRYPTOGRAPHY.aeads.items()},
    _signer,
    _verify,
    _verify_12,
)
