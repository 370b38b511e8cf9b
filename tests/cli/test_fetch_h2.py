"""HTTP/2 of ``handfast connect``, with a server made of h2, and without h2."""

from __future__ import annotations

import contextlib
import struct

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.exceptions import H2Error

from handfast import limits
from handfast.cli import fetch_h2
from handfast.errors import HandfastError
from tests.cli.conftest import https_server, tls_server
from tests.cli.test_connect import url

REPLY = [(":status", "200"), ("content-length", "4"), ("x-evil", "\x1b[31m")]


class Exchange:
    """A server that takes one request of one stream and answers it as ``reply`` says."""

    def __init__(self, reply):
        self.headers = []
        self.body = b""
        self._reply = reply

    def __call__(self, tls):
        # A client that gives up is no failure of the server's.
        with contextlib.suppress(HandfastError, H2Error):
            self._serve(tls)

    def _serve(self, tls):
        connection = H2Connection(H2Configuration(client_side=False, validate_outbound_headers=False))
        connection.initiate_connection()
        tls.sendall(connection.data_to_send())
        done = False
        while not done and (data := tls.recv()):
            for event in connection.receive_data(data):
                if isinstance(event, RequestReceived):
                    self.headers = event.headers
                elif isinstance(event, DataReceived):
                    self.body += event.data
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, StreamEnded):
                    done = True
            if not done:
                tls.sendall(connection.data_to_send())
        self._reply(connection, tls)
        tls.sendall(connection.data_to_send())
        tls.recv()


def simple(connection, tls):
    connection.send_headers(1, REPLY)
    connection.send_data(1, b"body", end_stream=True)


def talk(reply, **settings):
    return tls_server(reply, application_protocols=("h2",), **settings)


def test_h2_is_spoken_where_the_server_chooses_it(run, pki):
    server = Exchange(simple)
    with talk(server) as port:
        result = run("connect", "-i", "-v", url(port, "/a?b"), *pki.trust, "-H", "X-Own: 1")
    assert result.status == 0
    assert result.out == "HTTP/2 200\r\ncontent-length: 4\r\nx-evil: \\x1b[31m\r\n\r\nbody"
    assert dict(server.headers) == {
        b":method": b"GET", b":scheme": b"https", b":authority": b"localhost:%d" % port, b":path": b"/a?b",
        b"user-agent": b"handfast", b"accept": b"*/*", b"x-own": b"1",
    } or dict(server.headers)[":path"] == "/a?b"  # fmt: skip
    assert "> GET /a?b HTTP/2" in result.complaints
    assert f"> Host: localhost:{port}" in result.complaints
    # HTTP/2 has no such field, so it was not sent.
    assert not any(line.startswith("> Connection") for line in result.complaints)
    assert "< HTTP/2 200" in result.complaints
    assert "the server answered" in result.complaints[-1] or "ALPN h2" in result.complaints[-1]


def test_a_body_larger_than_the_window_is_sent(run, pki, tmp_path):
    (tmp_path / "body").write_bytes(b"x" * 200_000)
    server = Exchange(simple)
    with talk(server) as port:
        assert run("connect", url(port), *pki.trust, "-d", f"@{tmp_path / 'body'}").out == "body"
    assert len(server.body) == 200_000


def test_a_large_answer_is_received(run, pki):
    def large(connection, tls):
        connection.send_headers(1, [(":status", "200")])
        left = 300_000
        while left:
            room = min(connection.local_flow_control_window(1), connection.max_outbound_frame_size, left)
            if room:
                connection.send_data(1, bytes(room), end_stream=room == left)
                left -= room
                tls.sendall(connection.data_to_send())
            else:
                connection.receive_data(tls.recv())

    with talk(Exchange(large)) as port:
        assert len(run("connect", url(port), *pki.trust).out) == 300_000


