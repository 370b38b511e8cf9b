"""HTTP/2 of ``handfast serve``: what it answers, and the limits that a client is held to."""

from __future__ import annotations

import io
import struct
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("h2")

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.settings import SettingCodes
from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame, PingFrame, PriorityFrame, SettingsFrame

from handfast import limits
from handfast.cli import serve_h2
from handfast.cli.http import Body, Reply
from handfast.errors import ConnectionLost


class Browser:
    """A client in memory, and the stream of its server: each ``recv`` of the server's takes the next of ``steps``."""

    def __init__(self, *steps: Any) -> None:
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.steps = list(steps)
        self.events: list[Any] = []
        self.allowed: list[float] = []
        self.now = 0.0
        self.logged: list[tuple[str, str, int]] = []

    def recv(self, _size: int) -> bytes:
        if not self.steps:
            # What answers itself (SETTINGS) still goes.
            return self.h2.data_to_send()
        step = self.steps.pop(0)
        extra = step(self) or b""
        return self.h2.data_to_send() + extra or self.recv(0)

    def sendall(self, data: bytes) -> None:
        self.events += self.h2.receive_data(data)

    def allow(self, seconds: float) -> None:
        self.allowed.append(seconds)

    def ready(self) -> bool:
        return False

    def ask(self, number: int, path: str = "/", *, method: str = "GET", end: bool = True, more: Any = ()) -> None:
        head = [(":method", method), (":path", path), (":scheme", "https"), (":authority", "localhost"), *more]
        self.h2.send_headers(number, head, end_stream=end)

    def run(self, answer=None) -> Browser:
        serve_h2.serve(self, answer or told, lambda *one: self.logged.append(one), clock=lambda: self.now)
        return self

    def statuses(self) -> dict[int, str]:
        heads = [event for event in self.events if isinstance(event, ResponseReceived)]
        return {head.stream_id: str(dict[Any, Any](head.headers)[":status"]) for head in heads}

    def body(self, number: int) -> bytes:
        return b"".join(e.data for e in self.events if isinstance(e, DataReceived) and e.stream_id == number)

    def ended(self) -> list[int]:
        return [event.stream_id for event in self.events if isinstance(event, StreamEnded)]

    @property
    def goodbye(self) -> tuple[ErrorCodes | int | None, bytes] | None:
        found = [event for event in self.events if isinstance(event, ConnectionTerminated)]
        return (found[0].error_code, found[0].additional_data or b"") if found else None


def told(request) -> Reply:
    return Reply(200, f"{request.method} {request.target} {dict(request.headers)['host']} ".encode() + request.body)


def asking(number: int, path: str = "/", **how: Any):
    return lambda browser: browser.ask(number, path, **how)


def sending(number: int, data: bytes, *, end: bool = True):
    """As much as the windows allow in one step; a step for the rest is put before the others."""

    def step(browser: Browser) -> None:
        if browser.h2.streams[number].closed:
            return
        room = min(browser.h2.local_flow_control_window(number), browser.h2.max_outbound_frame_size, len(data))
        last = room == len(data)
        browser.h2.send_data(number, data[:room], end_stream=end and last)
        if not last:
            browser.steps.insert(0, sending(number, data[room:], end=end))

    return step


CALM = ErrorCodes.ENHANCE_YOUR_CALM


def test_requests_and_their_answers():
    def both(browser):
        browser.ask(1, "/a?b")
        browser.ask(3, "/c", method="HEAD")
        browser.ask(5, "/print", method="POST", end=False)

    browser = Browser(both, sending(5, b"hello")).run()
    assert browser.statuses() == {1: "200", 3: "200", 5: "200"}
    assert (browser.body(1), browser.body(3)) == (b"GET /a?b localhost ", b"")
    assert browser.body(5) == b"POST /print localhost hello"
    assert browser.logged == [("GET", "/a?b", 200), ("HEAD", "/c", 200), ("POST", "/print", 200)]
    assert sorted(browser.ended()) == [1, 3, 5]


@pytest.mark.parametrize("path", ["*", "/a b", "/\u00e9", "/\x7f"])
def test_a_path_that_is_none_is_answered_400(path):
    browser = Browser(asking(1, path)).run()
    assert browser.statuses() == {1: "400"} or browser.goodbye is not None


def test_a_large_answer_waits_for_the_clients_windows():
    size = 300_000

    got: list[int] = []

    def answer(_request):
        return Reply(200, bytes(size))

    def take(browser):
        data = [event for event in browser.events if isinstance(event, DataReceived)]
        browser.events = [event for event in browser.events if not isinstance(event, DataReceived)]
        got.append(sum(len(event.data) for event in data))
        for event in data:
            if event.stream_id not in browser.ended():
                browser.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if data:
            browser.steps.append(take)

    browser = Browser(asking(1), take).run(answer)
    assert browser.ended() == [1]
    assert sum(got) + len(browser.body(1)) == size
    assert max(got) <= 65535


