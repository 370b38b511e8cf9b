"""Paths that were found once, so that a peer that comes back with its chain costs no signatures. Off unless asked for.

That these certificates lead to a root is a fact of their bytes, of the roots and of the policy: signatures, names of
issuers, CA flags, purposes and constraints do not change. The one thing that does is the time, so a remembered path is
used only while all its certificates are valid; after that another way is looked for, as if nothing were remembered.
Whatever else a verdict rests on, the rules, the name and revocation, is judged after this, each time.

Where nothing is looked up elsewhere, neither a list of revoked certificates nor an OCSP response, a whole verdict that
accepts rests on the same and on the names that were asked for. It too is kept for the time in which all its
certificates are valid.

Only what led to a root is kept, so none can fill a memory whom its roots do not vouch for. It forgets the oldest path
first, and never holds a chain that is unusually long.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from handfast.limits import MAX_STORED_CHAIN

if TYPE_CHECKING:
    from datetime import datetime

    from handfast.trust.policy import PathPolicy
    from handfast.trust.presented import PresentedChain
    from handfast.trust.verdict import Verdict
    from handfast.x509.certificates import Parsed
    from handfast.x509.purpose import Purpose


class Accepted(NamedTuple):
    """A verdict that accepts, and the time in which it holds."""

    since: datetime
    until: datetime
    verdict: Verdict


class AcceptedChains:
    """Up to ``capacity`` verdicts that accept, by all that they rest on but the time."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._accepted: dict[object, Accepted] = {}
        self.get = self._accepted.get

    def keep(self, key: tuple[Any, ...], verdict: Verdict) -> None:
        """Remember a verdict on the chain that stands first in ``key``."""
        from handfast.x509.certificates import parse

        if sum(map(len, key[0])) > MAX_STORED_CHAIN:
            return
        path = [parse(certificate) for certificate in verdict.path]
        if len(self._accepted) >= self._capacity:
            self._accepted.clear()
        since, until = max(one.not_before for one in path), min(one.not_after for one in path)
        self._accepted[key] = Accepted(since, until, verdict)


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
