"""What can go wrong, whose fault it is, what the peer is told, and what to do about it.

Code raises where it notices; the connection alone turns an error into an alert and sends it. Each error has a stable
``code`` (a snake_case string that programs may compare), and the catalogue below holds, for every code, the alert, the
sentence, the RFC section and the hint: it is the one table from error to alert.

Which class to expect:

- ``PeerMisbehaved``: the peer did what the RFC forbids, or its cryptography does not check.
- ``BadMessage``: the peer's bytes do not decode.
- ``PeerIncompatible``: both sides are well-formed and have nothing in common.
- ``CertificateRejected``: we judged the peer's certificate and refused it.
- ``PeerRejected``: the peer sent a fatal alert.
- ``ConnectionLost``: the transport ended or went silent.
- ``LocalFailure``: our own signer, verifier or code failed; the peer is told internal_error.
- ``ConfigError``: a local file or option is unusable.
- ``ApiMisuse``: the calling program used handfast wrongly.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from handfast.registry import AlertDescription

if TYPE_CHECKING:
    from collections.abc import Mapping

Alert = AlertDescription


class Fault(StrEnum):
    """Whose fault an error is, as seen from this side."""

    PEER = "the peer's fault"
    OURS = "our side's fault"
    NOBODY = "the two sides do not fit"
    NETWORK = "the network or the peer's process"
    CALLER = "the calling program's fault"


class Entry(NamedTuple):
    """One line of the catalogue; ``what`` is a format string for the details that the raiser gives.

    ``meaning`` says what the code stands for where ``what`` is made of details alone.
    """

    alert: AlertDescription | None
    what: str
    rfc: str = ""
    hint: str = ""
    meaning: str = ""


class HandfastError(Exception):
    """Base of every error that handfast raises.

    Attributes: ``code`` (stable string), ``what`` (one sentence without a period), ``hint``, ``rfc`` (section, or ""),
    ``fault``, ``alert`` (what the peer is told, or None when it is told nothing), ``details`` (what the sentence was
    made from).
    """

    fault: Fault = Fault.OURS
    catalogue: ClassVar[Mapping[str, Entry]] = {}
    default_hint: ClassVar[str] = ""

    def __init__(self, code: str, /, **details: object) -> None:
        entry = self.catalogue[code]
        self.code = code
        self.details = details
        self.alert = entry.alert
        self.rfc = entry.rfc
        self.what = entry.what.format(**details)
        self.hint = (entry.hint or self.default_hint).format(**details)
        super().__init__(self.what)

    def explain(self) -> str:
        """The error as a paragraph: what, whose fault, where the RFC says so, and what to do."""
        section = f" [{self.rfc}]" if self.rfc else ""
        return f"{self.what} ({self.fault}){section}" + (f"; {self.hint}" if self.hint else "")


class PeerMisbehaved(HandfastError):
    """The peer did what the RFC forbids, or a signature, MAC or Finished of its does not check."""

    fault = Fault.PEER
    default_hint = (
        "the peer's TLS stack is broken or something on the path alters the bytes; --trace shows its messages"
    )
    catalogue: ClassVar[Mapping[str, Entry]] = {
        # Records
        "bad_record_mac": Entry(
            Alert.bad_record_mac,
            "a record does not decrypt: its bytes or its keys are wrong",
            "RFC 9846 5.2",
            "both sides must have derived the same keys; a middlebox that alters bytes shows the same",
        ),
        "record_overflow": Entry(
            Alert.record_overflow, "a record of {length} bytes exceeds the limit of {limit}", "RFC 9846 5.2"
        ),
        "record_version": Entry(
            Alert.protocol_version, "a record header claims version {version:#06x}, outside of 3.x", "RFC 9846 5.1"
        ),
        "unexpected_record_type": Entry(
            Alert.unexpected_message, "a record of type {content_type} came where none may be", "RFC 9846 5"
        ),
        "empty_record": Entry(Alert.unexpected_message, "an empty {content_type} record", "RFC 9846 5.1"),
        "all_zero_inner_plaintext": Entry(
            Alert.unexpected_message, "a protected record holds padding and no content type", "RFC 9846 5.4"
        ),
        "too_many_empty_records": Entry(
            Alert.unexpected_message, "more than {limit} empty records in a row", "RFC 9846 5.1"
        ),
        "bad_change_cipher_spec": Entry(
            Alert.unexpected_message, "a change_cipher_spec that is not a single 01 in plaintext", "RFC 9846 5"
        ),
        "late_change_cipher_spec": Entry(
            Alert.unexpected_message, "a change_cipher_spec outside the handshake", "RFC 9846 5"
        ),
        "early_change_cipher_spec": Entry(
            Alert.unexpected_message, "a change_cipher_spec before the messages that it follows", "RFC 5246 7.1"
        ),
        "missing_change_cipher_spec": Entry(
            Alert.unexpected_message, "a handshake message where a change_cipher_spec must come first", "RFC 5246 7.1"
        ),
        "too_many_change_cipher_specs": Entry(
            Alert.unexpected_message, "more than {limit} change_cipher_spec records", "RFC 9846 5"
        ),
        "plaintext_after_keys": Entry(
            Alert.unexpected_message, "a plaintext {content_type} record after keys were on", "RFC 9846 5"
        ),
        "interleaved_record": Entry(
            Alert.unexpected_message, "a {content_type} record inside a split handshake message", "RFC 9846 5.1"
        ),
        "message_spans_key_change": Entry(
            Alert.unexpected_message, "handshake bytes are left over after {message}, where keys change", "RFC 9846 5.1"
        ),
        "early_application_data": Entry(
            Alert.unexpected_message, "application data before the handshake was complete", "RFC 9846 5"
        ),
        "key_overused": Entry(
            Alert.unexpected_message, "the peer protected more than {limit} records with one key", "RFC 9846 5.5"
        ),
        # Alerts
        "bad_alert": Entry(Alert.decode_error, "an alert of {length} bytes; an alert has 2", "RFC 9846 6"),
        "too_many_warnings": Entry(Alert.unexpected_message, "more than {limit} warnings", "RFC 5246 7.2.2"),
        "too_many_user_canceled": Entry(
            Alert.unexpected_message, "more than {limit} user_canceled alerts", "RFC 9846 6.1"
        ),
        "plaintext_alert": Entry(
            None,
            "the peer sent the alert {alert} in plaintext after keys were on (unauthenticated: anyone on the path can)",
            "RFC 9846 6",
            "an OpenSSL client refuses a server certificate this way; look at the certificate that was sent",
        ),
        # Order and size
        "unexpected_message": Entry(
            Alert.unexpected_message, "{message} came where {expected} was expected", "RFC 9846 4"
        ),
        "message_too_large": Entry(
            Alert.illegal_parameter, "a handshake message of {length} bytes exceeds the limit of {limit}", "RFC 9846 4"
        ),
        "handshake_too_large": Entry(
            Alert.illegal_parameter, "the handshake exceeds {limit} bytes in all", "RFC 9846 4"
        ),
        # Hellos
        "duplicate_extension": Entry(Alert.illegal_parameter, "{message} holds {extension} twice", "RFC 9846 4.3"),
        "extension_in_wrong_message": Entry(
            Alert.illegal_parameter, "{extension} does not belong into {message}", "RFC 9846 4.3"
        ),
        "unrequested_extension": Entry(
            Alert.unsupported_extension, "{message} answers {extension}, which was not asked for", "RFC 9846 4.3"
        ),
        "missing_extension": Entry(Alert.missing_extension, "{message} lacks {extension}", "RFC 9846 9.2"),
        "legacy_version": Entry(
            Alert.protocol_version, "{message} has legacy_version {version:#06x}, not 0x0303", "RFC 9846 4.2"
        ),
        "compression_offered": Entry(
            Alert.illegal_parameter, "ClientHello offers compression methods in TLS 1.3", "RFC 9846 4.2.2"
        ),
        "compression_selected": Entry(
            Alert.illegal_parameter, "{message} selects compression method {method}", "RFC 9846 4.2.3"
        ),
        "wrong_session_id_echo": Entry(
            Alert.illegal_parameter, "{message} does not echo our legacy_session_id", "RFC 9846 4.2.3"
        ),
        "version_not_offered": Entry(
            Alert.illegal_parameter, "{message} selects version {version}, which was not offered", "RFC 9846 4.3.1"
        ),
        "suite_not_offered": Entry(
            Alert.illegal_parameter, "{message} selects suite {suite}, which was not offered", "RFC 9846 4.2.3"
        ),
        "group_not_offered": Entry(
            Alert.illegal_parameter, "{message} names group {group}, which was not offered", "RFC 9846 4.3.8"
        ),
        "share_not_offered": Entry(
            Alert.illegal_parameter, "ServerHello's key share is for group {group}, we sent none", "RFC 9846 4.3.8"
        ),
        "downgrade_sentinel": Entry(
            Alert.illegal_parameter, "ServerHello's random says that the server was made to downgrade", "RFC 9846 4.2.3"
        ),
        "retry_for_shared_group": Entry(
            Alert.illegal_parameter, "HelloRetryRequest asks for {group}, already shared", "RFC 9846 4.3.8"
        ),
        "retry_changes_nothing": Entry(Alert.illegal_parameter, "HelloRetryRequest changes nothing", "RFC 9846 4.2.4"),
        "second_retry": Entry(Alert.unexpected_message, "a second HelloRetryRequest", "RFC 9846 4.2.4"),
        "changed_after_retry": Entry(
            Alert.illegal_parameter, "{message} changes {field} after HelloRetryRequest", "RFC 9846 4.2.2 and 4.2.4"
        ),
        "cookie_in_first_hello": Entry(Alert.illegal_parameter, "the first ClientHello has a cookie", "RFC 9846 4.3.2"),
        "wrong_cookie": Entry(
            Alert.illegal_parameter, "the second ClientHello does not return our cookie", "RFC 9846 4.3.2"
        ),
        "bad_server_name": Entry(Alert.illegal_parameter, "ClientHello's server_name holds {reason}", "RFC 6066 3"),
        "duplicate_key_share": Entry(
            Alert.illegal_parameter, "ClientHello has two key shares for {group}", "RFC 9846 4.3.8"
        ),
        "share_outside_groups": Entry(
            Alert.illegal_parameter, "a key share for {group}, absent from supported_groups", "RFC 9846 4.3.8"
        ),
        "bad_key_share": Entry(
            Alert.illegal_parameter, "the key share for {group} is not a valid public value", "RFC 9846 4.3.8.2"
        ),
        # Hellos of TLS 1.2
        "no_null_compression": Entry(
            Alert.illegal_parameter, "ClientHello does not offer to leave data uncompressed", "RFC 5246 7.4.1.2"
        ),
        "no_uncompressed_points": Entry(
            Alert.illegal_parameter, "{message} does not know uncompressed points", "RFC 8422 5.1.2"
        ),
        "resumes_no_session": Entry(
            Alert.illegal_parameter, "ServerHello resumes a session that we never had", "RFC 9846 4.2.2"
        ),
        "resumption_with_other_suite": Entry(
            Alert.illegal_parameter, "ServerHello resumes our session with {suite}, not its own", "RFC 5246 7.4.1.3"
        ),
        "resumption_not_extended": Entry(
            Alert.handshake_failure,
            "{message} resumes a session without the extended main secret that this one has",
            "RFC 7627 5.3",
        ),
        "renegotiation_in_first_handshake": Entry(
            Alert.handshake_failure, "{message}'s renegotiation_info continues another handshake", "RFC 5746 3.4"
        ),
        "too_many_renegotiations": Entry(
            Alert.unexpected_message, "more than {limit} attempts to renegotiate", "RFC 5246 7.4.1.1"
        ),
        "psk_not_last": Entry(
            Alert.illegal_parameter, "pre_shared_key is not ClientHello's last extension", "RFC 9846 4.3.11"
        ),
        "bad_binder": Entry(
            Alert.decrypt_error, "the PSK binder does not verify: the client does not hold the PSK", "RFC 9846 4.3.11"
        ),
        "psk_not_offered": Entry(
            Alert.illegal_parameter, "ServerHello selects PSK {index}, which was not offered", "RFC 9846 4.3.11"
        ),
        "psk_for_other_hash": Entry(
            Alert.illegal_parameter,
            "ServerHello selects our PSK with suite {suite}, of another hash",
            "RFC 9846 4.3.11",
        ),
        "early_data_without_psk": Entry(
            Alert.illegal_parameter, "the server takes early data without the PSK that protects it", "RFC 9846 4.3.10"
        ),
        "early_data_and_old_version": Entry(
            Alert.protocol_version, "the server speaks no TLS 1.3 although its ticket was of that", "RFC 9846 4.3.10"
        ),
        "early_data_changed": Entry(
            Alert.illegal_parameter, "the server takes early data but changes {field}", "RFC 9846 4.3.10"
        ),
        "too_much_early_data": Entry(
            Alert.unexpected_message, "more early data than the ticket allows", "RFC 9846 4.3.10"
        ),
        "binder_count": Entry(
            Alert.illegal_parameter, "{binders} binders for {identities} PSK identities", "RFC 9846 4.3.11"
        ),
        "alpn_not_offered": Entry(
            Alert.illegal_parameter, "the server selected ALPN {protocol}, which was not offered", "RFC 7301 3.1"
        ),
        "alpn_not_one": Entry(
            Alert.illegal_parameter, "the server answered {count} ALPN protocols, not one", "RFC 7301 3.1"
        ),
        # Certificates, as messages; their contents are CertificateRejected's
        "empty_server_certificate": Entry(Alert.decode_error, "the server sent no certificate", "RFC 9846 4.5.1"),
        "certificate_context": Entry(
            Alert.illegal_parameter, "{message}'s certificate_request_context is wrong", "RFC 9846 4.5.1"
        ),
        "compression_not_offered": Entry(
            Alert.illegal_parameter, "CompressedCertificate uses {algorithm}, which was not offered", "RFC 8879 4"
        ),
        "compressed_too_large": Entry(
            Alert.bad_certificate,
            "CompressedCertificate announces {length} bytes once it is inflated; the limit is {limit}",
            "RFC 8879 4",
        ),
        "bad_compression": Entry(
            Alert.bad_certificate,
            "CompressedCertificate does not inflate to the {length} bytes that it announces: {reason}",
            "RFC 8879 4",
        ),
        "scheme_not_offered": Entry(
            Alert.illegal_parameter, "{message} uses {scheme}, which was not offered", "RFC 9846 4.5.2"
        ),
        "scheme_forbidden": Entry(
            Alert.illegal_parameter, "CertificateVerify uses {scheme}, which TLS 1.3 forbids there", "RFC 9846 4.5.2"
        ),
        "scheme_for_other_key": Entry(
            Alert.illegal_parameter,
            "{message} uses {scheme}, but the certificate has a {key} key",
            "RFC 9846 4.5.2",
        ),
        "key_for_other_suite": Entry(
            Alert.illegal_parameter, "the server's certificate has a {key} key, which is not for {suite}", "RFC 8422 2"
        ),
        "bad_signature": Entry(
            Alert.decrypt_error,
            "{message} does not check: the peer does not hold the key of the certificate it showed",
            "RFC 9846 4.5.2",
            "the peer's certificate and private key do not belong together",
        ),
        "bad_finished": Entry(Alert.decrypt_error, "Finished does not match what both sides saw", "RFC 9846 4.5.3"),
        # After the handshake
        "too_many_key_updates": Entry(
            Alert.unexpected_message, "more than {limit} KeyUpdates in a row", "RFC 9846 4.7.3"
        ),
        "reused_request_context": Entry(
            Alert.illegal_parameter,
            "two CertificateRequests have the same certificate_request_context",
            "RFC 9846 4.4.2",
        ),
        "too_many_certificate_requests": Entry(
            Alert.unexpected_message, "more than {limit} CertificateRequests {where}", "RFC 9846 4.7.2"
        ),
    }


class BadMessage(HandfastError):
    """The peer's bytes do not decode."""

    fault = Fault.PEER
    default_hint = "the peer's TLS stack is broken, or it does not speak TLS; --trace=bytes shows the bytes"
    catalogue: ClassVar[Mapping[str, Entry]] = {
        "truncated": Entry(Alert.decode_error, "{message} ends {missing} bytes early in {field}", "RFC 9846 3"),
        "trailing_bytes": Entry(Alert.decode_error, "{message} has {extra} bytes too many after {field}", "RFC 9846 3"),
        "length_out_of_bounds": Entry(
            Alert.decode_error, "{message}: {field} has {length} bytes, outside {minimum}..{maximum}", "RFC 9846 3"
        ),
        "bad_value": Entry(Alert.illegal_parameter, "{message}: {field} has the value {value}", "RFC 9846 3"),
        "unknown_message": Entry(
            Alert.unexpected_message, "a handshake message of the unknown type {type}", "RFC 9846 4"
        ),
        "not_tls": Entry(
            Alert.decode_error,
            "the peer does not speak TLS: its first bytes are {start}",
            "RFC 9846 5.1",
            "is this the TLS port? {guess}",
        ),
        "http_request": Entry(
            Alert.unexpected_message,
            "the client speaks plain HTTP to this TLS port: {start}",
            "",
            "the client must use an https:// address",
        ),
    }


