"""What kind of name a string is: IP address, URI, e-mail address, else DNS name."""

from __future__ import annotations

import contextlib
import ipaddress
import re

from cryptography import x509

from handfast.errors import ConfigError

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[!-~]+|urn:[!-~]+", re.ASCII)
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?P<domain>[^@]+)", re.ASCII)
# The underscore is no host name character, and service names in private networks have it all the same.
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)
# The standard library maps names by IDNA 2003, and these four mean something else there than in IDNA 2008.
_DEVIATIONS = frozenset("\u00df\u03c2\u200c\u200d")


def general_name(text: str) -> x509.GeneralName:
    """The subjectAltName entry for a string a person typed; ConfigError(bad_option) if it is no name of any kind."""
    # A scope ("fe80::1%eth0") means something on one machine only; a certificate cannot hold it.
    if "%" not in text:
        with contextlib.suppress(ValueError):
            return x509.IPAddress(ipaddress.ip_address(text))
    if _URI.fullmatch(text):
        return x509.UniformResourceIdentifier(text)
    if mailbox := _EMAIL.fullmatch(text):
        domain = mailbox["domain"]
        return x509.RFC822Name(text.removesuffix(domain) + dns_name(domain))
    if text.startswith("*."):
        return x509.DNSName("*." + dns_name(text.removeprefix("*.")))
    return x509.DNSName(dns_name(text))


def dns_name(text: str) -> str:
    """A DNS name with international labels as A-labels (RFC 5890); ConfigError(bad_option) if it is none."""
    if not text.isascii():
        if not _DEVIATIONS.isdisjoint(text):
            raise _not_a_name(text, "write this name with its xn-- labels")
        try:
            text = text.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise _not_a_name(text, "write this name with its xn-- labels") from error
    labels = text.split(".")
    if len(text) > 253 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        raise _not_a_name(text, "give a DNS name, IP address, e-mail address or URI, without a port")
    return text


def _not_a_name(text: str, advice: str) -> ConfigError:
    return ConfigError("bad_option", option=f"name {text!r}", reason="no certificate can hold this name", advice=advice)
