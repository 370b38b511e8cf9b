"""Records as they stand on the wire: what a header may say, and where the record ends. RFC 9846 5.1 and 5.2.

This is the one parser of record headers, for all that reads records: the record layer, the decoder of recordings, and
the stand-in for ``ssl``, which takes them from a socket one by one. They differ in what they let pass: a recording may
be of any version and may begin anywhere, a connection has keys that set a limit. That is a ``HeaderRules``. What breaks
them is told as data, since it ends a connection and is passed over in a recording.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from struct import Struct
from typing import NamedTuple

from handfast.limits import MAX_CIPHERTEXT_12, MAX_PLAINTEXT, RECORD_HEADER
from handfast.registry import ContentType

CHANGE_CIPHER_SPEC = int(ContentType.change_cipher_spec)
ALERT = int(ContentType.alert)
HANDSHAKE = int(ContentType.handshake)
APPLICATION_DATA = int(ContentType.application_data)
HEARTBEAT = 24  # RFC 6520 3.

# Of a header: content type and version, and the length of the body.
read_header: Callable[[bytes | bytearray], tuple[bytes, int]] = Struct(">3sH").unpack_from

# How the records begin that TLS peers send: the second one is what a first ClientHello may say. RFC 9846 5.1.
USUAL_STARTS = frozenset(
    bytes((content_type, 3, minor))
    for content_type in range(CHANGE_CIPHER_SPEC, APPLICATION_DATA + 1)
    for minor in (3, 1)
)
# Whatever a record is, its body may have this length.
USUAL_LENGTH = MAX_PLAINTEXT


class Frame(NamedTuple):
    """One record as it stood on the wire."""

    header: bytes
    body: bytes


class HeaderFault(Enum):
    """What of a header is not as it must be."""

    CONTENT_TYPE = auto()
    VERSION = auto()
    LENGTH = auto()


class HeaderRules(NamedTuple):
    """What a reader lets a header say: ``versions`` are those of legacy_record_version, ``limit`` is the body's."""

    content_types: range
    versions: range
    limit: int

    def fault(self, data: bytes | bytearray, at: int = 0, limit: int = 0) -> HeaderFault | None:
        """The first thing that is wrong with the header at ``at``, as far as it is there; None if nothing is.

        ``limit``, if given, stands in place of the rules' own.
        """
        start = data[at : at + RECORD_HEADER]
        known = len(start)
        if known and start[0] not in self.content_types:
            return HeaderFault.CONTENT_TYPE
        if known > 2:
            if (start[1] << 8 | start[2]) not in self.versions:
                return HeaderFault.VERSION
        elif known == 2 and not self.versions[0] >> 8 <= start[1] <= self.versions[-1] >> 8:
            # Half a version is judged by its major number.
            return HeaderFault.VERSION
        if known == RECORD_HEADER and (start[3] << 8 | start[4]) > (limit or self.limit):
            return HeaderFault.LENGTH
        return None

    @property
    def start_pattern(self) -> bytes:
        """A regular expression for content type and version, of rules whose versions have one major number."""
        types, versions = self.content_types, self.versions
        major, first, last = versions[0] >> 8, versions[0] & 0xFF, versions[-1] & 0xFF
        return b"[\\x%02x-\\x%02x]\\x%02x[\\x%02x-\\x%02x]" % (types[0], types[-1], major, first, last)


# What may come on a connection; its keys say which length.
CONNECTED = HeaderRules(range(CHANGE_CIPHER_SPEC, APPLICATION_DATA + 1), range(0x0300, 0x0400), MAX_PLAINTEXT)
# What may stand in a recording: every version from SSL 3.0 on, heartbeats, and the longest of lengths.
RECORDED = HeaderRules(range(CHANGE_CIPHER_SPEC, HEARTBEAT + 1), range(0x0300, 0x0305), MAX_CIPHERTEXT_12)
# What is taken whole from a socket, to be refused by who knows better.
ANY = HeaderRules(range(CHANGE_CIPHER_SPEC, HEARTBEAT + 1), range(0x10000), MAX_CIPHERTEXT_12)
