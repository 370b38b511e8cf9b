"""What a program sees of a connection: results, ends, errors that stay, misuse, observers, and the deadline."""

from __future__ import annotations

from dataclasses import replace

import pytest

from handfast.engine import ClientAuth, Data, HandshakeDone, PeerClosed
from handfast.errors import ApiMisuse, ConfigError, ConnectionLost, Fault, HandfastError, PeerMisbehaved
from handfast.events import Closed, Event, HandshakeComplete
from handfast.handshake.seams import REAL
from handfast.roles import Role
from tests import certificates
from tests.lies import APPLICATION_DATA, WARNING, Plain, Record, Wire, alert
from tests.peer import Server
from tests.protocol.ours import APPLICATION_KEYS, assert_dead, both_roles, client, meet
from tests.scripted import Peer

DATA = Record(APPLICATION_DATA, b"data")
CLOSE_NOTIFY = alert(0, WARNING)
GARBAGE = Wire(b"\x17\3\3\0\x20" + bytes(32))
STEPS = {
    Role.CLIENT: ["ServerHello", "EncryptedExtensions", "Certificate", "CertificateVerify", "Finished"],
    Role.SERVER: ["ClientHello", "Certificate", "CertificateVerify", "Finished"],
}
every_step = pytest.mark.parametrize(
    ("role", "step"), [(role, step) for role, steps in STEPS.items() for step in steps]
)


def stopped_before(role, step, **options):
    """Both sides, where the peer falls silent before this step."""
    if role is Role.CLIENT:
        return meet(role, options, lies={step: []}, merged=False)
    options["client_auth"] = ClientAuth.REQUEST
    return meet(role, options, lies={step: []}, identity=certificates.client())


def silent_before(role, step, **options):
    """Both sides, where the peer sends nothing from this step on."""

    class Silence(Exception):
        pass

    def silence(_):
        raise Silence

    peer = stopped_before(role, step, **options)
    peer.lies = {step: silence}
    try:
        peer.run()
    except Silence:
        peer.flush()
    return peer


# Ends


@every_step
def test_eof_in_the_handshake(role, step):
    peer = silent_before(role, step)
    assert peer.connection.error is None
    with pytest.raises(ConnectionLost) as caught:
        peer.connection.eof()
    assert peer.refusal == ("eof_in_handshake", None, None)
    assert step in caught.value.what
    assert_dead(peer.connection)


@both_roles
def test_eof_without_close_notify_is_truncation(role):
    peer = meet(role).run().say(DATA)
    with pytest.raises(ConnectionLost) as caught:
        peer.connection.eof()
    assert peer.refusal == ("unexpected_eof", None, None)
    assert caught.value.details["received"] == 4
    assert_dead(peer.connection)


@both_roles
def test_eof_in_the_middle_of_a_record_says_so(role):
    peer = meet(role).run().say(Wire(b"\x17\3\3\0\x20half"))
    with pytest.raises(ConnectionLost) as caught:
        peer.connection.eof()
    assert "in the middle of a record" in caught.value.what


@both_roles
def test_eof_after_close_notify_is_in_order(role):
    peer = meet(role).run().say(CLOSE_NOTIFY)
    peer.connection.eof()
    peer.connection.eof()
    assert peer.connection.error is None
    assert peer.connection.peer_closed


@both_roles
def test_close_notify_ends_reading_and_not_writing(role):
    peer = meet(role).run().say(DATA, CLOSE_NOTIFY)
    assert peer.results[-2:] == [Data(b"data"), PeerClosed()]
    peer.connection.send(b"still here")
    assert bytes(peer.listen().data) == b"still here"
    peer.connection.close()
    assert peer.listen().alerts == [(WARNING, "close_notify", APPLICATION_KEYS)]


@pytest.mark.parametrize("later", [DATA, GARBAGE, Plain(22, b"?"), Wire(b"GET /"), alert(40)])
@both_roles
def test_what_comes_after_close_notify_is_ignored(role, later):
    for together in (True, False):
        peer = meet(role).run()
        if together:
            peer.say(CLOSE_NOTIFY, later)
        else:
            peer.say(CLOSE_NOTIFY).say(later)
        assert peer.connection.error is None
        assert peer.results[1:] == [PeerClosed()]
        peer.connection.eof()


@both_roles
def test_our_close_ends_writing_and_not_reading(role):
    peer = meet(role).run()
    peer.connection.close()
    peer.connection.close()
    assert peer.listen().alerts == [(WARNING, "close_notify", APPLICATION_KEYS)]
    with pytest.raises(ApiMisuse) as caught:
        peer.connection.send(b"more")
    assert caught.value.code == "closed_for_writing"
    peer.say(DATA, CLOSE_NOTIFY)
    assert peer.results[1:] == [Data(b"data"), PeerClosed()]
    assert peer.connection.error is None


@both_roles
def test_after_our_close_an_error_sends_no_alert(role):
    peer = meet(role).run()
    peer.connection.close()
    peer.say(GARBAGE)
    assert peer.refusal == ("bad_record_mac", None, None)


