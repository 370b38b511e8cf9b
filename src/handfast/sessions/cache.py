"""A client's sessions, kept apart by everything that made them trusted."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict, deque
from typing import Protocol, TypeAlias

from handfast import limits
from handfast.fork import renew_in_children
from handfast.number_options import check_count
from handfast.sessions.reentry import in_a_step
from handfast.sessions.state import ClientSession
from handfast.sessions.state12 import ClientSession12

# Of either version; those of different versions are in different partitions.
Session: TypeAlias = ClientSession | ClientSession12


class Sessions(Protocol):
    """What a client resumes sessions with. ``partition`` is 32 bytes: sessions of different ones never meet."""

    def put(self, partition: bytes, session: Session) -> None: ...
    def take(self, partition: bytes) -> Session | None: ...


class SessionCache:
    """Sessions in memory, safe to share between threads. Each is given out once, the newest of a partition first.

    At most ``capacity`` partitions are kept, a few sessions in each, and ``CACHED_SESSION_BYTES`` of all of them; what
    was used longest ago makes room. After a fork the child starts with none: a ticket is used once. Nor is there any
    for a signal's handler that comes in the middle of a step. Raises ConfigError bad_option for a ``capacity`` that is
    no whole number.
    """

    _lock: threading.RLock

    def __init__(self, capacity: int = limits.CACHED_PARTITIONS) -> None:
        check_count("capacity", capacity, least=0)
        self._capacity = capacity
        renew_in_children(self, _lock=threading.RLock)
        self._process = os.getpid()
        self._sessions: OrderedDict[bytes, deque[Session]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        with self._lock:
            self._forget_if_forked()
            return sum(map(len, self._sessions.values()))

    def __repr__(self) -> str:
        return f"<SessionCache with {len(self)} sessions>"

    def put(self, partition: bytes, session: Session) -> None:
        """Keep a session."""
        if in_a_step(self._lock):
            return
        with self._lock:
            self._forget_if_forked()
            kept = self._sessions.setdefault(partition, deque())
            if len(kept) == limits.SESSIONS_PER_PARTITION:
                self._bytes -= _size(kept.popleft())
            kept.append(session)
            self._bytes += _size(session)
            self._sessions.move_to_end(partition)
            while len(self._sessions) > self._capacity or self._bytes > limits.CACHED_SESSION_BYTES:
                _, forgotten = self._sessions.popitem(last=False)
                self._bytes -= sum(map(_size, forgotten))

    def take(self, partition: bytes) -> Session | None:
        """The newest session of a partition, which is then forgotten; None when there is none."""
        if in_a_step(self._lock):
            return None
        with self._lock:
            self._forget_if_forked()
            kept = self._sessions.get(partition)
            if kept is None:
                return None
            session = kept.pop()
            self._bytes -= _size(session)
            if not kept:
                del self._sessions[partition]
            return session

    def _forget_if_forked(self) -> None:
        if self._process != os.getpid():
            self._process = os.getpid()
            self._sessions.clear()
            self._bytes = 0


def _size(session: Session) -> int:
    """Bytes of what the server chose."""
    return sum(map(len, (session.ticket, session.ocsp_response, *session.chain, *session.timestamps)))
