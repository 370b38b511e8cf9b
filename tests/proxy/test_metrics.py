"""The metrics: what is counted, under which labels, and whether Prometheus's own tool reads it."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from handfast import limits
from handfast.proxy.journal import ConnectionEnded, ConnectionRefused, Journal, RequestEnded
from handfast.proxy.watching.metrics import FAMILIES, Key, Metrics, added, as_json, counters_of, exposition, from_json
from tests.proxy.support import backend, echo, running, tcp
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from tests.aio.conftest import Runner


def request(seconds=0.3, status=200):
    return RequestEnded("a:1", "c", None, "HTTP/1.1", "GET", "h", "/", status, seconds, 1, 2)


def metrics(*entries):
    made = Metrics(Journal())
    for entry in entries:
        made(entry)
    return made


def some():
    made = metrics(
        ConnectionEnded('odd"\\\n:1', "c", None, 1.0, 10, 20),
        ConnectionEnded("a:1", "c", None, 1.0, 10, 20, code="reset"),
        ConnectionRefused("a:1", "c", "certificate_required", "why"),
        request(),
        request(status=503),
        request(status=0, seconds=100.0),
    )
    made.hold({Key("handfast_certificate_expiry_timestamp_seconds", (("certificate", "a.pem"),)): 1.5e9})
    return made


def test_what_is_counted():
    lines = exposition(some().numbers()).decode().splitlines()
    for line in (
        'handfast_connections_total{listener="odd\\"\\\\\\n:1",code="ok"} 1',
        'handfast_connections_total{listener="a:1",code="reset"} 1',
        'handfast_connections_total{listener="a:1",code="certificate_required"} 1',
        'handfast_received_bytes_total{listener="a:1"} 10',
        'handfast_requests_total{listener="a:1",status="2xx"} 1',
        'handfast_requests_total{listener="a:1",status="0"} 1',
        'handfast_request_seconds_bucket{le="0.25"} 0',
        'handfast_request_seconds_bucket{le="0.5"} 2',
        'handfast_request_seconds_bucket{le="+Inf"} 3',
        "handfast_request_seconds_count 3",
        "handfast_request_seconds_sum 100.6",
        "handfast_connections_open 0",
        'handfast_certificate_expiry_timestamp_seconds{certificate="a.pem"} 1500000000',
    ):
        assert line in lines


def test_the_form_is_that_of_prometheus():
    text = exposition(some().numbers()).decode()
    assert text.endswith("\n")
    sample = re.compile(r'[a-z_]+(\{[a-z]+="(?:[^"\\\n]|\\.)*"(,[a-z]+="(?:[^"\\\n]|\\.)*")*\})? [0-9.e+-]+')
    typed: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert family not in typed
            typed[family] = kind
        elif not line.startswith("# HELP "):
            assert sample.fullmatch(line), line
            name = re.split("[{ ]", line)[0]
            assert any(name == family or name.rpartition("_")[0] == family for family in typed), name


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed")
def test_promtool_has_nothing_to_say():
    given = exposition(some().numbers())
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=given, capture_output=True, timeout=LIMIT, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_codes_are_bounded():
    made = metrics(*(ConnectionRefused("a", "c", f"code{n}", "") for n in range(limits.PROXY_METRIC_CODES + 5)))
    numbers = made.numbers()
    assert numbers[Key("handfast_connections_total", (("listener", "a"), ("code", "other")))] == 5
    assert sum(key.name == "handfast_connections_total" for key in numbers) == limits.PROXY_METRIC_CODES + 1


def test_numbers_of_several_processes():
    one, other = some().numbers(), some().numbers()
    key = Key("handfast_reload_generation")
    total = added(from_json(as_json(one)), other, {key: 3.0}, {key: 2.0})
    assert total[Key("handfast_request_seconds_count")] == 6
    assert total[Key("handfast_certificate_expiry_timestamp_seconds", (("certificate", "a.pem"),))] == 1.5e9
    assert total[key] == 3.0


def test_what_stays_of_a_process_that_ended():
    kept = counters_of({**some().numbers(), Key("handfast_connections_open"): 7})
    assert Key("handfast_connections_open") not in kept
    assert kept[Key("handfast_request_seconds_count")] == 3


def test_every_family_is_explained():
    assert all(words.endswith(".") and kind in ("counter", "gauge", "histogram") for kind, words in FAMILIES.values())
    assert all(name.endswith("_total") == (kind == "counter") for name, (kind, _) in FAMILIES.items())


def test_handshakes(run: Runner) -> None:
    async def main() -> None:
        async with backend(echo) as address, running(tcp(address)) as proxy:
            journal = proxy.proxy.journal = Journal()
            made = Metrics(journal)
            journal._readers += [made, proxy._tell]
            reader, writer = await proxy.client()
            assert made.numbers()[Key("handfast_connections_open")] == 1
            writer.write_eof()
            await reader.read()
            writer.close()
            await proxy.ended()
            labels = (("version", "TLS 1.3"), ("resumed", "false"))
            assert made.numbers()[Key("handfast_handshakes_total", labels)] == 1
            assert made.numbers()[Key("handfast_handshake_seconds_count")] == 1

    run(main())
