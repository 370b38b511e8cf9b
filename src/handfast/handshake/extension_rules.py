"""Which extensions a message may hold, and which it must. RFC 9846 4.3 and 9.2."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol, TypeVar

from handfast.errors import PeerMisbehaved
from handfast.registry import ExtensionType
from handfast.wire.extensions import ExtensionBody
from handfast.wire.messages import MESSAGES, CertificateEntry, CertificateRequest, ClientHello, HelloRetryRequest

# The extensions that have a form in some message: these are out of place in another. RFC 9846 4.3.
_KNOWN_EXTENSIONS = frozenset[int].union(
    frozenset(HelloRetryRequest.EXTENSIONS),
    CertificateEntry.EXTENSIONS,
    *[message.EXTENSIONS for message in MESSAGES.values()],
)
# Messages that ask: what they hold that we do not know is ignored. The others may answer only what was asked.
_REQUESTS = (ClientHello, CertificateRequest)

X = TypeVar("X", bound=ExtensionBody)


class Extended(Protocol):
    """A message, or a part of one, that has extensions."""

    @property
    def EXTENSIONS(self) -> Mapping[int, type[ExtensionBody]]: ...  # noqa: N802 (the messages' own name)
    @property
    def extensions(self) -> Mapping[int, ExtensionBody]: ...
    def find(self, cls: type[X], /) -> X | None: ...


def check_extensions(message: Extended, requested: Collection[int] = ()) -> None:
    """Each extension belongs into this message and answers something that we asked. RFC 9846 4.3."""
    name = type(message).__name__
    for extension_type in message.extensions:
        if extension_type in message.EXTENSIONS:
            if isinstance(message, _REQUESTS) or extension_type in requested:
                continue
        elif extension_type in _KNOWN_EXTENSIONS:
            extension = ExtensionType.describe(extension_type)
            raise PeerMisbehaved("extension_in_wrong_message", extension=extension, message=name)
        elif isinstance(message, _REQUESTS):
            continue
        extension = ExtensionType.describe(extension_type)
        raise PeerMisbehaved("unrequested_extension", extension=extension, message=name)


def require(message: Extended, extension: type[X]) -> X:
    """An extension without which the message means nothing. RFC 9846 9.2."""
    body = message.find(extension)
    if body is None:
        wanted = ExtensionType.describe(extension.EXTENSION_TYPE)
        raise PeerMisbehaved("missing_extension", message=type(message).__name__, extension=wanted)
    return body
