"""Each test here is a cell of docs/interop.md: its marker ``feature`` names the row, its peer the column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.interop.columns import (
    BRIEF_CLIENT_COLUMNS,
    BRIEF_COLUMNS,
    BRIEF_SERVER_COLUMNS,
    CLIENT_COLUMNS,
    COLUMNS,
    SERVER_COLUMNS,
    Column,
    in_both_versions,
)
from tests.interop.features import BRIEF, FEATURES
from tests.interop.meeting import Meeting

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.conftest import Files

CELL = "interop"


def _id(column: Column) -> str:
    return f"{column.name} {column.tls}".replace(" ", "-").removesuffix("-1.3")


@pytest.fixture(params=in_both_versions((*COLUMNS, *BRIEF_COLUMNS)), ids=_id)
def column(request: pytest.FixtureRequest) -> Column:
    """A foreign peer in either role."""
    found: Column = request.param
    return found


@pytest.fixture
def meet(column: Column, files: Files) -> Meeting:
    return Meeting(column, files)


@pytest.fixture(params=in_both_versions((*CLIENT_COLUMNS, *BRIEF_CLIENT_COLUMNS)), ids=_id)
def meet_client(request: pytest.FixtureRequest, files: Files) -> Meeting:
    """A foreign client, and our server."""
    return Meeting(request.param, files)


@pytest.fixture(params=in_both_versions((*SERVER_COLUMNS, *BRIEF_SERVER_COLUMNS)), ids=_id)
def meet_server(request: pytest.FixtureRequest, files: Files) -> Meeting:
    """A foreign server, and our client."""
    return Meeting(request.param, files)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "feature(row): the row of docs/interop.md, with the test's parameters filled in")


def _cell(item: pytest.Item) -> tuple[Column, str] | None:
    """The column and the row that a test is about."""
    marker = item.get_closest_marker("feature")
    if marker is None or not isinstance(item, pytest.Function):
        return None
    parameters = item.callspec.params
    (found,) = (value for value in parameters.values() if isinstance(value, Column))
    return found, marker.args[0].format(**parameters)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out what the version of a column does not know, and all but some rows of peers that are met in brief."""
    brief = {column.name for column in BRIEF_COLUMNS}
    every_row = {row for rows in FEATURES.values() for row in rows}
    for item in items:
        cell = _cell(item)
        assert cell is None or cell[1] in every_row, f"{cell[1]!r} is no row of the tables"
    items[:] = [
        item
        for item in items
        if (cell := _cell(item)) is None or cell[1] in (BRIEF if cell[0].name in brief else FEATURES[cell[0].tls])
    ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Says in each test's report which cell it is."""
    report = yield
    if (cell := _cell(item)) is not None:
        column, feature = cell
        report.user_properties.append((CELL, (column.tls, column.name, feature)))
    return report
