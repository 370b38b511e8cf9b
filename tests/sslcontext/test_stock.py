"""CPython's own tests, with our context in place of the stock one, on every interpreter that has them.

``make stock-tests`` runs them all; ``HANDFAST_STOCK_PYTHONS`` names further interpreters that have what handfast needs.
In ``make test`` a quick part runs on this interpreter. What does not pass is listed with the feature that handfast
refuses, and a listed test that passes is an error: the list says what is, not what once was.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

CHILD = Path(__file__).with_name("stock_child.py")
SOURCE = Path(__file__).parent.parent.parent / "src"
MODULES = (
    "test.test_ssl",
    "test.test_asyncio.test_ssl",
    "test.test_asyncio.test_sslproto",
    "test.test_asyncio.test_streams",
    "test.test_httplib",
    "test.test_urllib2_localnet",
    "test.test_ftplib",
    "test.test_poplib",
    "test.test_imaplib",
    "test.test_smtplib",
)
SECONDS = 500

DH = "finite-field Diffie-Hellman is not spoken"
MESSAGES = "the private _msg_callback; observe tells more"
PSK = "no external pre-shared keys in the drop-in"
NO_TICKET = "no session before the server's ticket (RFC 9846 4.7.1)"
NO_NAME = "check_hostname without a name to check"
OLD = "nothing older than TLS 1.2 is spoken"
REFUSED = {
    "test.test_ssl.ContextTests.test_load_dh_params": DH,
    "test.test_ssl.SSLErrorTests.test_lib_reason": DH,
    "test.test_ssl.ThreadedTests.test_dh_params": DH,
    "test.test_ssl.TestSSLDebug.test_msg_callback": MESSAGES,
    "test.test_ssl.TestSSLDebug.test_msg_callback_deadlock_bpo43577": MESSAGES,
    "test.test_ssl.TestSSLDebug.test_msg_callback_tls12": MESSAGES,
    "test.test_ssl.TestPostHandshakeAuth.test_pha_required_nocert": MESSAGES,
    "test.test_ssl.ThreadedTests.test_psk": PSK,
    "test.test_ssl.ThreadedTests.test_psk_tls1_3": PSK,
    "test.test_ssl.ContextTests.test_min_max_version": OLD,
    "test.test_ssl.ContextTests.test_verify_flags": "no proxy certificates (VERIFY_ALLOW_PROXY_CERTS)",
    "test.test_ssl.ThreadedTests.test_legacy_server_connect": "no insecure renegotiation (OP_LEGACY_SERVER_CONNECT)",
}
# Before 3.13 these two wanted it.
REFUSED_BEFORE_313 = {
    "test.test_ssl.SimpleBackgroundTests.test_bio_handshake": "no tls-unique in TLS 1.3 (RFC 9266 3)",
    "test.test_ssl.ThreadedTests.test_tls_unique_channel_binding": "no tls-unique in TLS 1.3 (RFC 9266 3)",
}
# Some releases ask for these: the first where OP_IGNORE_UNEXPECTED_EOF is a default, the others the newest and security
# updates of older ones.
REFUSED_IN_SOME = {
    "test.test_ssl.ContextTests.test_options": "an end without close_notify is told by default",
    "test.test_ssl.SSLObjectTests.test_check_hostname_requires_server_hostname": NO_NAME,
    "test.test_asyncio.test_sslproto.SslProtoHandshakeTests.test_check_hostname_requires_server_hostname": NO_NAME,
    "test.test_ssl.SSLErrorTests.test_bad_server_hostname": NO_NAME,
    "test.test_ssl.SSLObjectTests.test_server_side_bad_params": NO_TICKET,
    "test.test_ssl.SSLObjectTests.test_sni_callback_context_released_before_second_client_hello": (
        "a connection keeps the context that it began with"
    ),
}
ALL_REFUSED = REFUSED | REFUSED_BEFORE_313 | REFUSED_IN_SOME


def needs(python: str, module: str) -> None:
    """Skip where the interpreter came without its tests."""
    found = subprocess.run([python, "-c", f"import {module}, cryptography"], capture_output=True, text=True)
    if found.returncode:
        if os.environ.get("HANDFAST_REQUIRE_PEERS") == "1":
            pytest.fail(f"{python} cannot import {module}: apt-get install libpython3.11-testsuite")
        pytest.skip(f"{python} has no {module}")


def report_of(python: str, module: str, tmp_path: Path, *patterns: str) -> dict[str, Any]:
    """What became of the tests of a module; skipped where the interpreter came without them."""
    needs(python, module)
    out = tmp_path / "report"
    done = subprocess.run(
        [python, str(CHILD), str(out), module, *patterns],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        # Some tests print what a handshake was made of.
        errors="backslashreplace",
        timeout=SECONDS,
    )
    assert out.is_file(), done.stderr[-4000:]
    report: dict[str, Any] = json.loads(out.read_text())
    return report


def judge(report: dict[str, Any]) -> None:
    """Nothing falls that is not listed, and nothing is listed that passes."""
    listed = ALL_REFUSED.keys() - (REFUSED_BEFORE_313.keys() if report["version"] >= [3, 13] else set())
    assert {name: why for name, why in report["fallen"].items() if name not in listed} == {}
    assert [name for name in report["passed"] if name in listed - REFUSED_IN_SOME.keys()] == []
    assert report["passed"]


def test_the_documented_table_is_this_list() -> None:
    counts = Counter(ALL_REFUSED.values())
    page = (CHILD.parents[2] / "docs" / "migration.md").read_text()
    table = page.split("### What raises")[1].split("### What differs")[0]
    rows = re.findall(r"^\| (.*) \| (\d+) \|$", table, re.MULTILINE)
    assert {reason: int(count) for reason, count in rows} == counts


def test_the_list_is_short() -> None:
    assert len(ALL_REFUSED) <= 25


@pytest.mark.parametrize("pattern", ["ContextTests", "MemoryBIOTests", "SSLObjectTests"])
def test_a_quick_part(pattern: str, tmp_path: Path) -> None:
    judge(report_of(sys.executable, "test.test_ssl", tmp_path, pattern))


RESETTING = """
import socket, ssl, struct, stock_child, test.test_ssl as module
from handfast.io.sslcontext.context import SSLContext

stock_child.outlive_resets(module)
context = SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(module.SIGNED_CERTFILE)
client = SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client.load_verify_locations(module.SIGNING_CA)
with module.ThreadedEchoServer(context=context, chatty=False) as server:
    for _ in range(3):
        with client.wrap_socket(socket.socket(), server_hostname=module.SIGNED_CERTFILE_HOSTNAME) as connection:
            connection.connect((module.HOST, server.port))
            connection.sendall(b"Hello")
            assert connection.recv(5) == b"hello"
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""


def test_a_client_that_resets_ends_no_server_of_these_tests(tmp_path: Path) -> None:
    needs(sys.executable, "test.test_ssl")
    done = subprocess.run(
        [sys.executable, "-c", RESETTING],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(SOURCE), str(CHILD.parent)))},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr[-4000:]


def interpreters() -> list[str]:
    return [sys.executable, *filter(None, os.environ.get("HANDFAST_STOCK_PYTHONS", "").split(os.pathsep))]


@pytest.mark.skipif(os.environ.get("HANDFAST_STOCK") != "1", reason="some minutes: make stock-tests")
@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("python", interpreters())
def test_all(python: str, module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = report_of(python, module, tmp_path)
    with capsys.disabled():
        counts = f"{len(report['passed'])} passed, {report['skipped']} skipped, {len(report['fallen'])} listed"
        print(f"\n{python} {module}: {counts}")
    judge(report)
