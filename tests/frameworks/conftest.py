"""Tests with others' servers and frameworks are left out where those are missing, but not by `make frameworks`."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import _clean, pki, run

if TYPE_CHECKING:
    from pathlib import Path

    from handfast.contrib import ServerFiles

__all__ = ["_clean", "pki", "run"]

REQUIRED = os.environ.get("HANDFAST_REQUIRE_FRAMEWORKS") == "1"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """``@pytest.mark.needs("uvicorn", ...)`` leaves a test out where one of these is not installed."""
    for marker in item.iter_markers("needs"):
        missing = [name for name in marker.args if importlib.util.find_spec(name) is None]
        if missing and REQUIRED:
            pytest.fail(f"not installed: {', '.join(missing)}")
        if missing:
            pytest.skip(f"not installed: {', '.join(missing)} (make frameworks)")


@pytest.fixture
def server_files(tmp_path: Path) -> ServerFiles:
    """A server's files, whose clients must come from the tests' CA."""
    from tests.frameworks.support import write_files

    return write_files(tmp_path)
