"""What kind of name a string is: IP address, URI, e-mail address, else DNS name."""

from __future__ import annotations

import contextlib
import ipaddress
import re

from cryptography import x509

from handfast.errors import ConfigError, bad_option
from handfast.host_names import is_host_name, with_a_labels

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[!-~]+|urn:[!-~]+", re.ASCII)
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?P<domain>[^@]+)", re.ASCII)


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


def name_if_possible(text: str) -> tuple[x509.GeneralName, ...]:
    """The subjectAltName for a string that need be no name: empty for "Alice Smith"."""
    try:
        return (general_name(text),)
    except ConfigError:
        return ()


def dns_name(text: str) -> str:
    """A DNS name with international labels as A-labels (RFC 5890); ConfigError(bad_option) if it is none."""
    try:
        name = with_a_labels(text)
    except ValueError as error:
        raise _not_a_name(text, str(error)) from None
    if not is_host_name(name.lower()):
        raise _not_a_name(text, "give a DNS name, IP address, e-mail address or URI, without a port")
    return name


def _not_a_name(text: str, advice: str) -> ConfigError:
    return bad_option(f"name {text!r}", "no certificate can hold this name", advice)
