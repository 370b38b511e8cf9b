"""From our errors to those of ``ssl``, with everything that the C module sets on them: the only place that does it.

Programs compare ``errno``, ``reason``, ``verify_code`` and the text, so those are OpenSSL's where it has a word for
what happened. Our own explanation is the cause (``__cause__``) and a note.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, TypeVar

from handfast.errors import CertificateRejected, ConfigError, ConnectionLost, HandfastError, PeerRejected
from handfast.text import escape

if TYPE_CHECKING:
    from handfast.connection_info import ConnectionInfo

_Error = TypeVar("_Error", bound=ssl.SSLError)

# How OpenSSL begins the name of an alert that came, where it is not TLSV1_ALERT.
_SSLV3 = frozenset(
    [
        "unexpected_message",
        "bad_record_mac",
        "handshake_failure",
        "bad_certificate",
        "unsupported_certificate",
        "certificate_revoked",
        "certificate_expired",
        "certificate_unknown",
        "illegal_parameter",
    ]
)
_NO_ALERT = frozenset(["unsupported_extension", "unrecognized_name", "bad_certificate_status_response"])
_TLSV13 = frozenset(["missing_extension", "certificate_required"])
_RENAMED = {"user_canceled": "TLSV1_ALERT_USER_CANCELLED"}

# What OpenSSL calls what we noticed; what is not here is called by our code, in capitals.
_REASONS = {
    "bad_record_mac": "DECRYPTION_FAILED_OR_BAD_RECORD_MAC",
    "record_overflow": "PACKET_LENGTH_TOO_LONG",
    "record_version": "WRONG_VERSION_NUMBER",
    "not_tls": "WRONG_VERSION_NUMBER",
    "no_common_version": "UNSUPPORTED_PROTOCOL",
    "version_not_offered": "UNSUPPORTED_PROTOCOL",
    "legacy_version": "UNSUPPORTED_PROTOCOL",
    "no_common_suite": "NO_SHARED_CIPHER",
    "suite_not_offered": "WRONG_CIPHER_RETURNED",
    "no_common_group": "NO_SUITABLE_KEY_SHARE",
    "group_not_offered": "BAD_KEY_SHARE",
    "bad_key_share": "BAD_KEY_SHARE",
    "no_common_scheme": "NO_SHARED_SIGNATURE_ALGORITHMS",
    "scheme_not_offered": "WRONG_SIGNATURE_TYPE",
    "scheme_forbidden": "WRONG_SIGNATURE_TYPE",
    "scheme_for_other_key": "WRONG_SIGNATURE_TYPE",
    "no_common_certificate": "NO_SHARED_CIPHER",
    "no_common_application_protocol": "NO_APPLICATION_PROTOCOL",
    "bad_finished": "DIGEST_CHECK_FAILED",
    "certificate_required": "PEER_DID_NOT_RETURN_A_CERTIFICATE",
    "inappropriate_fallback": "INAPPROPRIATE_FALLBACK",
    "no_secure_renegotiation": "UNSAFE_LEGACY_RENEGOTIATION_DISABLED",
    "unrequested_extension": "BAD_EXTENSION",
    "duplicate_extension": "BAD_EXTENSION",
    "truncated": "LENGTH_MISMATCH",
    "trailing_bytes": "LENGTH_MISMATCH",
    "downgrade_sentinel": "INAPPROPRIATE_FALLBACK",
    "closed_for_writing": "PROTOCOL_IS_SHUTDOWN",
    "callback_refused": "CALLBACK_FAILED",
    "no_credentials": "NO_SHARED_CIPHER",
    "cannot_request": "EXTENSION_NOT_RECEIVED",
}
# X509_V_ERR_* of OpenSSL and its words, by the code of a verdict.
_UNSPECIFIED = (50, "application verification failure")
_VERIFY_CODES = {
    "expired": (10, "certificate has expired"),
    "not_yet_valid": (9, "certificate is not yet valid"),
    "unknown_issuer": (20, "unable to get local issuer certificate"),
    "missing_intermediate": (20, "unable to get local issuer certificate"),
    "same_name_other_key": (20, "unable to get local issuer certificate"),
    "no_roots": (20, "unable to get local issuer certificate"),
    "not_a_root": (2, "unable to get issuer certificate"),
    "other_issuer_named": (20, "unable to get local issuer certificate"),
    "self_signed": (18, "self-signed certificate"),
    "bad_signature": (7, "certificate signature failure"),
    "issuer_not_a_ca": (79, "invalid CA certificate"),
    "path_too_long": (25, "path length constraint exceeded"),
    "wrong_purpose": (26, "unsuitable certificate purpose"),
    "key_may_not_sign": (26, "unsuitable certificate purpose"),
    "name_constraint": (47, "permitted subtree violation"),
    "weak_signature_hash": (68, "CA signature digest algorithm too weak"),
    "weak_key": (66, "EE certificate key too weak"),
    "unsupported_extension": (34, "unhandled critical extension"),
    "missing_required_extension": (85, "Missing Authority Key Identifier"),
    "revoked": (23, "certificate revoked"),
    "revocation_unknown": (3, "unable to get certificate CRL"),
    "revocation_stale": (12, "CRL has expired"),
    "ocsp_missing": (98, "OCSP verification needed"),
    "ocsp_bad": (99, "OCSP verification failed"),
    "ocsp_unknown": (100, "OCSP unknown cert"),
}
_SELF_SIGNED_IN_CHAIN = (19, "self-signed certificate in certificate chain")
HOSTNAME_MISMATCH, IP_MISMATCH = 62, 64
# Error numbers as the C module gives them.
KEY_VALUES_MISMATCH = 116
_PEM_LIB = 524297


def want_read() -> ssl.SSLWantReadError:
    """More bytes of the peer are needed."""
    error = ssl.SSLWantReadError(int(ssl.SSL_ERROR_WANT_READ), "The operation did not complete (read)")
    return _with_reason(error, reason=None, library=None)


def want_write() -> ssl.SSLWantWriteError:
    """The socket takes no more now."""
    error = ssl.SSLWantWriteError(int(ssl.SSL_ERROR_WANT_WRITE), "The operation did not complete (write)")
    return _with_reason(error, reason=None, library=None)


def closed() -> ssl.SSLZeroReturnError:
    """Both sides have closed."""
    words = "TLS/SSL connection has been closed (EOF)"
    return _with_reason(ssl.SSLZeroReturnError(int(ssl.SSL_ERROR_ZERO_RETURN), words), reason=None, library=None)


def ssl_error(reason: str, *, library: str = "SSL", number: int = int(ssl.SSL_ERROR_SSL)) -> ssl.SSLError:
    """An SSLError as OpenSSL would give that reason."""
    words = reason.lower().replace("_", " ")
    return _with_reason(ssl.SSLError(number, f"[{library}: {reason}] {words}"), reason=reason, library=library)


def pem_lib() -> ssl.SSLError:
    """What the C module raises for a file that is not the PEM that it wants."""
    return _with_reason(ssl.SSLError(_PEM_LIB, "[SSL] PEM lib"), reason=None)


def _with_reason(error: _Error, *, reason: str | None, library: str | None = "SSL") -> _Error:
    error.library, error.reason = library, reason  # type: ignore[assignment]
    return error


def of_connection(error: HandfastError, info: ConnectionInfo | None, asked_name: str | None) -> ssl.SSLError:
    """The error that ended a connection, or refused a call, as one of ``ssl``."""
    if isinstance(error, CertificateRejected) and error.code != "certificate_required":
        made: ssl.SSLError = _of_verdict(error, info, asked_name)
    elif isinstance(error, ConnectionLost) and error.code in ("unexpected_eof", "eof_in_handshake"):
        words = "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol"
        made = _with_reason(ssl.SSLEOFError(int(ssl.SSL_ERROR_EOF), words), reason="UNEXPECTED_EOF_WHILE_READING")
    else:
        made = ssl_error(_reason(error, server=info is not None and info.role.name == "SERVER"))
    return explained(made, error)


def explained(made: _Error, error: HandfastError) -> _Error:
    """``made`` with our own explanation: as its cause, and as a note, which a traceback shows."""
    # The connection keeps it, and its frames would keep the connection.
    made.__cause__ = error.with_traceback(None)
    made.add_note(f"handfast: {escape(error.explain())}")
    return made


def _reason(error: HandfastError, *, server: bool) -> str:
    if isinstance(error, PeerRejected):
        return _alert_reason(error.code)
    if error.code == "http_request":
        return "HTTP_REQUEST" if server else "WRONG_VERSION_NUMBER"
    return _REASONS.get(error.code, error.code.upper())


def _alert_reason(name: str) -> str:
    """What OpenSSL calls an alert that came."""
    if name in _RENAMED:
        return _RENAMED[name]
    prefix = "SSLV3_ALERT" if name in _SSLV3 else "TLSV13_ALERT" if name in _TLSV13 else "TLSV1_ALERT"
    return f"{'TLSV1' if name in _NO_ALERT else prefix}_{name.upper()}"


def _of_verdict(
    error: CertificateRejected, info: ConnectionInfo | None, asked_name: str | None
) -> ssl.SSLCertVerificationError:
    code, words = _verify_code(error, info, asked_name)
    reason = "CERTIFICATE_VERIFY_FAILED"
    made = ssl.SSLCertVerificationError(int(ssl.SSL_ERROR_SSL), f"[SSL: {reason}] certificate verify failed: {words}")
    made.verify_code, made.verify_message = code, words
    return _with_reason(made, reason=reason)


def _verify_code(error: CertificateRejected, info: ConnectionInfo | None, asked_name: str | None) -> tuple[int, str]:
    if error.code in ("name_mismatch", "no_subject_alternative_name"):
        numeric = _is_address(asked_name or "")
        words = "IP address mismatch" if numeric else "Hostname mismatch"
        return (IP_MISMATCH if numeric else HOSTNAME_MISMATCH), (
            f"{words}, certificate is not valid for '{escape(asked_name or '')}'."
        )
    if error.code == "not_a_root" and getattr(error.verdict, "certificate_index", None) == 0:
        return _VERIFY_CODES["unknown_issuer"]
    chain = () if info is None else info.peer_chain
    if error.code == "unknown_issuer" and len(chain) > 1 and _signs_itself(chain[-1]):
        return _SELF_SIGNED_IN_CHAIN
    return _VERIFY_CODES.get(error.code, _UNSPECIFIED)


def _signs_itself(certificate: bytes) -> bool:
    from handfast import der

    try:
        fields = der.certificate_fields(certificate)
    except ValueError:
        return False
    return fields.subject == fields.issuer


def _is_address(text: str) -> bool:
    from ipaddress import ip_address

    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def of_file(error: ConfigError) -> OSError:
    """What a certificate or key that could not be loaded raises in ``ssl``."""
    if error.code in ("key_mismatch", "chain_order"):
        return explained(ssl_error("KEY_VALUES_MISMATCH", library="X509", number=KEY_VALUES_MISMATCH), error)
    return explained(pem_lib(), error)