@both_roles
def test_a_peer_that_asks_for_new_keys_after_our_close_gets_no_answer(role):
    peer = meet(role).run()
    peer.connection.close()
    peer.listen().update_keys(1).say(DATA)
    assert peer.results[1:] == [Data(b"data")]
    assert peer.connection.outgoing() == b""


@every_step
def test_close_in_the_handshake_is_the_end_of_it(role, step):
    """We say so and send nothing more, whatever still comes."""
    peer = silent_before(role, step)
    peer.connection.close()
    said = peer.listen().alerts
    assert [one.description for one in said] == ["user_canceled", "close_notify"]
    with pytest.raises(HandfastError) as caught:
        peer.connection.receive(b"\x16\3\3")
    assert caught.value.code == "given_up"
    assert_dead(peer.connection)


# Errors


@both_roles
def test_results_before_an_error_are_delivered_first(role):
    for observers in ([], [repr]):
        peer = meet(role, {"observers": observers}).run().say(DATA, Record(APPLICATION_DATA, b"more"), GARBAGE)
        assert b"".join(one.data for one in peer.results if isinstance(one, Data)) == b"datamore"
        assert peer.raised is None
        assert isinstance(peer.connection.error, PeerMisbehaved)
        assert peer.refusal == ("bad_record_mac", "bad_record_mac", APPLICATION_KEYS)
        assert_dead(peer.connection)


@both_roles
def test_the_end_of_the_handshake_is_delivered_before_an_error_in_the_same_bytes(role):
    lies = {"Finished": lambda finished: [finished, Wire(b"\x17\3\3\0\x20" + bytes(32))]}
    peer = meet(role, lies=lies).run()
    assert [type(result) for result in peer.results] == [HandshakeDone]
    assert peer.error.code == "bad_record_mac"
    assert_dead(peer.connection)


@both_roles
def test_a_dead_connection_says_what_it_knew(role):
    peer = meet(role).run().say(GARBAGE)
    assert peer.connection.info.complete
    assert not peer.connection.connected
    assert peer.connection.need is None
    assert peer.error.fault is Fault.PEER
    with pytest.raises(ApiMisuse):
        peer.connection.export("EXPORTER-test", b"", 32)
    for call in (peer.connection.timed_out, peer.connection.update_keys):
        with pytest.raises(HandfastError) as caught:
            call()
        assert caught.value is peer.connection.error


@both_roles
def test_a_shell_that_lost_the_transport_ends_the_connection(role):
    peer = meet(role).run()
    lost = ConnectionLost("reset", stage="after the handshake")
    peer.connection.lost(lost)
    peer.connection.lost(ConnectionLost("reset", stage="again"))
    assert peer.connection.error is lost
    assert_dead(peer.connection)


# Misuse, which leaves the connection as it was


@both_roles
def test_nothing_can_be_sent_before_the_handshake_is_over(role):
    peer = meet(role)
    with pytest.raises(ApiMisuse) as caught:
        peer.connection.send(b"too early")
    assert caught.value.code == "not_connected"
    with pytest.raises(ApiMisuse) as caught:
        peer.connection.export("EXPORTER-test", b"", 32)
    assert caught.value.code == "no_exporter"
    assert peer.run().complete


@both_roles
def test_exported_material_is_the_same_on_both_sides_and_depends_on_everything(role):
    peer = meet(role).run()
    ours, theirs = peer.connection, peer.exporter
    cases = [("EXPORTER-a", b"", 32), ("EXPORTER-b", b"", 32), ("EXPORTER-a", b"context", 32), ("EXPORTER-a", b"", 33)]
    values = [ours.export(*case) for case in cases]
    assert values == [theirs.export(*case) for case in cases]
    assert len({value[:32] for value in values}) == len(cases)
    assert ours.export("EXPORTER-a", b"", 255 * 32) == theirs.export("EXPORTER-a", b"", 255 * 32)
    for label, length in (("x" * 300, 32), ("EXPORTER-a", 255 * 32 + 1)):
        with pytest.raises(ApiMisuse):
            ours.export(label, b"", length)
    assert ours.connected


NONSENSE = [("x", "text", 32), ("x", 7, 32), (b"x", b"", 32), (None, b"", 32), ("x", b"", 2.5), ("x", b"", "32")]


@pytest.mark.parametrize("arguments", NONSENSE)
@both_roles
def test_what_is_exported_of_nonsense_is_the_program_s_mistake(role, arguments):
    ours = meet(role).run().connection
    with pytest.raises(ApiMisuse, match=r"a label is text|a context is bytes|a length is a number of bytes"):
        ours.export(*arguments)
    assert ours.export("x", None, 32) == ours.export("x", b"", 32)


def test_exported_material_is_none_that_another_connection_has():
    one, other = (Server(client()).run().connection.export("EXPORTER-a", b"", 32) for _ in range(2))
    assert one != other


