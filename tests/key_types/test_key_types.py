"""docs/certificates.md says who takes which kind of key, and what it says is what each program does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests import browsers

from .page import NO, PAGE, PROGRAMS, TITLES, YES, of_page, rows_of, tables, with_tables
from .programs import MEASURES
from .sets import KINDS, make_sets

if TYPE_CHECKING:
    from pathlib import Path

    from .programs import Sets

# The others start slowly.
QUICK = ("handfast", "openssl", "pyopenssl", "python", "go", "node")
CLIENTS_ONLY = {"curl", "chromium", "firefox"}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Sets:
    """A set of each kind."""
    return make_sets(tmp_path_factory.mktemp("sets"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_cell_is_blank(program: str) -> None:
    rows = of_page(PAGE.read_text())[program]
    assert set(rows) == set(TITLES) - ({"takes a client's"} if program in CLIENTS_ONLY else set())
    for cells in rows.values():
        assert tuple(cells) == KINDS
        assert set(cells.values()) <= {YES, NO, "TLS 1.3", "TLS 1.2"}
        assert cells["ecdsa-p256"] == cells["rsa-2048"] == YES


@pytest.mark.parametrize(
    "program",
    [
        program
        if program in QUICK
        else pytest.param(
            program,
            marks=pytest.mark.skipif(
                "HANDFAST_TOOLS" not in os.environ, reason="slow: `make certificate-tools` runs it"
            ),
        )
        for program in PROGRAMS
    ],
)
def test_the_tables_are_what_it_does(program: str, sets: Sets, tmp_path: Path) -> None:
    version = PROGRAMS[program][1]()
    if "HANDFAST_TOOLS" not in os.environ and version not in " ".join(PAGE.read_text().split()):
        pytest.skip(f"{version} was not measured: `python -m tests.key_types.page`")
    told = of_page(PAGE.read_text())[program]
    found = rows_of(program, sets, tmp_path / program)
    # A browser on a busy machine gives a picture up: what comes is proof, and what does not come is none.
    for again in range(2):
        if program in browsers.NAMES and found != told:
            found = rows_of(program, sets, tmp_path / f"{program}{again}")
    assert found == told


def test_what_is_written_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all rows but one the cells are yes, so that nothing is measured."""
    rows = {program: {part: dict.fromkeys(KINDS, YES) for part in MEASURES} for program in PROGRAMS}
    rows["go"]["takes a client's"]["ed448"] = NO
    for program, (title, _version) in PROGRAMS.items():
        monkeypatch.setitem(PROGRAMS, program, (title, lambda: "1.0"))
    assert of_page(with_tables(PAGE.read_text(), tables(rows))) == rows
