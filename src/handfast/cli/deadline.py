"""A limit on everything a command does: looking up names, connecting, waiting, printing."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from handfast.errors import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Iterator

# Somebody below may swallow the first one, as what contains the errors of observers does.
_REPEAT = 0.05


@contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Raises ConnectionLost too_slow in the main thread, wherever it is, when the block takes longer."""
    if seconds is None:
        yield
        return

    def too_late(_signal: int, _frame: object) -> NoReturn:
        raise ConnectionLost("too_slow", seconds=seconds)

    before = signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, seconds, _REPEAT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
