"""Messages that came before are not parsed again.

Most peers say most things in every connection alike. EncryptedExtensions, CertificateRequest and Certificate are
recalled whole, by all their bytes. A ClientHello is never the same twice, yet most of it is: all but the random, the
session id, the value of its key shares and its PSKs. That is its *shape*, found by exact comparison of those bytes, so
that what differs in one of them is another shape. What varies is read anew from each hello. So it is with a ServerHello
of TLS 1.3, where the random, the session id and the value of the key share vary.

Strangers choose what is kept, before anything is known of them: so it is little, in number and in bytes, and nothing of
a hello that came only once. What does not parse is not kept. A recalled message is shared with other connections: it
must not be changed, nor given to anyone who might; observers get one that is parsed for them.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from handfast import limits
from handfast.errors import BadMessage
from handfast.memory import Memory
from handfast.registry import ExtensionType, HandshakeType, ProtocolVersion
from handfast.wire import extensions as ext
from handfast.wire.codec import Undecodable, decode
from handfast.wire.messages import (
    HANDSHAKE_HEADER,
    HELLO_RETRY_REQUEST_RANDOM,
    Certificate,
    CertificateRequest,
    ClientHello,
    EncryptedExtensions,
    HandshakeMessage,
    HelloShape,
    Messages,
    ServerHello,
)
from handfast.wire.parsing import server_hello_class

_SERVER_HELLO = int(HandshakeType.server_hello)
_KEY_SHARE, _PSKS = int(ExtensionType.key_share), int(ExtensionType.pre_shared_key)
_COOKIE = int(ExtensionType.cookie)
_TLS12 = int(ProtocolVersion.TLS12)
_RECALLED_WHOLE = frozenset((EncryptedExtensions, CertificateRequest, Certificate))
M = TypeVar("M", bound=HandshakeMessage)


def parse_or_recall(raw: bytes, messages: Messages) -> HandshakeMessage:
    """The message in ``raw``, a header and exactly its body, as ``parse_handshake`` gives it; it may be shared.

    Raises BadMessage and PeerMisbehaved as ``parse_handshake`` does.
    """
    handshake_type = raw[0]
    if handshake_type == _SERVER_HELLO:
        return _recall_server_hello(raw) or _keep_server_hello(_parse(server_hello_class(raw), raw))
    cls = messages.get(handshake_type)
    if cls is None:
        raise BadMessage("unknown_message", type=handshake_type)
    if cls is ClientHello:
        return _recall_hello(raw) or _keep_hello(_parse(ClientHello, raw))
    if cls not in _RECALLED_WHOLE:
        return _parse(cls, raw)
    kept = _messages.get(raw)
    if kept is not None and type(kept) is cls:
        return kept
    message = _parse(cls, raw)
    if len(raw) <= limits.MAX_RECALLED_MESSAGE:
        _messages.keep(raw, message, len(raw))
    return message


def _parse(cls: type[M], raw: bytes) -> M:
    message: M
    try:
        message, stopped = cls.CODEC.read(raw, HANDSHAKE_HEADER, len(raw))
    except Undecodable:
        # It says what is wrong.
        return decode(cls, raw, at=HANDSHAKE_HEADER)
    if stopped != len(raw):
        return decode(cls, raw, at=HANDSHAKE_HEADER)
    message.raw = raw
    return message


class _Layout(NamedTuple):
    """Where hellos of one length after the session id vary, counted from there.

    It is in the value of their only key share, or the body of key_share, and in the body of pre_shared_key at the end
    of a ClientHello.
    """

    share: int
    share_end: int
    psks: int

    def constant(self, raw: bytes, at: int) -> bytes:
        """What of ``raw``, whose session id ends at ``at``, all hellos of its shape have."""
        return raw[at : at + self.share] + raw[at + self.share_end : at + self.psks]


_messages: Memory[bytes, HandshakeMessage] = Memory(limits.RECALLED_MESSAGES, limits.RECALLED_BYTES)
_layouts: Memory[int, _Layout] = Memory(limits.RECALLED_MESSAGES, limits.RECALLED_BYTES)
_shapes: Memory[tuple[_Layout, bytes], HelloShape] = Memory(limits.RECALLED_MESSAGES, limits.RECALLED_BYTES)
_server_layouts: Memory[int, _Layout] = Memory(limits.RECALLED_MESSAGES, limits.RECALLED_BYTES)
# Suite, compression method, group and extensions of ServerHellos.
_server_hellos: Memory[tuple[_Layout, bytes], tuple[int, int, int, ext.Extensions]] = Memory(
    limits.RECALLED_MESSAGES, limits.RECALLED_BYTES
)
# Hashes of the constant bytes of hellos that came once: what comes a second time is kept.
_seen_once: Memory[int, bool] = Memory(limits.RECALLED_MESSAGES, limits.RECALLED_BYTES)


def _recall_hello(raw: bytes) -> ClientHello | None:
    """A hello of a shape that came before; None for any other, and for one that does not parse."""
    at = _behind_session_id(raw)
    layout = _layouts.get(len(raw) - at)
    if layout is None or not at:
        return None
    shape = _shapes.get((layout, layout.constant(raw, at)))
    if shape is None:
        return None
    share, share_end, psks, end = at + layout.share, at + layout.share_end, at + layout.psks, len(raw)
    extensions = ext.Extensions(shape.extensions)
    try:
        if shape.group is not None:
            entry = ext.KeyShareEntry(shape.group, raw[share:share_end])
            extensions[_KEY_SHARE] = ext.KeyShareClientHello((entry,))
        else:
            extensions[_KEY_SHARE], share = ext.KeyShareClientHello.CODEC.read(raw, share, share_end)
            if share != share_end:
                return None
        if psks < end:
            extensions[_PSKS], end = ext.OfferedPsks.CODEC.read(raw, psks, end)
    except Undecodable:
        return None
    if end != len(raw):
        return None
    suites, methods = shape.cipher_suites, shape.legacy_compression_methods
    return ClientHello(_TLS12, raw[6:38], raw[39:at], suites, methods, extensions, raw=raw, shape=shape)


def _keep_hello(hello: ClientHello) -> ClientHello:
    """Remember the shape of ``hello``, which is returned, if it comes for the second time."""
    raw, extensions = hello.raw, hello.extensions
    # A cookie is another one each time.
    if _KEY_SHARE not in extensions or _COOKIE in extensions or isinstance(extensions, ext.PartlyDecoded):
        return hello
    at = _behind_session_id(raw)
    if not at or len(raw) > limits.MAX_RECALLED_MESSAGE:
        return hello
    layout = _layout_of(hello, at)
    if layout is None:
        return hello
    constant = layout.constant(raw, at)
    if not _came_before(layout, constant):
        return hello
    hello.shape = HelloShape(hello)
    _layouts.keep(len(raw) - at, layout, 64)
    _shapes.keep((layout, constant), hello.shape, len(raw))
    return hello


def _layout_of(hello: ClientHello, at: int) -> _Layout | None:
    """Where ``hello``, whose session id ends at ``at``, may vary; None where its PSKs are not at the end."""
    raw, extensions = hello.raw, hello.extensions
    if _PSKS in extensions and next(reversed(extensions)) != _PSKS:
        return None
    places = _places(extensions, raw, at + 2 + 2 * len(hello.cipher_suites) + 1 + len(hello.legacy_compression_methods))
    share, share_end = places[_KEY_SHARE]
    if hello.only_group is not None:
        # Before the value of a single share stand two lengths and its group.
        share += 6
    psks = places[_PSKS][0] if _PSKS in places else len(raw)
    return _Layout(share - at, share_end - at, psks - at)


def _recall_server_hello(raw: bytes) -> ServerHello | None:
    """A ServerHello of TLS 1.3 like one that came before, but for what varies; None for any other message."""
    at = _behind_session_id(raw)
    layout = _server_layouts.get(len(raw) - at)
    if layout is None or not at:
        return None
    like, random = _server_hellos.get((layout, layout.constant(raw, at))), raw[6:38]
    if like is None or random == HELLO_RETRY_REQUEST_RANDOM:
        return None
    suite, method, group, others = like
    extensions = ext.Extensions(others)
    share = ext.KeyShareEntry(group, raw[at + layout.share : at + layout.share_end])
    extensions[_KEY_SHARE] = ext.KeyShareServerHello(share)
    return ServerHello(_TLS12, random, raw[39:at], suite, method, extensions, raw=raw)


def _keep_server_hello(hello: HandshakeMessage) -> HandshakeMessage:
    """Remember what ``hello``, which is returned, says but for what varies, if it comes for the second time."""
    at, raw = _behind_session_id(hello.raw), hello.raw
    if type(hello) is not ServerHello or not at or len(raw) > limits.MAX_RECALLED_MESSAGE:
        return hello
    chosen = hello.find(ext.KeyShareServerHello)
    if chosen is None:
        return hello
    start, end = _places(hello.extensions, raw, at + 3)[_KEY_SHARE]
    # Before the value stand its group and its length.
    layout = _Layout(start + 4 - at, end - at, len(raw) - at)
    constant = layout.constant(raw, at)
    if _came_before(layout, constant):
        group = chosen.server_share.group
        said = hello.cipher_suite, hello.legacy_compression_method, group, hello.extensions
        _server_layouts.keep(len(raw) - at, layout, 64)
        _server_hellos.keep((layout, constant), said, len(raw))
    return hello


def _places(extensions: ext.Extensions, raw: bytes, at: int) -> dict[int, tuple[int, int]]:
    """Where in ``raw`` the bodies of these extensions start and end, whose block with its length starts at ``at``."""
    places = {}
    end = at + 2
    for extension_type in extensions:
        start = end + 4
        end = start + int.from_bytes(raw[start - 2 : start], "big")
        places[extension_type] = start, end
    return places


def _came_before(layout: _Layout, constant: bytes) -> bool:
    """Whether such a hello came before.

    Those that are new each time, as browsers make them, leave no more than a number.
    """
    number = hash((layout, constant))
    if _seen_once.get(number):
        return True
    _seen_once.keep(number, True, 64)
    return False


def _behind_session_id(raw: bytes) -> int:
    """Where the session id of a hello ends; 0 for one that is no such hello as everybody sends."""
    return 39 + raw[38] if len(raw) > 39 and raw[4:6] == b"\3\3" and raw[38] <= 32 else 0
