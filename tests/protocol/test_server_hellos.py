"""Our client and what a server may say in ServerHello, HelloRetryRequest and EncryptedExtensions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from handfast.crypto.suites import SUITES_13
from handfast.registry import ExtensionType
from handfast.roles import Role
from handfast.wire.extensions import (
    Extensions,
    KeyShareEntry,
    KeyShareHelloRetryRequest,
    KeyShareServerHello,
    ProtocolNameList,
    SupportedVersionsServerHello,
)
from handfast.wire.messages import HELLO_RETRY_REQUEST_RANDOM, ClientHello, HelloRetryRequest
from tests.lies import TLS12, Plain, change, extended, longer, shorter, with_raw_extension, without
from tests.peer import Server
from tests.protocol.ours import HANDSHAKE_KEYS, SECP256R1, SECP384R1, X25519, Row, client, table

CHACHA20 = 0x1303
RETRY = {"group": SECP256R1}
ALPN: dict[str, Any] = {"application_protocols": ("h2", "http/1.1")}


def tls12_hello(random_end=b""):
    """A ServerHello of TLS 1.2, whose random may end in a downgrade sentinel."""
    return lambda hello: replace(
        hello, random=hello.random[: 32 - len(random_end)] + random_end, cipher_suite=0xC02B, extensions=Extensions()
    )


def as_retry(hello):
    """A HelloRetryRequest where ServerHello belongs."""
    asked = Extensions.of(SupportedVersionsServerHello(0x0304), KeyShareHelloRetryRequest(SECP256R1))
    echo, suite = hello.legacy_session_id_echo, hello.cipher_suite
    return HelloRetryRequest(TLS12, HELLO_RETRY_REQUEST_RANDOM, echo, suite, 0, asked)


def share(group, public=bytes(32)):
    return extended(KeyShareServerHello(KeyShareEntry(group, public)))


def selected(version):
    return extended(SupportedVersionsServerHello(version))


@table(
    # What it selects was offered.
    Row("a suite that we did not offer", change(cipher_suite=CHACHA20), "suite_not_offered", "illegal_parameter",
        ours={"suites": (0x1301, 0x1302)}),
    Row("a suite that nobody knows", change(cipher_suite=0x13FF), "suite_not_offered", "illegal_parameter"),
    Row("a suite of TLS 1.2", change(cipher_suite=0xC02B), "suite_not_offered", "illegal_parameter"),
    Row("a share for a group that we offered without a share", share(SECP256R1, bytes(65)), "share_not_offered",
        "illegal_parameter"),
    Row("a share for a group that we did not offer", share(SECP384R1, bytes(97)), "share_not_offered",
        "illegal_parameter"),
    Row("no share", without(ExtensionType.key_share), "missing_extension", "missing_extension"),
    # The version.
    Row("TLS 1.2 in supported_versions", selected(0x0303), "version_not_offered", "illegal_parameter"),
    Row("a later version", selected(0x0305), "version_not_offered", "illegal_parameter"),
    Row("a draft version", selected(0x7F1C), "version_not_offered", "illegal_parameter"),
    Row("legacy_version TLS 1.3", change(legacy_version=0x0304), "legacy_version", "protocol_version"),
    Row("legacy_version TLS 1.1", change(legacy_version=0x0302), "legacy_version", "protocol_version"),
    Row("TLS 1.2", tls12_hello(), "no_common_version", "protocol_version"),
    Row("TLS 1.1", lambda hello: replace(tls12_hello()(hello), legacy_version=0x0302), "no_common_version",
        "protocol_version"),
    Row("TLS 1.2 with the sentinel of a 1.3 server", tls12_hello(b"DOWNGRD\x01"), "downgrade_sentinel",
        "illegal_parameter"),
    Row("TLS 1.1 with the sentinel of a 1.3 server",
        lambda hello: replace(tls12_hello(b"DOWNGRD\x00")(hello), legacy_version=0x0302), "downgrade_sentinel",
        "illegal_parameter"),
    # Echo and compression.
    Row("another session id", change(legacy_session_id_echo=bytes(32)), "wrong_session_id_echo", "illegal_parameter"),
    Row("no session id", change(legacy_session_id_echo=b""), "wrong_session_id_echo", "illegal_parameter"),
    Row("a compression method", change(legacy_compression_method=1), "compression_selected", "illegal_parameter"),
    # The bytes.
    Row("a byte too many", longer(), "trailing_bytes", "decode_error"),
    Row("a byte too few", shorter, "truncated", "decode_error"),
    Row("half an extension", lambda hello: with_raw_extension(hello, b"\0"), "truncated", "decode_error"),
    Row("a byte too many in an extension", lambda hello: with_raw_extension(without(43)(hello), b"\0\x2b\0\3\3\4\0"),
        "trailing_bytes", "decode_error"),
)  # fmt: skip
def test_server_hello_with(row):
    row.check(Role.CLIENT, "ServerHello")


@table(
    Row("a group that we did not offer", extended(KeyShareHelloRetryRequest(SECP384R1)), "group_not_offered",
        "illegal_parameter"),
    Row("a group that nobody knows", extended(KeyShareHelloRetryRequest(0x1A1A)), "group_not_offered",
        "illegal_parameter"),
    Row("a group that we shared already", extended(KeyShareHelloRetryRequest(X25519)), "retry_for_shared_group",
        "illegal_parameter"),
    Row("a cookie and a group that we shared already", extended(KeyShareHelloRetryRequest(X25519)),
        "retry_for_shared_group", "illegal_parameter", peer={"cookie": b"crumbs", **RETRY}),
    Row("nothing to change", without(ExtensionType.key_share), "retry_changes_nothing", "illegal_parameter"),
    Row("an empty cookie", lambda retry: with_raw_extension(without(51)(retry), b"\0\x2c\0\2\0\0"),
        "length_out_of_bounds", "decode_error"),
    Row("a suite that we did not offer", change(cipher_suite=CHACHA20), "suite_not_offered", "illegal_parameter",
        ours={"suites": (0x1301, 0x1302)}),
    Row("TLS 1.2 in supported_versions", selected(0x0303), "version_not_offered", "illegal_parameter"),
    Row("no supported_versions", without(ExtensionType.supported_versions), "missing_extension", "missing_extension"),
    Row("legacy_version TLS 1.3", change(legacy_version=0x0304), "legacy_version", "protocol_version"),
    Row("another session id", change(legacy_session_id_echo=bytes(32)), "wrong_session_id_echo", "illegal_parameter"),
    Row("a compression method", change(legacy_compression_method=1), "compression_selected", "illegal_parameter"),
    Row("a byte too many", longer(), "trailing_bytes", "decode_error"),
)  # fmt: skip
def test_hello_retry_request_with(row):
    row.check(Role.CLIENT, "HelloRetryRequest", peer=row.peer or RETRY)


@table(
    Row("a second retry", as_retry, "second_retry", "unexpected_message"),
    Row("another suite", change(cipher_suite=CHACHA20), "changed_after_retry", "illegal_parameter"),
    Row("a suite of another hash", change(cipher_suite=0x1302), "changed_after_retry", "illegal_parameter"),
    Row("another group, of the first hello's shares", share(X25519), "share_not_offered", "illegal_parameter"),
    Row("another group", share(SECP384R1), "share_not_offered", "illegal_parameter"),
    Row("TLS 1.2", tls12_hello(), "changed_after_retry", "illegal_parameter"),
    Row("TLS 1.2 in supported_versions", selected(0x0303), "version_not_offered", "illegal_parameter"),
    Row("another session id", change(legacy_session_id_echo=bytes(32)), "wrong_session_id_echo", "illegal_parameter"),
)  # fmt: skip
def test_after_a_retry_server_hello_with(row):
    row.check(Role.CLIENT, "ServerHello", peer=RETRY)


@table(
    Row("two application protocols", extended(ProtocolNameList((b"h2", b"http/1.1"))), "alpn_not_one",
        "illegal_parameter", ours=ALPN),
    Row("an application protocol that we did not offer", extended(ProtocolNameList((b"h3",))), "alpn_not_offered",
        "illegal_parameter", ours=ALPN),
    Row("an application protocol, though we offered none", extended(ProtocolNameList((b"h2",))),
        "unrequested_extension", "unsupported_extension"),
    Row("no application protocol inside the extension", lambda message: with_raw_extension(message, b"\0\x10\0\2\0\0"),
        "length_out_of_bounds", "decode_error", ours=ALPN),
    Row("a byte too many", longer(), "trailing_bytes", "decode_error"),
    Row("a byte too few", shorter, "truncated", "decode_error"),
)  # fmt: skip
def test_encrypted_extensions_with(row):
    row.check(Role.CLIENT, "EncryptedExtensions", under=HANDSHAKE_KEYS)


@pytest.mark.parametrize("suite", SUITES_13)
def test_an_answer_without_application_protocol_is_fine(suite):
    peer = Server(client(**ALPN), chosen_suite=suite).run()
    assert peer.complete
    assert peer.connection.info.application_protocol is None


@pytest.mark.parametrize("version", [0x0300, 0x0301, 0x0304, 0x03FF])
def test_the_version_of_a_record_is_ignored(version):
    peer = Server(client(), lies={"ServerHello": lambda hello: Plain(22, hello.encode(), version)}).run()
    assert peer.complete


def test_our_session_id_and_random_are_new_in_every_hello():
    hellos = [Server(client()).run().got(ClientHello) for _ in range(2)]
    assert len({hello.random for hello in hellos} | {hello.legacy_session_id for hello in hellos}) == 4
