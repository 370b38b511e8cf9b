"""docs/interop.md, written from test results: ``python -m tests.interop.report`` runs the tests and writes the page.

Every cell of the table comes from the tests of its row with its peer: "yes" if all passed, the number of a reason if
they could not be made. It is not written when a test fails, when a cell has no test, or when a peer is missing.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import pytest

from tests.interop.columns import (
    BRIEF_CLIENT_COLUMNS,
    BRIEF_COLUMNS,
    BRIEF_SERVER_COLUMNS,
    CLIENT_COLUMNS,
    COLUMNS,
    SERVER_COLUMNS,
    Column,
)
from tests.interop.conftest import CELL
from tests.interop.features import BRIEF, FEATURES, GROUPS, SCHEMES, SCHEMES_12, SUITES, SUITES_12

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PAGE = Path(__file__).parents[2] / "docs" / "interop.md"
YES = "yes"
ROLES = {"their clients, our server": CLIENT_COLUMNS, "their servers, our client": SERVER_COLUMNS}
BRIEF_ROLES = {
    "in brief: their clients, our server": BRIEF_CLIENT_COLUMNS,
    "in brief: their servers, our client": BRIEF_SERVER_COLUMNS,
}

_INTRODUCTION = """\
# Who handfast talks to

Each cell is one or more tests in `tests/interop`: handfast on one side, a foreign TLS stack on the other, and what both
sides say compared with what they must say. *Client* and *server* are the foreign peer's role. A number instead of "yes"
is the reason why there is nothing to test; the reasons stand below.

In the row of a signature scheme both sides show a certificate and sign with that scheme. "Refused" means that the side
that must refuse does, with the right code or words, and that the other side hears the right alert; how each peer
refuses stands in `tests/interop/ways.py`. In the tables of TLS 1.2 the peer speaks that version alone, and handfast
both, unless the row is about the version or the peer cannot choose: then it is handfast that speaks it alone.

Of the peers in the tables "in brief" only a few features are tested: how both sides know each other. Erlang has no
extended main secret, so in TLS 1.2 handfast is told to do without; no session of such a connection is kept (RFC 7627).
Bun is met where a program `bun` is found, and Chromium and Firefox show our server a client certificate in
`tests/interop/test_browsers.py`, where they are.

This page is written by `python -m tests.interop.report` from the results of its run.

"""


# The version that is spoken, the column and the row.
Cell: TypeAlias = tuple[str, str, str]


class Collector:
    """A pytest plugin that keeps what came of each cell's tests, and the reasons of those that were skipped."""

    def __init__(self) -> None:
        self.outcomes: dict[Cell, set[str]] = defaultdict(set)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        for name, cell in report.user_properties:
            if name == CELL and isinstance(cell, tuple | list):
                self.outcomes[(str(cell[0]), str(cell[1]), str(cell[2]))].add(_came_of(report))


def _came_of(report: pytest.TestReport) -> str:
    if report.skipped and isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return YES if report.passed else f"failed: {report.nodeid}"


def heading(tls: str, role: str) -> str:
    """That of a table."""
    return f"TLS {tls}: {role}"


class Table(NamedTuple):
    """One table: the version that is spoken, the part of its heading after it, its columns and rows."""

    tls: str
    role: str
    columns: tuple[Column, ...]
    features: tuple[str, ...]


TABLES = [
    *[Table(tls, role, columns, rows) for tls, rows in FEATURES.items() for role, columns in ROLES.items()],
    *[Table(tls, role, columns, BRIEF) for tls in FEATURES for role, columns in BRIEF_ROLES.items()],
]


def all_cells() -> list[Cell]:
    """Every cell, table by table and row by row."""
    return [
        (table.tls, column.name, feature) for table in TABLES for feature in table.features for column in table.columns
    ]


def cells(outcomes: Mapping[Cell, Iterable[str]]) -> dict[Cell, str]:
    """What stands in each cell: "yes", or the reason why not. Raises ValueError for a cell that has neither."""
    made = {}
    for cell in all_cells():
        found = set(outcomes.get(cell, ())) - {YES}
        if found or cell not in outcomes:
            reason = ", ".join(sorted(found))
            if not reason or reason.startswith("failed") or "not installed" in reason:
                tls, name, feature = cell
                raise ValueError(f"{name}, {tls}: {feature}: {reason or 'there is no test'}")
            made[cell] = reason
        else:
            made[cell] = YES
    return made


def page(made: Mapping[Cell, str]) -> str:
    """The whole page."""
    reasons = list(dict.fromkeys(made[cell] for cell in all_cells() if made[cell] != YES))
    lines = [*_peers()]
    for tls, role, columns, features in TABLES:
        lines += ["", f"## {heading(tls, role)}", ""]
        lines.append("| feature | " + " | ".join(column.peer.name for column in columns) + " |")
        lines.append("|---" * (len(columns) + 1) + "|")
        for feature in features:
            row = (made[(tls, column.name, feature)] for column in columns)
            shown = (text if text == YES else f"[{reasons.index(text) + 1}]" for text in row)
            lines.append(f"| {_title(feature)} | {' | '.join(shown)} |")
    notes = [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    return _INTRODUCTION + "\n".join([*lines, "", "## Reasons", "", *notes, ""])


def _peers() -> Iterator[str]:
    yield "| peer | program or class | version |"
    yield "|---|---|---|"
    for column in (*COLUMNS, *BRIEF_COLUMNS):
        yield f"| {column.name} | `{column.program}` | {column.version()} |"


def _title(feature: str) -> str:
    return f"`{feature}`" if feature in (*SUITES, *SUITES_12, *GROUPS, *SCHEMES, *SCHEMES_12) else feature


def main() -> int:
    """Run the tests and write the page; the exit status."""
    collector = Collector()
    status = pytest.main(
        ["-q", "--numprocesses=2", str(Path(__file__).parent), "-k", "not test_page"], plugins=[collector]
    )
    if status != pytest.ExitCode.OK:
        return int(status)
    try:
        PAGE.write_text(page(cells(collector.outcomes)))
    except ValueError as error:
        print(f"nothing was written: {error}", file=sys.stderr)
        return 1
    print(f"{PAGE} is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
