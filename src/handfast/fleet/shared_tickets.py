"""Tickets that any node can open: the keys are shared and change by themselves. RFC 9846 4.7.1.

Time is cut into periods of ``rotation`` seconds, and each has one key. Whichever node comes first puts the key of the
next period into Redis, sealed under the fleet's key, and all others find it there, a whole period before tickets are
sealed with it. It opens tickets until the longest life of one is over. Redis forgets it then, and so do the nodes.

No handshake waits for Redis: keys are fetched by the link's chores. A node that cannot reach Redis goes on with the
keys that it has, and those are enough for one to two periods; then it gives no tickets, and clients have full
handshakes. A Redis that comes back empty is given the keys again by the nodes that know them.

A ticket is the name of its key, 16 bytes, and the session sealed under it with the policy, as ``fleet_keys`` seals.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from handfast import limits, logs
from handfast.crypto.randomness import random_bytes
from handfast.fleet.fleet_keys import seal, unseal
from handfast.fork import renew_in_children
from handfast.sessions.tickets import KEY_LENGTH
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from handfast.fleet.fleet_keys import FleetKeys
    from handfast.fleet.redis_link import Command, RedisLink, Talk

_NAME_LENGTH = 16
_PURPOSE = b"ticket keys"
# How long ago a key must have been made before it seals, if there is another one: by then all nodes have looked for it.
_NOTICE = 2 * limits.FLEET_BEAT + limits.FLEET_CLOCK_SKEW
_FOREIGN = "Redis holds a ticket key that is not sealed with the key of our fleet"
# What is to be done about that, and where Redis refuses a ticket key or does not keep it.
_SHARE = "give this node the key that the others have, or another name"
_LET_KEEP = "without one no tickets are given: name a primary, give it memory, and let its user SET"


class _Key(NamedTuple):
    """``sealed`` is what lies in Redis; ``made_at`` seconds since the Unix epoch, by the clock of who made it."""

    name: bytes
    key: bytes
    period: int
    sealed: bytes
    made_at: int


def _key(content: bytes, period: int, sealed: bytes) -> _Key:
    end = _NAME_LENGTH + KEY_LENGTH
    return _Key(content[:_NAME_LENGTH], content[_NAME_LENGTH:end], period, sealed, int.from_bytes(content[end:], "big"))


class SharedTickets:
    """A ``Tickets`` for all nodes that share one Redis: the ticket is the session, and Redis holds its key alone.

    ``link`` gives the running link, ``name`` is the fleet's. A ticket may be shown more than once.
    """

    reusable = True
    _lock: threading.Lock

    def __init__(
        self,
        link: Callable[[], RedisLink | None],
        name: bytes,
        keys: FleetKeys,
        rotation: float = limits.TICKET_KEY_ROTATION,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._link = link
        self._fleet = name
        self._keys = keys
        self._rotation = rotation
        self._wall_clock = wall_clock
        renew_in_children(self, _lock=threading.Lock)
        # Replaced as a whole and with the lock: handshakes of other threads read them without it. Of a period those in
        # ``_now`` are what Redis says.
        self._by_name: dict[bytes, _Key] = {}
        self._now: dict[int, _Key] = {}
        # How often the fleet's keys were replaced; how often, when all was fetched; the period of the last fetch.
        self._replaced = 0
        self._fetched_after = -1
        self._fetched_in = 0
        self._closed = False
        self._log = logs.StateLog("states of ticket keys")

    def __repr__(self) -> str:
        return f"<SharedTickets with {len(self._by_name)} keys>"

    def issue(self, state: bytes, policy: bytes, lifetime: int, client: bytes = b"") -> bytes | None:
        """The sealed ticket; None where there is no key for today."""
        self._link()
        key = None if self._closed else self._sealing_key()
        return None if key is None else key.name + seal(key.key, state, key.name + policy)

    def redeem(self, ticket: bytes, policy: bytes) -> bytes | None:
        """The state that was sealed under ``policy`` by any node."""
        self._link()
        name = ticket[:_NAME_LENGTH]
        key = None if self._closed else self._by_name.get(name)
        if key is None or key.period < self._first_period():
            return None
        return unseal(key.key, ticket[_NAME_LENGTH:], name + policy)

    @property
    def ready(self) -> bool:
        """Whether there is a key that seals now."""
        return self._sealing_key() is not None

    @property
    def trouble(self) -> str:
        """What is wrong with what Redis has of the keys of now; "" for nothing."""
        return self._log.state

    def _sealing_key(self) -> _Key | None:
        period = self._period()
        key, before = self._now.get(period), self._now.get(period - 1)
        if key is None or before is None or self._wall_clock() - key.made_at >= _NOTICE:
            return key
        return before

    def _period(self) -> int:
        return int(self._wall_clock() // self._rotation)

    def _first_period(self) -> int:
        """The oldest one of which a ticket may live."""
        return int((self._wall_clock() - limits.MAX_TICKET_LIFETIME) // self._rotation)

    def keys_replaced(self) -> None:
        """Forget the ticket keys that no key of the fleet opens any more, and look for all others anew.

        Without this a fleet's key that was taken out, as one that others know must be, would still open tickets.
        """
        with self._lock:
            kept = {key.name: key for key in self._by_name.values() if self._unsealed(key.period, key.sealed)}
            self._now = {period: key for period, key in self._now.items() if key.name in kept}
            self._by_name = kept
            self._replaced += 1

    def close(self) -> None:
        """Give no tickets and open none from now on."""
        self._closed = True

    # The link's chores

    async def keep_up(self, talk: Talk, *, everything: bool) -> None:
        """Have the key of this period and the next from Redis, or put it there; with ``everything`` the older ones too.

        ``everything`` is for a Redis that is new to us: what it does not have of the keys that we know, it gets. A node
        that was away or stopped for a while fetches those of the periods that it missed.
        """
        period, replaced = self._period(), self._replaced
        first = self._first_period()
        # A clock that was ahead and is right again has had the keys of before forgotten.
        if not everything and replaced == self._fetched_after and self._fetched_in <= period:
            first = max(first, self._fetched_in)
        wanted = range(first, period + 2)
        found = await self._fetch(talk, wanted)
        # Where others have made this period's key, a node with the wrong key must not make the next one for them.
        foreign = found[period] is not None and self._opened(period, found[period]) is None
        missing = {one: self._now.get(one) for one in wanted if found[one] is None}
        if not foreign:
            missing = {one: key or self._new(one, period) for one, key in missing.items()}
        given = {one: key for one, key in missing.items() if key is not None}
        refused = ""
        if given:
            replies = await talk([self._give(key) for key in given.values()])
            refused = next((str(reply) for reply in replies if isinstance(reply, Exception)), "")
            found |= await self._fetch(talk, given)
        self._adopt(found)
        self._tell(refused, {one: found[one] for one in (period, period + 1)})
        # What was refused is given again.
        self._fetched_after, self._fetched_in = -1 if refused else replaced, period

    def _tell(self, refused: str, now: dict[int, Any]) -> None:
        """Log, when it changes, what is wrong with the keys that Redis has ``now``, or with what it was given."""
        trouble, advice = "", _LET_KEEP
        if refused:
            trouble = f"Redis refuses a ticket key: {escape(refused, limits.MAX_PEER_TEXT)}"
        elif any(sealed is not None and self._opened(period, sealed) is None for period, sealed in now.items()):
            trouble, advice = _FOREIGN, _SHARE
        elif None in now.values():
            trouble = "Redis does not keep a ticket key that it was given"
        self._log.tell(trouble, lambda: f"{trouble}; {advice}" if trouble else "ticket keys are shared again")

    async def _fetch(self, talk: Talk, periods: Iterable[int]) -> dict[int, Any]:
        names = {period: self._place(period) for period in periods}
        # So many at once that the answer is no longer than one may be, however short a period is.
        size, places = limits.FLEET_BATCH, tuple(names.values())
        values: list[Any] = []
        for reply in await talk([("MGET", *places[at : at + size]) for at in range(0, len(places), size)]):
            if isinstance(reply, Exception):
                raise reply
            values += reply
        return dict(zip(names, values, strict=True))

    def _new(self, period: int, now: int) -> _Key | None:
        """A new key for a period that is not over."""
        if period < now:
            return None
        made_at = int(self._wall_clock())
        content = random_bytes(_NAME_LENGTH + KEY_LENGTH) + made_at.to_bytes(8, "big")
        return _key(content, period, self._keys.seal(_PURPOSE, content, self._place(period)))

    def _give(self, key: _Key) -> Command:
        end = (key.period + 1) * self._rotation + limits.MAX_TICKET_LIFETIME
        life = max(1, round(1000 * (end - self._wall_clock())))
        return ("SET", self._place(key.period), key.sealed, "NX", "PX", life)

    def _adopt(self, found: dict[int, Any]) -> None:
        first = self._first_period()
        with self._lock:
            now = {period: key for period, key in self._now.items() if period >= first}
            by_name = {name: key for name, key in self._by_name.items() if key.period >= first}
            for period, sealed in found.items():
                if sealed is None:
                    continue
                key = self._opened(period, sealed)
                if key is not None:
                    now[period] = by_name[key.name] = key
            self._now, self._by_name = now, by_name

    def _opened(self, period: int, sealed: object) -> _Key | None:
        """The key that lies in the place of a period; None if no key of the fleet opens it."""
        known = self._now.get(period)
        return known if known is not None and known.sealed == sealed else self._unsealed(period, sealed)

    def _unsealed(self, period: int, sealed: object) -> _Key | None:
        opened = self._keys.unseal(_PURPOSE, sealed, self._place(period))
        return None if opened is None or not isinstance(sealed, bytes) else _key(opened, period, sealed)

    def _place(self, period: int) -> bytes:
        return self._fleet + b":ticket-key:%d" % period
