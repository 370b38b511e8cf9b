"""docs/tutorial.md and docs/tutorial.zh.md: their commands run in one shell, and print what stands there."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.certificates import require_peer
from tests.cli.conftest import CLEAN_ENVIRONMENT
from tests.ports import own_port
from tests.waiting import LIMIT

DOCS = Path(__file__).parents[2] / "docs"
ENGLISH, CHINESE = ((DOCS / f"{name}.md").read_text("utf-8") for name in ("tutorial", "tutorial.zh"))
# What differs from run to run stands in the page as this.
ANYTHING = "…"
MARK = "-- the end of block"


class Block(NamedTuple):
    """Commands of the page, and the output that stands below them."""

    commands: str
    shown: str


def blocks(page: str) -> list[Block]:
    found = re.findall(r"```sh\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", page, re.DOTALL)
    return [Block(commands, shown) for commands, shown in found]


def program(folder: Path, name: str, arguments: str) -> None:
    """What a shell finds under this name."""
    path = folder / name
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments} "$@"\n')
    path.chmod(0o755)


def run(script: str, folder: Path) -> tuple[int, str, str]:
    """What bash makes of it; what it started and left running ends with it."""
    programs = folder / "bin"
    programs.mkdir()
    program(programs, "handfast", "-m handfast")
    program(programs, "python3", "")
    environment = CLEAN_ENVIRONMENT | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
    with subprocess.Popen(
        ["bash", "-euc", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment,
        start_new_session=True,
    ) as shell:
        try:
            out, err = shell.communicate(timeout=LIMIT)
        except BaseException:
            os.killpg(shell.pid, signal.SIGKILL)
            raise
    return shell.returncode, out, err


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each block prints."""
    require_peer("openssl")
    with own_port() as port:
        # Nothing of the server outlives the shell, however that ends.
        script = "trap 'exec 2>/dev/null; kill $(jobs -p) || :; wait' EXIT\n"
        script += "".join(f"{one.commands}echo '{MARK}'\n" for one in blocks(ENGLISH))
        status, out, err = run(script.replace("1337", str(port)), tmp_path_factory.mktemp("tutorial"))
    assert (status, err) == (0, "")
    return out.split(f"{MARK}\n")


@pytest.mark.parametrize("number", range(len(blocks(ENGLISH))))
def test_what_a_block_prints_is_what_stands_there(printed: list[str], number: int) -> None:
    shown = re.escape(blocks(ENGLISH)[number].shown).replace(ANYTHING, "[^\n]*")
    assert re.fullmatch(shown, printed[number]), printed[number]


def test_nothing_that_was_computed_differs(printed: list[str]) -> None:
    everything = "".join(printed)
    assert "DIFFERENT" not in everything
    assert everything.count("the same: ") == everything.count("\nthe same: ") > 10


def test_both_languages_run_the_same() -> None:
    assert blocks(CHINESE) == blocks(ENGLISH)
    headings = [re.findall(r"^## (\d+)\.", page, re.MULTILINE) for page in (ENGLISH, CHINESE)]
    assert headings[0] == headings[1] == [str(number) for number in range(1, 17)]
