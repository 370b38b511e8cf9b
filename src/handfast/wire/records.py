"""The header of a record. RFC 9846 5.1."""

from typing import Annotated

from handfast.registry import ContentType, ProtocolVersion
from handfast.wire.codec import Struct, UInt, tls_struct


@tls_struct
class RecordHeader(Struct):
    """The five bytes before each record: what it holds, and how long it is. RFC 9846 5.1.

    ``length`` is that of what follows them; of protected records RFC 9846 5.2 tells.
    """

    type: Annotated[
        int, UInt(1, ContentType), "What the record holds; an encrypted record of TLS 1.3 always says application_data."
    ]
    legacy_record_version: Annotated[
        int, UInt(2, ProtocolVersion), "TLS 1.2 or older, whatever is spoken, to please middleboxes."
    ]
    length: Annotated[int, UInt(2), "How many bytes of the record follow."]
