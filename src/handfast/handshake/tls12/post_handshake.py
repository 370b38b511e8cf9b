"""What may come after a TLS 1.2 handshake: attempts to renegotiate, all declined. RFC 5246 7.4.1.1, RFC 5746 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from handfast import limits
from handfast.errors import ApiMisuse, LocalFailure, PeerMisbehaved
from handfast.handshake.context import Expect
from handfast.roles import Role
from handfast.wire.messages import ClientHello, HandshakeMessage
from handfast.wire.messages12 import HelloRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from weakref import WeakMethod

    from handfast.record.layer import RecordLayer

# Our own records before we close: room is left for alerts.
CLOSE_BEFORE_LIMIT = 2**10

# What may still come, by the role that receives: each asks for another handshake.
EXPECTS = {Role.CLIENT: Expect((HelloRequest,)), Role.SERVER: Expect((ClientHello,))}


class PostHandshake12:
    """The connected state: keys that never change, and no other handshake; ``decline`` says so to the peer."""

    def __init__(self, role: Role, records: RecordLayer, decline: WeakMethod[Callable[[], None]]) -> None:
        self.expects = EXPECTS[role]
        self.records = records
        self._decline = decline
        self._renegotiations = 0
        self._writes = True
        protection = records.write_protection
        if protection is not None and not records.watch.wants_secrets:
            records.write_fast_path_until(protection.limit - CLOSE_BEFORE_LIMIT - 1)

    def receive(self, message: HandshakeMessage) -> None:
        """Decline, by a warning, so often; the peer may go on without."""
        self._renegotiations += 1
        if self._renegotiations > limits.MAX_RENEGOTIATIONS:
            raise PeerMisbehaved("too_many_renegotiations", limit=limits.MAX_RENEGOTIATIONS)
        if self._writes and (decline := self._decline()) is not None:
            decline()

    def end_writing(self) -> None:
        """Our close_notify was the last that we write. RFC 5246 7.2.1."""
        self._writes = False
        self.records.write_fast_path_until(0)

    def write_keys_due(self, size: int) -> bool:
        """Whether the write keys do not last for ``size`` bytes. RFC 9846 5.5."""
        protection = self.records.write_protection
        if protection is None:
            return False
        records = size // self.records.fragment_limit + 1
        return protection.records + records > protection.limit - CLOSE_BEFORE_LIMIT

    def renew_write_keys(self) -> None:
        """They cannot be renewed: the connection ends here, and in order."""
        limit = 0 if self.records.write_protection is None else self.records.write_protection.limit
        raise LocalFailure("connection_exhausted", limit=limit)

    def extract(self) -> NoReturn:
        """Raises ApiMisuse cannot_extract, always."""
        raise ApiMisuse("cannot_extract", reason="only those of TLS 1.3 can be")

    def update_write_keys(self, request: int) -> None:
        """Raises ApiMisuse no_key_update, always."""
        raise ApiMisuse("no_key_update")
