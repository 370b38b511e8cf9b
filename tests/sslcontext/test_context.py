"""What the drop-in does: settings, connections over buffers and sockets, and what is above the stock module."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import os
import shutil
import socket
import ssl
import subprocess
import sys
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

import handfast
from handfast.errors import ApiMisuse
from handfast.io.sslcontext import hooks, peercert
from handfast.io.sslcontext.connection import TLSConnection
from tests import certificates
from tests.softhsm import Tokens
from tests.sslcontext.pairs import (
    OURS,
    STOCK,
    Files,
    Pair,
    Sockets,
    below_two,
    both_at_once,
    client_context,
    server_context,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def contexts(files: Files) -> tuple[Any, Any]:
    return server_context(OURS, files), client_context(OURS, files)


def test_this_interpreter_asks_our_context_for_what_stands_behind(contexts) -> None:
    pair = Pair(*contexts)
    assert isinstance(pair.client._sslobj, TLSConnection)
    with Sockets(*contexts) as sockets:
        assert isinstance(sockets.client._sslobj, TLSConnection)
        assert isinstance(sockets.client, ssl.SSLSocket)


@pytest.mark.parametrize("name", ["server_hostname", "session"])
def test_a_server_takes_nothing_of_a_client_over_buffers_too(contexts, name: str) -> None:
    given = {"server_hostname": "localhost", "session": Pair(*contexts).shake_hands().client.session}[name]
    with pytest.raises(ValueError, match=f"^{name} can only be specified in client mode$"):
        contexts[0].wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True, **{name: given or object()})


def test_classes_that_build_themselves_where_the_interpreter_does_not_ask(contexts, monkeypatch) -> None:
    assert hooks.asked()
    for name in ("wrap_bio", "wrap_socket"):
        with monkeypatch.context() as patch:
            patch.setattr(ssl.SSLContext, name, lambda *_args, **_kwargs: None)
            assert not hooks.asked()
    for context in contexts:
        monkeypatch.setattr(context, "sslobject_class", hooks.BuiltSSLObject)
        monkeypatch.setattr(context, "sslsocket_class", hooks.BuiltSSLSocket)
    assert type(Pair(*contexts).shake_hands().client) is hooks.BuiltSSLObject
    with Sockets(*contexts) as sockets:
        assert type(sockets.server) is hooks.BuiltSSLSocket
        sockets.client.sendall(b"x")
        assert sockets.server.recv(1) == b"x"
    accepted: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        wrapped = contexts[0].wrap_socket(listening, server_side=True)
        client = contexts[1].wrap_socket(socket.socket(), server_hostname="localhost")
        with wrapped, client:
            both_at_once(lambda: client.connect(address), lambda: accepted.append(wrapped.accept()[0]))
            accepted[0].close()
            assert client.version() == "TLSv1.3"


@pytest.mark.parametrize("apart", [True, False])
def test_a_chain_out_of_order_is_served_in_order(apart: bool, files: Files, tmp_path: Path) -> None:
    issued, other = below_two(), certificates.other_ca().certificate_der
    leaf, lower, upper = issued.chain
    text = "".join(map(ssl.DER_cert_to_PEM_cert, (leaf, upper, other, leaf, lower))).encode()
    asked: list[None] = []
    secret = BestAvailableEncryption(b"secret")
    key = load_pem_private_key(issued.key_pem, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret)
    server: Any = OURS(ssl.PROTOCOL_TLS_SERVER)

    def password() -> str:
        asked.append(None)
        return "secret"

    server.load_cert_chain(*((text, key) if apart else (text + key,)), password=password)
    assert asked == [None]
    pair = Pair(server, client_context(OURS, files)).shake_hands()
    assert pair.client.get_unverified_chain() == [leaf, lower, upper, other]


def test_every_public_name_is_ours_or_needs_nothing_of_the_unused_context() -> None:
    inherited = {"set_servername_callback", "wrap_socket", "wrap_bio"}
    names = {name for name in dir(ssl.SSLContext) if not name.startswith("_")}
    mine = set().union(*(vars(one) for one in handfast.SSLContext.__mro__ if one.__module__.startswith("handfast")))
    assert names - mine - inherited == set()


def test_the_newer_names_are_there_on_every_version(contexts) -> None:
    server, client = contexts
    client.set_groups("secp256r1:X25519")
    assert client.get_groups() == ["secp256r1", "x25519"]
    client.set_client_sigalgs("ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256")
    server.set_server_sigalgs("ecdsa_secp256r1_sha256")
    server.set_ciphersuites("TLS_CHACHA20_POLY1305_SHA256")
    pair = Pair(server, client).shake_hands()
    assert pair.client.cipher() == ("TLS_CHACHA20_POLY1305_SHA256", "TLSv1.3", 256)
    assert handfast.info(pair.client).group == handfast.registry.NamedGroup.secp256r1
    # As with OpenSSL, a leaf alone is sent with the issuers that its context trusts.
    leaf, _ = pair.client.get_unverified_chain()
    assert leaf == certificates.server().chain[0]
    assert pair.client.get_verified_chain() == [leaf, certificates.ca().certificate_der]


@pytest.mark.parametrize(
    "change",
    [
        lambda one: setattr(one, "options", one.options | 4),
        lambda one: setattr(one, "verify_flags", ssl.VERIFY_ALLOW_PROXY_CERTS),
        lambda one: setattr(one, "maximum_version", ssl.TLSVersion.TLSv1_1),
        lambda one: setattr(one, "num_tickets", 9),
        lambda one: setattr(one, "client_auth", "require"),
        lambda one: setattr(one, "_msg_callback", print),
        lambda one: one.load_dh_params("dh.pem"),
        lambda one: one.set_npn_protocols(["h2"]),
        lambda one: one.set_psk_server_callback(None),
        lambda one: one.set_ecdh_curve("brainpoolP256r1"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_cannot_be_honoured_raises_when_it_is_set(change, contexts) -> None:
    with pytest.raises(ValueError, match=r"handfast|8 are sent|curve|Unsupported"):
        change(contexts[0])


@pytest.mark.parametrize("text", ["PSK", "RC4-SHA", "DHE-RSA-AES128-GCM-SHA256", "DEFAULT@SECLEVEL=3", "!ALL"])
def test_a_cipher_string_that_leaves_nothing(text, contexts) -> None:
    with pytest.raises(ssl.SSLError, match="No cipher can be selected"):
        contexts[0].set_ciphers(text)


@pytest.mark.parametrize(
    ("text", "first", "count"),
    [
        ("DEFAULT", "ECDHE-ECDSA-AES128-GCM-SHA256", 6),
        ("HIGH:!aNULL:!MD5", "ECDHE-ECDSA-AES128-GCM-SHA256", 6),
        ("ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM", "ECDHE-ECDSA-AES128-GCM-SHA256", 6),
        ("ECDHE+CHACHA20:!ECDSA", "ECDHE-RSA-CHACHA20-POLY1305", 1),
        ("ALL:+AES128", "ECDHE-ECDSA-AES256-GCM-SHA384", 6),
        ("AES256:-aRSA", "ECDHE-ECDSA-AES256-GCM-SHA384", 1),
        ("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", 1),
        ("DEFAULT@SECLEVEL=1", "ECDHE-ECDSA-AES128-GCM-SHA256", 6),
        ("DEFAULT:@STRENGTH", "ECDHE-ECDSA-AES256-GCM-SHA384", 6),
    ],
)
def test_cipher_strings(text, first, count, contexts) -> None:
    contexts[0].set_ciphers(text)
    names = [one["name"] for one in contexts[0].get_ciphers() if one["protocol"] == "TLSv1.2"]
    assert (names[0], len(names)) == (first, count)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "ALL",
            "DEFAULT",
            "HIGH",
            "RSA",
            "aRSA",
            "ECDSA",
            "aECDSA",
            "ECDHE",
            "EECDH",
            "ECDH",
            "AES",
            "AES128",
            "AES256",
        ),
        *(
            "AESGCM",
            "CHACHA20",
            "TLSv1.2",
            "FIPS",
            "SHA256",
            "SHA384",
            "AEAD",
            "ECDHE+RSA",
            "ECDHE+aRSA",
            "kECDHE+AESGCM",
        ),
        *(
            "HIGH:!aNULL:!RSA",
            "ECDHE:!RSA",
            "ECDHE:!aRSA",
            "ALL:!ECDSA",
            "ECDHE+AESGCM:!SHA256:!SHA384",
            "HIGH:!AES256",
        ),
        *("EECDH+AESGCM:!SHA1:!SHA256:!SHA384", "HIGH:@STRENGTH", "HIGH,!aNULL;!MD5", "!SHA1:ALL", "kRSA:ALL"),
        "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDH+AESGCM:DH+AESGCM:RSA+AESGCM:!aNULL:!eNULL:!MD5:!DSS",
    ],
)
def test_a_cipher_string_selects_those_of_ours_that_it_selects_in_ssl(text: str) -> None:
    every = {one["name"] for one in OURS(ssl.PROTOCOL_TLS_CLIENT).get_ciphers() if one["protocol"] == "TLSv1.2"}

    def selected(kind: Any) -> set[str]:
        context = kind(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.set_ciphers(text)
        except ssl.SSLError:
            return set()
        return every & {one["name"] for one in context.get_ciphers()}

    assert selected(OURS) == selected(STOCK)


def test_what_get_ciphers_says_is_what_the_stock_context_says_of_them(files: Files) -> None:
    def of(kind: Any) -> dict[str, Any]:
        return {one["name"]: one for one in kind(ssl.PROTOCOL_TLS_CLIENT).get_ciphers()}

    ours, stock = of(OURS), of(STOCK)
    for name, described in ours.items():
        known = stock[name]
        assert {key: described[key] for key in described if key != "description"} == {
            key: known[key] for key in described if key != "description"
        }
        assert described["description"].split() == known["description"].split()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_getpeercert_is_the_stock_dictionary(version, files: Files) -> None:
    """The whole of it, from both ends of a connection with the stock module."""
    for server_kind, client_kind in ((OURS, STOCK), (STOCK, OURS)):
        server = server_context(server_kind, files, verify=ssl.CERT_REQUIRED)
        client = client_context(client_kind, files, certificate=True)
        client.maximum_version = version
        pair = Pair(server, client).shake_hands()
        assert pair.client.version() == pair.server.version()
        mine, stock = (pair.server, pair.client) if server_kind is OURS else (pair.client, pair.server)
        reference = ssl._ssl._test_decode_cert(files.client if server_kind is OURS else files.server)  # type: ignore[attr-defined]
        assert mine.getpeercert() == reference
        assert list(mine.getpeercert()) == list(reference)
        assert stock.getpeercert() is not None


def test_large_certificates_of_peers_are_decoded_and_not_remembered() -> None:
    names = [f"{number}.{'long' * 10}.example" for number in range(200)]
    large = certificates.ca().server(*names).chain[0]
    assert len(large) > 4096
    before = peercert._decoded_or_remembered.cache_info().currsize
    assert len(peercert.decoded(large)["subjectAltName"]) == len(names)
    assert peercert._decoded_or_remembered.cache_info().currsize == before


def test_getpeercert_of_an_unverified_peer_is_empty(files: Files) -> None:
    server = server_context(OURS, files)
    server.client_auth = handfast.ClientAuth.REQUEST
    client = client_context(OURS, files, certificate=True)
    server_trusting_none = OURS(ssl.PROTOCOL_TLS_SERVER)
    server_trusting_none.load_cert_chain(files.server, files.server_key)
    server_trusting_none.client_auth = handfast.ClientAuth.REQUEST  # type: ignore[attr-defined]
    assert Pair(server, client).shake_hands().server.getpeercert()["subject"]
    pair = Pair(server_trusting_none, client).shake_hands()
    assert pair.server.getpeercert() == {}
    assert pair.server.getpeercert(True) == certificates.client().chain[0]
    assert handfast.info(pair.server).verified_peer is None
    assert "no root is trusted" in handfast.info(pair.server).client_cert_error


def test_what_clients_are_asked_is_a_word_or_a_member(contexts) -> None:
    server, _ = contexts
    server.client_auth = "require_any"
    assert server.client_auth is handfast.ClientAuth.REQUIRE_ANY
    assert server.verify_mode is ssl.CERT_REQUIRED
    with pytest.raises(ValueError, match=r"'require' is none of none, request.*give \"none\""):
        server.client_auth = "require"
    made = handfast.create_default_context(ssl.Purpose.CLIENT_AUTH, client_auth="request")
    assert made.client_auth is handfast.ClientAuth.REQUEST


def test_connections_keep_the_configuration_that_they_were_wrapped_with(contexts, files: Files) -> None:
    server, client = contexts
    client.set_alpn_protocols(["h2"])
    server.set_alpn_protocols(["http/1.1", "h2"])
    pair = Pair(server, client)
    client.set_alpn_protocols(["http/1.1"])
    server.set_alpn_protocols([])
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    assert pair.shake_hands().client.selected_alpn_protocol() == "h2"
    assert handfast.info(pair.client).verified_peer is not None


@pytest.mark.filterwarnings("ignore:check_hostname requires server_hostname:DeprecationWarning")
def test_a_missing_host_name_is_an_error_over_buffers_too(contexts) -> None:
    with pytest.raises(ValueError, match="check_hostname requires server_hostname"):
        contexts[1].wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO())


def test_contexts_of_the_two_engines_do_not_mix(contexts, files: Files) -> None:
    pair = Pair(*contexts)
    with pytest.raises(TypeError, match="from one engine to another"):
        pair.server.context = server_context(STOCK, files)
    # The other way round the C module takes it; the connection then has no certificate, and fails.
    stock = server_context(STOCK, files)
    stock.sni_callback = lambda sslobj, name, context: setattr(sslobj, "context", contexts[0])
    pair = Pair(stock, client_context(STOCK, files))
    with pytest.raises(ssl.SSLError):
        pair.shake_hands()


def test_input_is_taken_record_by_record(contexts) -> None:
    """What stands behind a record stays in the buffer: uvloop reads only while something is there."""
    pair = Pair(*contexts).shake_hands()
    for text in (b"one", b"two"):
        pair.client.write(text)
    waiting = pair.to_server.pending
    assert pair.server.read(2) == b"on"
    assert pair.server.pending() == 1
    assert pair.to_server.pending == waiting // 2
    assert [pair.server.read(100) for _ in range(2)] == [b"e", b"two"]


def test_what_follows_the_close_stays_where_it_is(contexts) -> None:
    pair = Pair(*contexts).shake_hands()
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.unwrap()
    pair.to_server.write(b"PLAIN")
    assert pair.server.read() == b""
    pair.server.unwrap()
    assert pair.to_server.read() == b"PLAIN"
    assert pair.client.unwrap() is None


def test_the_alert_leaves_before_a_server_raises(files: Files) -> None:
    """asyncio sends nothing after an error, so over buffers it comes one call later."""
    pair = Pair(server_context(OURS, files, verify=ssl.CERT_REQUIRED), client_context(OURS, files))
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.do_handshake()
    with pytest.raises(ssl.SSLWantReadError):
        pair.server.do_handshake()
    pair.client.do_handshake()
    with pytest.raises(ssl.SSLWantReadError):
        pair.server.do_handshake()
    with pytest.raises(ssl.SSLError) as refused:
        pair.client.read()
    assert refused.value.reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    with pytest.raises(ssl.SSLError):
        pair.server.do_handshake()
    with pytest.raises(ssl.SSLError) as raised:
        pair.server.do_handshake()
    assert raised.value.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
    assert "no certificate" in str(raised.value.__cause__)
    assert raised.value.__notes__[0].startswith("handfast: ")


def test_a_refused_client_learns_why_over_blocking_sockets(files: Files) -> None:
    server, client = server_context(OURS, files, verify=ssl.CERT_REQUIRED), client_context(OURS, files)
    with Sockets(server, client) as sockets:
        with pytest.raises(ssl.SSLError) as refused:
            sockets.client.recv(1)
        assert refused.value.reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED"
        [error] = sockets.errors
        assert isinstance(error, ssl.SSLError)
        assert error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"


def test_a_write_that_finds_the_socket_full_is_retried_without_sealing_twice(contexts) -> None:
    with Sockets(*contexts) as sockets:
        sockets.client.setblocking(False)
        data = os.urandom(4 * 1024 * 1024)
        view, taken, full = memoryview(data), 0, 0
        received = bytearray()
        while taken < len(data):
            try:
                taken += sockets.client.send(view[taken : taken + 300_000])
            except ssl.SSLWantWriteError:
                full += 1
                received += sockets.server.recv(65536)
        sockets.client.setblocking(True)
        while len(received) < len(data):
            received += sockets.server.recv(65536)
        assert full
        assert received == data


def test_a_retry_with_less_is_refused(contexts) -> None:
    with Sockets(*contexts) as sockets:
        sockets.client.setblocking(False)
        with suppress(ssl.SSLWantWriteError):
            while True:
                sockets.client.send(bytes(300_000))
        with pytest.raises(ssl.SSLError) as error:
            sockets.client.send(b"x")
        assert error.value.reason == "BAD_WRITE_RETRY"


def test_two_threads_on_each_end(contexts) -> None:
    size = 3 * 1024 * 1024
    data = os.urandom(size)

    def read_all(sock: Any) -> None:
        received = bytearray()
        while len(received) < size:
            received += sock.recv(65536)
        assert received == data

    with Sockets(*contexts) as sockets:
        both_at_once(
            lambda: sockets.client.sendall(data),
            lambda: sockets.server.sendall(data),
            lambda: read_all(sockets.client),
            lambda: read_all(sockets.server),
        )


def test_a_listening_socket_and_an_unwrapped_one(contexts) -> None:
    with Sockets(*contexts) as sockets:
        sockets.client.sendall(b"x")
        assert sockets.server.recv(10) == b"x"
        plain: list[Any] = []
        both_at_once(lambda: plain.append(sockets.client.unwrap()), lambda: plain.append(sockets.server.unwrap()))
        plain[0].sendall(b"plain")
        assert plain[1].recv(10) == b"plain"


@pytest.mark.parametrize("protocol", [ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER])
def test_an_end_without_close_notify_is_told_unless_asked_otherwise(protocol) -> None:
    assert not OURS(protocol).options & ssl.OP_IGNORE_UNEXPECTED_EOF


@pytest.mark.parametrize("suppress", [True, False])
def test_ragged_ends(suppress, files: Files) -> None:
    with Sockets(server_context(OURS, files), client_context(OURS, files)) as sockets:
        sockets.client.suppress_ragged_eofs = suppress
        sockets.server._sslobj = None
        sockets.server.close()
        if suppress:
            assert sockets.client.recv(1) == b""
        else:
            with pytest.raises(ssl.SSLEOFError) as error:
                sockets.client.recv(1)
            assert (error.value.args[0], error.value.reason) == (8, "UNEXPECTED_EOF_WHILE_READING")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed(version, contexts) -> None:
    server, client = contexts
    client.maximum_version = version
    first = Pair(server, client).shake_hands()
    first.server.write(b"x")
    first.client.read()
    session = first.client.session
    assert session.has_ticket
    assert session.timeout > 0
    second = Pair(server, client)
    second.client.session = session
    second.shake_hands()
    assert second.client.session_reused
    assert second.server.session_reused
    assert client.session_stats()["hits"] == 1
    with pytest.raises(ValueError, match="after handshake"):
        second.client.session = session


@pytest.mark.parametrize("without", ["num_tickets", "options"])
def test_a_server_without_tickets_gives_none(without: str, contexts, files: Files) -> None:
    server, client = contexts
    server.num_tickets = 0
    if without == "options":
        server.options |= ssl.OP_NO_TICKET
    pair = Pair(server, client).shake_hands()
    pair.server.write(b"x")
    assert pair.client.read() == b"x"
    assert pair.client.session is None
    # Nor where a client asks for some, RFC 9149.
    trusted = handfast.PathVerifier(handfast.Roots.from_file(files.ca))
    sessions = handfast.SessionCache()
    config = handfast.ClientConfig(verifier=trusted, sessions=sessions, ticket_request=(5, 5))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = server.wrap_bio(to_server, to_client, server_side=True)
    asking = handfast.ClientConnection(config, server_name="localhost")
    while not asking.connected:
        to_server.write(asking.outgoing())
        with suppress(ssl.SSLWantReadError):
            one.do_handshake()
        asking.receive(to_client.read())
    to_server.write(asking.outgoing())
    one.do_handshake()
    asking.receive(to_client.read())
    assert len(sessions) == 0


@pytest.mark.parametrize(("number", "given"), [(0, False), (1, True), (8, True)])
def test_in_tls_1_2_any_number_of_tickets_is_one_and_0_is_none(number: int, given: bool, contexts) -> None:
    server, client = contexts
    server.num_tickets, server.maximum_version = number, ssl.TLSVersion.TLSv1_2
    first, again = Pair(server, client).shake_hands(), Pair(server, client)
    assert (first.client.session is not None) == given
    if given:
        again.client.session = first.client.session
    again.shake_hands()
    assert again.client.session_reused == given


def test_a_session_by_its_id_alone_is_resumed(files: Files) -> None:
    """The stock module's server names a session by a ticket or, in TLS 1.2 and told so, by an id that it chose."""
    server, client = server_context(STOCK, files), client_context(OURS, files)
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    server.options |= ssl.OP_NO_TICKET
    first, other, again = Pair(server, client).shake_hands(), Pair(server, client).shake_hands(), Pair(server, client)
    session = again.client.session = first.client.session
    assert not session.has_ticket
    assert session.id == first.server.session.id
    assert session != other.client.session
    again.shake_hands()
    assert again.client.session_reused
    assert again.server.session_reused
    assert again.client.session == session


