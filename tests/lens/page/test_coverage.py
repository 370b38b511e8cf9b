"""Every byte of every record belongs to exactly one named field, whatever the connection was."""

from __future__ import annotations

from typing import Any

import pytest

from handfast.events import Epoch, RecordSeen
from handfast.lens.page.rows import Row, Uncovered, covered
from handfast.lens.page.story_data import told
from handfast.passive import decode
from handfast.wire.fields import Kind
from tests.lens.page.stories import scenario, story_of
from tests.passive.recorded import Side
from tests.passive.test_same_stream import SCENARIOS


def leaves(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row.get("k") != "container"]


def assert_tiled(rows: list[dict[str, Any]], size: int) -> None:
    at = 0
    for leaf in leaves(rows):
        assert leaf["s"] == at, leaf
        at = leaf["e"]
        shown = len(leaf.get("x", "")) // 2
        assert shown == leaf["e"] - leaf["s"] or leaf["h"], leaf
    assert at == size


def records(side: Side) -> list[RecordSeen]:
    return [event for event in side.events if isinstance(event, RecordSeen)]


def shown_of(rows: list[dict[str, Any]]) -> str:
    return "".join(leaf.get("x", "") for leaf in leaves(rows))


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_byte_is_in_one_field(name: str) -> None:
    for side in scenario(name).sides:
        for secrets in ("none", "all"):
            data = told(story_of(side, secrets), strict=True)
            items = [item for item in data["items"] if item["k"] == "record"]
            assert len(items) == len(records(side)) > 0
            for item, record in zip(items, records(side), strict=True):
                assert item["size"] == len(record.header) + len(record.body)
                assert_tiled(item["rows"], item["size"])
                assert all(row["n"] for row in item["rows"])
                if record.epoch is not Epoch.PLAINTEXT and not record.unreadable_reason:
                    assert_tiled(item["inner"], item["inner_size"])
                if secrets == "all" and item["size"] < 1000 and record.epoch is Epoch.PLAINTEXT:
                    assert shown_of(item["rows"]) == (record.header + record.body).hex()
                if secrets == "all" and record.epoch is Epoch.HANDSHAKE and not record.unreadable_reason:
                    inner = record.content + bytes((record.content_type,)) + bytes(record.padding)
                    assert shown_of(item["inner"]) == inner.hex()


def test_every_message_stands_in_its_records() -> None:
    data = told(story_of(scenario("small records").client_side), strict=True)
    held = {number for item in data["items"] if item["k"] == "record" for number in item["messages"]}
    assert held == set(range(len(data["messages"])))
    assert any(row.get("c") for item in data["items"] if item["k"] == "record" for row in item.get("inner", ()))


def test_a_recording_is_covered_too() -> None:
    side = scenario("mutual").client_side
    story = story_of(side)
    (connection,) = decode(side.capture).connections
    recorded = story_of(Side(side.role, events=connection.events, secrets=connection.secrets))
    recorded.role = None
    recorded.told_by("mutual TLS 1.3 OK", failed=False)
    one, other = (told(each, strict=True) for each in (story, recorded))
    assert [item["rows"] for item in one["items"] if item["k"] == "record"] == [
        item["rows"] for item in other["items"] if item["k"] == "record"
    ]


def test_rows_that_miss_a_byte_raise_and_give_way_to_one_that_does_not() -> None:
    rows = [Row(name="one", start=0, end=1, data=b"a"), Row(name="two", start=2, end=3, data=b"c")]
    with pytest.raises(Uncovered):
        covered(rows, 3, b"abc", strict=True)
    (row,) = covered(rows, 3, b"abc")
    assert (row.name, row.start, row.end, row.kind, row.data) == ("undecoded", 0, 3, Kind.UNDECODED, b"abc")
    assert [row.data for row in covered([Row(name="ticket", start=0, end=1, hidden="all")], 3, b"abc")] == [None]


def test_a_hybrid_share_is_split_into_its_halves() -> None:
    data = told(story_of(scenario("mutual").client_side))
    hello, server_hello = [item for item in data["items"] if item["k"] == "record"][:2]
    for item, sizes in ((hello, (1184, 32)), (server_hello, (1088, 32))):
        rows = item["rows"]
        at = next(at for at, row in enumerate(rows) if row["n"] == "ML-KEM-768")
        assert (rows[at - 1]["n"], rows[at - 1]["k"]) == ("key_exchange", "container")
        assert [row["e"] - row["s"] for row in rows[at : at + 2]] == [*sizes]
        assert rows[at + 1]["n"] == "x25519"


def test_what_came_compressed_is_shown_inflated() -> None:
    data = told(story_of(scenario("compressed certificates").client_side), strict=True)
    inside = [message["inside"] for message in data["messages"] if "inside" in message]
    assert len(inside) == 2
    assert any("subject: CN=alice,O=handfast" in row.get("l", ()) for rows in inside for row in rows)
