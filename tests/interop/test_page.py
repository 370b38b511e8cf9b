"""docs/interop.md says something of every peer and every feature."""

from __future__ import annotations

import re

import pytest

from tests.interop.columns import BRIEF_COLUMNS, COLUMNS
from tests.interop.report import PAGE, TABLES, YES, all_cells, cells, heading, page


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, list[str]]]:
    """The rows of each table, by its heading, by their first cell."""
    tables: dict[str, dict[str, list[str]]] = {}
    title = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            title = line.removeprefix("## ")
        elif line.startswith("| "):
            first, *others = (cell.strip() for cell in line.strip("|").split("|"))
            tables.setdefault(title, {})[first.strip("`")] = others
    return tables


def test_every_peer_is_there_with_its_version(rows):
    for column in (*COLUMNS, *BRIEF_COLUMNS):
        program, version = rows[""][column.name]
        assert program == f"`{column.program}`"
        assert re.search(r"\d+\.\d+", version)


def test_every_feature_is_there_and_no_cell_is_blank_without_a_reason(rows):
    reasons = dict(re.findall(r"^(\d+)\. (.+)$", PAGE.read_text(), re.MULTILINE))
    used = set()
    for tls, role, columns, features in TABLES:
        table = rows[heading(tls, role)]
        assert list(table) == ["feature", *features]
        assert table.pop("feature") == [column.peer.name for column in columns]
        for feature, cells_of_row in table.items():
            assert len(cells_of_row) == len(columns), feature
            for cell in cells_of_row:
                number = re.fullmatch(r"\[(\d+)\]", cell)
                assert cell == YES or (number and number[1] in reasons), (feature, cell)
                used |= {number[1]} if number else set()
    assert used == set(reasons)


def all_passed():
    return {cell: {YES} for cell in all_cells()}


def test_a_cell_without_a_test_is_not_written():
    outcomes = all_passed()
    del outcomes[("1.2", "curl client", "ALPN")]
    with pytest.raises(ValueError, match=r"curl client, 1\.2: ALPN: there is no test"):
        cells(outcomes)


@pytest.mark.parametrize("outcome", ["failed: tests/some.py::test", "openssl is not installed"])
def test_a_failure_and_a_missing_peer_are_not_written(outcome):
    outcomes = all_passed()
    outcomes[("1.3", "curl client", "ALPN")] = {YES, outcome}
    with pytest.raises(ValueError, match=r"curl client, 1\.3: ALPN: "):
        cells(outcomes)


def test_a_reason_is_written_once():
    outcomes = all_passed()
    outcomes[("1.3", "curl client", "ALPN")] = outcomes[("1.2", "curl client", "x448")] = {"it rains"}
    text = page(cells(outcomes))
    assert text.count("it rains") == 1
    assert text.count("[1]") == 2
