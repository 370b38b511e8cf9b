"""A docstring or comment in src stands alone: it speaks in the field's words, and leans on no neighbour."""

from __future__ import annotations

import ast
import re
import tokenize
from typing import TYPE_CHECKING

import pytest

from tests.syntax import SOURCE, Module, modules

if TYPE_CHECKING:
    from collections.abc import Iterator

NEIGHBOUR = r"(?:\A|[.:;] |\n\n *)The same\b(?=,| (?:as|of|for|in|at|by|under|and|with)\b)"
NO_WORD_OF_THE_FIELD = r"(?i:\b(?:whoever|whosoever|nobody)\b)"
WRONG = re.compile(f"{NEIGHBOUR}|(?i:the same, of)|{NO_WORD_OF_THE_FIELD}")


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text: those of modules, classes and functions, and those below a constant or a field."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in node.body:
                text = statement.value if isinstance(statement, ast.Expr) else None
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield text.lineno, text.value


def comments(module: Module) -> Iterator[tuple[int, str]]:
    """First line and text of every comment; those on lines of their own that follow each other are one."""
    last, first, text = -1, 0, ""
    with (SOURCE / module.path).open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type != tokenize.COMMENT:
                continue
            line, own_line = token.start[0], not token.line[: token.start[1]].strip()
            if own_line and line == last + 1:
                text += " " + token.string.lstrip("#").strip()
            else:
                if text:
                    yield first, text
                first, text = line, token.string.lstrip("#").strip()
            last = line if own_line else -1
    if text:
        yield first, text


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.path)
def test_every_docstring_stands_alone(module: Module) -> None:
    found = [(line, match[0]) for line, text in docstrings(module.tree) for match in WRONG.finditer(text)]
    assert found == [], "say what is returned and raised, in the field's words: CONTRIBUTING.md"


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.path)
def test_every_comment_stands_alone(module: Module) -> None:
    found = [(line, match[0]) for line, text in comments(module) for match in WRONG.finditer(text)]
    assert found == [], "say why, in the field's words: CONTRIBUTING.md"


def test_comments_are_found() -> None:
    module = next(one for one in modules() if one.path == "limits.py")
    found = [text for _, text in comments(module)]
    assert len(found) > 50
    assert any("... and of one part" in text and "RFC 5424" in text for text in found), "two lines are one comment"


@pytest.mark.parametrize(
    "text",
    [
        "The same, of a request.",
        "The same as above.",
        "Raises nothing. The same as in 1.2.",
        "What it holds.\n\n    The same for servers.",
        "What it holds, and the same, of a server.",
        "Whoever asks is told.",
        "None where nobody asks.",
    ],
)
def test_what_leans_is_found(text: str) -> None:
    assert WRONG.search(text)


@pytest.mark.parametrize("text", ["It is the same as the first.", "The same port for both.", "One who asks is told."])
def test_what_stands_is_not(text: str) -> None:
    assert not WRONG.search(text)
