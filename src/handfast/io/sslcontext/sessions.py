"""Sessions as ``ssl`` hands them to programs: ``SSLSocket.session``, to be given to a later connection."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from handfast.crypto.hashes import SHA256

if TYPE_CHECKING:
    from handfast.sessions.cache import Session


class SSLSession:
    """What a server gave a client to resume with, and the partition of all that made it trusted.

    Where a connection is configured or trusts otherwise its partition is another, and the session is not offered.
    """

    def __init__(self, context: object, partition: bytes, session: Session) -> None:
        self._context = weakref.ref(context)
        self.partition = partition
        self.session = session

    def made_by(self, context: object) -> bool:
        """Whether it is of a connection of this context."""
        return self._context() is context

    @property
    def id(self) -> bytes:
        """Another for each session: a hash of its ticket, as OpenSSL has it, or the id that a TLS 1.2 server gave."""
        return SHA256.digest(self._ticket) if self._ticket else bytes(getattr(self.session, "session_id", b""))

    @property
    def time(self) -> int:
        """When it came, in seconds since the Unix epoch."""
        return int(getattr(self.session, "received_at", 0))

    @property
    def timeout(self) -> int:
        """Seconds for which it may be used."""
        return int(getattr(self.session, "lifetime", 0))

    @property
    def ticket_lifetime_hint(self) -> int:
        """What the server said of that, in seconds."""
        return self.timeout

    @property
    def has_ticket(self) -> bool:
        """Whether a ticket stands behind it."""
        return bool(self._ticket)

    @property
    def _ticket(self) -> bytes:
        ticket: Any = getattr(self.session, "ticket", b"")
        return bytes(ticket)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SSLSession) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)


class Slot:
    """The sessions of one connection: the one that it was given, and the newest that it got."""

    def __init__(self, context: object, given: SSLSession | None = None) -> None:
        self._context = weakref.ref(context)
        self.given = given
        self.newest: SSLSession | None = None

    def put(self, partition: bytes, session: Session) -> None:
        """Keep what the server sent last."""
        context = self._context()
        if context is not None:
            self.newest = SSLSession(context, partition, session)

    def take(self, partition: bytes) -> Session | None:
        """The session that was given, if this connection is to be trusted in the same way."""
        return self.given.session if self.given is not None and self.given.partition == partition else None
