"""Reading files and certificates for credentials, roots and revocation lists, with errors that name the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from handfast import der, file_contents, limits
from handfast.crypto import signatures
from handfast.errors import ConfigError
from handfast.files import refuse_empty
from handfast.text import escape
from handfast.x509 import pem

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from handfast.crypto.signatures import PublicKey

_STEP = 1024 * 1024


def read(path: str | PathLike[str], name: str = "") -> bytes:
    """The file's bytes, at most ``limits.FILE_BYTES`` of them.

    Raises ConfigError file_missing or file_unreadable, which call it ``name``, and as `refuse_empty`.
    """
    refuse_empty(path)
    shown = name or escape(str(path))
    content = bytearray()
    try:
        with open(path, "rb") as file:
            # Step by step: a device or a pipe says nothing of its size, and may never end.
            while step := file.read(_STEP):
                content += step
                if len(content) > limits.FILE_BYTES:
                    reason = f"it has more than {limits.FILE_BYTES} bytes"
                    raise ConfigError("file_unreadable", path=shown, reason=reason)
            return bytes(content)
    except FileNotFoundError:
        raise ConfigError("file_missing", path=shown) from None
    except OSError as error:
        raise ConfigError("file_unreadable", path=shown, reason=error.strerror or str(error)) from None


def entries(path: str | PathLike[str], name: str = "") -> list[Path]:
    """The files of a directory, by name; ConfigError as in ``read``."""
    refuse_empty(path)
    shown = name or escape(str(path))
    try:
        return sorted(entry for entry in Path(path).iterdir() if entry.is_file())
    except FileNotFoundError:
        raise ConfigError("file_missing", path=shown) from None
    except OSError as error:
        raise ConfigError("file_unreadable", path=shown, reason=error.strerror or str(error)) from None


def certificates(data: bytes, name: str) -> tuple[bytes, ...]:
    """The certificates of a PEM file as DER, in file order, possibly none; ConfigError names the file ``name``."""
    return checked((decoded(block, name) for block in pem.blocks(data) if block.is_certificate), name)


def no_certificate(data: bytes, name: str) -> ConfigError:
    """ConfigError no_certificate, which says what the file is instead."""
    found = file_contents.instead_of_certificate(data, name)
    return ConfigError("no_certificate", path=name, found=found.what, advice=found.advice)


def decoded(block: pem.Block, name: str) -> bytes:
    """A certificate block's DER; ConfigError bad_certificate when it is not base64."""
    try:
        return block.der()
    except ValueError as error:
        raise ConfigError("bad_certificate", path=name, reason=error) from None


def checked(chain: Iterable[bytes], name: str) -> tuple[bytes, ...]:
    """``chain`` when each of it has the shape of a certificate; ConfigError bad_certificate otherwise."""
    result = tuple(chain)
    for position, certificate in enumerate(result, 1):
        try:
            der.certificate_fields(certificate)
        except ValueError as error:
            raise ConfigError("bad_certificate", path=name, reason=f"no. {position}: {error}") from None
    return result


def public_key(certificate: bytes, name: str) -> PublicKey:
    """The key of a DER certificate; ConfigError unsupported_key, weak_key or bad_certificate."""
    try:
        return signatures.certificate_public_key(certificate)
    except signatures.UnusableKey as error:
        code = "bad_certificate" if error.code == "malformed" else error.code
        raise ConfigError(code, path=name, reason=str(error)) from None
