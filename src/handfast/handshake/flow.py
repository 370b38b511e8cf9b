"""What a handshake may do to the world: send, wait, ask, switch keys. Nothing else.

A handshake is one generator per role and version that reads like the figure in the RFC. Local variables are its state;
whenever it must wait it yields a *step*: ``Expect`` (a message of the peer) or a ``Need`` (a signature, a verdict),
which the connection answers. Only the methods of this file yield; everything else says ``yield from``. A call of
``hs.expect(...)`` without it builds a generator that nobody runs, and would silently skip a check: a test over the
syntax tree of this folder forbids that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast, overload

from handfast.crypto import signatures
from handfast.errors import LocalFailure, PeerMisbehaved
from handfast.events import Checked, Direction, Epoch, Event, Role, Secret, SecretDerived, Watch
from handfast.keys import keylog
from handfast.keys.schedule import EarlySecret, Report, TrafficSecret
from handfast.keys.transcript import Transcript
from handfast.record.layer import Outgoing
from handfast.record.protection import Protection13
from handfast.trust.signers import must_be_checked
from handfast.trust.verdict import Verdict, as_verdict
from handfast.wire.messages import MESSAGES, HandshakeMessage, Messages

if TYPE_CHECKING:
    from handfast.crypto.suites import Suite13
    from handfast.handshake.info import ConnectionInfo
    from handfast.handshake.seams import Seams
    from handfast.record.layer import RecordLayer
    from handfast.trust.credentials import Credentials
    from handfast.trust.presented import PresentedChain
    from handfast.trust.verifiers import Verifier

M = TypeVar("M", bound=HandshakeMessage)
N = TypeVar("N", bound=HandshakeMessage)
L = TypeVar("L", bound=HandshakeMessage)


@dataclass(slots=True, eq=False)
class Expect:
    """The handshake waits for a message of the peer, of one of these classes."""

    kinds: tuple[type[HandshakeMessage], ...]

    @property
    def names(self) -> str:
        """The messages by name, for errors and for the events of a connection that waits."""
        return " or ".join(dict.fromkeys(kind.__name__ for kind in self.kinds))


@dataclass(slots=True, eq=False)
class Need:
    """The handshake waits for somebody other than the peer. Compared by identity: an answer is tied to its need."""

    def ask(self) -> object:
        """Put the question. Returns the answer, an awaitable of it, or DEFERRED when its owner will answer later."""
        raise LocalFailure("need_failed", need=type(self).__name__, reason="it cannot be asked")


@dataclass(slots=True, eq=False)
class Sign(Need):
    """A signature over ``content`` with ``scheme`` is needed. RFC 9846 4.5.2."""

    credentials: Credentials
    scheme: int
    content: bytes = field(repr=False)

    def ask(self) -> bytes | Awaitable[bytes] | object:
        return self.credentials.signer.sign(self.scheme, self.content)


@dataclass(slots=True, eq=False)
class Judge(Need):
    """A verdict on the peer's certificate chain is needed."""

    verifier: Verifier
    presented: PresentedChain

    def ask(self) -> Verdict | Awaitable[Verdict] | object:
        return self.verifier.verify(self.presented)


Step: TypeAlias = Expect | Need


