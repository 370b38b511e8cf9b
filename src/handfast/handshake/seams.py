"""Where the outside world enters a handshake: the clock, randomness, ephemeral keys.

Tests put recorded values here to replay a handshake byte for byte. No configuration and no environment selects them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from handfast.crypto import groups
from handfast.crypto.randomness import random_bytes


def unchanged(message: Any) -> Any:
    return message


@dataclass(frozen=True, slots=True)
class Seams:
    """``clock`` is wall-clock time in seconds since the epoch, ``monotonic`` measures waiting.

    ``edit`` sees each message that is about to be sent and returns what is sent instead.
    """

    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    random_bytes: Callable[[int], bytes] = random_bytes
    generate: Callable[[int], groups.KeyShare] = field(default=groups.generate)
    encapsulate: Callable[[int, bytes], tuple[bytes, bytes]] = field(default=groups.encapsulate)
    edit: Callable[[Any], Any] = unchanged


REAL = Seams()
