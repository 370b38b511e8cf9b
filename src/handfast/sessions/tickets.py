"""A server's tickets: sealed and given away, or kept here and given away by number. RFC 9846 4.7.1.

Both ways are a ``Tickets``; a store shared by many machines is another, and may answer with awaitables. ``policy`` is
what the session was trusted under; a ticket is only redeemed under the very same. Whatever a ``Tickets`` does not know
or cannot open is no error: the handshake then is a full one.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

from handfast import limits
from handfast.crypto.randomness import random_bytes
from handfast.crypto.suites import InvalidTag, ticket_aead
from handfast.errors import bad_option
from handfast.fork import renew_in_children
from handfast.number_options import check_count, check_seconds
from handfast.sessions.reentry import in_a_step

KEY_LENGTH = 32
_NAME_LENGTH = 16
_NONCE_LENGTH = 12


class Tickets(Protocol):
    """What a server resumes sessions with.

    ``state`` and what ``redeem`` returns are bytes that hold secrets; ``policy`` is 32 bytes, ``lifetime`` seconds.
    ``client`` is the certificate, DER, of a client that the verifier accepted, b"" for any other: a store that has a
    limit can keep strangers from pushing out the sessions of those it knows, and one client those of all others.
    ``issue`` returns None where it has no room; ``redeem`` returns None for what it does not know.

    Two more things are for TLS 1.2. ``reusable = True`` says that ``redeem`` forgets nothing, so that a ticket may be
    shown again, as most clients do; without it each resumption brings a new one. And ``SessionIds`` can resume sessions
    of clients that know no tickets (RFC 5246 F.1.4).
    """

    def issue(
        self, state: bytes, policy: bytes, lifetime: int, client: bytes
    ) -> bytes | Awaitable[bytes | None] | None: ...
    def redeem(self, ticket: bytes, policy: bytes) -> bytes | Awaitable[bytes | None] | None: ...


class SessionIds(Tickets, Protocol):
    """A ``Tickets`` that also keeps sessions under ids that it is given; one may be used as often as it is found.

    The policies of ids are never those of tickets: what names a session in one way is unknown in the other.
    """

    def keep(self, session_id: bytes, state: bytes, policy: bytes, lifetime: int, client: bytes) -> object: ...
    def find(self, session_id: bytes, policy: bytes) -> bytes | Awaitable[bytes | None] | None: ...


class _Key:
    """One key: tickets carry its name, which is random or derived of a key that was given."""

    __slots__ = ("aead", "made_at", "name", "sealed")

    def __init__(self, name: bytes, key: bytes, made_at: float) -> None:
        self.name = name
        self.aead = ticket_aead(key)
        self.made_at = made_at
        self.sealed = 0


class SealedTickets:
    """Stateless: the ticket is the session, sealed with AES-256-GCM under a key that only we have.

    Without ``keys`` a fresh random key is made every ``rotation`` seconds, a minute to a week, and the ones before it
    still open tickets for as long as any may live. Given ``keys``, each 32 random bytes that machines may share, the
    first seals and all open; rotating them is then yours, by ``replace``. One key seals at most 2^31 tickets, because
    nonces are random (NIST SP 800-38D 8.3): a random key is replaced before that, a given one seals no more. Each
    process counts its own, a forked child on from its parent's number, and the standard's bound for all that share a
    key is 2^32: a random one of an hour reaches it at a million tickets a second; to replace a given one before is
    yours, at a thousand a second within 49 days. Raises ConfigError bad_option for what cannot be used.
    """

    reusable = True
    _lock: threading.RLock

    def __init__(
        self,
        keys: Sequence[bytes] = (),
        *,
        rotation: float = limits.TICKET_KEY_ROTATION,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_seconds("rotation", rotation, limits.TICKET_KEY_ROTATION_LEAST, limits.TICKET_KEY_ROTATION_MOST)
        self._clock = clock
        self._rotation = rotation
        renew_in_children(self, _lock=threading.RLock)
        self._given = bool(keys)
        self._keys: list[_Key] = []
        if keys:
            self.replace(keys)

    def __repr__(self) -> str:
        return f"<SealedTickets with {len(self._keys)} keys>"

    def replace(self, keys: Sequence[bytes]) -> None:
        """Seal with the first of ``keys`` from now on, and open with all of them. Raises ConfigError bad_option."""
        if set(map(type, keys)) != {bytes} or any(len(key) != KEY_LENGTH for key in keys):
            reason = f"a ticket key has {KEY_LENGTH} bytes, and there must be one"
            raise bad_option("keys", reason, "make them with secrets.token_bytes")
        from handfast.crypto.hashes import SHA256

        made = [_Key(SHA256.digest(b"handfast ticket key" + key)[:_NAME_LENGTH], key, 0.0) for key in keys]
        with self._lock:
            self._given, self._keys = True, made

    def issue(self, state: bytes, policy: bytes, lifetime: int, client: bytes = b"") -> bytes | None:
        """The sealed ticket; None when a given key has sealed all it may."""
        key = self._sealing_key()
        if key is None:
            return None
        nonce = random_bytes(_NONCE_LENGTH)
        return key.name + nonce + key.aead.encrypt(nonce, state, key.name + policy)

    def redeem(self, ticket: bytes, policy: bytes) -> bytes | None:
        """The state that was sealed under ``policy``."""
        name, rest = ticket[:_NAME_LENGTH], ticket[_NAME_LENGTH:]
        key = next((one for one in self._live_keys() if one.name == name), None)
        if key is None or len(rest) <= _NONCE_LENGTH:
            return None
        try:
            return key.aead.decrypt(rest[:_NONCE_LENGTH], rest[_NONCE_LENGTH:], name + policy)
        except InvalidTag:
            return None

    def _sealing_key(self) -> _Key | None:
        with self._lock:
            now = self._clock()
            current = self._keys[0] if self._keys else None
            if current is not None and current.sealed >= limits.TICKETS_PER_KEY and self._given:
                return None
            if not self._given and (current is None or self._worn_out(current, now)):
                current = _Key(random_bytes(_NAME_LENGTH), random_bytes(KEY_LENGTH), now)
                self._keys = [current, *self._still_needed(now)]
            if current is not None:
                current.sealed += 1
            return current

    def _worn_out(self, key: _Key, now: float) -> bool:
        return now - key.made_at >= self._rotation or key.sealed >= limits.TICKETS_PER_KEY

    def _still_needed(self, now: float) -> list[_Key]:
        """A key opens tickets for the longest life of one, counted from the last that it can have sealed."""
        return [key for key in self._keys if now - key.made_at < self._rotation + limits.MAX_TICKET_LIFETIME]

    def _live_keys(self) -> list[_Key]:
        if self._given:
            return self._keys
        with self._lock:
            return self._still_needed(self._clock())


class _Kept(NamedTuple):
    """One session of a store."""

    state: bytes
    policy: bytes
    expires_at: float
    client: bytes


class StoredTickets:
    """Stateful: sessions stay here, a ticket is 32 random bytes, and each is good for one connection.

    At most ``capacity`` sessions are kept, and ``STORED_TICKET_BYTES`` of them. Where there is no more room the oldest
    leave: of a client that has more than half of it, its own; else those of clients that no verifier accepted; else of
    all. So no stranger pushes out the sessions of clients that are known, and none of those can push out all others'.
    After a fork the child starts with none, so that nothing can be redeemed in both. Where a signal's handler comes in
    the middle of a step, nothing is redeemed or kept for it. Raises ConfigError bad_option for a ``capacity`` that is
    no whole number.
    """

    _lock: threading.RLock

    def __init__(self, capacity: int = limits.STORED_TICKETS, *, clock: Callable[[], float] = time.monotonic) -> None:
        check_count("capacity", capacity, least=0)
        self._capacity = capacity
        self._clock = clock
        renew_in_children(self, _lock=threading.RLock)
        self._start_empty()

    def _start_empty(self) -> None:
        self._process = os.getpid()
        # In the order of issue, which is that of expiry but for shortened lives: those leave when their turn comes.
        self._sessions: OrderedDict[bytes, _Kept] = OrderedDict()
        # The names of each client's sessions in the same order, strangers being one client, b""; and their bytes.
        self._names: dict[bytes, OrderedDict[bytes, None]] = {}
        self._bytes: Counter[bytes] = Counter()
        self._all_bytes = 0

    def __len__(self) -> int:
        with self._lock:
            self._forget_if_forked()
            return len(self._sessions)

    def __repr__(self) -> str:
        return f"<StoredTickets with {len(self)} sessions>"

    def issue(self, state: bytes, policy: bytes, lifetime: int, client: bytes = b"") -> bytes:
        """A new ticket for ``state``."""
        ticket = random_bytes(32)
        self.keep(ticket, state, policy, lifetime, client)
        return ticket

    def keep(self, session_id: bytes, state: bytes, policy: bytes, lifetime: int, client: bytes = b"") -> None:
        """Keep ``state`` under an id of 32 random bytes, which ``redeem`` would take for a ticket."""
        from handfast.crypto.hashes import SHA256

        if in_a_step(self._lock):
            return
        client = client and SHA256.digest(client)
        with self._lock:
            self._forget_if_forked()
            now = self._clock()
            self._forget(session_id)
            self._sessions[session_id] = _Kept(state, policy, now + lifetime, client)
            self._names.setdefault(client, OrderedDict())[session_id] = None
            self._bytes[client] += len(state)
            self._all_bytes += len(state)
            while self._sessions and self._oldest_is_over(now):
                self._forget(next(iter(self._sessions)))
            while len(self._sessions) > self._capacity or self._all_bytes > limits.STORED_TICKET_BYTES:
                self._forget(self._next_to_leave(client))

    def _next_to_leave(self, client: bytes) -> bytes:
        """Whose session makes room for the one that ``client`` was just given."""
        own = self._names.get(client, ())
        if 2 * (len(own) - 1) >= self._capacity or 2 * self._bytes[client] > limits.STORED_TICKET_BYTES:
            return next(iter(own))
        return next(iter(self._names.get(b"") or self._sessions))

    def _forget(self, name: bytes) -> None:
        kept = self._sessions.pop(name, None)
        if kept is None:
            return
        self._all_bytes -= len(kept.state)
        self._bytes[kept.client] -= len(kept.state)
        names = self._names[kept.client]
        del names[name]
        if not names:
            del self._names[kept.client], self._bytes[kept.client]

    def _oldest_is_over(self, now: float) -> bool:
        return next(iter(self._sessions.values())).expires_at <= now

    def redeem(self, ticket: bytes, policy: bytes) -> bytes | None:
        """The session, once; a ticket shown under another policy stays good for its own."""
        if in_a_step(self._lock):
            return None
        with self._lock:
            state = self._look_up(ticket, policy)
            if state is not None:
                self._forget(ticket)
        return state

    def find(self, session_id: bytes, policy: bytes) -> bytes | None:
        """The session, which stays."""
        with self._lock:
            return self._look_up(session_id, policy)

    def _look_up(self, name: bytes, policy: bytes) -> bytes | None:
        self._forget_if_forked()
        kept = self._sessions.get(name)
        return kept.state if kept and kept.policy == policy and kept.expires_at > self._clock() else None

    def _forget_if_forked(self) -> None:
        if self._process != os.getpid():
            self._start_empty()
