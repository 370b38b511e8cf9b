"""Our server and what a client may say in its first ClientHello, and in the one that answers a HelloRetryRequest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from handfast.registry import ExtensionType
from handfast.roles import Role
from handfast.wire.extensions import (
    Cookie,
    EarlyDataIndication,
    Extensions,
    KeyShareClientHello,
    KeyShareEntry,
    NamedGroupList,
    OfferedPsks,
    OpaqueExtension,
    Padding,
    ProtocolNameList,
    PskIdentity,
    PskKeyExchangeModes,
    ServerName,
    ServerNameList,
    SignatureSchemeList,
    SupportedVersionsClientHello,
)
from handfast.wire.messages import HandshakeMessage, HelloRetryRequest
from tests import certificates
from tests.lies import change, extended, handshake, longer, shorter, twice, with_raw_extension, without
from tests.peer import Client
from tests.protocol.ours import SECP256R1, SECP384R1, X25519, Row, credentials, meet, server, table

GREASE = (0x0A0A, 0x1A1A, 0xFAFA)
PSK = OfferedPsks((PskIdentity(b"a ticket", 0),), (bytes(32),))
TWO_BINDERS = OfferedPsks((PskIdentity(b"a ticket", 0),), (bytes(32), bytes(32)))
SHORT_BINDER = b"\0\x29\0\x2c" + b"\0\7\0\1a\0\0\0\0" + b"\0\x21\x1f" + bytes(32)
NO_BINDER = b"\0\x29\0\x0b" + b"\0\7\0\1a\0\0\0\0" + b"\0\0"
MODES = PskKeyExchangeModes((1,))


def versions(*numbers):
    return extended(SupportedVersionsClientHello(numbers))


def asks_for(*names):
    return extended(ServerNameList(tuple(ServerName(name_type, name) for name_type, name in names)))


def shares(*entries):
    return extended(KeyShareClientHello(tuple(KeyShareEntry(group, public) for group, public in entries)))


def with_last(body):
    """The hello with an extension put in front of all others."""
    return lambda hello: replace(hello, extensions=Extensions({**Extensions.of(body), **hello.extensions}))


def bare(extension_block):
    """A hello with these bytes where the extensions belong."""
    return handshake(1, b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0" + extension_block)


@table(
    # The version.
    Row("legacy_version SSL 3.0", change(legacy_version=0x0300), "no_common_version", "protocol_version"),
    Row("legacy_version SSL 2.0", change(legacy_version=0x0002), "no_common_version", "protocol_version"),
    Row("no supported_versions", without(ExtensionType.supported_versions), "no_common_version", "protocol_version"),
    Row("only older versions", versions(0x0303, 0x0302), "no_common_version", "protocol_version"),
    Row("only later versions", versions(0x0305), "no_common_version", "protocol_version"),
    Row("no extensions at all", bare(b""), "no_common_version", "protocol_version"),
    Row("SSL 3.0", lambda hello: replace(hello, legacy_version=0x0300, extensions=Extensions()), "no_common_version",
        "protocol_version"),
    # Compression.
    Row("a compression method", change(legacy_compression_methods=b"\1"), "compression_offered", "illegal_parameter"),
    Row("a compression method beside null", change(legacy_compression_methods=b"\1\0"), "compression_offered",
        "illegal_parameter"),
    Row("null twice", change(legacy_compression_methods=b"\0\0"), "compression_offered", "illegal_parameter"),
    # What must be there.
    Row("no supported_groups", without(ExtensionType.supported_groups), "missing_extension", "missing_extension"),
    Row("no key_share", without(ExtensionType.key_share), "missing_extension", "missing_extension"),
    Row("no signature_algorithms", without(ExtensionType.signature_algorithms), "missing_extension",
        "missing_extension"),
    Row("a PSK without modes", extended(PSK), "missing_extension", "missing_extension", peer={"modes": ()}),
    # Key shares.
    Row("a share outside supported_groups", shares((SECP384R1, bytes(97))), "share_outside_groups",
        "illegal_parameter"),
    Row("two shares for one group", shares((X25519, bytes(32)), (X25519, bytes(32))), "duplicate_key_share",
        "illegal_parameter"),
    # PSKs, which are well-formed even where none is used.
    Row("pre_shared_key before other extensions", lambda hello: with_last(PSK)(extended(MODES)(hello)), "psk_not_last",
        "illegal_parameter"),
    Row("more binders than identities", extended(MODES, TWO_BINDERS), "binder_count", "illegal_parameter"),
    Row("a binder that is too short",
        lambda hello: with_raw_extension(extended(MODES)(hello), SHORT_BINDER),
        "length_out_of_bounds", "decode_error"),
    Row("a PSK without a binder", lambda hello: with_raw_extension(extended(MODES)(hello), NO_BINDER),
        "length_out_of_bounds", "decode_error"),
    # The name of the server.
    Row("two host names", asks_for((0, b"localhost"), (0, b"elsewhere")), "bad_server_name", "illegal_parameter"),
    Row("two names of an unknown type", asks_for((0, b"localhost"), (7, b"a"), (7, b"b")), "bad_server_name",
        "illegal_parameter"),
    Row("a host name with a zero byte", asks_for((0, b"localhost\0.elsewhere")), "bad_server_name",
        "illegal_parameter"),
    Row("a host name with a space", asks_for((0, b"local host")), "bad_server_name", "illegal_parameter"),
    Row("a host name with a line break", asks_for((0, b"localhost\n")), "bad_server_name", "illegal_parameter"),
    Row("a host name with an escape", asks_for((0, b"\x1b[2Jlocalhost")), "bad_server_name", "illegal_parameter"),
    Row("a host name that is not ASCII", asks_for((0, "b\u00fccher.example".encode())), "bad_server_name",
        "illegal_parameter"),
    # The cookie that nobody gave.
    Row("a cookie", extended(Cookie(b"crumbs")), "cookie_in_first_hello", "illegal_parameter"),
    # Extensions of other messages, and two of a kind.
    Row("an extension of CertificateRequest", extended(OpaqueExtension(ExtensionType.oid_filters, b"\0\0")),
        "extension_in_wrong_message", "illegal_parameter"),
    Row("two server_name extensions", twice(ExtensionType.server_name), "duplicate_extension", "illegal_parameter"),
    Row("two extensions of an unknown type", lambda hello: twice(0x1234)(extended(OpaqueExtension(0x1234, b""))(hello)),
        "duplicate_extension", "illegal_parameter"),
    # Nothing in common.
    Row("no suite that we speak", change(cipher_suites=(0x1304, 0xC02B)), "no_common_suite", "handshake_failure"),
    Row("no group that we speak", lambda hello: shares()(extended(NamedGroupList((0x001F,)))(hello)), "no_common_group",
        "handshake_failure"),
    Row("no scheme that our key can make", extended(SignatureSchemeList((0x0807, 0x0804))), "no_common_scheme",
        "handshake_failure"),
    Row("only SHA-1 and PKCS #1 schemes", extended(SignatureSchemeList((0x0201, 0x0203, 0x0401))), "no_common_scheme",
        "handshake_failure", ours={"credentials": (credentials(certificates.server("rsa-2048")),)}),
    Row("no application protocol that we speak", extended(ProtocolNameList((b"h3", b"spdy/3"))),
        "no_common_application_protocol", "no_application_protocol", ours={"application_protocols": ("h2",)}),
    Row("an application protocol without a name",
        lambda hello: with_raw_extension(hello, b"\0\x10\0\4\0\2\0\0"), "length_out_of_bounds", "decode_error"),
    # The bytes.
    Row("extensions of less than seven bytes", bare(b"\0\4\0\x2d\0\0"), "no_common_version", "protocol_version"),
    Row("an empty block of extensions", bare(b"\0\0"), "no_common_version", "protocol_version"),
    Row("half an extension", bare(b"\0\3\0\x2d\0"), "truncated", "decode_error"),
    Row("an extension that ends behind its block", bare(b"\0\4\0\x2d\0\1"), "truncated", "decode_error"),
    Row("no suites", handshake(1, b"\3\3" + bytes(32) + b"\0" + b"\0\0" + b"\1\0"), "length_out_of_bounds",
        "decode_error"),
    Row("half a suite", handshake(1, b"\3\3" + bytes(32) + b"\0" + b"\0\3\x13\1\x13" + b"\1\0"), "truncated",
        "decode_error"),
    Row("no compression methods", handshake(1, b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\0"),
        "length_out_of_bounds", "decode_error"),
    Row("a session id of 33 bytes", handshake(1, b"\3\3" + bytes(32) + b"\x21" + bytes(33) + b"\0\2\x13\1\1\0"),
        "length_out_of_bounds", "decode_error"),
    Row("a byte too many", longer(), "trailing_bytes", "decode_error"),
    Row("a byte too few", shorter, "truncated", "decode_error"),
    Row("a byte too many in an extension", lambda hello: with_raw_extension(without(43)(hello), b"\0\x2b\0\4\2\3\4\0"),
        "trailing_bytes", "decode_error"),
    Row("an empty share", lambda hello: with_raw_extension(without(51)(hello), b"\0\x33\0\6\0\4\0\x1d\0\0"),
        "length_out_of_bounds", "decode_error"),
)  # fmt: skip
def test_client_hello_with(row):
    row.check(Role.SERVER, "ClientHello")


def removed_then_added(hello):
    return extended(ProtocolNameList((b"h2",)))(without(ExtensionType.server_name)(hello))


@table(
    # Its fields.
    Row("another random", change(random=bytes(32)), "changed_after_retry", "illegal_parameter"),
    Row("another session id", change(legacy_session_id=b""), "changed_after_retry", "illegal_parameter"),
    Row("other suites", change(cipher_suites=(0x1301, 0x1303)), "changed_after_retry", "illegal_parameter"),
    Row("other compression methods", change(legacy_compression_methods=b"\1\0"), "changed_after_retry",
        "illegal_parameter"),
    Row("another legacy_version", change(legacy_version=0x0302), "changed_after_retry", "illegal_parameter"),
    # Its extensions.
    Row("another server name", extended(ServerNameList((ServerName(0, b"elsewhere"),))), "changed_after_retry",
        "illegal_parameter"),
    Row("no server name any more", without(ExtensionType.server_name), "changed_after_retry", "illegal_parameter"),
    Row("application protocols that it did not have", extended(ProtocolNameList((b"h2",))), "changed_after_retry",
        "illegal_parameter"),
    Row("other groups", extended(NamedGroupList((X25519,))), "changed_after_retry", "illegal_parameter"),
    Row("other signature schemes", extended(SignatureSchemeList((0x0403,))), "changed_after_retry",
        "illegal_parameter"),
    Row("other versions", versions(0x0304, 0x0303), "changed_after_retry", "illegal_parameter"),
    Row("an unknown extension", extended(OpaqueExtension(0x1234, b"")), "changed_after_retry", "illegal_parameter"),
    Row("early data", extended(EarlyDataIndication()), "changed_after_retry", "illegal_parameter"),
    Row("the early data of the first",
        {"ClientHello": extended(EarlyDataIndication()), "SecondClientHello": extended(EarlyDataIndication())},
        "changed_after_retry", "illegal_parameter"),
    # The key share that was asked for, and no other.
    Row("the old share", shares((SECP384R1, bytes(97))), "changed_after_retry", "illegal_parameter"),
    Row("no share", shares(), "changed_after_retry", "illegal_parameter"),
    Row("no key_share", without(ExtensionType.key_share), "missing_extension", "missing_extension"),
    Row("two shares", shares((X25519, bytes(32)), (SECP384R1, bytes(97))), "changed_after_retry", "illegal_parameter"),
    # The cookie.
    Row("no cookie", without(ExtensionType.cookie), "wrong_cookie", "illegal_parameter"),
    Row("another cookie", extended(Cookie(bytes(32))), "wrong_cookie", "illegal_parameter"),
    # The bytes.
    Row("a byte too many", longer(), "trailing_bytes", "decode_error"),
    Row("two cookies", twice(ExtensionType.cookie), "duplicate_extension", "illegal_parameter"),
)  # fmt: skip
def test_second_client_hello_with(row):
    offer = {"groups": (SECP384R1, X25519), "shared_groups": (SECP384R1,)}
    row.check(Role.SERVER, "SecondClientHello", peer=offer)


@pytest.mark.parametrize(
    "lies",
    [
        {"ClientHello": extended(Padding(bytes(7))), "SecondClientHello": without(ExtensionType.padding)},
        {"SecondClientHello": extended(Padding(bytes(7)))},
        {"ClientHello": extended(EarlyDataIndication()), "SecondClientHello": without(ExtensionType.early_data)},
    ],
    ids=["drop its padding", "be padded", "drop early data"],
)
def test_the_second_hello_may(lies):
    peer = Client(server(), groups=(SECP384R1, X25519), lies=lies).run()
    assert peer.complete, peer.connection.error
    assert peer.connection.info.retried


@pytest.mark.parametrize(
    "lie",
    [
        change(cipher_suites=(*GREASE, 0x1301, 0x00FF, 0x5600, 0xC02B)),
        extended(*[OpaqueExtension(number, b"anything") for number in (*GREASE, 0x1234, 0xFFFF)]),
        versions(*GREASE, 0x0305, 0x0304, 0x7F1C, 0x0303),
        extended(NamedGroupList((*GREASE, 0x0001, X25519))),
        extended(SignatureSchemeList((*GREASE, 0x0201, 0x0904, 0x0403))),
        extended(ProtocolNameList((b"\x0a\x0a", b"h2"))),
        extended(OpaqueExtension(ExtensionType.status_request_v2, b"\0\7\2\0\4" + bytes(4))),
        extended(OpaqueExtension(ExtensionType.heartbeat, b"\1")),
        extended(OpaqueExtension(ExtensionType.use_srtp, b"\0\2\0\1\0")),
        extended(OpaqueExtension(49, b""), OpaqueExtension(0xFF01, b"\0"), OpaqueExtension(23, b"")),
        extended(MODES, PSK),
        change(legacy_session_id=b""),
        change(legacy_version=0x0301),
        change(legacy_version=0x0304),
        change(legacy_version=0x0400),
        asks_for((7, b"\0"), (0, b"localhost")),
        asks_for((0, b"192.0.2.1")),
    ],
    ids=[
        "suites of every kind",
        "unknown extensions",
        "versions of every kind",
        "unknown groups",
        "unknown signature schemes",
        "unknown application protocols",
        "status_request_v2, as Java does",
        "heartbeat",
        "use_srtp",
        "what older versions need",
        "an unknown ticket",
        "no session id",
        "the legacy_version of TLS 1.0",
        "the legacy_version of TLS 1.3",
        "a legacy_version that nobody knows",
        "a name of an unknown type beside that of a host",
        "an address in place of a host name",
    ],
)
def test_a_first_hello_may_have(lie):
    peer = Client(server(), lies={"ClientHello": lie}).run()
    assert peer.complete, peer.connection.error


def test_the_first_hello_may_have_a_share_of_an_unknown_group():
    def greased(hello):
        own = hello.find(KeyShareClientHello).client_shares
        hello = extended(NamedGroupList((GREASE[0], X25519)))(hello)
        return extended(KeyShareClientHello((KeyShareEntry(GREASE[0], b"\0"), *own)))(hello)

    assert Client(server(), lies={"ClientHello": greased}).run().complete


def test_a_server_of_lax_mind_goes_on_without_application_protocol():
    ours = server(application_protocols=("h2",), require_application_protocol=False)
    peer = Client(ours, protocols=(b"h3",)).run()
    assert peer.complete
    assert ours.info.application_protocol is None


def test_every_retry_has_a_new_cookie():
    cookies = set()
    for _ in range(2):
        peer = Client(server(), shared_groups=()).run()
        cookies.add(repr(peer.got(HelloRetryRequest).find(Cookie)))
    assert len(cookies) == 2


@pytest.mark.parametrize("role", list(Role))
def test_nothing_that_was_received_is_encoded_again(role, monkeypatch):
    """The transcript has the bytes received, whatever our own encoding of the same message would be."""
    encode = HandshakeMessage.encode

    def only_what_was_built(message):
        assert message.raw == b""
        return encode(message)

    monkeypatch.setattr(HandshakeMessage, "encode", only_what_was_built)
    options = {"group": SECP256R1, "requests_certificate": True} if role is Role.CLIENT else {"shared_groups": ()}
    assert meet(role, **options).run().complete


def test_the_transcript_has_the_bytes_received():
    """Whatever order or content of extensions a hello has, both sides hash the same bytes."""

    def backwards(hello):
        grease = OpaqueExtension(GREASE[0], b"\0")
        return replace(hello, extensions=Extensions(reversed([*hello.extensions.items(), (GREASE[0], grease)])))

    assert Client(server(), lies={"ClientHello": backwards}).run().complete
    assert (
        Client(server(), shared_groups=(), lies={"ClientHello": backwards, "SecondClientHello": backwards})
        .run()
        .complete
    )