def test_a_head_alone(run, pki):
    def head(connection, tls):
        connection.send_headers(1, [(":status", "204")], end_stream=True)

    with talk(Exchange(head)) as port:
        assert run("connect", "-I", url(port), *pki.trust).out == "HTTP/2 204\r\n\r\n"


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (lambda connection, tls: connection.reset_stream(1, 13), "the server reset the stream, HTTP_1_1_REQUIRED"),
        (lambda connection, tls: connection.close_connection(11), "the server ended the connection, ENHANCE_YOUR_CALM"),
        (lambda connection, tls: connection.send_headers(1, [(":status", "200")]), "before the response was complete"),
        (lambda connection, tls: connection.send_headers(1, [("x", "y")], end_stream=True), "HTTP/2"),
        (lambda connection, tls: connection.send_headers(1, [(":status", "what")], end_stream=True), "HTTP/2"),
        (lambda connection, tls: tls.sendall(b"HTTP/1.1 200 OK\r\n\r\n" * 10), "HTTP/2: a frame of"),
    ],
)
def test_what_is_no_complete_response(run, pki, reply, words):
    def and_end(connection, tls):
        reply(connection, tls)
        tls.sendall(connection.data_to_send())
        tls.shutdown_write()

    with talk(Exchange(and_end)) as port:
        result = run("connect", url(port), *pki.trust)
    assert result.is_error(1, "not a complete HTTP response", words)


def test_a_server_that_chooses_h2_and_speaks_http_1(run, pki):
    def old(tls):
        tls.recv()
        tls.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        tls.shutdown_write()
        tls.recv()

    with talk(old) as port:
        result = run("connect", url(port), *pki.trust)
    assert result.is_error(1, "the server chose HTTP/2 and answers in HTTP/1")


def goaway(last, code=0):
    return struct.pack(">IBIII", 8 << 8 | 7, 0, 0, last, code)


def test_a_server_that_ends_in_order_may_say_so_before_its_answer(run, pki):
    def going(connection, tls):
        tls.sendall(goaway(1))
        simple(connection, tls)

    with talk(Exchange(going)) as port:
        result = run("connect", url(port), *pki.trust)
    assert (result.status, result.out) == (0, "body")


def test_a_server_that_ends_without_having_looked_at_the_request(run, pki):
    def going(connection, tls):
        tls.sendall(goaway(0))
        simple(connection, tls)

    with talk(Exchange(going)) as port:
        result = run("connect", url(port), *pki.trust)
    assert result.is_error(1, "the server ended the connection, NO_ERROR")


def test_a_frame_that_is_too_large_is_not_awaited(run, pki):
    def large(connection, tls):
        tls.sendall((2**24 - 1).to_bytes(3) + bytes([0, 0, 0, 0, 0, 1]))

    with talk(Exchange(large)) as port:
        result = run("connect", url(port), *pki.trust)
    assert result.is_error(1, "not a complete HTTP response", "a frame of 16777215 bytes")


def test_headers_are_bounded(run, pki):
    def many(connection, tls):
        # It ignores what our settings say.
        size = limits.HTTP_HEADERS // 8
        connection.send_headers(1, [(":status", "200"), *((f"x-{number}", "y" * size) for number in range(9))])

    with talk(Exchange(many)) as port:
        assert run("connect", url(port), *pki.trust).is_error(1, "not a complete HTTP response", "HTTP/2")


@pytest.mark.parametrize("line", ["A: b\r\nC: d", "A b: c"])
def test_what_is_no_http_is_not_sent(run, pki, line):
    with talk(lambda tls: tls.recv()) as port:
        assert run("connect", url(port), *pki.trust, "-H", line).is_error(2, "-H")


def test_without_h2_it_is_not_offered(run, pki, monkeypatch):
    monkeypatch.setattr(fetch_h2, "find_spec", lambda _name: None)
    with https_server() as port:
        result = run("connect", "-v", url(port), *pki.trust)
    assert result.status == 0
    assert "* we asked for the name localhost, and offered http/1.1" in result.complaints
