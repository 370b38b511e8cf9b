"""What the scripted peers of both roles share: how they write, lie, listen to one of our connections, and check it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, NamedTuple, Self, TypeVar, overload

from handfast.crypto import signatures
from handfast.crypto.suites import SUITES_13
from handfast.engine import Connection, Result
from handfast.errors import HandfastError, PeerMisbehaved
from handfast.events import Epoch
from handfast.keys.schedule import (
    EarlySecret,
    ExporterSecret,
    HandshakeSecret,
    ResumptionSecret,
    TrafficSecret,
)
from handfast.keys.transcript import Transcript
from handfast.limits import MAX_PLAINTEXT, RECORD_HEADER
from handfast.pki.authority import Issued
from handfast.record.protection import Protection13
from handfast.record.protection12 import Protection12
from handfast.registry import AlertDescription
from handfast.wire.messages import (
    HANDSHAKE_HEADER,
    MESSAGES,
    Certificate,
    CertificateEntry,
    CertificateVerify,
    Finished,
    HandshakeMessage,
    KeyUpdate,
    Messages,
)
from handfast.wire.parsing import parse_handshake
from tests.lies import (
    ALERT,
    APPLICATION_DATA,
    FATAL,
    HANDSHAKE,
    TLS12,
    Item,
    Lie,
    Plain,
    Record,
    Wire,
)

# What protects records of ours that the peer cannot open, because a lie made the two derive different secrets.
OTHER_KEYS = "keys that the peer has not"

M = TypeVar("M", bound=HandshakeMessage)
N = TypeVar("N", bound=HandshakeMessage)


# What ours sent


class Got(NamedTuple):
    """What one record of ours held, and which keys protected it."""

    content_type: int
    content: bytes
    under: str


class GotAlert(NamedTuple):
    """An alert of ours."""

    level: int
    description: str
    under: str


class Refusal(NamedTuple):
    """How ours refused: the code of its error, the alert it sent, if any, and the keys that protected that."""

    code: str
    alert: str | None
    under: str | None


class Psk(NamedTuple):
    """A pre-shared key as a peer holds it: of a ticket that ours gave, or of one that it gave to ours."""

    identity: bytes
    key: bytes
    suite: int
    age_add: int = 0
    max_early_data: int = 0
    external: bool = False

    @property
    def early_secret(self) -> EarlySecret:
        """Where the key schedule begins."""
        return EarlySecret(SUITES_13[self.suite].hash, self.key)

    def binder(self, before: Transcript, truncated: bytes) -> bytes:
        """The proof over a hello up to its binders, and what came before. RFC 9846 4.3.11.2."""
        secret = self.early_secret
        return secret.binder_key(external=self.external).finished(before.digest_with(secret.hash, truncated))


class _Over(Exception):
    """Ours says nothing more, so the script ends early."""


@dataclass
class Peer:
    """What both roles share.

    Attributes:
        connection: ours.
        lies: step -> lie.
        identity: the certificate that is shown; None shows none.
        scheme: of CertificateVerify; what fits the key unless given. ``proves_as``: the role that its content names.
        fragment: the most bytes of handshake messages in one record. merged: whether messages share records.
        chunk: deliver this many bytes at a time; 0 delivers everything at once.
        on_need: is called while a need of ours is pending.
    """

    connection: Connection
    _: KW_ONLY
    lies: Mapping[str, Lie] = field(default_factory=dict)
    identity: Issued | None = None
    scheme: int | None = None
    proves_as: str = ""
    fragment: int = MAX_PLAINTEXT
    merged: bool = True
    chunk: int = 0
    on_need: Callable[[Connection], None] | None = None

    complete: bool = field(default=False, init=False)
    results: list[Result] = field(default_factory=list, init=False)
    raised: HandfastError | None = field(default=None, init=False)
    records: list[Got] = field(default_factory=list, init=False)
    messages: list[HandshakeMessage] = field(default_factory=list, init=False)
    alerts: list[GotAlert] = field(default_factory=list, init=False)
    data: bytearray = field(default_factory=bytearray, init=False)
    delivered: bytearray = field(default_factory=bytearray, init=False)

    ROLE = ""
    MESSAGES: ClassVar[Messages] = MESSAGES

    def __post_init__(self) -> None:
        self.transcript = Transcript()
        self.suite: Any = next(iter(SUITES_13.values()))
        self._write_keys: Protection13 | Protection12 | None = None
        self._read_keys: list[tuple[Epoch, Protection13 | Protection12]] = []
        self._pending = bytearray()
        self._outgoing = bytearray()
        self._incoming = bytearray()
        self._joined = bytearray()

    def run(self) -> Self:
        """Play the script to its end, or until ours has nothing more to say."""
        self._incoming += self.connection.outgoing()
        try:
            self.script()
            self.complete = True
        except _Over:
            pass
        self.flush()
        return self

    def script(self) -> None:
        """The handshake."""
        raise NotImplementedError

    @property
    def error(self) -> HandfastError:
        """What ended our connection."""
        error = self.connection.error
        assert error is not None
        return error

    @property
    def refusal(self) -> Refusal | None:
        """How ours refused, with one fatal alert at most, as the last thing it said; None if it did not."""
        self.listen()
        error = self.connection.error
        if error is None:
            return None
        warnings = ("close_notify", "user_canceled", "no_renegotiation")
        fatal = [got for got in self.alerts if got.description not in warnings]
        if not fatal:
            return Refusal(
                error.code, None, OTHER_KEYS if any(got.under == OTHER_KEYS for got in self.records) else None
            )
        assert len(fatal) == 1
        assert fatal[0].level == FATAL
        assert self.records[-1].content_type == ALERT
        return Refusal(error.code, fatal[0].description, fatal[0].under)

    # Sending

    def send(self, step: str, message: Item) -> None:
        """One step of the script: the message, or the lie that was told to stand for it."""
        lie = self.lies.get(step, message)
        self.put(lie(message) if callable(lie) else lie)

    def put(self, what: Item | Sequence[Item]) -> None:
        """Write to the wire, without delivering it yet."""
        if isinstance(what, HandshakeMessage):
            what = what.encode()
        if isinstance(what, bytes):
            self.transcript.add(what)
            self._pending += what
            if not self.merged:
                self._write_pending()
        elif isinstance(what, Record | Plain | Wire):
            self._write_pending()
            self._put_record(what)
        else:
            for item in what:
                self.put(item)

    def _put_record(self, item: Record | Plain | Wire) -> None:
        if isinstance(item, Wire):
            self._outgoing += item.data
            return
        if item.content_type == HANDSHAKE:
            self.transcript.add(item.content)
        if isinstance(item, Record):
            self._outgoing += item.damage(self._seal(item))
        else:
            self._outgoing += _plaintext_record(item.content_type, item.content, item.version)

    def _seal(self, record: Record) -> bytes:
        keys = record.keys or self._write_keys
        if keys is None:
            return _plaintext_record(record.content_type, record.content)
        if isinstance(keys, Protection12):
            return keys.seal(record.content_type, record.content)
        return keys.seal(record.content_type, record.content, record.padding)

    def _write_pending(self) -> None:
        for start in range(0, len(self._pending), self.fragment):
            self._outgoing += self._seal(Record(HANDSHAKE, bytes(self._pending[start : start + self.fragment])))
        self._pending.clear()

    def say(self, *items: Item) -> Self:
        """Send something more, after the handshake."""
        self.put(items)
        return self.flush()

    def update_keys(self, request: int = 0) -> Self:
        """Send KeyUpdate and write with the next keys."""
        self.put(KeyUpdate(request))
        self._write_with(self.write_secret.updated())
        return self.flush()

    def flush(self) -> Self:
        """Deliver what was written, and take what ours answers."""
        self._write_pending()
        wire = bytes(self._outgoing)
        self._outgoing.clear()
        step = self.chunk or len(wire) or 1
        for start in range(0, len(wire), step):
            self._deliver(wire[start : start + step])
        return self

    def _deliver(self, data: bytes) -> None:
        if self.connection.error is not None:
            return
        self.delivered += data
        try:
            self.results += self.connection.receive(data)
            if self.connection.need is not None and self.on_need is not None:
                self.on_need(self.connection)
        except HandfastError as error:
            self.raised = error
        self._incoming += self.connection.outgoing()

    def _write_with(self, secret: TrafficSecret) -> None:
        self._write_pending()
        self.write_secret = secret
        self._write_keys = Protection13(self.suite, secret)

    # Receiving

    @overload
    def expect(self, kind: type[M]) -> M: ...
    @overload
    def expect(self, kind: type[M], other: type[N]) -> M | N: ...
    def expect(self, kind: type[M], other: type[N] | None = None) -> M | N:
        """The next message of ours, which must be of one of these classes."""
        message = self._next_message()
        if message is None:
            self.flush()
            message = self._next_message()
        if message is None:
            raise _Over
        assert isinstance(message, (kind, other or kind)), f"ours sent {type(message).__name__}"
        self.transcript.add(message.raw)
        return message

    def listen(self) -> Self:
        """Read everything that ours sent and nobody has looked at; follow its KeyUpdates."""
        self._incoming += self.connection.outgoing()
        while (message := self._next_message()) is not None:
            if isinstance(message, KeyUpdate):
                self._read_with(Epoch.APPLICATION, self.read_secret.updated())
        return self

    def _next_message(self) -> HandshakeMessage | None:
        while (message := self._take_message()) is None:
            if not self._read_record():
                return None
        self.messages.append(message)
        return message

    def _take_message(self) -> HandshakeMessage | None:
        joined = self._joined
        end = HANDSHAKE_HEADER + int.from_bytes(joined[1:HANDSHAKE_HEADER], "big")
        if len(joined) < end:
            return None
        message = parse_handshake(bytes(joined[:end]), self.MESSAGES)
        del joined[:end]
        return message

    def _read_record(self) -> bool:
        wire = self._incoming
        end = RECORD_HEADER + int.from_bytes(wire[3:5], "big")
        if len(wire) < end:
            return False
        got = self._open(bytes(wire[:RECORD_HEADER]), bytes(wire[RECORD_HEADER:end]))
        del wire[:end]
        self.records.append(got)
        if got.content_type == HANDSHAKE:
            self._joined += got.content
        elif got.content_type == ALERT:
            level, description = got.content
            self.alerts.append(GotAlert(level, AlertDescription.describe(description), got.under))
        elif got.content_type == APPLICATION_DATA:
            self.data += got.content
        return True

    def _open(self, header: bytes, body: bytes) -> Got:
        if header[0] != APPLICATION_DATA:
            return Got(header[0], body, Epoch.PLAINTEXT)
        for epoch, keys in reversed(self._read_keys):
            try:
                content_type, content, _ = keys.open(header, body)
            except PeerMisbehaved:
                continue
            return Got(content_type, content, epoch)
        return Got(0, body, OTHER_KEYS)

    def _read_with(self, epoch: Epoch, secret: TrafficSecret) -> None:
        self.read_secret = secret
        self._read_keys.append((epoch, Protection13(self.suite, secret)))

    def got(self, kind: type[M]) -> M:
        """The first message of this class that ours sent."""
        return next(message for message in self.listen().messages if isinstance(message, kind))

    # Steps that both roles have

    def _prove(self) -> None:
        """Certificate and CertificateVerify."""
        chain = () if self.identity is None else self.identity.chain
        self.send("Certificate", Certificate(b"", tuple(CertificateEntry(certificate) for certificate in chain)))
        if self.identity is not None:
            key = self.identity.key
            scheme = self.scheme
            if scheme is None:
                scheme = signatures.schemes_for(signatures.certificate_public_key(chain[0]))[0]
            content = proof_content(self.proves_as or self.ROLE, self.transcript)
            self.send("CertificateVerify", CertificateVerify(scheme, signatures.sign(key, scheme, content)))

    def _check_proof(self, certificate: Certificate, role: str) -> None:
        content = proof_content(role, self.transcript)
        proof = self.expect(CertificateVerify)
        key = signatures.certificate_public_key(certificate.certificate_list[0].cert_data)
        assert signatures.verify(key, proof.algorithm, proof.signature, content)

    def _send_finished(self) -> None:
        self.send("Finished", Finished(self.write_secret.finished(self.transcript.digest())))

    def _client_is_finished(self) -> None:
        """The last message of the handshake is in the transcript."""
        self.resumption_secret: ResumptionSecret = self.main_secret.resumption_secret(self.transcript.digest())

    def _check_finished(self) -> None:
        expected = self.read_secret.finished(self.transcript.digest())
        assert self.expect(Finished).verify_data == expected

    def _application_secrets(self, handshake_secret: HandshakeSecret) -> tuple[TrafficSecret, TrafficSecret]:
        """The application secrets of client and server."""
        self.main_secret: Any = handshake_secret.main_secret()
        self.exporter: ExporterSecret
        *secrets, self.exporter = self.main_secret.application_secrets(self.transcript.digest())
        self.application_secrets: tuple[TrafficSecret, TrafficSecret] = secrets[0], secrets[1]
        return self.application_secrets


def _plaintext_record(content_type: int, content: bytes, version: int = TLS12) -> bytes:
    return bytes((content_type,)) + version.to_bytes(2, "big") + len(content).to_bytes(2, "big") + content


def proof_content(role: str, transcript: Transcript) -> bytes:
    """RFC 9846 4.5.2."""
    return b"\x20" * 64 + f"TLS 1.3, {role} CertificateVerify".encode() + b"\0" + transcript.digest()
