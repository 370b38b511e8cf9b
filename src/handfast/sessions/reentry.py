"""A store that a signal's handler uses in the middle of a step which its own thread does there.

The store's lock lets that thread in, so that it does not wait for itself. What only reads is answered. But no step is
made for another in its middle, so a handler that wants to change something is answered as by a store that knows nothing
and has no room: with a full handshake.
"""

from __future__ import annotations

import threading


def in_a_step(lock: threading.RLock) -> bool:
    """Whether this thread is in the middle of what ``lock`` guards; to be asked before it is taken."""
    # As threading.Condition asks.
    owned: bool = lock._is_owned()  # type: ignore[attr-defined]
    return owned
