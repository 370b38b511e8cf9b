"""Who refused whom, and transports that end."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from handfast.errors.base import Entry, Fault, HandfastError
from handfast.registry import AlertDescription as Alert

if TYPE_CHECKING:
    from collections.abc import Mapping


class CertificateRejected(HandfastError):
    """We judged the peer's certificate and refused it. ``verdict`` says why, ``presented`` holds the chain.

    The code is the first reason of the verdict. RFC 9846 6.2 and the checklist of alerts per reason.
    """

    fault = Fault.PEER
    default_hint = "compare the certificate that was shown with what is trusted here"
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
            "not_a_root": (Alert.unknown_ca, "the chain ends at a trusted certificate that is no root"),
            "other_issuer_named": (Alert.unknown_ca, "the chain's issuer is not the one that a certificate names"),
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
            "ocsp_missing": (Alert.bad_certificate_status_response, "no OCSP response came, and one is required"),
            "ocsp_bad": (Alert.bad_certificate_status_response, "the OCSP response that came proves nothing"),
            "ocsp_stale": (Alert.bad_certificate_status_response, "the OCSP response that came is out of date"),
            "ocsp_unknown": (Alert.bad_certificate_status_response, "its CA does not know the certificate"),
            "pin_mismatch": (Alert.bad_certificate, "neither the peer's key nor its certificate is pinned"),
            "key_changed": (Alert.bad_certificate, "the server has another key than the one it was first met with"),
            "spiffe_id": (Alert.bad_certificate, "the SPIFFE ID is missing, malformed or of another trust domain"),
            "access_denied": (Alert.access_denied, "the certificate is good, and its owner is not allowed in"),
            "no_verdict": (Alert.internal_error, "our verifier returned something that is not a verdict"),
            "verifier_failed": (Alert.internal_error, "our verifier raised an error"),
            "unusable_root": (Alert.unknown_ca, "a trusted root cannot be used"),
            "no_roots": (Alert.unknown_ca, "no root is trusted here"),
        }.items()
    }

    def __init__(self, code: str, /, *, verdict: object, **details: object) -> None:
        super().__init__(code, **details)
        self.verdict = verdict
        if self.alert is Alert.internal_error:
            # The peer's certificate may be good: it is our own verifier or revocation data that failed.
            self.fault = Fault.OURS


_SERVER_HINTS = {
    "unknown_ca": "the client does not trust the CA of our certificate, or an intermediate was not sent; give the"
    " client the CA, and send the intermediates",
    "protocol_version": "the client speaks no version that the configuration does; its versions say which",
    "missing_extension": 'the client misses an extension of ours; a Trace with detail="fields" shows what was sent',
    "handshake_failure": "the client found nothing acceptable: compare versions, suites, groups and signature schemes",
}


class PeerRejected(HandfastError):
    """The peer sent a fatal alert, which is its whole explanation; ``code`` is its name.

    What it objects to is as often ours: the certificate we showed, or did not show.
    """

    fault = Fault.DECISION
    catalogue: ClassVar[Mapping[str, Entry]] = {
        name: Entry(
            None,
            "the peer refused with the alert {alert}{stage}",
            "RFC 9846 6.2",
            hint,
            server_hint=_SERVER_HINTS.get(name, ""),
        )
        for name, hint in {
            "unexpected_message": "the peer did not expect our message; a Trace shows which it was",
            "bad_record_mac": "the peer could not decrypt our record; Go peers also say this when a peer's plaintext"
            " alert reaches them",
            "record_overflow": "a record was too large for the peer",
            "handshake_failure": "the peer found nothing acceptable: compare versions, suites, groups, signature"
            " schemes; a TLS 1.2 server also says this when a client certificate is missing",
            "bad_certificate": "the peer refuses our certificate: name, dates or form; its log says which",
            "unsupported_certificate": "our certificate has the wrong purpose (extended key usage) or key type",
            "certificate_revoked": "our certificate is revoked; have another issued",
            "certificate_expired": "our certificate has expired, or the peer's revocation list has",
            "certificate_unknown": "the peer refuses our certificate without saying why",
            "illegal_parameter": 'the peer calls a field of ours illegal; a Trace with detail="fields" shows what was'
            " sent",
            "unknown_ca": "the peer does not trust the CA of our certificate, or an intermediate was not sent",
            "access_denied": "our certificate is valid, and its owner is not allowed in",
            "decode_error": "the peer could not decode our message",
            "decrypt_error": "a signature or Finished of ours failed at the peer; does our key fit our certificate?",
            "protocol_version": "the peer speaks no version that we offer: TLS 1.3 and 1.2, or what versions says",
            "insufficient_security": "the peer demands stronger parameters",
            "internal_error": "the peer failed for reasons of its own; its log may tell",
            "inappropriate_fallback": "the peer speaks a higher version than this retry offered",
            "user_canceled": "the peer gave up",
            "missing_extension": "the peer misses an extension of ours; a server of several names wants to be called by"
            " name, not by address",
            "unsupported_extension": "the peer got an extension that it did not ask for",
            "unrecognized_name": "the server has no certificate for the name that we asked for",
            "bad_certificate_status_response": "the peer refuses our OCSP response",
            "unknown_psk_identity": "the peer does not know our pre-shared key",
            "certificate_required": "the server requires a client certificate and got none; give one in credentials",
            "no_application_protocol": "the peer speaks none of our ALPN protocols; give one of its in"
            " application_protocols",
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
            "the connection ended without close_notify after {received} bytes of application data{where}",
            "RFC 9846 6.1",
            "the data may be truncated; a protocol with its own lengths can tell",
        ),
        "eof_in_handshake": Entry(
            None,
            "the peer closed the connection during the handshake, after {stage}",
            "",
            "it said nothing; its log, or a server that speaks TLS at this address, may tell",
            server_hint="see the client's log: a scanner or a check that the port is open leaves so, and a client that"
            " does not trust our certificate may",
        ),
        "reset": Entry(None, "the connection was reset {stage}", "", "the peer's process ended or closed in a hurry"),
        "connect_failed": Entry(
            None, "cannot connect to {address}: {reason}", "", "check host, port and network; is the server running?"
        ),
        "handshake_timeout": Entry(
            Alert.user_canceled,
            "the handshake did not finish within {seconds:g} s, waiting for {waiting}",
            "",
            "the peer is silent or slow; is this the TLS port?",
            server_hint="the client is silent or slow, as a scanner is; handshake_timeout says how long it may be",
        ),
        "given_up": Entry(
            Alert.user_canceled,
            "this side closed the connection during the handshake, waiting for {waiting}",
            "RFC 9846 6.1",
            "let the handshake finish before close()",
        ),
        "interrupted": Entry(
            None,
            "an exception interrupted this side while it read or wrote: how far it had come is not known",
            "",
            "begin a new connection; let a handler of signals set a flag, and write with a timeout",
        ),
        "timeout": Entry(None, "nothing came within {seconds:g} s", "", "the peer is silent"),
        "shutdown_timeout": Entry(
            None,
            "the peer took nothing for {seconds:g} s after we closed; {unsent} bytes were still to be sent",
            "",
            "the peer does not read; what it did not take is lost",
        ),
        "too_slow": Entry(None, "not finished within {seconds:g} s, the time allowed", "", "allow more time"),
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
