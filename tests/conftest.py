"""What all tests share."""

from __future__ import annotations

import faulthandler
import gc
import logging
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from handfast import logs
from handfast.io import failure_log
from tests.waiting import TEST_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from handfast.pki.authority import CertificateAuthority, Issued


STDERR = 2

# A machine that does something else at the same time makes no test wrong.
settings.register_profile("handfast", deadline=None)
settings.load_profile("handfast")

# What a shell starts in the background ignores Ctrl-C, and so would the programs that are tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """Ends a test that stands for longer than TEST_LIMIT, whatever it waits for, and shows where each thread stands."""

    def too_long(*_: object) -> None:
        faulthandler.dump_traceback(STDERR)
        pytest.fail(f"the test did not end within {TEST_LIMIT:.0f} s")

    before = signal.signal(signal.SIGALRM, too_long)
    # Again and again: what cleans up behind a test may stand as well.
    signal.setitimer(signal.ITIMER_REAL, TEST_LIMIT, TEST_LIMIT)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Files:
    """Certificates and keys as files, for peers that are programs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._written = 0

    def write(self, content: bytes, suffix: str = ".pem") -> Path:
        """A new file that nobody else may read."""
        self._written += 1
        path = self.directory / f"{self._written}{suffix}"
        path.touch(mode=0o600)
        path.write_bytes(content)
        return path

    def identity(self, issued: Issued) -> dict[str, Path]:
        """The chain and the key as keyword arguments of a peer's ``Options``."""
        return {"certificate": self.write(issued.cert_pem), "key": self.write(issued.key_pem, ".key")}

    def roots(self, *authorities: CertificateAuthority) -> Path:
        """One file that holds these roots."""
        return self.write(b"".join(authority.certificate_pem for authority in authorities))


def pytest_collection_finish() -> None:
    """What is imported and collected by now stays until the end: the collector need not walk it again and again.

    Many tests collect garbage to see that nothing is left, which took a minute of `make test` before.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _logs_are_quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test's lines are not held back by a flood before it, and what a command sets up for logging is taken back."""
    monkeypatch.setattr(logs, "_kinds", {})
    monkeypatch.setattr(failure_log, "_process_log", failure_log.FailureLog())
    logger = logging.getLogger("handfast")
    before = logger.handlers[:], logger.propagate, logger.level
    yield
    logger.handlers[:], logger.propagate, logger.level = before


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)
