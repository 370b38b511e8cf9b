"""How a lens puts certificates and names into words.

Those of ``outcome.certificate_words`` name them, and are what a lens uses unless it is given others; the defaults here
say what can be said without reading X.509 at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


def _size(certificate: bytes) -> str:
    return f"a certificate of {len(certificate)} bytes"


def _lines(certificate: bytes) -> list[str]:
    return [_size(certificate)]


def _hexadecimal(name: bytes) -> str:
    return f"#{name.hex()}"


class Describer(NamedTuple):
    """Functions of DER whose results are one line each and already escaped.

    Attributes:
        identity: a certificate as "CN=alice (issuer CN=Some CA)".
        certificate: everything worth knowing of a certificate, a fact a line.
        name: a distinguished name as RFC 4514 text.
    """

    identity: Callable[[bytes], str] = _size
    certificate: Callable[[bytes], list[str]] = _lines
    name: Callable[[bytes], str] = _hexadecimal
