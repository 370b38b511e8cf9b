"""Who takes part in the doctor's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.doctor.matrix import Cast
from tests.faults.meeting import new_seed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cast(tmp_path: Path) -> Cast:
    """Of names that say nothing."""
    return Cast(tmp_path, new_seed())
