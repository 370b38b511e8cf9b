"""Subjects as people type them: ``O=Example,OU=Payments,CN=alice``. RFC 4514, and openssl's ``/O=Example/CN=alice``."""

from __future__ import annotations

import re

from cryptography import x509
from cryptography.x509.oid import NameOID

from handfast.errors import bad_option

# In the order in which a name goes from the whole to the part; what was typed keeps its order among its like.
_FIELDS = {
    "DC": NameOID.DOMAIN_COMPONENT,
    "C": NameOID.COUNTRY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "L": NameOID.LOCALITY_NAME,
    "STREET": NameOID.STREET_ADDRESS,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "CN": NameOID.COMMON_NAME,
    "UID": NameOID.USER_ID,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}
# RFC 5280 Appendix A.1; cryptography minds that of the country alone.
_MOST = {"L": 128, "ST": 128, "O": 64, "OU": 64, "CN": 64, "serialNumber": 64, "emailAddress": 255}
_LONGEST = {_FIELDS[field]: most for field, most in _MOST.items()}
_RANK = {oid: place for place, oid in enumerate(_FIELDS.values())}


def parse_subject(text: str) -> x509.Name:
    """The name that a text says, the country first and the CN last whatever the order; ConfigError(bad_option)."""
    wanted = _from_slashes(text) if text.startswith("/") else re.sub(r"(?<!\\),\s+", ",", text.strip())
    try:
        typed = list(reversed(list(x509.Name.from_rfc4514_string(wanted, _FIELDS))))
    except ValueError:
        raise _unreadable(text) from None
    if not typed or not all(map(_fits, typed)):
        raise _unreadable(text)
    if sum(field.oid == NameOID.COMMON_NAME for field in typed) > 1:
        raise bad_option(f"subject {text!r}", "it has two CNs", "give one CN; further names go beside it")
    return x509.Name(sorted(typed, key=lambda field: _RANK[field.oid]))


def common_name(subject: x509.Name) -> str:
    """The CN, or an empty string."""
    found = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def with_common_name(subject: x509.Name, name: str) -> x509.Name:
    """The subject with this CN if it has none and the CN is not too long; a CN that is there stays."""
    if common_name(subject):
        return subject
    if not 0 < len(name) <= _LONGEST[NameOID.COMMON_NAME]:
        return subject
    added = x509.NameAttribute(NameOID.COMMON_NAME, name)
    return x509.Name(sorted([*subject, added], key=lambda field: _RANK.get(field.oid, len(_RANK))))


def require_common_name(subject: x509.Name, name: str) -> None:
    """ConfigError(bad_option) where the CN is missing, as ``name``, which stands nowhere else, is too long for one."""
    if not common_name(subject):
        most = _LONGEST[NameOID.COMMON_NAME]
        reason = f"it would be the CN alone, and has {len(name)} characters where a CN has at most {most}"
        raise bad_option(f"name {name[:most]!r}...", reason, "give a shorter one")


def _fits(field: x509.NameAttribute[str | bytes]) -> bool:
    return field.oid in _RANK and 0 < len(field.value) <= _LONGEST.get(field.oid, 255)


def _from_slashes(text: str) -> str:
    return ",".join(re.sub(r"(?<!\\)[,+]", r"\\\g<0>", part) for part in re.split(r"(?<!\\)/", text[1:]))


def _unreadable(text: str) -> Exception:
    known = ", ".join(_FIELDS)
    advice = f'write it as "O=Example,OU=Payments,CN=alice", of {known}; a country has two letters, the rest at most 64'
    return bad_option(f"subject {text!r}", "it cannot be read as a name", advice)
