"""Paths that were found once, so that a peer that comes back with the same chain costs no signatures.

That these certificates lead to a root is a fact of their bytes, of the roots and of the policy: signatures, names of
issuers, CA flags, purposes and constraints do not change. The one thing that does is the time, so a remembered path is
used only while all its certificates are valid; after that another way is looked for, as if nothing were remembered.
Whatever else a verdict rests on, the rules, the name and revocation, is judged after this, each time.

Where nothing is looked up elsewhere, neither a list of revoked certificates nor an OCSP response, a whole verdict that
accepts rests on the same, on the name that was asked for and on the verifier's settings. The verifier keeps it by all
of that, and uses it only while all certificates of its path are valid.

Only what led to a root is kept, so only a peer for which the roots vouch can fill a memory. It holds no chain of more
than 16 KiB.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from handfast.limits import MAX_STORED_CHAIN

if TYPE_CHECKING:
    from datetime import datetime

    from handfast.trust.path.policy import PathPolicy
    from handfast.trust.presented import PresentedChain
    from handfast.verdict import Verdict
    from handfast.x509.certificates import Parsed
    from handfast.x509.purpose import Purpose


class Accepted(NamedTuple):
    """A verdict that accepts, and the time in which it holds."""

    since: datetime
    until: datetime
    verdict: Verdict


def accepted(verdict: Verdict) -> Accepted:
    """A verdict that accepts, with the time in which all certificates of its path are valid."""
    from handfast.x509.certificates import parse

    path = [parse(certificate) for certificate in verdict.path]
    return Accepted(max(one.not_before for one in path), min(one.not_after for one in path), verdict)


class PathMemory:
    """Up to ``capacity`` paths to one set of roots."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._paths: OrderedDict[tuple[tuple[bytes, ...], Purpose, PathPolicy], list[Parsed]] = OrderedDict()

    def recall(self, presented: PresentedChain, policy: PathPolicy) -> list[Parsed] | None:
        """The path that this chain led to, if it is remembered and valid at the time to judge by."""
        path = self._paths.get((presented.chain, presented.purpose, policy)) if self._paths else None
        if path is None or not all(one.not_before <= presented.at <= one.not_after for one in path):
            return None
        return path

    def keep(self, path: list[Parsed], presented: PresentedChain, policy: PathPolicy) -> None:
        """Remember where this chain led."""
        if not self._capacity or sum(map(len, presented.chain)) > MAX_STORED_CHAIN:
            return
        self._paths[presented.chain, presented.purpose, policy] = path
        # Without a lock, as each step is atomic: threads that come here at once make it forget too many, or all.
        if len(self._paths) > self._capacity:
            with suppress(KeyError):
                self._paths.popitem(last=False)
