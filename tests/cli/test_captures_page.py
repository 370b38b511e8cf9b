"""docs/captures.md: its commands and its program run, and what they print is what stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from handfast.cli.decode import command as decode_command
from tests.cli.conftest import CLEAN_ENVIRONMENT
from tests.waiting import LIMIT

PAGE = (Path(__file__).parents[2] / "docs" / "captures.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
(PROGRAM,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(SHOWN,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess[str]]:
    """The page's commands, run in their order; and the program."""
    folder = tmp_path_factory.mktemp("page")
    # What a shell would find as handfast.
    program = folder / "bin" / "handfast"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m handfast "$@"\n')
    program.chmod(0o755)
    environment = CLEAN_ENVIRONMENT | {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    around: dict[str, Any] = {"capture_output": True, "text": True, "timeout": LIMIT, "cwd": folder, "env": environment}
    done = {line: subprocess.run(["sh", "-c", line], **around) for line in COMMANDS}
    around["cwd"] = folder / "handfast-demo"
    done["program"] = subprocess.run([sys.executable, "-c", PROGRAM], **around)
    return done


@pytest.mark.parametrize("line", [*COMMANDS, "program"])
def test_it_runs(outputs, line):
    assert outputs[line].returncode == 0, outputs[line].stderr
    assert "Traceback" not in outputs[line].stderr


@cache
def without_what_varies(line: str) -> str:
    line = re.sub(r"\d+\.\d{4}", "T", line)
    line = re.sub(r"\d+ bytes", "N bytes", line)
    return re.sub(r"\(\d+\)", "(PORT)", line)


def test_the_transcript_is_what_is_printed(outputs):
    printed = iter(map(without_what_varies, outputs[COMMANDS[1]].stdout.splitlines()))
    for line in SHOWN.splitlines():
        assert without_what_varies(line) in printed, line


def test_what_the_page_says_of_its_commands(outputs):
    summary = "handfast decode handfast-demo/capture.pcapng --summary"
    assert len(outputs[summary].stdout.splitlines()) == 2
    assert outputs[f"{summary} --cacert handfast-demo/ca.pem"].stdout.count("chain ✓") == 3
    assert outputs["handfast decode --summary --failed handfast-demo/capture.pcapng"].stdout == ""
    assert "GET /" in outputs["handfast decode --secrets handfast-demo/capture.pcapng"].stdout
    assert "JA4 t12i020000" in outputs["handfast decode --hex hello.txt"].stdout
    stripped = outputs["handfast decode without-keys.pcapng --summary"].stdout
    assert stripped.count("SERVER_HANDSHAKE_TRAFFIC_SECRET is not known") == 2
    assert "CertificateVerify" in outputs["program"].stdout


def test_every_option_that_the_page_names_is_one():
    known = {name for parameter in decode_command.params for name in parameter.opts}
    commands = [line for line in PAGE.splitlines() if "handfast decode " in line]
    named = {word for line in commands for word in line.split("handfast decode ")[1].split() if word.startswith("-")}
    assert {word.strip("`.,") for word in named} - {"-"} <= known
