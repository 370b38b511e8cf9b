"""What is kept of sessions: whom a server's store prefers, and what is too large to keep."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from handfast import limits
from handfast.engine import ClientAuth
from handfast.handshake.negotiate import TLS12
from handfast.handshake.server_resumption import bound_to
from handfast.sessions.cache import SessionCache
from handfast.sessions.tickets import SealedTickets, StoredTickets
from handfast.verdict import accept
from handfast.wire.extensions import ClientTicketRequest
from tests import certificates
from tests.peer import Client
from tests.protocol.ours import server
from tests.protocol.sessions import KEY, KnownJudge, World, sealing
from tests.protocol.test_resumption import EACH_VERSION, MUTUAL, no


class Told(SealedTickets):
    """Remembers for whom tickets were; ``size`` is added to each."""

    def __init__(self, size: int = 0) -> None:
        super().__init__([KEY])
        self.size = size
        self.clients: list[bytes] = []

    def issue(self, state: bytes, policy: bytes, lifetime: int, client: bytes = b"") -> bytes | None:
        self.clients.append(client)
        issued = super().issue(state, policy, lifetime, client)
        return issued and issued + bytes(self.size)


@EACH_VERSION
@pytest.mark.parametrize("who", ["accepted", "refused", "nobody"])
def test_a_store_is_told_which_client_is_known(versions, who):
    store = Told()
    mode: dict[str, Any] = {"client_auth": ClientAuth.REQUEST, "tickets": store, "versions": versions}
    if who == "refused":
        mode["verifier"] = KnownJudge(no())
    world = World(client=MUTUAL["client"] if who != "nobody" else None, server=mode)
    # A resumption knows the client as well as the handshake before it.
    assert world.meet().server.connected
    assert set(store.clients) == {certificates.client().chain[0] if who == "accepted" else b""}
    count = len(store.clients)
    world.meet()
    assert len(set(store.clients)) == 1
    assert len(store.clients) > count or versions == (TLS12,)


@EACH_VERSION
def test_servers_that_judge_nobody_share_their_sessions(versions):
    """Two machines with one ticket key, or a configuration that was made anew."""
    world = World(server={"versions": versions, "verifier": None})
    assert [world.meet().resumed for _ in range(2)] == [False, True]
    assert not world.meet(server={"verifier": KnownJudge(), "client_auth": ClientAuth.REQUEST}).resumed


@EACH_VERSION
def test_strangers_push_no_known_client_out_of_a_store(versions):
    mode = {"client_auth": ClientAuth.REQUEST, "versions": versions}
    world = World(client=MUTUAL["client"], server={**mode, "tickets": StoredTickets(4)})
    world.meet()
    for _ in range(5):
        assert world.meet(client={"credentials": (), "sessions": SessionCache()}).server.connected
    assert world.meet().resumed


@pytest.mark.parametrize(("verdict", "count"), [(accept(), limits.MAX_TICKETS_SENT), (no(), 2)])
def test_a_refused_chain_is_kept_no_more_often_than_we_would(verdict, count):
    """Whatever the client asks for: anybody can make such a chain, and stores have one budget."""
    assert limits.TICKETS_PER_CONNECTION == 2
    ours = server(**sealing(client_auth=ClientAuth.REQUEST, verifier=KnownJudge(verdict)))
    peer = Client(ours, identity=certificates.client(), more=(ClientTicketRequest(200, 200),)).run()
    assert peer.complete
    assert len(peer.tickets) == count


@EACH_VERSION
@pytest.mark.parametrize(("size", "kept"), [(limits.MAX_STORED_CHAIN // 2, True), (limits.MAX_STORED_CHAIN, False)])
def test_its_ticket_counts_for_the_size_of_a_clients_session(versions, size, kept):
    world = World(server={"tickets": Told(size), "versions": versions})
    assert world.meet().client.connected
    assert (len(world.client["sessions"]) > 0) == kept


def test_no_large_name_is_remembered_with_what_it_binds():
    """A client may ask for a name as long as its hello."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        bound = {bound_to(b"=", "none", f"{number}." + "x" * 16_000) for number in range(200)}
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(bound) == 200
    assert after - before < 1024 * 1024
