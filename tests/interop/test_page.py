"""docs/interop.md says something of every peer and every feature."""

from __future__ import annotations

import re

import pytest

from tests.interop.columns import COLUMNS
from tests.interop.features import FEATURES
from tests.interop.report import PAGE, YES, cells, page


@pytest.fixture(scope="module")
def rows() -> dict[str, list[str]]:
    """The rows of all tables, by their first cell; those of the clients and of the servers are put together."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    found: dict[str, list[str]] = {}
    for first, *others in split:
        found.setdefault(first.strip("`"), []).extend(others)
    return found


def test_every_peer_is_there_with_its_version(rows):
    assert rows["feature"] == [column.peer.name for column in COLUMNS]
    for column in COLUMNS:
        program, version = rows[column.name]
        assert program == f"`{column.program}`"
        assert re.search(r"\d+\.\d+", version)


def test_every_feature_is_there_and_no_cell_is_blank_without_a_reason(rows):
    reasons = dict(re.findall(r"^(\d+)\. (.+)$", PAGE.read_text(), re.MULTILINE))
    used = set()
    for feature in FEATURES:
        assert len(rows[feature]) == len(COLUMNS), feature
        for cell in rows[feature]:
            number = re.fullmatch(r"\[(\d+)\]", cell)
            assert cell == YES or (number and number[1] in reasons), (feature, cell)
            used |= {number[1]} if number else set()
    assert used == set(reasons)


def all_passed():
    return {(column.name, feature): {YES} for column in COLUMNS for feature in FEATURES}


def test_a_cell_without_a_test_is_not_written():
    outcomes = all_passed()
    del outcomes[("curl client", "ALPN")]
    with pytest.raises(ValueError, match="curl client: ALPN: there is no test"):
        cells(outcomes)


@pytest.mark.parametrize("outcome", ["failed: tests/some.py::test", "openssl is not installed"])
def test_a_failure_and_a_missing_peer_are_not_written(outcome):
    outcomes = all_passed()
    outcomes[("curl client", "ALPN")] = {YES, outcome}
    with pytest.raises(ValueError, match="curl client: ALPN: "):
        cells(outcomes)


def test_a_reason_is_written_once():
    outcomes = all_passed()
    outcomes[("curl client", "ALPN")] = outcomes[("curl client", "x448")] = {"it rains"}
    text = page(cells(outcomes))
    assert text.count("it rains") == 1
    assert text.count("[1]") == 2