def test_a_session_of_another_trust_is_not_offered(contexts, files: Files) -> None:
    server, client = contexts
    first = Pair(server, client).shake_hands()
    first.server.write(b"x")
    first.client.read()
    client.load_verify_locations(files.other_ca)
    second = Pair(server, client)
    second.client.session = first.client.session
    assert not second.shake_hands().client.session_reused


def test_no_tickets(contexts) -> None:
    server, client = contexts
    server.options |= ssl.OP_NO_TICKET
    pair = Pair(server, client).shake_hands()
    pair.server.write(b"x")
    pair.client.read()
    assert pair.client.session is None


def test_the_name_chooses_the_context(contexts, files: Files) -> None:
    server, client = contexts
    base = OURS(ssl.PROTOCOL_TLS_SERVER)
    asked = []

    def choose(sslobj: Any, name: str | None, context: Any) -> int | None:
        asked.append((sslobj, name, context))
        if name == "localhost":
            sslobj.context = server
            return None
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    base.sni_callback = choose
    pair = Pair(base, client).shake_hands()
    assert asked == [(pair.server, "localhost", base)]
    assert pair.server.context is server
    refused = Pair(base, client, "server.example.com")
    with pytest.raises(ssl.SSLError) as error:
        refused.shake_hands()
    assert error.value.reason == "TLSV1_UNRECOGNIZED_NAME"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_authentication_after_the_handshake(version, files: Files) -> None:
    server = server_context(OURS, files, verify=ssl.CERT_REQUIRED)
    client = client_context(OURS, files, certificate=True)
    server.post_handshake_auth = client.post_handshake_auth = True
    client.maximum_version = version
    pair = Pair(server, client).shake_hands()
    if version is ssl.TLSVersion.TLSv1_2:
        # There is no later: the certificate is asked for at once.
        assert pair.server.getpeercert()
        return
    assert pair.server.getpeercert() is None
    pair.server.verify_client_post_handshake()
    pair.server.write(b"x")
    assert pair.client.read() == b"x"
    pair.client.write(b"y")
    assert pair.server.read() == b"y"
    assert pair.server.getpeercert()["subject"][-1] == (("commonName", "alice"),)


