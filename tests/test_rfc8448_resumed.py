"""RFC 8448 sections 4 to 6 (resumption with early data, HelloRetryRequest, client authentication), in both roles.

As in `test_rfc8448.py`: what its authors drew from randomness and the extensions that they chose to send are put in at
the seams, and all else is computed by the engine and compared with the trace, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from handfast.connection_info import UnverifiedPeer
from handfast.credentials.credentials import Credentials
from handfast.crypto.groups import KeyShare
from handfast.crypto.suites import SUITES_13
from handfast.engine import (
    ClientAuth,
    ClientConfig,
    ClientConnection,
    Connection,
    Data,
    EarlyData,
    HandshakeDone,
    PeerClosed,
    ServerConfig,
    ServerConnection,
)
from handfast.events import Secret
from handfast.handshake.psk import SessionOffer, with_psk
from handfast.handshake.seams import Seams
from handfast.keys.schedule import EarlySecret
from handfast.keys.transcript import Transcript
from handfast.registry import ExtensionType, NamedGroup, SignatureScheme
from handfast.sessions.cache import SessionCache
from handfast.sessions.state import FORMAT, ClientSession, TicketState
from handfast.trust.presented import PresentedChain
from handfast.verdict import Verdict, accept, refuse
from handfast.wire.extensions import Extensions
from handfast.wire.messages import HandshakeMessage
from handfast.wire.parsing import parse_handshake
from tests import test_rfc8448 as simple
from tests.vectors import rfc8448_client_auth, rfc8448_resumed, rfc8448_retry, rfc8448_simple

HEADER = 5
# The client's hello of section 4 says that its ticket is 6 milliseconds old.
AGE = 0.0065


def parsed(message: bytes) -> Any:
    return parse_handshake(message)


def chain_of(certificate: bytes) -> tuple[bytes, ...]:
    return tuple(entry.cert_data for entry in parsed(certificate).certificate_list)


class Edit:
    """Gives each message of ours the extensions (and the session id, which is empty) of the trace, in turn."""

    def __init__(self, *messages: bytes) -> None:
        self.left: list[Any] = [parsed(message) for message in messages]

    def __call__(self, message: HandshakeMessage) -> HandshakeMessage:
        recorded: Any = next((one for one in self.left if type(one) is type(message)), None)
        if recorded is None:
            return message
        self.left.remove(recorded)
        changed: Any = message
        changed.extensions = recorded.extensions
        if hasattr(recorded, "legacy_session_id"):
            changed.legacy_session_id = recorded.legacy_session_id
        return message


def x25519(private: bytes) -> Callable[[bytes], bytes]:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    key = X25519PrivateKey.from_private_bytes(private)
    return lambda peer: (
        key.exchange(X25519PublicKey.from_public_bytes(peer)) if peer else key.public_key().public_bytes_raw()
    )


def secp256r1(private: bytes) -> Callable[[bytes], bytes]:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    curve = ec.SECP256R1()
    key = ec.derive_private_key(int.from_bytes(private, "big"), curve)
    own = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return lambda peer: (
        key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(curve, peer)) if peer else own
    )


def shares(keys: dict[int, Callable[[bytes], bytes]]) -> Callable[[int], KeyShare]:
    return lambda group: KeyShare(group, keys[group](b""), keys[group])


def seams(
    keys: dict[int, Callable[[bytes], bytes]], randoms: Iterable[bytes], *messages: bytes, clock: float = simple.CLOCK
) -> Seams:
    """``keys`` by group, and what randomness gave, in its order."""
    left = iter(randoms)
    return Seams(
        clock=lambda: clock,
        random_bytes=lambda size: next(left, bytes(size)),
        generate=shares(keys),
        encapsulate=lambda group, public: (keys[group](b""), keys[group](public)),
        edit=Edit(*messages),
    )


class RecordedKey:
    """A signer that knows one signature."""

    def __init__(self, proof: bytes) -> None:
        self.proof = parsed(proof)
        self.schemes = (self.proof.algorithm,)

    def sign(self, scheme: int, message: bytes) -> bytes:
        signature: bytes = self.proof.signature
        return signature


class Expects:
    """Accepts one chain, which has no names and small keys, at the time of the trace."""

    policy_id = b"RFC 8448"

    def __init__(self, certificate: bytes) -> None:
        self.chain = chain_of(certificate)

    def verify(self, presented: PresentedChain) -> Verdict:
        if presented.chain == self.chain and presented.at.year == 2018:
            return accept(self.chain)
        return refuse("malformed", "not the certificate of RFC 8448")


NAMES = {
    "PSK": "psk",
    "EARLY_SECRET": "early_secret",
    "BINDER_KEY": "binder_key",
    "CLIENT_EARLY_TRAFFIC_SECRET": "client_early_traffic_secret",
    "EARLY_EXPORTER_SECRET": "early_exporter_secret",
    "HANDSHAKE_SECRET": "handshake_secret",
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET": "client_handshake_traffic_secret",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET": "server_handshake_traffic_secret",
    "MAIN_SECRET": "main_secret",
    "CLIENT_APPLICATION_TRAFFIC_SECRET": "client_application_traffic_secret_0",
    "SERVER_APPLICATION_TRAFFIC_SECRET": "server_application_traffic_secret_0",
    "EXPORTER_SECRET": "exporter_secret",
    "RESUMPTION_SECRET": "resumption_secret",
}


def check_secrets(seen: list[Secret], rfc: ModuleType) -> None:
    """Every secret that the trace prints."""
    values = {secret.name: secret.value for secret in seen}
    wanted = {name: getattr(rfc, constant) for constant, name in NAMES.items() if hasattr(rfc, constant)}
    assert len(wanted) >= 8
    assert {name: values[name] for name in wanted} == wanted


def check_end(connection: Connection, own: bytes, peers: bytes) -> None:
    connection.close()
    assert connection.outgoing() == own
    assert connection.receive(peers) == [PeerClosed()]


def random_of(hello_record: bytes) -> bytes:
    random: bytes = parsed(hello_record[HEADER:]).random
    return random


SUITES = (0x1301, 0x1303, 0x1302)
X25519, SECP256R1 = int(NamedGroup.x25519), int(NamedGroup.secp256r1)
RSA_CERTIFICATE = rfc8448_simple.CERTIFICATE


# Section 4


def first_connection(sessions: SessionCache) -> ClientConfig:
    """Section 3 with a client that keeps its ticket; its configuration, under which alone the ticket is offered."""
    rfc = rfc8448_simple
    config = ClientConfig(
        suites=SUITES,
        groups=(NamedGroup.x25519,),
        schemes=simple.RecordedKey.schemes,
        verifier=Expects(RSA_CERTIFICATE),
        sessions=sessions,
    )
    client = ClientConnection(config, server_name="server", seams=simple.seams(rfc.CLIENT_RANDOM))
    assert client.outgoing() == rfc.CLIENT_HELLO_RECORD
    client.receive(rfc.SERVER_HELLO_RECORD + rfc.SERVER_FLIGHT_RECORD + rfc.NEW_SESSION_TICKET_RECORD)
    assert client.outgoing() == rfc.CLIENT_FINISHED_RECORD
    assert len(sessions) == 1
    return config


def test_the_client_resumes_with_early_data() -> None:
    rfc = rfc8448_resumed
    secrets: list[Secret] = []
    config = first_connection(SessionCache())
    client = ClientConnection(
        config,
        server_name="server",
        early_data=rfc.EARLY_DATA,
        secret_sinks=[secrets.append],
        seams=seams(
            {X25519: x25519(rfc.CLIENT_PRIVATE_KEY)},
            [random_of(rfc.CLIENT_HELLO_RECORD)],
            rfc.CLIENT_HELLO_RECORD[HEADER:],
            clock=simple.CLOCK + AGE,
        ),
    )
    assert client.outgoing() == rfc.CLIENT_HELLO_RECORD + rfc.EARLY_DATA_RECORD
    results = client.receive(rfc.SERVER_HELLO_RECORD + rfc.SERVER_FLIGHT_RECORD)
    assert [type(result) for result in results] == [HandshakeDone]
    assert (client.info.resumed, client.info.early_data) == (True, "accepted")
    assert client.info.peer_chain == chain_of(RSA_CERTIFICATE)
    assert client.outgoing() == rfc.END_OF_EARLY_DATA_RECORD + rfc.CLIENT_FINISHED_RECORD
    client.send(rfc8448_simple.APPLICATION_DATA)
    assert client.outgoing() == rfc.CLIENT_APPLICATION_DATA_RECORD
    assert client.receive(rfc.SERVER_APPLICATION_DATA_RECORD) == [Data(rfc8448_simple.APPLICATION_DATA)]
    check_end(client, rfc.CLIENT_ALERT_RECORD, rfc.SERVER_ALERT_RECORD)
    check_secrets(secrets, rfc)


def test_the_client_binds_its_hello_to_the_ticket() -> None:
    """The seam above puts the trace's extensions in, and its binder with them; here the binder is ours."""
    hello = parsed(rfc8448_resumed.CLIENT_HELLO_RECORD[HEADER:])
    expected = hello.extensions[ExtensionType.pre_shared_key]
    ticket = parsed(rfc8448_simple.NEW_SESSION_TICKET)
    sessions = SessionCache()
    first_connection(sessions)
    [[session]] = sessions._sessions.values()
    assert isinstance(session, ClientSession)
    assert (session.ticket, session.psk, session.lifetime) == (ticket.ticket, rfc8448_resumed.PSK, 30)
    assert session.max_early_data == 1024
    early_secret = EarlySecret(SUITES_13[0x1301].hash, session.psk)
    verdict = refuse("malformed", "nobody asks")
    offer = SessionOffer(session, b"", UnverifiedPeer(session.chain, verdict), early_secret)
    hello.extensions = Extensions(
        {number: body for number, body in hello.extensions.items() if number != ExtensionType.pre_shared_key}
    )
    bound = with_psk(hello, hello.encode(), offer, Transcript(), simple.CLOCK + AGE)
    assert bound.hello.extensions[ExtensionType.pre_shared_key] == expected
    assert bound.encoded == bound.hello.encode() == rfc8448_resumed.CLIENT_HELLO_RECORD[HEADER:]


