"""What the blocking and the asyncio shell take alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from handfast.events import Observer, SecretSink

ObserverFactory: TypeAlias = "Callable[[Any], tuple[Sequence[Observer], Sequence[SecretSink]]]"
"""Given the peer's address, as sockets have it, makes the observers and secret sinks of one new connection."""


def observed(
    observe: ObserverFactory | None, address: Any, observers: Sequence[Observer], secret_sinks: Sequence[SecretSink]
) -> dict[str, Any]:
    """The keyword arguments of a connection that is watched by these, and by what ``observe`` makes."""
    more, more_sinks = ((), ()) if observe is None else observe(address)
    return {"observers": (*observers, *more), "secret_sinks": (*secret_sinks, *more_sinks)}


def check_seconds(name: str, seconds: float | None) -> None:
    """Raise ValueError, as the socket module does, for a negative number of seconds; None is no limit."""
    if seconds is not None and not seconds >= 0:
        raise ValueError(f"{name} is a number of seconds or None, and not negative: {seconds!r}")


def check_shutdown_timeout(seconds: float) -> None:
    """Raise ValueError for what is no number of seconds of at least 0; a close that waits for ever is not offered."""
    if seconds is None:
        raise ValueError("shutdown_timeout is a number of seconds, not None")
    check_seconds("shutdown_timeout", seconds)


def check_bytes(name: str, data: bytes) -> None:
    """Raise TypeError, as the socket module does, for what is no bytes."""
    if not isinstance(data, bytes):
        raise TypeError(f"{name} is bytes, not {type(data).__name__}")
