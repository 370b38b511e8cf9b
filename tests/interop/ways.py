"""How each foreign peer refuses: the alert that it sends, or None if it only ends the connection, and its own words.

Where its releases differ there are several alerts: those of JSSE that came after 17.0.15 send those of RFC 9846.

A peer that is not named does as OpenSSL does. Where a way differs in TLS 1.2, that is behind the name.
"""

from __future__ import annotations

from typing import TypeAlias

from handfast.registry import AlertDescription as Alert

Way: TypeAlias = tuple[Alert | tuple[Alert, ...] | None, *tuple[str, ...]]

VERIFY_FAILED = "certificate verify failed"  # all that pyOpenSSL says
NO_CIPHER = (
    "no shared cipher"  # what OpenSSL says in TLS 1.2 of whatever does not fit, since it is all in the suite there
)

# These end the connection at once, so that their alert may be lost.
LOSING_ALERTS = {"deno"}

NO_CLIENT_CERTIFICATE: dict[str, Way] = {
    "openssl": (Alert.certificate_required, "peer did not return a certificate"),
    "gnutls": (Alert.certificate_required, "certificate is required"),
    "nss": (Alert.certificate_required, "unable to find the certificate or key"),
    "go": (Alert.certificate_required, "didn't provide a certificate"),
    "node": (Alert.certificate_required, "peer did not return a certificate"),
    "jsse": ((Alert.bad_certificate, Alert.certificate_required), "empty client certificate chain"),
    "jsse 1.2": ((Alert.bad_certificate, Alert.handshake_failure), "empty client certificate chain"),
    "granian": (Alert.certificate_required, "NoCertificatesPresented"),
    # TLS 1.2 has no alert for it.
    "openssl 1.2": (Alert.handshake_failure, "peer did not return a certificate"),
    "gnutls 1.2": (Alert.decode_error, "no certificate was found"),
    "nss 1.2": (Alert.bad_certificate, "unable to find the certificate or key"),
    "go 1.2": (Alert.handshake_failure, "didn't provide a certificate"),
    "node 1.2": (Alert.handshake_failure, "peer did not return a certificate"),
    "erlang": (Alert.certificate_required, "certificate required"),
    "erlang 1.2": (Alert.handshake_failure, "no client certificate provided"),
    "deno": (Alert.certificate_required, "peer sent no certificates"),
}
CLIENT_CERTIFICATE_OF_ANOTHER_CA: dict[str, Way] = {
    "openssl": (Alert.unknown_ca, VERIFY_FAILED),
    "gnutls": (Alert.access_denied, "error in the certificate"),
    "nss": (Alert.unknown_ca, "issuer is not recognized"),
    "go": (Alert.unknown_ca, "signed by unknown authority"),
    "node": (None, "unable to verify leaf signature"),
    "jsse": (Alert.certificate_unknown, "unable to find valid certification path"),
    "granian": (Alert.unknown_ca, "UnknownIssuer"),
    "erlang": (Alert.unknown_ca, "unknown ca"),
    "deno": (None, "unable to verify"),
    "bun": (None, "unable to verify"),
}
EXPIRED_CLIENT_CERTIFICATE: dict[str, Way] = {
    "openssl": (Alert.certificate_expired, VERIFY_FAILED),
    "gnutls": (Alert.access_denied, "error in the certificate"),
    "nss": (Alert.certificate_expired, "has expired"),
    "go": (Alert.certificate_expired, "has expired"),
    "node": (None, "cert has expired"),
    "jsse": ((Alert.certificate_unknown, Alert.certificate_expired), "NotAfter"),
    "granian": (Alert.certificate_expired, "Expired"),
    "deno": (None, "unable to verify leaf signature"),
}
SERVER_CERTIFICATE_OF_ANOTHER_CA: dict[str, Way] = {
    "openssl": (Alert.unknown_ca, "unable to get local issuer certificate"),
    "pyopenssl": (Alert.unknown_ca, VERIFY_FAILED),
    "gnutls": (Alert.bad_certificate, "the certificate issuer is unknown"),
    "nss": (Alert.unknown_ca, "issuer is not recognized"),
    "go": (Alert.bad_certificate, "signed by unknown authority"),
    "node": (None, "unable to verify"),
    "jsse": (Alert.certificate_unknown, "unable to find valid certification path"),
    "curl_cffi": (None, "unable to get local issuer certificate"),
    "pyreqwest": (Alert.unknown_ca, "UnknownIssuer"),
    "uv": (Alert.unknown_ca, "UnknownIssuer"),
    "erlang": (Alert.unknown_ca, "unknown ca"),
    "perl": (Alert.unknown_ca, VERIFY_FAILED),
    "php": (Alert.unknown_ca, VERIFY_FAILED),
    "deno": (Alert.unknown_ca, "unable to verify"),
    "bun": (None, "unable to verify"),
}
EXPIRED_SERVER_CERTIFICATE: dict[str, Way] = {
    "openssl": (Alert.certificate_expired, "certificate has expired"),
    "pyopenssl": (Alert.certificate_expired, VERIFY_FAILED),
    "gnutls": (Alert.bad_certificate, "uses expired certificate"),
    "nss": (Alert.certificate_expired, "has expired"),
    "go": (Alert.bad_certificate, "has expired"),
    "node": (None, "certificate has expired"),
    "jsse": ((Alert.certificate_unknown, Alert.certificate_expired), "NotAfter"),
    "jsse 1.2": (Alert.certificate_expired, "NotAfter"),
    "curl_cffi": (None, "certificate has expired"),
    "pyreqwest": (Alert.certificate_expired, "expired"),
    "uv": (Alert.certificate_expired, "expired"),
    "deno": (Alert.certificate_expired, "unable to verify"),
}
SERVER_CERTIFICATE_FOR_ANOTHER_NAME: dict[str, Way] = {
    "openssl": (Alert.bad_certificate, "hostname mismatch"),
    "gnutls": (Alert.bad_certificate, "does not match the expected"),
    "curl": (None, "no alternative certificate subject name"),
    "nss": (Alert.bad_certificate, "bad cert domain"),
    "go": (Alert.bad_certificate, "certificate is valid for"),
    "node": (None, "does not match certificate"),
    "jsse": (Alert.certificate_unknown, "no subject alternative dns name matching"),
    "curl_cffi": (None, "no alternative certificate subject name"),
    "pyreqwest": (Alert.bad_certificate, "not valid for name"),
    "uv": (Alert.bad_certificate, "not valid for name"),
    "deno": (None, "does not match certificate"),
}
NO_COMMON_VERSION: dict[str, Way] = {
    "openssl": (Alert.protocol_version, "unsupported protocol"),
    "gnutls": (Alert.handshake_failure, "No supported cipher suites have been found"),
    "nss": (Alert.protocol_version, "unsupported version"),
    "go": (Alert.protocol_version, "unsupported versions"),
    "jsse": (Alert.protocol_version, "not accepted by server preferences", "not enabled or supported"),
    "granian": (Alert.protocol_version, "SupportedVersionsExtensionRequired"),
    "deno": (Alert.protocol_version, "SupportedVersionsExtensionRequired", "Tls12NotOffered"),
}
NO_COMMON_SUITE: dict[str, Way] = {
    "openssl": (Alert.handshake_failure, "no shared cipher"),
    "gnutls": (Alert.handshake_failure, "no supported cipher suites"),
    "nss": (Alert.handshake_failure, "no common encryption algorithm"),
    "go": (Alert.handshake_failure, "no cipher suite supported by both"),
    "jsse": (Alert.handshake_failure, "no cipher suites in common"),
}
NO_COMMON_GROUP: dict[str, Way] = {
    "openssl": (Alert.handshake_failure, "no suitable key share", "no common key share", NO_CIPHER),
    "gnutls": (Alert.handshake_failure, "no supported cipher suites have been found", "no common key share"),
    "nss": (Alert.handshake_failure, "no common encryption algorithm"),
    "jsse": (Alert.unexpected_message,),
    "granian": (Alert.handshake_failure, "NoKxGroupsInCommon"),
    "go": (Alert.handshake_failure, "no key exchanges supported by both", "no cipher suite supported by both"),
    "deno": (Alert.handshake_failure, "NoKxGroupsInCommon"),
}
NO_COMMON_SCHEME: dict[str, Way] = {
    "openssl": (Alert.handshake_failure, "no suitable signature algorithm", NO_CIPHER),
    "gnutls": (Alert.handshake_failure, "no supported cipher suites have been found"),
    "nss": (Alert.handshake_failure, "unsupported signature algorithm"),
    "go": (Alert.handshake_failure, "peer doesn't support any of the certificate's signature algorithms"),
    "jsse": (Alert.handshake_failure, "no available authentication scheme"),
    "jsse 1.2": (Alert.internal_error, "no supported signature algorithm"),
    "granian": (Alert.handshake_failure, "NoSignatureSchemesInCommon"),
    "granian 1.2": (None, "incompatible signing key"),
    "deno": (Alert.handshake_failure, "NoSignatureSchemesInCommon"),
    "deno 1.2": (None, "incompatible"),
}
NO_COMMON_APPLICATION_PROTOCOL: dict[str, Way] = {"openssl": (Alert.no_application_protocol,)}
