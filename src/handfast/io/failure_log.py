"""Failed handshakes in the log: one WARNING each on the logger ``handfast``, and a flood of them held back.

The words are those of the verdict that an observer would give (``outcome.failure_words``).

One who can reach a port can make handshakes fail as fast as it likes, so the log has a token bucket, and the next line
that passes says how many did not.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from handfast.errors import ConnectionLost, HandfastError
from handfast.errors.foreign import said_by
from handfast.limits import MAX_LOG_LINE
from handfast.logs import ThrottledLog, say
from handfast.outcome.failure import failure_of
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.connection_info import ConnectionInfo

# How a connection ends that was opened to see whether somebody listens.
_CLOSED = ("eof_in_handshake", "reset")


class FailureLog:
    """A rate-limited log of failed handshakes. ``clock`` returns seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lines = ThrottledLog("failed handshakes", clock)

    def failure(
        self,
        peer_address: object,
        stage: str,
        error: BaseException,
        info: ConnectionInfo | None = None,
        *,
        heard: bool = True,
    ) -> None:
        """Log that the handshake with ``peer_address`` failed at ``stage`` because of ``error``.

        ``info`` is what is known of the connection, None where there was none yet. A peer that closed and of which
        nothing had been ``heard`` is one line for debugging: a load balancer's check or a scanner is no failure.
        """
        if not heard and isinstance(error, ConnectionLost) and error.code in _CLOSED:
            say(logging.DEBUG, f"{escape(address_text(peer_address))}: closed before its first byte")
            return
        self._lines.write(lambda: failure_line(peer_address, stage, error, info))


def failure_line(peer_address: object, stage: str, error: BaseException, info: ConnectionInfo | None = None) -> str:
    """A failed handshake as one line: peer address, stage, cause and hint, escaped."""
    cause = said_by(error)
    if isinstance(error, HandfastError):
        cause = error.explain("" if info is None else _words(info, error))
    # What the cause says itself is not said twice.
    where = "" if stage.removeprefix("waiting for ") in cause else f" {stage}"
    return escape(f"{address_text(peer_address)}: handshake failed{where}: {cause}", MAX_LOG_LINE)


def _words(info: ConnectionInfo, error: HandfastError) -> str:
    # X.509 is read where a certificate is named, and not by a server that never asks for one.
    from handfast.outcome import failure_words
    from handfast.outcome.certificate_words import DESCRIBER

    return failure_words.line(failure_of(info, error), DESCRIBER)


def address_text(peer_address: object) -> str:
    """A socket address as "127.0.0.1:1337" or "[::1]:1337"."""
    if isinstance(peer_address, tuple) and len(peer_address) >= 2:
        host, port = peer_address[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return str(peer_address) or "a peer without an address"


_process_log = FailureLog()


def log_failure(
    peer_address: object,
    stage: str,
    error: BaseException,
    info: ConnectionInfo | None = None,
    *,
    heard: bool = True,
) -> None:
    """Log a failed handshake on the logger ``handfast``, under the limit that all connections of the process share.

    ``peer_address`` is as sockets give it; ``stage`` says where it failed ("after ClientHello", or ""), ``info``
    is what is known of the connection, and ``heard`` whether any byte had come.
    """
    _process_log.failure(peer_address, stage, error, info, heard=heard)