class PeerIncompatible(HandfastError):
    """Both sides are well-formed and have nothing in common."""

    fault = Fault.NOBODY
    catalogue: ClassVar[Mapping[str, Entry]] = {
        "no_common_version": Entry(
            Alert.protocol_version,
            "no TLS version in common: the peer speaks {theirs}, we speak {ours}",
            "RFC 9846 4.3.1",
            "one of the two sides must be updated or allowed another version",
        ),
        "no_common_suite": Entry(
            Alert.handshake_failure,
            "no cipher suite in common: the peer offers {theirs}; we have {ours}",
            "RFC 9846 4.2.2",
            "widen --suites on one side",
        ),
        "no_common_group": Entry(
            Alert.handshake_failure,
            "no key exchange group in common: the peer offers {theirs}; we have {ours}",
            "RFC 9846 4.3.7",
            "widen --groups on one side",
        ),
        "no_common_scheme": Entry(
            Alert.handshake_failure,
            "no signature scheme fits: the peer accepts {theirs}; our {key} key can make {ours}",
            "RFC 9846 4.3.3",
            "use a certificate with a key of a kind that the peer accepts",
        ),
        "no_common_certificate": Entry(
            Alert.handshake_failure,
            "no suite in common fits our certificate: the peer offers {theirs}; our {key} key is for {ours}",
            "RFC 8422 2",
            "use a certificate with a key of the other kind, or widen --suites",
        ),
        "no_extended_main_secret": Entry(
            Alert.handshake_failure,
            "the {peer} does not speak the extended main secret, without which TLS 1.2 can be attacked",
            "RFC 7627 5",
            "update it; for old peers there is require_extended_main_secret=False",
        ),
        "no_secure_renegotiation": Entry(
            Alert.handshake_failure,
            "the server does not say that its renegotiation is secure",
            "RFC 5746 3.4",
            "update it: an attacker could put a request of his own before ours",
        ),
        "inappropriate_fallback": Entry(
            Alert.inappropriate_fallback,
            "the client fell back to {theirs}, and we speak more",
            "RFC 7507 3",
            "something on the path broke its first attempt, or it is very old",
        ),
        "no_common_application_protocol": Entry(
            Alert.no_application_protocol,
            "no ALPN protocol in common: the peer offers {theirs}; we have {ours}",
            "RFC 7301 3.2",
            "name the same protocol on both sides",
        ),
    }


