"""``RedisFleet``: what several processes share by way of one Redis or Valkey, for a server's configuration."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from handfast import limits
from handfast.errors import bad_option
from handfast.fleet.fleet_keys import FleetKeys, read_keys, warn_if_open
from handfast.fleet.redis_link import RedisLink
from handfast.fleet.shared_guard import SharedReplayGuard
from handfast.fleet.shared_sessions import SharedSessions
from handfast.fleet.shared_tickets import SharedTickets
from handfast.fork import renew_in_children
from handfast.number_options import check_count, check_seconds
from handfast.text import escape
from handfast.words import named

if TYPE_CHECKING:
    from handfast.engine import ClientConfig
    from handfast.fleet.redis_link import Talk
    from handfast.fleet.redis_place import RedisPlace

_ADVICE = "leave it out for the default"


class RedisFleet:
    """Servers that resume each other's sessions. docs/sessions.md and docs/scale.md.

    ``url`` says where Redis is: ``rediss://host:port/0``; ``redis://127.0.0.1:6379/0`` and ``unix:///path`` on this
    machine, elsewhere with ``plaintext``. ``keys`` are the fleet's, which Redis does not have: 32 bytes each, the one
    that seals first, or the path of a file with a line of 64 hexadecimal digits for each, which should not be open to
    all. ``tls`` says whom to trust and who we are. ``name`` keeps fleets apart that share a Redis. ``timeout`` is
    seconds for one answer, 0.001 to 60, ``rotation`` for which a ticket key seals, a minute to a week. ``sessions`` and
    ``hellos`` are how many may be kept at once; a session counts for each KiB begun of it.

    It begins at once, in a thread of its own, and in each forked child with the first use. Redis may be away: nothing
    waits for it. Raises ConfigError for what cannot be used.

    Attributes:
        tickets: ``Tickets`` of which Redis holds the keys alone: the ticket is the session.
        stored_tickets: ``Tickets`` that stay in Redis, each good for one connection, and sessions by id.
        replay_guard: the ``ReplayGuard`` of all that share this Redis.
    """

    _starting: threading.Lock

    def __init__(
        self,
        url: str,
        keys: Sequence[bytes] | str | os.PathLike[str],
        *,
        tls: ClientConfig | None = None,
        name: str = "handfast",
        plaintext: bool = False,
        timeout: float = limits.FLEET_TIMEOUT,
        rotation: float = limits.TICKET_KEY_ROTATION,
        sessions: int = limits.FLEET_SESSIONS,
        hellos: int = limits.FLEET_HELLOS,
    ) -> None:
        _check_name(name)
        if not isinstance(plaintext, bool):
            raise bad_option("plaintext", f"{named(plaintext)} is neither True nor False", "give one of them")
        check_seconds("timeout", timeout, limits.FLEET_TIMEOUT_LEAST, limits.FLEET_TIMEOUT_MOST)
        check_seconds("rotation", rotation, limits.TICKET_KEY_ROTATION_LEAST, limits.TICKET_KEY_ROTATION_MOST)
        check_count("sessions", sessions, least=1)
        check_count("hellos", hellos, least=1)
        self._place = _place(url, tls, plaintext=plaintext)
        self._timeout = timeout
        self._keys = FleetKeys(_keys(keys))
        prefix = name.encode()
        self.tickets = SharedTickets(self._running, prefix, self._keys, rotation)
        self.stored_tickets = SharedSessions(self._running, prefix, self._keys, sessions)
        self.replay_guard = SharedReplayGuard(self._running, prefix, hellos)
        renew_in_children(self, _starting=threading.Lock)
        self._link: RedisLink | None = None
        self._closed = False
        self._seen: bytes | None = None
        self._running()

    def __repr__(self) -> str:
        return f"RedisFleet({escape(str(self._place))})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self, seconds: float) -> bool:
        """Wait until Redis has answered and a ticket key is there; False if that is not so within ``seconds``.

        False at once where it is closed, before or meanwhile.
        """
        link = self._running()
        return link is not None and link.wait(seconds)

    @property
    def trouble(self) -> str:
        """Why Redis, or what it has of ticket keys, cannot be used, as far as it was found out; "" if they can."""
        link = self._running()
        return "it is closed" if link is None else link.trouble or self.tickets.trouble

    def replace_keys(self, keys: Sequence[bytes] | str | os.PathLike[str]) -> None:
        """Seal with the first of these keys of the fleet from now on, and open with all of them. Raises ConfigError.

        What only a key that is not among them opens is unknown from now on: as after a restart with these.
        """
        self._keys.replace(_keys(keys))
        self.tickets.keys_replaced()

    def close(self) -> None:
        """End the connection and its thread. From then on no ticket is given or opened, and no early data taken."""
        # Without the lock, which the thread may hold that a signal's handler interrupts to call this.
        self._closed = True
        self.tickets.close()
        link, self._link = self._link, None
        if link is not None:
            link.stop()

    def _running(self) -> RedisLink | None:
        link = self._link
        if link is not None and link.pid == os.getpid():
            return link
        with self._starting:
            if not self._closed and (self._link is None or self._link.pid != os.getpid()):
                try:
                    self._link = RedisLink(self._place, self._keep_up, self._timeout)
                except (OSError, RuntimeError):
                    # No room for a thread or a descriptor: as if Redis was away, until the next one asks.
                    return None
        if self._closed:
            # Perhaps in the middle of the start.
            self.close()
        return self._link

    async def _keep_up(self, talk: Talk) -> bool:
        await self.replay_guard.keep_up(talk)
        # Another epoch is a Redis that may not have the keys which we have; without one we cannot tell.
        epoch = self.replay_guard.epoch
        await self.tickets.keep_up(talk, everything=epoch != self._seen)
        self._seen = epoch
        return self.tickets.ready


def _keys(given: Sequence[bytes] | str | os.PathLike[str]) -> Sequence[bytes]:
    if not isinstance(given, str | os.PathLike):
        return given
    warn_if_open(given)
    return read_keys(given)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not 1 <= len(name) <= 64 or not name.isascii() or not name.isprintable():
        raise bad_option("name", "it is not 1 to 64 characters of ASCII", _ADVICE)


def _place(url: str, tls: ClientConfig | None, *, plaintext: bool) -> RedisPlace:
    try:
        from handfast.fleet.redis_place import RedisPlace
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "redis":
            raise
        raise bad_option("url", "redis-py is not installed", "pip install 'handfast[redis]'") from None
    return RedisPlace(url, tls, plaintext=plaintext)
