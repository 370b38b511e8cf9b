"""What a verifier is asked to judge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handfast.x509.purpose import Purpose

if TYPE_CHECKING:
    from datetime import datetime


_WORDS = tuple(map(str, Purpose))


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentedChain:
    """A chain as a peer sent it: nothing in it is trusted yet, except that possession of the leaf's key is proven.

    Attributes:
        chain: certificates as DER, leaf first, as sent.
        purpose: the peer's role; its word is taken too.
        server_name: the DNS name or IP address that a server must have; None for a client.
        at: the time to judge by, in UTC and aware of it.
        ocsp_response: the OCSP response (DER) that came beside the leaf, in a resumed session that of its beginning;
            b"" if there was none.
        asked_for_ocsp_response: whether the peer was asked for one.
        restored: whether this is the chain of a session that began earlier, judged anew.
    """

    chain: tuple[bytes, ...]
    purpose: Purpose
    server_name: str | None
    at: datetime
    ocsp_response: bytes = field(default=b"", repr=False)
    asked_for_ocsp_response: bool = False
    restored: bool = False

    def __post_init__(self) -> None:
        # Verifiers ask whether it *is* the one or the other, and a name is checked only for a server. What is neither
        # they refuse.
        if type(self.purpose) is not Purpose and self.purpose in _WORDS:
            object.__setattr__(self, "purpose", Purpose(self.purpose))