class CertificateRejected(HandfastError):
    """We judged the peer's certificate and refused it. ``verdict`` says why, ``presented`` holds the chain.

    The code is the first reason of the verdict. RFC 9846 6.2 and the checklist of alerts per reason.
    """

    fault = Fault.PEER
    catalogue: ClassVar[Mapping[str, Entry]] = {
        code: Entry(alert, "{explanation}", "RFC 9846 4.5.1.1", "{advice}", meaning)
        for code, (alert, meaning) in {
            "certificate_required": (Alert.certificate_required, "no certificate was shown where one is required"),
            "expired": (Alert.certificate_expired, "a certificate of the chain has expired"),
            "not_yet_valid": (Alert.certificate_expired, "a certificate of the chain is not valid yet"),
            "unknown_issuer": (Alert.unknown_ca, "the chain ends at an issuer that is not trusted"),
            "same_name_other_key": (Alert.unknown_ca, "the issuer has a trusted root's name and another key"),
            "missing_intermediate": (Alert.unknown_ca, "an intermediate certificate was not sent"),
            "self_signed": (Alert.unknown_ca, "the certificate signs itself and is not among the roots"),
            "issuer_not_a_ca": (Alert.unknown_ca, "an issuer's certificate is not a CA's"),
            "path_too_long": (Alert.unknown_ca, "a CA of the chain allows fewer CAs below it"),
            "name_mismatch": (Alert.bad_certificate, "the server's certificate is for other names"),
            "no_subject_alternative_name": (Alert.bad_certificate, "the server's certificate has no subjectAltName"),
            "name_constraint": (Alert.bad_certificate, "a CA of the chain may not issue for this name"),
            "bad_signature": (Alert.bad_certificate, "a signature in the chain does not check"),
            "weak_signature_hash": (Alert.bad_certificate, "a signature in the chain uses MD5 or SHA-1"),
            "malformed": (Alert.bad_certificate, "a certificate does not parse"),
            "too_many_certificates": (Alert.bad_certificate, "more certificates were shown than are read"),
            "wrong_purpose": (Alert.unsupported_certificate, "extended key usage does not allow this role"),
            "key_may_not_sign": (Alert.unsupported_certificate, "key usage does not allow signatures"),
            "weak_key": (Alert.unsupported_certificate, "a key of the chain is too small, or too large to be checked"),
            "unsupported_key": (Alert.unsupported_certificate, "a key of the chain is of an unknown kind"),
            "unsupported_extension": (Alert.unsupported_certificate, "a critical extension is not understood"),
            "missing_required_extension": (Alert.bad_certificate, "an extension that the policy demands is missing"),
            "policy": (Alert.bad_certificate, "the verifier's policy refuses the chain for another reason"),
            "revoked": (Alert.certificate_revoked, "a certificate of the chain is revoked"),
            "revocation_unknown": (Alert.certificate_unknown, "whether the certificate is revoked cannot be found out"),
            "revocation_stale": (Alert.internal_error, "our own revocation list is out of date"),
            "revocation_unusable": (Alert.internal_error, "our own revocation list cannot be used"),
            "access_denied": (Alert.access_denied, "the certificate is good, and its owner is not allowed in"),
            "no_verdict": (Alert.internal_error, "our verifier returned something that is not a verdict"),
            "verifier_failed": (Alert.internal_error, "our verifier raised an error"),
            "no_roots": (Alert.unknown_ca, "no root is trusted here"),
        }.items()
    }

    def __init__(self, code: str, /, *, verdict: object, **details: object) -> None:
        super().__init__(code, **details)
        self.verdict = verdict
        if self.alert is Alert.internal_error:
            # The peer's certificate may be good: it is our own verifier or revocation data that failed.
            self.fault = Fault.OURS


