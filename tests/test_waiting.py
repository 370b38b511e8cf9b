"""Every wait of the tests has the one limit of waiting.py, and no test looks at a clock."""

from __future__ import annotations

import ast
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.peers.namespace import pump
from tests.ports import own_port
from tests.waiting import LIMIT, OUR_LIMIT, TEST_LIMIT, with_growing

TESTS = Path(__file__).parent
# Which argument of a call is how long it may take.
WAITS = {"wait": 0, "join": 0, "settimeout": 0, "wait_for": 1, "create_connection": 1, "ends_within": 0, "Timer": 0}
# Not process_time: that is work, with which a busy machine has nothing to do.
CLOCKS = {"sleep", "monotonic", "perf_counter"}
# Who may use a clock, and for what.
WITH_A_CLOCK = {
    "waiting.py": "it is where the others wait",
    "soak.py": "its load ends by itself",
    "frameworks/test_bench_web.py": "a bench whose time is over is the scene there",
    "fuzz_captures.py": "it goes on for as long as it is told",
    "peers/namespace.py": "a program of its own, without this package",
    "sslcontext/consumers/servers.py": "a program of its own, without this package",
    "sslcontext/consumers/services.py": "a program of its own, without this package",
    "load/test_refusals.py": "a loop that is busy is the scene there",
    "race/test_lost_alerts.py": "a client that is late is the scene there",
    "test_sockets.py": "a write that is slow is the scene there",
    "test_waiting.py": "names what it looks for",
}


def numbers_of_seconds(call: ast.Call) -> list[float]:
    """The constants of one second or more that a call waits for. Shorter ones are what a test lets pass."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    given = [keyword.value for keyword in call.keywords if keyword.arg == "timeout"]
    given += call.args[WAITS[name] : WAITS[name] + 1] if name in WAITS else []
    values = [one.value for one in given if isinstance(one, ast.Constant)]
    return [float(value) for value in values if isinstance(value, int | float) and value >= 1]


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_no_wait_has_a_limit_of_its_own(path: Path) -> None:
    tree = ast.parse(path.read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert [(call.lineno, seconds) for call in calls for seconds in numbers_of_seconds(call)] == []
    if str(path.relative_to(TESTS)) not in WITH_A_CLOCK:
        assert [
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and node.attr in CLOCKS
            and isinstance(node.value, ast.Name)
            and node.value.id == "time"
        ] == []


def test_our_side_gives_up_before_the_test_and_the_test_last() -> None:
    assert OUR_LIMIT < LIMIT < TEST_LIMIT


def test_a_limit_grows_until_it_is_enough() -> None:
    tried = []

    def attempt(seconds: float) -> None:
        tried.append(seconds)
        assert len(tried) == 3

    with_growing(0.01, attempt)
    assert tried == pytest.approx([0.01, 0.1, 1.0])
    with pytest.raises(ZeroDivisionError):
        with_growing(0.01, lambda seconds: 1 / 0)


def test_a_test_that_stands_is_ended(tmp_path: Path) -> None:
    """And all its threads' places are shown."""
    stands = tmp_path / "test_stands.py"
    stands.write_text("import threading\ndef test_it():\n    threading.Event().wait()\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:xdist", str(stands)]

    def attempt(limit: float) -> None:
        # A busy machine may take longer than a short limit to come to the test itself.
        environment = {**os.environ, "HANDFAST_TEST_LIMIT": str(limit)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, cwd=TESTS.parent, env=environment)
        assert f"the test did not end within {5 * limit:.0f} s" in done.stdout
        assert "Current thread" in done.stdout
        assert "1 failed" in done.stdout

    with_growing(0.2, attempt)


def test_a_servers_words_are_waited_for_when_its_client_has_gone() -> None:
    """The relay is over when the server has closed, not when nobody takes what it sends any more."""
    server, inside = socket.socketpair()
    client, outside = socket.socketpair()
    with server, inside, outside:
        client.close()
        relay = threading.Thread(target=pump, args=(inside, outside), kwargs={"to_the_end": True})
        relay.start()
        # More than a connection holds: it can be written only if the relay goes on reading.
        server.sendall(bytes(10_000_000))
        server.close()
        relay.join(LIMIT)
        assert not relay.is_alive()


def test_a_port_of_ones_own_refuses_until_somebody_listens_there() -> None:
    with own_port() as port:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), LIMIT)
        with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port), LIMIT):
            pass
