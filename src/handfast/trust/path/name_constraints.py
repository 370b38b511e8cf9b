"""Name constraints: what the library leaves out. RFC 5280 4.2.1.10.

The library applies DNS, IP and e-mail constraints to subjectAltName. It does not look at the subject: a CA that may
issue for corp.example only could name another host in the common name, and a peer that reads common names would believe
it. So DNS constraints are applied here to a common name that looks like a host name, when subjectAltName has no DNS
name, and e-mail constraints to the subject's emailAddress, in every certificate below. Constraints on directory names
are not implemented, and a CA that has any is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509

from handfast.host_names import is_host_name
from handfast.limits import MAX_NAME_COMPARISONS, MAX_PEER_TEXT
from handfast.text import escape, listed
from handfast.verdict import Reason
from handfast.x509.distinguished_names import attribute_values
from handfast.x509.purpose import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from handfast.trust.path.path_context import PathContext
    from handfast.x509.certificates import Parsed

_EMAIL_ADDRESS = "1.2.840.113549.1.9.1"


def constraint_problems(below: Sequence[Parsed], certificate: Parsed, case: PathContext) -> Iterator[Reason]:
    """What the constraints of one CA forbid in the leaf, ``below[0]``."""
    constraints = certificate.extension(x509.NameConstraints)
    if constraints is None:
        return
    index, who = case.position(certificate), certificate.subject_text
    bases = [*(constraints.permitted_subtrees or ()), *(constraints.excluded_subtrees or ())]
    if any(isinstance(base, x509.DirectoryName) for base in bases):
        words = f"the CA {who} has name constraints on directory names, which handfast does not implement"
        yield Reason("unsupported_extension", index, words)
    if not below:
        return
    permitted = _dns(constraints.permitted_subtrees)
    excluded = _dns(constraints.excluded_subtrees)
    names = list(constrained_names(below[0], case.presented.purpose))
    if len(names) * len(bases) > MAX_NAME_COMPARISONS:
        yield Reason("name_constraint", index, f"the CA {who} has too many name constraints for {len(names)} names")
        return
    for name in names:
        if (permitted and not _within_any(name, permitted)) or _overlaps_any(name, excluded):
            allowed = f"only {listed(permitted)}" if permitted else f"anything but {listed(excluded)}"
            words = f"the CA {who} may issue for {allowed}, and the certificate is for {escape(name)}"
            yield Reason("name_constraint", index, words)
    yield from _email_problems(below, constraints, index, who)


def _email_problems(
    below: Sequence[Parsed], constraints: x509.NameConstraints, index: int | None, who: str
) -> Iterator[Reason]:
    """RFC 5280 4.2.1.10, for emailAddress in a subject; as in OpenSSL also where subjectAltName has addresses."""
    permitted, excluded = _emails(constraints.permitted_subtrees), _emails(constraints.excluded_subtrees)
    if not permitted and not excluded:
        return
    addresses = [one for certificate in below for one in attribute_values(certificate.subject, _EMAIL_ADDRESS)]
    if len(addresses) * (len(permitted) + len(excluded)) > MAX_NAME_COMPARISONS:
        words = f"the CA {who} has too many name constraints for {len(addresses)} addresses"
        yield Reason("name_constraint", index, words)
        return
    for address in addresses:
        allowed = not permitted or any(_is_mailbox_of(address, base) for base in permitted)
        if "@" not in address or not allowed or any(_is_mailbox_of(address, base) for base in excluded):
            words = f"the CA {who} may not issue for {escape(address, MAX_PEER_TEXT)}"
            yield Reason("name_constraint", index, words)


def constrained_names(leaf: Parsed, purpose: Purpose) -> Iterator[str]:
    """The leaf's DNS names; without any, the common names that look like host names.

    A client's common name of one label is a user's name; a server's may be a host's.
    """
    yield from (name.lower() for name in leaf.names.dns)
    if not leaf.names.dns:
        for name in map(str.lower, leaf.names.common_names):
            bare = name.removeprefix("*.").removesuffix(".")
            if is_host_name(bare) and ("." in name or purpose is Purpose.SERVER):
                yield name


def _dns(subtrees: Sequence[x509.GeneralName] | None) -> list[str]:
    return [base.value.lower() for base in subtrees or () if isinstance(base, x509.DNSName)]


def _emails(subtrees: Sequence[x509.GeneralName] | None) -> list[str]:
    return [base.value for base in subtrees or () if isinstance(base, x509.RFC822Name)]


def _is_mailbox_of(address: str, base: str) -> bool:
    """``base`` is a mailbox, a host, or with a leading dot a domain."""
    local, _, host = address.rpartition("@")
    base_local, at, base_host = base.rpartition("@")
    host, base_host = host.lower(), base_host.lower()
    if at:
        return local == base_local and host == base_host
    return host.endswith(base_host) if base_host.startswith(".") else host == base_host


def _within_any(name: str, bases: list[str]) -> bool:
    return any(_within(name.removesuffix("."), base.removeprefix(".")) for base in bases)


def _overlaps_any(name: str, bases: list[str]) -> bool:
    """As within; and a wildcard overlaps a subtree that lies below its parent."""
    parent = name.removeprefix("*.") if name.startswith("*.") else None
    return _within_any(name, bases) or (parent is not None and any(_within(base, parent) for base in bases))


def _within(name: str, base: str) -> bool:
    return not base or name == base or name.endswith("." + base)
