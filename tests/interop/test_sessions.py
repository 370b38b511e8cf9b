"""Sessions resumed, with and without early data, and certificates that go compressed, with handfast in either role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from handfast.engine import ClientAuth
from handfast.events import Event, MessageSeen
from handfast.registry import CertificateCompressionAlgorithm
from handfast.roles import Direction
from handfast.sessions.cache import SessionCache
from handfast.sessions.replay import MemoryReplayGuard
from handfast.sessions.tickets import SealedTickets
from handfast.wire.messages import CompressedCertificate
from tests import certificates
from tests.interop.columns import Column
from tests.interop.meeting import Meeting, cannot, credentials, trusting
from tests.peers import (
    REQUEST,
    CurlCffiClient,
    DenoClient,
    GnuTLSServer,
    NginxServer,
    NodeClient,
    NSSClient,
    NSSServer,
    OpenSSLServer,
)
from tests.peers import ClientAuth as TheirClientAuth

if TYPE_CHECKING:
    from tests.peers import ServerPeer

TWICE = {"connections": 2}
# Not a line of HTTP: nobody takes it for the request.
UNASKED = b"early\n"


class Forgetful(MemoryReplayGuard):
    """Takes every hello for one that was seen."""

    def first_use(self, key: bytes, seconds: float) -> bool:
        return False


def taking_early_data(guard):
    return {"tickets": SealedTickets(), "max_early_data": 16384, "replay_guard": guard}


@pytest.mark.feature("resumed session")
def test_their_client_resumes(meet_client):
    if meet_client.column.peer is DenoClient:
        cannot("Deno's client resumes no sessions")
    mine, theirs = meet_client({"tickets": SealedTickets()}, TWICE)
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.negotiated.resumed
    assert theirs.resumed in {True, None}


@pytest.mark.feature("resumed session")
def test_we_resume(meet_server):
    mine, theirs = meet_server({"sessions": SessionCache()}, TWICE)
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.negotiated.resumed
    assert mine.peer_verified
    assert theirs.resumed in {True, None}


@pytest.mark.feature("0-RTT data accepted")
def test_their_early_data_is_accepted(meet_client):
    mine, theirs = meet_client(taking_early_data(MemoryReplayGuard()), {**TWICE, "early_data": UNASKED})
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.negotiated.early_data == "accepted"
    # NSS's client has no other early data than its request.
    assert mine.received.startswith(REQUEST if meet_client.column.peer is NSSClient else UNASKED)
    assert theirs.early_data in {True, None}


@pytest.mark.feature("0-RTT data accepted")
def test_our_early_data_is_accepted(meet_server):
    if meet_server.column.peer is NSSServer:
        cannot("selfserv takes no early data in its first ten seconds, when its memory of hellos is too young")
    # nginx calls a request early only if all of it is.
    early, rest = (REQUEST, b"") if meet_server.column.peer is NginxServer else (REQUEST[:20], REQUEST[20:])
    ours = {"sessions": SessionCache()}
    mine, theirs = meet_server(ours, {**TWICE, "early_data": early}, early_data=early, send=rest)
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.negotiated.early_data == "accepted"
    assert theirs.early_data in {True, None}


@pytest.mark.feature("0-RTT data refused")
def test_their_early_data_is_refused(meet_client):
    mine, theirs = meet_client(taking_early_data(Forgetful()), {**TWICE, "early_data": UNASKED})
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.negotiated.resumed
    assert mine.negotiated.early_data.startswith("rejected")
    assert UNASKED not in mine.received
    assert not theirs.early_data


@pytest.mark.feature("0-RTT data refused")
def test_our_early_data_is_refused(meet_server):
    # After a HelloRetryRequest no server may take it.
    if meet_server.column.peer is GnuTLSServer:
        cannot("gnutls-serv does not skip early data after a HelloRetryRequest: it answers with bad_record_mac")
    ours = {"sessions": SessionCache(), "key_share_groups": ()}
    mine, theirs = meet_server(ours, {**TWICE, "early_data": UNASKED}, early_data=UNASKED)
    assert mine.ok, mine
    assert theirs.ok, theirs
    # To s_server a session with early data is good for one hello, and this is the second.
    assert mine.negotiated.resumed == (meet_server.column.peer is not OpenSSLServer)
    assert mine.negotiated.early_data.startswith("rejected")
    assert not theirs.early_data


# Sessions of TLS 1.2 by their id alone


class NginxByID(NginxServer):
    """nginx that gives no tickets, and keeps sessions itself."""

    def _config(self) -> str:
        told = "ssl_session_tickets off;\nssl_session_cache shared:sessions:1m;\n"
        return super()._config().replace("server {\n", "server {\n" + told)


class NSSByID(NSSServer):
    """selfserv without its option for tickets."""

    def command(self) -> list[str]:
        return [argument for argument in super().command() if argument != "-u"]


class Noting(SessionCache):
    """Notes what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Any] = []

    def put(self, partition: bytes, session: Any) -> None:
        self.given.append(session)
        super().put(partition, session)


