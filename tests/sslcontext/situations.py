"""Situations that a program may get an ``ssl`` connection or context into, each with what it then sees.

Each is a function of a kind of context and the files; it returns, or raises what the program gets.
"""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import certificates
from tests.sslcontext.pairs import (
    Files,
    Pair,
    Sockets,
    below_two,
    client_context,
    context_of,
    hashed,
    server_context,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Situation = Callable[[Any, Files], object]

SITUATIONS: dict[str, Situation] = {}


def situation(act: Situation) -> Situation:
    SITUATIONS[act.__name__] = act
    return act


def made(kind: Any, files: Files, **changed: Any) -> Pair:
    return Pair(server_context(kind, files), client_context(kind, files), **changed).shake_hands()


def step(act: Callable[[], object]) -> None:
    with suppress(ssl.SSLError):
        act()


def until_it_fails(act: Callable[[], object]) -> object:
    """What an end says at last: the alert may leave one call before its error comes."""
    with suppress(ssl.SSLWantReadError):
        return act()
    return act()


# Over buffers


@situation
def handshake_needs_data(kind: Any, files: Files) -> object:
    return Pair(server_context(kind, files), client_context(kind, files)).client.do_handshake()


@situation
def server_handshake_needs_data(kind: Any, files: Files) -> object:
    return Pair(server_context(kind, files), client_context(kind, files)).server.do_handshake()


@situation
def read_before_handshake(kind: Any, files: Files) -> object:
    return Pair(server_context(kind, files), client_context(kind, files)).client.read(1)


@situation
def write_before_handshake(kind: Any, files: Files) -> object:
    return Pair(server_context(kind, files), client_context(kind, files)).client.write(b"x")


@situation
def unwrap_before_handshake(kind: Any, files: Files) -> object:
    return Pair(server_context(kind, files), client_context(kind, files)).client.unwrap()


@situation
def read_nothing(kind: Any, files: Files) -> object:
    return made(kind, files).client.read(10)


@situation
def read_into_nothing(kind: Any, files: Files) -> object:
    return made(kind, files).client.read(10, bytearray(10))


@situation
def read_zero(kind: Any, files: Files) -> object:
    return made(kind, files).client.read(0)


@situation
def read_negative(kind: Any, files: Files) -> object:
    return made(kind, files).client.read(-1)


@situation
def write_empty(kind: Any, files: Files) -> object:
    return made(kind, files).client.write(b"")


@situation
def write_a_number(kind: Any, files: Files) -> object:
    return made(kind, files).client.write(7)


@situation
def write_much(kind: Any, files: Files) -> object:
    return made(kind, files).client.write(bytes(100_000))


@situation
def read_a_part(kind: Any, files: Files) -> object:
    pair = made(kind, files)
    pair.server.write(b"hello")
    return pair.client.read(2), pair.client.pending(), pair.client.read(100), pair.client.pending()


@situation
def read_into_a_small_buffer(kind: Any, files: Files) -> object:
    pair = made(kind, files)
    pair.server.write(b"hello")
    buffer = bytearray(3)
    return pair.client.read(100, buffer), bytes(buffer)


@situation
def first_unwrap(kind: Any, files: Files) -> object:
    return made(kind, files).server.unwrap()


def closed(kind: Any, files: Files) -> Pair:
    pair = made(kind, files)
    step(pair.server.unwrap)
    return pair


@situation
def read_after_close_notify(kind: Any, files: Files) -> object:
    pair = closed(kind, files)
    return pair.client.read(10), pair.client.read(10), pair.client.read(10, bytearray(4))


@situation
def write_after_close_notify(kind: Any, files: Files) -> object:
    pair = closed(kind, files)
    pair.client.read(10)
    return pair.client.write(b"x")


@situation
def second_unwrap(kind: Any, files: Files) -> object:
    pair = closed(kind, files)
    return pair.client.unwrap(), pair.server.unwrap()


@situation
def write_after_own_shutdown(kind: Any, files: Files) -> object:
    pair = closed(kind, files)
    pair.client.unwrap()
    return pair.client.write(b"x")


@situation
def read_after_shutdown(kind: Any, files: Files) -> object:
    pair = closed(kind, files)
    pair.client.unwrap()
    return pair.client.read(1)


@situation
def unwrap_with_data_queued(kind: Any, files: Files) -> object:
    pair = made(kind, files)
    pair.client.write(b"data")
    return pair.server.unwrap()


@situation
def ragged_end(kind: Any, files: Files) -> object:
    pair = made(kind, files)
    pair.to_client.write_eof()
    return pair.client.read(10)


@situation
def ragged_end_into(kind: Any, files: Files) -> object:
    pair = made(kind, files)
    pair.to_client.write_eof()
    return pair.client.read(10, bytearray(10))


@situation
def ragged_end_in_a_record(kind: Any, files: Files) -> object:
    pair = made(kind, files)
    pair.client.write(b"hello")
    whole = pair.to_server.read()
    pair.to_server.write(whole[:-3])
    pair.to_server.write_eof()
    return pair.server.read(10)


@situation
def ragged_end_that_is_ignored(kind: Any, files: Files) -> object:
    client = client_context(kind, files)
    client.options |= 1 << 7
    pair = Pair(server_context(kind, files), client).shake_hands()
    pair.to_client.write_eof()
    return pair.client.read(10)


@situation
def ragged_end_in_unwrap(kind: Any, files: Files) -> object:
    pair = made(kind, files)
    step(pair.client.read)
    pair.to_client.write_eof()
    return pair.client.unwrap()


@situation
def end_in_the_handshake(kind: Any, files: Files) -> object:
    pair = Pair(server_context(kind, files), client_context(kind, files))
    step(pair.client.do_handshake)
    pair.to_client.write_eof()
    return pair.client.do_handshake()


@situation
def end_before_a_hello(kind: Any, files: Files) -> object:
    pair = Pair(server_context(kind, files), client_context(kind, files))
    pair.to_server.write_eof()
    return pair.server.do_handshake()


@situation
def getpeercert_before_handshake(kind: Any, files: Files) -> object:
    return Pair(server_context(kind, files), client_context(kind, files)).client.getpeercert()


@situation
def what_is_known_before_the_handshake(kind: Any, files: Files) -> object:
    one = Pair(server_context(kind, files), client_context(kind, files)).client
    # Not shared_ciphers(), in which releases of Python differ.
    known = one.version(), one.cipher(), one.selected_alpn_protocol(), one.compression()
    return *known, one.pending(), one.session, one.session_reused, one.server_side, one.server_hostname


@situation
def no_certificate_of_the_client(kind: Any, files: Files) -> object:
    return made(kind, files).server.getpeercert()


@situation
def an_unknown_binding(kind: Any, files: Files) -> object:
    return made(kind, files).server.get_channel_binding("unknown")


@situation
def a_session_that_is_none(kind: Any, files: Files) -> object:
    made(kind, files).client.session = 7
    return None


@situation
def a_context_that_is_none(kind: Any, files: Files) -> object:
    made(kind, files).client.context = 7
    return None


# Peers that are odd


@situation
def an_http_server(kind: Any, files: Files) -> object:
    pair = Pair(server_context(kind, files), client_context(kind, files))
    pair.to_client.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    return until_it_fails(pair.client.do_handshake)


@situation
def an_http_client(kind: Any, files: Files) -> object:
    pair = Pair(server_context(kind, files), client_context(kind, files))
    pair.to_server.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return until_it_fails(pair.server.do_handshake)


@situation
def a_corrupt_record(kind: Any, files: Files) -> object:
    pair = made(kind, files)
    step(pair.client.read)
    pair.to_client.write(b"\x17\x03\x03\x00\x20" + bytes(32))
    return pair.client.read(1)


@situation
def a_record_too_long(kind: Any, files: Files) -> object:
    pair = made(kind, files)
    step(pair.client.read)
    pair.to_client.write(b"\x17\x03\x03\x60\x00" + bytes(0x6000))
    return pair.client.read(1)


# Refusals


def refused(server: Any, client: Any, who: str, name: str = "localhost") -> object:
    """What the end called ``who`` gets, once both have done what they can."""
    pair = Pair(server, client, name)
    ends = {"client": pair.client, "server": pair.server}
    for _ in range(4):
        for end, one in ends.items():
            try:
                one.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                if end == who:
                    raise
    return ends[who].read(1)


def _refusals(name: str, contexts: Callable[[Any, Files], tuple[Any, Any]], host: str = "localhost") -> None:
    for who in ("client", "server"):

        def act(kind: Any, files: Files, who: str = who) -> object:
            return refused(*contexts(kind, files), who, host)

        SITUATIONS[f"{name}_at_the_{who}"] = act


def _unknown_ca(kind: Any, files: Files) -> tuple[Any, Any]:
    return server_context(kind, files), client_context(kind, files, ca=files.other_ca)


def _unknown_ca_12(kind: Any, files: Files) -> tuple[Any, Any]:
    server, client = _unknown_ca(kind, files)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    return server, client


def _intermediate_alone(kind: Any, files: Files) -> tuple[Any, Any]:
    server = kind(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.below, files.below_key)
    return server, client_context(kind, files, ca=files.middle)


def _leaf_alone(kind: Any, files: Files) -> tuple[Any, Any]:
    return server_context(kind, files), client_context(kind, files, ca=files.server)


def _partial_chain(kind: Any, files: Files) -> tuple[Any, Any]:
    server, client = _intermediate_alone(kind, files)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return server, client


def _no_client_certificate(kind: Any, files: Files) -> tuple[Any, Any]:
    return server_context(kind, files, verify=ssl.CERT_REQUIRED), client_context(kind, files)


def _no_client_certificate_12(kind: Any, files: Files) -> tuple[Any, Any]:
    server, client = _no_client_certificate(kind, files)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    return server, client


def _client_of_another_ca(kind: Any, files: Files) -> tuple[Any, Any]:
    server = kind(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.server, files.server_key)
    server.load_verify_locations(files.other_ca)
    server.verify_mode = ssl.CERT_REQUIRED
    return server, client_context(kind, files, certificate=True)


def _no_common_version(kind: Any, files: Files) -> tuple[Any, Any]:
    server, client = server_context(kind, files), client_context(kind, files)
    server.minimum_version, client.maximum_version = ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2
    return server, client


def _no_common_suite(kind: Any, files: Files) -> tuple[Any, Any]:
    server, client = server_context(kind, files), client_context(kind, files)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    server.set_ciphers("ECDHE+AES256:!CHACHA20")
    client.set_ciphers("ECDHE+CHACHA20")
    return server, client


def _no_certificate_at_all(kind: Any, files: Files) -> tuple[Any, Any]:
    return kind(ssl.PROTOCOL_TLS_SERVER), client_context(kind, files)


def _wrong_host(kind: Any, files: Files) -> tuple[Any, Any]:
    return server_context(kind, files), client_context(kind, files)


def _refusing_name(kind: Any, files: Files) -> tuple[Any, Any]:
    server, client = _wrong_host(kind, files)
    server.sni_callback = lambda sslobj, name, context: ssl.ALERT_DESCRIPTION_ACCESS_DENIED
    return server, client


def _answering(answer: object) -> Callable[[Any, Files], tuple[Any, Any]]:
    def contexts(kind: Any, files: Files) -> tuple[Any, Any]:
        server, client = _wrong_host(kind, files)
        server.sni_callback = lambda sslobj, name, context: answer
        return server, client

    return contexts


_refusals("unknown_ca", _unknown_ca)
_refusals("unknown_ca_in_tls_1_2", _unknown_ca_12)
_refusals("intermediate_alone", _intermediate_alone)
_refusals("leaf_alone", _leaf_alone)
_refusals("partial_chain", _partial_chain)
_refusals("no_client_certificate", _no_client_certificate)
_refusals("no_client_certificate_in_tls_1_2", _no_client_certificate_12)
_refusals("client_of_another_ca", _client_of_another_ca)
_refusals("no_common_version", _no_common_version)
_refusals("no_common_suite", _no_common_suite)
_refusals("no_certificate_at_all", _no_certificate_at_all)
_refusals("wrong_host", _wrong_host, "wrong.example")
_refusals("wrong_address", _wrong_host, "127.0.0.9")
_refusals("a_callback_that_refuses", _refusing_name)
# The client is not told by all releases of OpenSSL of what is no alert of TLS 1.3; ours always tells it.
_refusals("a_callback_that_answers_with_words", _answering("no"))
_refusals("a_callback_that_answers_with_much", _answering(10**30))
SITUATIONS["a_callback_that_answers_with_256_at_the_server"] = lambda kind, files: refused(
    *_answering(256)(kind, files), "server"
)
SITUATIONS["a_callback_that_answers_below_0_at_the_server"] = lambda kind, files: refused(
    *_answering(-1)(kind, files), "server"
)


# Directories of CAs and of revocation lists


def outcome(server: Any, client: Any, who: str) -> object:
    """Whether the end called ``who`` is content, else why not."""
    try:
        return refused(server, client, who)
    except ssl.SSLWantReadError:
        return "accepted"
    except ssl.SSLError as error:
        return error.reason, getattr(error, "verify_code", None)


def directory_of(files: Files) -> Path:
    directory = Path(files.ca).parent / "directory"
    directory.mkdir(exist_ok=True)
    for one in directory.iterdir():
        one.unlink()
    return directory


@situation
def a_ca_put_into_a_directory_later(kind: Any, files: Files) -> object:
    directory, pem, other = directory_of(files), *(Path(one).read_bytes() for one in (files.ca, files.other_ca))
    (directory / f"{hashed(other)}.0").write_bytes(other)
    client = context_of(kind, ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(capath=directory)
    server = server_context(kind, files)
    before = outcome(server, client, "client")
    (directory / f"{hashed(pem)}.0").write_bytes(pem)
    return before, outcome(server, client, "client")


@situation
def a_client_revoked_in_a_directory_later(kind: Any, files: Files) -> object:
    directory, ca = directory_of(files), certificates.ca()
    name = hashed(ca.certificate_pem)
    (directory / f"{name}.0").write_bytes(ca.certificate_pem)
    (directory / f"{name}.r0").write_bytes(ca.crl(last_update=datetime.now(UTC) - timedelta(hours=2)))
    server = server_context(kind, files, verify=ssl.CERT_REQUIRED)
    server.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    server.load_verify_locations(capath=directory)
    client = client_context(kind, files, certificate=True)
    before = outcome(server, client, "server")
    (directory / f"{name}.r1").write_bytes(ca.crl([certificates.client().certificate]))
    return before, outcome(server, client, "server")


# Names that are no host's


def _named(host: str) -> Situation:
    def act(kind: Any, files: Files) -> object:
        asked: list[object] = []
        server, client = server_context(kind, files), client_context(kind, files)
        server.sni_callback = lambda sslobj, name, context: asked.append(name)
        client.check_hostname = False
        client.verify_mode = ssl.CERT_NONE
        pair = Pair(server, client, host).shake_hands()
        return pair.client.version(), pair.client.server_hostname, asked if host == "localhost" else len(asked)

    return act


for _host in ("localhost", "127.1", "-a.example", "localhost:443", "a b", "*.example"):
    SITUATIONS[f"a_server_called_{_host.replace('-', 'minus')}"] = _named(_host)


# Chains as files may hold them


def served(name: str, order: Callable[..., tuple[bytes, ...]]) -> None:
    """A server whose file has this order of a leaf, its CA, that one's CA and the root."""

    def act(kind: Any, files: Files) -> object:
        chain = order(*below_two().chain, certificates.ca().certificate_der)
        path = Path(files.ca).parent / "chain.pem"
        path.write_bytes("".join(map(ssl.DER_cert_to_PEM_cert, chain)).encode() + below_two().key_pem)
        server = kind(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(path)
        return outcome(server, client_context(kind, files), "client")

    SITUATIONS[f"a_chain_{name}"] = act


served("in_order", lambda leaf, lower, upper, root: (leaf, lower, upper))
served("with_its_root", lambda leaf, lower, upper, root: (leaf, lower, upper, root))
served("with_cas_out_of_order", lambda leaf, lower, upper, root: (leaf, upper, lower))
served("with_the_root_first_of_its_cas", lambda leaf, lower, upper, root: (leaf, root, upper, lower))
served("with_its_leaf_twice", lambda leaf, lower, upper, root: (leaf, leaf, lower, upper))
served("with_the_leaf_last", lambda leaf, lower, upper, root: (lower, upper, leaf))
served("without_one_of_its_cas", lambda leaf, lower, upper, root: (leaf, upper))


# Contexts


def on_context(name: str, act: Situation) -> None:
    SITUATIONS[name] = act


def _client(kind: Any) -> Any:
    return kind(ssl.PROTOCOL_TLS_CLIENT)


def _server(kind: Any) -> Any:
    return kind(ssl.PROTOCOL_TLS_SERVER)


on_context("keys_that_do_not_match", lambda kind, files: _server(kind).load_cert_chain(files.server, files.client_key))
on_context("a_file_that_is_missing", lambda kind, files: _server(kind).load_cert_chain("/missing"))
on_context("a_file_that_is_no_pem", lambda kind, files: _server(kind).load_cert_chain("/etc/hosts"))
on_context("a_certificate_without_key", lambda kind, files: _server(kind).load_cert_chain(files.ca))
on_context("cas_that_are_missing", lambda kind, files: _client(kind).load_verify_locations("/missing"))
on_context("cas_that_are_no_pem", lambda kind, files: _client(kind).load_verify_locations("/etc/hosts"))
on_context("no_cas", lambda kind, files: _client(kind).load_verify_locations())
on_context("data_that_is_no_ca", lambda kind, files: _client(kind).load_verify_locations(cadata="x"))
on_context("bytes_that_are_no_ca", lambda kind, files: _client(kind).load_verify_locations(cadata=b"x"))
on_context("empty_data", lambda kind, files: _client(kind).load_verify_locations(cadata=b""))
on_context("ciphers_that_are_none", lambda kind, files: _client(kind).set_ciphers("^$:,;?*'dorothyx"))
on_context("a_protocol_without_name", lambda kind, files: _client(kind).set_alpn_protocols([""]))
on_context("a_curve_that_is_none", lambda kind, files: _server(kind).set_ecdh_curve("foo"))
on_context("no_verification_of_names", lambda kind, files: setattr(_client(kind), "verify_mode", ssl.CERT_NONE))
on_context("a_mode_that_is_none", lambda kind, files: setattr(_client(kind), "verify_mode", 99))
on_context("a_mode_that_is_no_number", lambda kind, files: setattr(_client(kind), "verify_mode", None))
on_context("a_callback_that_is_none", lambda kind, files: setattr(_server(kind), "sni_callback", 7))
on_context("a_callback_of_a_client", lambda kind, files: setattr(_client(kind), "sni_callback", print))
on_context("tickets_of_a_client", lambda kind, files: setattr(_client(kind), "num_tickets", 1))
on_context("negative_tickets", lambda kind, files: setattr(_server(kind), "num_tickets", -1))
on_context("an_empty_host_name", lambda kind, files: Pair(_server(kind), client_context(kind, files), ""))
on_context("a_host_name_with_a_dot", lambda kind, files: Pair(_server(kind), client_context(kind, files), ".example"))
on_context("no_host_name", lambda kind, files: Pair(_server(kind), client_context(kind, files), None))
on_context("a_client_of_a_server", lambda kind, files: _server(kind).wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO()))
on_context(
    "a_server_of_a_client",
    lambda kind, files: _client(kind).wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True),
)
on_context("what_is_in_the_store", lambda kind, files: client_context(kind, files).cert_store_stats())
on_context("which_cas", lambda kind, files: client_context(kind, files).get_ca_certs())
on_context("which_cas_as_der", lambda kind, files: client_context(kind, files).get_ca_certs(True))
on_context("the_sessions", lambda kind, files: client_context(kind, files).session_stats())


# Over sockets


def over_sockets(act: Callable[[Sockets], object]) -> None:
    def run(kind: Any, files: Files) -> object:
        with Sockets(server_context(kind, files), client_context(kind, files)) as sockets:
            return act(sockets)

    SITUATIONS[f"{act.__name__}_over_sockets"] = run


@over_sockets
def nothing_to_read(sockets: Sockets) -> object:
    sockets.client.setblocking(False)
    return sockets.client.recv(1)


@over_sockets
def nothing_within_the_timeout(sockets: Sockets) -> object:
    sockets.client.settimeout(0.01)
    return sockets.client.recv(1)


@over_sockets
def a_full_socket(sockets: Sockets) -> object:
    sockets.client.setblocking(False)
    while True:
        sockets.client.send(bytes(1_000_000))


@over_sockets
def a_full_socket_within_the_timeout(sockets: Sockets) -> object:
    sockets.client.settimeout(0.05)
    while True:
        sockets.client.send(bytes(1_000_000))


@over_sockets
def a_send_returns_all(sockets: Sockets) -> object:
    return sockets.client.send(b"hello"), sockets.server.recv(100), sockets.server.pending()


@over_sockets
def a_peer_that_vanishes(sockets: Sockets) -> object:
    sockets.server._sslobj = None
    sockets.server.close()
    sockets.client.suppress_ragged_eofs = False
    return sockets.client.recv(1)


@over_sockets
def a_peer_that_vanishes_suppressed(sockets: Sockets) -> object:
    sockets.server._sslobj = None
    sockets.server.close()
    return sockets.client.recv(1), sockets.client.recv_into(bytearray(1))


def reset_by_its_peer(sockets: Sockets) -> Any:
    """The client, once its server's system has sent a reset."""
    sockets.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sockets.server._sslobj = None
    sockets.server.close()
    return sockets.client


@over_sockets
def a_read_after_a_reset(sockets: Sockets) -> object:
    return reset_by_its_peer(sockets).recv(1)


@over_sockets
def a_read_after_a_reset_unsuppressed(sockets: Sockets) -> object:
    sockets.client.suppress_ragged_eofs = False
    return reset_by_its_peer(sockets).recv(1)


@over_sockets
def a_second_read_after_a_reset(sockets: Sockets) -> object:
    client = reset_by_its_peer(sockets)
    with suppress(ConnectionResetError):
        client.recv(1)
    return client.recv(1)


@over_sockets
def a_write_after_a_reset(sockets: Sockets) -> object:
    return reset_by_its_peer(sockets).send(b"hello")


@over_sockets
def an_unwrap_after_a_reset(sockets: Sockets) -> object:
    return reset_by_its_peer(sockets).unwrap()


@over_sockets
def flags_of_recv(sockets: Sockets) -> object:
    return sockets.client.recv(1, 1)


@over_sockets
def unwrap_that_cannot_wait(sockets: Sockets) -> object:
    sockets.client.setblocking(False)
    return sockets.client.unwrap()


def _refused_over_sockets(
    name: str, contexts: Callable[[Any, Files], tuple[Any, Any]], host: str = "localhost"
) -> None:
    def run(kind: Any, files: Files) -> object:
        with Sockets(*contexts(kind, files), host) as sockets:
            raise next(error for error in sockets.errors if isinstance(error, ssl.SSLCertVerificationError))

    SITUATIONS[f"{name}_over_sockets"] = run


_refused_over_sockets("unknown_ca", _unknown_ca)
_refused_over_sockets("wrong_host", _wrong_host, "wrong.example")