class PeerRejected(HandfastError):
    """The peer sent a fatal alert, which is its whole explanation. ``description`` is the alert's number."""

    fault = Fault.PEER
    catalogue: ClassVar[Mapping[str, Entry]] = {
        name: Entry(None, "the peer refused with the alert {alert}{stage}", "RFC 9846 6.2", hint)
        for name, hint in {
            "unexpected_message": "the peer did not expect our message; --trace shows which it was",
            "bad_record_mac": "the peer could not decrypt our record; Go peers also say this when a peer's plaintext"
            " alert reaches them",
            "record_overflow": "a record was too large for the peer",
            "handshake_failure": "the peer found nothing acceptable: compare versions, suites, groups, signature"
            " schemes; a TLS 1.2 server also says this when a client certificate is missing",
            "bad_certificate": "the peer refuses our certificate: name, dates or form; its log says which",
            "unsupported_certificate": "our certificate has the wrong purpose (extended key usage) or key type",
            "certificate_revoked": "our certificate is revoked",
            "certificate_expired": "our certificate has expired, or the peer's revocation list has",
            "certificate_unknown": "the peer refuses our certificate without saying why",
            "illegal_parameter": "the peer calls a field of ours illegal; --trace=fields shows what was sent",
            "unknown_ca": "the peer does not trust the CA of our certificate, or an intermediate was not sent",
            "access_denied": "our certificate is valid, and its owner is not allowed in",
            "decode_error": "the peer could not decode our message",
            "decrypt_error": "a signature or Finished of ours failed at the peer; does our key fit our certificate?",
            "protocol_version": "the peer does not speak a version that we offer",
            "insufficient_security": "the peer demands stronger parameters",
            "internal_error": "the peer failed for reasons of its own; its log may tell",
            "inappropriate_fallback": "the peer speaks a higher version than this retry offered",
            "user_canceled": "the peer gave up",
            "missing_extension": "the peer misses an extension of ours",
            "unsupported_extension": "the peer got an extension that it did not ask for",
            "unrecognized_name": "the server has no certificate for the name that we asked for",
            "bad_certificate_status_response": "the peer refuses our OCSP response",
            "unknown_psk_identity": "the peer does not know our pre-shared key",
            "certificate_required": "the server requires a client certificate and got none; give one with --cert and"
            " --key",
            "no_application_protocol": "the peer speaks none of our ALPN protocols",
            "ech_required": "the peer requires Encrypted Client Hello",
            "general_error": "the peer failed and says no more",
            "no_renegotiation": "the peer does not renegotiate",
            "unknown_alert": "the alert is not a registered one",
        }.items()
    }


