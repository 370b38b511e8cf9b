"""One stream, live and recorded: what a side told is what its recording tells, event for event and line for line.

Left out are the events that docs/events.md says only a live side can know, and nothing else.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from handfast import events
from handfast.credentials.credentials import Credentials
from handfast.credentials.signers import DEFERRED, LocalSigner
from handfast.engine import ClientAuth
from handfast.errors import ConnectionLost
from handfast.events import AlertSeen, Checked, Event, KeysChanged, MessageSeen, RecordSeen, SecretDerived
from handfast.lens.trace import Trace
from handfast.passive import decode
from handfast.pki.authority import Issued
from handfast.registry import CertificateCompressionAlgorithm, NamedGroup, SignatureScheme
from handfast.roles import Direction
from handfast.sessions.cache import SessionCache
from handfast.sessions.replay import MemoryReplayGuard
from handfast.sessions.tickets import SealedTickets, StoredTickets
from handfast.wire.extensions import Extensions
from handfast.wire.messages import CertificateVerify, ClientHello, Finished, ServerHello
from tests import certificates
from tests.lens.connections import client_config, credentials, roots, server_config, verifier
from tests.passive.recorded import C2S, S2C, Pair, Side, talk, without_secrets

# The literal list: events that a recording does not tell ...
ONLY_LIVE = ("NeedAsked", "NeedAnswered", "CertificateChosen", "PeerJudged", "HandshakeComplete")
# ... those that only a recording tells ...
ONLY_RECORDED = ("Noted", "ConnectionSeen")
# ... secrets that no key log holds ...
ONLY_LIVE_SECRETS = (
    "psk", "early_secret", "binder_key", "derived_from_early_secret", "shared_secret", "handshake_secret",
    "derived_from_handshake_secret", "main_secret", "resumption_secret", "resumption_psk",
)  # fmt: skip
# ... and, of an alert, why its sender sent it.
ONLY_LIVE_LINES = re.compile(r" {6}because ")

EVENTS_PAGE = (Path(__file__).parent.parent.parent / "docs" / "events.md").read_text()


def shared(event: Event) -> bool:
    """Whether a recording tells it too."""
    if isinstance(event, Checked):
        return event.what != "PSK binder"
    if isinstance(event, SecretDerived):
        # TLS 1.2's main secret is what a key log holds; that of a session is made from nothing.
        of_12 = event.label.endswith("master secret") or (event.name == "main_secret" and not event.inputs)
        return event.name not in ONLY_LIVE_SECRETS or of_12
    return type(event).__name__ not in ONLY_LIVE


# Connections


def mutual(**recording: Any) -> Pair:
    return Pair(client_config(certificates.client()), server_config(), **recording)


def one_way(**options: Any) -> Pair:
    return Pair(client_config(), server_config(ClientAuth.NONE), **options)


def plain(pair: Pair) -> Pair:
    talk(pair)
    return pair


def retried() -> Pair:
    groups = (NamedGroup.x25519, NamedGroup.secp384r1)
    return plain(
        Pair(
            client_config(certificates.client(), groups=groups, key_share_groups=groups[:1]),
            server_config(groups=groups[1:]),
        )
    )


def resumed(early_data: bytes = b"", *, groups: tuple[int, ...] = (), other_keys: bool = False) -> Pair:
    """A connection that resumes the session of one before; ``groups`` make the server ask for a retry."""
    offered = (NamedGroup.x25519, NamedGroup.secp384r1)
    client = client_config(
        certificates.client(), sessions=SessionCache(), groups=offered, early_data_with_client_identity=True
    )
    server = server_config(
        tickets=SealedTickets(),
        max_early_data=1000,
        replay_guard=MemoryReplayGuard(),
        early_data_with_client_identity=True,
    )
    plain(Pair(client, server))
    server = replace(server, groups=groups or server.groups, tickets=SealedTickets() if other_keys else server.tickets)
    return plain(Pair(client, server, early_data=early_data))


def compressed() -> Pair:
    algorithms = tuple(CertificateCompressionAlgorithm)
    return plain(
        Pair(
            client_config(certificates.client(), certificate_compression=algorithms[:1]),
            server_config(certificate_compression=algorithms),
        )
    )


class Pkcs1(LocalSigner):
    schemes = (SignatureScheme.rsa_pkcs1_sha256_legacy,)

    def __init__(self, issued: Issued) -> None:
        self._private_key = issued.key


def with_a_legacy_signature() -> Pair:
    issued = certificates.client("rsa-2048")
    client = replace(client_config(), credentials=[Credentials(issued.chain, Pkcs1(issued))])
    return plain(Pair(client, server_config(accept_legacy_client_signatures=True)))


def with_new_keys() -> Pair:
    pair = mutual()
    pair.settle()
    pair.client.update_keys(request=True)
    pair.say(pair.client, b"under new keys")
    pair.say(pair.server, b"and so is this")
    for _ in range(3):
        pair.server.update_keys()
    pair.say(pair.server, b"the fourth")
    pair.client.update_keys()
    talk(pair)
    return pair


def in_small_records() -> Pair:
    return plain(Pair(client_config(certificates.client(), max_fragment=64), server_config(max_fragment=100)))


def with_much_data() -> Pair:
    pair = one_way()
    pair.settle()
    pair.say(pair.client, bytes(40_000))
    pair.say(pair.server, b"x" * 16385)
    talk(pair)
    return pair


def with_questions(**options: Any) -> Pair:
    """Signer and verifier answer later, so a flight is written in parts, and records come while one waits."""

    class Later:
        def verify(self, presented: Any) -> object:
            return DEFERRED

    judge = verifier(certificates.ca())
    pair = Pair(client_config(certificates.client(), verifier=Later()), server_config(verifier=Later(), **options))
    for _ in range(4):
        pair.settle()
        for end in (pair.client, pair.server):
            if (need := end.need) is not None:
                end.answer(need, judge.verify(need.presented))  # type: ignore[attr-defined]
    talk(pair)
    return pair


def authenticated_later(*issued: Any, **options: Any) -> Pair:
    """Three requests after the handshake, keys that change before an answer, and data between all of it."""
    edit = {name: options.pop(name) for name in ("client_edit",) if name in options}
    client = client_config(*issued, post_handshake_auth=True, **options)
    pair = Pair(client, server_config(ClientAuth.REQUEST, application_protocols=()), **edit)
    pair.settle()
    pair.server.request_client_certificate(client_auth=ClientAuth.REQUIRE_ANY)
    pair.say(pair.client, b"a question")
    if pair.server.error is None:
        pair.client.update_keys()
        pair.server.request_client_certificate()
        pair.server.request_client_certificate()
        pair.say(pair.server, b"an answer")
    talk(pair)
    return pair


def without_a_common_suite() -> Pair:
    return plain(Pair(client_config(suites=(0x1301,)), server_config(suites=(0x1302,))))


def without_a_common_protocol() -> Pair:
    return plain(Pair(client_config(application_protocols=("h3",)), server_config()))


def server_of_another_ca() -> Pair:
    stranger = certificates.other_ca().server("localhost")
    return plain(Pair(client_config(certificates.client()), server_config(credentials=credentials(stranger))))


def client_of_another_ca() -> Pair:
    trusted = certificates.other_ca()
    return plain(
        Pair(
            client_config(certificates.client()),
            server_config(verifier=verifier(trusted), ca_names=roots(trusted).names()),
        )
    )


def refused_server_hello() -> Pair:
    """The client refuses in plaintext what the server answers under keys: its alert is believed only so far."""

    def edit(message: Any) -> Any:
        return replace(message, legacy_session_id_echo=bytes(32)) if isinstance(message, ServerHello) else message

    return plain(Pair(client_config(), server_config(), server_edit=edit))


def flipping(direction: Direction, number: int, at: int) -> Any:
    """A wire that changes one byte in the nth lot of bytes of a direction."""
    seen = {C2S: 0, S2C: 0}

    def tamper(where: Direction, data: bytes) -> bytes:
        if data:
            seen[where] += 1
        if not data or where is not direction or seen[where] != number:
            return data
        changed = bytearray(data)
        changed[at] ^= 0x40
        return bytes(changed)

    return tamper


def undecodable_server_hello() -> Pair:
    # The length of the session id, which then is 96.
    return plain(Pair(client_config(), server_config(), tamper=flipping(S2C, 1, 5 + 4 + 2 + 32)))


def damaged_flight() -> Pair:
    return plain(Pair(client_config(), server_config(), tamper=flipping(S2C, 1, -20)))


def damaged_data() -> Pair:
    return plain(one_way(tamper=flipping(C2S, 3, -3)))


def cut_in_the_handshake() -> Pair:
    pair = mutual(tamper=lambda direction, data: b"" if direction is C2S and data[:1] == b"\x14" else data)
    talk(pair)
    return pair


def cut_without_close_notify() -> Pair:
    pair = mutual()
    pair.settle()
    pair.say(pair.client, b"a question")
    pair.client.close()
    pair.cut()
    return pair


def reset() -> Pair:
    pair = mutual()
    pair.settle()
    for end in (pair.client, pair.server):
        end.lost(ConnectionLost("reset", stage="after the handshake"))
    return pair


def closed_before_the_handshake() -> Pair:
    pair = mutual()
    pair.client.close()
    talk(pair)
    return pair


TLS12: dict[str, Any] = {"versions": (0x0303,)}


def in_12(mode: ClientAuth = ClientAuth.REQUIRE_AND_VERIFY, **options: Any) -> Pair:
    """A pair that speaks TLS 1.2, because its server speaks nothing else."""
    return Pair(client_config(certificates.client()), server_config(mode, **TLS12), **options)


def in_12_the_old_way() -> Pair:
    """Without the extended main secret, as somebody else's old client would have it."""

    def edit(message: Any) -> Any:
        if not isinstance(message, ClientHello):
            return message
        return replace(
            message, extensions=Extensions({kind: body for kind, body in message.extensions.items() if kind != 23})
        )

    old: dict[str, Any] = {"require_extended_main_secret": False, **TLS12}
    return Pair(client_config(**old), server_config(ClientAuth.NONE, **old), client_edit=edit)


