"""No handshake and no record takes more bytecodes than the table says. The command in the message writes it anew."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.budget import table
from tests.budget.counting import Bytecodes
from tests.budget.rows import NEW_HELLO
from tests.budget.table import Figures
from tests.syntax import ROOT
from tests.waiting import LIMIT

# What a server's first receive took for a hello that never came before when no hello was remembered: what is
# remembered for peers that say the same each time may not be paid for by those that never do.
WITHOUT_MEMORY = {"3.11": 8940, "3.12": 7990, "3.13": 7659}


@pytest.fixture(scope="module")
def counted() -> Figures:
    """Of a process of its own: in this one other tests have filled the memories, and a tracer may run."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.budget", "--json"], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0, done.stderr
    figures: Figures = json.loads(done.stdout)
    return figures


def test_no_row_takes_more_bytecodes_than_the_table_allows(counted):
    allowed = table.load().get(table.PYTHON)
    if allowed is None:
        pytest.skip(f"the table has no column for Python {table.PYTHON}; `{table.REWRITE}` writes one")
    wrong = table.complaints(allowed, counted)
    hint = f"`{sys.executable} -m tests.budget --functions ROW` says where; `{table.REWRITE}` writes the table anew"
    assert not wrong, "\n".join([*wrong, hint])


def test_a_hello_that_never_came_before_costs_no_more_than_without_memory(counted):
    before = WITHOUT_MEMORY.get(table.PYTHON)
    if before is None:
        pytest.skip(f"nobody counted that on Python {table.PYTHON}")
    assert counted[f"{NEW_HELLO}, server"] <= before


def test_three_in_a_hundred_more_are_let_pass_and_no_more():
    assert table.complaints({"full, client": 1000}, {"full, client": 1030}) == []
    [wrong] = table.complaints({"full, client": 1000}, {"full, client": 1031})
    assert wrong == "full, client: 1031 bytecodes, 3.1% more than the 1000 in the table"


def test_a_row_that_only_one_side_knows_is_a_complaint():
    assert table.complaints({}, {"full, client": 7}) == ["full, client: 7 bytecodes, and the table has no such row"]
    [wrong] = table.complaints({"full, client": 7}, {})
    assert wrong == "full, client: the table has 7 bytecodes, and nothing counts them"


def test_counting_sees_each_bytecode_of_what_is_called_and_nothing_else():
    def twice(number: int) -> int:
        return number + number

    def nested() -> int:
        return twice(1)

    once, again, both = Bytecodes(), Bytecodes(), Bytecodes()
    assert (once.of(twice, 4), again.of(twice, 2**100), both.of(nested)) == (8, 2**101, 2)
    assert once.by_function.keys() == {twice.__code__}
    assert both.by_function.keys() == {twice.__code__, nested.__code__}
    assert once.total == again.total == both.by_function[twice.__code__]


def test_counting_stops_where_what_is_called_raises():
    def fails() -> None:
        raise LookupError

    counted = Bytecodes()
    with pytest.raises(LookupError):
        counted.of(fails)
    so_far = counted.total
    str(table.complaints({}, {}))
    assert counted.total == so_far > 0
