"""The middleware for servers that show no connection, under hypercorn and by hand.

TLS is Python's here, and a property makes its objects tell what handfast's would: what is tested is which connection a
request is taken to have come by.
"""

from __future__ import annotations

import asyncio
import gc
import ssl
from contextlib import ExitStack
from typing import Any, cast

import pytest

from handfast.contrib import asgi
from handfast.contrib.asgi import (
    TLSExtensionMiddleware,
    WatchedObject,
    WithPeer,
    connection_info,
    verified_peer,
    watched,
)
from handfast.engine import ConnectionInfo, UnverifiedPeer
from handfast.roles import Role
from handfast.verdict import refuse
from tests import certificates
from tests.aio.support import identity
from tests.frameworks.support import Lazy, ask, ask_http2, connection, get, hypercorn_server, tell, websocket_text

ALICE, BOB = "CN=alice,O=handfast", "CN=bob,O=handfast"
LOOPS = ["asyncio", pytest.param("uvloop", marks=pytest.mark.needs("uvloop"))]


def told_by(sslobject):
    """What handfast would know of a connection of Python's."""
    certificate = sslobject.getpeercert(True)
    peer = UnverifiedPeer((certificate,), refuse("unknown_issuer", "nobody knows")) if certificate else None
    return ConnectionInfo(Role.SERVER, version=0x0304, suite=0x1301, complete=True, peer=peer)


@pytest.fixture(autouse=True)
def _informed(monkeypatch):
    monkeypatch.setattr(WatchedObject, "info", property(told_by), raising=False)


@pytest.fixture
def context(files):
    """A server's context that asks for certificates."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*files.identity(certificates.server()).values())
    made.load_verify_locations(files.roots(certificates.ca()))
    made.verify_mode = ssl.CERT_OPTIONAL
    return made


def served(app, context, loop):
    from handfast.contrib.hypercorn import Config

    config = Config()
    config.tls = context
    if loop == "uvloop":
        import uvloop

        return hypercorn_server(app, config, uvloop.new_event_loop)
    return hypercorn_server(app, config, asyncio.new_event_loop)


hypercorn = pytest.mark.needs("hypercorn")


@hypercorn
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("alpn", ["h2", "http/1.1"])
def test_requests_know_the_peer(context, loop, alpn):
    app = TLSExtensionMiddleware(tell)
    with served(app, context, loop) as port, connection(port, application_protocols=[alpn]) as tls:
        assert tls.info.application_protocol == alpn
        told = (ask_http2 if alpn == "h2" else ask)(tls).json
    assert (told["scheme"], told["tls"]["client_cert_name"]) == ("https", ALICE)


@hypercorn
@pytest.mark.parametrize("loop", LOOPS)
def test_websockets_know_the_peer(context, loop):
    with served(TLSExtensionMiddleware(tell), context, loop) as port:
        assert ALICE in websocket_text(port, application_protocols=["http/1.1"])


@hypercorn
@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_without_a_certificate_is_nobody(context, loop):
    with served(TLSExtensionMiddleware(tell), context, loop) as port:
        told = get(port, anonymous=True).json["tls"]
    assert (told["client_cert_chain"], told["client_cert_name"], told["client_cert_error"]) == ([], None, None)


@hypercorn
@pytest.mark.parametrize("loop", LOOPS)
def test_many_clients_are_never_mixed_up(context, loop):
    names = [f"client-{number}" for number in range(5)]
    with served(TLSExtensionMiddleware(tell), context, loop) as port, ExitStack() as stack:
        clients = {
            name: stack.enter_context(connection(port, credentials=[identity(certificates.client(name=name))]))
            for name in names
        }
        for name in names * 20:
            assert ask(clients[name]).json["tls"]["client_cert_name"] == f"CN={name},O=handfast"


@hypercorn
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("outermost", [True, False], ids=["outermost", "inside"])
def test_a_worker_started_in_one_clients_request_never_reports_another_as_it(context, loop, outermost):
    """Where the middleware is inside, others get no extension at all: it must be outermost, and never lies."""
    app = TLSExtensionMiddleware(Lazy(tell)) if outermost else Lazy(TLSExtensionMiddleware(tell))
    bob = [identity(certificates.client(name="bob"))]
    with served(app, context, loop) as port, connection(port) as first, connection(port, credentials=bob) as second:
        for _ in range(3):
            assert ask(first).json["tls"]["client_cert_name"] == ALICE
            told = ask(second).json["tls"]
            assert told["client_cert_name"] == BOB if outermost else told is None
        # And a new connection of the first one's certificate has an address of its own.
        assert (get(port).json["tls"] is not None) == outermost


# By hand


class Asked:
    """Remembers the scope."""

    async def __call__(self, scope, receive, send):
        self.scope = scope

    @property
    def tls(self):
        return (self.scope.get("extensions") or {}).get("tls")


SCOPE: dict[str, Any] = {
    "type": "http",
    "scheme": "https",
    "client": ("192.0.2.1", 1234),
    "extensions": {"http.response.push": {}},
}


@pytest.fixture
def server(context, files):
    """The server's side of a handshake over BIOs, in a list. The context of the test is that of its requests."""
    client_context = ssl.create_default_context(cafile=files.roots(certificates.ca()))
    client_context.load_cert_chain(*files.identity(certificates.client()).values())
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname="localhost")
    server = watched(context).wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    # What is no record: the next read fails.
    to_server.write(b"\x17\x03\x03\x00\x01\x00")
    return [server]


