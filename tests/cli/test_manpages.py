"""``handfast manpages``: each page says what ``--help`` says, and those that the package ships are up to date."""

from __future__ import annotations

import re
import subprocess
import tomllib
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from handfast.cli import VERBS, manpages, option_sources
from tests.peers.base import require_peer
from tests.waiting import LIMIT

ROOT = Path(__file__).parents[2]
DATA = ROOT / tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["flit"]["external-data"]["directory"]
SHIPPED = DATA / "share" / "man" / "man1"


@cache
def pages() -> dict[str, str]:
    return manpages.pages()


def plain(text: str) -> str:
    """The page without what is for roff."""
    text = re.sub(r"\\f[BR]|\\&", "", text).replace("\\-", "-").replace("\\(aq", "'").replace("\\(ti", "~")
    return " ".join(text.split())


def test_there_is_one_for_each_command():
    assert {"handfast.1", *(f"handfast-{verb}.1" for verb in VERBS)} <= pages().keys()


def test_those_that_are_shipped_are_up_to_date():
    shipped = {path.name: path.read_text() for path in SHIPPED.iterdir()}
    assert shipped == pages(), "make man writes them anew"


@pytest.mark.parametrize("verb", VERBS)
def test_a_page_has_every_option_with_its_help_and_every_variable(verb):
    text = plain(pages()[f"handfast-{verb}.1"])
    for parameter in import_module(f"handfast.cli.{verb}").command.params:
        if getattr(parameter, "hidden", True):
            continue
        for name in parameter.opts:
            assert name in text
        assert " ".join(parameter.help.split()) in text
        assert option_sources.variable_of(parameter) in text


def test_the_pages_directory_is_made(run, tmp_path):
    result = run("manpages", tmp_path / "man" / "man1")
    assert result.status == 0
    assert {path.name: path.read_text() for path in (tmp_path / "man" / "man1").iterdir()} == pages()
    assert result.out.splitlines() == [str(tmp_path / "man" / "man1" / name) for name in pages()]


def test_a_directory_that_cannot_be_made_is_named(run, tmp_path):
    (tmp_path / "file").write_text("")
    assert run("manpages", tmp_path / "file").is_error(2, "file")


@pytest.mark.parametrize(
    ("command", "allowed"),
    [
        (["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"], ()),
        (["groff", "-man", "-ww", "-z", "-Tutf8"], ()),
        # The pages are as old as the version that has them.
        (["mandoc", "-T", "lint"], ("missing date",)),
    ],
    ids=["man", "groff", "mandoc"],
)
def test_readers_of_roff_have_nothing_to_complain_of(command, allowed, tmp_path):
    require_peer(command[0])
    # man is slow, and what it adds to groff is the same for all pages.
    paths = [tmp_path / name for name in (pages() if command[0] != "man" else ["handfast.1"])]
    for path in paths:
        path.write_text(pages()[path.name])
    done = subprocess.run([*command, *paths], capture_output=True, text=True, timeout=LIMIT)
    said = done.stderr + (done.stdout if command[0] == "mandoc" else "")
    assert [line for line in said.splitlines() if not any(words in line for words in allowed)] == []


@pytest.mark.parametrize(
    ("text", "roff"),
    [
        (".PP", "\\&.PP"),
        ("'quoted'", "\\(aqquoted\\(aq"),
        ("a\\b --c ~/d", "a\\eb \\-\\-c \\(ti/d"),
        ("word " * 20, ("word " * 16).strip() + "\n" + ("word " * 4).strip()),
    ],
)
def test_text_is_no_request(text, roff):
    assert manpages._line(text) == roff