def test_secrets_are_logged(contexts, tmp_path: Path) -> None:
    server, client = contexts
    client.keylog_filename = str(tmp_path / "keys")
    Pair(server, client).shake_hands()
    client.keylog_filename = None
    lines = (tmp_path / "keys").read_text().splitlines()
    assert lines[0].startswith("# TLS secrets log file")
    assert {line.split()[0] for line in lines[1:]} >= {"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"}
    assert Pair(server, client).shake_hands().client.version()
    assert len((tmp_path / "keys").read_text().splitlines()) == len(lines)


def test_revocation_lists(contexts, files: Files, tmp_path: Path) -> None:
    server, client = contexts
    client.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    with pytest.raises(ssl.SSLCertVerificationError) as error:
        Pair(server, client).shake_hands()
    assert error.value.verify_code == 3
    (tmp_path / "crl.pem").write_bytes(certificates.ca().crl())
    client.load_verify_locations(tmp_path / "crl.pem")
    assert client.cert_store_stats() == {"x509": 1, "crl": 1, "x509_ca": 1}
    assert Pair(server, client).shake_hands().client.version()
    (tmp_path / "crl.pem").write_bytes(certificates.ca().crl([certificates.server().certificate]))
    revoking = client_context(OURS, files)
    revoking.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    revoking.load_verify_locations(tmp_path / "crl.pem")
    with pytest.raises(ssl.SSLCertVerificationError) as error:
        Pair(server, revoking).shake_hands()
    assert (error.value.verify_code, error.value.verify_message) == (23, "certificate revoked")


