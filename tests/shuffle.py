"""The tests in random order, modules and what is in each: ``pytest -p tests.shuffle --shuffle=SEED``.

A seed makes one order, with or without pytest-xdist, whose workers all need the same. The tests of a module stay
together, and pytest keeps those together that share a fixture, since some take long to set up.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Hashable

SEEDS = 10**6


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle", metavar="SEED", help="run the tests in the order of this seed")


def pytest_report_header(config: pytest.Config) -> str | None:
    return f"order: --shuffle={config.option.shuffle}" if config.option.shuffle else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.option.shuffle:
        return
    chosen = random.Random(config.option.shuffle)
    modules: dict[Hashable, list[pytest.Item]] = {}
    for item in items:
        modules.setdefault(item.path, []).append(item)
    order = list(modules.values())
    chosen.shuffle(order)
    for module in order:
        chosen.shuffle(module)
    items[:] = [item for module in order for item in module]
