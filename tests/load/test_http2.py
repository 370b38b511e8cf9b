"""``handfast serve`` and an HTTP/2 client that asks for much at once, Go's net/http, which takes a while to compile."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import pki as pki
from tests.cli.serving import serving
from tests.peers.golang import build
from tests.waiting import LIMIT

pytest.importorskip("h2")


def run(*command: object) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_go(pki, tmp_path):
    """More requests at once than there are streams: the client waits for one, or opens a second connection."""
    build(Path(__file__).with_name("http2.go"), tmp_path / "client")
    with serving(*pki.server, "--client-ca", pki.ca) as server:
        told = run(tmp_path / "client", server.port, pki.ca, pki.client_cert, pki.client_key)
    assert told == "150 right, HTTP/2, You are CN=al"
