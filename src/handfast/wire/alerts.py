"""Alerts. RFC 9846 6."""

from typing import Annotated

from handfast.registry import AlertDescription, AlertLevel
from handfast.wire.codec import Struct, UInt, encode, tls_struct


@tls_struct
class Alert(Struct):
    """The sender closes the connection, or says what went wrong. RFC 9846 6.

    It is two bytes.
    """

    level: Annotated[int, UInt(1, AlertLevel), "How bad it is; TLS 1.3 does not look at it."]
    description: Annotated[int, UInt(1, AlertDescription), "What happened."]

    def encode(self) -> bytes:
        """The 2 bytes of the alert."""
        return encode(self)
