"""What a handshake may do to the world: send, wait, ask, switch keys. Nothing else.

A handshake is one generator per role and version that reads like the figure in the RFC. Local variables are its state;
whenever it must wait it yields a *step*: ``Expect`` (a message of the peer) or one of ``needs`` (a signature, a
verdict), which the connection answers. Only the methods of this file yield; everything else says ``yield from``. A call
of ``hs.expect(...)`` without it builds a generator that never runs, and would silently skip a check: a test over the
syntax tree of this folder forbids that.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias, TypeVar, overload

from handfast.config.by_name import no_such_name
from handfast.credentials.signers import must_be_checked
from handfast.crypto import signatures
from handfast.crypto.provider import CRYPTOGRAPHY, CryptoProvider
from handfast.errors import ApiMisuse, ConfigError, LocalFailure, PeerMisbehaved
from handfast.errors.foreign import said_by
from handfast.events import Checked, Epoch, Event, EventDispatcher, Secret, SecretDerived
from handfast.handshake.needs import Choose, Judge, Need, Resolve, Sign, SignBy
from handfast.handshake.seams import unchanged, with_provider
from handfast.keys import secret_names as keylog
from handfast.keys.schedule import EarlySecret, Report, TrafficSecret, early_secret_without_psk
from handfast.keys.transcript import Transcript
from handfast.record.protection import Protection13, protection_13
from handfast.record.protection12 import Protection12, protection_12
from handfast.roles import Direction, Role
from handfast.verdict import Verdict, as_verdict
from handfast.wire.messages import MESSAGES, HandshakeMessage, Messages
from handfast.wire.parsing import parse_handshake

if TYPE_CHECKING:
    from handfast.config.asked import CertificateWanted, HelloSeen
    from handfast.config.config import ClientConfig, Config, ConfigChooser, CredentialSource, ServerConfig
    from handfast.connection_info import ConnectionInfo
    from handfast.credentials.credentials import Credentials
    from handfast.crypto.suites import Suite13
    from handfast.crypto.suites12 import Suite12
    from handfast.handshake.seams import Seams
    from handfast.keys.schedule import ExporterSecret
    from handfast.keys.schedule12 import DirectionKeys
    from handfast.record.layer import RecordLayer
    from handfast.record.writing import Outgoing
    from handfast.trust.presented import PresentedChain
    from handfast.trust.verifiers import Verifier

M = TypeVar("M", bound=HandshakeMessage)
N = TypeVar("N", bound=HandshakeMessage)
L = TypeVar("L", bound=HandshakeMessage)


@dataclass(slots=True, eq=False)
class Expect:
    """The handshake waits for a message of the peer, of one of these classes."""

    kinds: tuple[type[HandshakeMessage], ...]
    types: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        self.types = frozenset([kind.HANDSHAKE_TYPE for kind in self.kinds])

    @property
    def names(self) -> str:
        """The messages by name, for errors and for the events of a connection that waits."""
        return " or ".join(dict.fromkeys(kind.__name__ for kind in self.kinds))


# A handshake waits for the same few kinds each time; what says so can be shared, since no answer is tied to it.
_expecting = cache(Expect)

Step: TypeAlias = Expect | Need


def misused(error: ApiMisuse) -> LocalFailure:
    """A misuse that is met in the middle of a handshake, say in a property of somebody's verifier.

    It is no fault of who called the connection, which must not live on with a handshake that broke off.
    """
    return LocalFailure("internal_error", reason=said_by(error))


class HandshakeContext:
    """The hands of a handshake, in either role; what only one role does takes the hands of that role."""

    role: ClassVar[Role]

    # How every handshake begins; what changes is set on its hands.
    client_random = b""
    # While not None, application data may come before the handshake is over: so many bytes more of it.
    early_data_left: int | None = None
    # Whether a server may answer it before the handshake is over: the client is known, and was asked for nothing.
    may_write_early = False
    early_exporter: ExporterSecret | None = None
    # How the version in use spells its messages, and what it calls its secrets.
    messages = MESSAGES
    _secret_names = keylog.SECRETS
    # Whether an alert may be a mere warning, which TLS 1.3 does not know.
    takes_warnings = False
    # Where primitives come from; ``use`` says otherwise.
    crypto = CRYPTOGRAPHY
    protection_13: Callable[[Suite13, TrafficSecret], Protection13] = Protection13
    protection_12: Callable[[Suite12, DirectionKeys], Protection12] = Protection12
    _held: HandshakeMessage | None = None

    def __init__(
        self, config: Config, records: RecordLayer, watch: EventDispatcher, seams: Seams, info: ConnectionInfo
    ) -> None:
        self.info = info
        self.records = records
        self.watch = watch
        self.seams = seams
        self.transcript = Transcript()
        self.config = config
        self.flight: list[Outgoing] = []
        if config.crypto is not self.crypto:
            self.use(config.crypto)

    def use(self, crypto: CryptoProvider) -> None:
        """From here on the primitives are this provider's. Raises ConfigError where a test brings keys of its own."""
        if crypto is not self.crypto:
            self.seams = with_provider(self.seams, self.crypto, crypto)
            self.crypto = crypto
            self.protection_13, self.protection_12 = protection_13(crypto), protection_12(crypto)

    def continued(self) -> Self:
        """Hands for an exchange after this handshake: its transcript starts with this one's. RFC 9846 4.5."""
        hs = type(self)(self.config, self.records, self.watch, self.seams, self.info)
        hs.client_random = self.client_random
        hs.transcript = self.transcript.copy()
        return hs

    def switch_version(self, messages: Messages, secret_names: keylog.SecretNames) -> None:
        """From here on another version is spoken than the one that a handshake begins with."""
        self.messages = messages
        self._secret_names = secret_names

    # Messages

    def send(self, message: M, encoded: bytes = b"") -> M:
        """Add a message to the flight and to the transcript; ``flush`` or a change of keys writes the flight.

        ``encoded`` is its encoding, if the caller has that already.
        """
        edit = self.seams.edit
        if edit is unchanged:
            raw = encoded or message.encode()
        else:
            message = edit(message)
            raw = message.encode()
        self.transcript.add(raw)
        self.flight.append((message, raw, []))
        return message

    def send_encoded(self, raw: bytes) -> None:
        """``send`` for a message that is encoded already, and made an object only where somebody looks at it."""
        if self.watch.active or self.seams.edit is not unchanged:
            self.send(parse_handshake(raw, self.messages), raw)
            return
        self.transcript.add(raw)
        self.flight.append((None, raw, []))

    def send_after(self, message: HandshakeMessage) -> None:
        """Add a message to the flight that comes after the handshake, and so to no transcript."""
        message = self.seams.edit(message)
        self.flight.append((message, message.encode(), []))

    def flush(self) -> None:
        """Write the flight, if there is one."""
        self.records.write_messages(self.flight)
        self.flight = []

    @overload
    def expect(self, kind: type[M], /) -> Generator[Step, Any, M]: ...
    @overload
    def expect(self, kind: type[M], other: type[N], /) -> Generator[Step, Any, M | N]: ...
    @overload
    def expect(self, kind: type[M], other: type[N], third: type[L], /) -> Generator[Step, Any, M | N | L]: ...
    def expect(self, *kinds: type[HandshakeMessage]) -> Generator[Step, Any, HandshakeMessage]:
        """Wait for a message of one of these classes and add it to the transcript."""
        message = self._held
        if message is None:
            message = yield _expecting(kinds)
        else:
            self._held = None
        if not isinstance(message, kinds):
            expected = Expect(kinds).names
            raise PeerMisbehaved("unexpected_message", message=type(message).__name__, expected=expected)
        self.transcript.add(message.raw)
        return message

    def maybe(
        self, kind: type[M], *, before: type[HandshakeMessage] | tuple[type[HandshakeMessage], ...]
    ) -> Generator[Step, Any, M | None]:
        """Wait for a message that may be left out, in which case one of ``before`` comes and is kept for ``expect``."""
        self._held = yield _expecting((kind, *before) if isinstance(before, tuple) else (kind, before))
        if isinstance(self._held, kind):
            return (yield from self.expect(kind))
        return None

    # Questions

    def ask(self, need: Need) -> Generator[Step, Any, object]:
        """The answer to a need, whatever it is: the methods below are for needs whose answer must be checked."""
        return (yield need)

    def sign(self, credentials: Credentials, scheme: int, content: bytes) -> Generator[Step, Any, bytes]:
        """A signature by our key; one that this process did not make itself is verified before anyone sees it."""
        foreign = must_be_checked(credentials.signer)
        if foreign or self.crypto is CRYPTOGRAPHY:
            signature = yield Sign(credentials, scheme, content)
        else:
            signature = yield SignBy(credentials, scheme, content, self.crypto)
        if not isinstance(signature, bytes):
            raise LocalFailure("signing_failed", reason=f"the signer returned {type(signature).__name__}, not bytes")
        if foreign and not signatures.verify(credentials.public_key, scheme, signature, content):
            raise LocalFailure("wrong_signature")
        return signature

    def judge(self, verifier: Verifier, presented: PresentedChain) -> Generator[Step, Any, Verdict]:
        """The verifier's verdict. Anything that is not a verdict is a refusal."""
        return as_verdict((yield Judge(verifier, presented)))

    def resolve(
        self, source: CredentialSource, asked: HelloSeen | CertificateWanted
    ) -> Generator[Step, Any, Sequence[Credentials]]:
        """Our credentials for what the peer asked; None stands for none. Anything else ends the handshake."""
        from handfast.credentials.credentials import Credentials

        found = yield Resolve(source, asked)
        several = (found,) if hasattr(found, "current") else found or ()
        if not isinstance(several, list | tuple):
            raise LocalFailure("need_failed", need="resolve", reason=f"it returned {type(found).__name__}")
        held = [getattr(one, "current", None) for one in several]
        current = [one for one in held if isinstance(one, Credentials)]
        if len(current) != len(held):
            raise LocalFailure("need_failed", need="resolve", reason=f"it returned {type(found).__name__}")
        return current

    # Keys

    def early_secret(self, suite: Suite13, psk: bytes | None = None) -> EarlySecret:
        """The start of the key schedule, which reports every secret if anyone wants to know. RFC 9846 7.1."""
        report = self.report
        if psk is None and report is None:
            return early_secret_without_psk(suite.hash)
        return EarlySecret(suite.hash, psk, report)

    @property
    def report(self) -> Report | None:
        """Who is to be told of every derived secret, or None."""
        return self._report if self.watch.wants_secrets else None

    def write_with(self, secret: TrafficSecret, suite: Suite13, epoch: Epoch) -> None:
        """Write what is still to be written, then switch the write keys."""
        if self.flight:
            self.flush()
        self.records.change_write_keys(self.protection_13(suite, secret), epoch, suite.id)

    def read_with(self, secret: TrafficSecret, suite: Suite13, epoch: Epoch, after: type[HandshakeMessage]) -> None:
        """Switch the read keys; handshake bytes left over from the old ones end the connection."""
        self.records.change_read_keys(self.protection_13(suite, secret), epoch, suite.id, after.__name__)

    def require_boundary(self, after: type[HandshakeMessage]) -> None:
        """Refuse handshake bytes that follow a message with which the peer's flight must end. RFC 9846 5.1."""
        self.records.require_boundary(after.__name__)

    # Telling

    def tell(self, event: Event) -> None:
        """Tell what a message causes, in its place after the message, which may still wait in the flight."""
        if self.flight:
            _, _, caused = self.flight[-1]
            caused.append(event)
        else:
            self.watch.emit(event)

    def checked(
        self, direction: Direction, what: str, content: bytes, expected: bytes, received: bytes, ok: bool
    ) -> None:
        """Tell of a proof that was computed and compared."""
        if self.watch.active:
            self.tell(
                Checked(
                    time=self.watch.time,
                    direction=direction,
                    what=what,
                    content=content,
                    expected=expected,
                    received=received,
                    ok=ok,
                )
            )

    def _report(self, name: str, label: str, inputs: tuple[str, ...], context: bytes, value: bytes) -> None:
        keylog_label, level = keylog.about(name, self._secret_names)
        self.watch.reveal(
            Secret(name=name, level=level, keylog_label=keylog_label, client_random=self.client_random, value=value)
        )
        if self.watch.active:
            self.tell(SecretDerived(time=self.watch.time, name=name, label=label, inputs=inputs, context=context))


class ClientHandshake(HandshakeContext):
    """A client's hands."""

    role = Role.CLIENT
    config: ClientConfig


class ServerHandshake(HandshakeContext):
    """A server's hands. ``config`` is the one chosen for this client, as soon as its hello has been read."""

    role = Role.SERVER
    config: ServerConfig

    def choose(self, chooser: ConfigChooser, hello: HelloSeen) -> Generator[Step, Any, ServerConfig]:
        """The configuration for this client. Anything that is not a configuration refuses the client."""
        from handfast.config.checks import check_chosen
        from handfast.config.config import ServerConfig

        config = yield Choose(chooser, hello)
        if config is None:
            raise no_such_name(hello.server_name)
        if not isinstance(config, ServerConfig):
            raise LocalFailure("need_failed", need="choose", reason=f"it returned {type(config).__name__}")
        try:
            check_chosen(self.config, config)
        except ConfigError as error:
            raise LocalFailure("need_failed", need="choose", reason=error.what) from None
        self.records.fragment_limit = config.max_fragment
        return config