def in_12_with_chacha20() -> Pair:
    return Pair(client_config(), server_config(ClientAuth.NONE, **TLS12, suites=(0xCCA9,)))


def in_12_with_questions() -> Pair:
    return with_questions(**TLS12)


def resumed_in_12(tickets: Any = None, **options: Any) -> Pair:
    """A connection that resumes the session of one before."""
    client = client_config(certificates.client(), sessions=SessionCache())
    server = server_config(tickets=tickets or SealedTickets(), **TLS12)
    plain(Pair(client, server))
    pair = plain(Pair(client, server, **options))
    assert pair.client.info.resumed or "tamper" in options
    return pair


SCENARIOS = {
    "TLS 1.2, resumed": resumed_in_12,
    "TLS 1.2, resumed with a new ticket": lambda: resumed_in_12(StoredTickets()),
    "TLS 1.2, resumed, a damaged Finished": lambda: resumed_in_12(tamper=flipping(C2S, 2, -3)),
    "TLS 1.2": lambda: plain(in_12()),
    "TLS 1.2, one-way": lambda: plain(in_12(ClientAuth.NONE)),
    "TLS 1.2, in segments of 100 bytes": lambda: plain(in_12(mss=100)),
    "TLS 1.2 without the extended main secret": lambda: plain(in_12_the_old_way()),
    "TLS 1.2 with ChaCha20": lambda: plain(in_12_with_chacha20()),
    "TLS 1.2, answers that come later": in_12_with_questions,
    "TLS 1.2, refused without a certificate": lambda: plain(Pair(client_config(), server_config(**TLS12))),
    "TLS 1.2, a damaged Finished": lambda: plain(in_12(tamper=flipping(C2S, 2, -3))),
    "TLS 1.2, damaged data": lambda: plain(in_12(tamper=flipping(C2S, 3, -3))),
    "TLS 1.2, a damaged signature": lambda: plain(in_12(tamper=flipping(S2C, 1, -200))),
    "mutual": lambda: plain(mutual()),
    "one-way": lambda: plain(one_way()),
    "declined": lambda: plain(Pair(client_config(), server_config(ClientAuth.REQUEST))),
    "in segments of 100 bytes": lambda: plain(mutual(mss=100)),
    "HelloRetryRequest": retried,
    "compressed certificates": compressed,
    "a client's signature by RFC 9963": with_a_legacy_signature,
    "KeyUpdate": with_new_keys,
    "resumed": resumed,
    "early data": lambda: resumed(b"in a hurry"),
    "early data that is refused": lambda: resumed(b"in a hurry", other_keys=True),
    "early data before a HelloRetryRequest": lambda: resumed(b"in a hurry", groups=(NamedGroup.secp384r1,)),
    "small records": in_small_records,
    "much data": with_much_data,
    "answers that come later": with_questions,
    "authentication after the handshake": lambda: authenticated_later(certificates.client()),
    "the same in small records": lambda: authenticated_later(certificates.client(), max_fragment=64),
    "declined after the handshake": authenticated_later,
    "certificate_required": lambda: plain(Pair(client_config(), server_config())),
    "a server of another CA": server_of_another_ca,
    "a client of another CA": client_of_another_ca,
    "no common suite": without_a_common_suite,
    "no common protocol": without_a_common_protocol,
    "a refused ServerHello": refused_server_hello,
    "a ServerHello that does not decode": undecodable_server_hello,
    "a damaged flight": damaged_flight,
    "damaged data": damaged_data,
    "an end in the handshake": cut_in_the_handshake,
    "an end without close_notify": cut_without_close_notify,
    "a reset": reset,
    "close_notify in the handshake": closed_before_the_handshake,
}
REFUSED = {
    "TLS 1.2, refused without a certificate", "TLS 1.2, a damaged Finished", "TLS 1.2, damaged data",
    "TLS 1.2, a damaged signature", "TLS 1.2, resumed, a damaged Finished",
    "certificate_required", "a server of another CA", "a client of another CA", "no common suite", "no common protocol",
    "a refused ServerHello", "a ServerHello that does not decode", "a damaged flight", "damaged data",
    "an end in the handshake", "an end without close_notify", "close_notify in the handshake",
    "declined after the handshake",
}  # fmt: skip


