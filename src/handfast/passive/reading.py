"""``handfast.decode``: what a capture tells, as one stream of events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from os import PathLike, fspath
from pathlib import Path

from handfast.events import ConnectionSeen, Event, Observer, SecretSink
from handfast.passive import Capture, Flow, Reading
from handfast.passive.keylog_reader import KeyLogSecrets

Source = str | PathLike[str] | Capture


def decode(
    capture: Source,
    keylog: str | PathLike[str] | bytes | None = None,
    *,
    psks: Mapping[bytes, bytes] | None = None,
) -> Iterator[Event]:
    """The events of every TLS connection in a capture: the same that a live connection tells (docs/events.md).

    A ``ConnectionSeen`` comes first for each connection, then all of its events, connection after connection in the
    order in which they end. ``capture`` is a path, the bytes of a pcap or pcapng file, or an open binary file;
    ``keylog`` is a path of an NSS key log, or its bytes. Secrets inside the capture count too. ``psks`` are pre-shared
    keys by identity, which may be a ticket: with them PSK binders are checked.

    Raises ConfigError not_a_capture; and, after the events that could be read, damaged_capture or link_type_not_read;
    OSError for a file that cannot be read.
    """
    secrets = KeyLogSecrets(_key_log(keylog))
    for identity, psk in (psks or {}).items():
        secrets.add_psk(identity, psk)
    told: dict[Flow, list[Event]] = {}
    over: list[Flow] = []

    def watch(flow: Flow) -> tuple[list[Observer], list[SecretSink]]:
        events: list[Event] = []
        told[flow] = events
        return [events.append], []

    with ExitStack() as stack:
        if isinstance(capture, (str, PathLike)):
            capture = stack.enter_context(open(fspath(capture), "rb"))
        reading = Reading(capture, watch, secrets, over=over.append)
        for _ in reading:
            while over:
                yield from _events(over[0], told.pop(over.pop(0)))
    if reading.damage is not None:
        raise reading.damage


def _events(flow: Flow, events: list[Event]) -> Iterator[Event]:
    start = events[0].time if events else 0.0
    yield ConnectionSeen(
        time=start, number=flow.number, client=str(flow.client), server=str(flow.server), prologue=flow.prologue
    )
    yield from events


def _key_log(keylog: str | PathLike[str] | bytes | None) -> bytes:
    if keylog is None:
        return b""
    return keylog if isinstance(keylog, bytes) else Path(keylog).read_bytes()