def test_frozen_trust(contexts, files: Files) -> None:
    client = contexts[1]
    client.freeze_trust()
    for load in (lambda: client.load_verify_locations(files.other_ca), client.load_default_certs):
        with pytest.raises(ValueError, match="the trust of this context is frozen"):
            load()
    assert client.cert_store_stats()["x509"] == 1


def test_bindings_of_the_channel(contexts) -> None:
    pair = Pair(*contexts).shake_hands()
    for kind in ("tls-exporter", "tls-server-end-point"):
        assert pair.client.get_channel_binding(kind) == pair.server.get_channel_binding(kind) is not None
    assert pair.client.get_channel_binding("tls-unique") is None
    with pytest.raises(ValueError, match="not implemented"):
        pair.client.get_channel_binding("other")


# Above the stock module


def identity(kind: str, tmp_path: Path) -> dict[str, Any]:
    """The server's certificate and key in one of the shapes that are taken."""
    issued = certificates.server()
    key = load_pem_private_key(issued.key_pem, None)
    certificate = x509.load_der_x509_certificate(issued.chain[0])
    match kind:
        case "bytes":
            return {"certificate": issued.cert_pem, "key": issued.key_pem}
        case "objects":
            return {"certificate": certificate, "key": key}
        case "der":
            return {"certificate": issued.chain[0], "key": key}
        case "paths":
            (tmp_path / "c.pem").write_bytes(issued.cert_pem)
            (tmp_path / "k.pem").write_bytes(issued.key_pem)
            return {"certificate": tmp_path / "c.pem", "key": str(tmp_path / "k.pem")}
    bundle = pkcs12.serialize_key_and_certificates(b"x", key, certificate, None, BestAvailableEncryption(b"secret"))  # type: ignore[arg-type]
    return {"certificate": bundle, "password": "secret"}


