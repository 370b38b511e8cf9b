"""What may stand in the hellos of TLS 1.2, and which version is spoken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from handfast.registry import ExtensionType
from handfast.roles import Role
from handfast.wire import extensions as ext
from handfast.wire.extensions import Extensions, OpaqueExtension
from handfast.wire.messages import HELLO_RETRY_REQUEST_RANDOM, HelloRetryRequest
from handfast.wire.messages import ServerHello as ServerHello13
from handfast.wire.messages12 import ServerHello, ServerKeyExchange
from tests import certificates
from tests.lies import change, extended, followed_by, handshake, longer, shorter, twice, without
from tests.peer import Client, Server
from tests.peer12 import Server12
from tests.protocol.ours import SECP256R1, SECP384R1, X25519, client, credentials, server, table
from tests.protocol12.ours12 import BOTH, ONLY, TLS12, TLS13, Row12, meet12

RSA = {"credentials": (credentials(certificates.server("rsa-2048")),)}
SCSV, FALLBACK = 0x00FF, 0x5600
OLD = {"require_extended_main_secret": False}


def offering(*versions):
    return extended(ext.SupportedVersionsClientHello(versions))


def asks_for(*names):
    return extended(ext.ServerNameList(tuple(ext.ServerName(name_type, name) for name_type, name in names)))


def with_suites(*suites):
    return change(cipher_suites=suites)


@table(
    # The version.
    Row12("TLS 1.1", change(legacy_version=0x0302), "no_common_version", "protocol_version"),
    Row12("SSL 3.0, and TLS 1.2 in supported_versions", lambda hello: replace(offering(TLS12)(hello),
        legacy_version=0x0300), "no_common_version", "protocol_version"),
    Row12("TLS 1.1 in supported_versions", offering(0x0302), "no_common_version", "protocol_version"),
    Row12("TLS 1.3 to a server of 1.2", offering(TLS13), "no_common_version", "protocol_version", ours=ONLY),
    Row12("TLS 1.2 to a server of 1.3", {}, "no_common_version", "protocol_version", ours={"versions": (TLS13,)}),
    Row12("a client that fell back", with_suites(0xC02B, FALLBACK), "inappropriate_fallback", "inappropriate_fallback"),
    # What it offers.
    Row12("no suite that we speak", with_suites(0xC02C, 0xC009, 0x1301), "no_common_suite", "handshake_failure",
        ours={"suites": (0x1301, 0xC02B)}),
    Row12("suites for RSA only", with_suites(0xC02F, 0xC030), "no_common_certificate", "handshake_failure"),
    Row12("suites for ECDSA only", with_suites(0xC02B), "no_common_certificate", "handshake_failure", ours=RSA),
    Row12("suites of RSA key exchange and CBC", with_suites(0x009C, 0x002F, 0xC013), "no_common_suite",
        "handshake_failure", ours=RSA),
    Row12("hybrid groups only", extended(ext.NamedGroupList((0x11EC,))), "no_common_group", "handshake_failure",
        ours={"groups": (0x11EC, 0x001D)}),
    Row12("no groups named, and no NIST curve of ours", without(ExtensionType.supported_groups), "no_common_group",
        "handshake_failure", ours={"groups": (X25519,)}),
    Row12("no group that we speak", extended(ext.NamedGroupList((0x001F,))), "no_common_group", "handshake_failure"),
    Row12("not the curve of our key", extended(ext.NamedGroupList((0x001D,))), "no_common_scheme", "handshake_failure"),
    Row12("no signature_algorithms: SHA-1", without(ExtensionType.signature_algorithms), "no_common_scheme",
        "handshake_failure"),
    Row12("SHA-1 only", extended(ext.SignatureSchemeList((0x0201, 0x0203))), "no_common_scheme", "handshake_failure"),
    Row12("no ALPN protocol of ours", extended(ext.ProtocolNameList((b"theirs",))), "no_common_application_protocol",
        "no_application_protocol", ours={"application_protocols": ("ours",)}),
    # What it must offer.
    Row12("DEFLATE alone", change(legacy_compression_methods=b"\1"), "no_null_compression", "illegal_parameter"),
    Row12("compressed points alone", extended(ext.ECPointFormatList((1, 2))), "no_uncompressed_points",
        "illegal_parameter"),
    Row12("no extended main secret", without(ExtensionType.extended_main_secret), "no_extended_main_secret",
        "handshake_failure"),
    Row12("a renegotiation", extended(ext.RenegotiationInfo(bytes(12))), "renegotiation_in_first_handshake",
        "handshake_failure"),
    Row12("a renegotiation, and the SCSV", lambda hello: extended(ext.RenegotiationInfo(bytes(12)))(
        with_suites(0xC02B, SCSV)(hello)), "renegotiation_in_first_handshake", "handshake_failure"),
    # Its form.
    Row12("a byte too many", longer(), "trailing_bytes", "decode_error"),
    Row12("a byte too few", shorter, "truncated", "decode_error"),
    Row12("an extension twice", twice(ExtensionType.extended_main_secret), "duplicate_extension", "illegal_parameter"),
    Row12("an extension that belongs elsewhere", extended(OpaqueExtension(48, b"\0\0")), "extension_in_wrong_message",
        "illegal_parameter"),
    Row12("an extended main secret with a body", extended(OpaqueExtension(23, b"\0")), "trailing_bytes",
        "decode_error"),
    Row12("another message behind it", followed_by(b"\x10\0\0\0"), "message_spans_key_change", "unexpected_message"),
    # The name that it asks for, as in TLS 1.3.
    Row12("two host names", asks_for((0, b"localhost"), (0, b"elsewhere")), "bad_server_name", "illegal_parameter"),
    Row12("two names of an unknown type", asks_for((0, b"localhost"), (7, b"a"), (7, b"b")), "bad_server_name",
        "illegal_parameter"),
    Row12("a host name with a zero byte", asks_for((0, b"localhost\0.elsewhere")), "bad_server_name",
        "illegal_parameter"),
    Row12("a host name with a line break", asks_for((0, b"localhost\n")), "bad_server_name", "illegal_parameter"),
    Row12("a host name with an escape", asks_for((0, b"\x1b[2Jlocalhost")), "bad_server_name", "illegal_parameter"),
    Row12("a host name that is not ASCII", asks_for((0, "b\u00fccher.example".encode())), "bad_server_name",
        "illegal_parameter"),
)  # fmt: skip
def test_client_hello_with(row):
    row.check(Role.SERVER, "ClientHello")


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_a_name_that_no_host_has_is_refused_before_anybody_hears_of_it_and_each_time(version):
    asked = []
    ours = {**BOTH, "choose_config": lambda hello: asked.append(hello.server_name)}
    lies = {"ClientHello": asks_for((0, b"localhost\r\nHost: elsewhere"))}
    # What comes again is remembered by its shape.
    for _ in range(4):
        peer = meet12(Role.SERVER, ours, lies=lies) if version == TLS12 else Client(server(**ours), lies=lies)
        assert peer.run().refusal == ("bad_server_name", "illegal_parameter", "plaintext")
        assert peer.connection.info.server_name is None
    assert asked == []


@pytest.mark.parametrize(
    ("versions", "theirs", "legacy", "spoken"),
    [
        ((TLS13, TLS12), None, TLS12, TLS12),
        ((TLS12,), None, TLS12, TLS12),
        ((TLS12,), (TLS13, TLS12), TLS12, TLS12),
        ((TLS13, TLS12), (0x0302, TLS12), TLS12, TLS12),
        ((TLS13, TLS12), (0x7F1C, 0x5A5A, TLS12), TLS12, TLS12),
        # RFC 9846 4.3.1: without the extension it is 1.2 at most, with it the number means nothing.
        ((TLS13, TLS12), None, TLS13, TLS12),
        ((TLS13, TLS12), (TLS12,), 0x0301, TLS12),
        ((TLS13, TLS12), (TLS12,), 0x0400, TLS12),
    ],
)
def test_the_version_that_is_spoken(versions, theirs, legacy, spoken):
    def tell(hello):
        hello = replace(hello, legacy_version=legacy)
        return hello if theirs is None else offering(*theirs)(hello)

    peer = meet12(Role.SERVER, {"versions": versions}, lies={"ClientHello": tell}).run()
    assert peer.connection.info.version == spoken
    assert peer.complete


def bare(version, extension_block):
    """A hello of this legacy_version with these bytes where the extensions belong."""
    return handshake(1, version.to_bytes(2) + bytes(32) + b"\0" + b"\0\2\xc0\x2b" + b"\1\0" + extension_block)


SHORT_POINTS = b"\0\4\0\x0b\0\0"


@table(
    # Version first: whatever else is wrong with such a hello, its version is what its sender can do something about.
    Row12("TLS 1.0, no block of extensions", bare(0x0301, b""), "no_common_version", "protocol_version"),
    Row12("TLS 1.0, an empty block", bare(0x0301, b"\0\0"), "no_common_version", "protocol_version"),
    Row12("TLS 1.0, point formats that do not decode", bare(0x0301, SHORT_POINTS), "no_common_version",
        "protocol_version"),
    # Then the rules of TLS 1.2, RFC 5246 7.4.1.2: a block may be short, and empty.
    Row12("no block of extensions", bare(TLS12, b""), "no_extended_main_secret", "handshake_failure"),
    Row12("an empty block", bare(TLS12, b"\0\0"), "no_extended_main_secret", "handshake_failure"),
    Row12("a block of four bytes", bare(TLS12, b"\0\4\0\x17\0\0"), "no_common_scheme", "handshake_failure"),
    Row12("point formats that do not decode", bare(TLS12, SHORT_POINTS), "truncated", "decode_error"),
    Row12("supported_versions that do not decode", extended(OpaqueExtension(43, b"\3\3\3\3")), "truncated",
        "decode_error"),
    Row12("groups that do not decode, where a function chooses",
        extended(OpaqueExtension(10, b"\0")), "truncated", "decode_error", ours={"choose_config": lambda _: None}),
)  # fmt: skip
def test_a_hello_is_held_to_the_rules_of_its_version(row):
    row.check(Role.SERVER, "ClientHello")


# Bodies that do not decode, of extensions that only TLS 1.3 has and that only TLS 1.2 has.
SHORT_BINDER = b"\0\7\0\1a\0\0\0\0" + b"\0\x0d\x0c" + bytes(12)
ONLY_IN_13 = {27: b"\1", 34: b"", 41: SHORT_BINDER, 42: b"\0", 44: b"\0\0", 45: b"\0", 47: b"\0\0", 49: b"\0",
    51: b"\0\x05\0\x1d\0\2\0", 58: b""}  # fmt: skip
ONLY_IN_12 = {11: b"\0", 22: b"\0", 23: b"\0", 0xFF01: b""}


@pytest.mark.parametrize("versions", [(TLS12,), (TLS13, TLS12)], ids=["1.2 alone", "both"])
@pytest.mark.parametrize("number", ONLY_IN_13, ids=ExtensionType.describe)
def test_what_means_nothing_in_1_2_is_not_decoded(number, versions):
    offered = (TLS13, TLS12) if versions == (TLS12,) else (TLS12,)

    def tell(hello):
        return extended(ext.SupportedVersionsClientHello(offered), OpaqueExtension(number, ONLY_IN_13[number]))(hello)

    for _ in range(3):
        assert meet12(Role.SERVER, {"versions": versions}, lies={"ClientHello": tell}).run().complete


@pytest.mark.parametrize("number", ONLY_IN_12, ids=ExtensionType.describe)
@pytest.mark.parametrize("shared", [None, ()], ids=["at once", "after a retry"])
def test_what_means_nothing_in_1_3_is_not_decoded(number, shared):
    tell = extended(OpaqueExtension(number, ONLY_IN_12[number]))
    for _ in range(3):
        lies = {"ClientHello": tell, "SecondClientHello": tell}
        assert Client(server(**BOTH), lies=lies, shared_groups=shared).run().complete


@pytest.mark.parametrize("number", [*ONLY_IN_13.keys() - {34}, 10, 13, 16, 43], ids=ExtensionType.describe)
def test_what_means_something_in_1_3_must_decode(number):
    """Whichever hellos came before, and in a second hello too."""
    body = ONLY_IN_13.get(number, b"\0")
    for step in ("ClientHello", "SecondClientHello") * 2:
        shared = () if step == "SecondClientHello" else None
        peer = Client(server(**BOTH), lies={step: extended(OpaqueExtension(number, body))}, shared_groups=shared).run()
        assert peer.refusal is not None
        assert peer.refusal.alert == "decode_error"


@pytest.mark.parametrize(
    ("groups", "chosen"),
    [
        ((X25519, SECP256R1), SECP256R1),
        ((X25519, SECP384R1), SECP384R1),
        ((SECP384R1, SECP256R1), SECP256R1),
    ],
)
def test_a_client_that_names_no_groups_is_taken_to_have_the_nist_curves(groups, chosen):
    """RFC 8422 4 leaves the choice to the server; clients from before x25519 say nothing."""
    lies = {"ClientHello": without(ExtensionType.supported_groups, ExtensionType.ec_point_formats)}
    peer = meet12(Role.SERVER, {"groups": groups}, lies=lies).run()
    assert peer.complete, peer.connection.error
    assert peer.got(ServerKeyExchange).params.named_curve == peer.connection.info.group == chosen


@pytest.mark.parametrize("ours", [ONLY, {"versions": (TLS12, TLS13)}])
def test_the_fallback_signal_is_ignored_where_nothing_better_was_missed(ours):
    lies = {"ClientHello": with_suites(0xC02B, FALLBACK)}
    assert (meet12(Role.SERVER, ours, lies=lies).run().complete) == (ours is ONLY)


@pytest.mark.parametrize("signal", ["extension", "suite", "both", "neither"])
def test_a_client_that_never_renegotiates_may_say_so_or_not(signal):
    def tell(hello):
        if signal in ("suite", "neither"):
            hello = without(ExtensionType.renegotiation_info)(hello)
        return with_suites(0xC02B, SCSV)(hello) if signal in ("suite", "both") else hello

    peer = meet12(Role.SERVER, lies={"ClientHello": tell}).run()
    assert peer.complete
    answer = peer.got(ServerHello)
    assert (answer.find(ext.RenegotiationInfo) is not None) == (signal != "neither")


def sentinel(end):
    return lambda hello: replace(hello, random=hello.random[: 32 - len(end)] + end)


@table(
    # The version.
    Row12("TLS 1.1", change(server_version=0x0302), "no_common_version", "protocol_version"),
    Row12("TLS 1.3 by its old field", change(server_version=TLS13), "no_common_version", "protocol_version"),
    Row12("to a client of 1.3", {}, "no_common_version", "protocol_version", ours={"versions": (TLS13,)},
        peer={"chosen_suite": 0xC02B}),
    Row12("the sentinel of a 1.3 server", sentinel(b"DOWNGRD\1"), "downgrade_sentinel", "illegal_parameter"),
    Row12("the sentinel of a 1.2 server", sentinel(b"DOWNGRD\0"), "downgrade_sentinel", "illegal_parameter"),
    # What it selects.
    Row12("a suite that we did not offer", change(cipher_suite=0xC02C), "suite_not_offered", "illegal_parameter",
        ours={"suites": (0x1301, 0xC02B)}),
    Row12("a suite of TLS 1.3", change(cipher_suite=0x1301), "suite_not_offered", "illegal_parameter"),
    Row12("a suite of RSA key exchange", change(cipher_suite=0x009C), "suite_not_offered", "illegal_parameter"),
    Row12("DEFLATE", change(compression_method=1), "compression_selected", "illegal_parameter"),
    Row12("an ALPN protocol that we did not offer", extended(ext.ProtocolNameList((b"x",))), "alpn_not_offered",
        "illegal_parameter", ours={"application_protocols": ("h2",)}),
    Row12("two ALPN protocols", extended(ext.ProtocolNameList((b"h2", b"h2"))), "alpn_not_one", "illegal_parameter",
        ours={"application_protocols": ("h2",)}),
    # Extensions.
    Row12("ALPN, which we did not speak of", extended(ext.ProtocolNameList((b"h2",))), "unrequested_extension",
        "unsupported_extension"),
    Row12("a ticket, which we did not ask for", extended(ext.SessionTicket(b"")), "unrequested_extension",
        "unsupported_extension"),
    Row12("encrypt_then_mac, which we did not ask for", extended(ext.EncryptThenMac()), "unrequested_extension",
        "unsupported_extension"),
    Row12("an unknown extension", extended(OpaqueExtension(0x1234, b"")), "unrequested_extension",
        "unsupported_extension"),
    Row12("a key share", extended(OpaqueExtension(51, b"\0\x1d\0\1x")), "extension_in_wrong_message",
        "illegal_parameter"),
    Row12("an extension twice", twice(ExtensionType.renegotiation_info), "duplicate_extension", "illegal_parameter"),
    Row12("compressed points alone", extended(ext.ECPointFormatList((1,))), "no_uncompressed_points",
        "illegal_parameter"),
    Row12("no extended main secret", without(ExtensionType.extended_main_secret), "no_extended_main_secret",
        "handshake_failure"),
    Row12("a renegotiation", extended(ext.RenegotiationInfo(bytes(24))), "renegotiation_in_first_handshake",
        "handshake_failure"),
    Row12("no word on renegotiation", without(ExtensionType.renegotiation_info), "no_secure_renegotiation",
        "handshake_failure"),
    Row12("no word on renegotiation, to one who takes old peers", without(ExtensionType.renegotiation_info),
        "no_secure_renegotiation", "handshake_failure", ours=OLD),
    Row12("no extensions at all", change(extensions=Extensions()), "no_secure_renegotiation", "handshake_failure"),
    Row12("a byte too many", longer(), "trailing_bytes", "decode_error"),
    Row12("a byte too few", shorter, "truncated", "decode_error"),
)  # fmt: skip
def test_server_hello_with(row):
    row.check(Role.CLIENT, "ServerHello")


@pytest.mark.parametrize("groups", [(0x0017, 0x0018), (0x001F,)], ids=["ours", "others"])
def test_a_server_may_say_which_groups_it_has(groups):
    """No document lets it, and real ones do."""
    peer = Server12(client(**BOTH), lies={"ServerHello": extended(ext.NamedGroupList(groups))}).run()
    assert peer.complete, peer.connection.error


def test_a_server_that_takes_our_made_up_session_id_for_a_session():
    peer = Server12(client(**BOTH))
    # Our hello is on its way: type, length, version, random, then the id.
    raw = bytes(peer.connection.outgoing())
    session_id = raw[5 + 4 + 2 + 32 + 1 :][:32]
    peer._incoming += raw
    peer.session_id = session_id
    peer.run()
    assert peer.refusal == ("resumes_no_session", "illegal_parameter", "plaintext")


# At the fork


def test_a_suite_of_1_2_is_none_of_1_3():
    """Both were offered, and the version decides which of them may be taken."""
    for step in ("ServerHello", "HelloRetryRequest"):
        group = SECP256R1 if step == "HelloRetryRequest" else None
        lies = {step: change(cipher_suite=0xC02B)}
        assert Server(client(**BOTH), lies=lies, group=group).run().refusal == (
            "suite_not_offered", "illegal_parameter", "plaintext",
        )  # fmt: skip


def test_tls_1_3_where_1_2_alone_was_offered():
    def hello(version, random=bytes(32), kind=ServerHello13, *bodies):
        return lambda answer: kind(
            TLS12, random, b"", 0x1301, 0, Extensions.of(ext.SupportedVersionsServerHello(version), *bodies)
        )

    retry = hello(TLS13, HELLO_RETRY_REQUEST_RANDOM, HelloRetryRequest, ext.Cookie(b"crumbs"))
    for lie in (hello(TLS13), hello(TLS12), retry):
        Row12("", lie, "version_not_offered", "illegal_parameter", ours=ONLY).check(Role.CLIENT, "ServerHello")


def test_tls_1_2_after_a_hello_retry_request():
    lie = lambda hello: ServerHello(TLS12, hello.random, b"", 0xC02B, 0, Extensions.of(ext.RenegotiationInfo(b"")))  # noqa: E731
    peer = Server(client(**BOTH), group=SECP256R1, lies={"ServerHello": lie}).run()
    assert peer.refusal == ("changed_after_retry", "illegal_parameter", "plaintext")


def test_a_message_of_1_3_is_none_of_1_2():
    for step in ("Certificate", "ServerKeyExchange"):
        Row12("", handshake(8, b"\0\0"), "unexpected_message", "unexpected_message").check(Role.CLIENT, step)
