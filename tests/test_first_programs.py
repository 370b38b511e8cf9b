"""The first programs against docs/api.md, which are examples, come to what they are for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import LIMIT

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (
            "who_is_there",
            [
                "<TLSSocket 127.0.0.1:.*: connected, TLS 1.3, ",
                "who: +CN=localhost",
                "names: DNS:localhost",
                "by: +TLS 1.3 TLS_",
            ],
        ),
        (
            "admit_by_name",
            [
                "alice: the secret is 42",
                "bob: not for you",
                r"mallory: hello, stranger \(the certificate CN=alice",
                r"nobody: hello, stranger \(no certificate",
            ],
        ),
        ("accept_loop", ["WARNING .*handshake failed", "hello, CN=alice"]),
        ("echo_asyncio", ["<TLSTransport .*peer CN=localhost", "serving CN=alice", "is there an echo?"]),
        (
            "why_refused",
            [
                "the server refused us: certificate_required",
                "the server refused us: unknown_ca",
                "we refused the server: name_mismatch",
                "we refused the server: unknown_issuer",
                "our settings: groups: 'x25518'",
                "the network: connect_failed",
            ],
        ),
    ],
)
def test_it_says(program: str, said: list[str]) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{program}.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, "")
    assert [words for words in said if not re.search(words, done.stdout)] == []
    assert "Traceback" not in done.stdout
