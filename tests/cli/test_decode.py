"""``handfast decode``: what it prints, filters, writes, and what it says of what it cannot read."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from handfast import limits
from handfast.cli import live
from handfast.engine import ClientAuth
from handfast.limits import PASTED_BYTES
from handfast.passive import decode
from handfast.passive.keylog_reader import KeyLogSecrets
from tests import certificates
from tests.cli.conftest import CLEAN_ENVIRONMENT, finish, https_server, start
from tests.lens.connections import client_config, server_config
from tests.lens.test_pcapng import tshark
from tests.passive.recorded import Pair, talk, without_secrets
from tests.passive.test_binders import pair, psks
from tests.waiting import LIMIT


@cache
def mutual() -> Pair:
    pair = Pair(client_config(certificates.client()), server_config())
    talk(pair)
    return pair


@cache
def refused() -> Pair:
    pair = Pair(client_config(), server_config())
    talk(pair)
    return pair


def recording(path: Path, pair: Pair, *, secrets: bool = True) -> Path:
    capture = pair.server_side.capture
    path.write_bytes(capture if secrets else without_secrets(capture))
    return path


@pytest.fixture
def captured(tmp_path: Path) -> Path:
    return recording(tmp_path / "capture.pcapng", mutual())


def both(path: Path) -> Path:
    """A mutual connection, and one that was refused: two sections of one file."""
    path.write_bytes(mutual().server_side.capture + refused().server_side.capture)
    return path


def test_text(run, captured):
    result = run("decode", captured)
    assert result.status == 0
    assert result.err == ""
    lines = result.out.splitlines()
    assert lines[0] == "New TCP connection #1: 127.0.0.1(51515) <-> 127.0.0.1(1337)"
    assert lines[1].startswith("1 1  0.0000 (0.0000)  C>S  Handshake, ")
    assert "client certificate requested, with 1 CA name: [" in result.out
    assert "      [check] C>S CertificateVerify is right" in lines
    assert lines[-2].startswith("1    JA4 t13d")
    assert lines[-1].startswith("1    mutual TLS 1.3 OK: client CN=alice")
    assert lines[-1].endswith("server CertificateVerify ✓, Finished ✓, client CertificateVerify ✓, Finished ✓")
    assert "a question" not in result.out


def test_every_byte_and_the_data(run, captured):
    result = run("decode", "-x", "--secrets", captured)
    assert "0000  61 20 71 75 65 73 74 69 6f 6e" in result.out
    assert "[record] 16 03 01" in result.out


def test_a_key_log_beside_the_capture(run, tmp_path):
    path = recording(tmp_path / "bare.pcapng", mutual(), secrets=False)
    (tmp_path / "keys.log").write_bytes(mutual().server_side.keys)
    without = run("decode", path, "--summary")
    assert "TLS 1.3, read up to ServerHello: SERVER_HANDSHAKE_TRAFFIC_SECRET is not known" in without.out
    before = (tmp_path / "keys.log").stat()
    result = run("decode", path, "--keylog", tmp_path / "keys.log", "--summary")
    assert "mutual TLS 1.3 OK: client CN=alice" in result.out
    assert (tmp_path / "keys.log").stat().st_mtime_ns == before.st_mtime_ns


def test_summary_is_a_line_per_connection(run, tmp_path):
    result = run("decode", both(tmp_path / "two.pcapng"), "--summary")
    first, second = result.out.splitlines()
    assert " 127.0.0.1:51515 > 127.0.0.1:1337: SNI localhost, mutual TLS 1.3 OK" in first
    assert (
        "server refused: certificate_required (116), because the client sent no certificate; it was offered 1 CA name"
        in second
    )


def test_failed_only(run, tmp_path):
    result = run("decode", both(tmp_path / "two.pcapng"), "--summary", "--failed")
    (line,) = result.out.splitlines()
    assert line.startswith("2 ")
    result = run("decode", both(tmp_path / "two.pcapng"), "--failed")
    assert result.out.startswith("New TCP connection #2: ")


@pytest.mark.parametrize(
    ("filters", "shown"),
    [
        (["--sni", "localhost"], 2), (["--sni", "*host"], 2), (["--sni", "example.com"], 0),
        (["--port", "1337"], 2), (["--port", "1"], 0), (["--host", "127.0.0.1"], 2), (["--host", "::1"], 0),
        (["--subject", "alice"], 1), (["--subject", "nobody"], 0),
    ],
)  # fmt: skip
def test_filters(run, tmp_path, filters, shown):
    result = run("decode", both(tmp_path / "two.pcapng"), "--summary", *filters)
    assert result.status == 0
    assert len(result.out.splitlines()) == shown
    assert ("no TLS connection fits" in result.err) == (shown == 0)


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json(run, captured):
    result = run("decode", captured, "--json")
    said = objects(result.out)
    assert said[0]["event"] == "connection"
    assert said[-1]["event"] == "outcome"
    assert said[-1]["verdict"].startswith("mutual TLS 1.3 OK")
    assert said[-1]["failed"] is False
    messages = [one for one in said if one["event"] == "message"]
    assert [one["message"] for one in messages][:3] == ["ClientHello", "ServerHello", "EncryptedExtensions"]
    for message in messages:
        covered = [(one["offset"], one["offset"] + one["length"]) for one in message["fields"]]
        assert covered[0][0] == 0
        assert covered[-1][1] == message["length"]
        assert all(end == start for (_, end), (start, _) in pairwise(covered))
    assert not [one for one in said if "data" in one or "value" in one]
    everything = objects(run("decode", captured, "--json", "--secrets=all").out)
    assert {bytes.fromhex(one["data"]) for one in everything if "data" in one} == {b"a question", b"an answer"}
    assert len([one for one in everything if one["event"] == "secret" and "value" in one]) >= 4


def test_the_chains_are_verified(run, captured, pki, tmp_path):
    good = run("decode", captured, "--summary", "--cacert", pki.ca)
    assert "server's chain ✓; client's chain ✓" in good.out
    (tmp_path / "other.pem").write_bytes(certificates.other_ca().certificate_pem)
    bad = run("decode", captured, "--summary", "--cacert", tmp_path / "other.pem")
    assert "server's chain ✗ " in bad.out
    assert bad.status == 0


def test_writing_with_keys_and_without(run, tmp_path):
    path = both(tmp_path / "two.pcapng")
    result = run("decode", path, "--summary", "--subject", "alice", "--write", tmp_path / "one.pcapng")
    assert "and their keys: whoever has that file can read the connections" in result.err
    assert stat.S_IMODE((tmp_path / "one.pcapng").stat().st_mode) == 0o600
    (connection,) = decode((tmp_path / "one.pcapng").read_bytes()).connections
    (source, _) = decode(path.read_bytes()).connections
    assert [type(event) for event in connection.events] == [type(event) for event in source.events]
    bare = run("decode", path, "--summary", "--write", tmp_path / "bare.pcapng", "--no-secrets")
    assert "wrote " in bare.err
    assert "without keys" in bare.err
    written = (tmp_path / "bare.pcapng").read_bytes()
    assert b"TRAFFIC_SECRET" not in written
    assert len(decode(written).connections) == 2
    assert b"TRAFFIC_SECRET" in (tmp_path / "one.pcapng").read_bytes()


def test_wireshark_decrypts_what_was_written(run, tmp_path):
    path = recording(tmp_path / "bare.pcapng", mutual(), secrets=False)
    (tmp_path / "keys.log").write_bytes(mutual().server_side.keys)
    written = tmp_path / "written.pcapng"
    assert run("decode", path, "--keylog", tmp_path / "keys.log", "--write", written).status == 0
    seen = tshark(written, "-T", "fields", "-e", "tls.handshake.type")
    assert "8,13,11,15,20" in seen


def test_what_is_not_written(run, captured, tmp_path):
    refused = run("decode", captured, "--write", captured)
    assert refused.is_error(2, "is what is being read")
    assert refused.out == ""
    assert run("decode", captured, "--no-secrets").is_error(2, "--no-secrets", "give --write")
    (tmp_path / "letter.txt").write_text("dear")
    refused = run("decode", captured, "--write", tmp_path / "letter.txt")
    assert refused.is_error(2, "letter.txt: exists already", "remove it first")
    assert refused.out == ""
    assert "--replace" not in refused.err
    assert run("decode", captured, "--write", tmp_path / "no" / "file").out == ""
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_a_file_as_standard_input_may_be_written_anew(captured, tmp_path):
    target = tmp_path / "written.pcapng"
    for _ in range(2):
        with captured.open("rb") as file:
            assert finish(start("decode", "-", "--write", target, stdin=file)).status == 0
    assert decode(target.read_bytes()).connections
    with captured.open("rb") as file:
        itself = finish(start("decode", "-", "--write", captured, stdin=file))
    assert itself.is_error(2, f"{captured} is what is being read")


def piped(data: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "handfast", *arguments]
    return subprocess.run(command, input=data, capture_output=True, check=False, timeout=LIMIT, env=CLEAN_ENVIRONMENT)


def test_from_a_pipe(captured):
    done = piped(gzip.compress(captured.read_bytes()), "decode", "-", "--summary")
    assert done.returncode == 0, done.stderr
    assert b"mutual TLS 1.3 OK" in done.stdout


def test_a_pipe_is_not_written_from(captured, tmp_path):
    done = piped(captured.read_bytes(), "decode", "-", "--write", str(tmp_path / "x"))
    assert done.returncode == 2
    assert b"a pipe cannot be read twice" in done.stderr


def test_a_reader_that_leaves(captured):
    arguments = ["decode", "-x", str(captured)]
    writer = "import sys; sys.stdout.reconfigure(line_buffering=True)\n"
    writer += f"from handfast.cli import main; sys.exit(main({arguments!r}))"
    with subprocess.Popen([sys.executable, "-c", writer], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        process.wait(timeout=LIMIT)


def test_what_is_damaged_is_shown_up_to_there(run, captured):
    content = captured.read_bytes()
    captured.write_bytes(content[: len(content) * 2 // 3])
    result = run("decode", captured, "--summary")
    assert result.is_error(1, "the capture is damaged at byte", "(the capture)")
    assert result.out.startswith("1 ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give a file, - or -i"),
        (["nosuch.pcap"], "nosuch.pcap: no such file"),
        (["x.pcap", "-i", "lo"], "give a file, - or -i"),
        (["x.pcap", "--json", "--summary"], "--summary is text"),
        (["x.pcap", "--host", "localhost"], "is no IP address"),
        (["x.pcap", "--psk", "00ff"], "it is no IDENTITY:HEX"),
        (["x.pcap", "--psk", "alice:secret"], "it is no IDENTITY:HEX"),
    ],
)
def test_bad_usage(run, arguments, words):
    assert run("decode", *arguments).status == 2
    assert words.lower() in run("decode", *arguments).err.lower()


def test_a_psk_checks_its_binder(run, tmp_path):
    side = pair("resumed").server_side
    (tmp_path / "resumed.pcapng").write_bytes(side.capture)
    ((ticket, psk),) = psks(side).items()
    given = f"0x{ticket.hex()}:{psk.hex()}"
    result = run("decode", tmp_path / "resumed.pcapng", "--psk", given, "--psk", "another:00")
    assert "      [check] C>S PSK binder is right" in result.out.splitlines()
    assert psk.hex() not in result.out
    result = run("decode", tmp_path / "resumed.pcapng")
    assert "the PSK is not known, and no key log holds it" in result.out


def test_what_is_no_capture(run, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    assert run("decode", tmp_path / "letter.txt").is_error(2, "this is no capture")


def test_a_capture_without_tls(run, tmp_path):
    content = mutual().server_side.capture
    (tmp_path / "empty.pcapng").write_bytes(content[: content.index(b"handfast") + 20][:0] + content[:44])
    result = run("decode", tmp_path / "empty.pcapng")
    assert "no TLS connection was found" in result.err


# Pastes


HELLO = mutual().client_side.events[0].header + mutual().client_side.events[0].body  # type: ignore[attr-defined]


def hexdump(data: bytes) -> str:
    rows = [data[at : at + 16] for at in range(0, len(data), 16)]
    return "\n".join(
        f"{number * 16:04X}: {row.hex(' ').upper():48} {''.join(chr(one) if 32 <= one < 127 else '.' for one in row)}"
        for number, row in enumerate(rows)
    )


def java(data: bytes) -> str:
    start = "javax.net.ssl|DEBUG|01|main|2026-11-29|SSLSocketOutputRecord.java:331|"
    return f"{start}WRITE: TLSv1.3 handshake, length = 250\njavax.net.ssl|DEBUG|Raw write (\n{hexdump(data)}\n)"


PASTES = {
    "plain": HELLO.hex(),
    "in lines": "\n".join(HELLO.hex()[at : at + 64] for at in range(0, 2 * len(HELLO), 64)),
    "an array": ", ".join(f"0x{one:02x}" for one in HELLO),
    "colons": HELLO.hex(":"),
    "a dump": hexdump(HELLO),
    "Java": java(HELLO),
    "a message": HELLO[5:].hex(" "),
    "with something before": (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n" + HELLO).hex(),
    "openssl -msg": ">>> TLS 1.0, RecordHeader [length 0005]\n    " + HELLO[:5].hex(" ")
    + "\n>>> TLS 1.3, Handshake [length 0102], ClientHello\n    " + HELLO[5:].hex(" ") + "\n",
}  # fmt: skip


@pytest.mark.parametrize("name", PASTES)
def test_a_paste(run, tmp_path, name):
    (tmp_path / "paste.txt").write_text(PASTES[name])
    result = run("decode", "--hex", tmp_path / "paste.txt")
    assert result.status == 0
    assert "C>S  Handshake" in result.out
    assert "host_name: localhost" in result.out
    assert result.out.splitlines()[-1].startswith("JA4 t13d")


@pytest.mark.parametrize("letters", [b"ab|", b"1F  ", b"12,ab-|", b"ab" * 8, b"0x12|"])
def test_letters_beside_the_bytes_of_a_dump_may_look_like_bytes(run, tmp_path, letters):
    """As those of random bytes do in one of some thousand dumps."""
    data = bytearray(HELLO)
    # The client's random begins at 11: this is the second row of the dump.
    data[16 : 16 + len(letters)] = letters
    (tmp_path / "paste.txt").write_text(java(bytes(data)))
    result = run("decode", "--hex", tmp_path / "paste.txt")
    assert (result.status, result.out.splitlines()[-1][:8]) == (0, "JA4 t13d")
    assert letters.hex() in result.out


@pytest.mark.parametrize("form", [(), ("-x",)])
def test_a_paste_is_explained_if_asked(run, tmp_path, form):
    (tmp_path / "paste.txt").write_text(PASTES["plain"])
    sentence = "        The client opens the handshake and offers everything that it can do. (RFC 9846 4.2.2)\n"
    assert run("decode", "--hex", "--explain", *form, tmp_path / "paste.txt").out.count(sentence) == 1
    assert sentence not in run("decode", "--hex", *form, tmp_path / "paste.txt").out


def test_a_paste_that_was_cut(run, tmp_path):
    (tmp_path / "paste.txt").write_text(HELLO[:-100].hex())
    result = run("decode", "--hex", tmp_path / "paste.txt")
    assert result.status == 0
    assert "[note] C>S 100 bytes of this record are missing" in result.out
    assert "legacy_session_id: " in result.out


def test_a_paste_as_json(run, tmp_path):
    (tmp_path / "paste.txt").write_text(PASTES["plain"])
    said = objects(run("decode", "--hex", "--json", tmp_path / "paste.txt").out)
    assert [one["event"] for one in said] == ["record", "message", "outcome"]


def test_both_sides_of_openssl_msg(run, tmp_path):
    text = PASTES["openssl -msg"] + "<<< TLS 1.3, Handshake [length 0004], Finished\n    14 00 00 04 01 02 03 04\n"
    text += "<<< TLS 1.3, Alert [length 0002], fatal handshake_failure\n    02 28\n"
    text += ">>> TLS 1.3, Handshake [length 0004], nonsense\n    0f 00 00 01 01\n"
    (tmp_path / "paste.txt").write_text(text)
    result = run("decode", "--hex", tmp_path / "paste.txt")
    assert "S>C  Handshake, 13 bytes" in result.out
    assert "fatal handshake_failure (40)" in result.out
    assert "[note] C>S certificate_verify of 5 bytes" in result.out


@pytest.mark.parametrize("text", ["", "dear reader", "00 01 02 03 04 05 06 07"])
def test_what_is_no_paste(run, tmp_path, text):
    (tmp_path / "paste.txt").write_text(text)
    assert run("decode", "--hex", tmp_path / "paste.txt").is_error(1, "no TLS record", "16 03")


def test_a_paste_is_read_up_to_its_limit(run, tmp_path):
    (tmp_path / "paste.txt").write_text(" " * PASTED_BYTES + PASTES["plain"])
    assert run("decode", "--hex", tmp_path / "paste.txt").status == 1


# Live


def test_without_the_right_to_capture(run, monkeypatch):
    def forbidden(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", forbidden)
    assert run("decode", "-i", "lo").is_error(2, "no right to capture on lo", "CAP_NET_RAW", "--pcapng")


def test_an_interface_that_is_not_there(run):
    if os.geteuid() != 0:
        pytest.skip("capturing needs root")
    assert run("decode", "-i", "nosuch0").is_error(2, "nosuch0: ", "lo")


def test_a_key_log_that_grows(tmp_path):
    path = tmp_path / "keys.log"
    known = live.LiveKeyLog(path)
    line = b"CLIENT_RANDOM %064x %096x\n" % (7, 9)
    assert known.of((7).to_bytes(32)) == {}
    path.write_bytes(line[:50])
    assert known.of((7).to_bytes(32)) == {}
    path.write_bytes(line)
    assert known.of((7).to_bytes(32)) == KeyLogSecrets(line).of((7).to_bytes(32)) != {}
    path.write_bytes(line[:20])
    assert known.of((7).to_bytes(32)) != {}


def test_live(run, pki, tmp_path):
    """A connection on loopback, captured while it happens; what waits for its keys is shown at the end."""
    if os.geteuid() != 0:
        pytest.skip("capturing needs root")
    keys = tmp_path / "keys.log"
    with https_server(ClientAuth.REQUIRE_AND_VERIFY) as port:
        capturing = ("-i", "lo", "--delay", 60, "--port", port, "--summary", "--keylog", keys)
        process = start("decode", *capturing)
        assert process.stderr is not None
        assert "capturing on lo" in process.stderr.readline()
        finish(start("connect", f"https://localhost:{port}/whoami", *pki.alice, "--keylog", keys))
        process.send_signal(signal.SIGINT)
        shown, _ = process.communicate(timeout=LIMIT)
    assert "mutual TLS 1.3 OK: client CN=alice" in shown


def test_packets_are_shown_when_they_have_waited(run, pki, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("capturing needs root")
    with https_server(ClientAuth.REQUIRE_AND_VERIFY) as port:
        process = start("decode", "-i", "lo", "--delay", 0, "--port", port, "--summary")
        assert process.stderr is not None
        assert "capturing on lo" in process.stderr.readline()
        finish(start("connect", f"https://localhost:{port}/whoami", *pki.alice))
        assert process.stdout is not None
        # The test is ended by its own limit, should the line never come.
        watchdog = threading.Timer(LIMIT, process.kill)
        watchdog.start()
        shown = process.stdout.readline()
        watchdog.cancel()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT)
    assert f":{port}" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("capture.pcapng", "--delay", "1"), "--delay: a file's packets wait for nothing"),
        (("-i", "lo", "--delay", str(limits.LIVE_DELAY_MOST + 1)), f"{limits.LIVE_DELAY_MOST + 1} is not in the range"),
        (("-i", "lo", "--write", "out.pcapng"), "--write: what is captured now is read once"),
    ],
)
def test_what_goes_with_capturing(run, arguments, words):
    assert run("decode", *arguments).is_error(2, words)


def test_how_long_packets_wait_is_told(run):
    assert f"Default: {limits.LIVE_DELAY:g}." in " ".join(run("decode", "--help").out.split())
