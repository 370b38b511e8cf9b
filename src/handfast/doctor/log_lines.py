"""What lines of logs mean: which causes each can stand for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from handfast.doctor.evidence import LogLine
from handfast.limits import MAX_LOG_LINES_TOLD, MAX_PEER_TEXT
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Iterator


class Pattern(NamedTuple):
    """What a line says, a regular expression, and the causes that it can mean; ``program`` writes it."""

    text: re.Pattern[str]
    causes: tuple[str, ...]
    program: str = ""


def _said(text: str, *causes: str, program: str = "") -> Pattern:
    return Pattern(re.compile(text, re.IGNORECASE), causes, program)


_NO_TLS = ("plain_text", "plain_http", "starttls_port")
_UNTRUSTED = ("client_wrong_ca", "client_missing_intermediate", "client_twin_ca")
# The first that fits a line counts.
PATTERNS = (
    _said(r"peer did not return a certificate", "no_certificate", "certificate_withheld", program="OpenSSL"),
    _said(r"client didn't provide a certificate", "no_certificate", "certificate_withheld", program="Go"),
    _said(r"No required SSL certificate was sent", "no_certificate", "certificate_withheld", program="nginx"),
    _said(r"CRL has expired", "client_crl_stale", program="OpenSSL"),
    _said(r"unable to get certificate CRL", "client_crl_missing", program="OpenSSL"),
    _said(r"certificate revoked", "client_revoked", program="OpenSSL"),
    _said(r"certificate has expired", "client_expired", program="OpenSSL"),
    _said(r"certificate is not yet valid", "client_not_yet_valid", program="OpenSSL"),
    _said(r"unsuitable certificate purpose", "client_wrong_purpose", "client_key_may_not_sign", program="OpenSSL"),
    _said(r"invalid CA certificate", "client_issuer_not_a_ca", program="OpenSSL"),
    _said(r"self.signed certificate in certificate chain", "client_wrong_ca", program="OpenSSL"),
    _said(r"self.signed certificate", "client_self_signed", program="OpenSSL"),
    _said(r"unable to get local issuer certificate", *_UNTRUSTED, program="OpenSSL"),
    _said(r"unable to verify the first certificate", *_UNTRUSTED, program="OpenSSL"),
    _said(r"no shared cipher", "no_common_suite", "no_common_scheme", "server_key_may_not_sign", program="OpenSSL"),
    _said(r"no suitable key share|no shared groups?", "no_common_group", program="OpenSSL"),
    _said(r"no shared signature algorithms", "no_common_scheme", program="OpenSSL"),
    _said(r"client offered only unsupported versions|unsupported protocol", "no_common_version"),
    _said(r"client sent an HTTP request to an HTTPS server|plain HTTP request was sent", "http_to_tls"),
    _said(r"http request", "http_to_tls", program="OpenSSL"),
    _said(r"local error: tls: bad record MAC", "server_certificate_refused", program="Go"),
    _said(r"wrong version number", *_NO_TLS, program="OpenSSL"),
    _said(r"first record does not look like a TLS handshake", *_NO_TLS, program="Go"),
)


def parse(text: str) -> tuple[LogLine, ...]:
    """The lines of a log that say something of mutual TLS, each once; of many the first."""
    found = dict.fromkeys(_lines(text))
    return tuple(found)[:MAX_LOG_LINES_TOLD]


def _lines(text: str) -> Iterator[LogLine]:
    for line in text.splitlines():
        for pattern in PATTERNS:
            if pattern.text.search(line):
                yield LogLine(escape(line.strip(), MAX_PEER_TEXT), pattern.causes, pattern.program)
                break
