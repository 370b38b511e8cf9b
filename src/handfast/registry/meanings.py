"""What the registered numbers mean, each in one sentence with its section.

Where many members are of one family, the sentence is the family's: a cipher suite has one for each of its parts. Alerts
say what their sender found; which of them handfast sends for what is in ``handfast.errors``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.registry import (
    AlertDescription,
    AlertLevel,
    CertificateCompressionAlgorithm,
    CertificateStatusType,
    CertificateType,
    CipherSuite,
    ClientCertificateType,
    ContentType,
    ECCurveType,
    ECPointFormat,
    ExtensionType,
    KeyUpdateRequest,
    NamedGroup,
    NameType,
    ProtocolVersion,
    PskKeyExchangeMode,
    Registry,
    SignatureScheme,
    is_grease,
)
from handfast.registry.sentences import Explained, split

if TYPE_CHECKING:
    from collections.abc import Mapping

GREASE = "A reserved number without a meaning, sent so that peers keep ignoring what they do not know. RFC 8701 2."
UNKNOWN_EXTENSION = "An extension that handfast does not know. RFC 9846 4.3."
MISPLACED_EXTENSION = "A known extension in a message for which it is not defined. RFC 9846 4.3."

CONTENT_TYPES: Mapping[int, str] = {
    ContentType.change_cipher_spec: (
        "In TLS 1.2 the sender's next record is encrypted; in TLS 1.3 it means nothing and pleases middleboxes."
        " RFC 9846 5."
    ),
    ContentType.alert: "The record holds an alert: the sender closes, or says what went wrong. RFC 9846 6.",
    ContentType.handshake: "The record holds handshake messages, or parts of them. RFC 9846 4.",
    ContentType.application_data: (
        "The record holds data of the application, or in TLS 1.3 anything at all, encrypted. RFC 9846 5.2."
    ),
}

ALERT_LEVELS: Mapping[int, str] = {
    AlertLevel.warning: "The connection may go on; TLS 1.3 does not look at the level. RFC 9846 6.",
    AlertLevel.fatal: "The connection ends here; TLS 1.3 does not look at the level. RFC 9846 6.",
}

ALERTS: Mapping[int, str] = {
    AlertDescription.close_notify: "The sender sends no more data: the orderly end of its direction. RFC 9846 6.1.",
    AlertDescription.unexpected_message: "The sender got a message that must not come at this point. RFC 9846 6.2.",
    AlertDescription.bad_record_mac: (
        "The sender could not decrypt a record: it was changed on the way, or the keys differ. RFC 9846 6.2."
    ),
    AlertDescription.record_overflow: "The sender got a record that is longer than allowed. RFC 9846 6.2.",
    AlertDescription.handshake_failure: "The sender finds no parameters that both sides accept. RFC 9846 6.2.",
    AlertDescription.bad_certificate: (
        "The sender got a certificate that is damaged, or whose signatures do not check. RFC 9846 6.2."
    ),
    AlertDescription.unsupported_certificate: (
        "The sender got a certificate of a kind, or for a purpose, that it cannot use. RFC 9846 6.2."
    ),
    AlertDescription.certificate_revoked: "The sender got a certificate that its CA has revoked. RFC 9846 6.2.",
    AlertDescription.certificate_expired: (
        "The sender got a certificate that has expired or is not valid yet. RFC 9846 6.2."
    ),
    AlertDescription.certificate_unknown: (
        "The sender does not accept a certificate for a reason that it does not name. RFC 9846 6.2."
    ),
    AlertDescription.illegal_parameter: (
        "The sender got a field with a value that is not allowed or does not fit the others. RFC 9846 6.2."
    ),
    AlertDescription.unknown_ca: "The sender does not know, or does not trust, the CA of a certificate. RFC 9846 6.2.",
    AlertDescription.access_denied: ("The sender accepts the certificate, and denies its holder access. RFC 9846 6.2."),
    AlertDescription.decode_error: "The sender got a message that does not decode. RFC 9846 6.2.",
    AlertDescription.decrypt_error: (
        "The sender found a signature, a Finished or a PSK binder to be wrong. RFC 9846 6.2."
    ),
    AlertDescription.protocol_version: "The sender speaks none of the versions that the peer offers. RFC 9846 6.2.",
    AlertDescription.insufficient_security: (
        "The sender, a server, asks for stronger parameters than the client offers. RFC 9846 6.2."
    ),
    AlertDescription.internal_error: "The sender had trouble of its own, which is not the peer's fault. RFC 9846 6.2.",
    AlertDescription.inappropriate_fallback: (
        "The sender, a server, speaks a higher version than a client offers that has tried again. RFC 7507 3."
    ),
    AlertDescription.user_canceled: "The sender gives up the handshake, without any fault in it. RFC 9846 6.1.",
    AlertDescription.no_renegotiation: (
        "The sender does not want a second handshake in this connection of TLS 1.2. RFC 5246 7.2.2."
    ),
    AlertDescription.missing_extension: "The sender got a message without an extension that it needs. RFC 9846 6.2.",
    AlertDescription.unsupported_extension: (
        "The sender got an extension that it had not offered, or that is forbidden there. RFC 9846 6.2."
    ),
    AlertDescription.unrecognized_name: "The sender, a server, has nothing under the name asked for. RFC 6066 3.",
    AlertDescription.bad_certificate_status_response: (
        "The sender, a client, got an OCSP response that is invalid or not good enough. RFC 6066 8."
    ),
    AlertDescription.unknown_psk_identity: (
        "The sender, a server, needs a pre-shared key and knows none of those offered. RFC 9846 6.2."
    ),
    AlertDescription.certificate_required: (
        "The sender, a server, requires a certificate, and the client sent none. RFC 9846 6.2."
    ),
    AlertDescription.general_error: "The sender failed for a reason that no other alert names. RFC 9846 6.2.",
    AlertDescription.no_application_protocol: (
        "The sender, a server, speaks none of the application protocols offered. RFC 7301 3.2."
    ),
    AlertDescription.ech_required: (
        "The sender, a client, learned that the server did not decrypt its Encrypted ClientHello. RFC 9849 6.1.6."
    ),
}

# Those that no message has a form for: the others say themselves what they are, in ``handfast.wire.extensions``.
EXTENSIONS: Mapping[int, str] = {
    ExtensionType.use_srtp: "The sender wants keys for SRTP, which protects calls. RFC 5764 4.1.",
    ExtensionType.heartbeat: "Whether the peer may send heartbeat messages, which handfast never does. RFC 6520 2.",
    ExtensionType.status_request_v2: "An older way to ask for several OCSP responses at once. RFC 6961 2.",
}

# By the start of the member's name.
_GROUPS: Mapping[str, str] = {
    "secp": "A NIST curve, for an elliptic-curve Diffie-Hellman exchange. RFC 9846 4.3.8.2.",
    "x25519": "X25519, an elliptic-curve Diffie-Hellman exchange on Curve25519. RFC 7748 5.",
    "x448": "X448, an elliptic-curve Diffie-Hellman exchange on Curve448. RFC 7748 5.",
    "brainpool": "A Brainpool curve, for an elliptic-curve Diffie-Hellman exchange. RFC 8734 3.",
    "ffdhe": "A finite-field Diffie-Hellman exchange modulo a prime that the name gives the size of. RFC 7919 2.",
    "MLKEM": "ML-KEM, a key exchange that quantum computers are not known to break. draft-ietf-tls-mlkem.",
    "SecP": "A NIST curve and ML-KEM together: safe as long as either of them is. draft-ietf-tls-ecdhe-mlkem.",
    "X25519MLKEM": "X25519 and ML-KEM-768 together: safe as long as either of them is. draft-ietf-tls-ecdhe-mlkem.",
}
_LEGACY = "An RSA signature in PKCS#1 v1.5 by a client of TLS 1.3 whose key can do no better. RFC 9963 3."
_SCHEMES: Mapping[str, str] = {
    "rsa_pkcs1": "An RSA signature in PKCS#1 v1.5, which TLS 1.3 keeps for certificates alone. RFC 9846 4.3.3.",
    "rsa_pkcs1_sha1": "An RSA signature over SHA-1, which can be forged: only to be named. RFC 9846 4.3.3.",
    "rsa_pkcs1_sha256_legacy": _LEGACY,
    "rsa_pkcs1_sha384_legacy": _LEGACY,
    "rsa_pkcs1_sha512_legacy": _LEGACY,
    "rsa_pss_rsae": "An RSA-PSS signature with an ordinary RSA key. RFC 9846 4.3.3.",
    "rsa_pss_pss": "An RSA-PSS signature with a key that its certificate keeps for RSA-PSS. RFC 9846 4.3.3.",
    "ecdsa": "An ECDSA signature, in TLS 1.3 with a key on the curve that the name gives. RFC 9846 4.3.3.",
    "ecdsa_sha1": "An ECDSA signature over SHA-1, which can be forged: only to be named. RFC 9846 4.3.3.",
    "ecdsa_brainpool": "An ECDSA signature with a key on a Brainpool curve. RFC 8734 4.",
    "dsa": "A DSA signature, a kind that has gone out of use: only to be named. RFC 5246 7.4.1.4.1.",
    "ed25519": "An Ed25519 signature, on the curve that X25519 uses. RFC 9846 4.3.3.",
    "ed448": "An Ed448 signature, on the curve that X448 uses. RFC 9846 4.3.3.",
    "mldsa": "An ML-DSA signature, which quantum computers are not known to forge. draft-ietf-tls-mldsa.",
}

# The parts of a suite's name: how keys are agreed, what protects the records, what is hashed with.
SUITE_KEY_EXCHANGES: Mapping[str, str] = {
    "": "A suite of TLS 1.3: key exchange and signature are agreed in extensions. RFC 9846 B.4.",
    "RSA": "The client encrypts a secret to the server's RSA key: without forward secrecy. RFC 5246 8.1.1.",
    "DHE_RSA": "Diffie-Hellman with fresh keys, signed with the server's RSA key. RFC 5246 8.1.2.",
    "ECDHE_RSA": "Elliptic-curve Diffie-Hellman with fresh keys, signed with the server's RSA key. RFC 8422 2.2.",
    "ECDHE_ECDSA": (
        "Elliptic-curve Diffie-Hellman with fresh keys, signed with the server's ECDSA or EdDSA key. RFC 8422 2.1."
    ),
}
SUITE_CIPHERS: Mapping[str, str] = {
    "AES_128_GCM": "AES with a 128-bit key in Galois/Counter Mode encrypts and authenticates records. RFC 5116 5.1.",
    "AES_256_GCM": "AES with a 256-bit key in Galois/Counter Mode encrypts and authenticates records. RFC 5116 5.2.",
    "AES_128_CCM": "AES with a 128-bit key in CCM mode encrypts and authenticates records. RFC 5116 5.3.",
    "AES_128_CCM_8": (
        "AES with a 128-bit key in CCM mode protects records, with tags of 8 bytes instead of 16. RFC 6655 6.1."
    ),
    "AES_128_CBC": "AES with a 128-bit key in CBC mode encrypts, a MAC authenticates: an old design. RFC 5246 6.2.3.2.",
    "AES_256_CBC": "AES with a 256-bit key in CBC mode encrypts, a MAC authenticates: an old design. RFC 5246 6.2.3.2.",
    "CAMELLIA_128_CBC": "Camellia with a 128-bit key in CBC mode encrypts, a MAC authenticates. RFC 5932 2.",
    "CAMELLIA_256_CBC": "Camellia with a 256-bit key in CBC mode encrypts, a MAC authenticates. RFC 5932 2.",
    "3DES_EDE_CBC": "Triple DES in CBC mode encrypts, a MAC authenticates: long use breaks it. RFC 5246 6.2.3.2.",
    "RC4_128": "RC4 encrypts, a MAC authenticates: it must not be used, since its output is biased. RFC 7465 2.",
    "CHACHA20_POLY1305": "ChaCha20 encrypts records and Poly1305 authenticates them. RFC 8439 2.8.",
}
SUITE_HASHES: Mapping[str, str] = {
    "MD5": "MD5 is the hash of the MAC in each record. RFC 5246 6.2.3.1.",
    "SHA": "SHA-1 is the hash of the MAC in each record. RFC 5246 6.2.3.1.",
    "SHA256": "SHA-256 is the hash of the suite, for deriving keys and for Finished. RFC 9846 7.1.",
    "SHA384": "SHA-384 is the hash of the suite, for deriving keys and for Finished. RFC 9846 7.1.",
}
SUITE_SIGNALS: Mapping[int, str] = {
    CipherSuite.TLS_EMPTY_RENEGOTIATION_INFO_SCSV: (
        "No suite but a signal: the client knows secure renegotiation. RFC 5746 3.3."
    ),
    CipherSuite.TLS_FALLBACK_SCSV: (
        "No suite but a signal: the client tries again with a lower version than it could speak. RFC 7507 4."
    ),
}

_OTHERS: Mapping[type[Registry], Mapping[int, str]] = {
    ContentType: CONTENT_TYPES,
    AlertLevel: ALERT_LEVELS,
    AlertDescription: ALERTS,
    ProtocolVersion: {
        ProtocolVersion.SSL30: "SSL 3.0, of 1996, which must not be used. RFC 7568 3.",
        ProtocolVersion.TLS10: "TLS 1.0, of 1999, which must not be used. RFC 8996 4.",
        ProtocolVersion.TLS11: "TLS 1.1, of 2006, which must not be used. RFC 8996 5.",
        ProtocolVersion.TLS12: "TLS 1.2, of 2008; TLS 1.3 writes this number where old software looks. RFC 5246 1.2.",
        ProtocolVersion.TLS13: "TLS 1.3, of 2018, the current version. RFC 9846 4.3.1.",
    },
    ExtensionType: EXTENSIONS,
    PskKeyExchangeMode: {
        PskKeyExchangeMode.psk_ke: "The pre-shared key alone makes the keys: without forward secrecy. RFC 9846 4.3.9.",
        PskKeyExchangeMode.psk_dhe_ke: (
            "The pre-shared key is joined by a fresh key exchange: with forward secrecy. RFC 9846 4.3.9."
        ),
    },
    KeyUpdateRequest: {
        KeyUpdateRequest.update_not_requested: "The receiver need not change its own keys. RFC 9846 4.7.3.",
        KeyUpdateRequest.update_requested: "The receiver is to change its own keys too. RFC 9846 4.7.3.",
    },
    CertificateCompressionAlgorithm: {
        CertificateCompressionAlgorithm.zlib: "zlib, the compression of gzip and PNG. RFC 1950 2.",
        CertificateCompressionAlgorithm.brotli: "Brotli, a compression made for the web. RFC 7932 1.",
        CertificateCompressionAlgorithm.zstd: "Zstandard, a fast compression. RFC 8878 3.",
    },
    CertificateType: {
        CertificateType.X509: "An X.509 certificate, the usual kind. RFC 9846 4.5.1.",
        CertificateType.RawPublicKey: "A public key alone, without a certificate around it. RFC 7250 3.",
    },
    NameType: {NameType.host_name: "The name is a DNS host name. RFC 6066 3."},
    CertificateStatusType: {
        CertificateStatusType.ocsp: "The status is an OCSP response about one certificate. RFC 6066 8.",
        CertificateStatusType.ocsp_multi: "The status is a list of OCSP responses. RFC 6961 2.2.",
    },
    ECPointFormat: {
        ECPointFormat.uncompressed: "Points are sent with both coordinates. RFC 8422 5.1.2.",
        ECPointFormat.ansiX962_compressed_prime: (
            "Points of prime curves are compressed, which is unused. RFC 8422 5.1.2."
        ),
        ECPointFormat.ansiX962_compressed_char2: (
            "Points of binary curves are compressed, which is unused. RFC 8422 5.1.2."
        ),
    },
    ECCurveType: {
        ECCurveType.explicit_prime: "A prime curve is spelled out number by number, which is forbidden. RFC 8422 5.4.",
        ECCurveType.explicit_char2: "A binary curve is spelled out number by number, which is forbidden. RFC 8422 5.4.",
        ECCurveType.named_curve: "The curve is one of the registered groups, by its number. RFC 8422 5.4.",
    },
    ClientCertificateType: {
        ClientCertificateType.rsa_sign: "A certificate with an RSA key that may sign. RFC 5246 7.4.4.",
        ClientCertificateType.dss_sign: "A certificate with a DSA key, which has gone out of use. RFC 5246 7.4.4.",
        ClientCertificateType.ecdsa_sign: "A certificate with an ECDSA or EdDSA key. RFC 8422 5.5.",
    },
}


def meanings(registry: type[Registry], number: int) -> tuple[Explained, ...]:
    """What a number of a registry means: one sentence, of a cipher suite one for each part; () for an unknown one."""
    if registry._value2member_map_.get(number) is None:
        return (split(GREASE),) if is_grease(number) else ()
    name = registry(number).name
    if registry is CipherSuite and number not in SUITE_SIGNALS:
        return tuple(map(split, _suite(name)))
    families = {NamedGroup: _GROUPS, SignatureScheme: _SCHEMES}.get(registry)
    if families is not None:
        return (split(families[max(filter(name.startswith, families), key=len)]),)
    text = SUITE_SIGNALS.get(number) if registry is CipherSuite else _OTHERS.get(registry, {}).get(number)
    return () if text is None else (split(text),)


def _suite(name: str) -> tuple[str, str, str]:
    """The sentences for the parts of a suite: TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256."""
    exchange, _, rest = name.removeprefix("TLS_").rpartition("_WITH_")
    cipher, _, hash_ = rest.rpartition("_")
    return SUITE_KEY_EXCHANGES[exchange], SUITE_CIPHERS[cipher], SUITE_HASHES[hash_]
