"""PEM, RFC 7468: text around base64, found without an X.509 library."""

from __future__ import annotations

import binascii
import re
from typing import NamedTuple

from handfast import der

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,64})-----\s*?\n(.*?)-----END \1-----", re.DOTALL)

CERTIFICATE = "CERTIFICATE"
_CERTIFICATE_LABELS = (CERTIFICATE, "X509 CERTIFICATE")


class Block(NamedTuple):
    """One block: its label, and all of its bytes as they stand in the file."""

    label: str
    encoded: bytes
    body: bytes

    @property
    def is_certificate(self) -> bool:
        return self.label in _CERTIFICATE_LABELS

    @property
    def is_private_key(self) -> bool:
        return self.label.endswith("PRIVATE KEY")

    def der(self) -> bytes:
        """The block's contents; ValueError when they are not base64."""
        try:
            return binascii.a2b_base64(b"".join(self.body.split()), strict_mode=True)
        except binascii.Error as error:
            raise ValueError(f"not base64: {error}") from None


def blocks(data: bytes) -> list[Block]:
    """Every PEM block of ``data``, in order; text between them is skipped."""
    return [Block(match[1].decode("ascii"), match[0], match[2]) for match in _BLOCK.finditer(data)]


def looks_like_der(data: bytes) -> bool:
    """Whether ``data`` is one DER SEQUENCE from start to end, as a certificate or key file is."""
    try:
        return der.element(data).tag == der.SEQUENCE
    except ValueError:
        return False


def encode(label: str, content: bytes) -> bytes:
    """``content`` as a PEM block, 64 characters a line."""
    text = binascii.b2a_base64(content, newline=False)
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return b"\n".join([b"-----BEGIN %b-----" % label.encode(), *lines, b"-----END %b-----" % label.encode(), b""])
