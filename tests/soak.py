"""Runs the whole suite again and again in random order, every second time beside a load, and says what fell.

    SOAK_RUNS=10 python -m tests.soak [OPTIONS AND FILES OF PYTEST]

The load is one process for each processor that does nothing but take it. It ends with its run, with this program, or
after LOAD_LIMIT, whichever is first. Nothing that falls stops the runs; at the end it stands there with the seed whose
order shows it again, and the exit status is 1. What pytest said is kept in the folder that the end names.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from tests.shuffle import SEEDS

if TYPE_CHECKING:
    from collections.abc import Iterator

LOAD_LIMIT = 3600
LOAD = f"""
import os, time
parent, end = os.getppid(), time.monotonic() + {LOAD_LIMIT}
while os.getppid() == parent and time.monotonic() < end:
    for _ in range(1_000_000):
        pass
"""


@dataclass
class Run:
    """One run of the suite; ``trouble`` is what fell, or why there is nothing to read of it."""

    number: int
    seed: int
    loaded: bool
    passed: int
    trouble: list[str]

    def __str__(self) -> str:
        beside = "beside a load" if self.loaded else "alone"
        return f"run {self.number}, --shuffle={self.seed}, {beside}: {self.passed} passed, {len(self.trouble)} fell"


@contextlib.contextmanager
def load() -> Iterator[None]:
    """Takes all processors."""
    processes = [subprocess.Popen([sys.executable, "-c", LOAD]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def run(number: int, arguments: list[str], folder: Path) -> Run:
    """Runs the suite once."""
    seed, loaded = random.randrange(SEEDS), number % 2 == 0
    report = folder / f"{number}.xml"
    command = [sys.executable, "-m", "pytest", "-p", "tests.shuffle", f"--shuffle={seed}", f"--junit-xml={report}"]
    with (folder / f"{number}.txt").open("wb") as log, load() if loaded else contextlib.nullcontext():
        status = subprocess.run([*command, *arguments], stdout=log, stderr=subprocess.STDOUT).returncode
    passed, fell = read(report)
    if status not in (0, 1) or (status == 1 and not fell):
        fell.append(f"pytest ended with status {status}")
    return Run(number, seed, loaded, passed, fell)


def read(report: Path) -> tuple[int, list[str]]:
    """How many tests passed, and the names of those that did not."""
    if not report.exists():
        return 0, ["pytest wrote no report"]
    passed, fell = 0, []
    for case in ElementTree.parse(report).iter("testcase"):
        ends = {child.tag for child in case}
        if ends & {"failure", "error"}:
            fell.append(f"{case.get('classname')}::{case.get('name')}")
        elif "skipped" not in ends:
            passed += 1
    return passed, fell


def main() -> int:
    """The exit status."""
    arguments = sys.argv[1:] or ["--numprocesses=auto", "--maxprocesses=2"]
    count = int(os.environ.get("SOAK_RUNS", "10"))
    folder = Path(tempfile.mkdtemp(prefix="handfast-soak-"))
    runs: list[Run] = []
    with contextlib.suppress(KeyboardInterrupt):
        for number in range(1, count + 1):
            runs.append(run(number, arguments, folder))
            print(runs[-1], flush=True)
    return conclude(runs, count, folder)


def conclude(runs: list[Run], count: int, folder: Path) -> int:
    """Says what came of it; the exit status."""
    failed = [one for one in runs if one.trouble]
    loaded = sum(one.loaded for one in runs)
    print(f"{len(runs)} of {count} runs were made, {loaded} of them beside a load; something fell in {len(failed)}")
    for one in failed:
        print(f"run {one.number}, --shuffle={one.seed}, {folder}/{one.number}.txt:")
        for name in one.trouble:
            print(f"    {name}")
    return int(bool(failed) or len(runs) < count)


if __name__ == "__main__":
    sys.exit(main())
