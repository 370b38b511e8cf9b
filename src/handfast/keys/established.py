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
class TrafficKeys:
    """One direction's keys. RFC 9846 5.3 and 7.3.

    ``key`` has the suite's length, ``iv`` 12 bytes; ``sequence_number`` is that of the next record.
    """

    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)
    sequence_number: int


@dataclass(frozen=True, slots=True)
class ExtractedSecrets:
    """All that it takes to go on with a connection: the number of its cipher suite, and the keys of both directions."""

    suite: int
    read: TrafficKeys
    write: TrafficKeys


@dataclass(slots=True)
class Established:
    """What a connected side keeps.

    ``read`` and ``write`` are the application traffic secrets of this moment (RFC 9846 7.1): a KeyUpdate replaces one,
    and nothing keeps the one before (RFC 9846 7.2). ``keep_ticket`` takes the tickets that come, if anyone wants them.
    """

    suite: Suite13
    read: TrafficSecret = field(repr=False)
    write: TrafficSecret = field(repr=False)
    exporter: ExporterSecret = field(repr=False)
    keep_ticket: Callable[[NewSessionTicket], None] | None = field(default=None, repr=False)
