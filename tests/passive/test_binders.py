"""PSK binders of recordings: right, wrong, and not checked because no key log holds the PSK."""

from __future__ import annotations

import socket
import struct
import subprocess
from functools import cache

import pytest

import handfast
from handfast.cli.verdict_words import DESCRIBER
from handfast.events import Checked, ConnectionSeen, Event, MessageSeen, Noted, RecordSeen
from handfast.lens.recorded import RecordedOutcome
from handfast.limits import BINDERS_CHECKED, RECORD_HEADER
from handfast.passive.keylog_reader import KeyLogSecrets
from handfast.registry import NamedGroup
from handfast.wire.extensions import OfferedPsks
from handfast.wire.messages import ClientHello
from tests import certificates
from tests.passive.recorded import Pair, Side, without_secrets
from tests.passive.test_decoder import A, B, Told, of, record
from tests.passive.test_same_stream import resumed
from tests.waiting import LIMIT


@cache
def pair(kind: str) -> Pair:
    return {
        "resumed": resumed,
        "early data": lambda: resumed(b"in a hurry"),
        "retried": lambda: resumed(groups=(NamedGroup.secp384r1,)),
    }[kind]()


def psks(side: Side) -> dict[bytes, bytes]:
    hellos = [event.message for event in side.events if isinstance(event, MessageSeen)]
    offered = next(one for one in hellos if isinstance(one, ClientHello)).find(OfferedPsks)
    assert offered is not None
    return {offered.identities[0].identity: next(one.value for one in side.secrets if one.name == "psk")}


def binders(events: list[Event]) -> list[Checked]:
    return [event for event in events if isinstance(event, Checked) and event.what == "PSK binder"]


def line(events: list[Event]) -> str:
    outcome = RecordedOutcome()
    for event in events:
        if not isinstance(event, ConnectionSeen):
            outcome(event)
    return outcome.line(DESCRIBER)


def codes(events: list[Event]) -> list[str]:
    return [event.code for event in events if isinstance(event, Noted)]


@pytest.mark.parametrize("kind", ["resumed", "early data", "retried"])
def test_the_binder_of_a_ticket_is_checked_with_its_psk(kind):
    side = pair(kind).server_side
    events = list(handfast.decode(side.capture, psks=psks(side)))
    ours, live = binders(events), binders(side.events)
    assert [(one.content, one.expected, one.ok) for one in ours] == [
        (one.content, one.received, True) for one in binders(pair(kind).client_side.events)
    ]
    assert (ours[-1].content, ours[-1].received) == (live[-1].content, live[-1].received)
    assert codes(events) == []
    assert "client PSK binder ✓" in line(events)


def test_a_wrong_psk():
    side = pair("resumed").server_side
    wrong = {identity: bytes(len(psk)) for identity, psk in psks(side).items()}
    events = list(handfast.decode(side.capture, psks=wrong))
    assert [one.ok for one in binders(events)] == [False]
    assert line(events).startswith("the client's PSK binder is WRONG")


def test_without_the_psk_it_is_said_that_the_binder_is_not_checked():
    side = pair("resumed").server_side
    events = list(handfast.decode(side.capture))
    assert binders(events) == []
    (note,) = [event for event in events if isinstance(event, Noted)]
    (ticket,) = psks(side)
    assert note.code == "binder_not_checked"
    assert note.text.startswith(f"the PSK binder of a ticket of {len(ticket)} bytes is not checked")
    assert line(events).endswith("; the PSK binder is not checked, as the PSK is not known")


def test_the_psk_opens_early_data_too():
    side = pair("early data").server_side
    bare = without_secrets(side.capture)

    def early(known: dict[bytes, bytes]) -> bytes:
        events = handfast.decode(bare, psks=known)
        return b"".join(one.content for one in events if isinstance(one, RecordSeen) and one.content_type == 23)

    assert (early({}), early(psks(side))) == (b"", b"in a hurry")


def openssl_hello(psk: bytes) -> bytes:
    """The first record of an OpenSSL client with a PSK from outside TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(LIMIT)
        port = listening.getsockname()[1]
        command = [certificates.require_peer("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3"]
        command += ["-psk_identity", "alice", "-psk", psk.hex()]
        quiet = subprocess.DEVNULL
        with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet) as client:
            end, _ = listening.accept()
            with end, end.makefile("rb") as file:
                end.settimeout(LIMIT)
                header = file.read(RECORD_HEADER)
                hello = header + file.read(int.from_bytes(header[3:], "big"))
            client.wait(LIMIT)
    return hello


def told_with(psk: bytes | None, hello: bytes) -> Told:
    secrets = KeyLogSecrets()
    if psk is not None:
        secrets.add_psk(b"alice", psk)
    told = Told(secrets)
    told.send(A, B, hello)
    return told


def test_the_binder_of_a_psk_from_outside():
    psk = bytes(range(32))
    hello = openssl_hello(psk)
    assert [(one.what, one.ok) for one in of(told_with(psk, hello).only, Checked)] == [("PSK binder", True)]
    assert [(one.what, one.ok) for one in of(told_with(bytes(32), hello).only, Checked)] == [("PSK binder", False)]
    (note,) = of(told_with(None, hello).only, Noted)
    assert note.text.startswith("the PSK binder of identity alice is not checked")


def test_so_many_binders_are_checked():
    identity = b"\0\5alice\0\0\0\0"
    number = BINDERS_CHECKED + 10
    offered = struct.pack("!H", number * len(identity)) + identity * number
    offered += struct.pack("!H", number * 33) + (b"\x20" + bytes(32)) * number
    extension = struct.pack("!HH", 41, len(offered)) + offered
    body = b"\3\3" + bytes(32) + b"\0\0\2\x13\1\1\0" + struct.pack("!H", len(extension)) + extension
    hello = record(22, b"\1" + len(body).to_bytes(3, "big") + body)
    assert len(of(told_with(bytes(32), hello).only, Checked)) == BINDERS_CHECKED
    (note,) = of(told_with(bytes(32), hello).only, Noted)
    assert note.text.startswith("the PSK binder of identity alice and 9 others")
    (note,) = of(told_with(None, hello).only, Noted)
    assert f"and {number - 1} others" in note.text
