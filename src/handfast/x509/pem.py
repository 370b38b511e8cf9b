"""PEM, RFC 7468: text around base64, found without an X.509 library."""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING, NamedTuple

from handfast import der

if TYPE_CHECKING:
    from collections.abc import Iterator

_BEGIN, _DASHES = b"-----BEGIN ", b"-----"
_LABEL = re.compile(rb"[A-Z0-9 ]{1,64}")
_LONGEST_LABEL = 64
# Spaces, tabs and carriage returns that may stand at the end of the first line.
_LINE_END = 16

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
    """Every PEM block of ``data``, in order; text between them is skipped, and so is a block that is cut off."""
    return list(_found(data))


def _found(data: bytes) -> Iterator[Block]:
    """Each byte is looked at once or twice, whatever the file holds: a block ends at the next five dashes, or is none.

    RFC 7468 3: there are none in base64, nor in the headers of old encrypted keys.
    """
    at = 0
    while (start := data.find(_BEGIN, at)) >= 0:
        label_at = at = start + len(_BEGIN)
        label_end = data.find(_DASHES, label_at, label_at + _LONGEST_LABEL + len(_DASHES))
        label = data[label_at : max(label_end, label_at)]
        if not _LABEL.fullmatch(label):
            continue
        rest = label_end + len(_DASHES)
        line = data.find(b"\n", rest, rest + _LINE_END)
        if line < 0 or data[rest:line].strip():
            continue
        at = data.find(_DASHES, line)
        if at < 0:
            return
        end = b"-----END %b-----" % label
        if data.startswith(end, at):
            yield Block(label.decode("ascii"), data[start : at + len(end)], data[line + 1 : at])


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
