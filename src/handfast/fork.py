"""Locks that a forked child can use.

A fork copies only the thread that forks. A lock that another thread held then stays locked in the child for ever, so
every lock of this package is made here, and made anew in each child.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any


class _Owner(weakref.ref[Any]):
    """A weak reference to an object with locks, and how they are made. Each is equal to itself alone."""

    __slots__ = ("makers",)

    makers: dict[str, Callable[[], object]]
    __hash__ = object.__hash__
    __eq__ = object.__eq__


_owners: set[_Owner] = set()


def renew_in_children(owner: object, **makers: Callable[[], object]) -> None:
    """Set each of these attributes of ``owner`` to what is made for it, now and again in every forked child.

    What a lock guards must be usable in the middle of any change: replaced in one step, or forgotten in a child.
    """
    for name, make in makers.items():
        setattr(owner, name, make())
    reference = _Owner(owner, _owners.discard)
    reference.makers = makers
    _owners.add(reference)


def _renew() -> None:
    for reference in tuple(_owners):
        owner = reference()
        if owner is not None:
            for name, make in reference.makers.items():
                setattr(owner, name, make())


# Not every system can fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
