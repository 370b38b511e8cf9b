"""docs/scale.md shows what its command computes from the figures that were measured, and the command can measure."""

from __future__ import annotations

import json

from bench import scale
from tests.peers.base import require_module, require_peer


def test_the_page_shows_the_tables_of_the_committed_figures() -> None:
    page = scale.PAGE.read_text()
    results = json.loads(scale.RESULTS.read_text())
    assert page == scale.with_tables(page, results), "write it anew: python -m bench.scale --write"


def test_what_is_computed() -> None:
    figures = dict.fromkeys(scale.FIGURES, 100.0) | {"session_bytes": 1024.0, "hello_bytes": 128.0}
    text = scale.tables({"about": {"cpu": "fast"}, "figures": figures})
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    rows = {first: rest for first, *rest in cells}
    assert rows["connections a second"] == ["1.7", "17", "167", "1,667"]
    assert rows["... full handshakes"][-1] == "0.17"
    assert rows["... all back within 60 s, full handshakes"][-1] == "1.7"
    assert rows["Redis holds with `stored_tickets`"] == ["0.977 MiB", "9.77 MiB", "97.7 MiB", "977 MiB"]
    assert rows["... and with early data in each connection, besides"][-1] == "9.16 MiB"
    assert rows["part of Redis's one core, sessions"] == ["< 0.1 %", "0.3 %", "3.3 %", "33.3 %"]


def test_it_measures_each_figure() -> None:
    require_module("redis")
    require_peer("redis-server")
    figures = scale.measure(rounds=2, sessions=200)
    assert figures.keys() == scale.FIGURES.keys()
    assert all(value >= 0 for value in figures.values())
    assert figures["session_bytes"] > figures["state"] > 400
