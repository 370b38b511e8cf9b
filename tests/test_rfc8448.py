"""RFC 8448 section 3, replayed in both roles, byte for byte.

What the trace's authors drew from randomness (randoms, ephemeral keys, the signature) and the extensions that they
chose to send are put in at the seams. Everything else, from the transcript to the last record, is computed by the
engine and compared with the trace.
"""

from __future__ import annotations

import calendar
from typing import Any

from handfast.credentials.credentials import Credentials
from handfast.crypto import groups
from handfast.crypto.signatures import certificate_public_key
from handfast.engine import (
    ClientConfig,
    ClientConnection,
    Data,
    HandshakeDone,
    PeerClosed,
    ServerConfig,
    ServerConnection,
)
from handfast.events import Secret
from handfast.handshake.seams import Seams
from handfast.registry import NamedGroup, SignatureScheme
from handfast.trust.presented import PresentedChain
from handfast.verdict import Verdict, accept, refuse
from handfast.wire.frames import HANDSHAKE
from handfast.wire.messages import Certificate, ClientHello, EncryptedExtensions, ServerHello
from handfast.wire.parsing import parse_handshake
from tests.vectors import rfc8448_simple as rfc

CLOCK = float(calendar.timegm((2018, 6, 1, 12, 0, 0)))
RECORDED = {
    ClientHello: rfc.CLIENT_HELLO,
    ServerHello: rfc.SERVER_HELLO,
    EncryptedExtensions: rfc.ENCRYPTED_EXTENSIONS,
}


def recorded_extensions(message: Any) -> Any:
    """The message as the engine built it, with the extension list (and empty session id) of the trace."""
    raw = RECORDED.get(type(message))
    if raw is None:
        return message
    recorded: Any = parse_handshake(raw)
    message.extensions = recorded.extensions
    if isinstance(message, ClientHello):
        message.legacy_session_id = recorded.legacy_session_id
    return message


class RecordedKey:
    """The trace's signer: it knows one signature."""

    schemes = (int(SignatureScheme.rsa_pss_rsae_sha256),)

    def sign(self, scheme: int, message: bytes) -> bytes:
        return parse_handshake(rfc.CERTIFICATE_VERIFY).signature  # type: ignore[attr-defined,no-any-return]


class ExpectedChain:
    """Accepts the one certificate of the trace at the time of the trace; it has no names, and 1024 bits."""

    def verify(self, presented: PresentedChain) -> Verdict:
        recorded: Any = parse_handshake(rfc.CERTIFICATE)
        expected = (recorded.certificate_list[0].cert_data,)
        if presented.chain == expected and presented.at.year == 2018:
            return accept(expected)
        return refuse("malformed", "not the certificate of RFC 8448")


def client_share(group: int) -> groups.KeyShare:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    private_key = X25519PrivateKey.from_private_bytes(rfc.CLIENT_PRIVATE_KEY)
    public = private_key.public_key().public_bytes_raw()
    return groups.KeyShare(group, public, lambda peer: private_key.exchange(X25519PublicKey.from_public_bytes(peer)))


def server_share(group: int, client_public: bytes) -> tuple[bytes, bytes]:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    private_key = X25519PrivateKey.from_private_bytes(rfc.SERVER_PRIVATE_KEY)
    shared = private_key.exchange(X25519PublicKey.from_public_bytes(client_public))
    return private_key.public_key().public_bytes_raw(), shared


def seams(random: bytes) -> Seams:
    return Seams(
        clock=lambda: CLOCK,
        random_bytes=lambda size: random[:size],
        generate=client_share,
        encapsulate=server_share,
        edit=recorded_extensions,
    )


SECRETS = {
    "early_secret": rfc.EARLY_SECRET,
    "shared_secret": rfc.SHARED_SECRET,
    "handshake_secret": rfc.HANDSHAKE_SECRET,
    "client_handshake_traffic_secret": rfc.CLIENT_HANDSHAKE_TRAFFIC_SECRET,
    "server_handshake_traffic_secret": rfc.SERVER_HANDSHAKE_TRAFFIC_SECRET,
    "main_secret": rfc.MAIN_SECRET,
    "client_application_traffic_secret_0": rfc.CLIENT_APPLICATION_TRAFFIC_SECRET,
    "server_application_traffic_secret_0": rfc.SERVER_APPLICATION_TRAFFIC_SECRET,
    "exporter_secret": rfc.EXPORTER_SECRET,
    "resumption_secret": rfc.RESUMPTION_SECRET,
}


def check_secrets(seen: list[Secret]) -> None:
    values = {secret.name: secret.value for secret in seen}
    assert {name: values[name] for name in SECRETS} == SECRETS


def test_client() -> None:
    secrets: list[Secret] = []
    config = ClientConfig(
        suites=(0x1301, 0x1303, 0x1302),
        groups=(NamedGroup.x25519,),
        schemes=RecordedKey.schemes,
        verifier=ExpectedChain(),
    )
    client = ClientConnection(
        config, server_name="server", secret_sinks=[secrets.append], seams=seams(rfc.CLIENT_RANDOM)
    )
    assert client.outgoing() == rfc.CLIENT_HELLO_RECORD
    results = client.receive(rfc.SERVER_HELLO_RECORD + rfc.SERVER_FLIGHT_RECORD)
    assert [type(result) for result in results] == [HandshakeDone]
    assert client.outgoing() == rfc.CLIENT_FINISHED_RECORD
    assert client.receive(rfc.NEW_SESSION_TICKET_RECORD) == []
    client.send(rfc.APPLICATION_DATA)
    assert client.outgoing() == rfc.CLIENT_APPLICATION_DATA_RECORD
    assert client.receive(rfc.SERVER_APPLICATION_DATA_RECORD) == [Data(rfc.APPLICATION_DATA)]
    client.close()
    assert client.outgoing() == rfc.CLIENT_ALERT_RECORD
    assert client.receive(rfc.SERVER_ALERT_RECORD) == [PeerClosed()]
    check_secrets(secrets)


def test_server() -> None:
    secrets: list[Secret] = []
    certificate: Any = parse_handshake(rfc.CERTIFICATE)
    assert isinstance(certificate, Certificate)
    chain = (certificate.certificate_list[0].cert_data,)
    assert certificate_public_key(chain[0]).name == "RSA 1024"
    config = ServerConfig(groups=(NamedGroup.x25519,), credentials=(Credentials(chain, RecordedKey()),))
    server = ServerConnection(config, secret_sinks=[secrets.append], seams=seams(rfc.SERVER_RANDOM))
    assert server.receive(rfc.CLIENT_HELLO_RECORD) == []
    assert server.outgoing() == rfc.SERVER_HELLO_RECORD + rfc.SERVER_FLIGHT_RECORD
    assert [type(result) for result in server.receive(rfc.CLIENT_FINISHED_RECORD)] == [HandshakeDone]
    # The ticket's contents are the other server's own; its record shows that ours has the right key and number.
    server._records.write(HANDSHAKE, rfc.NEW_SESSION_TICKET)
    assert server.outgoing() == rfc.NEW_SESSION_TICKET_RECORD
    assert server.receive(rfc.CLIENT_APPLICATION_DATA_RECORD) == [Data(rfc.APPLICATION_DATA)]
    server.send(rfc.APPLICATION_DATA)
    assert server.outgoing() == rfc.SERVER_APPLICATION_DATA_RECORD
    assert server.receive(rfc.CLIENT_ALERT_RECORD) == [PeerClosed()]
    server.close()
    assert server.outgoing() == rfc.SERVER_ALERT_RECORD
    check_secrets(secrets)
