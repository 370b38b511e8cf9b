"""Captures by other people, each beside what tshark says of it: records, messages, alerts and plaintext are compared.

They are not part of this project: without them these tests are skipped. ``$HANDFAST_CAPTURES`` says where they are;
else they are looked for beside the checkout. Where the two differ, ``DIFFERENCES`` says who is right.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from handfast.events import (
    AlertSeen,
    Checked,
    MessageSeen,
    Noted,
    RecordSeen,
)
from handfast.passive import Decoded, RecordedConnection, decode
from handfast.registry import HandshakeType
from handfast.roles import Direction
from tests.passive.recorded import C2S, S2C

HERE = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("HANDFAST_CAPTURES") or HERE.parent / "shared" / "captures")
ORACLES = sorted(FOLDER.glob("*.oracle.json"))
DIRECTIONS = {"c": C2S, "s": S2C}

# By capture and stream (None for all): what is not compared, and why.
OLD = ("handshake c", "handshake s", "plaintext c")
DIFFERENCES: dict[tuple[str, int | None], tuple[str, ...]] = {
    # The SSLv2-framed hello is a record for tshark too, but of no type, and its message is none for it.
    ("arkime-sslv2-hello", None): ("handshake c", "records c"),
    # Two bytes are cut off: tshark resumes at the next segment and loses the three records behind them.
    ("ipfixprobe-28-streams-cut", 12): ("handshake s", "records s"),
    # Segments are missing: it does not resume at all.
    ("ipfixprobe-28-streams-cut", 17): ("handshake s", "records s"),
    ("ipfixprobe-28-streams-cut", 22): ("handshake s", "records s"),
    # A packet with the start of a certificate, which is not all there: named here, left out by tshark.
    ("mercury-corner-cases", 9): ("handshake c",),
    # SSL 3.0 is decrypted by tshark, and here read as far as its plaintext goes.
    ("snet-ssl3", None): (*OLD, "alerts c"),
    # A Certificate of 340 kB over many records: named here with its size, fragments without a name for tshark.
    ("zeek-fragmented-handshake", None): ("handshake s",),
}


def decoded(oracle: Path) -> tuple[dict[str, Any], Decoded]:
    said = json.loads(oracle.read_text())
    name = oracle.name.removesuffix(".oracle.json")
    capture = next(path for path in FOLDER.glob(f"{name}.pcap*"))
    keys = FOLDER / f"{name}.keylog"
    return said, decode(capture.read_bytes(), keys.read_bytes() if keys.exists() else b"")


def ends(connection: RecordedConnection) -> set[str]:
    from ipaddress import ip_address

    return {f"{ip_address(end.address)} {end.port}" for end in (connection.flow.client, connection.flow.server)}


def records(connection: RecordedConnection, direction: Direction) -> list[tuple[int, int]]:
    return [
        (event.header[0], len(event.body))
        for event in connection.events
        if isinstance(event, RecordSeen) and event.direction is direction and len(event.header) == 5
    ]


def handshake_types(connection: RecordedConnection, direction: Direction) -> list[int]:
    found: list[int] = []
    for event in connection.events:
        if getattr(event, "direction", None) is not direction:
            continue
        if isinstance(event, MessageSeen):
            found.append(event.raw[0])
        elif isinstance(event, Noted) and event.code in ("undecoded", "message_not_kept"):
            found += [int(one) for one in HandshakeType if one.name == event.text.split(" ")[0]]
    return found


def plaintext(connection: RecordedConnection, direction: Direction) -> bytes:
    return b"".join(
        event.content
        for event in connection.events
        if isinstance(event, RecordSeen) and event.direction is direction and event.content_type == 23
    )


def compared(stream: dict[str, Any], connection: RecordedConnection) -> dict[str, tuple[Any, Any]]:
    """What differs: tshark's, ours."""
    found: dict[str, tuple[Any, Any]] = {}
    for short, direction in DIRECTIONS.items():
        theirs = [one for one in stream["records"] if one["d"] == short]
        pairs = {
            "records": ([(one["outer"], one["len"]) for one in theirs], records(connection, direction)),
            "alerts": (
                # tshark calls one that it cannot decrypt "encrypted".
                [tuple(one["alert"]) for one in theirs if isinstance(one.get("alert"), list)],
                [(event.level, event.description) for event in connection.events
                 if isinstance(event, AlertSeen) and event.direction is direction],
            ),
            "plaintext": (
                stream["plaintext"][short]["sha256"] if stream.get("plaintext") else None,
                sha256(plaintext(connection, direction)).hexdigest(),
            ),
            "handshake": (
                # None is what it calls an encrypted message, or a part of one.
                [message["t"] for one in theirs for message in one.get("hs", ()) if message["t"] is not None],
                handshake_types(connection, direction),
            ),
        }  # fmt: skip
        found |= {f"{what} {short}": pair for what, pair in pairs.items() if pair[0] is not None and pair[0] != pair[1]}
    return found


@pytest.mark.skipif(not ORACLES, reason="the shared captures are not here")
@pytest.mark.parametrize("oracle", ORACLES, ids=lambda path: path.name.removesuffix(".oracle.json"))
def test_a_capture_is_told_as_tshark_tells_it(oracle):
    said, ours = decoded(oracle)
    name = oracle.name.removesuffix(".oracle.json")
    known = DIFFERENCES.get((name, None), ())
    left = list(ours.connections)
    for stream in said["streams"]:
        both = {stream["client"], stream["server"]}
        connection = next(one for one in left if ends(one) == both)
        left.remove(connection)
        expected = (*known, *DIFFERENCES.get((name, stream["stream"]), ()))
        assert sorted(compared(stream, connection)) == sorted(expected), compared(stream, connection)
    assert left == []


@pytest.mark.skipif(not ORACLES, reason="the shared captures are not here")
def test_no_proof_of_a_real_connection_is_wrong():
    for oracle in ORACLES:
        for connection in decoded(oracle)[1].connections:
            assert [event for event in connection.events if isinstance(event, Checked) and not event.ok] == []
