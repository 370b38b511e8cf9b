"""What the doctor finds: one thing that is wrong, the causes that it may be, and what would tell which."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from handfast.doctor.evidence import Evidence

    Rule: TypeAlias = Callable[[Evidence], Iterator["Finding"]]


class Input(StrEnum):
    """What a user can give that would separate causes, in the words in which it is asked for."""

    NOTHING = ""
    SERVER_LOG = "what the server's log says of this connection"
    CLIENT_CA = "the server's file of the CAs that it trusts"
    CLIENT_ISSUER = "the certificate of the CA that issued the client's certificate"
    SERVER_ISSUER = "the certificate of the CA that issued the server's certificate"
    CRL = "the server's revocation list"
    CLIENT_CERTIFICATE = "the client's certificate"
    SERVER_CERTIFICATE = "the server's certificate file"
    CLIENT_TRUST = "what the client trusts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        causes: codes of the catalogue: one where the evidence decides, else all that it leaves open.
        evidence: what shows it, a sentence each, escaped.
        separates: what would tell which, where there are several.
    """

    causes: tuple[str, ...]
    evidence: tuple[str, ...]
    separates: Input = Input.NOTHING
