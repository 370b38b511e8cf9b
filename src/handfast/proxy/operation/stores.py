"""What a proxy resumes sessions with: made once, so that a reload keeps the sessions that its new policies still allow.

A ticket is bound to the policy that it was given under (docs/sessions.md), so one store serves all listeners.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from handfast import limits
from handfast.errors import bad_option
from handfast.sessions.replay import MemoryReplayGuard
from handfast.sessions.tickets import SealedTickets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from handfast.fleet.redis_fleet import RedisFleet
    from handfast.sessions.tickets import Tickets


class Stores:
    """The tickets of a proxy, and what remembers early data.

    Attributes:
        tickets: those of this process, or, with keys that it is handed, of all workers of a proxy.
        fleet: what several machines share by way of Redis, in place of both; None without.
    """

    def __init__(self) -> None:
        self.tickets = SealedTickets()
        self.fleet: RedisFleet | None = None
        self._fleets: dict[tuple[str, Path], RedisFleet] = {}
        self._guard = MemoryReplayGuard()

    def share(self, place: tuple[str, Path] | None) -> Callable[[], object]:
        """Share sessions with all that use the Redis of this URL, under the keys in that file; None: with no one.

        Asked again with the same, it reads the keys anew; they hold once what it returns is called, which is for when
        the configuration is in use. What was shared before goes on until ``close``, for the configurations that have
        it: those of connections that are there, and those in use where this one is refused. Raises ConfigError.
        """
        if place is None:
            self.fleet = None
            return lambda: None
        from handfast.fleet.fleet_keys import read_keys, warn_if_open
        from handfast.fleet.redis_fleet import RedisFleet

        url, key = place
        warn_if_open(key)
        keys = read_keys(key)
        known = self._fleets.get(place)
        if known is None:
            known = self._fleets[place] = RedisFleet(url, keys)
            known.wait(limits.FLEET_BEAT)
        self.fleet = known
        return partial(known.replace_keys, keys)

    def close(self) -> None:
        """Share no more."""
        self.fleet = None
        for fleet in self._fleets.values():
            fleet.close()
        self._fleets.clear()

    def settings(self, *, resume: bool, early_data: bool, workers: int = 1) -> dict[str, Any]:
        """What a server's configuration is given; with a fleet sessions are resumed in any case.

        Raises ConfigError bad_option.
        """
        tickets: Tickets = self.tickets if self.fleet is None else self.fleet.tickets
        if not early_data:
            return {"tickets": tickets} if resume or self.fleet is not None else {}
        if workers > 1 and self.fleet is None:
            reason = "each worker would remember its own, and the same could be taken by several"
            raise bad_option("early data", reason, "let there be one worker, or share what was seen by Redis")
        return {
            "tickets": tickets,
            "max_early_data": limits.SKIPPED_EARLY_DATA,
            "replay_guard": self._guard if self.fleet is None else self.fleet.replay_guard,
            "early_data_with_client_identity": True,
        }