@both_roles
def test_sending_nothing_sends_nothing(role):
    peer = meet(role).run()
    peer.connection.send(b"")
    assert peer.connection.outgoing() == b""
    assert not peer.connection.wants_write


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@both_roles
def test_data_of_every_kind_and_size(role, kind):
    for observers in ([], [repr]):
        peer = meet(role, {"observers": observers}).run()
        for size in (1, 2**14, 2**14 + 1, 100_000):
            peer.connection.send(kind(bytes(range(256)) * (size // 256 + 1))[:size])
            assert bytes(peer.listen().data) == (bytes(range(256)) * (size // 256 + 1))[:size]
            peer.data.clear()


@both_roles
def test_a_connection_is_not_entered_again_from_its_observers(role):
    entered: list[str] = []

    def nosy(_):
        # A client's first events come while it is being made.
        for ours in [peer.connection for peer in peers]:
            for call, arguments in ((ours.receive, (b"",)), (ours.eof, ()), (ours.timed_out, ())):
                with pytest.raises(ApiMisuse) as caught:
                    call(*arguments)
                entered.append(caught.value.code)

    peers: list[Peer] = []
    peers.append(meet(role, {"observers": [nosy]}))
    assert peers[0].run().complete
    assert set(entered) == {"reentrant"}


@both_roles
def test_a_connection_is_not_entered_again_from_its_secret_sinks(role):
    """Not even after the handshake, when the peer's new keys are told while its data are read."""
    entered: list[str] = []

    def nosy(_):
        for peer in peers:
            with pytest.raises(ApiMisuse) as caught:
                peer.connection.receive(b"")
            entered.append(caught.value.code)

    peers: list[Peer] = []
    peers.append(meet(role, {"sinks": [nosy]}).run())
    assert peers[0].update_keys().say(DATA).results[-1] == Data(b"data")
    assert entered == ["reentrant"]


@both_roles
def test_a_connection_is_not_written_to_by_whoever_watches_it_write(role):
    """Sealed in between, it would leave before what it was called from, under keys that are about to change."""
    entered: list[str] = []

    def nosy(_):
        for peer in peers:
            with pytest.raises(ApiMisuse) as caught:
                peer.connection.send(b"more")
            entered.append(caught.value.code)

    peers: list[Peer] = []
    peer = meet(role, {"observers": [nosy]}).run()
    peers.append(peer)
    peer.connection.send(b"data")
    assert set(entered) == {"reentrant"}
    peers.clear()
    assert bytes(peer.listen().data) == b"data"


@pytest.mark.parametrize("error", [ValueError, KeyError, RecursionError, ApiMisuse])
@both_roles
def test_an_observer_that_raises_is_heard_no_more_and_changes_nothing(role, error, caplog):
    heard: list[object] = []
    others: list[Event] = []

    def broken(event):
        heard.append(event)
        raise error("no_need")

    peer = meet(role, {"observers": [broken, others.append], "sinks": [broken]}).run()
    assert peer.complete
    assert len(heard) == 2
    assert any(isinstance(event, HandshakeComplete) for event in others)
    assert len([record for record in caplog.records if "was detached" in record.message]) == 2
    peer.say(DATA)
    assert peer.results[-1] == Data(b"data")


# The deadline


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@every_step
def test_the_deadline_of_the_handshake(role, step):
    clock = Clock()
    peer = silent_before(role, step, seams=replace(REAL, monotonic=clock), handshake_timeout=7.5)
    assert peer.connection.deadline == 1007.5
    clock.now = 1008.0
    with pytest.raises(ConnectionLost) as caught:
        peer.connection.timed_out()
    assert caught.value.code == "handshake_timeout"
    assert caught.value.what == f"the handshake did not finish within 7.5 s, waiting for {waiting_for(role, step)}"
    assert [one[:2] for one in peer.listen().alerts] == [(WARNING, "user_canceled"), (WARNING, "close_notify")]
    assert_dead(peer.connection)


def waiting_for(role, step):
    named = {"ServerHello": "ServerHello or HelloRetryRequest", "Certificate": "CertificateRequest or Certificate"}
    if role is Role.SERVER:
        named = {}
    return f"the {role.peer}'s {named.get(step, step)}"


@both_roles
def test_the_deadline_means_nothing_once_the_handshake_is_over(role):
    peer = meet(role).run()
    peer.connection.timed_out()
    assert peer.connection.connected


@both_roles
def test_a_clock_that_never_moves_does_no_harm(role):
    assert meet(role, {"seams": replace(REAL, monotonic=lambda: 0.0, clock=lambda: 0.0)}).run().complete


@pytest.mark.parametrize("timeout", [0, -1.0])
def test_a_deadline_must_be_in_the_future(timeout):
    with pytest.raises(ConfigError):
        client(handshake_timeout=timeout)


# Who closed


@both_roles
def test_the_ends_of_both_directions_are_told_once(role):
    events: list[Event] = []
    peer = meet(role, {"observers": [events.append]}).run()
    peer.connection.close()
    peer.say(CLOSE_NOTIFY)
    peer.connection.eof()
    closed = [(event.direction, event.how) for event in events if isinstance(event, Closed)]
    assert closed == [(role.sends, "close_notify"), (role.peer.sends, "close_notify")]