class RecordedTickets:
    """Knows the ticket of section 3."""

    def __init__(self) -> None:
        ticket = parsed(rfc8448_simple.NEW_SESSION_TICKET)
        self.ticket = ticket.ticket
        self.state = TicketState(
            format=FORMAT,
            suite=0x1301,
            psk=rfc8448_resumed.PSK,
            ticket_age_add=ticket.ticket_age_add,
            issued_at=int(simple.CLOCK * 1000),
            authenticated_at=int(simple.CLOCK * 1000),
            ticket_lifetime=ticket.ticket_lifetime,
            application_protocol=b"",
            server_name=b"server",
            max_early_data=1024,
            replay_scope=b"RFC 8448",
            external=0,
            chain=(),
        )

    def issue(self, state: bytes, policy: bytes, lifetime: int, client: bytes = b"") -> bytes | None:
        return None

    def redeem(self, ticket: bytes, policy: bytes) -> bytes | None:
        return self.state.encode() if ticket == self.ticket else None


class NewGuard:
    """Has seen nothing."""

    scope, since = b"RFC 8448", 0.0

    def first_use(self, key: bytes, seconds: float) -> bool:
        return True


def test_the_server_resumes_with_early_data() -> None:
    rfc = rfc8448_resumed
    secrets: list[Secret] = []
    config = ServerConfig(
        groups=(NamedGroup.x25519,),
        credentials=(Credentials(chain_of(RSA_CERTIFICATE), simple.RecordedKey()),),
        tickets=RecordedTickets(),
        max_early_data=1024,
        replay_guard=NewGuard(),
    )
    messages = (rfc.SERVER_HELLO_RECORD[HEADER:], rfc.ENCRYPTED_EXTENSIONS)
    outside = seams(
        {X25519: x25519(rfc.SERVER_PRIVATE_KEY)},
        [random_of(rfc.SERVER_HELLO_RECORD)],
        *messages,
        clock=simple.CLOCK + AGE,
    )
    server = ServerConnection(config, secret_sinks=[secrets.append], seams=outside)
    assert server.receive(rfc.CLIENT_HELLO_RECORD + rfc.EARLY_DATA_RECORD) == [EarlyData(rfc.EARLY_DATA)]
    assert server.outgoing() == rfc.SERVER_HELLO_RECORD + rfc.SERVER_FLIGHT_RECORD
    results = server.receive(rfc.END_OF_EARLY_DATA_RECORD + rfc.CLIENT_FINISHED_RECORD)
    assert [type(result) for result in results] == [HandshakeDone]
    assert server.receive(rfc.CLIENT_APPLICATION_DATA_RECORD) == [Data(rfc8448_simple.APPLICATION_DATA)]
    server.send(rfc8448_simple.APPLICATION_DATA)
    assert server.outgoing() == rfc.SERVER_APPLICATION_DATA_RECORD
    assert server.receive(rfc.CLIENT_ALERT_RECORD) == [PeerClosed()]
    server.close()
    assert server.outgoing() == rfc.SERVER_ALERT_RECORD
    check_secrets(secrets, rfc)


