"""docs/certificates.md: its commands run as they stand. Its tables of keys are in tests/key_types."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Run

PAGE = (Path(__file__).parents[2] / "docs" / "certificates.md").read_text()
COMMANDS = re.findall(r"^\$ handfast (.*)$", PAGE, re.MULTILINE)


def test_every_command_runs_after_the_others(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "password").write_text("open sesame\n")
    assert len(COMMANDS) > 15
    for command in COMMANDS:
        result = run(*shlex.split(command))
        assert (result.status, result.out != "") == (0, True), f"{command}\n{result.err}"
    named = {name for name in re.findall(r"`pki/([\w.]+)`", PAGE) if name}
    assert named <= {path.name for path in (tmp_path / "pki").iterdir()}


def test_every_option_is_on_the_page(run: Run) -> None:
    options = set(re.findall(r"--[a-z0-9-]+", run("certs", "--help").out)) - {"--help"}
    assert {option for option in options if option not in PAGE} <= {"--key-"}
