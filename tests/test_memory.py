"""Memory keeps what it is given within its bounds, and starts over when it is full."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from handfast.memory import Memory


def test_what_is_kept_is_given():
    memory: Memory[str, int] = Memory(2, 100)
    assert memory.get("a") is None
    memory.keep("a", 1, 10)
    memory.keep("a", 2, 10)
    assert memory.get("a") == 2
    assert (len(memory), memory.size) == (1, 10)


def test_what_is_too_large_is_not_kept():
    memory: Memory[str, int] = Memory(2, 100)
    memory.keep("a", 1, 100)
    memory.keep("b", 2, 101)
    assert (memory.get("a"), memory.get("b")) == (1, None)


def test_one_without_room_keeps_nothing():
    memory: Memory[str, int] = Memory(0, 100)
    memory.keep("a", 1, 1)
    assert len(memory) == 0


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 120))), st.integers(0, 5), st.integers(0, 100))
def test_both_bounds_hold(kept, entries, size):
    memory: Memory[int, int] = Memory(entries, size)
    for key, weight in kept:
        memory.keep(key, weight, weight)
        assert len(memory) <= entries
        assert 0 <= memory.size <= size
    memory.forget()
    assert (len(memory), memory.size) == (0, 0)
