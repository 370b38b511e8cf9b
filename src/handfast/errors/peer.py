"""What a peer did that it must not, and what the two sides do not have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from handfast.errors.base import Entry, Fault, HandfastError
from handfast.registry import AlertDescription as Alert

if TYPE_CHECKING:
    from collections.abc import Mapping


# For entries whose limit no RFC sets: handfast.limits has it, with the source of its value.
_OUR_LIMIT = "the limit is handfast's own, not the RFC's (handfast.limits); a peer that needs more is worth a report"


class PeerMisbehaved(HandfastError):
    """The peer did what the RFC forbids, or a signature, MAC or Finished of its does not check."""

    fault = Fault.PEER
    default_hint = (
        "the peer's TLS stack is broken or something on the path alters the bytes; a Trace shows its messages"
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
            Alert.unexpected_message,
            "more than {limit} empty records in a row, our limit",
            "RFC 9846 5.1",
            _OUR_LIMIT,
            fault=Fault.NOBODY,
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
            Alert.unexpected_message,
            "more than {limit} change_cipher_spec records, our limit",
            "RFC 9846 5",
            _OUR_LIMIT,
            fault=Fault.NOBODY,
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
            Alert.unexpected_message,
            "the peer protected more than {limit} records with one key, our limit",
            "RFC 9846 5.5",
            "the peer must change its keys in time; the limit is twice what the RFC allows an honest one",
        ),
        # Alerts
        "bad_alert": Entry(Alert.decode_error, "an alert of {length} bytes; an alert has 2", "RFC 9846 6"),
        "too_many_warnings": Entry(
            Alert.unexpected_message,
            "more than {limit} warnings, our limit",
            "RFC 5246 7.2.2",
            _OUR_LIMIT,
            fault=Fault.NOBODY,
        ),
        "too_many_user_canceled": Entry(
            Alert.unexpected_message,
            "more than {limit} user_canceled alerts, our limit",
            "RFC 9846 6.1",
            _OUR_LIMIT,
            fault=Fault.NOBODY,
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
            Alert.illegal_parameter,
            "a handshake message of {length} bytes exceeds our limit of {limit}",
            "RFC 9846 4",
            _OUR_LIMIT,
            fault=Fault.NOBODY,
        ),
        "handshake_too_large": Entry(
            Alert.illegal_parameter,
            "the handshake exceeds {limit} bytes in all, our limit",
            "RFC 9846 4",
            _OUR_LIMIT,
            fault=Fault.NOBODY,
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
        "legacy_version": Entry(Alert.protocol_version, "{message} has legacy_version {version:#06x}", "RFC 9846 4.2"),
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
            Alert.illegal_parameter,
            "{message} selects version {version}, which was not offered; we offer {ours}",
            "RFC 9846 4.3.1",
            "the server must choose among these; it is broken, or what it wants was left out of versions",
        ),
        "suite_not_offered": Entry(
            Alert.illegal_parameter,
            "{message} selects suite {suite}, which was not offered; we offer {ours}",
            "RFC 9846 4.2.3",
            "the server must choose among these: TLS 1.3's, and of TLS 1.2's ECDHE with AEAD only (no RSA key exchange,"
            " no CBC)",
        ),
        "group_not_offered": Entry(
            Alert.illegal_parameter,
            "{message} names group {group}, which was not offered; we offer {ours}",
            "RFC 9846 4.3.8",
            "the server must choose among these; it is broken, or what it wants was left out of groups",
        ),
        "share_not_offered": Entry(
            Alert.illegal_parameter,
            "ServerHello's key share is for group {group}, we sent none; we sent one for {ours}",
            "RFC 9846 4.3.8",
            "the server must choose among these; it is broken, or what it wants was left out of groups",
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
            Alert.unexpected_message,
            "more than {limit} attempts to renegotiate, our limit",
            "RFC 5246 7.4.1.1",
            "renegotiation is never granted here: have the peer ask for what it wants in the first handshake",
            fault=Fault.NOBODY,
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
            Alert.illegal_parameter,
            "the server selected ALPN {protocol}, which was not offered; we offer {ours}",
            "RFC 7301 3.1",
            "the server must choose among these; it is broken, or what it wants was left out of application_protocols",
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
            "CompressedCertificate announces {length} bytes once it is inflated; our limit is {limit}",
            "RFC 8879 4",
            _OUR_LIMIT,
            fault=Fault.NOBODY,
        ),
        "bad_compression": Entry(
            Alert.bad_certificate,
            "CompressedCertificate does not inflate to the {length} bytes that it announces: {reason}",
            "RFC 8879 4",
        ),
        "scheme_not_offered": Entry(
            Alert.illegal_parameter,
            "{message} uses {scheme}, which was not offered; we offer {ours}",
            "RFC 9846 4.5.2",
            "the peer must sign with one of these; the kind of its key, or the hash, may be one not spoken here",
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
            Alert.unexpected_message,
            "more than {limit} KeyUpdates in a row, our limit",
            "RFC 9846 4.7.3",
            _OUR_LIMIT,
            fault=Fault.NOBODY,
        ),
        "reused_request_context": Entry(
            Alert.illegal_parameter,
            "two CertificateRequests have the same certificate_request_context",
            "RFC 9846 4.4.2",
        ),
        "too_many_certificate_requests": Entry(
            Alert.unexpected_message,
            "more than {limit} CertificateRequests {where}, our limit",
            "RFC 9846 4.7.2",
            _OUR_LIMIT,
            fault=Fault.NOBODY,
        ),
    }


class BadMessage(HandfastError):
    """The peer's bytes do not decode."""

    fault = Fault.PEER
    default_hint = (
        'the peer\'s TLS stack is broken, or it does not speak TLS; a Trace with detail="bytes" shows the bytes'
    )
    catalogue: ClassVar[Mapping[str, Entry]] = {
        "truncated": Entry(Alert.decode_error, "{message} ends {missing} bytes early in {field}", "RFC 9846 3"),
        "trailing_bytes": Entry(Alert.decode_error, "{message} has {extra} bytes too many after {field}", "RFC 9846 3"),
        "length_out_of_bounds": Entry(
            Alert.decode_error, "{message}: {field} has {length} bytes, outside {minimum}..{maximum}", "RFC 9846 3"
        ),
        "too_many_items": Entry(
            Alert.illegal_parameter, "{message}: {field} has more than {limit} items; no more are read", "RFC 9846 6.2"
        ),
        "bad_value": Entry(Alert.illegal_parameter, "{message}: {field} has the value {value}", "RFC 9846 3"),
        "unknown_message": Entry(
            Alert.unexpected_message, "a handshake message of the unknown type {type}", "RFC 9846 4"
        ),
        "not_tls": Entry(
            Alert.decode_error,
            "the peer does not speak TLS but is {who}: its first bytes are {start}",
            "RFC 9846 5.1",
            "{advice}",
            server_hint="the client has to speak TLS to this port: look at what it was told to connect to",
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
            "widen suites on one side",
        ),
        "no_common_group": Entry(
            Alert.handshake_failure,
            "no key exchange group in common: the peer offers {theirs}; we have {ours}",
            "RFC 9846 4.3.7",
            "widen groups on one side",
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
            "use a certificate with a key of the other kind, or widen suites",
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
        "no_server_name": Entry(
            Alert.missing_extension,
            "the client asks for no server by name, and there is no default here",
            "RFC 9846 9.2",
            "clients that come by address send no name: give a default for them, or have them come by name",
        ),
        "unknown_server_name": Entry(
            Alert.unrecognized_name, "no server here is called {name}", "RFC 6066 3", "add the name, or a default"
        ),
        "callback_refused": Entry(
            Alert.unrecognized_name,
            "the context's sni_callback refused the client, which asks for {name}",
            "RFC 6066 3",
            "the callback says with which alert; one that raises is reported by sys.unraisablehook",
        ),
        "no_common_application_protocol": Entry(
            Alert.no_application_protocol,
            "no ALPN protocol in common: the peer offers {theirs}; we have {ours}",
            "RFC 7301 3.2",
            "name the same protocol on both sides",
        ),
    }
