"""What a proxy resumes sessions with: made once, so that a reload keeps the sessions that its new policies still allow.

A ticket is bound to the policy that it was given under (docs/sessions.md), so one store serves all listeners.
"""

from __future__ import annotations

from typing import Any

from handfast import limits
from handfast.errors import bad_option
from handfast.sessions.replay import MemoryReplayGuard
from handfast.sessions.tickets import SealedTickets


class Stores:
    """The tickets of a proxy, and what remembers early data. ``shared`` says that other processes have the same keys.

    A memory of early data is one process's own, so where the keys are shared no early data is taken.
    """

    def __init__(self, tickets: SealedTickets | None = None, *, shared: bool = False) -> None:
        self.tickets = tickets or SealedTickets()
        self._shared = shared
        self._guard = MemoryReplayGuard()

    def settings(self, *, resume: bool, early_data: bool, workers: int = 1) -> dict[str, Any]:
        """What a server's configuration is given. Raises ConfigError bad_option."""
        if not early_data:
            return {"tickets": self.tickets} if resume else {}
        if self._shared or workers > 1:
            reason = "each worker would remember its own, and the same could be taken by several"
            raise bad_option("early data", reason, "let there be one worker")
        return {
            "tickets": self.tickets,
            "max_early_data": limits.SKIPPED_EARLY_DATA,
            "replay_guard": self._guard,
            "early_data_with_client_identity": True,
        }
