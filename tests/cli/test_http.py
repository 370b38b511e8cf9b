"""HTTP/1.1 over streams of bytes, both sides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handfast import limits
from handfast.cli import http
from handfast.cli.http import BadRequest, BadResponse, Reply, Request


class Stream:
    """Gives what it was made with in pieces, then ends; keeps what is sent."""

    def __init__(self, data, piece=7):
        self.data = data
        self.piece = piece
        self.sent = b""

    def recv(self, size):
        taken = self.data[: min(size, self.piece)]
        self.data = self.data[len(taken) :]
        return taken

    def sendall(self, data):
        self.sent += data


def ask(response, method="GET", **request):
    stream = Stream(response)
    parts = list(http.request(stream, Request(method, "/", [("Host", "x")], **request)))
    body = b"".join(part for part in parts if isinstance(part, bytes))
    return [part.status_code for part in parts if not isinstance(part, bytes)], body, stream.sent


def serve(data, answer=lambda request: Reply(200, request.method.encode() + request.body), piece=7):
    stream = Stream(data, piece)
    http.serve(stream, answer)
    return stream.sent


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello"),
        (b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
def test_the_three_ways_a_body_can_end(response, body):
    assert ask(response)[1] == body


def test_informational_responses_come_first():
    statuses, body, _ = ask(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
    assert (statuses, body) == ([103, 200], b"x")


def test_head_has_no_body():
    assert ask(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD")[1] == b""


def test_what_is_sent():
    stream = Stream(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    list(http.request(stream, Request("POST", "/a?b", [("Host", "x"), ("Content-Length", "2")], b"hi")))
    assert stream.sent == b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
    ],
)
def test_a_response_that_is_none_or_cut_short(response):
    with pytest.raises(BadResponse):
        ask(response)


@pytest.mark.parametrize(
    "request_", [Request("G T", "/", [("Host", "x")]), Request("GET", "/", [("Host", "x"), ("A", "b\r\nC: d")])]
)
def test_what_is_no_request_is_not_sent(request_):
    stream = Stream(b"")
    with pytest.raises(BadRequest):
        list(http.request(stream, request_))
    assert stream.sent == b""


def test_several_requests_on_one_connection():
    sent = serve(
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\nPOST /print HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
        b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    assert sent.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert b"\r\n\r\nGET" in sent
    assert b"\r\n\r\nPOSTbody" in sent
    assert sent.endswith(b"content-length: 4\r\nConnection: close\r\n\r\n")


def test_a_client_that_waits_for_100_continue_gets_it():
    sent = serve(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi", piece=200)
    assert b"\r\n\r\nPOSThi" in sent
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    assert serve(head).startswith(b"HTTP/1.1 100 \r\n\r\n")


def test_a_body_up_to_the_limit_is_answered_and_one_above_is_not():
    def post(size):
        return serve(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + bytes(size), piece=65536)

    assert post(limits.HTTP_BODY).startswith(b"HTTP/1.1 200 OK\r\n")
    too_large = post(limits.HTTP_BODY + 1)
    assert too_large.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in too_large.lower()


def test_a_malformed_request_is_answered_400():
    assert serve(b"GET / HTTP/1.1\r\nbroken\r\n\r\n").startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert serve(b"hello\n").endswith(b"\r\n\r\nthis is no whole HTTP request: peer unexpectedly closed connection\n")


def test_a_client_that_says_nothing_gets_nothing():
    assert serve(b"") == b""


REQUEST_PARTS = st.sampled_from(
    [b"GET ", b"CONNECT ", b"HEAD ", b"/ ", b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"Host: x\r\n", b"Content-Length: 3\r\n",
     b"Transfer-Encoding: chunked\r\n", b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"Expect: 100-continue\r\n",
     b"3\r\n", b"abc", b"\0", b"\xff"]
)  # fmt: skip


@given(st.lists(REQUEST_PARTS, max_size=14).map(b"".join) | st.binary(max_size=60))
def test_no_request_breaks_the_server(data):
    serve(data)


@given(st.binary(max_size=80).map(b"HTTP/1.1 200 OK\r\n".__add__) | st.binary(max_size=60))
def test_no_response_breaks_the_client(data):
    try:
        statuses, _, _ = ask(data)
    except BadResponse:
        return
    assert statuses
