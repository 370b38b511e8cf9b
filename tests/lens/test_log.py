"""Failed handshakes in the log."""

from __future__ import annotations

import logging

import pytest

import handfast
from handfast import limits, logs
from handfast.errors import ConnectionLost, HandfastError, PeerMisbehaved, PeerRejected
from handfast.io import failure_log as log
from handfast.io.failure_log import FailureLog, address_text, failure_line, log_failure

ERROR = PeerMisbehaved("bad_record_mac")


@pytest.fixture
def messages(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("handfast"), "propagate", True)
    caplog.set_level(logging.WARNING, "handfast")
    return lambda: [record.getMessage() for record in caplog.records]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_one_warning_with_address_stage_cause_and_hint(messages, caplog, monkeypatch):
    monkeypatch.setattr(log, "_process_log", FailureLog())
    log_failure(("192.0.2.7", 4711), "waiting for the client's Certificate", ERROR)
    (line,) = messages()
    assert line == (
        f"192.0.2.7:4711: handshake failed waiting for the client's Certificate: {ERROR.what} (the peer's fault) "
        f"[RFC 9846 5.2]; {ERROR.hint}"
    )
    assert (caplog.records[0].name, caplog.records[0].levelno) == ("handfast", logging.WARNING)


def test_a_stage_that_the_cause_names_is_said_once():
    awaited = "the client's Certificate"
    error = PeerRejected("unknown_ca", alert="unknown_ca (48)", stage=f" while we waited for {awaited}")
    line = failure_line("peer", f"waiting for {awaited}", error)
    assert line.startswith(
        "peer: handshake failed: the peer refused with the alert unknown_ca (48) while we waited for"
    )
    assert line.count(awaited) == 1
    assert "(the peer's decision)" in line


def test_a_failure_without_a_stage():
    assert failure_line("peer", "", ERROR).startswith(f"peer: handshake failed: {ERROR.what} (")


def test_a_flood_is_held_back_and_counted(messages):
    clock = Clock()
    failures = FailureLog(clock)
    for _ in range(limits.LOGGED_FAILURES_AT_ONCE + 7):
        failures.failure("peer", "early", ERROR)
    assert len(messages()) == limits.LOGGED_FAILURES_AT_ONCE
    clock.now = 1 / limits.LOGGED_FAILURES_PER_SECOND
    for _ in range(2):
        failures.failure("peer", "early", ERROR)
    assert len(messages()) == limits.LOGGED_FAILURES_AT_ONCE + 1
    assert messages()[-1].endswith("(7 more failed handshakes before this one are not shown)")
    clock.now = 1000.0
    failures.failure("peer", "early", ERROR)
    assert messages()[-1].endswith("(1 more failed handshakes before this one are not shown)")
    failures.failure("peer", "early", ERROR)
    assert messages()[-1].endswith(ERROR.hint)


def test_a_quiet_time_saves_up_no_more_than_one_burst(messages):
    clock = Clock()
    failures = FailureLog(clock)
    clock.now = 1e6
    for _ in range(2 * limits.LOGGED_FAILURES_AT_ONCE):
        failures.failure("peer", "early", ERROR)
    assert len(messages()) == limits.LOGGED_FAILURES_AT_ONCE


def test_what_a_peer_said_is_escaped():
    error = ConnectionLost("connect_failed", address="x", reason="\x1b[2J\nhandfast: all is well")
    line = failure_line("peer\n", "early", error)
    assert line.isprintable()
    assert "\\x0ahandfast: all is well" in line


def test_an_error_that_is_not_ours_is_named():
    assert failure_line("peer", "early", KeyError("x")) == "peer: handshake failed early: KeyError: 'x'"


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("::1", 80, 0, 0), "[::1]:80"),
        ("/run/socket", "/run/socket"),
        ("", "a peer without an address"),
    ],
)
def test_addresses(address, text):
    assert address_text(address) == text


def test_a_close_before_the_first_byte_is_a_line_for_debugging(caplog):
    caplog.set_level(logging.DEBUG, "handfast")
    for error in (ConnectionLost("eof_in_handshake", stage="nothing"), ConnectionLost("reset", stage="nothing")):
        FailureLog().failure(("192.0.2.7", 4711), "waiting", error, heard=False)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("DEBUG", "192.0.2.7:4711: closed before its first byte")
    ] * 2
    FailureLog().failure("peer", "", ConnectionLost("handshake_timeout", seconds=1, waiting="x"), heard=False)
    assert caplog.records[-1].levelname == "WARNING"


def test_a_flood_of_one_kind_holds_back_no_other(messages):
    for number in range(limits.LOGGED_FAILURES_AT_ONCE + 5):
        logs.warn("ones", f"one {number}".strip)
    assert len(messages()) == limits.LOGGED_FAILURES_AT_ONCE
    logs.warn("others", lambda: "another")
    assert messages()[-1] == "another"


class Raising(logging.Handler):
    """Of a program: it raises for every line."""

    def emit(self, record):
        raise ZeroDivisionError("of a handler")


def test_a_handler_that_raises_is_told_of_on_stderr_and_ends_nothing(messages, capsys):
    handler = Raising()
    logging.getLogger("handfast").addHandler(handler)
    try:
        logs.warn("ones", lambda: "a line")
    finally:
        logging.getLogger("handfast").removeHandler(handler)
    said = capsys.readouterr().err
    assert "ZeroDivisionError: of a handler" in said
    assert "Message: 'a line'" in said


class Broken:
    """A store, a replay guard and an observer that fail."""

    scope = since = property(lambda self: 1 / 0)

    def __call__(self, *_):
        raise ZeroDivisionError

    issue = redeem = take = put = first_use = __call__


def broken_sessions():
    from tests import certificates
    from tests.aio.support import identity, verifier

    server = handfast.ServerConfig(
        credentials=[identity(certificates.server())], tickets=Broken(), max_early_data=1, replay_guard=Broken()
    )
    return server, handfast.ClientConfig(verifier=verifier(), sessions=Broken())


def meet(server_config, client_config, **options):
    server = handfast.ServerConnection(server_config, **options)
    client = handfast.ClientConnection(client_config, server_name="localhost")
    while not (client.connected and server.connected):
        server.receive(client.outgoing())
        client.receive(server.outgoing())


def test_stores_and_observers_that_fail_cannot_flood_the_log(messages):
    server, client = broken_sessions()
    for _ in range(3 * limits.LOGGED_FAILURES_AT_ONCE):
        meet(server, client, observers=[Broken()])
    lines = messages()
    # A token or two may come while this runs.
    assert len([line for line in lines if "detached" in line]) <= limits.LOGGED_FAILURES_AT_ONCE + 10
    assert 1 < len([line for line in lines if "done without" in line]) <= limits.LOGGED_FAILURES_AT_ONCE + 10


def end(connection, first):
    connection.receive(first)
    connection.eof()


@pytest.mark.parametrize(
    ("first", "code"), [(b"SSH-2.0-OpenSSH_9.9\r\n", "not_tls"), (b"\x16\x03\x01", "eof_in_handshake")]
)
def test_a_servers_hint_is_for_a_server(first, code):
    server, client = broken_sessions()
    hints = []
    for connection in (
        handfast.ServerConnection(server),
        handfast.ClientConnection(client, server_name="localhost"),
    ):
        with pytest.raises(HandfastError) as failed:
            end(connection, first)
        assert failed.value.code == code
        hints.append(failed.value.hint)
    assert "the client" in hints[0]
    assert "the client" not in hints[1]
    assert hints[0] != hints[1]
