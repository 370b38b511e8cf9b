"""What revocation lists do to a verified path. RFC 5280 6.3.

For each certificate below the root the list counts that its issuer signed, with the very key that the path verified,
and that is about such certificates; of several, the newest that has begun. A list that is out of date, damaged, or
signed by a key that may not sign lists is our own fault and not the peer's: the peer is told internal_error, and the
words say whose fault it is. What an outdated list says of a revoked certificate still counts.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from cryptography import x509

from handfast.trust.path.rules import instant, span, title
from handfast.trust.revocation.crl_store import CrlScope, CrlUnknown
from handfast.verdict import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from handfast.trust.path.path_context import PathContext
    from handfast.trust.revocation.crl import RevocationList
    from handfast.trust.revocation.crl_store import RevocationCheck
    from handfast.x509.certificates import Parsed

_NOT_THE_PEERS = "this is no fault of the peer's"


def revocation_problems(path: Sequence[Parsed], case: PathContext) -> Iterator[Reason]:
    """What the lists say against a path that was verified, leaf first and root last."""
    check = case.revocation
    if check is None:
        return
    allowed = "revocation_unknown" if check.unknown is CrlUnknown.ALLOW else ""
    for certificate, issuer in pairwise(path):
        found = _problems(certificate, case.position(certificate), issuer, check, case.presented.at)
        yield from (reason for reason in found if reason.code != allowed)
        if check.scope is CrlScope.LEAF:
            return


def _problems(
    certificate: Parsed, index: int | None, issuer: Parsed, check: RevocationCheck, at: datetime
) -> Iterator[Reason]:
    by, source = issuer.subject_text, check.crls.source
    doubt = f"so whether {title(certificate, index)} is revoked cannot be told"
    named = check.crls.issued_by(issuer.subject)
    own = [one for one in named if one.is_signed_by(issuer)]
    covering = [one for one in own if one.covers(certificate)]
    if not own and any(not one.names_another_key(issuer) for one in named):
        words = f"the revocation list of {by} in {source} is damaged: its signature does not verify"
        yield Reason("revocation_unusable", index, f"{words}, {doubt}; {_NOT_THE_PEERS}")
    elif not own:
        remark = "; there is one of a CA of that name with another key" if named else ""
        yield Reason("revocation_unknown", index, f"no revocation list of {by} is in {source}{remark}, {doubt}")
    elif not _may_sign_lists(issuer):
        words = f"{by} signed a revocation list in {source}, and its keyUsage lacks cRLSign"
        yield Reason("revocation_unusable", index, f"{words}, {doubt}; {_NOT_THE_PEERS}")
    elif not covering:
        words = f"what {source} has of {by} is about other certificates of it (issuingDistributionPoint)"
        yield Reason("revocation_unknown", index, f"{words}, {doubt}")
    else:
        newest = _newest(covering, at)
        this = f"the revocation list of {by} in {source}, of {instant(newest.this_update)}"
        yield from _entry_problems(certificate, index, newest, this)
        yield from _date_problems(newest, index, this, at, doubt)


def _may_sign_lists(issuer: Parsed) -> bool:
    key_usage = issuer.extension(x509.KeyUsage)
    return key_usage is None or key_usage.crl_sign


def _newest(lists: Sequence[RevocationList], at: datetime) -> RevocationList:
    """A list of the future counts only where there is no other."""
    begun = [one for one in lists if one.this_update <= at]
    return max(begun or lists, key=lambda one: (one.this_update, one.number))


def _entry_problems(certificate: Parsed, index: int | None, newest: RevocationList, this: str) -> Iterator[Reason]:
    entry = newest.entry(certificate.certificate.serial_number)
    if entry is None:
        return
    who = title(certificate, index)
    date = instant(entry.revocation_date_utc)
    reason = next((one.value.reason for one in entry.extensions if isinstance(one.value, x509.CRLReason)), None)
    if reason is x509.ReasonFlags.remove_from_crl:
        words = f"{this}, has an entry removeFromCRL for {who}, and only a delta list may; {_NOT_THE_PEERS}"
        yield Reason("revocation_unusable", index, words)
    elif reason is x509.ReasonFlags.certificate_hold:
        yield Reason("revoked", index, f"{who} is on hold since {date} (certificateHold), says {this}")
    else:
        why = "no reason is given" if reason is None else reason.value
        yield Reason("revoked", index, f"{who} was revoked on {date} ({why}), says {this}")


def _date_problems(newest: RevocationList, index: int | None, this: str, at: datetime, doubt: str) -> Iterator[Reason]:
    if at > newest.next_update:
        when = f"ended {span(at - newest.next_update)} ago, on {instant(newest.next_update)}"
    elif at < newest.this_update:
        when = f"begins only in {span(newest.this_update - at)}"
    else:
        return
    words = f"{this}, {when}; the time here is {instant(at)}, {doubt}; {_NOT_THE_PEERS}"
    yield Reason("revocation_stale", index, words)
