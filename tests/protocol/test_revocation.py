"""What revocation does to connections: lists of ours and OCSP responses of the peer's, in both roles, and later on."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handfast import limits
from handfast.engine import ClientAuth, ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection
from handfast.errors import Fault, HandfastError
from handfast.handshake.seams import Seams
from handfast.io.failure_log import failure_line
from handfast.pki.authority import Issued
from handfast.registry import ExtensionType
from handfast.roles import Role
from handfast.sessions.cache import SessionCache
from handfast.sessions.tickets import SealedTickets
from handfast.trust.revocation.crl_store import Crls
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from handfast.wire.messages import CertificateRequest, ClientHello
from tests import certificates
from tests.peer import Client, Server
from tests.peer12 import Server12
from tests.protocol.ours import both_roles, client, credentials, server

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
ROOTS = Roots.from_der([certificates.ca().certificate_der])


def verifier(**options: Any) -> PathVerifier:
    return PathVerifier(ROOTS, **options)


def other(role: Role) -> Role:
    return Role.SERVER if role is Role.CLIENT else Role.CLIENT


def identity(role: Role) -> Issued:
    return certificates.server() if role is Role.SERVER else certificates.client()


@dataclass
class Pair:
    """A client and a server that verify each other; ``judge`` is the side that is told about revocation.

    The other one shows ``shown``, with ``stapled`` beside it.
    """

    judge: Role
    options: dict[str, Any] = field(default_factory=dict)
    ask: bool = False
    shown: Issued | None = None
    stapled: bytes = b""
    sessions: SessionCache = field(default_factory=SessionCache)
    tickets: SealedTickets = field(default_factory=SealedTickets)
    at: datetime = NOW

    def __post_init__(self) -> None:
        self.verifiers = {self.judge: verifier(**self.options), other(self.judge): verifier()}

    def settings(self, role: Role) -> dict[str, Any]:
        mine = credentials(identity(role))
        if role is not self.judge:
            mine = replace(credentials(self.shown or identity(role)), ocsp_response=self.stapled)
        asks = role is self.judge and self.ask
        return {"credentials": (mine,), "verifier": self.verifiers[role], "ask_for_ocsp_response": asks}

    def meet(self) -> dict[Role, Connection]:
        """The two after all that they have to say to each other."""
        seams = Seams(clock=self.at.timestamp)
        mutual: dict[str, Any] = {"client_auth": ClientAuth.REQUIRE_AND_VERIFY, "tickets": self.tickets}
        theirs = ServerConfig(**self.settings(Role.SERVER), **mutual)
        ours = ClientConfig(**self.settings(Role.CLIENT), sessions=self.sessions)
        sides: dict[Role, Connection] = {
            Role.CLIENT: ClientConnection(ours, server_name="localhost", seams=seams),
            Role.SERVER: ServerConnection(theirs, seams=seams),
        }
        for _ in range(4):
            for role in Role:
                # What a side raises is in its ``error``.
                with suppress(HandfastError):
                    if data := sides[role].outgoing():
                        sides[other(role)].receive(data)
        return sides

    def accepted(self) -> dict[Role, Connection]:
        sides = self.meet()
        for side in sides.values():
            assert side.connected, side.error
            assert side.info.verified_peer is not None
        return sides

    def refused(self, code: str, alert: str) -> HandfastError:
        """The judge's error; the other is told the alert and no more."""
        sides = self.meet()
        refusal, told = sides[self.judge].error, sides[other(self.judge)].error
        assert refusal is not None
        assert told is not None
        assert (refusal.code, told.code) == (code, alert), refusal.explain()
        return refusal


def response(issued: Issued, status: Any = "good", **options: Any) -> bytes:
    return certificates.ca().ocsp_response(issued, status, **options)


# Lists


@both_roles
def test_a_stale_list_is_our_own_fault_and_the_log_says_so(role: Role) -> None:
    stale = certificates.ca().crl(last_update=NOW - 9 * HOUR, next_update=NOW - 2 * HOUR)
    refusal = Pair(role, {"crls": Crls.from_pem(stale, "crl.pem")}).refused("revocation_stale", "internal_error")
    assert refusal.fault is Fault.OURS
    line = failure_line(("127.0.0.1", 1), "after Finished", refusal)
    for words in ("crl.pem (1 revocation list)", "ended 2 hours ago", "this is no fault of the peer's", "our side's"):
        assert words in line
    assert "expired" not in line


@both_roles
def test_new_lists_count_from_the_next_handshake_on(role: Role) -> None:
    pair = Pair(role, {"crls": Crls.from_pem(certificates.ca().crl())})
    sides = pair.accepted()
    assert not sides[role].info.resumed
    pair.verifiers[role].crls = Crls.from_pem(certificates.ca().crl([identity(other(role))]))
    # A session is judged again, too: it is not resumed, and the full handshake fails.
    pair.refused("revoked", "certificate_revoked")
    assert sides[role].connected


# Asking for an OCSP response


@pytest.mark.parametrize(
    ("policy", "ask", "asked"),
    [("ignore", False, False), ("check", False, False), ("check", True, True), ("require", False, True)],
)
def test_who_requires_a_response_asks_for_it(policy: str, ask: bool, asked: bool) -> None:
    options: dict[str, Any] = {"verifier": verifier(ocsp=policy), "ask_for_ocsp_response": ask}
    hello = Server(client(**options)).run().got(ClientHello)
    request = Client(server(client_auth=ClientAuth.REQUEST, **options)).run().got(CertificateRequest)
    for message in (hello, request):
        assert (ExtensionType.status_request in message.extensions) == asked


