"""What a pure function gave before, kept to spare the work of asking it again.

All memories of handfast are of this one kind, and each stands in front of a function that stays as it was: a miss runs
the function, so that an empty memory costs time and changes nothing. docs/architecture.md lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Memory(Generic[K, V]):
    """Values by the whole of what they depend on: at most ``entries`` of them, and ``size`` bytes.

    ``get`` gives a value or None. What peers chose is in keys and values, so both bounds hold always: a memory that is
    full starts over, and what is larger than ``size`` is not kept. There is no lock: each step is one operation on a
    dict, and threads that come at once can only make it start over too early.
    """

    __slots__ = ("_entries", "_kept", "_left", "_size", "get")

    def __init__(self, entries: int, size: int) -> None:
        self._entries = entries
        self._size = self._left = size
        self._kept: dict[K, V] = {}
        self.get: Callable[[K], V | None] = self._kept.get

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size(self) -> int:
        """The bytes that its values were said to take."""
        return self._size - self._left

    def keep(self, key: K, value: V, size: int) -> None:
        """Remember ``value``, which with its key takes ``size`` bytes."""
        if size > self._size or not self._entries:
            return
        if key not in self._kept:
            if len(self._kept) >= self._entries or size > self._left:
                self.forget()
            self._left -= size
        self._kept[key] = value

    def forget(self) -> None:
        """Start over with nothing."""
        self._kept.clear()
        self._left = self._size
