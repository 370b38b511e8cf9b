"""Messages that are recalled are what they would be if they were parsed and looked at anew."""

from __future__ import annotations

import pytest

from handfast import ClientConfig, ClientConnection, PathVerifier, Roots, limits
from handfast.config.config import ServerConfig
from handfast.crypto.groups import generate
from handfast.errors import HandfastError
from handfast.handshake import negotiate, versions
from handfast.wire import messages as m
from handfast.wire import recall as recall_module
from handfast.wire.extensions import (
    Cookie,
    Extensions,
    KeyShareClientHello,
    KeyShareEntry,
    KeyShareServerHello,
    NamedGroupList,
    OfferedPsks,
    ProtocolNameList,
    PskIdentity,
    PskKeyExchangeModes,
    SelectedPsk,
    ServerName,
    ServerNameList,
    SignatureSchemeList,
    SupportedVersionsClientHello,
    SupportedVersionsServerHello,
)
from handfast.wire.parsing import parse_handshake
from tests.certificates import ca
from tests.certificates import server as server_certificate
from tests.lens.connections import credentials

GROUPS = (0x001D, 0x0017)


def hello(fill: int, *, groups=GROUPS[:1], psks: int = 0, session_id: int = 32, name: bytes = b"example.com") -> bytes:
    extensions = Extensions.of(
        ServerNameList((ServerName(0, name),)),
        NamedGroupList(GROUPS),
        SignatureSchemeList((0x0403, 0x0804)),
        SupportedVersionsClientHello((0x0304, 0x0303)),
        KeyShareClientHello(tuple(KeyShareEntry(group, generate(group).public) for group in groups)),
        ProtocolNameList((b"h2", b"http/1.1")),
        PskKeyExchangeModes((1,)),
    )
    if psks:
        identities = tuple(PskIdentity(bytes((fill, index)) * 8, index) for index in range(psks))
        extensions[OfferedPsks.EXTENSION_TYPE] = OfferedPsks(identities, (bytes((fill,)) * 32,) * psks)
    return m.ClientHello(
        0x0303, bytes((fill,)) * 32, bytes((fill,)) * session_id, (0x1301, 0x1302), b"\0", extensions
    ).encode()


SHAPES = {
    "one share": {},
    "two shares": {"groups": GROUPS},
    "no session id": {"session_id": 0},
    "a PSK": {"psks": 1},
    "two PSKs and two shares": {"psks": 2, "groups": GROUPS},
}


def config() -> ServerConfig:
    return ServerConfig(credentials=credentials(server_certificate()), application_protocols=("h2",))


def recall(raw: bytes) -> m.ClientHello:
    message = recall_module.parse_or_recall(raw, m.MESSAGES)
    assert isinstance(message, m.ClientHello)
    return message


def outcome(call, *arguments):
    try:
        return call(*arguments)
    except HandfastError as error:
        return type(error), error.code, error.what


def decided(decide, ours, message):
    if not isinstance(message, m.ClientHello):
        return message
    found = outcome(decide, ours, message)
    return (
        (found[0], found[1].parameters, found[1].shares)
        if isinstance(found[0], negotiate.NegotiatedParameters)
        else found
    )


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_what_is_recalled_is_what_is_parsed(shape):
    first, second = hello(1, **shape), hello(2, **shape)
    recall(first)
    seen = recall(first)
    recalled = recall(second)
    assert seen.shape is not None
    assert recalled.shape is seen.shape
    assert (recalled, recalled.raw) == (parse_handshake(second), second)
    parsed = parse_handshake(second)
    assert isinstance(parsed, m.ClientHello)
    assert list(recalled.extensions) == list(parsed.extensions)
    assert recalled.sni_name == "example.com"


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_no_changed_byte_is_missed(shape):
    """Each byte of a hello, changed by each of a few values, comes to what it would come to without any memory."""
    ours = config()
    raw = hello(3, **shape)
    for _ in range(2):
        negotiate.negotiate_parameters(ours, recall(hello(4, **shape)))
    for at in range(4, len(raw)):
        for change in (1, 2, 0x80, 0xFF):
            changed = raw[:at] + bytes((raw[at] ^ change,)) + raw[at + 1 :]
            fresh = outcome(parse_handshake, changed)
            recalled = outcome(recall_module.parse_or_recall, changed, m.MESSAGES)
            assert recalled == fresh
            assert decided(negotiate.negotiate_parameters, ours, recalled) == decided(
                negotiate._negotiate_parameters, ours, fresh
            )


def test_two_shares_for_one_group_are_refused_however_often_they_come():
    ours = config()
    for _ in range(2):
        negotiate.negotiate_parameters(ours, recall(hello(5)))
    for _ in range(2):
        message = recall(hello(6, groups=(0x001D, 0x001D)))
        assert outcome(negotiate.negotiate_parameters, ours, message)[1] == "duplicate_key_share"


def test_nothing_is_kept_of_a_hello_with_a_cookie():
    for fill in (8, 9):
        message = parse_handshake(hello(fill, name=b"cookie.example"))
        assert isinstance(message, m.ClientHello)
        message.extensions[Cookie.EXTENSION_TYPE] = Cookie(b"a cookie")
        before = len(recall_module._seen_once)
        assert recall(message.encode()).shape is None
        assert len(recall_module._seen_once) == before


