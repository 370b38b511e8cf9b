"""``--pcapng``: what ``connect`` and ``serve`` record, and what ``demo`` leaves, told again from the file."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
from pathlib import Path

import pytest

from handfast.cli import lenses
from handfast.cli.in_options import in_options
from handfast.cli.verdict_words import DESCRIBER
from handfast.engine import ClientAuth
from handfast.events import MessageSeen, RecordSeen
from handfast.lens.trace import Trace
from handfast.passive import RecordedConnection, decode
from tests.certificates import require_peer
from tests.cli.conftest import finish, https_server, start
from tests.lens.test_pcapng import tshark

# A line of a trace: a heading, or what stands indented below one.
TRACED = re.compile(r"\d+ [\d ]+ \d+\.\d{4} \(\d+\.\d{4}\)  |      ")
ONLY_LIVE = re.compile(r" {6}\[(?:waiting|resumed|verdict|choice|complete)\] |        ")


def connections(path: Path) -> list[RecordedConnection]:
    decoded = decode(path.read_bytes())
    assert decoded.damage is None
    return decoded.connections


def content(connection: RecordedConnection) -> bytes:
    return b"".join(
        event.content for event in connection.events if isinstance(event, RecordSeen) and event.content_type == 23
    )


def trace(connection: RecordedConnection) -> list[str]:
    lines: list[str] = []
    lens = Trace(lambda line: lines.append(in_options(line)), label=str(connection.flow.number), describer=DESCRIBER)
    for event in connection.events:
        lens(event)
    return lines


def test_connect_records_its_connection(run, pki, tmp_path):
    path = tmp_path / "capture.pcapng"
    with https_server(ClientAuth.REQUIRE_AND_VERIFY) as port:
        result = run("connect", "--trace", f"https://localhost:{port}/whoami", *pki.alice, "--pcapng", path)
    assert result.status == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f"handfast: writing packets and their keys to {path}: whoever has that file" in result.err
    (connection,) = connections(path)
    assert str(connection.flow.server) in (f"127.0.0.1:{port}", f"[::1]:{port}")
    assert b"GET /whoami HTTP/1.1" in content(connection)
    live = [line for line in result.complaints if TRACED.match(line) and not ONLY_LIVE.match(line)]
    assert trace(connection) == live


def test_a_refused_connection_is_recorded_too(run, pki, tmp_path):
    path = tmp_path / "capture.pcapng"
    with https_server(ClientAuth.REQUIRE_AND_VERIFY) as port:
        assert run("connect", f"https://localhost:{port}/", *pki.trust, "--pcapng", path).status == 1
    (connection,) = connections(path)
    assert any("fatal certificate_required (116)" in line for line in trace(connection))


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


without_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "0.0.0.0:0", pytest.param("[::]:0", marks=without_ipv6)])
def test_serve_records_every_connection(pki, tmp_path, run, listen):
    path = tmp_path / "capture.pcapng"
    process = start("serve", *pki.server, "--listen", listen, "--pcapng", path)
    assert process.stdout is not None
    found = re.search(r":(\d+)/", process.stdout.readline())
    assert found is not None
    host = "[::1]" if "::" in listen else "127.0.0.1"
    for page in ("/", "/whoami"):
        assert run("connect", "--alpn", "http/1.1", f"https://{host}:{found[1]}{page}", *pki.trust).status == 0
    process.send_signal(signal.SIGINT)
    assert finish(process).status == 130
    recorded = connections(path)
    assert [str(connection.flow.server) for connection in recorded] == [f"{host}:{found[1]}"] * 2
    assert [connection.flow.number for connection in recorded] == [1, 2]
    assert [b"GET /whoami" in content(connection) for connection in recorded] == [False, True]


def test_a_capture_is_replaced_and_nothing_else_is(run, pki, tmp_path):
    path = tmp_path / "capture.pcapng"
    path.touch(mode=0o644)
    with https_server() as port:
        for _ in range(2):
            assert run("connect", f"https://localhost:{port}/", *pki.trust, "--pcapng", path).status == 0
    assert len(connections(path)) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (tmp_path / "notes").write_text("not a capture")
    (tmp_path / "link").symlink_to("capture.pcapng")
    os.mkfifo(tmp_path / "pipe")
    for name, words in (
        ("notes", "exists already"), ("link", "a symbolic link"), ("pipe", "a pipe"), (".", "a directory"),
    ):  # fmt: skip
        assert run("connect", "127.0.0.1:1", *pki.trust, "--pcapng", tmp_path / name).is_error(2, words)
    assert (tmp_path / "notes").read_text() == "not a capture"


def test_no_capture_with_another_users_rights(run, pki, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    assert run("connect", "127.0.0.1:1", *pki.trust, "--pcapng", tmp_path / "file").is_error(2, "--pcapng")
    assert not (tmp_path / "file").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
def test_a_full_disk_is_said_before_anything_is_sent(run, pki, tmp_path, monkeypatch):
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr(lenses, "create_private", lambda *_arguments, **_options: full)
        result = run("connect", "127.0.0.1:1", *pki.trust, "--pcapng", tmp_path / "capture.pcapng")
    assert result.is_error(2, "No space left on device")


# The demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """What one run printed, and the directory it left."""
    out = tmp_path_factory.mktemp("demo") / "out"
    result = finish(start("demo", "--port", 0, "--out", out))
    assert result.status == 0
    return result.out, out


def test_the_demos_recording_decodes_to_the_trace_that_it_printed(demo):
    printed, out = demo
    live = [line for line in printed.splitlines() if TRACED.match(line) and not ONLY_LIVE.match(line)]
    recorded = connections(out / "capture.pcapng")
    assert len(live) > 50
    assert [line for connection in recorded for line in trace(connection)] == live


def test_the_demos_key_log_has_the_keys_of_its_recording(demo):
    _, out = demo
    logged = {line.split()[2] for line in (out / "keys.log").read_text().splitlines()}
    used = {secret.value.hex() for connection in connections(out / "capture.pcapng") for secret in connection.secrets}
    assert used == logged


def test_tshark_reads_what_the_demo_left(demo):
    require_peer("tshark")
    _, out = demo
    http = tshark(out / "capture.pcapng", "-Y", "http", "-T", "fields", "-e", "http.response.code")
    assert http.split() == ["200", "200"]
    seen = [
        len([event for event in connection.events if isinstance(event, MessageSeen)])
        for connection in connections(out / "capture.pcapng")
    ]
    assert seen == [10, 9]
