"""Who the two sides are: certificates shown, missing, and refused, with handfast in either role."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from handfast.engine import ClientAuth
from handfast.events import Event, HandshakeComplete, MessageSeen
from handfast.registry import AlertDescription as Alert
from handfast.wire.messages import CertificateRequest
from tests import certificates
from tests.interop import ways
from tests.interop.meeting import cannot, credentials, heard, refused, they_refused, trusting
from tests.peers import ClientAuth as TheirClientAuth
from tests.peers import GnuTLSServer, NSSClient

if TYPE_CHECKING:
    from handfast.pki.authority import Issued
    from handfast.pki.template import Template

ALICE = certificates.CLIENT_NAME


def expired(template: Template) -> Issued:
    """A certificate of the healthy CA that ended an hour ago."""
    now = datetime.now(UTC)
    return certificates.ca().issue(
        replace(template, not_before=now - timedelta(days=2), not_after=now - timedelta(hours=1))
    )


# Healthy


@pytest.mark.feature("server certificate only")
def test_server_certificate_only(meet):
    mine, theirs = meet()
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.handshake_complete
    assert mine.close_notify_received
    if meet.column.is_client:
        assert not mine.negotiated.client_auth_requested
        assert theirs.peer_subject is None or "localhost" in theirs.peer_subject
    else:
        assert mine.peer_verified
        assert mine.chain[0].subject == "CN=localhost,O=handfast"
        assert not theirs.peer_subject


@pytest.mark.feature("client certificate")
def test_their_client_certificate(meet_client):
    mine, theirs = meet_client(
        ours={"client_auth": ClientAuth.REQUIRE_AND_VERIFY, "verifier": trusting()},
        theirs=meet_client.files.identity(certificates.client()),
    )
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.peer_verified
    assert mine.chain[0].subject == f"CN={ALICE},O=handfast"


@pytest.mark.feature("client certificate")
def test_our_client_certificate(meet_server):
    mine, theirs = meet_server(
        ours={"credentials": (credentials(certificates.client()),)},
        theirs={"client_auth": TheirClientAuth.REQUIRE, "trust": meet_server.files.roots(certificates.ca())},
    )
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.negotiated.certificate_sent
    assert theirs.peer_subject is None or ALICE in theirs.peer_subject


@pytest.mark.feature("client certificate asked for and not given")
def test_their_client_has_no_certificate(meet_client):
    mine, theirs = meet_client(ours={"client_auth": ClientAuth.VERIFY_IF_GIVEN, "verifier": trusting()})
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.negotiated.client_auth_requested
    assert mine.chain == ()
    assert not mine.peer_verified


@pytest.mark.feature("client certificate asked for and not given")
def test_we_have_no_client_certificate(meet_server):
    mine, theirs = meet_server(
        theirs={"client_auth": TheirClientAuth.REQUEST, "trust": meet_server.files.roots(certificates.ca())}
    )
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.negotiated.client_auth_requested
    assert not mine.negotiated.certificate_sent
    assert not theirs.peer_subject


# After the handshake: a server that asks then


class Requests:
    """An observer that counts the certificate requests that come once the handshake is over."""

    def __init__(self) -> None:
        self._complete = False
        self.later = 0

    def __call__(self, event: Event) -> None:
        self._complete |= isinstance(event, HandshakeComplete)
        is_request = isinstance(event, MessageSeen) and isinstance(event.message, CertificateRequest)
        self.later += self._complete and is_request


def later_with_their_client(meet, issued=None, **ours):
    ours = {"verifier": trusting(), **ours}
    identity = {} if issued is None else meet.files.identity(issued)
    return meet(ours, {"later": True, **identity}, require_later=ours.pop("mode", ClientAuth.REQUIRE_AND_VERIFY))


def later_with_their_server(meet, issued=None, mode=TheirClientAuth.REQUIRE):
    ours = {"post_handshake_auth": True, "credentials": () if issued is None else (credentials(issued),)}
    theirs = {"later": True, "client_auth": mode, "trust": meet.files.roots(certificates.ca())}
    talk = {"send": b"**REAUTH**\n"} if meet.column.peer is GnuTLSServer else {}
    requests = Requests()
    outcomes = meet(ours, theirs, observers=(requests,), **talk)
    assert requests.later == 1
    return outcomes


@pytest.mark.feature("client certificate after the handshake")
def test_their_client_certificate_after_the_handshake(meet_client):
    mine, theirs = later_with_their_client(meet_client, certificates.client())
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.peer_verified
    assert mine.chain[0].subject == f"CN={ALICE},O=handfast"


@pytest.mark.feature("client certificate after the handshake")
def test_our_client_certificate_after_the_handshake(meet_server):
    mine, theirs = later_with_their_server(meet_server, certificates.client())
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.negotiated.certificate_sent
    # gnutls-serv names the client in its handshake only; its log has the messages.
    assert ALICE in theirs.text or "CERTIFICATE VERIFY (15) was received" in theirs.text


@pytest.mark.feature("asked for after the handshake and not given")
def test_their_client_has_no_certificate_after_the_handshake(meet_client):
    if meet_client.column.peer is NSSClient:
        cannot("tstclnt without a certificate says nothing when it is asked for one after the handshake")
    mine, theirs = later_with_their_client(meet_client, mode=ClientAuth.VERIFY_IF_GIVEN)
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.negotiated.client_auth_requested
    assert mine.chain == ()


@pytest.mark.feature("asked for after the handshake and not given")
def test_we_have_no_client_certificate_after_the_handshake(meet_server):
    mine, theirs = later_with_their_server(meet_server, mode=TheirClientAuth.REQUEST)
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.negotiated.client_auth_requested
    assert not mine.negotiated.certificate_sent


@pytest.mark.feature("refused after the handshake: client certificate of another CA")
def test_we_refuse_a_client_certificate_after_the_handshake(meet_client):
    mine, theirs = later_with_their_client(meet_client, certificates.other_ca().client(ALICE))
    assert refused(mine, "unknown_issuer", Alert.unknown_ca, encrypted=True)
    assert not theirs.ok
    assert heard(theirs, Alert.unknown_ca)


@pytest.mark.feature("refused after the handshake: client certificate of another CA")
def test_they_refuse_our_certificate_after_the_handshake(meet_server):
    if meet_server.column.peer is GnuTLSServer:
        cannot("gnutls-serv verifies no certificate that it asks for after the handshake")
    mine, theirs = later_with_their_server(meet_server, certificates.other_ca().client(ALICE))
    they_refused(meet_server, mine, theirs, ways.CLIENT_CERTIFICATE_OF_ANOTHER_CA)


@pytest.mark.feature("chains with an intermediate, on both sides")
def test_chains_with_an_intermediate(meet):
    server, client = certificates.server_below_intermediate(), certificates.client_below_intermediate()
    ours = {"verifier": trusting(), "credentials": (credentials(server if meet.column.is_client else client),)}
    identity = meet.files.identity(client if meet.column.is_client else server)
    theirs = {"trust": meet.files.roots(certificates.ca()), **identity}
    if meet.column.is_client:
        ours["client_auth"] = ClientAuth.REQUIRE_AND_VERIFY
    else:
        theirs["client_auth"] = TheirClientAuth.REQUIRE
    mine, their_outcome = meet(ours, theirs)
    assert mine.ok, mine
    assert their_outcome.ok, their_outcome
    assert mine.peer_verified
    assert mine.chain[1].subject == "CN=Test Intermediate,O=handfast"  # NSS sends the root as well


@pytest.mark.feature("names of CAs in the request")
def test_names_of_cas_that_we_send(meet_client):
    if meet_client.column.peer.name in {"nss", "curl", "python", "node", "deno", "curl_cffi", "pyreqwest", "uv"}:
        cannot("it does not tell which CA names it was sent")
    names = tuple(ca.certificate.subject.public_bytes() for ca in (certificates.ca(), certificates.other_ca()))
    mine, theirs = meet_client(
        ours={"client_auth": ClientAuth.VERIFY_IF_GIVEN, "verifier": trusting(), "ca_names": names}
    )
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert len(theirs.ca_names) == 2
    assert "Test CA" in theirs.ca_names[0]
    assert "Other CA" in theirs.ca_names[1]


@pytest.mark.feature("names of CAs in the request")
def test_names_of_cas_that_they_send(meet_server):
    if meet_server.column.peer.name == "python":
        cannot("Python's ssl cannot send CA names")
    mine, theirs = meet_server(
        ours={"credentials": (credentials(certificates.client()),)},
        theirs={"client_auth": TheirClientAuth.REQUIRE, "trust": meet_server.files.roots(certificates.ca())},
    )
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.negotiated.ca_names == ("CN=Test CA,O=handfast",)


# What we refuse


@pytest.mark.feature("refused: no client certificate")
def test_we_refuse_a_client_without_certificate(meet_client):
    mine, theirs = meet_client(ours={"client_auth": ClientAuth.REQUIRE_AND_VERIFY, "verifier": trusting()})
    alert = Alert.handshake_failure if meet_client.tls12 else Alert.certificate_required
    assert refused(mine, "certificate_required", alert, "sent no certificate", encrypted=not meet_client.tls12)
    assert not theirs.ok
    assert heard(theirs, alert)


@pytest.mark.feature("refused: client certificate of another CA")
def test_we_refuse_a_client_certificate_of_another_ca(meet_client):
    mine, theirs = meet_client(
        ours={"client_auth": ClientAuth.REQUIRE_AND_VERIFY, "verifier": trusting()},
        theirs=meet_client.files.identity(certificates.other_ca().client(ALICE)),
    )
    assert refused(mine, "unknown_issuer", Alert.unknown_ca)
    assert mine.chain[0].subject == f"CN={ALICE},O=handfast"
    assert not theirs.ok
    assert heard(theirs, Alert.unknown_ca)


@pytest.mark.feature("refused: expired client certificate")
def test_we_refuse_an_expired_client_certificate(meet_client):
    mine, theirs = meet_client(
        ours={"client_auth": ClientAuth.REQUIRE_AND_VERIFY, "verifier": trusting()},
        theirs=meet_client.files.identity(expired(certificates.ca().client_template(ALICE))),
    )
    assert refused(mine, "expired", Alert.certificate_expired)
    assert not theirs.ok
    assert heard(theirs, Alert.certificate_expired)


@pytest.mark.feature("refused: server certificate of another CA")
def test_we_refuse_a_server_certificate_of_another_ca(meet_server):
    if meet_server.column.peer.name == "h2o":
        cannot("h2o does not tell of alerts")
    mine, theirs = meet_server(ours={"verifier": trusting(certificates.other_ca())})
    assert refused(mine, "unknown_issuer", Alert.unknown_ca, encrypted=not meet_server.tls12)
    assert heard(theirs, Alert.unknown_ca)


@pytest.mark.feature("refused: expired server certificate")
def test_we_refuse_an_expired_server_certificate(meet_server):
    template = certificates.ca().server_template("localhost")
    mine, theirs = meet_server(theirs=meet_server.files.identity(expired(template)))
    assert refused(mine, "expired", Alert.certificate_expired)
    assert heard(theirs, Alert.certificate_expired)


@pytest.mark.feature("refused: server certificate for another name")
def test_we_refuse_a_server_certificate_for_another_name(meet_server):
    mine, theirs = meet_server(server_name="elsewhere.example.com")
    assert refused(
        mine, "name_mismatch", Alert.bad_certificate, "elsewhere.example.com", encrypted=not meet_server.tls12
    )
    assert heard(theirs, Alert.bad_certificate)


# What they refuse, each in its own way


def their_demand(meet):
    if meet.column.peer.name == "nginx":
        cannot("nginx completes the handshake, and refuses by an HTTP answer")
    return {"client_auth": TheirClientAuth.REQUIRE, "trust": meet.files.roots(certificates.ca())}


@pytest.mark.feature("refused: no client certificate")
def test_they_refuse_us_without_certificate(meet_server):
    if meet_server.column.peer.name == "php":
        cannot("PHP completes the handshake, and ends the connection without a word")
    mine, theirs = meet_server(theirs=their_demand(meet_server))
    they_refused(meet_server, mine, theirs, ways.NO_CLIENT_CERTIFICATE)
    # TLS 1.2 says so before our handshake is over.
    assert mine.handshake_complete == (not meet_server.tls12)


@pytest.mark.feature("refused: client certificate of another CA")
def test_they_refuse_our_certificate_of_another_ca(meet_server):
    stranger = credentials(certificates.other_ca().client(ALICE))
    mine, theirs = meet_server(ours={"credentials": (stranger,)}, theirs=their_demand(meet_server))
    they_refused(meet_server, mine, theirs, ways.CLIENT_CERTIFICATE_OF_ANOTHER_CA)
    assert mine.negotiated.certificate_sent


@pytest.mark.feature("refused: expired client certificate")
def test_they_refuse_our_expired_certificate(meet_server):
    old = credentials(expired(certificates.ca().client_template(ALICE)))
    mine, theirs = meet_server(ours={"credentials": (old,)}, theirs=their_demand(meet_server))
    they_refused(meet_server, mine, theirs, ways.EXPIRED_CLIENT_CERTIFICATE)


@pytest.mark.feature("refused: server certificate of another CA")
def test_they_refuse_our_server_certificate_of_another_ca(meet_client):
    mine, theirs = meet_client(theirs={"trust": meet_client.files.roots(certificates.other_ca())})
    they_refused(meet_client, mine, theirs, ways.SERVER_CERTIFICATE_OF_ANOTHER_CA)


@pytest.mark.feature("refused: expired server certificate")
def test_they_refuse_our_expired_server_certificate(meet_client):
    old = credentials(expired(certificates.ca().server_template("localhost")))
    mine, theirs = meet_client(ours={"credentials": (old,)})
    they_refused(meet_client, mine, theirs, ways.EXPIRED_SERVER_CERTIFICATE)


@pytest.mark.feature("refused: server certificate for another name")
def test_they_refuse_our_server_certificate_for_another_name(meet_client):
    if meet_client.column.peer.name == "pyopenssl":
        cannot("pyOpenSSL leaves the comparison of names to its callers")
    elsewhere = credentials(certificates.server(names=("elsewhere.example.com",)))
    mine, theirs = meet_client(ours={"credentials": (elsewhere,)})
    they_refused(meet_client, mine, theirs, ways.SERVER_CERTIFICATE_FOR_ANOTHER_NAME)
