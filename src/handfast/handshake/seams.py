"""Where the outside world enters a handshake: the clock, randomness, ephemeral keys.

Tests put recorded values here to replay a handshake byte for byte. No configuration and no environment selects them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from handfast.crypto import groups
from handfast.crypto.randomness import random_bytes
from handfast.errors import bad_option

if TYPE_CHECKING:
    from handfast.crypto.provider import CryptoProvider


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


def with_provider(seams: Seams, before: CryptoProvider, now: CryptoProvider) -> Seams:
    """These seams with ephemeral keys of the provider ``now`` in place of those of ``before``.

    Raises ConfigError bad_option for keys that a test brings: they are numbers for the default provider alone.
    """
    made = seams.generate, seams.encapsulate
    if made == (now.generate, now.encapsulate):
        return seams
    if made != (before.generate, before.encapsulate):
        reason, advice = "the ephemeral keys of this connection are brought by its seams", "leave it out"
        raise bad_option("crypto_provider", reason, advice)
    return _real(now) if seams is REAL else replace(seams, generate=now.generate, encapsulate=now.encapsulate)


@cache
def _real(crypto: CryptoProvider) -> Seams:
    return replace(REAL, generate=crypto.generate, encapsulate=crypto.encapsulate)