# The comparison


def plainly(event: Event) -> dict[str, Any]:
    """An event as values that can be compared; a message is its bytes, whether parsed or built."""
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    if isinstance(event, AlertSeen):
        del values["error"]
    if isinstance(event, MessageSeen):
        values["message"] = type(event.message)
    return {"": type(event).__name__, **values}


def live_lines(side: Side, detail: Any, secrets: Any) -> list[str]:
    """The whole trace of the live side, without the lines that the list allows to be left out."""
    lines: list[str] = []
    kept: list[str] = []
    trace = Trace(lines.append, detail=detail, secrets=secrets)
    for secret in side.secrets:
        trace.secret(secret)
    for event in side.events:
        trace(event)
        kept += [line for line in lines if shared(event) and not ONLY_LIVE_LINES.match(line)]
        lines.clear()
    return kept


def recorded_lines(connection: Any, detail: Any, secrets: Any) -> list[str]:
    lines: list[str] = []
    trace = Trace(lines.append, detail=detail, secrets=secrets)
    for secret in connection.secrets:
        trace.secret(secret)
    for event in connection.events:
        if type(event).__name__ not in ONLY_RECORDED:
            trace(event)
    return lines


def check_same(side: Side, capture: bytes = b"", keys: bytes = b"") -> None:
    decoded = decode(capture or side.capture, keys)
    assert decoded.damage is None
    (connection,) = decoded.connections
    told = [event for event in connection.events if type(event).__name__ not in ONLY_RECORDED]
    assert [plainly(event) for event in told] == [plainly(event) for event in side.events if shared(event)]
    named = {secret.name for secret in connection.secrets}
    assert connection.secrets == [secret for secret in side.secrets if secret.name in named]
    for detail in ("names", "fields", "bytes"):
        for secrets in ("none", "traffic", "all"):
            assert recorded_lines(connection, detail, secrets) == live_lines(side, detail, secrets)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_recording_tells_what_the_live_side_told(scenario):
    pair = SCENARIOS[scenario]()
    assert (pair.client_side.error is not None or pair.server_side.error is not None) == (scenario in REFUSED)
    for side in pair.sides:
        check_same(side)


