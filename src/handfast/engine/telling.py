"""What a connection tells its observers of the messages that it reads. Only a connection that is watched comes here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.errors import BadMessage, PeerMisbehaved
from handfast.events import MessageSeen
from handfast.wire.messages import parse_handshake

if TYPE_CHECKING:
    from handfast.engine.connection import Connection


def tell_message(connection: Connection, raw: bytes) -> None:
    """Tell of the message that the joiner gave last. Observers get one of their own: ours may be shared."""
    watch, records = connection._watch, connection._records
    message = parse_handshake(raw, connection._handshake.messages)
    sender = connection.info.role.peer.sends
    watch.emit(MessageSeen(watch.time, sender, records.read_epoch, message, raw, records.joiner.records))


def tell_if_it_decodes(connection: Connection, raw: bytes) -> None:
    """Tell the observers of a message that may not come now."""
    try:
        tell_message(connection, raw)
    except (BadMessage, PeerMisbehaved):
        return


def tell_rest(connection: Connection) -> None:
    """Tell of the messages behind the one that ended the connection: they came in the same record."""
    try:
        while (raw := connection._records.joiner.next()) is not None:
            tell_if_it_decodes(connection, raw)
    except PeerMisbehaved:
        # What comes next is larger than any message may be.
        return