class Handshake:
    """The hands of a handshake, in either role."""

    def __init__(self, role: Role, records: RecordLayer, watch: Watch, seams: Seams, info: ConnectionInfo) -> None:
        self.role = role
        self.info = info
        self.records = records
        self.watch = watch
        self.seams = seams
        self.transcript = Transcript()
        self.client_random = b""
        # How the version in use spells its messages, and what it calls its secrets.
        self.messages = MESSAGES
        self._secret_names = keylog.SECRETS
        # Whether an alert may be a mere warning, which TLS 1.3 does not know.
        self.takes_warnings = False
        self._flight: list[Outgoing] = []
        self._held: HandshakeMessage | None = None

    def speak(self, messages: Messages, secret_names: keylog.SecretNames) -> None:
        """From here on another version is spoken than the one that a handshake begins with."""
        self.messages = messages
        self._secret_names = secret_names

    # Messages

    def send(self, message: M) -> M:
        """Add a message to the flight and to the transcript; ``flush`` or a change of keys writes the flight."""
        message = cast(M, self.seams.edit(message))
        raw = message.encode()
        self.transcript.add(raw)
        self._flight.append(Outgoing(message, raw, []))
        return message

    def flush(self) -> None:
        """Write the flight."""
        if self._flight:
            self.records.write_messages(self._flight)
            self._flight = []

    @overload
    def expect(self, kind: type[M], /) -> Generator[Step, Any, M]: ...
    @overload
    def expect(self, kind: type[M], other: type[N], /) -> Generator[Step, Any, M | N]: ...
    @overload
    def expect(self, kind: type[M], other: type[N], third: type[L], /) -> Generator[Step, Any, M | N | L]: ...
    def expect(
        self, kind: type[HandshakeMessage], *others: type[HandshakeMessage]
    ) -> Generator[Step, Any, HandshakeMessage]:
        """Wait for a message of one of these classes and add it to the transcript."""
        kinds = (kind, *others)
        message = self._held
        if message is None:
            message = yield Expect(kinds)
        self._held = None
        if not isinstance(message, kinds):
            expected = Expect(kinds).names
            raise PeerMisbehaved("unexpected_message", message=type(message).__name__, expected=expected)
        self.transcript.add(message.raw)
        return message

    def maybe(self, kind: type[M], *, before: type[HandshakeMessage]) -> Generator[Step, Any, M | None]:
        """Wait for a message that may be left out, in which case ``before`` comes; that one is kept for ``expect``."""
        self._held = yield Expect((kind, before))
        if isinstance(self._held, kind):
            return (yield from self.expect(kind))
        return None

    # Questions

    def sign(self, credentials: Credentials, scheme: int, content: bytes) -> Generator[Step, Any, bytes]:
        """A signature by our key; one that this process did not make itself is verified before anyone sees it."""
        signature = yield Sign(credentials, scheme, content)
        if not isinstance(signature, bytes):
            raise LocalFailure("signing_failed", reason=f"the signer returned {type(signature).__name__}, not bytes")
        foreign = must_be_checked(credentials.signer)
        if foreign and not signatures.verify(credentials.public_key, scheme, signature, content):
            raise LocalFailure("wrong_signature")
        return signature

    def judge(self, verifier: Verifier, presented: PresentedChain) -> Generator[Step, Any, Verdict]:
        """The verifier's verdict. Anything that is not a verdict is a refusal."""
        return as_verdict((yield Judge(verifier, presented)))

    # Keys

    def early_secret(self, suite: Suite13) -> EarlySecret:
        """The start of the key schedule, which reports every secret if anyone wants to know. RFC 9846 7.1."""
        return EarlySecret(suite.hash, report=self.report)

    @property
    def report(self) -> Report | None:
        """Who is to be told of every derived secret, or None."""
        return self._report if self.watch.wants_secrets else None

    def write_with(self, secret: TrafficSecret, suite: Suite13, epoch: Epoch) -> None:
        """Write what is still to be written, then switch the write keys."""
        self.flush()
        self.records.change_write_keys(Protection13(suite, secret), epoch, suite.id)

    def read_with(self, secret: TrafficSecret, suite: Suite13, epoch: Epoch, after: type[HandshakeMessage]) -> None:
        """Switch the read keys; handshake bytes left over from the old ones end the connection."""
        self.records.change_read_keys(Protection13(suite, secret), epoch, suite.id, after.__name__)

    def require_boundary(self, after: type[HandshakeMessage]) -> None:
        """Refuse handshake bytes that follow a message with which the peer's flight must end. RFC 9846 5.1."""
        self.records.require_boundary(after.__name__)

    # Telling

    def tell(self, event: Event) -> None:
        """Tell what a message causes, in its place after the message, which may still wait in the flight."""
        if self._flight:
            self._flight[-1].caused.append(event)
        else:
            self.watch.emit(event)

    def checked(
        self, direction: Direction, what: str, content: bytes, expected: bytes, received: bytes, ok: bool
    ) -> None:
        """Tell of a proof that was computed and compared."""
        if self.watch.active:
            self.tell(Checked(self.watch.time, direction, what, content, expected, received, ok))

    def _report(self, name: str, label: str, inputs: tuple[str, ...], context: bytes, value: bytes) -> None:
        keylog_label, level = keylog.about(name, self._secret_names)
        self.watch.reveal(Secret(name, level, keylog_label, self.client_random, value))
        if self.watch.active:
            self.tell(SecretDerived(self.watch.time, name, label, inputs, context))
