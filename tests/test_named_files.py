"""A file of ours that a page, a docstring or a comment names is one that exists: who reads it goes there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.syntax import ROOT, Module, modules
from tests.test_docstrings import comments, docstrings

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FILES = {
    f"/{path.relative_to(ROOT).as_posix()}"
    for room in ("src", "tests", "examples")
    for path in (ROOT / room).rglob("*.py")
}
NAMED = re.compile(r"(?<![\w./<-])[\w/]*\w\.py\b")
# Of other programs, and those that stand for many.
OTHERS = {"manage.py", "handfast/cli/certs_NAME.py"}
FENCED = re.compile(r"^```.*?^```|<!--.*?-->", re.DOTALL | re.MULTILINE)


def missing(text: str) -> list[str]:
    """The files that a text names and that are not there, whatever part of their path it gives."""
    named = set(NAMED.findall(text)) - OTHERS
    return sorted(name for name in named if not any(file.endswith(f"/{name}") for file in FILES))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    assert missing(FENCED.sub("", page.read_text())) == []


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.path)
def test_files_that_a_module_names_are_there(module: Module) -> None:
    assert missing("\n".join(text for _, text in (*docstrings(module.tree), *comments(module)))) == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_files_that_a_test_names_are_there(path: Path) -> None:
    assert missing("\n".join(text for _, text in docstrings(ast.parse(path.read_bytes())))) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see wire/codec.py", []),
        ("see codec.py, and limits.py.", []),
        ("see `wire/limits.py`", ["wire/limits.py"]),
        ("TLSTransport (aio_transport.py)", ["aio_transport.py"]),
        ("dec.py", ["dec.py"]),
    ],
)
def test_what_is_missing_is_found(text: str, found: list[str]) -> None:
    assert missing(text) == found
