"""Why a server refused this side, as data: a stable code, and the evidence that it rests on.

Alerts alone are not enough: one alert stands for many causes, and many servers send none.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from handfast.registry import AlertDescription

_A = AlertDescription
# What is said of a certificate, or of its absence.
ABOUT_CERTIFICATES = frozenset(
    {
        _A.handshake_failure, _A.bad_certificate, _A.unsupported_certificate, _A.certificate_revoked,
        _A.certificate_expired, _A.certificate_unknown, _A.unknown_ca, _A.access_denied, _A.decrypt_error,
        _A.certificate_required,
    }
)  # fmt: skip
# HTTP statuses by which servers refuse a client: 495 and 496 are nginx's own.
HTTP_REFUSALS = frozenset({400, 401, 403, 495, 496})


class CauseCode(StrEnum):
    """Why a client's connection failed, or ended in a refusal. The codes are stable."""

    # The server asked for a certificate and got none.
    NO_CERTIFICATE = "no_certificate"
    CERTIFICATE_WITHHELD = "certificate_withheld"
    # It got one, and this is known against it.
    ISSUER_NOT_NAMED = "issuer_not_named"
    ISSUER_ENCODING = "issuer_encoding"
    ISSUER_REKEYED = "issuer_rekeyed"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    WRONG_PURPOSE = "wrong_purpose"
    KEY_MAY_NOT_SIGN = "key_may_not_sign"
    # It got one, and nothing is known against it; the second: nor was anything else sent than it.
    CERTIFICATE_REFUSED = "certificate_refused"
    LEAF_ALONE = "leaf_alone"
    # It wants the certificate in a second handshake of TLS 1.2.
    RENEGOTIATION = "renegotiation"
    # It said no before it asked for anything.
    NOTHING_IN_COMMON = "nothing_in_common"
    # Nothing came back at all, and our hello was large.
    LARGE_HELLO = "large_hello"


class Manner(StrEnum):
    """How the server made its refusal known."""

    ALERT = "alert"
    CLOSE = "close"
    HTTP = "http"


class HttpAnswer(NamedTuple):
    """The status line of the answer to our request, and whether its body speaks of a client certificate.

    ``none_sent`` says that the body complains, in nginx's words, that none was sent.
    """

    status: int
    reason: str
    about_certificate: bool = False
    none_sent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why the server refused, as far as this side can know, and what shows it.

    Attributes:
        code: for programs.
        manner: how the refusal came.
        certificate: what we showed, DER; b"" for nothing.
        sent: how many certificates we showed.
        why: what our own choice had found, in words; "" for nothing.
        objections: the same as codes, see ``events.Considered``.
        ca_names: the CAs that the server named, DER; None when it asked for no certificate.
        alert: the alert that it sent, None if it sent none.
        http: the answer to our request, None if there was none.
    """

    code: CauseCode
    manner: Manner
    certificate: bytes = b""
    sent: int = 0
    why: str = ""
    objections: tuple[str, ...] = ()
    ca_names: tuple[bytes, ...] | None = None
    alert: int | None = None
    http: HttpAnswer | None = None

    @property
    def tells_more(self) -> bool:
        """Whether something is known here that speaks against us, and not only that we were refused."""
        return self.code not in (CauseCode.CERTIFICATE_REFUSED, CauseCode.LEAF_ALONE)
