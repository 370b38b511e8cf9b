"""A transport that ends without close_notify, where the configuration says that this may be: RFC 9846 6.1."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from handfast.engine import ClientAuth, Data, PeerClosed
from handfast.errors import ConfigError, ConnectionLost
from handfast.events import Closed
from handfast.io.sockets import TLSSocket
from handfast.lens.trace import Trace
from handfast.roles import Role
from tests.lies import APPLICATION_DATA, HANDSHAKE, Record, Wire
from tests.protocol.later import OFFER, TheirClient
from tests.protocol.ours import APPLICATION_KEYS, assert_dead, both_roles, client, meet, server
from tests.waiting import LIMIT

DATA = Record(APPLICATION_DATA, b"data")
CUT_RECORD = Wire(b"\x17\3\3\0\x20half")
CUT_MESSAGE = Record(HANDSHAKE, b"\x18\0")
WATCHED = pytest.mark.parametrize("observers", [[], [repr]], ids=["unwatched", "watched"])


def ended(role, *items, observers=(), policy="end"):
    return meet(role, {"unexpected_eof": policy, "observers": observers}).run().say(*items)


@WATCHED
@both_roles
def test_it_is_the_end_of_the_peers_data(role, observers):
    peer = ended(role, DATA, observers=observers)
    assert peer.results[-1] == Data(b"data")
    assert peer.connection.eof() == [PeerClosed(close_notify=False)]
    assert peer.connection.error is None
    assert peer.connection.peer_closed
    assert peer.connection.eof() == []


@both_roles
def test_and_we_may_go_on_writing(role):
    peer = ended(role)
    peer.connection.eof()
    peer.connection.send(b"still here")
    peer.connection.close()
    assert bytes(peer.listen().data) == b"still here"
    assert peer.alerts == [(1, "close_notify", APPLICATION_KEYS)]


@both_roles
def test_the_trace_tells_the_two_ends_apart(role):
    events: list[Any] = []
    lines: list[str] = []
    ended(role, observers=[events.append, Trace(lines.append)]).connection.eof()
    assert [event.how for event in events if isinstance(event, Closed)] == ["eof"]
    assert lines[-1].endswith("closed: eof")


@WATCHED
@pytest.mark.parametrize(("item", "cut"), [(CUT_RECORD, "record"), (CUT_MESSAGE, "message")], ids=["record", "message"])
@pytest.mark.parametrize("policy", ["end", "error"])
@both_roles
def test_what_is_cut_is_always_an_error(role, policy, item, cut, observers):
    peer = ended(role, DATA, item, observers=observers, policy=policy)
    with pytest.raises(ConnectionLost) as caught:
        peer.connection.eof()
    assert peer.refusal == ("unexpected_eof", None, None)
    assert caught.value.what.endswith(f"after 4 bytes of application data and in the middle of a {cut}")
    assert (caught.value.details["received"], caught.value.details["cut"]) == (4, True)
    assert_dead(peer.connection)


@both_roles
def test_by_default_it_is_an_error_that_cuts_nothing(role):
    peer = meet(role).run().say(DATA)
    with pytest.raises(ConnectionLost) as caught:
        peer.connection.eof()
    assert (caught.value.details["received"], caught.value.details["cut"]) == (4, False)


def test_in_the_middle_of_an_answer_it_is_an_error():
    ours = server(client_auth=ClientAuth.NONE, unexpected_eof="end")
    peer = TheirClient(ours, lies=OFFER)
    ours.request_client_certificate()
    peer.say(peer.answer()[0])
    with pytest.raises(ConnectionLost) as caught:
        ours.eof()
    assert caught.value.code == "unexpected_eof"
    assert "in the middle of a message" in caught.value.what


@pytest.mark.parametrize("ours", [client, server])
def test_in_the_handshake_it_is_an_error(ours):
    connection = ours(unexpected_eof="end")
    with pytest.raises(ConnectionLost) as caught:
        connection.eof()
    assert caught.value.code == "eof_in_handshake"


def test_a_client_that_waits_for_finished_is_in_the_handshake():
    peer = meet(Role.CLIENT, {"unexpected_eof": "end"}, lies={"Finished": []}).run()
    with pytest.raises(ConnectionLost):
        peer.connection.eof()


@both_roles
def test_a_policy_that_there_is_not(role):
    with pytest.raises(ConfigError, match="neither of error and end"):
        meet(role, {"unexpected_eof": "ignore"})


# Over a socket


@pytest.mark.parametrize("cut", [b"", b"\x17\3\3\0\x20half"], ids=["between records", "in a record"])
@pytest.mark.parametrize("policy", ["end", "error"])
def test_of_a_blocking_socket(policy, cut):
    near, far = socket.socketpair()
    peer = client()

    def be_cut_off():
        far.sendall(peer.outgoing())
        while not peer.connected:
            peer.receive(far.recv(65536))
        peer.send(b"data")
        far.sendall(peer.outgoing() + cut)
        far.close()

    thread = threading.Thread(target=be_cut_off)
    thread.start()
    with TLSSocket(near, server(unexpected_eof=policy), timeout=LIMIT) as tls:
        assert tls.recv() == b"data"
        if policy == "end" and not cut:
            assert (tls.recv(), tls.recv()) == (b"", b"")
        else:
            with pytest.raises(ConnectionLost) as caught:
                tls.recv()
            assert (caught.value.code, caught.value.details["cut"]) == ("unexpected_eof", bool(cut))
    thread.join()