def leaving(code: int):
    return lambda _browser: struct.pack(">IBIII", 8 << 8 | 7, 0, 0, 0, code)


@pytest.mark.parametrize(("code", "complete"), [(0, True), (2, False)], ids=["in order", "with an error"])
def test_a_client_that_ends_in_order_gets_what_it_has_asked_for(code, complete):
    def take(browser):
        browser.h2.increment_flow_control_window(70_000)
        browser.h2.increment_flow_control_window(70_000, 1)

    browser = Browser(asking(1), leaving(code), take).run(lambda _request: Reply(200, bytes(100_000)))
    assert (browser.ended() == [1]) is complete
    assert (len(browser.body(1)) == 100_000) is complete


def test_a_frame_that_is_too_large_is_not_awaited():
    browser = Browser(lambda _browser: (2**24 - 1).to_bytes(3) + bytes([0, 0, 0, 0, 0, 1]), asking(1)).run()
    assert browser.goodbye is not None
    assert browser.goodbye[0] == ErrorCodes.FRAME_SIZE_ERROR
    assert browser.logged == []


def asking_two(browser):
    browser.ask(1)
    browser.ask(3)


def test_two_answers_go_in_turns():
    browser = Browser(asking_two).run(lambda _request: Reply(200, bytes(32_000)))
    order = [event.stream_id for event in browser.events if isinstance(event, DataReceived)]
    assert order[:2] in ([1, 3], [3, 1])
    assert set(browser.ended()) == {1, 3}


def test_a_file_that_becomes_shorter_is_no_whole_answer():
    browser = Browser(asking(1)).run(lambda _request: Reply(200, file=Body(io.BytesIO(b"short"), 100)))
    assert [event.error_code for event in browser.events if isinstance(event, StreamReset)] == [
        ErrorCodes.INTERNAL_ERROR
    ]
    assert browser.ended() == []


# Limits


def test_what_is_told_to_clients():
    browser = Browser(lambda _browser: None).run()
    told_ = next(event for event in browser.events if isinstance(event, RemoteSettingsChanged)).changed_settings
    assert told_[SettingCodes.MAX_CONCURRENT_STREAMS].new_value == limits.HTTP2_STREAMS
    assert told_[SettingCodes.MAX_HEADER_LIST_SIZE].new_value == limits.HTTP_HEAD


def test_streams_at_once():
    def many(count):
        def step(browser):
            # The client's own library would hold to what it was told.
            browser.h2.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 2 * count
            browser.h2.remote_settings.acknowledge()
            for number in range(count):
                browser.ask(2 * number + 1, end=False)

        return step

    assert Browser(many(limits.HTTP2_STREAMS)).run().goodbye is None
    assert Browser(many(limits.HTTP2_STREAMS + 1)).run().goodbye is not None


def test_header_bytes():
    def with_header(size):
        return Browser(asking(1, more=[("x-large", "a" * size)])).run()

    assert with_header(limits.HTTP_HEAD - 1000).statuses() == {1: "200"}
    refused = with_header(limits.HTTP_HEAD)
    assert refused.goodbye is not None
    assert refused.statuses() == {}


def test_headers_that_never_end():
    def flood(_browser):
        first = HeadersFrame(1, b"\x00" * 10)
        return first.serialize() + b"".join(ContinuationFrame(1, b"").serialize() for _ in range(1000))

    assert Browser(flood).run().goodbye is not None


def test_bodies_up_to_the_limit():
    def post(size):
        return Browser(asking(1, method="POST", end=False), sending(1, bytes(size))).run(lambda _request: Reply(200))

    assert post(limits.HTTP_BODY).statuses() == {1: "200"}
    assert post(limits.HTTP_BODY + 1).statuses() == {1: "413"}
    # Some clients read no answer before all is sent, so as much again is taken, and then no more.
    endless = Browser(asking(1, method="POST", end=False), sending(1, bytes(3 * limits.HTTP_BODY), end=False)).run()
    assert endless.statuses() == {1: "413"}
    assert endless.body(1) == f"the body exceeds {limits.HTTP_BODY} bytes\n".encode()
    assert [event.error_code for event in endless.events if isinstance(event, StreamReset)] == [ErrorCodes.NO_ERROR]


def test_bodies_of_all_streams_together(monkeypatch):
    monkeypatch.setattr(limits, "HTTP2_BODIES", 100_000)
    steps = [asking(number, method="POST", end=False) for number in (1, 3)]
    steps += [sending(1, bytes(60_000), end=False), sending(3, bytes(60_000), end=False), sending(1, b"")]
    browser = Browser(*steps).run(lambda _request: Reply(200))
    assert browser.statuses() == {3: "503", 1: "200"}
    # ... and what is made of them counts until it is taken.
    echo = Browser(asking_two).run(lambda _: Reply(200, bytes(60_000)))
    assert sorted(echo.statuses().values()) == ["200", "503"]