# Judging it


@both_roles
@pytest.mark.parametrize("policy", ["check", "require"])
def test_what_a_response_does(role: Role, policy: str) -> None:
    shown = identity(other(role))
    judging: dict[str, Any] = {"options": {"ocsp": policy}, "ask": policy == "check"}
    good = response(shown)
    sides = Pair(role, stapled=good, **judging).accepted()
    assert sides[role].info.ocsp_response == good
    for stapled, code, alert in (
        (response(shown, "revoked"), "revoked", "certificate_revoked"),
        (response(shown, "unknown"), "ocsp_unknown", "bad_certificate_status_response"),
        (response(identity(role)), "ocsp_bad", "bad_certificate_status_response"),
        (response(shown, next_update=NOW - HOUR / 2), "ocsp_stale", "bad_certificate_status_response"),
        (b"an OCSP response", "ocsp_bad", "bad_certificate_status_response"),
    ):
        refusal = Pair(role, stapled=stapled, **judging).refused(code, alert)
        assert refusal.fault is Fault.PEER


@both_roles
def test_one_that_is_required_and_does_not_come(role: Role) -> None:
    Pair(role).accepted()
    Pair(role, ask=True).accepted()
    Pair(role, {"ocsp": "require"}).refused("ocsp_missing", "bad_certificate_status_response")


def promising(role: Role) -> Issued:
    ca = certificates.ca()
    template = ca.server_template("localhost") if role is Role.SERVER else ca.client_template("alice")
    return ca.issue(replace(template, must_staple=True))


@both_roles
def test_must_staple(role: Role) -> None:
    shown = promising(other(role))
    Pair(role, shown=shown).accepted()
    Pair(role, ask=True, shown=shown).refused("ocsp_missing", "bad_certificate_status_response")
    Pair(role, ask=True, shown=shown, stapled=response(shown)).accepted()


@both_roles
def test_a_responder_signs_for_the_ca(role: Role) -> None:
    shown = identity(other(role))
    for key in ("ecdsa-p256", "rsa-2048", "ed25519"):
        responder = certificates.ca().ocsp_responder(key=key)
        Pair(role, {"ocsp": "require"}, stapled=response(shown, responder=responder)).accepted()
    foreign = certificates.other_ca().ocsp_responder()
    pair = Pair(role, {"ocsp": "require"}, stapled=response(shown, responder=foreign))
    pair.refused("ocsp_bad", "bad_certificate_status_response")


# Judging it again


@both_roles
@pytest.mark.parametrize("policy", ["check", "require"])
def test_a_session_keeps_the_response_and_it_is_judged_again(role: Role, policy: str) -> None:
    shown = identity(other(role))
    first = response(shown, next_update=NOW + HOUR)
    pair = Pair(role, {"ocsp": policy}, ask=True, stapled=first)
    assert not pair.accepted()[role].info.resumed
    # Renewed twice: what a resumed connection gives tickets for has it still.
    for minutes in (1, 2):
        pair.at = NOW + timedelta(minutes=minutes)
        info = pair.accepted()[role].info
        assert info.resumed
        assert info.ocsp_response == first
    # It is out of date: the handshake is a full one, and brings a new one.
    pair.at, pair.stapled = NOW + 1.5 * HOUR, response(shown, next_update=NOW + 9 * HOUR)
    info = pair.accepted()[role].info
    assert not info.resumed
    assert info.ocsp_response == pair.stapled
    assert pair.accepted()[role].info.resumed
    pair.at, pair.stapled = NOW + 9.5 * HOUR, first
    pair.refused("ocsp_stale", "bad_certificate_status_response")


@both_roles
def test_a_session_without_a_response_does_not_satisfy_who_now_wants_one(role: Role) -> None:
    """Whoever gives his verifier's sessions to another one, by the same id."""

    class Careless(PathVerifier):
        policy_id = b"always the same"

    shown = promising(other(role))
    pair = Pair(role, shown=shown)
    pair.verifiers[role] = Careless(ROOTS)
    pair.accepted()
    assert pair.accepted()[role].info.resumed
    for policy in ("check", "require"):
        pair.verifiers[role], pair.ask = Careless(ROOTS, ocsp=policy), True
        pair.refused("ocsp_missing", "bad_certificate_status_response")


@both_roles
def test_a_session_is_not_kept_with_more_than_so_much(role: Role) -> None:
    for size, kept in ((limits.MAX_STORED_CHAIN // 2, True), (limits.MAX_STORED_CHAIN, False)):
        pair = Pair(role, {"ocsp": "ignore"}, ask=True, stapled=bytes(size))
        pair.accepted()
        assert pair.accepted()[role].info.resumed == kept


@pytest.mark.parametrize("ask", [False, True])
def test_a_server_does_not_evade_must_staple_by_tls_1_2(ask: bool) -> None:
    versions = (0x0304, 0x0303)
    ours = client(versions=versions, verifier=verifier(), ask_for_ocsp_response=ask)
    peer = Server12(ours, identity=promising(Role.SERVER)).run()
    assert peer.complete != ask
    assert ours.error is None or ours.error.code == "ocsp_missing"