# Section 5


def test_the_client_answers_a_retry() -> None:
    rfc = rfc8448_retry
    secrets: list[Secret] = []
    config = ClientConfig(
        suites=SUITES,
        groups=(NamedGroup.x25519, NamedGroup.secp256r1, NamedGroup.secp384r1),
        schemes=simple.RecordedKey.schemes,
        verifier=Expects(RSA_CERTIFICATE),
    )
    keys = {X25519: x25519(rfc.CLIENT_PRIVATE_KEY), SECP256R1: secp256r1(rfc.CLIENT_P256_PRIVATE_KEY)}
    hellos = (rfc.CLIENT_HELLO_RECORD[HEADER:], rfc.SECOND_CLIENT_HELLO_RECORD[HEADER:])
    client = ClientConnection(
        config,
        server_name="server",
        secret_sinks=[secrets.append],
        seams=seams(keys, [random_of(rfc.CLIENT_HELLO_RECORD)], *hellos),
    )
    assert client.outgoing() == rfc.CLIENT_HELLO_RECORD
    assert client.receive(rfc.HELLO_RETRY_REQUEST_RECORD) == []
    assert client.outgoing() == rfc.SECOND_CLIENT_HELLO_RECORD
    results = client.receive(rfc.SERVER_HELLO_RECORD + rfc.SERVER_FLIGHT_RECORD)
    assert [type(result) for result in results] == [HandshakeDone]
    assert client.outgoing() == rfc.CLIENT_FINISHED_RECORD
    check_end(client, rfc.CLIENT_ALERT_RECORD, rfc.SERVER_ALERT_RECORD)
    check_secrets(secrets, rfc)


