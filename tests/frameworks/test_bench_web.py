"""`make bench-web` measures what its table says, in a run as short as can be."""

from __future__ import annotations

import math
import time

import pytest

from bench import web
from bench.sides import Pki
from bench.web_server import AWS_LC, CONTEXT, DIRECT, MUTUAL, ROLLUP, STOCK

pytestmark = pytest.mark.needs("uvicorn", "httptools")


@pytest.fixture(scope="module")
def pki():
    made = Pki.create()
    yield made
    made.close()


def test_requests_to_every_door(pki, monkeypatch):
    monkeypatch.setattr(web, "installed_loops", lambda: ["asyncio"])
    monkeypatch.setattr(web, "PARSERS_AND_KINDS", [("httptools", MUTUAL)])
    monkeypatch.setattr(web, "REQUESTS", dict.fromkeys(web.REQUESTS, 1))
    monkeypatch.setattr(web, "WARMING", 1)
    rows = list(web.requests(pki, rounds=1, until=time.monotonic()))
    expected = [(f"{kind}, httptools, {MUTUAL}", "asyncio", door) for kind in web.REQUESTS for door in web.doors()]
    assert [(row.scenario, row.side, row.implementation) for row in rows] == expected
    assert all(math.isfinite(row.median) and row.median > 0 for row in rows)
    assert all(row.ratio_to_ssl == 1 for row in rows if row.implementation == STOCK)
    judged = {row.implementation for row in rows if web.verdict(row)}
    assert judged == set(web.doors()) & {CONTEXT, DIRECT, AWS_LC}


@pytest.mark.skipif(not ROLLUP.exists(), reason="only Linux tells what memory a process has for itself")
def test_idle_connections(pki, monkeypatch):
    monkeypatch.setattr(web, "installed_loops", lambda: ["asyncio"])
    monkeypatch.setattr(web, "FIRST", 2)
    monkeypatch.setattr(web, "CONNECTIONS", 3)
    rows = list(web.idle(pki))
    assert [row.implementation for row in rows] == [STOCK, CONTEXT, DIRECT]
    assert all(row.median > 0 and web.verdict(row).startswith("goal") == (row.implementation != STOCK) for row in rows)


@pytest.mark.skipif(not ROLLUP.exists(), reason="only Linux tells what memory a process has for itself")
def test_many_connections_and_what_is_said_of_fewer(pki, monkeypatch, capsys):
    monkeypatch.setattr(web, "FIRST", 1)
    (row,) = web.many(pki, wanted=4, until=math.inf)
    assert (row.scenario, web.verdict(row)) == ("4 idle connections", f"goal {web.MANY}: MISSED")
    assert capsys.readouterr().err == ""
    (row,) = web.many(pki, wanted=4, until=time.monotonic())
    assert row.scenario == "1 idle connections"
    assert "1 connections were made, not 4" in capsys.readouterr().err
