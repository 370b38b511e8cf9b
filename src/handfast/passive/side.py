"""What one direction's sender has said so far, and the keys to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from handfast.errors import PeerMisbehaved
from handfast.events import Epoch
from handfast.limits import MAX_CIPHERTEXT_12, RECORD_HEADER
from handfast.passive.records import RecordStream
from handfast.record.layer import BEFORE_KEYS
from handfast.wire.joiner import HandshakeJoiner

if TYPE_CHECKING:
    from handfast.keys.schedule import TrafficSecret
    from handfast.passive.inflating import Inflater
    from handfast.record.protection import Opened

# How many numbers of records are tried where records are missing: a gap of more is one in the data of a transfer.
_TRIED_AFTER_GAP = 64


class Protection(Protocol):
    """What opens the records of one direction; ``records`` is the number of the next one."""

    records: int

    def open(self, header: bytes, body: bytes) -> Opened:
        """Content type, content and padding. Raises PeerMisbehaved."""


# What protects a direction, with the secret behind it: the likeliest first.
Keys: TypeAlias = "list[tuple[Protection, TrafficSecret | None]]"


class Side:
    """One direction."""

    def __init__(self, stream: RecordStream) -> None:
        self.stream = stream
        self.joiner = HandshakeJoiner(tracking=True)
        # Bytes of a handshake message that is too large to be kept, still to come.
        self.skipped = 0
        self.records = 0
        self.epoch = Epoch.PLAINTEXT
        self.protection: Protection | None = None
        # The traffic secret that it is made from, in the version that has these.
        self.secret: TrafficSecret | None = None
        # Tried again under other values that the key log has for the secret, until a record opens.
        self.alternatives: Keys = []
        # Why there is no protection, if there is none.
        self.missing = BEFORE_KEYS
        # How many bytes are missing since the last record that was opened.
        self.lost = 0
        # Where records are compressed, once keys are on.
        self.inflater: Inflater | None = None
        self.changed_cipher_spec = False
        self.over = False

    def put_on(self, keys: Keys, epoch: Epoch) -> None:
        """These protect what follows: the first, or whichever of the others opens it."""
        (self.protection, self.secret), *self.alternatives = keys
        self.epoch = epoch

    def start_over(self) -> None:
        """What waits to be read is no message, or the start of one that will not come."""
        counting = self.epoch is not Epoch.APPLICATION
        self.joiner = HandshakeJoiner(tracking=True)
        if not counting:
            self.joiner.handshake_over()

    def open(self, header: bytes, body: bytes) -> Opened:
        """Open a record, by another value of the secret or behind a gap if need be. Raises PeerMisbehaved."""
        if self.protection is None:
            raise PeerMisbehaved("bad_record_mac")
        try:
            opened = self.protection.open(header, body)
        except PeerMisbehaved:
            if not self.lost and not self.alternatives:
                raise
            for protection, secret in ((self.protection, self.secret), *self.alternatives):
                found = self.try_numbers(protection, header, body)
                if found is not None:
                    self.protection, self.secret = protection, secret
                    opened = found
                    break
            else:
                raise
        self.alternatives = []
        self.lost = 0
        return opened

    def try_numbers(self, protection: Protection, header: bytes, body: bytes) -> Opened | None:
        """Open a record whose number is not known exactly; None if it does not open."""
        first = protection.records
        tried = _TRIED_AFTER_GAP if self.lost else 1
        at_least = first + self.lost // (RECORD_HEADER + MAX_CIPHERTEXT_12)
        for number in range(at_least, at_least + tried):
            protection.records = number
            try:
                return protection.open(header, body)
            except PeerMisbehaved:
                continue
        protection.records = first
        return None
