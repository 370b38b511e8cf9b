"""Alerts. RFC 9846 6."""

from typing import Annotated

from handfast.errors import PeerMisbehaved
from handfast.registry import AlertDescription, AlertLevel
from handfast.wire.codec import Struct, UInt, decode, encode, tls_struct


@tls_struct
class Alert(Struct):
    """RFC 9846 6: two bytes."""

    level: Annotated[int, UInt(1, AlertLevel)]
    description: Annotated[int, UInt(1, AlertDescription)]

    def encode(self) -> bytes:
        """The 2 bytes of the alert."""
        return encode(self)


def parse_alert(content: bytes) -> Alert:
    """The alert in the content of one record. Raises PeerMisbehaved when it has not 2 bytes. RFC 9846 5.1 and 6."""
    if len(content) != 2:
        raise PeerMisbehaved("bad_alert", length=len(content))
    return decode(Alert, content)
