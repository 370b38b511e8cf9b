"""What a connection tells its observers of the messages that it reads. Only a connection that is watched comes here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.errors import BadMessage, PeerMisbehaved
from handfast.events import MessageSeen
from handfast.wire.parsing import parse_handshake

if TYPE_CHECKING:
    from handfast.events import EventDispatcher
    from handfast.record.layer import RecordLayer
    from handfast.wire.messages import Messages


def tell_message(watch: EventDispatcher, records: RecordLayer, messages: Messages, raw: bytes) -> None:
    """Tell of the message that the record layer gave last. Observers get one of their own: ours may be shared."""
    message = parse_handshake(raw, messages)
    watch.emit(
        MessageSeen(
            time=watch.time,
            direction=records.receives,
            epoch=records.read_epoch,
            message=message,
            raw=raw,
            records=records.message_records,
        )
    )


def tell_if_it_decodes(watch: EventDispatcher, records: RecordLayer, messages: Messages, raw: bytes) -> None:
    """Tell the observers of a message that may not come now."""
    try:
        tell_message(watch, records, messages, raw)
    except (BadMessage, PeerMisbehaved):
        return


def tell_rest(watch: EventDispatcher, records: RecordLayer, messages: Messages) -> None:
    """Tell of the messages behind the one that ended the connection: they came in the same record."""
    try:
        while (raw := records.next_message()) is not None:
            tell_if_it_decodes(watch, records, messages, raw)
    except PeerMisbehaved:
        # What comes next is larger than any message may be.
        return
