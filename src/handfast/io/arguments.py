"""What the blocking and the asyncio shell take alike."""

from __future__ import annotations


def check_seconds(name: str, seconds: float | None) -> None:
    """Raise ValueError, as the socket module does, for a negative number of seconds; None is no limit."""
    if seconds is not None and not seconds >= 0:
        raise ValueError(f"{name} is a number of seconds or None, and not negative: {seconds!r}")
