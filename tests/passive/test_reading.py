"""``handfast.decode``: one stream of events, connection after connection."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import handfast
from handfast.errors import ConfigError
from handfast.events import ConnectionSeen, Event, RecordSeen
from handfast.passive import decode
from tests.passive.recorded import without_secrets
from tests.passive.test_decoder import mutual
from tests.passive.test_same_stream import plainly


def told() -> list[dict[str, object]]:
    (connection,) = decode(mutual().client_side.capture).connections
    return [plainly(event) for event in connection.events]


@pytest.mark.parametrize("form", ["bytes", "path", "text", "file"])
def test_the_events_of_a_capture(form: str, tmp_path: Path) -> None:
    content = mutual().client_side.capture
    path = tmp_path / "capture.pcapng"
    path.write_bytes(content)
    source = {"bytes": content, "path": path, "text": str(path), "file": io.BytesIO(content)}[form]
    first, *rest = handfast.decode(source)  # type: ignore[arg-type]
    assert isinstance(first, ConnectionSeen)
    assert (first.number, first.client, first.server, first.prologue) == (1, "127.0.0.1:51515", "127.0.0.1:1337", "")
    assert [plainly(event) for event in rest] == told()


@pytest.mark.parametrize("form", ["bytes", "path"])
def test_a_key_log_beside_it(form: str, tmp_path: Path) -> None:
    keys = mutual().client_side.keys
    (tmp_path / "keys.log").write_bytes(keys)
    bare = without_secrets(mutual().client_side.capture)
    with_keys = list(handfast.decode(bare, keylog=keys if form == "bytes" else tmp_path / "keys.log"))
    assert [plainly(event) for event in with_keys[1:]] == told()
    assert len(list(handfast.decode(bare))) < len(with_keys)


def test_connections_come_one_after_the_other() -> None:
    both = mutual().client_side.capture * 2
    numbers = [event.number for event in handfast.decode(both) if isinstance(event, ConnectionSeen)]
    assert numbers == [1, 2]


def test_what_could_be_read_comes_before_the_error() -> None:
    content = mutual().client_side.capture
    seen: list[Event] = []
    with pytest.raises(ConfigError) as caught:
        seen.extend(handfast.decode(content[: len(content) * 2 // 3]))
    assert caught.value.code == "damaged_capture"
    assert [event for event in seen if isinstance(event, RecordSeen)]


def test_what_is_no_capture_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        list(handfast.decode(b"dear reader"))
    assert caught.value.code == "not_a_capture"
