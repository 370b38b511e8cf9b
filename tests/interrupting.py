"""The handler of a signal, run by hand wherever Python may run one: at the beginning of a function and after a call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def interrupted(work: Callable[[], object], handler: Callable[[], object], at: int) -> bool:
    """Do ``work``, and in the middle of it, at its place no. ``at``, what ``handler`` does. False if it has fewer."""
    places = 0

    def profile(_frame: FrameType, event: str, _: Any) -> None:
        nonlocal places
        if event in ("call", "return", "c_return"):
            places += 1
            if places == at + 1:
                # Nothing is told of what is called from here, and what it raises is raised there.
                handler()

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return places > at
