"""Sessions that stay in Redis: a ticket is 32 random bytes, and good for one connection to any node. RFC 9846 4.7.1.

Redis has neither what is in a session nor the ticket that leads to it: a session is sealed with the fleet's key, and
kept under a hash of ticket and policy. So a ticket that is shown under another policy finds nothing, takes nothing
away, and would not open what is there: the policy is sealed with it. Redeeming reads and deletes in one step of Redis,
so of two nodes that are shown one ticket at once, one resumes.

A failover may bring back a session that was redeemed just before: a ticket is then good for a second connection, as a
sealed one always is. Early data is not, since the replay guard judges it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handfast import limits
from handfast.crypto.hashes import SHA256
from handfast.crypto.randomness import random_bytes
from handfast.fleet.scripts import KEEP, REDEEM

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from handfast.fleet.fleet_keys import FleetKeys
    from handfast.fleet.redis_link import RedisLink

_PURPOSE = b"sessions"
# Whose a session is, in front of it: a hash under a key of the fleet's; for strangers the same under every key, so that
# their share stays one while the key changes.
_CLIENT_LENGTH = 16
_STRANGERS = bytes(_CLIENT_LENGTH)


class SharedSessions:
    """A ``Tickets`` and ``SessionIds`` for all nodes that share one Redis.

    There are ``capacity`` places, and a session has one for each KiB begun of it, as it lies in Redis. Clients that no
    verifier accepted have half of them together, and any other client an eighth: then their own oldest leave. Where all
    are taken, the oldest of the former make room for the latter. Without room, or without Redis, there is no ticket.
    """

    def __init__(self, link: Callable[[], RedisLink | None], name: bytes, keys: FleetKeys, capacity: int) -> None:
        self._link = link
        self._name = name
        self._all = name + b":sessions"
        self._lists = name + b":of:"
        self._keys = keys
        self._capacity = capacity

    def issue(
        self, state: bytes, policy: bytes, lifetime: int, client: bytes = b""
    ) -> bytes | Awaitable[bytes | None] | None:
        """A ticket for ``state``, or None."""
        return self.keep(random_bytes(32), state, policy, lifetime, client)

    def keep(
        self, session_id: bytes, state: bytes, policy: bytes, lifetime: int, client: bytes = b""
    ) -> bytes | Awaitable[bytes | None] | None:
        """Keep ``state`` under an id of 32 random bytes, which ``redeem`` would take for a ticket; None if not kept."""
        where = self._place(session_id, policy)
        whose = self._whose(client)
        kept = whose + self._keys.seal(_PURPOSE, state, where + policy)
        share = max(self._capacity // (8 if client else 2), 1)
        lists = (self._all, self._lists + whose, self._lists + _STRANGERS)
        numbers = (lifetime * 1000, limits.FLEET_PLACE, self._capacity, share)
        command = ("EVAL", KEEP, 4, where, *lists, kept, *numbers)
        return self._ask(command, lambda reply: session_id if reply == 1 else None)

    def redeem(self, ticket: bytes, policy: bytes) -> bytes | Awaitable[bytes | None] | None:
        """The session, once."""
        where = self._place(ticket, policy)
        command = ("EVAL", REDEEM, 2, where, self._all, self._lists, limits.FLEET_PLACE)
        return self._ask(command, self._opener(where, policy))

    def find(self, session_id: bytes, policy: bytes) -> bytes | Awaitable[bytes | None] | None:
        """The session, which stays."""
        where = self._place(session_id, policy)
        return self._ask(("GET", where), self._opener(where, policy))

    def _whose(self, client: bytes) -> bytes:
        if not client:
            return _STRANGERS
        return SHA256.hmac(self._keys.derived(b"clients"), client)[:_CLIENT_LENGTH]

    def _place(self, session_id: bytes, policy: bytes) -> bytes:
        return self._name + b":session:" + SHA256.digest(session_id + policy)

    def _opener(self, where: bytes, policy: bytes) -> Callable[[Any], bytes | None]:
        def opened(reply: Any) -> bytes | None:
            if not isinstance(reply, bytes):
                return None
            return self._keys.unseal(_PURPOSE, reply[_CLIENT_LENGTH:], where + policy)

        return opened

    def _ask(
        self, command: tuple[Any, ...], read: Callable[[Any], bytes | None]
    ) -> bytes | Awaitable[bytes | None] | None:
        link = self._link()
        answer: bytes | Awaitable[bytes | None] | None = None if link is None else link.ask(command, read, without=None)
        return answer
