"""Ctrl-C in the moment before a wait for the other side, which Python does not interrupt for it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from handfast.errors import HandfastError
from tests.cli.conftest import CLEAN_ENVIRONMENT, Pki, finish, tls_server
from tests.cli.test_connect import url
from tests.waiting import LIMIT

# Another thread is given the signal, so no wait of the main one is interrupted: it hears of it between two steps.
PROGRAM = """
import signal, sys, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
from handfast.cli import main
sys.exit(main(sys.argv[1:]))
"""


def start(*arguments: object) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return subprocess.Popen(command, text=True, env=CLEAN_ENVIRONMENT, **pipes)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("protocol", ["h2", "http/1.1", None])
def test_a_client_that_waits_for_an_answer_or_for_data(pki: Pki, protocol: str | None) -> None:
    waits = threading.Event()

    def say_nothing(tls):
        if protocol is not None:
            # The request is there, so the client waits, or is about to.
            tls.recv()
        waits.set()
        # One that was interrupted while it sent ends without close_notify.
        with suppress(HandfastError):
            while tls.recv():
                pass

    protocols = () if protocol is None else (protocol,)
    with tls_server(say_nothing, application_protocols=protocols) as port:
        client = start("connect", f"localhost:{port}" if protocol is None else url(port), *pki.trust)
        assert waits.wait(LIMIT)
        client.send_signal(signal.SIGINT)
        # Its standard input stays open: an end there would end a session too.
        assert client.wait(LIMIT) == 130
        result = finish(client)
    assert "TLS 1.3 OK, one-way" in result.err


def test_a_server_that_waits_for_a_client(pki: Pki) -> None:
    server = start("serve", *pki.server, "--listen", "127.0.0.1:0")
    assert server.stdout is not None
    assert server.stdout.readline().startswith("Serving on https://127.0.0.1:")
    server.send_signal(signal.SIGINT)
    assert server.wait(LIMIT) == 130
    finish(server)