@pytest.mark.parametrize("kind", ["bytes", "objects", "der", "paths", "pkcs12"])
def test_the_builder_takes_every_shape(kind, tmp_path: Path) -> None:
    server = handfast.create_default_context(ssl.Purpose.CLIENT_AUTH, **identity(kind, tmp_path), alpn=["h2"])
    root = certificates.ca().certificate
    for cafile in (
        certificates.ca().certificate_pem,
        root,
        [root],
        handfast.Roots.from_der([certificates.ca().certificate_der]),
    ):
        client = handfast.create_default_context(cafile, alpn=["h2"])
        assert Pair(server, client).shake_hands().client.selected_alpn_protocol() == "h2"


def test_what_the_builder_refuses(files: Files) -> None:
    with pytest.raises(ssl.SSLError) as error:
        handfast.create_default_context(certificate=files.server, key=files.client_key)
    assert (error.value.reason, error.value.library) == ("KEY_VALUES_MISMATCH", "X509")
    with pytest.raises(ValueError, match="certificate must be specified"):
        handfast.create_default_context(files.ca, key=files.client_key)
    with pytest.raises(FileNotFoundError):
        handfast.create_default_context("missing.pem")


def test_a_self_signed_client_under_request(files: Files) -> None:
    server = server_context(OURS, files)
    server.client_auth = handfast.ClientAuth.REQUEST
    server.ca_names = [b"0\x00"]
    client = client_context(OURS, files)
    client.client_credentials = [
        handfast.Credentials.from_bytes(certificates.client().cert_pem, certificates.client().key_pem)
    ]
    pair = Pair(server, client).shake_hands()
    assert handfast.info(pair.server).peer is not None
    assert handfast.info(pair.client).ca_names == (b"0\x00",)
    assert server.verify_mode is ssl.CERT_OPTIONAL


