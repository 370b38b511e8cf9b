"""Two engines talking to each other in memory, watched by the lenses under test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from handfast.cli.verdict_words import DESCRIBER
from handfast.credentials.credentials import Credentials
from handfast.engine import ClientAuth, ClientConfig, ClientConnection, ServerConfig, ServerConnection
from handfast.errors import HandfastError
from handfast.events import Secret
from handfast.lens import verdict_line as verdict
from handfast.lens.outcome import Outcome
from handfast.lens.trace import Trace
from handfast.roles import Role
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from tests import certificates

if TYPE_CHECKING:
    from handfast.connection_info import ConnectionInfo
    from handfast.pki.authority import CertificateAuthority, Issued

REQUEST = b"GET /secret-path HTTP/1.1\r\n\r\n"
RESPONSE = b"the answer nobody else may read"


def credentials(*issued: Issued) -> tuple[Credentials, ...]:
    return tuple(Credentials.from_pem(one.cert_pem, one.key_pem) for one in issued)


def roots(*authorities: CertificateAuthority) -> Roots:
    return Roots.from_der([authority.certificate_der for authority in authorities])


def verifier(*authorities: CertificateAuthority) -> PathVerifier:
    return PathVerifier(roots(*authorities))


def server_config(client_auth: ClientAuth = ClientAuth.REQUIRE_AND_VERIFY, **settings: Any) -> ServerConfig:
    usual: dict[str, Any] = {
        "credentials": credentials(certificates.server()),
        "verifier": verifier(certificates.ca()),
        "ca_names": roots(certificates.ca()).names(),
        "application_protocols": ("http/1.1",),
    }
    # In TLS 1.2 a server that asks for no certificate has nothing to judge.
    if client_auth is ClientAuth.NONE and settings.get("versions") == (0x0303,):
        del usual["verifier"]
    return ServerConfig(client_auth=client_auth, **(usual | settings))


def client_config(*issued: Issued, **settings: Any) -> ClientConfig:
    usual: dict[str, Any] = {
        "verifier": verifier(certificates.ca()),
        "application_protocols": ("h2", "http/1.1"),
    }
    return ClientConfig(credentials=credentials(*issued), **(usual | settings))


@dataclass
class Watched:
    """What the lenses of one side saw; ``story`` has events and secrets in their order."""

    role: Role
    detail: Any = "names"
    secrets: Any = "none"
    now: float = 1000.0
    lines: list[str] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    revealed: list[Secret] = field(default_factory=list)
    story: list[Any] = field(default_factory=list)
    error: HandfastError | None = None

    def __post_init__(self) -> None:
        self.trace = Trace(self.lines.append, detail=self.detail, secrets=self.secrets, describer=DESCRIBER)
        self.outcome = Outcome(self.role, lambda: self.now)

    @property
    def lenses(self) -> dict[str, Any]:
        return {
            "observers": (self.trace, self.outcome, self.events.append, self.story.append),
            "secret_sinks": (self.trace.secret, self.revealed.append, self.story.append),
        }

    @property
    def info(self) -> ConnectionInfo:
        assert self.outcome.info is not None
        return self.outcome.info

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def hint(self) -> str:
        return verdict.hint(self.outcome, self.error, DESCRIBER)

    @property
    def verdict(self) -> str:
        return verdict.line(self.outcome, self.error, DESCRIBER)


def converse(
    client: ClientConfig,
    server: ServerConfig,
    *,
    detail: str = "names",
    secrets: str = "none",
    server_name: str = "localhost",
    talk: bool = True,
    lost: bool = False,
) -> tuple[Watched, Watched]:
    """One connection from ClientHello to close_notify, or as far as it comes; what client and server watched.

    With ``lost`` nothing that the client sends arrives.
    """
    watched = Watched(Role.CLIENT, detail, secrets), Watched(Role.SERVER, detail, secrets)
    ends = (
        ClientConnection(client, server_name=server_name, **watched[0].lenses),
        ServerConnection(server, **watched[1].lenses),
    )
    if lost:
        return watched
    _exchange(ends, watched)
    if talk and all(end.connected for end in ends):
        ends[0].send(REQUEST)
        _exchange(ends, watched)
        ends[1].send(RESPONSE)
        _exchange(ends, watched)
        for end in ends:
            end.close()
        _exchange(ends, watched)
    return watched


def _exchange(ends: tuple[Any, Any], watched: tuple[Watched, Watched]) -> None:
    """Carry bytes until both sides are silent."""
    moved = True
    while moved:
        moved = False
        for sender, receiver, told in ((ends[0], ends[1], watched[1]), (ends[1], ends[0], watched[0])):
            if data := sender.outgoing():
                moved = True
                try:
                    receiver.receive(data)
                except HandfastError as error:
                    told.error = error