def test_the_server_asks_for_a_retry() -> None:
    rfc = rfc8448_retry
    secrets: list[Secret] = []
    mine = Credentials(chain_of(rfc.CERTIFICATE), RecordedKey(rfc.CERTIFICATE_VERIFY))
    config = ServerConfig(groups=(NamedGroup.secp256r1,), credentials=(mine,))
    outside = seams(
        {SECP256R1: secp256r1(rfc.SERVER_P256_PRIVATE_KEY)},
        [rfc.COOKIE, random_of(rfc.SERVER_HELLO_RECORD)],
        rfc.HELLO_RETRY_REQUEST_RECORD[HEADER:],
        rfc.SERVER_HELLO_RECORD[HEADER:],
        rfc.ENCRYPTED_EXTENSIONS,
    )
    server = ServerConnection(config, secret_sinks=[secrets.append], seams=outside)
    assert server.receive(rfc.CLIENT_HELLO_RECORD) == []
    assert server.outgoing() == rfc.HELLO_RETRY_REQUEST_RECORD
    assert server.receive(rfc.SECOND_CLIENT_HELLO_RECORD) == []
    assert server.outgoing() == rfc.SERVER_HELLO_RECORD + rfc.SERVER_FLIGHT_RECORD
    assert [type(result) for result in server.receive(rfc.CLIENT_FINISHED_RECORD)] == [HandshakeDone]
    assert server.receive(rfc.CLIENT_ALERT_RECORD) == [PeerClosed()]
    server.close()
    assert server.outgoing() == rfc.SERVER_ALERT_RECORD
    check_secrets(secrets, rfc)