class Accepting:
    """Accepts every chain."""

    def verify(self, presented: Any) -> Any:
        return handfast.accept(presented.chain)


def test_a_verifier_that_would_keep_nobody_out_is_refused(contexts) -> None:
    server, client = contexts
    client.check_hostname = False
    for context, server_side in ((server, True), (client, False)):
        context.verifier = Accepting()
        context.verify_mode = ssl.CERT_NONE
        with pytest.raises(ssl.SSLError, match="BAD_OPTION") as error:
            context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=server_side)
        assert "verify_mode is CERT_NONE" in str(error.value.__cause__)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=server_side)
    server.client_auth = "none"
    with pytest.raises(ssl.SSLError, match="BAD_OPTION"):
        server.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
    server.client_auth = "request"
    server.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)


@pytest.mark.parametrize("flag", [ssl.VERIFY_CRL_CHECK_LEAF, ssl.VERIFY_CRL_CHECK_CHAIN])
def test_a_verifier_beside_the_lists_of_the_store_is_refused(flag: ssl.VerifyFlags, contexts) -> None:
    server, client = contexts
    client.verifier = Accepting()
    with pytest.raises(ValueError, match="give that one the lists"):
        client.verify_flags |= flag
    server.verify_flags |= flag
    with pytest.raises(ValueError, match="give that one the lists"):
        server.verifier = Accepting()
    assert server.verifier is None
    client.verify_flags |= ssl.VERIFY_X509_STRICT


