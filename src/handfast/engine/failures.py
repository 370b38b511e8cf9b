"""What becomes of what goes wrong: around every entry of a connection, and with those who were asked."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from handfast import limits, logs
from handfast.errors import ApiMisuse, HandfastError, LocalFailure
from handfast.errors.foreign import said_by
from handfast.handshake.needs import Need, Sign
from handfast.text import escape

if TYPE_CHECKING:
    from handfast.engine.connection import Connection
    from handfast.handshake.post_auth import LaterAuthentication
    from handfast.record.layer import RecordLayer


class Guard:
    """Around every entry: refuses re-entry, repeats the error of a dead connection, and turns what escapes into one.

    An error that is the caller's own fault leaves the connection as it was.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        connection = self._connection
        if connection._busy:
            raise ApiMisuse("reentrant")
        connection._raise_error()
        connection._busy = True

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        self._connection._busy = False
        return error is not None and self._connection._escaped(error)


def cut_by_eof(records: RecordLayer, later: LaterAuthentication | None) -> str:
    """What an end of the transport would cut now: a record, a message, or "" for nothing."""
    if records.buffered:
        return "record"
    answering = later is not None and later.step is not None
    return "" if records.joiner.empty and not answering else "message"


def log_bug(error: BaseException) -> None:
    """The traceback as text: a log handler that captures locals must not get at ours."""
    import traceback

    lines = "".join(traceback.format_exception(error)).splitlines()
    shown = "\n".join(escape(line, limits.MAX_PEER_TEXT) for line in lines)
    logs.warn("internal errors", lambda: f"internal error:\n{shown}", logging.ERROR)


def answer_without(need: Need, error: BaseException) -> object:
    """What a need comes to whose owner failed: None where the handshake can do without."""
    if need.essential:
        raise _need_failed(need, error) from None
    reason = said_by(error)
    logs.warn("failures of stores", lambda: f"{type(need).__name__} failed, and was done without: {reason}")
    return None


def _need_failed(need: Need, error: BaseException) -> HandfastError:
    if isinstance(error, HandfastError) and not isinstance(error, ApiMisuse):
        return error
    reason = said_by(error)
    if isinstance(need, Sign):
        return LocalFailure("signing_failed", reason=reason)
    return LocalFailure("need_failed", need=type(need).__name__.lower(), reason=reason)
