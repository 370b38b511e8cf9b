"""The secrets that outlive a TLS 1.3 handshake."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from handfast.crypto.suites import Suite13
    from handfast.keys.schedule import ExporterSecret, ResumptionSecret, TrafficSecret


@dataclass(frozen=True, slots=True)
class Established:
    """What a connected side keeps. RFC 9846 7.1: ``read`` and ``write`` are the application traffic secrets."""

    suite: Suite13
    read: TrafficSecret = field(repr=False)
    write: TrafficSecret = field(repr=False)
    exporter: ExporterSecret = field(repr=False)
    resumption: ResumptionSecret = field(repr=False)


@dataclass(slots=True)
class TrafficSecrets:
    """The application traffic secrets of this moment: a KeyUpdate replaces one. RFC 9846 7.2."""

    read: TrafficSecret = field(repr=False)
    write: TrafficSecret = field(repr=False)
