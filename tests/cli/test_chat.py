"""A session on a terminal: typed lines, commands, alerts, and bytes that are no text."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import Any

import pytest

from handfast.cli.session import HexWhereBinary, hex_lines
from handfast.engine import ClientAuth
from handfast.errors import HandfastError
from handfast.events import Event, MessageSeen
from handfast.io import sockets
from handfast.wire.messages import KeyUpdate
from tests.cli.conftest import finish, https_server, on_a_terminal, shown_until, start, tls_server
from tests.cli.test_connect import echo
from tests.lens.connections import server_config
from tests.waiting import LIMIT


@contextmanager
def chatting(pki, talk, *arguments, connections=1, seen=None):
    """The program on a terminal, in a session with a server that talks so on each connection."""
    observe: Any = None if seen is None else lambda _address: ([seen.append], [])
    config = server_config(ClientAuth.NONE)
    listener = sockets.listen("127.0.0.1", 0, config, timeout=LIMIT, observe=observe)

    def serve():
        for _ in range(connections):
            try:
                with listener.accept() as tls:
                    tls.handshake()
                    talk(tls)
            except (OSError, HandfastError):
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with on_a_terminal("connect", f"localhost:{listener.address[1]}", *pki.trust, *arguments) as (process, screen):
            shown_until(screen, "ends it")
            yield process, screen
    finally:
        listener.close()
        thread.join(LIMIT)


def type_line(screen, line):
    os.write(screen, line + b"\n")


def test_lines_are_sent_and_a_tilde_is_doubled(pki):
    with chatting(pki, echo) as (process, screen):
        type_line(screen, b"hello")
        assert "HELLO" in shown_until(screen, "HELLO")
        type_line(screen, b"~~home")
        assert "~HOME" in shown_until(screen, "~HOME")
        type_line(screen, b"~.")
        shown = shown_until(screen, "TLS 1.3 OK, one-way")
        assert process.wait(LIMIT) == 0
    assert "the peer sent the alert close_notify (warning)" in shown


def test_commands_are_listed(pki):
    with chatting(pki, echo) as (_, screen):
        type_line(screen, b"~?")
        shown = shown_until(screen, "send one ~")
    for command in ("~k", "~K", "~r", "~.", "~~"):
        assert command in shown


def test_key_updates_are_sent_and_the_peers_are_told(pki):
    seen: list[Event] = []
    with chatting(pki, echo, seen=seen) as (_, screen):
        type_line(screen, b"~K")
        shown_until(screen, "one of the peer asked for")
        # The peer's comes when it writes next.
        type_line(screen, b"x")
        shown_until(screen, "the peer changed its keys (KeyUpdate)")
        type_line(screen, b"~k")
        shown_until(screen, "KeyUpdate sent")
        type_line(screen, b"~.")
        shown_until(screen, "one-way")
    assert len([one for one in seen if isinstance(one, MessageSeen) and isinstance(one.message, KeyUpdate)]) == 3


def test_tls_1_2_has_no_key_update(pki):
    with chatting(pki, echo, "--tls", "1.2") as (_, screen):
        type_line(screen, b"~k")
        assert "the keys stay" in shown_until(screen, "the keys stay")
        type_line(screen, b"on")
        assert "ON" in shown_until(screen, "ON")


def test_reconnecting(pki):
    with chatting(pki, echo, connections=2) as (process, screen):
        type_line(screen, b"~r")
        shown = shown_until(screen, "ends it")
        assert "TLS 1.3 OK, one-way" in " ".join(shown.split())
        type_line(screen, b"again")
        assert "AGAIN" in shown_until(screen, "AGAIN")
        type_line(screen, b"~.")
        shown_until(screen, "one-way")
        assert process.wait(LIMIT) == 0


def test_a_fatal_alert_is_told(pki):
    with (
        https_server(ClientAuth.REQUIRE_AND_VERIFY) as port,
        on_a_terminal("connect", f"localhost:{port}", *pki.trust) as (process, screen),
    ):
        shown = shown_until(screen, "hint:")
        assert process.wait(LIMIT) == 1
    assert "the peer sent the alert certificate_required (fatal)" in " ".join(shown.split())


def test_what_is_no_text_is_shown_in_hexadecimal_on_a_terminal(pki):
    data = b"\x00\x01binary\xff"
    with chatting(pki, lambda tls: tls.recv() and tls.sendall(data)) as (process, screen):
        type_line(screen, b"show me")
        shown = shown_until(screen, "one-way")
        assert process.wait(LIMIT) == 0
    assert "0000  00 01 62 69 6e 61 72 79 ff" in shown
    assert "..binary." in shown
    with tls_server(lambda tls: tls.sendall(data)) as port:
        result = finish(start("connect", f"localhost:{port}", *pki.trust, errors="surrogateescape"))
    # Into a pipe goes what came.
    assert result.out.encode("utf-8", "surrogateescape") == data


def test_a_pipe_has_no_commands(pki):
    with tls_server(echo) as port:
        result = finish(start("connect", f"localhost:{port}", *pki.trust, stdin=-1), "~?\n~.\n")
    assert (result.status, result.out) == (0, "~?\n~.\n")


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        ([b"text\r\n", b"\tmore"], "text\r\n\tmore"),
        ([b"gr\xc3", b"\xbc\xc3\x9fe"], "gr\u00fc\u00dfe"),
        ([b"\xc3", b"x"], hex_lines(b"\xc3x")),
        ([b"\x1b[31m"], hex_lines(b"\x1b[31m")),
        ([bytes(17)], hex_lines(bytes(17))),
        ([b"a\xff", b"then"], hex_lines(b"a\xff") + "then"),
    ],
)
def test_text_and_hexadecimal(pieces, shown):
    written: list[bytes] = []
    write = HexWhereBinary(written.append)
    for piece in pieces:
        write(piece)
    assert b"".join(written).decode() == shown


def test_hexadecimal_has_sixteen_bytes_a_line():
    first, second = hex_lines(bytes(range(0x30, 0x41))).splitlines()
    assert first == "0000  30 31 32 33 34 35 36 37 38 39 3a 3b 3c 3d 3e 3f  0123456789:;<=>?"
    assert second == f"0010  40{' ' * 45}  @"
