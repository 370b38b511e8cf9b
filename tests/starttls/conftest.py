"""What runs here needs servers that few machines have, so it is left out everywhere but by ``make starttls``."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import _clean, pki

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["_clean", "pki"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave it out without HANDFAST_STARTTLS."""
    if "HANDFAST_STARTTLS" not in os.environ:
        pytest.skip("real servers: make starttls")


@pytest.fixture
def folder() -> Iterator[Path]:
    """For a server: other users may enter it, unlike pytest's own, and paths of sockets in it are short enough."""
    path = Path(tempfile.mkdtemp(prefix="handfast-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)
