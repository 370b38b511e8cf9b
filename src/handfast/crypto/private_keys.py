"""Loading private keys from files as they are found: PEM or DER; PKCS#8, PKCS#1 or SEC1; encrypted or not.

Nothing here prompts: a password is given or it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from handfast import file_contents
from handfast.crypto.signatures import PublicKey, describe_public_key, same_public_key, schemes_for
from handfast.errors import ConfigError
from handfast.limits import MIN_RSA_BITS

if TYPE_CHECKING:
    from handfast.crypto.signatures import PrivateKey

__all__ = ["Password", "checked_private_key", "load_private_key", "public_key_of", "resolved", "same_public_key"]

# A password, or a callable that returns it, called only if the key turns out to be encrypted.
Password: TypeAlias = bytes | Callable[[], bytes | None]

_BEGIN = b"-----BEGIN "
_FORMATS = (b"PRIVATE KEY", b"ENCRYPTED PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY")


def load_private_key(data: bytes, *, path: str, password: Password | None = None) -> PrivateKey:
    """The first private key in ``data``, the contents of the file ``path``; a password that is not needed is ignored.

    In a PEM file other blocks, such as certificates, may stand around it. Raises ConfigError no_key, bad_key,
    password_needed, password_wrong, unsupported_key, weak_key.
    """
    return checked_private_key(_load(data, path, password), path)


def load_signing_key(data: bytes, *, path: str, password: Password | None = None) -> PrivateKey:
    """As `load_private_key`, for a key that signs certificates, which may also be ML-DSA."""
    from handfast.crypto import new_keys

    key = _load(data, path, password)
    return cast("PrivateKey", key) if new_keys.is_ml_dsa(key) else checked_private_key(key, path)


def checked_private_key(key: object, path: str) -> PrivateKey:
    """``key`` if TLS has a use for it; ConfigError unsupported_key, weak_key otherwise."""
    if not isinstance(
        key, (ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey, rsa.RSAPrivateKey)
    ):
        kind = type(key).__name__.removesuffix("PrivateKey")
        raise ConfigError("unsupported_key", path=path, reason=f"TLS has no signature scheme for {kind} keys")
    public_key = public_key_of(key)
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < MIN_RSA_BITS:
        raise ConfigError("weak_key", path=path, reason=f"{public_key.name} is too small to be safe")
    if not schemes_for(public_key):
        reason = f"TLS 1.3 has no signature scheme for {public_key.name} keys"
        raise ConfigError("unsupported_key", path=path, reason=reason)
    return key


def public_key_of(private_key: PrivateKey) -> PublicKey:
    """The public half. An RSA key counts as rsaEncryption: whether it is RSASSA-PSS, its certificate says."""
    return describe_public_key(private_key.public_key())


def public_key_info_of(private_key: PrivateKey) -> bytes:
    """The public half as a DER SubjectPublicKeyInfo; an RSA key's says rsaEncryption. RFC 5280 4.1.2.7."""
    return public_key_info(private_key)


def public_half(data: bytes, *, path: str, password: Password | None = None) -> bytes:
    """The public half (DER SubjectPublicKeyInfo) of the first private key in ``data``, of any kind and strength.

    Raises ConfigError no_key, bad_key, password_needed, password_wrong, unsupported_key.
    """
    return public_key_info(_load(data, path, password))


def public_key_info(private_key: object) -> bytes:
    """The public half of a private key of ``cryptography``, of any kind, as a DER SubjectPublicKeyInfo."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public: bytes = private_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return public


def resolved(password: Password | None) -> bytes | None:
    """The password itself."""
    return password() if callable(password) else password


def _load(data: bytes, path: str, password: Password | None) -> object:
    from cryptography.hazmat.primitives import serialization

    pem = _BEGIN in data
    parse = serialization.load_pem_private_key if pem else serialization.load_der_private_key
    block = _pem_block(data, path) if pem else data

    def load(password: bytes | None) -> object:
        # Whether an RSA key's factors are primes is not asked: that takes 10 s for 8192 bits. See _check_numbers.
        return _check_numbers(parse(block, password, unsafe_skip_rsa_key_validation=True), path)

    try:
        return load(None)
    except TypeError:
        # The one TypeError there is without a password: the key is encrypted.
        secret = resolved(password)
        if not secret:
            raise ConfigError("password_needed", path=path) from None
    except UnsupportedAlgorithm:
        raise ConfigError("unsupported_key", path=path, reason="the key is of an unknown kind") from None
    except ValueError:
        found = file_contents.damage(block) if pem else file_contents.instead_of_key(data, path)
        raise ConfigError("bad_key", path=path, reason=found.what, advice=found.advice) from None
    try:
        return load(secret)
    except UnsupportedAlgorithm:
        raise ConfigError("unsupported_key", path=path, reason="the encryption is of an unknown kind") from None
    except ValueError:
        # A wrong password decrypts to noise, which fails in as many ways as there are formats.
        raise ConfigError("password_wrong", path=path) from None


def _check_numbers(key: object, path: str) -> object:
    """``key``, whose numbers fit each other if it is RSA; ConfigError bad_key otherwise. RFC 8017 3.2.

    Factors that are no primes make signatures that do not verify, which ``LocalSigner`` finds by its first one.
    """
    if not isinstance(key, rsa.RSAPrivateKey):
        return key
    private = key.private_numbers()
    n, e, p, q, d = private.public_numbers.n, private.public_numbers.e, private.p, private.q, private.d
    fit = p * q == n and p > 1 and q > 1 and (e * d - 1) % (p - 1) == 0 and (e * d - 1) % (q - 1) == 0
    if fit and (private.dmp1, private.dmq1) == (d % (p - 1), d % (q - 1)) and private.iqmp * q % p == 1:
        return key
    reason = "the numbers of the RSA key do not fit each other"
    raise ConfigError("bad_key", path=path, reason=reason, advice="the file is damaged: use another copy, or a new key")


def _pem_block(data: bytes, path: str) -> bytes:
    """The first PEM block that holds a private key, whatever stands around it."""
    for part in data.split(_BEGIN)[1:]:
        label, dashes, _ = part.partition(b"-----")
        if not dashes or not label.endswith(b"PRIVATE KEY"):
            continue
        if label not in _FORMATS:
            reason = f"the format {label.decode('ascii', 'replace')} is not one that TLS programs use"
            raise ConfigError("unsupported_key", path=path, reason=reason)
        end = b"-----END " + label + b"-----"
        body, ended, _ = part.partition(end)
        if not ended:
            reason = f"the line {end.decode()} is missing"
            raise ConfigError("bad_key", path=path, reason=reason, advice="export it again")
        return _BEGIN + body + end + b"\n"
    found = file_contents.instead_of_key(data, path)
    raise ConfigError("no_key", path=path, found=found.what, advice=found.advice)
