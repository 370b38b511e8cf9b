"""Our own certificates and keys, in any shape in which a program may have them."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from handfast.credentials.credentials import Credentials, check_issuer_order, upwards
from handfast.credentials.pkcs11_uri import PKCS11
from handfast.errors import ConfigError
from handfast.io.sslcontext.errors import of_file
from handfast.trust.roots import Roots
from handfast.x509 import loading as files
from handfast.x509 import pem

if TYPE_CHECKING:
    from cryptography import x509

    from handfast.crypto.signatures import PrivateKey

    OneSource: TypeAlias = "str | bytes | os.PathLike[str] | x509.Certificate"
    CertificateSource: TypeAlias = "OneSource | Iterable[OneSource]"
    KeySource: TypeAlias = "str | bytes | os.PathLike[str] | PrivateKey"

Password: TypeAlias = "str | bytes | bytearray | Callable[[], str | bytes | bytearray] | None"
# PEM_BUFSIZE of OpenSSL, which is what the stock module allows.
_LONGEST_PASSWORD = 1024
# What stands in a file whose bytes were given in place of its name, if they are PEM.
_PEM = b"-----BEGIN "


def credentials(certificate: Any, key: Any, password: Password) -> Credentials:
    """Credentials, as ``load_cert_chain`` is given them: names of files, their contents, objects of ``cryptography``.

    Raises what the stock module raises: OSError for files that cannot be read, SSLError for the rest.
    """
    secret = _password(password)
    try:
        if isinstance(key, str) and key[: len(PKCS11)].lower() == PKCS11:
            return _with_token(certificate, key, secret)
        cert_data, cert_name = _contents(certificate, "certfile")
        if key is None:
            served = _in_order(cert_data, cert_name)
            key_data = None if served == cert_data else cert_data
            return Credentials.from_bytes(served, key_data, secret, cert_name=cert_name, key_name=cert_name)
        if hasattr(key, "private_bytes"):
            return Credentials.from_key(_chain(cert_data, cert_name), key, cert_name=cert_name)
        key_data, key_name = _contents(key, "keyfile")
        served = _in_order(cert_data, cert_name)
        return Credentials.from_bytes(served, key_data, secret, cert_name=cert_name, key_name=key_name)
    except ConfigError as error:
        raise of_file(error) from error


def _with_token(certificate: Any, uri: str, pin: Any) -> Credentials:
    """A key in a token; the certificate stands in a file, whatever it was given as."""
    from handfast.credentials.pkcs11 import Pkcs11Signer

    data, name = _contents(certificate, "certfile")
    chain = _chain(data, name)
    return Credentials(chain, Pkcs11Signer(uri, chain[0], pin, cert_name=name))


def _in_order(data: bytes, name: str) -> bytes:
    """A chain in PEM, each issuer right behind what it issued: the stock module serves any order, and repetitions."""
    left: list[bytes] = []
    try:
        left += files.certificates(data, name)
        check_issuer_order(left, name)
    except ConfigError as error:
        if error.code != "issuer_order":
            return data
    else:
        return data
    chain: list[bytes] = []
    while left:
        chain += upwards(left[0], left)
        left = [one for one in left if one not in chain]
    return "".join(map(ssl.DER_cert_to_PEM_cert, chain)).encode()


def _chain(data: bytes, name: str) -> tuple[bytes, ...]:
    return Roots.from_pem(data, name).certificates if _PEM in data else (data,)


def _contents(value: Any, argument: str) -> tuple[bytes, str]:
    """What the file holds, or the bytes or objects are, and what errors call it."""
    if hasattr(value, "public_bytes"):
        return _pem_of(value), f"the {argument}"
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        # A name may be given as bytes, too; none looks so.
        if _PEM in data or pem.looks_like_der(data):
            return data, f"the {argument}"
        value = data
    if isinstance(value, str | bytes | os.PathLike):
        path = os.fsdecode(cast("str | bytes | os.PathLike[str]", value))
        with open(path, "rb") as file:
            return file.read(), path
    if isinstance(value, Iterable):
        return b"".join(_contents(one, argument)[0] for one in value), f"the {argument}"
    raise TypeError(f"{argument} should be a valid filesystem path")


def _pem_of(certificate: Any) -> bytes:
    from handfast.crypto.new_keys import PEM

    return bytes(certificate.public_bytes(PEM))


def roots(source: Any) -> Roots:
    """Roots from names of files and directories, their contents, objects of ``cryptography``, or ``Roots``."""
    if isinstance(source, Roots):
        return source
    if isinstance(source, str | os.PathLike) and Path(source).is_dir():
        return Roots.from_directory(source)
    data, name = _contents(source, "cafile")
    return Roots.from_pem(data, name) if _PEM in data else Roots.from_der([data], name)


def _password(password: Password) -> Callable[[], bytes] | bytes | None:
    """What our loaders take: asked only where something is encrypted."""
    if password is None:
        return None
    if not callable(password):
        return _secret(password, "password should be a string or callable")
    ask = password
    return lambda: _secret(ask(), "password callback must return a string")


def _secret(value: object, refusal: str) -> bytes:
    if not isinstance(value, str | bytes | bytearray):
        raise TypeError(refusal)
    secret = value.encode() if isinstance(value, str) else bytes(value)
    if len(secret) > _LONGEST_PASSWORD:
        raise ValueError(f"password cannot be longer than {_LONGEST_PASSWORD} bytes")
    return secret