def test_verifier_and_observer(contexts) -> None:
    server, client = contexts
    events: list[Any] = []

    class Refusing:
        def verify(self, presented: handfast.PresentedChain) -> handfast.Verdict:
            return handfast.refuse("access_denied", f"{presented.server_name} is not for us")

    client.verifier = Refusing()
    client.observe = lambda address: ([events.append], [])
    with pytest.raises(ssl.SSLCertVerificationError) as error:
        Pair(server, client).shake_hands()
    assert "localhost is not for us" in error.value.__notes__[0]
    assert error.value.verify_code == 50
    assert events


def test_credentials_by_name_at_a_server(files: Files) -> None:
    server = OURS(ssl.PROTOCOL_TLS_SERVER)
    one = handfast.Credentials.from_files(files.server, files.server_key)
    server.server_credentials = lambda hello: one if hello.server_name == "localhost" else None  # type: ignore[attr-defined]
    client = client_context(OURS, files)
    assert Pair(server, client).shake_hands().client.version()
    with pytest.raises(ssl.SSLError):
        Pair(server, client, "server.example.com").shake_hands()


def test_info_of_everything(contexts) -> None:
    pair = Pair(*contexts).shake_hands()
    assert handfast.info(pair.client) is pair.client._sslobj.info
    with Sockets(*contexts) as sockets:
        assert handfast.info(sockets.server).complete
    with pytest.raises(ApiMisuse):
        handfast.info(ssl.create_default_context())

    async def over_a_loop() -> None:
        server, client = contexts
        found = asyncio.get_running_loop().create_future()

        async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.set_result((handfast.info(writer), handfast.info(writer.transport)))
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server) as listening:
            port = listening.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("localhost", port, ssl=client)
            assert handfast.info(writer).verified_peer is not None
            await reader.read()
            writer.close()
            await writer.wait_closed()
            of_writer, of_transport = await found
            assert of_writer is of_transport

    asyncio.run(over_a_loop())


def test_a_refused_chain_leaves_no_garbage(contexts, files: Files) -> None:
    server = contexts[0]
    client = client_context(OURS, files, ca=files.other_ca)
    gc.collect()
    gc.disable()
    try:
        pair = Pair(server, client)
        with pytest.raises(ssl.SSLCertVerificationError) as error:
            pair.shake_hands()
        kept = weakref.ref(client), weakref.ref(pair.client._sslobj)
        error.value.__traceback__ = error.value.__context__ = error.value.__cause__ = None
        del pair, client, error
        assert [one() for one in kept] == [None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_a_program_that_is_typed_with_ssl(checker, tmp_path: Path) -> None:
    """Both accept ours wherever ``ssl.SSLContext`` is annotated."""
    if checker == "pyright" and shutil.which("pyright") is None:
        pytest.skip("pyright is not installed")
    program = """
import asyncio, http.client, ssl
import handfast

def take(context: ssl.SSLContext) -> ssl.SSLContext:
    return context

context = handfast.create_default_context("ca.pem", certificate=b"", key="pkcs11:object=key")
take(context)
http.client.HTTPSConnection("localhost", context=context)
wrapped: ssl.SSLObject = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="x")
context.verify_mode = ssl.CERT_NONE
context.minimum_version = ssl.TLSVersion.TLSv1_3
context.client_auth = handfast.ClientAuth.REQUEST

async def main() -> None:
    await asyncio.open_connection("localhost", 443, ssl=context)
"""
    (tmp_path / "program.py").write_text(program)
    command = ["pyright", "--pythonpath", sys.executable, "program.py"]
    if checker == "mypy":
        command = [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--no-incremental",
            "--follow-imports=silent",
            "program.py",
        ]
    source = Path(handfast.__file__).parent.parent
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "MYPYPATH": str(source)}
    )
    assert done.returncode == 0, done.stdout


