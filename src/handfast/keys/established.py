"""The secrets that outlive a TLS 1.3 handshake."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.crypto.suites import Suite13
    from handfast.keys.schedule import ExporterSecret, TrafficSecret
    from handfast.wire.messages import NewSessionTicket


@dataclass(frozen=True, slots=True)
class Established:
    """What a connected side keeps. RFC 9846 7.1: ``read`` and ``write`` are the application traffic secrets.

    ``keep_ticket`` takes the tickets that come, if anyone wants them.
    """

    suite: Suite13
    read: TrafficSecret = field(repr=False)
    write: TrafficSecret = field(repr=False)
    exporter: ExporterSecret = field(repr=False)
    keep_ticket: Callable[[NewSessionTicket], None] | None = field(default=None, repr=False)