def test_rapid_reset():
    asked: list[str] = []

    def attack(count):
        def step(browser):
            for number in range(count):
                browser.ask(2 * number + 1, end=True)
                browser.h2.reset_stream(2 * number + 1)

        return step

    def answer(request):
        asked.append(request.target)
        return Reply(200)

    assert Browser(attack(limits.HTTP2_RESETS_AT_ONCE)).run(answer).goodbye is None
    assert asked == []
    assert Browser(attack(limits.HTTP2_RESETS_AT_ONCE + 1)).run(answer).goodbye == (CALM, b"too many streams reset")

    def later(browser):
        browser.now += 1
        for number in range(int(limits.HTTP2_RESETS_PER_SECOND)):
            stream = 2 * (limits.HTTP2_RESETS_AT_ONCE + number) + 1
            browser.ask(stream)
            browser.h2.reset_stream(stream)

    assert Browser(attack(limits.HTTP2_RESETS_AT_ONCE), later).run(answer).goodbye is None


def ping(browser):
    browser.h2.ping(b"12345678")


def settings(browser):
    browser.h2.update_settings({SettingCodes.MAX_FRAME_SIZE: 16384})


def priority(_browser):
    return PriorityFrame(3, depends_on=0, stream_weight=1).serialize()


def window(browser):
    browser.h2.increment_flow_control_window(1)


def nothing_of_a_body(browser):
    if 1 not in browser.h2.streams:
        browser.ask(1, method="POST", end=False)
    return DataFrame(1, b"").serialize()


def unknown(_browser):
    return b"\0\0\0\x77\0\0\0\0\0"


def pong(_browser):
    frame = PingFrame(0, b"12345678")
    frame.flags.add("ACK")
    return frame.serialize()


def settings_taken(_browser):
    return SettingsFrame(0, flags={"ACK"}).serialize()


FOR_NOTHING = [ping, pong, settings, settings_taken, priority, window, nothing_of_a_body, unknown]


@pytest.mark.parametrize("frame", FOR_NOTHING)
def test_frames_that_ask_for_nothing(frame):
    # The client's SETTINGS of the beginning is one, and its answer to ours.
    few = limits.HTTP2_IDLE_FRAMES_AT_ONCE - 2

    def flood(count):
        def step(browser):
            sent = b""
            for _ in range(count):
                extra = frame(browser) or b""
                sent += browser.h2.data_to_send() + extra
            return sent

        return step

    assert Browser(flood(few)).run().goodbye is None
    assert Browser(flood(few + 1)).run().goodbye == (CALM, b"too many frames that ask for nothing")
    paced = [flood(few)]
    for _ in range(3):

        def wait(browser):
            browser.now += 1
            return flood(int(limits.HTTP2_IDLE_FRAMES_PER_SECOND))(browser)

        paced.append(wait)
    assert Browser(*paced).run().goodbye is None


def late(browser):
    browser.now += browser.allowed[-1]
    raise ConnectionLost("timeout", seconds=browser.allowed[-1])


@contextmanager
def given_up():
    with pytest.raises(ConnectionLost) as lost:
        yield
    assert lost.value.code == "timeout"


def test_how_long_a_client_may_be_idle():
    def pinging(browser):
        browser.now += 10
        ping(browser)

    # A PING is no request.
    browser = Browser(pinging, pinging, late)
    with given_up():
        browser.run()
    assert browser.allowed == [limits.HTTP_IDLE_TIMEOUT - passed for passed in (0, 10, 20)]
    assert browser.goodbye == (ErrorCodes.NO_ERROR, b"too slow")


def test_how_long_a_body_may_take():
    def a_bit(browser):
        browser.now += 20
        browser.h2.send_data(1, b"x")

    browser = Browser(asking(1, method="POST", end=False), a_bit, a_bit, late)
    with given_up():
        browser.run()
    assert browser.allowed[1:] == [limits.HTTP_BODY_TIMEOUT - passed for passed in (0, 20, 40)]


def test_how_long_a_client_may_take_nothing():
    def a_bit(browser):
        browser.now += 20
        browser.h2.increment_flow_control_window(100)
        browser.h2.increment_flow_control_window(100, 1)

    def much(browser):
        browser.now += 5
        browser.h2.increment_flow_control_window(70_000)
        browser.h2.increment_flow_control_window(70_000, 1)

    browser = Browser(asking(1), a_bit, a_bit, much, late)
    with given_up():
        browser.run(lambda _request: Reply(200, bytes(500_000)))
    # The first window was one byte short of four frames.
    full = limits.HTTP2_STALL_TIMEOUT
    assert browser.allowed[1:] == [full, full, full - 20, full]


def test_what_is_no_http2():
    class Plain(Browser):
        def recv(self, _size):
            self.steps, data = [], b"GET / HTTP/1.1\r\n\r\n" if self.steps else b""
            return data

    plain = Plain("once").run()
    assert (plain.events[1:], plain.logged) == ([], [])
