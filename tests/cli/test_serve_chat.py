"""``handfast serve --chat``: seed 003's chat, with two programs at the other end."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager

import pytest

from handfast.cli.chat import Chat
from handfast.io import sockets
from tests.cli.conftest import finish, on_a_terminal, shown_until, start, tls_server
from tests.cli.serving import serving
from tests.lens.connections import client_config
from tests.peers.base import require_peer
from tests.waiting import LIMIT


def s_client(pki, port):
    command = [require_peer("openssl"), "s_client", "-quiet", "-connect", f"127.0.0.1:{port}", "-CAfile", pki.ca]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
    )


def own_client(pki, port):
    return start("connect", f"localhost:{port}", *pki.trust, stdin=subprocess.PIPE, bufsize=1)


@pytest.mark.parametrize("other_end", [s_client, own_client])
def test_lines_go_both_ways(pki, other_end):
    with serving(*pki.server, "--chat", "--once", stdin=subprocess.PIPE, bufsize=1) as server:
        client = other_end(pki, server.port)
        client.stdin.write("hello\n")
        client.stdin.flush()
        assert server.out.readline() == "hello\n"
        server.types("and good day\n")
        assert client.stdout.readline() == "and good day\n"
        # Ctrl-D here is close_notify there, which both programs take for the end.
        server.hangs_up()
        assert finish(client).status == 0
        ended = server.ends()
    assert (ended.status, ended.out) == (0, "")
    assert "talking with 127.0.0.1:" in ended.err
    assert "has left" in ended.err


@contextmanager
def python_client(pki, port):
    context = ssl.create_default_context(cafile=pki.ca)
    sock = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
    with context.wrap_socket(sock, server_hostname="localhost") as tls:
        yield tls


def test_what_a_pipe_holds_waits_for_a_client(pki):
    with serving(*pki.server, "--chat", "--once", stdin=subprocess.PIPE) as server:
        server.types("early\n")
        server.hangs_up()
        with python_client(pki, server.port) as tls:
            assert tls.recv(100) == b"early\n"
            assert tls.recv(100) == b""
            tls.unwrap()
        assert server.ends().status == 0


def test_a_second_client_is_told_that_somebody_is_there(pki):
    with serving(*pki.server, "--chat", stdin=subprocess.PIPE) as server, python_client(pki, server.port) as first:
        server.hears("talking with")
        with python_client(pki, server.port) as second:
            assert b"somebody else is talking here" in second.recv(1000)
            assert second.recv(1000) == b""
        server.hears("wants to talk too")
        first.sendall(b"still here\n")
        assert server.out.readline() == "still here\n"


def test_a_client_that_breaks_off_is_a_failure(pki):
    with serving(*pki.server, "--chat", "--once", stdin=subprocess.PIPE) as server:
        with python_client(pki, server.port) as tls:
            server.hears("talking with")
            os.close(tls.detach())
        ended = server.ends()
    assert ended.status == 1
    assert "without close_notify" in ended.err


def test_on_a_terminal_what_was_typed_for_nobody_is_dropped(pki):
    arguments = ("serve", *pki.server, "--chat", "--listen", "127.0.0.1:0")
    with on_a_terminal(*arguments) as (_, controller):
        shown = shown_until(controller, "(Ctrl-C ends)")
        port = int(shown.partition("Chatting on 127.0.0.1:")[2].split()[0])
        os.write(controller, b"to nobody\n")
        shown_until(controller, "to nobody")
        with python_client(pki, port) as tls:
            shown_until(controller, "what you type is sent")
            tls.sendall(b"\x1b[2J\n")
            assert "\\x1b[2J" in shown_until(controller, "\\x1b[2J")
            os.write(controller, b"to you\n")
            assert tls.recv(100) == b"to you\n"


def test_a_client_that_does_not_read_holds_nothing(monkeypatch):
    """The thread that types into it ends with the connection."""
    monkeypatch.setattr("handfast.limits.SHUTDOWN_TIMEOUT", 0.05)
    ended: list[int] = []

    def talk(tls):
        before = threading.active_count()
        with open("/dev/zero", "rb") as keyboard:
            Chat(keyboard.fileno(), lambda _data: None, lambda _line: None)(tls)
        ended.append(threading.active_count() - before)

    with tls_server(talk) as port:
        tls = sockets.connect("127.0.0.1", port, client_config(), server_name="localhost")
        tls.shutdown_write()
    tls.close()
    assert ended == [0]


@pytest.mark.parametrize("other", ["--www", "--app", "--require-later"])
def test_what_does_not_go_with_a_chat(run, pki, other):
    value = {"--www": [pki.directory.parent], "--app": ["a:b"]}.get(other, [])
    assert run("serve", *pki.server, "--chat", other, *value).is_error(2, other)
