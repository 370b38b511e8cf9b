"""Lines in the log, on the logger ``handfast``, and a flood of them held back.

A peer that reaches a port can make handshakes, stores and observers fail as fast as it likes. So each kind of line has
a token bucket, and the next line that passes says how many did not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from handfast.fork import renew_in_children
from handfast.limits import LOGGED_FAILURES_AT_ONCE, LOGGED_FAILURES_PER_SECOND
from handfast.token_bucket import Throttle, TokenBucket


def say(level: int, text: str, *, logger: str = "handfast", exc_info: bool = False) -> None:
    """Log ``text``, with ``exc_info`` the exception that is handled as well.

    What a handler of the program's raises is told on stderr, as the handlers of the standard library do: what logged
    goes on.
    """
    import logging

    try:
        logging.getLogger(logger).log(level, "%s", text, exc_info=exc_info)
    except Exception:  # noqa: BLE001 (whatever the handler raised)
        logging.Handler().handleError(logging.makeLogRecord({"msg": text}))


class ThrottledLog:
    """Lines of one kind. ``kind`` names them in the plural, ``clock`` returns seconds that never go back."""

    _lock: threading.RLock

    def __init__(self, kind: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._kind = kind
        renew_in_children(self, _lock=threading.RLock)
        self._lines = Throttle(TokenBucket(LOGGED_FAILURES_AT_ONCE, LOGGED_FAILURES_PER_SECOND, clock))

    def write(self, line: Callable[[], str], *, error: bool = False) -> None:
        """Log what ``line`` returns, as a warning or an error, unless it is held back; then it is not asked for."""
        with self._lock:
            held_back = self._lines.admit()
        if held_back is not None:
            suffix = f" ({held_back} more {self._kind} before this one are not shown)" if held_back else ""
            # A program that has nothing to log need not load it.
            import logging

            say(logging.ERROR if error else logging.WARNING, f"{line()}{suffix}")


class StateLog:
    """Lines of one kind, as in ``warn``, about what may last: one when it changes, and none meanwhile.

    Attributes:
        state: what was told last; "" is that nothing is wrong, as at first.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.state = ""

    def tell(self, state: str, line: Callable[[], str]) -> None:
        """Log what ``line`` returns, unless this was the state before."""
        if state != self.state:
            # In this order: the line is there when the state is seen.
            warn(self._kind, line)
            self.state = state


_kinds: dict[str, ThrottledLog] = {}


def warn(kind: str, line: Callable[[], str], *, error: bool = False) -> None:
    """``ThrottledLog.write`` under the limit that all lines of this kind in the process share."""
    log = _kinds.get(kind) or _kinds.setdefault(kind, ThrottledLog(kind))
    log.write(line, error=error)