WITHOUT_TICKETS: dict[type[ServerPeer], tuple[str, ...]] = {
    OpenSSLServer: ("-no_ticket",),
    GnuTLSServer: ("--noticket",),
    NSSByID: (),
    NginxByID: (),
}


@pytest.mark.parametrize("peer", WITHOUT_TICKETS)
def test_we_resume_by_session_id(peer, files):
    """RFC 5246 7.3, and again by the id that resumed."""
    sessions = Noting()
    meet = Meeting(Column(peer, "", str, "1.2"), files)
    ours = {"sessions": sessions, "credentials": (credentials(certificates.client()),)}
    theirs = {"client_auth": TheirClientAuth.REQUIRE, "trust": files.roots(certificates.ca()), "connections": 3}
    mine, outcome = meet(ours, {**theirs, "extra": WITHOUT_TICKETS[peer]})
    assert mine.ok, mine
    assert outcome.ok, outcome
    assert mine.negotiated.resumed
    assert mine.peer_verified
    assert outcome.resumed in {True, None}
    first, *later = sessions.given
    assert first.session_id
    assert not first.ticket
    assert later == [first, first]


# Certificates

ALGORITHMS = tuple(CertificateCompressionAlgorithm)
COMPRESSING_NOTHING = {
    "gnutls": "this GnuTLS is built without certificate compression",
    "pyopenssl": "cryptography's OpenSSL is built without certificate compression",
    "curl_cffi": "curl_cffi inflates servers' certificates, and compresses none",
    "node": "Node compresses its clients' certificates, and nothing else",
    "nss": "NSS 3.87 has no certificate compression",
    "go": "Go has no certificate compression",
    "jsse": "JSSE before Java 27 has no certificate compression",
    "pyreqwest": "rustls, as it is configured there, has no certificate compression",
    "uv": "rustls, as it is configured there, has no certificate compression",
    "deno": "rustls, as it is configured there, has no certificate compression",
    "granian": "rustls, as it is configured there, has no certificate compression",
}


def without_compression(meet):
    """Ends the test, with the reason."""
    cannot(COMPRESSING_NOTHING.get(meet.column.peer.name, "OpenSSL before 3.2 has no certificate compression"))


class Compressed:
    """An observer that notes in which direction certificates went compressed."""

    def __init__(self) -> None:
        self.directions: set[Direction] = set()

    def __call__(self, event: Event) -> None:
        if isinstance(event, MessageSeen) and isinstance(event.message, CompressedCertificate):
            self.directions.add(event.direction)


@pytest.mark.feature("certificate compression, theirs")
def test_their_certificate_comes_compressed(meet):
    if meet.column.peer is not NodeClient:
        without_compression(meet)
    seen = Compressed()
    mine, theirs = meet(
        {"client_auth": ClientAuth.REQUIRE_AND_VERIFY, "verifier": trusting(), "certificate_compression": ALGORITHMS},
        meet.files.identity(certificates.client()),
        observers=(seen,),
    )
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.peer_verified
    assert seen.directions == {Direction.CLIENT_TO_SERVER}


@pytest.mark.feature("certificate compression, ours")
def test_our_certificate_goes_compressed(meet):
    if meet.column.peer is not CurlCffiClient:
        without_compression(meet)
    seen = Compressed()
    # Of a certificate alone brotli makes nothing smaller once in a thousand, and then it goes plain.
    identity = (credentials(certificates.server_below_intermediate()),)
    mine, theirs = meet(
        {"credentials": identity, "certificate_compression": ALGORITHMS},
        {"certificate_compression": ("brotli",)},
        observers=(seen,),
    )
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert seen.directions == {Direction.SERVER_TO_CLIENT}
