"""Alerts. RFC 9846 6."""

from typing import Annotated

from handfast.registry import AlertDescription, AlertLevel
from handfast.wire.codec import Struct, UInt, encode, tls_struct


@tls_struct
class Alert(Struct):
    """RFC 9846 6: two bytes."""

    level: Annotated[int, UInt(1, AlertLevel)]
    description: Annotated[int, UInt(1, AlertDescription)]

    def encode(self) -> bytes:
        """The 2 bytes of the alert."""
        return encode(self)
