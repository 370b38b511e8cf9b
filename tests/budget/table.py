"""The table of what each row may cost. Bytecodes differ between minor versions of Python: each has a column."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TypeAlias

# What a row, named with its side, costs.
Figures: TypeAlias = dict[str, int]

TABLE = Path(__file__).with_name("bytecodes.json")
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
# How much more is let pass: what changes with a patch release of Python or of `cryptography`.
TOLERANCE = 0.03
REWRITE = "make budget"


def load() -> dict[str, Figures]:
    """The figures of each version."""
    table: dict[str, Figures] = json.loads(TABLE.read_text())
    return table


def write(figures: Figures) -> None:
    """Put these in this Python's column."""
    table = (load() if TABLE.exists() else {}) | {PYTHON: figures}
    TABLE.write_text(json.dumps(dict(sorted(table.items())), indent=2) + "\n")


def complaints(allowed: Figures, counted: Figures) -> list[str]:
    """What is wrong: rows that cost more than they may, and rows that only one of both knows."""
    wrong = []
    for row in allowed.keys() | counted.keys():
        if row not in allowed:
            wrong.append(f"{row}: {counted[row]} bytecodes, and the table has no such row")
        elif row not in counted:
            wrong.append(f"{row}: the table has {allowed[row]} bytecodes, and nothing counts them")
        elif counted[row] > allowed[row] * (1 + TOLERANCE):
            more = counted[row] / allowed[row] - 1
            wrong.append(f"{row}: {counted[row]} bytecodes, {more:.1%} more than the {allowed[row]} in the table")
    return sorted(wrong)
