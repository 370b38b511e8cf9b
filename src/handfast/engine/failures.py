"""What becomes of what goes wrong: around every entry of a connection, and with those who were asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast import limits, logs
from handfast.errors import ApiMisuse, HandfastError, LocalFailure
from handfast.errors.foreign import said_by
from handfast.handshake.needs import Need, Sign
from handfast.text import escape

if TYPE_CHECKING:
    from handfast.connection_info import ConnectionInfo


def log_bug(error: BaseException) -> None:
    """The traceback as text: a log handler that captures locals must not get at ours."""
    import traceback

    lines = "".join(traceback.format_exception(error)).splitlines()
    shown = "\n".join(escape(line, limits.MAX_PEER_TEXT) for line in lines)
    logs.warn("internal errors", lambda: f"internal error:\n{shown}", error=True)


def diagnosis_of(info: ConnectionInfo, error: HandfastError) -> tuple[str, ...]:
    """Which causes a failure leaves open, by what this side knows: see ``HandfastError.diagnosis``."""
    # Only what fails needs them.
    from handfast.outcome.diagnosed import diagnosed
    from handfast.outcome.failure import failure_of

    return diagnosed(failure_of(info, error))


def answer_without(need: Need, error: BaseException) -> object:
    """What a need comes to whose owner failed: None where the handshake can do without."""
    if need.essential:
        raise _need_failed(need, error) from None
    reason = said_by(error)
    if isinstance(error, HandfastError) and error.hint:
        reason = f"{reason}; {error.hint}"
    logs.warn("failures of stores", lambda: f"{type(need).__name__} failed, and was done without: {reason}")
    return None


def _need_failed(need: Need, error: BaseException) -> HandfastError:
    if isinstance(error, HandfastError) and not isinstance(error, ApiMisuse):
        return error
    reason = said_by(error)
    if isinstance(need, Sign):
        return LocalFailure("signing_failed", reason=reason)
    return LocalFailure("need_failed", need=type(need).__name__.lower(), reason=reason)