# Peers that vanish, and what is left of them


def records(data: bytes) -> list[bytes]:
    found = []
    while data:
        size = 5 + int.from_bytes(data[3:5], "big")
        found.append(data[:size])
        data = data[size:]
    return found


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("of", ["client", "server"])
def test_a_peer_that_vanishes_at_any_record(of, version, files: Files) -> None:
    """Wherever its input ends, also inside a record, an end gets an error of ``ssl`` at once, and again."""
    server = server_context(OURS, files, verify=ssl.CERT_REQUIRED)
    client = client_context(OURS, files, certificate=True)
    client.maximum_version = version
    at = 0
    while True:
        pair = Pair(server, client)
        ends = {"client": (pair.client, pair.to_client), "server": (pair.server, pair.to_server)}
        victim, incoming = ends.pop(of)
        [(peer, _)] = ends.values()
        left, done = at, False
        for _ in range(6):
            with suppress(ssl.SSLWantReadError):
                peer.do_handshake()
            for record in records(incoming.read()):
                if left > 1:
                    incoming.write(record)
                elif left >= 0:
                    incoming.write(record[: len(record) // 2] if left else b"")
                    incoming.write_eof()
                left -= 2
                if incoming.eof or left < 0:
                    break
            with suppress(ssl.SSLWantReadError):
                try:
                    victim.do_handshake()
                    done = True
                except ssl.SSLEOFError:
                    with pytest.raises(ssl.SSLError):
                        victim.do_handshake()
                    break
        if done:
            break
        at += 1
        assert at < 40
    assert at > 4


def test_connections_leave_neither_objects_nor_descriptors(contexts) -> None:
    def one() -> None:
        with Sockets(*contexts) as sockets:
            sockets.client.sendall(b"x")
            assert sockets.server.recv(1) == b"x"

    one()
    gc.collect()
    before = len(os.listdir("/proc/self/fd")), sum(issubclass(type(thing), TLSConnection) for thing in gc.get_objects())
    for _ in range(30):
        one()
    gc.collect()
    after = len(os.listdir("/proc/self/fd")), sum(issubclass(type(thing), TLSConnection) for thing in gc.get_objects())
    assert after == before


class AsyncVerifier:
    async def verify(self, presented: handfast.PresentedChain) -> handfast.Verdict:
        return handfast.accept()


class AsyncSigner:
    schemes = (0x0403,)

    async def sign(self, scheme: int, message: bytes) -> bytes:
        return b""


class LateVerifier:
    """Says only when it is asked that its answer comes later."""

    def verify(self, presented: handfast.PresentedChain) -> Any:
        return handfast.DEFERRED


def test_what_must_be_awaited_is_refused(contexts) -> None:
    server, client = contexts
    with pytest.raises(ValueError, match="cannot await a verifier"):
        client.verifier = AsyncVerifier()
    issued = certificates.server()
    own = handfast.Credentials.from_bytes(issued.cert_pem, issued.key_pem)
    with pytest.raises(ValueError, match="cannot await a signer"):
        server.server_credentials = [dataclasses.replace(own, signer=AsyncSigner())]
    client.verifier = LateVerifier()
    with pytest.raises(ssl.SSLError) as error:
        Pair(server, client).shake_hands()
    assert error.value.reason == "NEED_FAILED"


def test_a_signer_with_a_thread_signs_under_a_loop(contexts) -> None:
    issued = certificates.server()
    own = handfast.Credentials.from_bytes(issued.cert_pem, issued.key_pem)
    threaded = dataclasses.replace(own, signer=handfast.ThreadSigner(own.signer))

    async def main() -> str:
        contexts[0].server_credentials = [threaded]
        return str(Pair(*contexts).shake_hands().client.version())

    assert asyncio.run(main()) == "TLSv1.3"


def test_a_key_in_a_token(files: Files, tmp_path: Path) -> None:
    """In a process of its own: SoftHSM reads its configuration once per process."""
    pytest.importorskip("pkcs11")
    tokens = Tokens(tmp_path)
    tokens.make("token")
    uri = tokens.uri(tokens.put("token", "server", certificates.server()))
    program = f"""
import ssl, handfast
from tests.sslcontext.pairs import Pair
server = handfast.create_default_context(ssl.Purpose.CLIENT_AUTH, certificate={files.server!r}, key={uri!r})
print(Pair(server, handfast.create_default_context({files.ca!r})).shake_hands().client.version())
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, **tokens.environment, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "TLSv1.3\n", done.stderr