class ConnectionLost(HandfastError):
    """The transport ended or went silent."""

    fault = Fault.NETWORK
    catalogue: ClassVar[Mapping[str, Entry]] = {
        "unexpected_eof": Entry(
            None,
            "the connection ended without close_notify after {received} bytes of application data{cut}",
            "RFC 9846 6.1",
            "the data may be truncated; a protocol with its own lengths can tell",
        ),
        "eof_in_handshake": Entry(
            None,
            "the peer closed the connection during the handshake, after {stage}",
            "",
            "it said nothing; its log, or a server that speaks TLS at this address, may tell",
        ),
        "reset": Entry(None, "the connection was reset {stage}", "", "the peer's process ended or closed in a hurry"),
        "connect_failed": Entry(None, "cannot connect to {address}: {reason}", "", "is the server running there?"),
        "handshake_timeout": Entry(
            Alert.user_canceled,
            "the handshake did not finish within {seconds:g} s, waiting for {waiting}",
            "",
            "the peer is silent or slow; is this the TLS port?",
        ),
        "given_up": Entry(
            Alert.user_canceled,
            "this side closed the connection during the handshake, waiting for {waiting}",
            "RFC 9846 6.1",
            "let the handshake finish before close()",
        ),
        "timeout": Entry(None, "nothing came within {seconds:g} s", "", "the peer is silent"),
        "shutdown_timeout": Entry(
            None,
            "the peer took nothing for {seconds:g} s after we closed; {unsent} bytes were still to be sent",
            "",
            "the peer does not read; what it did not take is lost",
        ),
        "too_slow": Entry(
            None, "not finished within {seconds:g} s, the time allowed", "", "allow more with --max-time"
        ),
        "no_answer": Entry(
            None,
            "the client {did} instead of answering the request for its certificate",
            "RFC 9846 4.7.2",
            "its user may have been asked and have left; its log may tell",
        ),
        "closed_early": Entry(
            None,
            "the peer closed in order after {received} bytes of application data; {expected} were expected",
            "",
            "the peer had no more to say; its log may tell why",
        ),
    }