def test_only_so_much_is_kept():
    ours = config()
    for number in range(2 * limits.NEGOTIATIONS_KEPT):
        message = recall(hello(7, name=b"host%d.example" % number))
        negotiate.negotiate_parameters(ours, message)
        negotiate.negotiate_parameters(ours, recall(hello(7, name=b"host%d.example" % number)))
        for memory in (recall_module._shapes, recall_module._seen_once, recall_module._layouts):
            assert len(memory) <= limits.RECALLED_MESSAGES
            assert memory.size <= limits.RECALLED_BYTES
        assert len(ours.negotiations) <= limits.NEGOTIATIONS_KEPT
        assert ours.negotiations.size <= limits.NEGOTIATIONS_KEPT_BYTES


def test_a_client_keeps_only_so_many_hellos():
    ours = ClientConfig(verifier=PathVerifier(Roots.from_der([ca().certificate_der])))
    for number in range(2 * limits.HELLOS_KEPT):
        raw = ClientConnection(ours, server_name=f"host{number}.example").outgoing()[5:]
        assert recall(raw).sni_name == f"host{number}.example"
        assert len(ours.hellos) <= limits.HELLOS_KEPT
        assert ours.hellos.size <= limits.HELLOS_KEPT_BYTES


def test_what_observers_and_edits_get_is_their_own():
    raw = m.EncryptedExtensions().encode()
    assert recall_module.parse_or_recall(raw, m.MESSAGES) is recall_module.parse_or_recall(raw, m.MESSAGES)
    assert parse_handshake(raw) is not parse_handshake(raw)


def test_a_long_message_is_not_kept():
    for size, kept in ((limits.MAX_RECALLED_MESSAGE, True), (limits.MAX_RECALLED_MESSAGE + 1, False)):
        plain = hello(8, name=b"x")
        raw = hello(8, name=b"x" * (1 + size - len(plain)))
        assert len(raw) == size
        recall(raw)
        recall(raw)
        assert (recall(raw).shape is not None) is kept


def test_a_refused_hello_leaves_nothing():
    ours = config()
    for _ in range(3):
        message = recall(hello(9, groups=(0x001D, 0x001D)))
        assert outcome(negotiate.negotiate_parameters, ours, message)[1] == "duplicate_key_share"
    assert len(ours.negotiations) == 0


def server_hello(fill: int, *, session_id: int = 32, psk: int | None = None, random: bytes = b"") -> bytes:
    share = KeyShareServerHello(KeyShareEntry(0x001D, bytes((fill,)) * 32))
    extensions = Extensions.of(SupportedVersionsServerHello(0x0304), share)
    if psk is not None:
        extensions[SelectedPsk.EXTENSION_TYPE] = SelectedPsk(psk)
    session_ids = bytes((fill,)) * session_id
    return m.ServerHello(0x0303, random or bytes((fill,)) * 32, session_ids, 0x1301, 0, extensions).encode()


SERVER_SHAPES = {"full": {}, "no session id": {"session_id": 0}, "resumed": {"psk": 0}}


@pytest.mark.parametrize("shape", SERVER_SHAPES.values(), ids=SERVER_SHAPES)
def test_a_recalled_server_hello_is_what_is_parsed_whatever_byte_is_changed(shape):
    for fill in (1, 2):
        recall_module.parse_or_recall(server_hello(fill, **shape), m.MESSAGES)
    raw = server_hello(3, **shape)
    recalled = recall_module._recall_server_hello(raw)
    assert recalled is not None
    parsed = parse_handshake(raw)
    assert isinstance(parsed, m.ServerHello)
    assert (recalled, recalled.raw, list(recalled.extensions)) == (parsed, raw, list(parsed.extensions))
    for at in range(4, len(raw)):
        for change in (1, 2, 0x80, 0xFF):
            changed = raw[:at] + bytes((raw[at] ^ change,)) + raw[at + 1 :]
            fresh = outcome(parse_handshake, changed)
            assert outcome(recall_module.parse_or_recall, changed, m.MESSAGES) == fresh


def test_a_hello_retry_request_is_never_taken_for_a_server_hello_that_came_before():
    for fill in (1, 2):
        recall_module.parse_or_recall(server_hello(fill), m.MESSAGES)
    raw = server_hello(3, random=m.HELLO_RETRY_REQUEST_RANDOM)
    assert recall_module._recall_server_hello(raw) is None
    assert outcome(recall_module.parse_or_recall, raw, m.MESSAGES) == outcome(parse_handshake, raw)


def test_only_so_many_server_hellos_are_kept():
    for number in range(2 * limits.RECALLED_MESSAGES):
        for fill in (1, 2):
            recall_module.parse_or_recall(server_hello(fill, psk=number), m.MESSAGES)
        for memory in (recall_module._server_hellos, recall_module._server_layouts, recall_module._seen_once):
            assert len(memory) <= limits.RECALLED_MESSAGES
            assert memory.size <= limits.RECALLED_BYTES


def test_the_version_and_the_name_of_a_shape_are_those_of_each_of_its_hellos():
    for name in (b"version.example", b"bad name"):
        for _ in range(4):
            raw = hello(10, name=name)
            for ours in ((0x0304, 0x0303), (0x0304,), (0x0303,), (0x0302,)):
                for judged in (recall(raw), parse_handshake(raw)):
                    assert isinstance(judged, m.ClientHello)
                    assert outcome(versions.choose_version, ours, judged) == outcome(
                        versions._choose_version, ours, parse_handshake(raw)
                    )
                    assert outcome(negotiate.sni_name, judged) == outcome(negotiate.sni_name, parse_handshake(raw))
