"""Two connections that talk in memory until neither has anything to say, and what each makes of the other."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa

from handfast.credentials.credentials import Credentials
from handfast.crypto import signatures
from handfast.engine import ClientAuth, ClientConfig, ClientConnection, Connection, Data, ServerConfig, ServerConnection
from handfast.errors import CertificateRejected, Fault, HandfastError, PeerRejected
from handfast.limits import MIN_RSA_BITS
from handfast.pki.faults import FaultNames, FaultSet, Role
from handfast.registry import AlertDescription, SignatureScheme
from handfast.trust.revocation.crl_store import Crls
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier

if TYPE_CHECKING:
    from handfast.pki.authority import Issued

SEED_VARIABLE = "HANDFAST_FAULT_SEED"
WORDS = {Role.CLIENT: b"what the client says first", Role.SERVER: b"what the server says first"}

# Some of them say what a certificate is not: no diagnosis may hang on a name.
_CA_WORDS = ("Root", "Intermediate", "Issuing CA", "Leaf", "Trusted", "Expired", "Server", "Client")
_LABELS = ("alpha", "omega", "corp", "revoked", "self-signed", "localhost", "www", "root")


def other(role: Role) -> Role:
    return Role.SERVER if role is Role.CLIENT else Role.CLIENT


def new_seed() -> int:
    """Another one in every run, unless the environment names one. Shown where a test fails."""
    seed = int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().randrange(2**32))
    print(f"the names in this test are those of {SEED_VARIABLE}={seed}")
    return seed


def random_names(seed: int) -> FaultNames:
    """Names that say nothing reliable about their part in a case."""
    chance = random.Random(seed)
    organization, root, other_root, intermediate = chance.sample(_CA_WORDS, 4)
    host, other_host, permitted, domain = (f"{label}.example" for label in chance.sample(_LABELS, 4))
    client = chance.choice(["alice", "Root CA", "host.example", "Jane Doe", "x" * 64])
    return FaultNames(
        organization=organization,
        ca=root,
        other_ca=other_root,
        intermediate=intermediate,
        host=host,
        address=chance.choice(["127.0.0.1", "192.0.2.7", "::1", "2001:db8::7"]),
        other_host=other_host,
        permitted_domain=permitted,
        client=client,
        client_uri=f"spiffe://{domain}/{chance.randrange(1000)}",
        email=f"{chance.randrange(1000)}@{host}",
        key_password=chance.randbytes(8).hex().encode(),
    )


class WeakSigner:
    """Signs with an RSA key that is too small for our own side to load."""

    schemes = (int(SignatureScheme.rsa_pss_rsae_sha256),)

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key

    def sign(self, scheme: int, message: bytes) -> bytes:
        return signatures.sign(self._key, scheme, message)


def credentials(issued: Issued) -> Credentials:
    """As from files; a key that our own side refuses there gets a signer of its own, as another stack would."""
    if isinstance(issued.key, rsa.RSAPrivateKey) and issued.key.key_size < MIN_RSA_BITS:
        return Credentials(issued.chain, WeakSigner(issued.key))
    return Credentials.from_pem(issued.cert_pem, issued.key_pem)


@dataclass(frozen=True)
class Settings:
    """Both sides of a case, each requiring and verifying the other's certificate.

    ``crl_at`` is the side that checks the case's list of revoked certificates; ``instead`` are credentials that a side
    has instead of the case's.
    """

    made: FaultSet
    crl_at: Role = Role.SERVER
    instead: Mapping[Role, Credentials] = field(default_factory=dict)

    def verifier(self, role: Role) -> PathVerifier:
        made = self.made
        known = () if made.intermediate is None else (made.intermediate,)
        crls = Crls.from_pem(made.crl) if made.crl is not None and role is self.crl_at else None
        return PathVerifier(Roots.from_der(made.roots), known_intermediates=known, crls=crls)

    def own(self, role: Role) -> tuple[Credentials, ...]:
        if role in self.instead:
            return (self.instead[role],)
        issued = self.made.server if role is Role.SERVER else self.made.client
        return () if issued is None else (credentials(issued),)

    @property
    def client(self) -> ClientConfig:
        return ClientConfig(credentials=self.own(Role.CLIENT), verifier=self.verifier(Role.CLIENT))

    @property
    def server(self) -> ServerConfig:
        return ServerConfig(
            credentials=self.own(Role.SERVER),
            verifier=self.verifier(Role.SERVER),
            client_auth=ClientAuth.REQUIRE_AND_VERIFY,
        )

    def meet(self) -> Meeting:
        """The two on the wire."""
        return Meeting(self.client, self.server, self.made.host)


class Meeting:
    """A conversation; each side says its words as soon as it may."""

    def __init__(self, client: ClientConfig, server: ServerConfig, server_name: str) -> None:
        self.sides: dict[Role, Connection] = {
            Role.CLIENT: ClientConnection(client, server_name=server_name),
            Role.SERVER: ServerConnection(server),
        }
        self.heard = {Role.CLIENT: b"", Role.SERVER: b""}
        said: set[Role] = set()
        for _ in range(8):
            for role in Role:
                if self.sides[role].connected and role not in said:
                    self.sides[role].send(WORDS[role])
                    said.add(role)
                self._carry(role)

    def _carry(self, sender: Role) -> None:
        receiver = other(sender)
        flight = self.sides[sender].outgoing()
        # What a side raises is in its ``error``.
        with contextlib.suppress(HandfastError):
            results = self.sides[receiver].receive(flight) if flight else []
            self.heard[receiver] += b"".join(result.data for result in results if isinstance(result, Data))

    def error(self, role: Role) -> HandfastError | None:
        return self.sides[role].error

    def assert_complete(self) -> None:
        """Both sides verified each other, and heard each other's words."""
        for role, side in self.sides.items():
            assert side.error is None, side.error
            assert side.info.verified_peer is not None
            assert self.heard[role] == WORDS[other(role)]
        assert self.sides[Role.SERVER].info.client_cert_error == ""

    def assert_refused(self, judged: Role, code: str, alert: AlertDescription) -> None:
        """The other side refused this one's certificate for that reason, told it by that alert, and heard nothing."""
        judge = other(judged)
        refusal, told = self.error(judge), self.error(judged)
        assert isinstance(refusal, CertificateRejected), refusal
        assert (refusal.code, refusal.alert) == (code, alert), refusal.explain()
        assert refusal.what
        assert refusal.hint
        assert refusal.fault is (Fault.OURS if alert is AlertDescription.internal_error else Fault.PEER)
        assert isinstance(told, PeerRejected), told
        assert told.code == alert.name
        assert self.heard[judge] == b""
        assert not self.sides[judge].connected
        assert self.sides[judge].info.verified_peer is None
