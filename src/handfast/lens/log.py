"""Failed handshakes in the log: one WARNING each on the logger ``handfast``, and a flood of them held back.

Whoever can reach a port can make handshakes fail as fast as it likes, so the log has a token bucket, and the next line
that passes says how many did not.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from handfast.errors import HandfastError
from handfast.errors.foreign import said_by
from handfast.limits import LOGGED_FAILURES_AT_ONCE, LOGGED_FAILURES_PER_SECOND, MAX_LOG_LINE
from handfast.text import escape
from handfast.token_bucket import Throttle, TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable


class FailureLog:
    """A rate-limited log of failed handshakes. ``clock`` returns seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._lines = Throttle(TokenBucket(LOGGED_FAILURES_AT_ONCE, LOGGED_FAILURES_PER_SECOND, clock))

    def failure(self, peer_address: object, stage: str, error: BaseException) -> None:
        """Log that the handshake with ``peer_address`` failed at ``stage`` because of ``error``."""
        with self._lock:
            held_back = self._lines.admit()
        if held_back is not None:
            _warn(failure_line(peer_address, stage, error), held_back)


def failure_line(peer_address: object, stage: str, error: BaseException) -> str:
    """A failed handshake as one line: peer address, stage, cause and hint, escaped."""
    cause = error.explain() if isinstance(error, HandfastError) else said_by(error)
    # What the cause says itself is not said twice.
    where = "" if stage.removeprefix("waiting for ") in cause else f" {stage}"
    return escape(f"{address_text(peer_address)}: handshake failed{where}: {cause}", MAX_LOG_LINE)


def address_text(peer_address: object) -> str:
    """A socket address as "127.0.0.1:1337" or "[::1]:1337"."""
    if isinstance(peer_address, tuple) and len(peer_address) >= 2:
        host, port = peer_address[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return str(peer_address) or "a peer without an address"


def _warn(line: str, held_back: int) -> None:
    import logging

    suffix = f" ({held_back} more failed handshakes before this one are not shown)" if held_back else ""
    logging.getLogger("handfast").warning("%s%s", line, suffix)


_process_log = FailureLog()


def log_failure(peer_address: object, stage: str, error: BaseException) -> None:
    """Log a failed handshake on the logger ``handfast``, under the limit that all connections of the process share.

    ``peer_address`` is as sockets give it; ``stage`` says where it failed ("after ClientHello", or "").
    """
    _process_log.failure(peer_address, stage, error)
