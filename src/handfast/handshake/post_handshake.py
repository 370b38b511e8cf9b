"""What may come after a TLS 1.3 handshake: a dispatch, not a sequence. RFC 9846 4.7."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from handfast import limits
from handfast.errors import ApiMisuse, BadMessage, PeerMisbehaved
from handfast.events import Epoch
from handfast.handshake.context import Expect
from handfast.keys.established import ExtractedSecrets, TrafficKeys
from handfast.registry import KeyUpdateRequest
from handfast.roles import Role
from handfast.wire.messages import HandshakeMessage, KeyUpdate, NewSessionTicket

if TYPE_CHECKING:
    from handfast.handshake.post_auth import Exchange, PostHandshakeAuthentication
    from handfast.keys.established import Established
    from handfast.record.layer import RecordLayer
    from handfast.record.protection import Protection13

UPDATE_NOT_REQUESTED = int(KeyUpdateRequest.update_not_requested)
UPDATE_REQUESTED = int(KeyUpdateRequest.update_requested)

# Our own records under one key before we change it: room is left for what a peer makes us send meanwhile.
UPDATE_BEFORE_LIMIT = 2**10

# What may still come, by the role that receives.
EXPECTS = {Role.CLIENT: Expect((NewSessionTicket, KeyUpdate)), Role.SERVER: Expect((KeyUpdate,))}


class PostHandshake:
    """The connected state's handshake messages: keys that change, tickets that come, clients that show who they are.

    ``authentication`` is set where the client offered that.
    """

    def __init__(self, role: Role, records: RecordLayer, established: Established) -> None:
        self._expects = EXPECTS[role]
        self.authentication: PostHandshakeAuthentication | None = None
        self.records = records
        self.suite = established.suite
        self._keep_ticket = established.keep_ticket
        self.secrets = established
        # The reader only notes that the peer wants new keys; the next write answers once, however often it asked.
        self._update_owed = False
        self._update_at = self.suite.records_per_key - UPDATE_BEFORE_LIMIT
        self._allow_fast_path()

    @property
    def expects(self) -> Expect:
        """What may come now: in the middle of an exchange its next message and nothing else."""
        if self.authentication is None:
            return self._expects
        return self.authentication.expected or Expect((*self._expects.kinds, *self.authentication.startable))

    def receive(self, message: HandshakeMessage) -> Exchange | None:
        """Act on one message of those that ``expects`` names, or return the exchange that goes on with it.

        A ticket is an offer that may be left alone.
        """
        if isinstance(message, KeyUpdate):
            self._take_key_update(message)
        elif isinstance(message, NewSessionTicket):
            if self._keep_ticket is not None:
                self._keep_ticket(message)
        elif self.authentication is not None:
            return self.authentication.exchange(message)
        return None

    def write_keys_due(self, size: int) -> bool:
        """Whether the write keys must change before ``size`` bytes are written. RFC 9846 4.7.3 and 5.5."""
        protection = self.records.write_protection
        records = -(-size // self.records.fragment_limit)
        return self._update_owed or (protection is not None and protection.records + records > self._update_at)

    def renew_write_keys(self) -> None:
        """Change the write keys because the peer asked for it or because their limit is near."""
        self.update_write_keys(UPDATE_NOT_REQUESTED)

    def end_writing(self) -> None:
        """Our close_notify was the last that we write. RFC 9846 6.1."""
        self.records.write_fast_path_until(0)

    def update_write_keys(self, request: int) -> None:
        """Send KeyUpdate and write with the next keys. RFC 9846 4.7.3."""
        self._update_owed = False
        message = KeyUpdate(request)
        self.records.write_messages([(message, message.encode(), [])])
        secret = self.secrets.write = self.secrets.write.updated()
        protection = cast("Protection13", self.records.write_protection).renewed(secret)
        self.records.change_write_keys(protection, Epoch.APPLICATION, self.suite.id)
        self._allow_fast_path()

    def _allow_fast_path(self) -> None:
        """Without a sink for keys and a proof to await, records are sealed without a look until keys are due."""
        if self.authentication is None and not self.records.watch.wants_secrets:
            self.records.write_fast_path_until(self._update_at)

    def extract(self) -> ExtractedSecrets:
        """The keys that are on, for a program to go on with. Raises ApiMisuse cannot_extract between two steps."""
        read, write = self.records.read_protection, self.records.write_protection
        if self._update_owed or not self.records.idle or read is None or write is None:
            reason = "bytes wait to be read or sent, or the peer waits for an answer to its KeyUpdate"
            raise ApiMisuse("cannot_extract", reason=reason)
        if self.authentication is not None and self.authentication.under_way:
            raise ApiMisuse("cannot_extract", reason="a request for a certificate is not answered and judged yet")
        return ExtractedSecrets(
            self.suite.id,
            TrafficKeys(*self.secrets.read.key_and_iv(self.suite), read.records),
            TrafficKeys(*self.secrets.write.key_and_iv(self.suite), write.records),
        )

    def _take_key_update(self, message: KeyUpdate) -> None:
        if message.request_update > UPDATE_REQUESTED:
            value = message.request_update
            raise BadMessage("bad_value", message="KeyUpdate", field="request_update", value=value)
        self.records.key_updates += 1
        if self.records.key_updates > limits.MAX_CONSECUTIVE_KEY_UPDATES:
            raise PeerMisbehaved("too_many_key_updates", limit=limits.MAX_CONSECUTIVE_KEY_UPDATES)
        self.secrets.read = self.secrets.read.updated()
        protection = cast("Protection13", self.records.read_protection).renewed(self.secrets.read)
        self.records.change_read_keys(protection, Epoch.APPLICATION, self.suite.id, KeyUpdate.__name__)
        if message.request_update == UPDATE_REQUESTED:
            self._update_owed = True
            self.records.write_fast_path_until(0)
