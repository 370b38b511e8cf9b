"""The source as syntax trees, for tests of rules that no linter knows."""

from __future__ import annotations

import ast
import functools
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "handfast"


class Module(NamedTuple):
    """One module of the package: its path inside of it, like ``wire/codec.py``, and its tree."""

    path: str
    tree: ast.Module

    @property
    def package(self) -> str:
        """The name of the package that the module is in, for relative imports."""
        return ".".join(("handfast", *Path(self.path).parent.parts))


@functools.cache
def modules(folder: str = "") -> tuple[Module, ...]:
    """All modules of a folder of the package, those of its folders included."""
    paths = sorted((SOURCE / folder).rglob("*.py"))
    return tuple(Module(path.relative_to(SOURCE).as_posix(), ast.parse(path.read_bytes(), str(path))) for path in paths)


def imported(module: Module) -> list[tuple[int, str]]:
    """Every import, wherever it stands: line and absolute dotted name; ``from a import b`` gives ``a.b``."""
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = module.package.split(".")
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            found += [(node.lineno, f"{base}.{alias.name}") for alias in node.names]
    return found
