"""What a handshake may wait for besides the peer: somebody's key, verdict, memory or choice.

Their owner may be slow or far away: a key in an HSM, a verifier that asks the network, a ticket store that others
share. So the handshake does not call them. It yields a *need*, an object that knows whom to ask and what, and the
connection puts the question by ``ask``. An answer that is there at once goes straight back. An awaitable is for the
shell around the connection to await, and DEFERRED leaves the answer to the connection's owner; meanwhile the connection
lives on.

An answer is worth nothing by itself. ``flow`` checks those that decide who somebody is (``sign``, ``judge``,
``choose``, ``resolve``); the others come back as they are, by ``ask``, to code that takes anything odd for a None.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, cast

from handfast.errors import LocalFailure

if TYPE_CHECKING:
    from handfast.config.asked import CertificateWanted, HelloSeen
    from handfast.config.config import ConfigChooser, CredentialSource
    from handfast.credentials.credentials import Credentials
    from handfast.credentials.signers import LocalSigner
    from handfast.crypto.provider import CryptoProvider
    from handfast.sessions.replay import ReplayGuard
    from handfast.sessions.tickets import SessionIds, Tickets
    from handfast.trust.presented import PresentedChain
    from handfast.trust.verifiers import Verifier
    from handfast.verdict import Verdict


@dataclass(slots=True, eq=False)
class Need:
    """The handshake waits for somebody other than the peer. Compared by identity: an answer is tied to its need.

    Where a need is not ``essential`` its owner's failure is logged, and counts as the answer None.
    """

    essential: ClassVar[bool] = True
    # The messages of the peer that may come meanwhile: none.
    types: ClassVar[frozenset[int]] = frozenset()
    # Who is asked, in the words of logs and of errors.
    who: ClassVar[str]

    def ask(self) -> object:
        """Put the question. Returns the answer, an awaitable of it, or DEFERRED when its owner will answer later."""
        raise LocalFailure("need_failed", need=type(self).__name__, reason="it cannot be asked")


@dataclass(slots=True, eq=False)
class Sign(Need):
    """A signature over ``content`` with ``scheme`` is needed. RFC 9846 4.5.2."""

    who: ClassVar[str] = "our signer"
    credentials: Credentials
    scheme: int
    content: bytes = field(repr=False)

    def ask(self) -> bytes | Awaitable[bytes] | object:
        return self.credentials.signer.sign(self.scheme, self.content)


@dataclass(slots=True, eq=False)
class SignBy(Sign):
    """``Sign`` for a key of this process, a ``LocalSigner``'s, with the primitives of another provider."""

    crypto: CryptoProvider

    def ask(self) -> bytes:
        signer = cast("LocalSigner", self.credentials.signer)
        return signer.sign_by(self.crypto, self.scheme, self.content)


@dataclass(slots=True, eq=False)
class Judge(Need):
    """A verdict on the peer's certificate chain is needed."""

    who: ClassVar[str] = "our verifier"
    verifier: Verifier
    presented: PresentedChain

    def ask(self) -> Verdict | Awaitable[Verdict] | object:
        return self.verifier.verify(self.presented)


@dataclass(slots=True, eq=False)
class Redeem(Need):
    """What a ticket stands for is needed; without an answer the handshake is a full one. RFC 9846 4.3.11."""

    essential: ClassVar[bool] = False
    who: ClassVar[str] = "our tickets"
    tickets: Tickets
    ticket: bytes = field(repr=False)
    policy: bytes = field(repr=False)

    def ask(self) -> object:
        return self.tickets.redeem(self.ticket, self.policy)


@dataclass(slots=True, eq=False)
class Issue(Need):
    """A ticket is needed; without an answer the client gets none. RFC 9846 4.7.1."""

    essential: ClassVar[bool] = False
    who: ClassVar[str] = "our tickets"
    tickets: Tickets
    state: bytes = field(repr=False)
    policy: bytes = field(repr=False)
    lifetime: int
    client: bytes = field(repr=False)

    def ask(self) -> object:
        return self.tickets.issue(self.state, self.policy, self.lifetime, self.client)


@dataclass(slots=True, eq=False)
class Find(Need):
    """What a session id stands for is needed; without an answer the handshake is a full one. RFC 5246 F.1.4."""

    essential: ClassVar[bool] = False
    who: ClassVar[str] = "our tickets"
    tickets: SessionIds
    session_id: bytes = field(repr=False)
    policy: bytes = field(repr=False)

    def ask(self) -> object:
        return self.tickets.find(self.session_id, self.policy)


@dataclass(slots=True, eq=False)
class Keep(Need):
    """A session is to be kept under its id; where that fails it cannot be resumed. RFC 5246 F.1.4."""

    essential: ClassVar[bool] = False
    who: ClassVar[str] = "our tickets"
    tickets: SessionIds
    session_id: bytes = field(repr=False)
    state: bytes = field(repr=False)
    policy: bytes = field(repr=False)
    lifetime: int
    client: bytes = field(repr=False)

    def ask(self) -> object:
        return self.tickets.keep(self.session_id, self.state, self.policy, self.lifetime, self.client)


@dataclass(slots=True, eq=False)
class CheckReplay(Need):
    """A replay guard is asked; without its yes the early data is refused. RFC 9846 8."""

    essential: ClassVar[bool] = False
    who: ClassVar[str] = "our replay guard"
    guard: ReplayGuard
    key: bytes = field(repr=False)
    seconds: float

    def ask(self) -> object:
        return self.guard.first_use(self.key, self.seconds)


@dataclass(slots=True, eq=False)
class Choose(Need):
    """The configuration for this client is needed."""

    who: ClassVar[str] = "our choose_config"
    chooser: ConfigChooser
    hello: HelloSeen

    def ask(self) -> object:
        return self.chooser(self.hello)


@dataclass(slots=True, eq=False)
class Resolve(Need):
    """Our credentials for what the peer asked are needed."""

    who: ClassVar[str] = "our choice of credentials"
    source: CredentialSource
    asked: HelloSeen | CertificateWanted

    def ask(self) -> object:
        return self.source(self.asked)
