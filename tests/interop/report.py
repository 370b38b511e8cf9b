"""docs/interop.md, written from test results: ``python -m tests.interop.report`` runs the tests and writes the page.

Every cell of the table comes from the tests of its row with its peer: "yes" if all passed, the number of a reason if
they could not be made. It is not written when a test fails, when a cell has no test, or when a peer is missing.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.interop.columns import CLIENT_COLUMNS, COLUMNS, SERVER_COLUMNS
from tests.interop.conftest import CELL
from tests.interop.features import FEATURES, GROUPS, SCHEMES, SUITES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PAGE = Path(__file__).parents[2] / "docs" / "interop.md"
YES = "yes"

_INTRODUCTION = """\
# Who handfast talks to

Each cell is one or more tests in `tests/interop`: handfast on one side, a foreign TLS stack on the other, and what both
sides say compared with what they must say. *Client* and *server* are the foreign peer's role. A number instead of "yes"
is the reason why there is nothing to test; the reasons stand below.

In the row of a signature scheme both sides show a certificate and sign with that scheme. "Refused" means that the side
that must refuse does, with the right code or words, and that the other side hears the right alert.
How each peer refuses stands in `tests/interop/ways.py`.

This page is written by `python -m tests.interop.report` from the results of its run.

"""


class Collector:
    """A pytest plugin that keeps what came of each cell's tests, and the reasons of those that were skipped."""

    def __init__(self) -> None:
        self.outcomes: dict[tuple[str, str], set[str]] = defaultdict(set)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        for name, cell in report.user_properties:
            if name == CELL and isinstance(cell, tuple | list):
                self.outcomes[(str(cell[0]), str(cell[1]))].add(_came_of(report))


def _came_of(report: pytest.TestReport) -> str:
    if report.skipped and isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return YES if report.passed else f"failed: {report.nodeid}"


def cells(outcomes: Mapping[tuple[str, str], Iterable[str]]) -> dict[tuple[str, str], str]:
    """What stands in each cell: "yes", or the reason why not. Raises ValueError for a cell that has neither."""
    made = {}
    for column in COLUMNS:
        for feature in FEATURES:
            found = set(outcomes.get((column.name, feature), ())) - {YES}
            if found or (column.name, feature) not in outcomes:
                reason = ", ".join(sorted(found))
                if not reason or reason.startswith("failed") or "not installed" in reason:
                    raise ValueError(f"{column.name}: {feature}: {reason or 'there is no test'}")
                made[(column.name, feature)] = reason
            else:
                made[(column.name, feature)] = YES
    return made


def page(table: Mapping[tuple[str, str], str]) -> str:
    """The whole page."""
    reasons = list(dict.fromkeys(text for feature in FEATURES for text in _row(table, feature) if text != YES))
    lines = [*_peers()]
    for title, columns in (
        ("Their clients, our server", CLIENT_COLUMNS),
        ("Their servers, our client", SERVER_COLUMNS),
    ):
        lines += ["", f"## {title}", "", "| feature | " + " | ".join(column.peer.name for column in columns) + " |"]
        lines.append("|---" * (len(columns) + 1) + "|")
        for feature in FEATURES:
            texts = (table[(column.name, feature)] for column in columns)
            shown = (text if text == YES else f"[{reasons.index(text) + 1}]" for text in texts)
            lines.append(f"| {_title(feature)} | {' | '.join(shown)} |")
    notes = [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    return _INTRODUCTION + "\n".join([*lines, "", "## Reasons", "", *notes, ""])


def _row(table: Mapping[tuple[str, str], str], feature: str) -> list[str]:
    return [table[(column.name, feature)] for column in COLUMNS]


def _peers() -> Iterator[str]:
    yield "| peer | program or class | version |"
    yield "|---|---|---|"
    for column in COLUMNS:
        yield f"| {column.name} | `{column.program}` | {column.version()} |"


def _title(feature: str) -> str:
    return f"`{feature}`" if feature in (*SUITES, *GROUPS, *SCHEMES) else feature


def main() -> int:
    """Run the tests and write the page; the exit status."""
    collector = Collector()
    status = pytest.main(["-q", str(Path(__file__).parent), "-k", "not test_page"], plugins=[collector])
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