@pytest.mark.parametrize(
    ("scenario", "resumes", "what"),
    [
        ("resumed", True, ""),
        ("early data", True, "accepted"),
        ("early data that is refused", False, "rejected"),
        ("early data before a HelloRetryRequest", True, "rejected"),
    ],
)
def test_sessions_are_resumed_as_their_scenario_says(scenario, resumes, what):
    pair = SCENARIOS[scenario]()
    for end in (pair.client, pair.server):
        assert end.info.resumed is resumes
        assert end.info.early_data.partition(":")[0] == what


@pytest.mark.parametrize("scenario", ["mutual", "KeyUpdate", "certificate_required", "early data", "TLS 1.2"])
def test_the_keys_may_come_from_a_key_log(scenario):
    for side in SCENARIOS[scenario]().sides:
        check_same(side, without_secrets(side.capture), side.keys)


def test_both_sides_tell_the_same_but_for_times_and_the_order_of_directions():
    pair = plain(mutual())

    def told(side: Side, direction: Direction) -> list[dict[str, Any]]:
        seen = [event for event in side.events if getattr(event, "direction", None) is direction and shared(event)]
        return [plainly(event) | {"time": None} for event in seen]

    for direction in Direction:
        assert told(pair.client_side, direction) == told(pair.server_side, direction)


