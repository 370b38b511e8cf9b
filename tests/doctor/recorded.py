"""What the doctor answers in tests: ``python -m tests.doctor.recorded FILE`` runs them, and prints a row for each."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.doctor import matrix
from tests.syntax import ROOT
from tests.waiting import TEST_LIMIT

if TYPE_CHECKING:
    from collections.abc import Generator


class Recorded(NamedTuple):
    """A test by its name in words, and what the doctor said in it: a list of findings, each a list of causes."""

    title: str
    answers: list[list[list[str]]]


class _Recorder:
    """A plugin of pytest's."""

    def __init__(self) -> None:
        self.rows: list[Recorded] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        matrix.ANSWERS.clear()
        yield
        if matrix.ANSWERS:
            words = item.name.removeprefix("test_").replace("_", " ", item.name.partition("[")[0].count("_"))
            answers = [[list(finding) for finding in answer.findings] for answer in matrix.ANSWERS]
            self.rows.append(Recorded(words.replace("[", ": ").removesuffix("]"), answers))


def recorded(file: str) -> list[Recorded]:
    """The rows of a file of tests, which must pass. Raises CalledProcessError."""
    command = [sys.executable, "-m", "tests.doctor.recorded", file]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True, timeout=TEST_LIMIT)
    return [Recorded(*row) for row in json.loads(done.stdout.splitlines()[-1])]


if __name__ == "__main__":
    recorder = _Recorder()
    failed = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", sys.argv[1]], plugins=[recorder])
    print()
    print(json.dumps(recorder.rows))
    sys.exit(int(failed))