def ask_middleware(app=None, **scope):
    asked = app or Asked()
    unused: Any = None
    asyncio.run(TLSExtensionMiddleware(asked)({**SCOPE, **scope}, unused, unused))
    return asked


def test_the_connection_of_the_context(server):
    asked = ask_middleware()
    assert asked.tls["client_cert_name"] == ALICE
    # What was there stays, and the server's own dictionary is not written to.
    assert asked.scope["extensions"].keys() == {"http.response.push", "tls", "handfast"}
    assert SCOPE["extensions"].keys() == {"http.response.push"}


@pytest.mark.parametrize(
    "scope",
    [
        {"client": ("192.0.2.2", 1234)},
        {"client": ("192.0.2.1", 1235)},
        {"client": None},
        {"client": ("", 0)},
        {"client": ("192.0.2.1", 0)},
        {"scheme": "http"},
        {"type": "lifespan"},
    ],
)
def test_other_requests_get_nothing(server, scope):
    assert ask_middleware().tls is not None
    assert ask_middleware(**scope).tls is None
    assert ask_middleware().tls is not None


@pytest.mark.parametrize("client", [None, ("", 0), ("192.0.2.1", 0)])
def test_an_address_that_names_nobody_is_never_the_connections(server, client):
    assert ask_middleware(client=client).tls is None
    assert ask_middleware(client=client).tls is None
    assert ask_middleware().tls is not None


def test_a_filled_scope_stays_as_it_is(server):
    assert ask_middleware(extensions={"tls": {"server_cert": "theirs"}}).tls == {"server_cert": "theirs"}


def test_without_extensions_in_the_scope(server):
    assert ask_middleware(extensions=None).tls["client_cert_name"] == ALICE


def test_outside_of_any_connection():
    assert ask_middleware().tls is None


@pytest.mark.parametrize("end", ["unwrap", "read", "gone"])
def test_once_a_connection_has_ended_its_address_is_nobodys(server, end):
    assert ask_middleware().tls is not None
    if end == "gone":
        server.clear()
        gc.collect()
    else:
        with pytest.raises(ssl.SSLError):
            getattr(server[0], end)()
    assert ask_middleware().tls is None


# The extension itself


def test_a_client_that_shows_its_certificate_later_is_known_from_then_on():
    info = ConnectionInfo(Role.SERVER, version=0x0304, suite=0x1301, complete=True)
    asked, unused = Asked(), cast("Any", None)
    app = WithPeer(asked, lambda: info)
    asyncio.run(app(SCOPE, unused, unused))
    assert (asked.tls["client_cert_chain"], asked.tls["client_cert_name"]) == ((), None)
    info.peer = UnverifiedPeer(certificates.client().chain, refuse("unknown_issuer", "", advice=""))
    asyncio.run(app(SCOPE, unused, unused))
    # An error there is always, even where the verifier gave no words.
    assert (asked.tls["client_cert_name"], asked.tls["client_cert_error"]) == (ALICE, "unknown_issuer")


def test_before_the_handshake_is_complete_nothing_is_said():
    asked, unused = Asked(), cast("Any", None)
    info = ConnectionInfo(Role.SERVER, version=0x0304, suite=0x1301)
    asyncio.run(WithPeer(asked, lambda: info)(SCOPE, unused, unused))
    assert asked.tls is None


def test_who_is_asked_for_the_verified_peer():
    asked, unused = Asked(), cast("Any", None)
    info = ConnectionInfo(Role.SERVER, version=0x0304, suite=0x1301, complete=True)
    info.peer = UnverifiedPeer(certificates.client().chain, refuse("unknown_issuer", "nobody knows"))
    asyncio.run(WithPeer(asked, lambda: info)(SCOPE, unused, unused))
    assert connection_info(asked.scope) is info
    assert verified_peer(asked.scope) is None
    for scope in ({}, {"extensions": None}, {"extensions": {"handfast": {"info": "claimed"}}}):
        assert connection_info(scope) is None
        assert verified_peer(scope) is None


def test_of_certificates_few_and_no_large_ones_are_remembered():
    """Peers choose them."""
    recalled = asgi._subject_or_recalled
    assert asgi._subject(certificates.client().chain[0]) == asgi._subject(certificates.client().chain[0])
    before = recalled.cache_info()
    assert asgi._subject(bytes(asgi._LONGEST_KEPT + 1)).startswith("unreadable: ")
    assert recalled.cache_info() == before
    for number in range(200):
        asgi._subject(b"%d" % number)
    assert recalled.cache_info().currsize <= 64
