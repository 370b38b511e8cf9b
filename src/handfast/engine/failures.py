"""What becomes of what goes wrong: around every entry of a connection, and with those who were asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast import limits
from handfast.errors import ApiMisuse, ConnectionLost, HandfastError, LocalFailure
from handfast.handshake.needs import Need, Sign

if TYPE_CHECKING:
    from handfast.engine.connection import Connection


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


def what_is_cut(connection: Connection) -> str:
    """What an end of the transport would cut now: a record, a message, or "" for nothing."""
    if connection._records.buffered:
        return "record"
    answering = connection._later is not None and connection._later.step is not None
    return "" if connection._records.joiner.empty and not answering else "message"


def unexpected_eof(connection: Connection, cut: str) -> ConnectionLost:
    """The error of a transport that ended without close_notify, and so cut what ``what_is_cut`` says."""
    if connection._post is None:
        return ConnectionLost("eof_in_handshake", stage=f"we had waited for {connection.waiting_for}")
    where = f" and in the middle of a {cut}" if cut else ""
    return ConnectionLost("unexpected_eof", received=connection._received, cut=bool(cut), where=where)


def log_bug(error: BaseException) -> None:
    """The traceback as text: a log handler that captures locals must not get at ours."""
    import logging
    import traceback

    logging.getLogger("handfast").error("internal error:\n%s", "".join(traceback.format_exception(error)))


def answer_without(need: Need, error: BaseException) -> object:
    """What a need comes to whose owner failed: None where the handshake can do without."""
    if need.essential:
        raise _need_failed(need, error) from None
    import logging

    reason = f"{type(error).__name__}: {error}"[: limits.MAX_PEER_TEXT]
    logging.getLogger("handfast").warning("%s failed, and was done without: %s", type(need).__name__, reason)
    return None


def _need_failed(need: Need, error: BaseException) -> HandfastError:
    if isinstance(error, HandfastError) and not isinstance(error, ApiMisuse):
        return error
    reason = f"{type(error).__name__}: {error}"[: limits.MAX_PEER_TEXT]
    if isinstance(need, Sign):
        return LocalFailure("signing_failed", reason=reason)
    return LocalFailure("need_failed", need=type(need).__name__.lower(), reason=reason)
