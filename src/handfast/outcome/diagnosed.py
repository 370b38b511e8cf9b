"""Which causes a failure leaves open, as codes of the doctor's catalogue (docs/doctor.md), as far as one side can know.

The doctor knows more (files, other connections, logs), and starts from the tables that stand here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.errors import BadMessage, CertificateRejected, HandfastError, PeerRejected
from handfast.outcome.cause import ABOUT_CERTIFICATES, CauseCode
from handfast.registry import AlertDescription
from handfast.roles import Role

if TYPE_CHECKING:
    from handfast.outcome.failure import Failure

_A = AlertDescription

# Of a reason of a verdict: the causes that it may be, without the side whose certificate it is about.
_BY_VERDICT: dict[str, tuple[str, ...]] = {
    "unknown_issuer": ("wrong_ca", "missing_intermediate"),
    "bad_signature": ("damaged",),
    "malformed": ("damaged",),
    "same_name_other_key": ("twin_ca",),
    "weak_signature_hash": ("weak_hash",),
    "name_mismatch": ("wrong_name",),
    "no_subject_alternative_name": ("no_san",),
    "missing_required_extension": ("form",),
    "no_roots": ("wrong_ca",),
    "not_a_root": ("path_not_built",),
    "other_issuer_named": ("form",),
    "unusable_root": ("wrong_ca",),
    "revocation_stale": ("crl_stale",),
    "revocation_unknown": ("crl_missing",),
    "revocation_unusable": ("crl_missing",),
    "ocsp_missing": ("ocsp",),
    "ocsp_bad": ("ocsp",),
    "ocsp_stale": ("ocsp",),
    "ocsp_unknown": ("ocsp",),
}
# Reasons that are causes by the same name.
_ITSELF = frozenset(
    {
        "expired", "not_yet_valid", "wrong_purpose", "key_may_not_sign", "weak_key", "issuer_not_a_ca",
        "name_constraint", "path_too_long", "missing_intermediate", "self_signed", "revoked",
    }
)  # fmt: skip
# What a refusal of the client may mean that says nothing of its reason.
ANY_REFUSAL = (
    "client_wrong_ca", "client_missing_intermediate", "client_twin_ca", "client_path_not_built", "client_revoked",
    "client_crl_stale", "client_crl_missing", "client_not_allowed",
)  # fmt: skip
# Of a server's alert: what it leaves open about a certificate that has no fault of its own.
BY_SERVER_ALERT: dict[int, tuple[str, ...]] = {
    _A.unknown_ca: (
        "client_wrong_ca",
        "client_missing_intermediate",
        "client_twin_ca",
        "client_path_not_built",
        "client_crl_missing",
    ),
    _A.certificate_expired: ("client_crl_stale", "clock"),
    _A.certificate_revoked: ("client_revoked",),
    _A.unsupported_certificate: ("client_unsuitable",),
    _A.access_denied: ("client_not_allowed",),
    # rustls says so of a certificate whose signature does not verify under its CA's key.
    _A.decrypt_error: ("client_twin_ca", "client_key_mismatch"),
}
# What such an alert may mean besides, where nothing has looked at the certificate: at its chain and key, at which a
# client does not look, and at its dates and usage, at which it does before it shows the certificate.
_OF_CHAIN: dict[int, tuple[str, ...]] = {
    _A.unknown_ca: ("self_signed", "issuer_not_a_ca"),
    _A.unsupported_certificate: ("weak_key",),
}
_OF_DATES_AND_USAGE: dict[int, tuple[str, ...]] = {
    _A.certificate_expired: ("expired", "not_yet_valid"),
    _A.unsupported_certificate: ("wrong_purpose", "key_may_not_sign"),
}
# Of a client's alert, likewise about the server's certificate.
BY_CLIENT_ALERT: dict[int, tuple[str, ...]] = {
    _A.unknown_ca: (
        "server_wrong_ca",
        "server_missing_intermediate",
        "server_twin_ca",
        "server_path_not_built",
    ),
    _A.certificate_expired: ("server_expired", "server_not_yet_valid", "clock"),
    _A.certificate_revoked: ("server_revoked",),
    _A.unsupported_certificate: ("server_wrong_purpose", "server_key_may_not_sign", "server_unsuitable"),
    _A.decrypt_error: ("server_twin_ca", "server_key_mismatch"),
}
# Of a server's alert to a hello: which of the two sides' lists have nothing in common. A certificate whose key may not
# sign fits no suite of TLS 1.2.
_NOTHING_IN_COMMON = ("no_common_suite", "no_common_group", "no_common_scheme", "server_key_may_not_sign")
BY_ALERT_TO_A_HELLO: dict[int, tuple[str, ...]] = {
    _A.protocol_version: ("no_common_version",),
    _A.handshake_failure: _NOTHING_IN_COMMON,
    _A.insufficient_security: _NOTHING_IN_COMMON,
    _A.no_application_protocol: ("no_common_alpn",),
    _A.unrecognized_name: ("sni_refused",),
    _A.internal_error: ("server_failed",),
    # Java says so where no group is common to both.
    _A.unexpected_message: ("no_common_group", "unexplained"),
}
# Of an error of our own.
BY_ERROR: dict[str, tuple[str, ...]] = {
    "no_common_version": ("no_common_version",),
    "version_not_offered": ("no_common_version",),
    "suite_not_offered": ("no_common_suite",),
    "group_not_offered": ("no_common_group",),
    "share_not_offered": ("no_common_group",),
    "scheme_not_offered": ("no_common_scheme",),
    "no_common_group": ("no_common_group",),
    "no_common_suite": ("no_common_suite",),
    "no_common_scheme": ("no_common_scheme",),
    "no_common_certificate": ("no_common_suite",),
    "no_common_application_protocol": ("no_common_alpn",),
    "alpn_not_offered": ("no_common_alpn",),
    "unknown_server_name": ("sni_refused",),
    "connect_failed": ("unreachable",),
    "http_request": ("http_to_tls",),
}
# Of what this side knows against its own certificate, or how the server refused it.
_BY_CAUSE: dict[CauseCode, tuple[str, ...]] = {
    CauseCode.NO_CERTIFICATE: ("no_certificate",),
    CauseCode.CERTIFICATE_WITHHELD: ("certificate_withheld",),
    CauseCode.ISSUER_NOT_NAMED: ("client_wrong_ca", "client_missing_intermediate"),
    CauseCode.ISSUER_ENCODING: ("issuer_encoding",),
    CauseCode.ISSUER_REKEYED: ("client_twin_ca",),
    CauseCode.EXPIRED: ("client_expired",),
    CauseCode.NOT_YET_VALID: ("client_not_yet_valid",),
    CauseCode.WRONG_PURPOSE: ("client_wrong_purpose",),
    CauseCode.KEY_MAY_NOT_SIGN: ("client_key_may_not_sign",),
    CauseCode.RENEGOTIATION: ("renegotiation",),
}
_STARTTLS = ("SMTP", "IMAP", "POP3", "FTP", "NNTP", "XMPP", "PostgreSQL", "MySQL")


def causes_of_verdict(code: str) -> tuple[str, ...]:
    """The causes that a reason of a verdict may be, without the side whose certificate it is about."""
    return (code,) if code in _ITSELF else _BY_VERDICT.get(code, ("unsuitable",))


def causes_of_banner(who: str) -> tuple[str, ...]:
    """The cause where something else than TLS answered; ``who`` is what it is, in words."""
    if any(word in who for word in _STARTTLS):
        return ("starttls_port",)
    return ("plain_http",) if "HTTP" in who else ("plain_text",)


def diagnosed(failure: Failure) -> tuple[str, ...]:
    """The codes of the causes that a failure leaves open; () where nothing is known of it."""
    error = failure.error
    if isinstance(error, CertificateRejected):
        return _of_our_refusal(error, failure)
    if isinstance(error, BadMessage) and error.code == "not_tls":
        return causes_of_banner(str(error.details.get("who", "")))
    cause = failure.cause
    if cause is not None and cause.code in _BY_CAUSE:
        return _BY_CAUSE[cause.code]
    if cause is not None and cause.code is CauseCode.NOTHING_IN_COMMON:
        return BY_ALERT_TO_A_HELLO.get(cause.alert or 0, ())
    if isinstance(error, PeerRejected):
        return _of_their_refusal(failure)
    return BY_ERROR.get(error.code, ()) if isinstance(error, HandfastError) else ()


def _of_our_refusal(error: CertificateRejected, failure: Failure) -> tuple[str, ...]:
    if error.code == "certificate_required":
        return ("no_certificate", "certificate_withheld") if failure.ca_names else ("no_certificate",)
    side = failure.role.peer
    found = (f"{side}_{cause}" for cause in causes_of_verdict(error.code))
    return tuple(code for code in found if code not in ("client_wrong_name", "client_no_san"))


def _of_their_refusal(failure: Failure) -> tuple[str, ...]:
    alert = failure.alerts.get(failure.role.peer)
    if alert is None:
        return ()
    if failure.role is Role.SERVER:
        return _with_more(BY_CLIENT_ALERT, alert, Role.SERVER, _OF_CHAIN)
    if failure.ca_names is not None and alert in ABOUT_CERTIFICATES:
        return _of_a_refused_client(failure, alert)
    return BY_ALERT_TO_A_HELLO.get(alert, ()) if not failure.chains.get(Role.SERVER) else ()


def _of_a_refused_client(failure: Failure, alert: int) -> tuple[str, ...]:
    objections = failure.objections
    if not failure.chains.get(Role.CLIENT):
        held = ("certificate_withheld",) if objections else ()
        return held or (("no_certificate", "certificate_withheld") if objections is None else ("no_certificate",))
    if objections is None:
        return _with_more(BY_SERVER_ALERT, alert, Role.CLIENT, _OF_CHAIN, _OF_DATES_AND_USAGE)
    known = [CauseCode(code) for code in objections if code in set(CauseCode)]
    return _BY_CAUSE[known[0]] if known else _with_more(BY_SERVER_ALERT, alert, Role.CLIENT, _OF_CHAIN)


def _with_more(
    table: dict[int, tuple[str, ...]], alert: int, side: Role, *more: dict[int, tuple[str, ...]]
) -> tuple[str, ...]:
    """What a table has of an alert, and what it may mean of a certificate that was not looked at; () for what may be
    anything."""
    if alert not in table:
        return ()
    unseen = (f"{side}_{cause}" for one in more for cause in one.get(alert, ()))
    return tuple(dict.fromkeys((*table[alert], *unseen)))