# Section 6


def test_the_client_shows_a_certificate() -> None:
    rfc = rfc8448_client_auth
    secrets: list[Secret] = []
    config = ClientConfig(
        suites=SUITES,
        groups=(NamedGroup.x25519,),
        schemes=(SignatureScheme.ecdsa_secp256r1_sha256,),
        verifier=Expects(rfc.CERTIFICATE),
        credentials=(Credentials(chain_of(rfc.CLIENT_CERTIFICATE), RecordedKey(rfc.CLIENT_CERTIFICATE_VERIFY)),),
    )
    outside = seams(
        {X25519: x25519(rfc.CLIENT_PRIVATE_KEY)},
        [random_of(rfc.CLIENT_HELLO_RECORD)],
        rfc.CLIENT_HELLO_RECORD[HEADER:],
    )
    client = ClientConnection(config, server_name="server", secret_sinks=[secrets.append], seams=outside)
    assert client.outgoing() == rfc.CLIENT_HELLO_RECORD
    results = client.receive(rfc.SERVER_HELLO_RECORD + rfc.SERVER_FLIGHT_RECORD)
    assert [type(result) for result in results] == [HandshakeDone]
    assert client.outgoing() == rfc.CLIENT_FLIGHT_RECORD
    check_end(client, rfc.CLIENT_ALERT_RECORD, rfc.SERVER_ALERT_RECORD)
    check_secrets(secrets, rfc)


def test_the_server_asks_for_a_certificate() -> None:
    rfc = rfc8448_client_auth
    secrets: list[Secret] = []
    config = ServerConfig(
        groups=(NamedGroup.x25519,),
        credentials=(Credentials(chain_of(rfc.CERTIFICATE), RecordedKey(rfc.CERTIFICATE_VERIFY)),),
        verifier=Expects(rfc.CLIENT_CERTIFICATE),
        client_auth=ClientAuth.REQUIRE_AND_VERIFY,
    )
    outside = seams(
        {X25519: x25519(rfc.SERVER_PRIVATE_KEY)},
        [random_of(rfc.SERVER_HELLO_RECORD)],
        rfc.SERVER_HELLO_RECORD[HEADER:],
        rfc.ENCRYPTED_EXTENSIONS,
        rfc.CERTIFICATE_REQUEST,
    )
    server = ServerConnection(config, secret_sinks=[secrets.append], seams=outside)
    assert server.receive(rfc.CLIENT_HELLO_RECORD) == []
    assert server.outgoing() == rfc.SERVER_HELLO_RECORD + rfc.SERVER_FLIGHT_RECORD
    assert [type(result) for result in server.receive(rfc.CLIENT_FLIGHT_RECORD)] == [HandshakeDone]
    assert server.info.verified_peer is not None
    assert server.info.verified_peer.chain == chain_of(rfc.CLIENT_CERTIFICATE)
    assert server.receive(rfc.CLIENT_ALERT_RECORD) == [PeerClosed()]
    server.close()
    assert server.outgoing() == rfc.SERVER_ALERT_RECORD
    check_secrets(secrets, rfc)
