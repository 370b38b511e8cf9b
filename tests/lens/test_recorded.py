"""What the lenses of recordings say: fingerprints against published ones and tshark's, verdicts, events as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from handfast.engine import ClientAuth
from handfast.events import Checked, Closed, MessageSeen, Noted
from handfast.lens import fingerprints
from handfast.lens.json_events import JsonEvents
from handfast.lens.recorded import Judgement, RecordedOutcome
from handfast.lens.summary import facts
from handfast.lens.trace import Trace
from handfast.outcome.describer import Describer
from handfast.passive import decode
from handfast.roles import Role
from handfast.sessions.cache import SessionCache
from handfast.sessions.tickets import SealedTickets
from handfast.wire import extensions as ext
from handfast.wire.extensions import Extensions, OpaqueExtension
from handfast.wire.messages import ClientHello
from tests import certificates
from tests.lens.connections import client_config, server_config
from tests.lens.test_pcapng import tshark
from tests.passive.recorded import C2S, S2C, Pair, talk, without_secrets


def chrome() -> ClientHello:
    """The hello of JA4's own example, with GREASE and in an order of its own."""
    suites: tuple[int, ...] = (
        0x0A0A,
        0x1301,
        0x1302,
        0x1303,
        0xC02B,
        0xC02F,
        0xC02C,
        0xC030,
        0xCCA9,
        0xCCA8,
        0xC013,
        0xC014,
    )
    suites += (0x9C, 0x9D, 0x2F, 0x35)
    others = (0x5, 0xA, 0xB, 0x12, 0x15, 0x17, 0x1B, 0x23, 0x2D, 0x33, 0x4469, 0xFF01)
    block = Extensions.of(
        OpaqueExtension(0x1A1A, b""),
        *(OpaqueExtension(number, b"") for number in reversed(others)),
        ext.SupportedVersionsClientHello((0x2A2A, 0x0304, 0x0303)),
        ext.SignatureSchemeList((0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)),
        ext.ProtocolNameList((b"h2", b"http/1.1")),
        ext.ServerNameList((ext.ServerName(0, b"example.com"),)),
    )
    return ClientHello(0x0303, bytes(32), b"", suites, b"\0", block)


def test_ja4_of_its_own_example():
    assert fingerprints.ja4(chrome()) == "t13d1516h2_8daaf6152771_e5627efa2ab1"


@pytest.mark.parametrize(
    ("protocols", "shown"), [((), "00"), ((b"\xab\xcd",), "ad"), ((b"h",), "hh"), ((b"http/1.1",), "h1")]
)
def test_ja4_of_protocols(protocols, shown):
    block = Extensions.of(*([ext.ProtocolNameList(protocols)] if protocols else []))
    hello = ClientHello(0x0301, bytes(32), b"", (5,), b"\0", block)
    assert fingerprints.ja4(hello).startswith(f"t10i010{len(block)}{shown}_")
    assert fingerprints.ja4(hello).endswith("_000000000000")


def mutual() -> Pair:
    pair = Pair(client_config(certificates.client()), server_config())
    talk(pair)
    return pair


def told(pair: Pair, keys: bytes | None = None) -> RecordedOutcome:
    outcome = RecordedOutcome()
    capture = pair.server_side.capture
    (connection,) = decode(capture if keys is None else without_secrets(capture), keys or b"").connections
    for event in connection.events:
        outcome(event)
    return outcome


def test_ja3_is_tsharks(tmp_path: Path):
    pair = mutual()
    (tmp_path / "capture.pcapng").write_bytes(pair.server_side.capture)
    fields = ["-T", "fields", "-e", "tls.handshake.ja3", "-e", "tls.handshake.ja3s"]
    seen = set(tshark(tmp_path / "capture.pcapng", *fields).split())
    outcome = told(pair)
    assert seen == {outcome.ja3, outcome.ja3s}


def test_verdicts():
    assert told(mutual()).line(Describer()).startswith("mutual TLS 1.3 OK: client a certificate of ")
    one_way = Pair(client_config(), server_config(ClientAuth.REQUEST))
    talk(one_way)
    assert "one-way: server a certificate of " in told(one_way).line(Describer())
    refused = Pair(client_config(), server_config())
    talk(refused)
    outcome = told(refused)
    assert outcome.failed
    assert outcome.line(Describer()).startswith(
        "server refused: certificate_required (116), because the client sent no"
    )
    without_keys = told(mutual(), b"")
    assert not without_keys.failed
    assert without_keys.line(Describer()) == (
        "TLS 1.3, read up to ServerHello: SERVER_HANDSHAKE_TRAFFIC_SECRET is not known"
    )


def test_what_a_verdict_adds():
    outcome = told(mutual())
    outcome(Noted(time=0.0, direction=C2S, code="gap", text="3 bytes are missing"))
    judged = [Judgement(Role.SERVER, True, ""), Judgement(Role.CLIENT, False, "it has expired")]
    line = outcome.line(Describer(), judged)
    assert line.endswith("server's chain ✓; client's chain ✗ it has expired; the recording has 1 gap")
    outcome(Checked(time=0.0, direction=S2C, what="Finished", content=b"", expected=b"a", received=b"b", ok=False))
    assert outcome.failed
    assert outcome.line(Describer()).startswith("the server's Finished is WRONG")


def test_what_came_to_nothing():
    outcome = RecordedOutcome()
    hello = next(event for event in mutual().client_side.events if isinstance(event, MessageSeen))
    outcome(hello)
    assert not outcome.failed
    assert outcome.line(Describer()) == "nothing came of it: the recording ends after ClientHello"
    outcome(Closed(time=1.0, direction=C2S, how="eof"))
    outcome(Closed(time=1.0, direction=S2C, how="eof"))
    assert [outcome.failed] == [True]
    assert outcome.line(Describer()) == "nothing came of it: the connection ended after ClientHello"


def test_a_hybrid_share_is_shown_in_its_halves():
    lines: list[str] = []
    trace = Trace(lines.append, detail="fields")
    for event in mutual().client_side.events:
        trace(event)
    halves = [line.strip().partition(":")[0] for line in lines if line.strip().startswith(("ML-KEM", "x25519:"))]
    assert halves == ["ML-KEM-768", "x25519"] * 2
    sizes = [line.rpartition("(")[2] for line in lines if line.strip().startswith("ML-KEM")]
    assert sizes == ["1184 bytes)", "1088 bytes)"]


@pytest.mark.parametrize(("first", "said"), [(b"\0", "ECH: an outer hello, or GREASE"), (b"\1", "ECH: an inner hello")])
def test_encrypted_client_hello_is_named(first, said):
    block = Extensions.of(ext.EncryptedClientHello(first))
    hello = ClientHello(0x0303, bytes(32), b"", (0x1301,), b"\0", block)
    assert said in facts(hello, Describer())


def test_json_hides_what_the_trace_hides():
    client = client_config(certificates.client(), sessions=SessionCache())
    pair = Pair(client, server_config(tickets=SealedTickets()))
    talk(pair)
    lines: list[str] = []
    lens = JsonEvents(lines.append, 1, Describer())
    (connection,) = decode(pair.server_side.capture).connections
    for secret in connection.secrets:
        lens.secret(secret)
    for event in connection.events:
        lens(event)
    said = [json.loads(line) for line in lines]
    tickets = [one for one in said if one.get("message") == "NewSessionTicket"]
    assert tickets
    hidden = [field for one in tickets for field in one["fields"] if field["path"] == "ticket"]
    assert hidden
    assert all(field["hidden"] and "value" not in field for field in hidden)
    assert not any(secret.value.hex() in line for secret in connection.secrets for line in lines)
