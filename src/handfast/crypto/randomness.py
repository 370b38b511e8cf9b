"""Where random bytes come from: the operating system, and nowhere else."""

from __future__ import annotations

import os


def random_bytes(length: int) -> bytes:
    """``length`` unpredictable bytes, fit for nonces and keys."""
    return os.urandom(length)
