"""``handfast demo``: the whole story, as a newcomer sees it."""

from __future__ import annotations

import re
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from handfast.trust.roots import Roots
from handfast.x509.describe import describe
from tests.cli.conftest import CLEAN_ENVIRONMENT, finish, on_a_terminal, shown_until, start
from tests.waiting import LIMIT


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """One run on a port that is taken, and the directory it left."""
    out = tmp_path_factory.mktemp("demo") / "out"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = finish(start("demo", "--port", port, "--out", out))
    assert result.status == 0
    return result, out, port


def test_the_lines_of_the_story_in_their_order(told):
    result, _, _ = told
    expected = [
        r"Starting to serve on https://127\.0\.0\.1:\d+\.",
        r"A client with a certificate:",
        r"1 1  0\.0000 \(0\.0000\)  C>S  Handshake, .*",
        r"verifying server's cert \.\.\.",
        r"verifying client cert \.\.\.",
        r"#\(peer certs\) = 1",
        r"certs\[0\] goes as",
        r"-----BEGIN CERTIFICATE-----",
        r"-----END CERTIFICATE-----",
        r"Body:",
        r"hello, CN=demo client,O=handfast",
        r"mutual TLS 1\.3 OK: client CN=demo client,O=handfast \(issuer CN=handfast demo CA,O=handfast\); .*",
        r"A client without a certificate:",
        r"2 1  0\.0000 \(0\.0000\)  C>S  Handshake, .*",
        r"verifying server's cert \.\.\.",
        r"      Certificate \(empty: the client declined\), 8 bytes",
        r"#\(peer certs\) = 0",
        r"Body:",
        r"hello, whoever you are, without a certificate",
        r"TLS 1\.3 OK, one-way: the client was asked for a certificate and has shown none; .*",
    ]
    lines = iter(result.out.splitlines())
    assert [line for line in expected if not any(re.fullmatch(line, found) for found in lines)] == []
    assert result.out.count("verifying client cert ...") == 1


def test_the_certificate_printed_is_the_clients(told):
    result, out, _ = told
    printed = re.search(r"certs\[0\] goes as\n(-----BEGIN.*?-----END CERTIFICATE-----\n)", result.out, re.DOTALL)
    assert printed
    assert printed[1] == (out / "client.pem").read_text()


def test_a_taken_port_is_replaced_and_said(told):
    result, _, port = told
    assert result.complaints == [f"handfast: port {port} cannot be used (Address already in use), taking a free one"]
    assert f"127.0.0.1:{port}." not in result.out


def test_what_is_left(told):
    result, out, _ = told
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()}
    assert modes == {
        "ca.pem": 0o644, "server.pem": 0o644, "server.key": 0o600, "client.pem": 0o644, "client.key": 0o600,
        "keys.log": 0o600, "capture.pcapng": 0o600, "handshake.html": 0o644,
    }  # fmt: skip
    for name in modes:
        assert re.search(rf"^  .*\b{re.escape(name)}\b.*  ", result.out, re.MULTILINE)
    assert describe(Roots.from_file(out / "ca.pem").certificates[0]).subject == "CN=handfast demo CA,O=handfast"
    assert len((out / "keys.log").read_text().splitlines()) == 10


def test_the_commands_it_prints_run_as_they_stand(told):
    result, _, _ = told
    printed = result.out.partition("Go on by yourself, in two terminals:\n")[2]
    assert max(map(len, printed.splitlines())) <= 80 + len(sys.executable)
    serve, connect = (one.strip() for one in printed.strip().split("\n\n"))
    # exec: the signal must reach the program and not a shell.
    server = subprocess.Popen(
        ["sh", "-c", f"exec {serve}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=CLEAN_ENVIRONMENT
    )
    assert server.stdout is not None
    assert server.stdout.readline().startswith("Serving on https://127.0.0.1:")
    done = subprocess.run(["sh", "-c", connect], capture_output=True, text=True, env=CLEAN_ENVIRONMENT, timeout=LIMIT)
    server.terminate()
    server.communicate(timeout=LIMIT)
    assert done.returncode == 0
    assert done.stdout.startswith("You are CN=demo client")
    assert "mutual TLS 1.3 OK" in done.stderr


def test_a_second_run_replaces_what_the_first_left_and_nothing_else(told, run, tmp_path):
    _, first, _ = told
    out = Path(shutil.copytree(first, tmp_path / "out"))
    before = (out / "ca.pem").read_bytes()
    assert run("demo", "--port", 0, "--out", out).status == 0
    assert (out / "ca.pem").read_bytes() != before
    (out / "ca.pem").write_bytes((out / "client.pem").read_bytes())
    kept = {path: path.read_bytes() for path in out.iterdir()}
    assert run("demo", "--port", 0, "--out", out).is_error(2, "ca.pem", "exists already")
    assert {path: path.read_bytes() for path in out.iterdir()} == kept


def test_a_directory_that_cannot_be(run, tmp_path):
    (tmp_path / "file").touch()
    assert run("demo", "--out", tmp_path / "file").is_error(2, "file", "not a directory")


def test_what_make_started_prints_paths_that_work_from_anywhere(tmp_path):
    result = finish(start("demo", "--port", 0, "--out", "here", cwd=tmp_path, env={"MAKELEVEL": "1"}))
    assert f"--cacert {tmp_path}/here/ca.pem" in result.out
    result = finish(start("demo", "--port", 0, "--out", "here", cwd=tmp_path))
    assert "--cacert here/ca.pem" in result.out


def test_it_fits_a_terminal(tmp_path, monkeypatch):
    # A path in a command cannot be wrapped, so here it is a short one, wherever the tests' files are.
    monkeypatch.chdir(tmp_path)
    with on_a_terminal("demo", "--port", 0, "--out", "demo", COLUMNS="80", NO_COLOR="1") as (_, controller):
        lines = shown_until(controller, "never").replace("\r", "").splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert any(line.startswith("mutual TLS 1.3 OK: client CN=demo client") for line in lines)
