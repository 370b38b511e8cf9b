"""docs/asyncio.md: its program runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.waiting import LIMIT

PAGE = Path(__file__).parents[2] / "docs" / "asyncio.md"


def test_the_program_of_the_page_runs() -> None:
    program = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert program is not None
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", program[1]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    # A busy machine makes asyncio complain of its own slowness.
    complaints = re.sub(r"^Executing <.*> took [\d.]+ seconds\n", "", done.stderr, flags=re.MULTILINE)
    assert (done.returncode, complaints) == (0, "")
    assert done.stdout == "hello, CN=alice,O=handfast\n"
