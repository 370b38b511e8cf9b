"""Numbers that a program gives to stores are held to their bounds when they are given."""

from __future__ import annotations

from typing import Any

import pytest

from handfast import limits
from handfast.errors import ConfigError
from handfast.sessions.cache import SessionCache
from handfast.sessions.replay import MemoryReplayGuard
from handfast.sessions.tickets import SealedTickets, StoredTickets

SECONDS: list[object] = [0, -1, 1e10, 10**400, float("inf"), float("-inf"), float("nan"), True, "1", None]
COUNTS: list[object] = [0, -1, 2**32, 10**400, 1e3, 1.5, float("inf"), float("nan"), True, "many", None]


def check_refused(kind: Any, option: str, value: object, words: str) -> None:
    """Refused in words that name the option and say what there may be."""
    with pytest.raises(ConfigError, match=f"^{option}: ") as caught:
        kind(**{option: value})
    assert words in str(caught.value)
    assert len(str(caught.value)) < 100
    assert caught.value.hint


@pytest.mark.parametrize("value", [count for count in COUNTS if count != 0])
@pytest.mark.parametrize("kind", [SessionCache, StoredTickets, MemoryReplayGuard])
def test_a_capacity(kind: Any, value: object) -> None:
    check_refused(kind, "capacity", value, "is no whole number from 0 to 4294967295")


@pytest.mark.parametrize("value", [*SECONDS, 1, 59.9, 604_801])
def test_the_rotation_of_ticket_keys(value: object) -> None:
    check_refused(SealedTickets, "rotation", value, "is no number of seconds from 60 to 604800")


def test_the_bounds_themselves_are_taken() -> None:
    for kind in (SessionCache, StoredTickets, MemoryReplayGuard):
        for capacity in (0, limits.KEPT_MOST):
            kind(capacity)
    for rotation in (limits.TICKET_KEY_ROTATION_LEAST, limits.TICKET_KEY_ROTATION_MOST):
        assert SealedTickets(rotation=rotation).issue(b"state", bytes(32), 100)
