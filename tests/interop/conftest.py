"""Each test here is a cell of docs/interop.md: its marker ``feature`` names the row, its peer the column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.interop.columns import CLIENT_COLUMNS, COLUMNS, SERVER_COLUMNS, Column
from tests.interop.features import FEATURES
from tests.interop.meeting import Meeting

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.conftest import Files

CELL = "interop"


def _ids(columns: tuple[Column, ...]) -> list[str]:
    return [column.name.replace(" ", "-") for column in columns]


@pytest.fixture(params=COLUMNS, ids=_ids(COLUMNS))
def column(request: pytest.FixtureRequest) -> Column:
    """A foreign peer in either role."""
    found: Column = request.param
    return found


@pytest.fixture
def meet(column: Column, files: Files) -> Meeting:
    return Meeting(column, files)


@pytest.fixture(params=CLIENT_COLUMNS, ids=_ids(CLIENT_COLUMNS))
def meet_client(request: pytest.FixtureRequest, files: Files) -> Meeting:
    """A foreign client, and our server."""
    return Meeting(request.param, files)


@pytest.fixture(params=SERVER_COLUMNS, ids=_ids(SERVER_COLUMNS))
def meet_server(request: pytest.FixtureRequest, files: Files) -> Meeting:
    """A foreign server, and our client."""
    return Meeting(request.param, files)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "feature(row): the row of docs/interop.md, with the test's parameters filled in")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Says in each test's report which cell it is."""
    report = yield
    marker = item.get_closest_marker("feature")
    if marker is not None and isinstance(item, pytest.Function):
        parameters = item.callspec.params
        (found,) = (value for value in parameters.values() if isinstance(value, Column))
        feature = marker.args[0].format(**parameters)
        assert feature in FEATURES, f"{feature!r} is no row of the table"
        report.user_properties.append((CELL, (found.name, feature)))
    return report
