"""Each early data once in a whole fleet, whatever becomes of Redis. RFC 9846 8.

What could let a hello in twice is that the place which saw it forgot it: a restart, empty or from an old file; a
failover to a replica that had not got the last writes, or back; a flush; keys that are evicted; a clock that jumps. So
a hello may be judged in one place only, which knows by itself whether it has forgotten anything:

1. An *epoch* is a random number that a node writes into a Redis that has none, with the id of that process's reign as
   a primary (``master_replid``, which is another after each start and each promotion). It is the guard's ``scope``, so
   a ticket says under which epoch its early data may be taken.
2. ``first_use`` is one script. It answers only in the process and reign that the epoch began in, and only while the
   epoch stands there. A replica, a promoted replica and a restarted process have another reign, whatever they were
   given or have read; a primary that was replaced and does not know it yet can go on, since no other place answers for
   its epoch.
3. Epoch and hellos are members of one sorted set. Whatever takes a hello away before its time (a flush, an eviction,
   an expiry, an operator) takes away the whole set, and the epoch with it. Nodes then begin a new one, for tickets to
   come.
4. Only the script removes single hellos, by Redis's clock, and only where that agrees with the clock of the node that
   asks within ``FLEET_CLOCK_SKEW``, S; and if Redis's clock ever goes back by more than 2 S, the epoch is over. Let a
   hello be made at C by its ticket's age. A node takes it between C-10 and C+10 by its own clock, so Redis saw it first
   at C-10-S or later, and keeps it for the 20 seconds that are asked for and 5 S: until C+10+4S. Once that was, Redis's
   clock does not answer before C+10+2S any more, nor for a node whose clock is not past C+10+S: there the hello's age
   has refused it before, with S to spare for what lies between the two looks at the clock.

So a hello that was taken is never taken again; what can go wrong costs early data, which clients send again later in
the handshake. What must be trusted: the Redis and the way to it (TLS), not to lie; and that the machine under it is
not set back to a snapshot of less than a minute ago, which no process can notice of itself.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from handfast import limits, logs
from handfast.crypto.hashes import SHA256
from handfast.crypto.randomness import random_bytes
from handfast.fleet.scripts import EPOCH, FIRST_USE
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from handfast.fleet.redis_link import RedisLink, Talk

_EPOCH_LENGTH = 16
_REIGN_LENGTH = 40
_HELLO_LENGTH = 16
_SKEW = round(limits.FLEET_CLOCK_SKEW * 1000)


class SharedReplayGuard:
    """A ``ReplayGuard`` for all nodes that share one Redis. Where Redis cannot be asked, early data is refused.

    ``link`` gives the running link, ``name`` is the fleet's, ``capacity`` how many hellos may be remembered at once.
    """

    def __init__(
        self,
        link: Callable[[], RedisLink | None],
        name: bytes,
        capacity: int,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._link = link
        self._key = name + b":hellos"
        self._capacity = capacity
        self._wall_clock = wall_clock
        self._known = (b"", math.inf)
        self._log = logs.StateLog("states of early data")

    @property
    def scope(self) -> bytes:
        """The epoch; b"" while Redis cannot be asked."""
        link = self._link()
        return self.epoch if link is not None and link.up else b""

    @property
    def since(self) -> float:
        """When the epoch began, by the slowest clock of a node that may have given a ticket of it."""
        return self._known[1]

    def first_use(self, key: bytes, seconds: float) -> bool | Awaitable[bool]:
        """Whether ``key``, which begins with the scope of its ticket, is new; it is remembered for ``seconds``."""
        epoch, hello = key[:_EPOCH_LENGTH], SHA256.digest(key)[:_HELLO_LENGTH]
        keep = round(1000 * (seconds + 5 * limits.FLEET_CLOCK_SKEW))
        link = self._link()
        if link is None:
            return False
        command = (
            "EVAL", FIRST_USE, 1, self._key,
            round(self._wall_clock() * 1000), _SKEW, epoch, hello, keep, self._capacity,
        )  # fmt: skip
        answer: bool | Awaitable[bool] = link.ask(command, _is_first, without=False)
        return answer

    @property
    def epoch(self) -> bytes:
        """What ``scope`` is while Redis can be asked; b"" if Redis was found to be none that can remember."""
        return self._known[0]

    async def keep_up(self, talk: Talk) -> None:
        """Find the epoch, or begin one. One of the link's chores."""
        now = round(self._wall_clock() * 1000)
        life = round(limits.MAX_TICKET_LIFETIME * 1000)
        [reply] = await talk([("EVAL", EPOCH, 1, self._key, now, _SKEW, random_bytes(_EPOCH_LENGTH), life)])
        self._known, trouble, detail = _epoch_of(reply)
        again = "early data is taken again"
        self._log.tell(trouble, lambda: f"early data is refused: {trouble}{detail}" if trouble else again)


def _is_first(reply: object) -> bool:
    if isinstance(reply, bytes):
        reason = escape(reply, limits.MAX_PEER_TEXT)
        logs.warn("refusals of early data", lambda: f"early data is refused: {reason}")
    return reply == 1


def _epoch_of(reply: Any) -> tuple[tuple[bytes, float], str, str]:
    """The epoch and since when it is; or why there is none, and what of that may change while it stays so."""
    if isinstance(reply, Exception):
        return (b"", math.inf), escape(str(reply), limits.MAX_PEER_TEXT), ""
    marker, apart = reply
    if marker:
        began = int(marker[_EPOCH_LENGTH + _REIGN_LENGTH :]) / 1000
        return (marker[:_EPOCH_LENGTH], began - limits.FLEET_CLOCK_SKEW), "", ""
    if apart:
        return (b"", math.inf), "Redis's clock and ours do not agree", f", they are {abs(apart) / 1000:.1f} s apart"
    return (b"", math.inf), "Redis is a replica, or does not say whether it is a primary", ""
