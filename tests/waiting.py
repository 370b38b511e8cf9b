"""How long a test waits, for all tests in one place.

A test waits for what it is told (a line, an event, the end of a program), and the limits here only keep one that went
wrong from standing for ever. They are generous: a machine that does other things at the same time reaches none of them,
so nobody may conclude anything from how long something took. HANDFAST_TEST_LIMIT changes them.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = float(os.environ.get("HANDFAST_TEST_LIMIT", "120"))
"""Seconds for one wait: for a peer, a thread or a program that a test started."""

OUR_LIMIT = LIMIT / 2
"""Seconds for our own side, where there is a peer: it gives up first, since it says most of what it waited for."""

TEST_LIMIT = 5 * LIMIT
"""Seconds for a whole test, with what it sets up: a compiler, the start of a virtual machine, a scanner."""

PAUSE = 0.005


def until(condition: Callable[[], object]) -> bool:
    """Looks again and again until the condition holds: for what nobody tells. False when it did not within LIMIT."""
    end = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > end:
            return bool(condition())
        time.sleep(PAUSE)
    return True


def with_growing(seconds: float, attempt: Callable[[float], object]) -> None:
    """Tries with a short limit, and with ten times as much until it comes off. The longest one's failure is raised.

    For tests that let a limit of ours pass, and in which something else must come before it does: that takes a longer
    limit on a busy machine, for which a quiet one need not wait.
    """
    while seconds < OUR_LIMIT / 10:
        try:
            attempt(seconds)
            return
        except (Exception, pytest.fail.Exception):
            seconds *= 10
    attempt(seconds)
