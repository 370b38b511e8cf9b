"""From bytes to handshake messages of either version. RFC 9846 4, RFC 5246 7.4."""

from __future__ import annotations

from handfast import limits
from handfast.errors import BadMessage
from handfast.registry import ExtensionType, HandshakeType
from handfast.wire.codec import decode
from handfast.wire.messages import (
    HANDSHAKE_HEADER,
    HELLO_RETRY_REQUEST_RANDOM,
    MESSAGES,
    HandshakeMessage,
    HelloRetryRequest,
    Messages,
    ServerHello,
)


def message_class(raw: bytes, messages: Messages = MESSAGES) -> type[HandshakeMessage] | None:
    """The class of the message in ``raw``, out of a version's ``messages``; None for an unknown type.

    A ServerHello says itself what it is, by its random and its extensions, whatever the version.
    """
    return server_hello_class(raw) if raw[0] == HandshakeType.server_hello else messages.get(raw[0])


def server_hello_class(raw: bytes) -> type[HandshakeMessage]:
    """The class of the message of type server_hello in ``raw``."""
    if raw[6:38] == HELLO_RETRY_REQUEST_RANDOM:
        return HelloRetryRequest
    if _selects_a_version(raw):
        return ServerHello
    # Few connections need it, so it is loaded when it first comes.
    from handfast.wire import messages12

    return messages12.ServerHello


def _selects_a_version(hello: bytes) -> bool:
    """Whether a ServerHello has supported_versions. RFC 9846 4.3.1."""
    # legacy_version and random; the session id with its length; the suite, the compression method, a length.
    at = HANDSHAKE_HEADER + 2 + 32
    at += 1 + int.from_bytes(hello[at : at + 1]) + 5
    # Of more extensions than that none is read.
    for _ in range(limits.MAX_LIST_ITEMS):
        if hello[at : at + 2] == _SUPPORTED_VERSIONS:
            return True
        at += 4 + int.from_bytes(hello[at + 2 : at + 4])
        if at >= len(hello):
            break
    return False


_SUPPORTED_VERSIONS = ExtensionType.supported_versions.to_bytes(2)


def parse_handshake(raw: bytes, messages: Messages = MESSAGES) -> HandshakeMessage:
    """The message in ``raw``, which is the 4-byte header and exactly the body it announces. RFC 9846 4.

    Raises BadMessage when the bytes do not decode or the type is unknown, PeerMisbehaved for a duplicate extension.
    """
    size = len(raw)
    if size < HANDSHAKE_HEADER:
        missing = HANDSHAKE_HEADER - size
        raise BadMessage("truncated", message="a handshake message", missing=missing, field="its header")
    cls = message_class(raw, messages)
    if cls is None:
        raise BadMessage("unknown_message", type=raw[0])
    surplus = size - HANDSHAKE_HEADER - (raw[1] << 16 | raw[2] << 8 | raw[3])
    if surplus < 0:
        raise BadMessage("truncated", message=cls.__name__, missing=-surplus, field="its body")
    if surplus > 0:
        raise BadMessage("trailing_bytes", message=cls.__name__, extra=surplus, field="its body")
    message = decode(cls, raw, at=HANDSHAKE_HEADER)
    message.raw = raw
    return message
