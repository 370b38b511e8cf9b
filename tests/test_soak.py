"""``make soak``: it counts its runs, names what fell, and a seed makes one order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import LIMIT

ROOT = Path(__file__).parents[1]
TESTS = """
import pytest

@pytest.mark.parametrize("number", range(20))
def test_number(number):
    assert number != {wrong}
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "test_numbers.py"
    path.write_text(TESTS.format(wrong=13))
    return path


def python(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    environment = {**os.environ, "PYTEST_ADDOPTS": "", **variables}
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, cwd=ROOT, env=environment)


def soak(module: Path, runs: int) -> subprocess.CompletedProcess[str]:
    return python("-m", "tests.soak", "-p", "no:xdist", module, SOAK_RUNS=str(runs), TMPDIR=str(module.parent))


def test_what_fell_is_named_and_the_runs_go_on(module: Path) -> None:
    done = soak(module, 2)
    first, second, summary, *rest = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (1, "")
    assert re.fullmatch(r"run 1, --shuffle=\d+, alone: 19 passed, 1 fell", first)
    assert re.fullmatch(r"run 2, --shuffle=\d+, beside a load: 19 passed, 1 fell", second)
    assert summary == "2 of 2 runs were made, 1 of them beside a load; something fell in 2"
    assert len(rest) == 4
    assert all(line.endswith("test_numbers::test_number[13]") for line in rest[1::2])
    log = Path(rest[0].split(", ")[-1].rstrip(":"))
    assert "assert 13 != 13" in log.read_text()


def test_nothing_fell(module: Path) -> None:
    module.write_text(TESTS.format(wrong=20))
    done = soak(module, 1)
    assert done.returncode == 0
    assert done.stdout.splitlines()[1:] == ["1 of 1 runs were made, 0 of them beside a load; something fell in 0"]


def test_a_run_without_tests_has_failed(module: Path) -> None:
    module.write_text("")
    done = soak(module, 1)
    assert done.returncode == 1
    assert "pytest ended with status 5" in done.stdout


def order(module: Path, *options: str) -> list[str]:
    done = python("-m", "pytest", "-p", "tests.shuffle", "--collect-only", "-q", *options, module)
    return re.findall(r"test_number\[\d+\]", done.stdout)


def test_a_seed_makes_one_order(module: Path) -> None:
    usual, one, again, other = (
        order(module, *options) for options in ([], ["--shuffle=1"], ["--shuffle=1"], ["--shuffle=2"])
    )
    assert one == again
    assert len({tuple(usual), tuple(one), tuple(other)}) == 3
    assert sorted(usual) == sorted(one) == sorted(other)


def test_workers_agree_on_the_order(module: Path) -> None:
    done = python("-m", "pytest", "-p", "tests.shuffle", "--shuffle=3", "--numprocesses=2", module)
    assert "order: --shuffle=3\n" in done.stdout
    assert "1 failed, 19 passed" in done.stdout
