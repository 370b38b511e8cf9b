"""The header of a record. RFC 9846 5.1."""

from typing import Annotated

from handfast.registry import ContentType, ProtocolVersion
from handfast.wire.codec import Struct, UInt, tls_struct


@tls_struct
class RecordHeader(Struct):
    """RFC 9846 5.1 and 5.2: five bytes; ``length`` is that of what follows them."""

    type: Annotated[int, UInt(1, ContentType)]
    legacy_record_version: Annotated[int, UInt(2, ProtocolVersion)]
    length: Annotated[int, UInt(2)]
