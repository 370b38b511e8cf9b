"""Standard streams that are closed or full, Ctrl-C at the very beginning, and numbers that no clock knows."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from handfast import limits
from handfast.engine import ClientAuth
from tests.cli.conftest import CLEAN_ENVIRONMENT, Result, https_server, tls_server
from tests.waiting import LIMIT


def redirected(how: str, *arguments: object, unbuffered: str = "") -> Result:
    """The program with its standard streams as the shell makes them, buffered unless it is told otherwise."""
    command = ["sh", "-c", f'exec "$@" {how}', "sh", sys.executable, "-m", "handfast", *map(str, arguments)]
    environment = {**CLEAN_ENVIRONMENT, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=LIMIT)
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("how", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_an_empty_one(how):
    result = redirected(how, "--version")
    assert (result.status, result.err) == (0, "")


def test_so_is_a_closed_input():
    assert redirected("<&-", "decode", "-").is_error(2, "no capture")


def test_a_file_does_not_become_standard_output(pki, tmp_path):
    body = tmp_path / "body"
    with https_server() as port:
        given = ("connect", f"https://localhost:{port}/", *pki.trust, "-o", body, "--json", "-")
        assert redirected(">&-", *given).status == 0
    assert body.read_text().startswith("You have shown")


@pytest.mark.parametrize("how", ["2>&-", "2>/dev/full"])
def test_the_status_tells_where_nothing_can_be_said(pki, how):
    result = redirected(how, "certs", "check", "--cacert", pki.ca, pki.client_cert)
    assert result.status == 0
    assert "accepted as a client's" in result.out
    assert redirected(how, "connect").status == 2


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_standard_output_is_told(unbuffered):
    result = redirected(">/dev/full", "--version", unbuffered=unbuffered)
    assert result.is_error(2, "No space left on device")
    assert "Exception" not in result.err


def test_ctrl_c_before_the_program_is_loaded_is_no_traceback():
    code = """
import os, runpy, signal, sys
class Interrupting:
    def find_spec(name, path=None, target=None):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting)
runpy.run_module("handfast", run_name="__main__")
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=CLEAN_ENVIRONMENT, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


@pytest.mark.parametrize("verb", ["connect", "doctor"])
@pytest.mark.parametrize("seconds", ["nan", "inf", "1e12", "-inf", "0"])
def test_a_time_that_no_clock_knows_is_refused(run, tmp_path, verb, seconds):
    assert run(verb, "localhost:1", "--max-time", seconds).is_error(2, "--max-time")
    path = tmp_path / "handfast.toml"
    path.write_text(f"[{verb}]\nmax-time = {seconds}\n")
    assert run("--config", path, verb, "localhost:1").is_error(2, f"[{verb}] max-time")


def test_the_longest_time_is_one_that_a_wait_can_take(run, pki):
    with https_server() as port:
        given = (f"https://localhost:{port}/", *pki.trust, "--max-time", limits.COMMAND_SECONDS_MOST)
        assert run("connect", *given).status == 0


def test_a_delay_that_is_no_number_is_refused(run):
    assert run("decode", "-i", "lo", "--delay", "nan").is_error(2, "--delay", "'nan' is no number of seconds")


def test_a_header_may_have_any_letters(run, pki):
    asked = []

    def talk(tls):
        asked.append(tls.recv(65536))
        tls.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    line = "a: \u00e9\udcff"
    with tls_server(talk, ClientAuth.NONE, application_protocols=("http/1.1",)) as port:
        assert run("connect", "-v", "-H", line, f"https://localhost:{port}/", *pki.trust).status == 0
    assert b"\r\na: \xc3\xa9\xff\r\n" in asked[0]
    with https_server(application_protocols=("h2",)) as port:
        assert run("connect", "-H", line, f"https://localhost:{port}/", *pki.trust).status == 0


@pytest.mark.parametrize("more", [("-X", "\u00e9"), ("-H", "\u00e9: a")])
def test_a_method_or_the_name_of_a_header_may_not(run, pki, more):
    with https_server() as port:
        result = run("connect", *more, f"https://localhost:{port}/", *pki.trust)
    assert result.is_error(2, "-X or -H", "a method is a word")