# A liar's own view is no measure: what its victim saw is.


def lying(kind: type, **changes: Any) -> Any:
    def edit(message: Any) -> Any:
        changed = {kind: changes}.get(type(message))
        return message if changed is None else replace(message, **changed)

    return edit


def test_a_wrong_signature_as_the_server_saw_it():
    pair = plain(
        Pair(
            client_config(certificates.client()), server_config(), client_edit=lying(CertificateVerify, signature=b"?")
        )
    )
    assert pair.server_side.error is not None
    assert pair.server_side.error.code == "bad_signature"
    check_same(pair.server_side)


def test_a_wrong_finished_as_the_client_saw_it():
    pair = plain(Pair(client_config(), server_config(), server_edit=lying(Finished, verify_data=bytes(32))))
    assert pair.client_side.error is not None
    assert pair.client_side.error.code == "bad_finished"
    check_same(pair.client_side)
    (connection,) = decode(pair.client_side.capture).connections
    assert [event.ok for event in connection.events if isinstance(event, Checked)] == [True, False]


def only_later(kind: type, **changes: Any) -> Any:
    """As ``lying``, but not in the handshake."""
    edit, seen = lying(kind, **changes), []

    def later(message: Any) -> Any:
        seen.append(type(message))
        return edit(message) if seen.count(kind) > 1 else message

    return later


@pytest.mark.parametrize(
    ("kind", "changes", "code", "proofs"),
    [
        (CertificateVerify, {"signature": b"?"}, "bad_signature", [True, True, True, True, False]),
        (Finished, {"verify_data": bytes(32)}, "bad_finished", [True, True, True, True, True, False]),
    ],
)
def test_a_wrong_proof_after_the_handshake_as_the_server_saw_it(kind, changes, code, proofs):
    pair = authenticated_later(certificates.client(), client_edit=only_later(kind, **changes))
    assert pair.server_side.error is not None
    assert pair.server_side.error.code == code
    check_same(pair.server_side)
    (connection,) = decode(pair.server_side.capture).connections
    told = [event.ok for event in connection.events if isinstance(event, Checked)]
    assert told == proofs


# The contract


def table(heading: str) -> list[list[str]]:
    """The rows of the table below a heading of docs/events.md, cell by cell."""
    section = EVENTS_PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip().strip("|").split("|") for line in section.splitlines() if line.lstrip().startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def all_events() -> dict[str, type[Event]]:
    return {
        name: kind
        for name, kind in vars(events).items()
        if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
    }


@pytest.mark.parametrize("heading", ["The events", "The order"])
def test_no_row_of_the_page_stands_twice(heading):
    first_cells = [row[0] for row in table(heading)]
    assert len(first_cells) > 10
    assert len(first_cells) == len(set(first_cells))


def test_the_page_names_every_event_and_its_fields():
    documented = {row[0].strip("`"): row[1].replace("`", "").split(", ") for row in table("The events")}
    assert documented == {
        name: [field.name for field in fields(kind) if field.name != "time"] for name, kind in all_events().items()
    }


def test_the_page_has_the_list_of_what_only_a_live_side_knows():
    documented = tuple(row[0].strip("`") for row in table("The events") if row[3] == "no")
    assert sorted(documented) == sorted(ONLY_LIVE)
    documented = tuple(row[0].strip("`") for row in table("The events") if row[3] == "only")
    assert sorted(documented) == sorted(ONLY_RECORDED)
    secrets = EVENTS_PAGE.split("no key log holds: ")[1].split(".\n")[0]
    assert re.findall(r"`(\w+)`", secrets) == list(ONLY_LIVE_SECRETS)


def test_order_and_times():
    seen = retried().client_side.events
    records = [event for event in seen if isinstance(event, RecordSeen)]
    for direction in Direction:
        assert [event.index for event in records if event.direction is direction] == list(
            range(sum(event.direction is direction for event in records))
        )
    last = 0.0
    for event in seen:
        if isinstance(event, RecordSeen):
            last = event.time
        elif shared(event) and not isinstance(event, events.Closed):
            assert event.time == last
    keys = [(event.direction, event.epoch) for event in seen if isinstance(event, KeysChanged)]
    assert keys == [
        (S2C, events.Epoch.HANDSHAKE), (C2S, events.Epoch.HANDSHAKE),
        (S2C, events.Epoch.APPLICATION), (C2S, events.Epoch.APPLICATION),
    ]  # fmt: skip
