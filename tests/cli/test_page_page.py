"""docs/page.md: its commands run in their order in an empty directory, and leave what the page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from handfast import limits
from tests.cli.test_html import mode, pages

PAGE = (Path(__file__).parents[2] / "docs" / "page.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


def test_the_commands_run(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        assert program == "handfast"
        assert run(*arguments).status == 0, command
    assert len(pages(tmp_path / "handfast-demo" / "handshake.html")[1]) == 2
    assert len(pages(tmp_path / "all.html")[1]) == 2
    assert len(pages(tmp_path / "one.html")[1]) == 1
    assert not mode(tmp_path / "one.html") & 0o022


def test_the_bounds_are_those_of_the_program():
    assert f"{limits.PAGE_CONNECTION_BYTES // 1024} KiB are kept" in PAGE
    assert f"the first {limits.PAGE_DATA_BYTES} bytes" in PAGE
    assert f"up to {limits.PAGE_NAME} characters" in PAGE
    assert f"the first {limits.PAGE_CONNECTIONS} and counts the others" in PAGE