class LocalFailure(HandfastError):
    """Our own signer, verifier or code failed; the peer learns internal_error and no more."""

    fault = Fault.OURS
    default_hint = "the log of this side holds the reason"
    catalogue: ClassVar[Mapping[str, Entry]] = {
        "signing_failed": Entry(
            Alert.internal_error, "our signer failed: {reason}", "", "check that the key and its holder work"
        ),
        "wrong_signature": Entry(
            Alert.internal_error,
            "our signer made a signature that our own certificate does not verify",
            "",
            "certificate and key do not belong together, or the signer is broken",
        ),
        "need_failed": Entry(Alert.internal_error, "{need} failed: {reason}"),
        "connection_exhausted": Entry(
            Alert.close_notify,
            "the write key of a TLS 1.2 connection is near its limit of {limit} records",
            "RFC 9846 5.5",
        ),
        "key_exhausted": Entry(
            Alert.internal_error, "the write key has protected {limit} records, its limit", "RFC 9846 5.5"
        ),
        "internal_error": Entry(
            Alert.internal_error, "handfast failed: {reason}", "", "this is a bug; please report it with --trace"
        ),
    }


class ConfigError(HandfastError):
    """A local file or option is unusable; the sentence names it."""

    fault = Fault.OURS
    catalogue: ClassVar[Mapping[str, Entry]] = {
        "file_missing": Entry(None, "{path}: no such file", "", "check the path"),
        "file_unreadable": Entry(None, "{path}: {reason}", "", "check the file's permissions", "a file cannot be read"),
        "file_exists": Entry(None, "{path}: exists already", "", "give another path, or ask for it to be replaced"),
        "file_unwritable": Entry(None, "{path}: cannot be written: {reason}", "", "check the path and its permissions"),
        "not_a_regular_file": Entry(
            None, "{path}: is {kind}, not a regular file", "", "give the path of a regular file, or of none yet"
        ),
        "not_a_directory": Entry(None, "{path}: is {kind}, not a directory", "", "give the path of a directory itself"),
        "foreign_file": Entry(
            None, "{path}: belongs to another user, who could read what is written to it", "", "give another path"
        ),
        "no_certificate": Entry(
            None, "{path}: holds no certificate", "", "a PEM file with BEGIN CERTIFICATE is needed"
        ),
        "bad_certificate": Entry(None, "{path}: a certificate in it does not parse: {reason}", "", "export it again"),
        "no_crl": Entry(
            None, "{path}: holds no revocation list", "", "a file with BEGIN X509 CRL is needed, or a list in DER"
        ),
        "bad_crl": Entry(
            None, "{path}: a revocation list in it cannot be used: {reason}", "", "fetch it again from the CA"
        ),
        "not_a_ca": Entry(None, "{path}: this certificate is not a CA's", "", "give the certificate of a CA"),
        "no_key": Entry(None, "{path}: holds no private key", "", "a PEM file with BEGIN PRIVATE KEY is needed"),
        "bad_key": Entry(None, "{path}: the private key does not parse: {reason}", "", "export it again"),
        "der_as_pem": Entry(
            None, "{path}: is DER (binary), not PEM", "", "convert it: openssl {command} -inform DER -in {path}"
        ),
        "swapped": Entry(
            None,
            "{cert} holds a private key and {key} a certificate: the two are exchanged",
            "",
            "swap --cert and --key",
        ),
        "key_mismatch": Entry(
            None,
            "{key}: this key does not belong to the certificate in {cert}",
            "",
            "use the key that the certificate was made for",
        ),
        "chain_order": Entry(
            None, "{cert}: the key fits certificate no. {position}, the leaf must come first", "", "reorder the file"
        ),
        "password_needed": Entry(None, "{path}: the key is encrypted", "", "give --key-password-file"),
        "password_wrong": Entry(None, "{path}: the password does not open the key", "", "check the password"),
        "unsupported_key": Entry(
            None,
            "{path}: {reason}",
            "",
            "use ECDSA P-256, P-384, P-521, Ed25519, Ed448 or RSA",
            "a private key is of a kind that handfast cannot use",
        ),
        "weak_key": Entry(
            None, "{path}: {reason}", "", "make a new key of at least 2048 bits", "a private key is too short"
        ),
        "bad_option": Entry(None, "{option}: {reason}", "", "{advice}", "an option's value cannot be used"),
        "no_credentials": Entry(None, "a server needs a certificate and its key", "", "give --cert and --key"),
        "not_a_capture": Entry(
            None, "this is no capture: neither pcapng nor pcap", "", "tcpdump -w, Wireshark and --pcapng write captures"
        ),
        "damaged_capture": Entry(
            None, "the capture is damaged at byte {offset}: {reason}", "", "what stands before that can be used"
        ),
    }


