"""A docstring in src stands alone: it says what it is about in the field's words, and leans on no neighbour."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from tests.syntax import Module, modules

if TYPE_CHECKING:
    from collections.abc import Iterator

NEIGHBOUR = r"(?:\A|[.:;] |\n\n *)The same\b(?=,| (?:as|of|for|in|at|by|under|and|with)\b)"
NO_WORD_OF_THE_FIELD = r"(?i:\b(?:whoever|whosoever|nobody)\b)"
WRONG = re.compile(f"{NEIGHBOUR}|{NO_WORD_OF_THE_FIELD}")


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text: those of modules, classes and functions, and those below a constant or a field."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in node.body:
                text = statement.value if isinstance(statement, ast.Expr) else None
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield text.lineno, text.value


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.path)
def test_every_docstring_stands_alone(module: Module) -> None:
    found = [(line, match[0]) for line, text in docstrings(module.tree) for match in WRONG.finditer(text)]
    assert found == [], "say what is returned and raised, in the field's words: CONTRIBUTING.md"


@pytest.mark.parametrize(
    "text",
    [
        "The same, of a request.",
        "The same as above.",
        "Raises nothing. The same as in 1.2.",
        "What it holds.\n\n    The same for servers.",
        "Whoever asks is told.",
        "None where nobody asks.",
    ],
)
def test_what_leans_is_found(text: str) -> None:
    assert WRONG.search(text)


@pytest.mark.parametrize("text", ["It is the same as the first.", "The same port for both.", "One who asks is told."])
def test_what_stands_is_not(text: str) -> None:
    assert not WRONG.search(text)
