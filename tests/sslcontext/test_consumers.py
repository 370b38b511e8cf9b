"""Every library that takes an ``ssl.SSLContext``, given ours, in three pairings, each in a process of its own.

They live in an environment of their own, which ``make consumers`` makes and HANDFAST_CONSUMERS names; a library that is
not there is skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sslcontext.consumers import http_clients, loops, servers, services
from tests.sslcontext.consumers.kinds import CLIENT_ONLY, CONSUMERS, PAIRINGS
from tests.sslcontext.pairs import Files

ROOT = Path(__file__).parent.parent.parent
PYTHON = os.environ.get("HANDFAST_CONSUMERS", "")
SECONDS = 60
CASES = [(name, pairing) for name in CONSUMERS for pairing in PAIRINGS if pairing == "ours" or name not in CLIENT_ONLY]


def test_all_are_listed() -> None:
    assert {one.__name__.rpartition(".")[2] for one in (http_clients, loops, servers, services)}
    assert len(CONSUMERS) > 30


# Those that need nothing but what the tests have anyway.
QUICK = (
    "asyncio_streams",
    "asyncio_client_without_certificate",
    "asyncio_start_tls",
    "asyncio_tls_in_tls",
    "uvloop_streams",
    "uvloop_client_without_certificate",
    "uvloop_start_tls",
    "http_client",
    "smtplib_starttls",
)


@pytest.mark.parametrize("name", QUICK)
def test_quick_ones(name: str, tmp_path: Path) -> None:
    run(sys.executable, name, "ours", tmp_path)


@pytest.mark.skipif(not PYTHON, reason="make consumers installs them")
@pytest.mark.parametrize(("name", "pairing"), CASES)
def test_consumer(name: str, pairing: str, tmp_path: Path) -> None:
    run(PYTHON, name, pairing, tmp_path)


def run(python: str, name: str, pairing: str, tmp_path: Path) -> None:
    files = Files(tmp_path)
    Path(files.server_key).chmod(0o600)
    done = subprocess.run(
        [python, "-m", "tests.sslcontext.consumers", name, pairing, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    missing = "ModuleNotFoundError" in done.stderr
    if missing or done.returncode == services.MISSING:
        reason = done.stderr.strip().splitlines()[-1] if missing else done.stdout.strip()
        if os.environ.get("HANDFAST_REQUIRE_PEERS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    assert done.returncode == 0, done.stderr[-3000:]