class ApiMisuse(HandfastError):
    """The calling program used handfast wrongly; never caused by what a peer sends."""

    fault = Fault.CALLER
    default_hint = "see docs/api.md"
    catalogue: ClassVar[Mapping[str, Entry]] = {
        "not_connected": Entry(None, "send() before the handshake is complete"),
        "closed_for_writing": Entry(None, "send() after close()"),
        "reentrant": Entry(None, "a connection method was called from inside one of its own callbacks"),
        "no_need": Entry(None, "there is no pending need to answer"),
        "foreign_need": Entry(None, "this answer belongs to another need, or to one already answered"),
        "cannot_await": Entry(
            None,
            "{need} returned an awaitable, and this side cannot await",
            "",
            "use the asyncio interface, or a synchronous signer or verifier",
        ),
        "nobody_answers": Entry(
            None, "{need} was deferred, and nobody is there to answer it", "", "give on_need, a coroutine function"
        ),
        "cannot_request": Entry(
            None,
            "no certificate can be requested now: {reason}",
            "RFC 9846 4.7.2",
            "a client offers it with post_handshake_auth",
        ),
        "no_exporter_12": Entry(
            None, "without the extended main secret a TLS 1.2 connection exports nothing that is its own"
        ),
        "no_key_update": Entry(None, "TLS 1.2 has no way to change the keys of a connection"),
        "no_exporter": Entry(None, "exported keying material exists only after the handshake"),
        "no_channel_binding": Entry(None, "there is no channel binding {kind}: {reason}"),
        "extraction_not_enabled": Entry(
            None, "the configuration does not let secrets be extracted", "", "set enable_secret_extraction"
        ),
        "cannot_extract": Entry(None, "the secrets cannot be extracted now: {reason}"),
        "secrets_extracted": Entry(None, "the secrets were extracted: whoever has them goes on with this connection"),
        "bad_argument": Entry(None, "{reason}", meaning="an argument's value cannot be used"),
    }
