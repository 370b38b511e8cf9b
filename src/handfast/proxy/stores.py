"""What a proxy resumes sessions with: made once, so that a reload keeps the sessions that its new policies still allow.

A ticket is bound to the policy that it was given under (docs/sessions.md), so one store serves all listeners. A fleet's
serves those of all its proxies, whose memory of early data is one, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handfast import limits
from handfast.errors import bad_option
from handfast.sessions.replay import MemoryReplayGuard
from handfast.sessions.tickets import SealedTickets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handfast.fleet.redis_fleet import RedisFleet
    from handfast.sessions.replay import ReplayGuard
    from handfast.sessions.tickets import Tickets


class Stores:
    """The tickets of a proxy, and what remembers early data: its own, or those of a ``fleet``.

    A memory of early data that is one process's own forbids it where several workers have the same keys.
    """

    def __init__(self, fleet: RedisFleet | None = None) -> None:
        self._own = SealedTickets()
        self._fleet = fleet
        self._tickets: Tickets = self._own if fleet is None else fleet.tickets
        self._guard: ReplayGuard = MemoryReplayGuard() if fleet is None else fleet.replay_guard

    def take_keys(self, keys: Sequence[bytes]) -> None:
        """Seal and open with these keys, which the workers of one proxy share; a fleet has its own."""
        self._own.replace(keys)

    def settings(self, *, resume: bool, early_data: bool, workers: int = 1) -> dict[str, Any]:
        """What a server's configuration is given. Raises ConfigError bad_option."""
        if not early_data:
            return {"tickets": self._tickets} if resume else {}
        if self._fleet is None and workers > 1:
            reason = "each worker would remember its own, and the same could be taken by several"
            raise bad_option("early data", reason, "let there be one worker, or a fleet's memory in Redis")
        return {
            "tickets": self._tickets,
            "max_early_data": limits.SKIPPED_EARLY_DATA,
            "replay_guard": self._guard,
            "early_data_with_client_identity": True,
        }
