"""What outlives a TLS 1.2 handshake."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from handfast.crypto.suites12 import Suite12
    from handfast.keys.schedule12 import Exporter


@dataclass(frozen=True, slots=True)
class Established12:
    """What a connected side keeps. Its keys never change. ``first_finished`` is the verify_data that was sent first."""

    suite: Suite12
    exporter: Exporter = field(repr=False)
    first_finished: bytes = field(repr=False)
