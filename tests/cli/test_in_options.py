"""The library speaks of its API, the command line of its options, and nothing falls between the two."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from handfast.cli.in_options import PHRASES, in_options
from tests.syntax import SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Programs of their own, with options of their own; their docstrings and help name them.
PROGRAMS = ("cli", "tools", "keyholder/__main__.py", "contrib/django/management")
# An option of a foreign program.
FOREIGN = ("p11tool --list-privkeys",)


def texts(path: Path) -> Iterator[str]:
    """The strings of a file that are no docstrings."""
    tree = ast.parse(path.read_text())
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
            yield node.value


LIBRARY = [
    (path.relative_to(SOURCE), text)
    for path in sorted(SOURCE.rglob("*.py"))
    if not str(path.relative_to(SOURCE)).startswith(PROGRAMS)
    for text in texts(path)
]


def test_the_library_names_no_option_of_the_command_line() -> None:
    named = [(path, text) for path, text in LIBRARY if re.search(r"(?<![\w-])--[a-z]", text)]
    assert [one for one in named if not any(foreign in one[1] for foreign in FOREIGN)] == []


@pytest.mark.parametrize(("said", "option"), PHRASES)
def test_each_phrase_is_one_of_the_librarys(said: str, option: str) -> None:
    # What an f-string fills in parts a text: each half is one of its own then.
    assert any(half in text for _, text in LIBRARY for half in (said, said.removeprefix("hidden: ")))
    assert in_options(f"so {said} it") == f"so {option} it"
