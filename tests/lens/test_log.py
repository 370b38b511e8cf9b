"""Failed handshakes in the log."""

from __future__ import annotations

import logging

import pytest

from handfast import limits
from handfast.errors import ConnectionLost, PeerMisbehaved, PeerRejected
from handfast.lens import log
from handfast.lens.log import FailureLog, address_text, failure_line, log_failure

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
