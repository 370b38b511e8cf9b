"""The trace: every record, message, alert, key change, verdict and choice of a connection, as text while it happens.

The headings are ssldump's, which people know::

    connection record  time (since the heading before)  direction  type

Below a heading stand, indented, the messages that end in that record and what they caused: a name in brackets says what
kind of event a line tells. Three levels of detail: ``names`` gives a message one line, ``fields`` all of its fields,
``bytes`` every byte beside its field, and how each secret and proof came about.

Secrets never come with events. The trace is handed them separately, through ``secret``, and keeps those that its level
allows until the event that announces them; of the others it remembers only that they exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from handfast.events import (
    CHECKS,
    AlertSeen,
    CertificateChosen,
    Checked,
    Closed,
    Epoch,
    Event,
    HandshakeComplete,
    KeysChanged,
    MessageSeen,
    NeedAnswered,
    NeedAsked,
    Negotiated,
    Noted,
    PeerJudged,
    RecordSeen,
    Secret,
    SecretDerived,
    SecretLevel,
)
from handfast.keys import secret_names
from handfast.lens import summary
from handfast.lens.dump import dumped_fields, hexdump, named_fields, readable_dump
from handfast.lens.key_schedule import KeySchedule, Opened, Part, Step
from handfast.limits import MAX_LOG_LINE
from handfast.outcome.certificate_words import DESCRIBER
from handfast.registry import (
    AlertDescription,
    AlertLevel,
    CipherSuite,
    ContentType,
    HandshakeType,
    NamedGroup,
    ProtocolVersion,
    SignatureScheme,
)
from handfast.registry.meanings import meanings
from handfast.registry.sentences import Explained, split
from handfast.roles import Direction
from handfast.text import escape
from handfast.wire import messages12
from handfast.wire.compression import certificate_in
from handfast.wire.explained import explained
from handfast.wire.fields import fields_of, fields_of_struct
from handfast.wire.messages import MESSAGES, CompressedCertificate, Finished
from handfast.wire.messages_old import messages_of
from handfast.wire.records import RecordHeader

if TYPE_CHECKING:
    from handfast.outcome.describer import Describer

Detail = Literal["names", "fields", "bytes"]
Secrets = Literal["none", "traffic", "all"]

_TITLES: dict[int, str] = {
    ContentType.change_cipher_spec: "ChangeCipherSpec",
    ContentType.alert: "Alert",
    ContentType.handshake: "Handshake",
    ContentType.application_data: "application_data",
    24: "Heartbeat",
}
_LEVELS: dict[str, frozenset[SecretLevel]] = {
    "none": frozenset(),
    "traffic": frozenset({SecretLevel.TRAFFIC}),
    "all": frozenset(SecretLevel),
}
_INDENT = " " * 6
_DEEPER = " " * 8


class Trace:
    """An observer that writes lines, and whose method ``secret`` is a secret sink.

    ``write`` gets each line without its line break; ``label`` is the first column, the connection's number.
    ``describer`` puts certificates and names into words; without one they are described by their names. ``explain``
    adds what each message, secret, proof and alert is, in a sentence with its section, where it comes first.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        detail: Detail = "names",
        secrets: Secrets = "none",
        label: str = "1",
        describer: Describer | None = None,
        explain: bool = False,
    ) -> None:
        self._write = write
        self._detail = detail
        self._levels = _LEVELS[secrets]
        self._label = label
        self._describer = describer or DESCRIBER
        self._explain = explain
        self._explained: set[Explained] = set()
        self._values: dict[str, bytes | SecretLevel] = {}
        self._started: float | None = None
        self._heading_time = 0.0
        self._records = 0
        self._numbers: dict[tuple[Direction, int], int] = {}
        # Handshake bytes of each direction that no message has claimed yet: shown if they turn out not to be one.
        self._unclaimed = dict.fromkeys(Direction, b"")
        self._certificate_requested = False
        self._messages = MESSAGES
        self._schedule = KeySchedule() if detail == "bytes" else None

    def secret(self, secret: Secret) -> None:
        """Keep a secret's value, if it may be shown, until its ``SecretDerived`` event."""
        shown = secret.level in self._levels
        self._values[secret.name] = secret.value if shown else secret.level
        if self._schedule is not None:
            self._schedule.learn(secret.name, secret.value if shown else None)

    def __call__(self, event: Event) -> None:
        for line in self._lines(event):
            # What a peer says is escaped where it becomes a part of a line; here nothing that slipped through gets out.
            fine = len(line) <= MAX_LOG_LINE and line.isprintable()
            self._write(line if fine else escape(line, MAX_LOG_LINE))

    def _lines(self, event: Event) -> Iterator[str]:
        match event:
            case RecordSeen():
                return self._record(event)
            case MessageSeen():
                return self._message(event)
            case AlertSeen():
                return self._alert(event)
            case SecretDerived():
                return self._secret_derived(event)
            case Checked():
                return self._checked(event)
            case PeerJudged():
                return self._judged(event)
            case CertificateChosen():
                return self._chosen(event)
            case Closed():
                return self._closed(event)
            case KeysChanged():
                return self._keys_changed(event)
            case _:
                return map(_INDENT.__add__, one_line(event))

    def _about(self, said: Explained) -> Iterator[str]:
        """What something is, once in a connection."""
        if self._explain and said.sentence and said not in self._explained:
            self._explained.add(said)
            yield f"{_DEEPER}{said.sentence} ({said.rfc})"

    # Headings

    def _heading(self, event: Event, direction: Direction, number: str, title: str) -> str:
        if self._started is None:
            self._started = self._heading_time = event.time
        since_start, step = event.time - self._started, event.time - self._heading_time
        self._heading_time = event.time
        return f"{self._label} {number:<2} {since_start:.4f} ({step:.4f})  {direction}  {title}"

    def _record(self, record: RecordSeen) -> Iterator[str]:
        self._records += 1
        self._numbers[record.direction, record.index] = self._records
        kind = _TITLES.get(record.content_type, f"record of type {record.content_type}")
        title = [kind, f"{len(record.header) + len(record.body)} bytes"]
        if record.epoch is not Epoch.PLAINTEXT:
            title.append(f"{record.epoch} keys")
        yield self._heading(record, record.direction, str(self._records), ", ".join(title))
        if self._detail == "bytes":
            yield _INDENT + _record_header(record)
        opened = None if self._schedule is None else self._schedule.record(record)
        yield from map(_DEEPER.__add__, () if opened is None else _opened(opened))
        if record.unreadable_reason:
            yield f"{_INDENT}(not opened: {escape(record.unreadable_reason)})"
        elif record.content_type == ContentType.application_data:
            yield from self._application_data(record.content)
        elif record.content_type == ContentType.handshake:
            self._unclaimed[record.direction] += record.content
        elif self._detail == "bytes":
            yield from (_DEEPER + row for row in hexdump(record.content))

    def _application_data(self, content: bytes) -> Iterator[str]:
        if SecretLevel.TRAFFIC in self._levels:
            yield from (_DEEPER + row for row in readable_dump(content))
        else:
            yield f'{_INDENT}{len(content)} bytes of application data (hidden: secrets="traffic" shows them)'

    def _closed(self, event: Closed) -> Iterator[str]:
        yield from self._undecoded(event.direction)
        yield self._heading(event, event.direction, "", f"closed: {escape(event.how)}")

    # Messages

    def _message(self, event: MessageSeen) -> Iterator[str]:
        if self._schedule is not None:
            self._schedule.message(event)
        before, _, after = self._unclaimed[event.direction].partition(event.raw)
        self._unclaimed[event.direction] = before + after
        numbers = sorted(self._numbers.pop((event.direction, index), self._records) for index in event.records)
        spread = f", in records {numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else ""
        facts = summary.facts(event.message, self._describer)
        title = f"{summary.name_of(event.message)}, {len(event.raw)} bytes{spread}"
        yield f"{_INDENT}{title}" + (f": {facts}" if facts else "")
        yield from self._about(explained(type(event.message)))
        if isinstance(event.message, messages12.ServerHello):
            self._messages = messages_of(event.message.server_version)
        yield from self._fields(event.raw)
        yield from self._inside(event.message)
        if isinstance(event.message, summary.REQUESTS):
            self._certificate_requested = True
        servers_finished = isinstance(event.message, Finished) and event.direction is Direction.SERVER_TO_CLIENT
        if servers_finished and not self._certificate_requested:
            yield f"{_INDENT}(no CertificateRequest: {summary.ca_names(None, self._describer)})"

    def _fields(self, raw: bytes) -> Iterator[str]:
        if self._detail == "names":
            return
        render = dumped_fields if self._detail == "bytes" else named_fields
        hide = SecretLevel.ALL not in self._levels
        for line in render(fields_of(raw, self._messages), self._describer, hide_sessions=hide):
            yield _DEEPER + line

    def _inside(self, message: object) -> Iterator[str]:
        """The fields of what came compressed, below those of the message that brought it."""
        certificate = certificate_in(message) if isinstance(message, CompressedCertificate) else None
        if certificate is None or self._detail == "names":
            return
        yield f"{_DEEPER}inside, once it is inflated:"
        yield from (f"  {line}" for line in self._fields(certificate.raw))

    def _undecoded(self, direction: Direction) -> Iterator[str]:
        left_over, self._unclaimed[direction] = self._unclaimed[direction], b""
        if not left_over or self._detail == "names":
            return
        yield f"{_INDENT}{direction} {len(left_over)} handshake bytes that are not a whole, valid message:"
        if left_over[0] != HandshakeType.new_session_ticket or SecretLevel.ALL in self._levels:
            yield from self._fields(left_over)

    def _alert(self, event: AlertSeen) -> Iterator[str]:
        for direction in Direction:
            if direction is not event.direction:
                yield from self._undecoded(direction)
        level, name = AlertLevel.describe(event.level), AlertDescription.describe(event.description)
        trusted = "" if event.authenticated else ", not authenticated: anyone on the path can send it"
        yield f"{_INDENT}{level} {name} ({int(event.description)}){trusted}"
        for said in meanings(AlertDescription, event.description):
            yield from self._about(said)
        if event.error is not None:
            yield f"{_INDENT}because {event.error.explain()}"

    # What happened beside the wire

    def _keys_changed(self, event: KeysChanged) -> Iterator[str]:
        yield from map(_INDENT.__add__, one_line(event))
        if self._schedule is not None:
            steps = self._schedule.keys_changed(event)
            generation = self._schedule.generation(event.direction)
            if steps and generation:
                yield f"{_DEEPER}generation {generation} of this direction's application traffic secrets"
            yield from map(_DEEPER.__add__, map(_step, steps))

    def _secret_derived(self, event: SecretDerived) -> Iterator[str]:
        value = self._values.pop(event.name, None)
        if self._detail == "names" and not self._levels:
            return
        yield f"{_INDENT}[secret] {event.name} = {derivation(event)}"
        texts = secret_names.MEANINGS if self._messages is MESSAGES else secret_names.MEANINGS_12
        yield from self._about(secret_names.explained(event.name, texts))
        if self._detail == "bytes" and event.context:
            yield f"{_DEEPER}{context_name(event.label)}: {event.context.hex()}"
        if isinstance(value, bytes):
            yield f"{_DEEPER}value: {value.hex()}"
        else:
            level = 'secrets="all"' if value is SecretLevel.ALL else 'secrets="traffic"'
            yield f"{_DEEPER}value: (hidden: {level} shows it)"
        if self._schedule is not None:
            lines = _joined(parts) if (parts := self._schedule.parts(event)) else self._covered(event.context)
            yield from map(_DEEPER.__add__, lines)

    def _checked(self, event: Checked) -> Iterator[str]:
        result = "is right" if event.ok else "is WRONG"
        if self._detail != "names" or not event.ok:
            yield f"{_INDENT}[check] {event.direction} {event.what} {result}"
            yield from self._about(split(CHECKS.get(event.what)))
        if self._detail != "bytes":
            return
        if self._schedule is not None:
            yield from map(_DEEPER.__add__, self._finished(self._schedule, event))
            yield from map(_DEEPER.__add__, self._covered(event.content))
        # A signature is not computed again to be compared, and stands in the message above.
        compared = [("expected", event.expected), ("received", event.received)] if event.expected else []
        for title, data in (("over", event.content), *compared):
            yield f"{_DEEPER}{title} {len(data)} bytes:"
            yield from (f"{_DEEPER}  {row}" for row in hexdump(data))

    @staticmethod
    def _finished(schedule: KeySchedule, event: Checked) -> Iterator[str]:
        key, formula = schedule.finished(event)
        if key is not None:
            yield _step(key)
        if formula:
            yield f"verify_data = {formula}"

    def _covered(self, transcript_hash: bytes) -> Iterator[str]:
        """Which messages a hash is of, if it is of any."""
        names = self._schedule.covered(transcript_hash) if self._schedule is not None and transcript_hash else []
        if names:
            yield f"a hash of: {', '.join(names)}"

    def _judged(self, event: PeerJudged) -> Iterator[str]:
        peer = "client" if event.direction is Direction.CLIENT_TO_SERVER else "server"
        verdict = event.verdict
        shown = self._describer.identity(event.chain[0]) if event.chain else "without a certificate"
        said = "accepted" if verdict.accepted else f"refused, {verdict.code}"
        yield f"{_INDENT}[verdict] {peer} {shown}: {said}" + (f": {verdict.explanation}" if verdict.explanation else "")
        if self._detail != "names":
            yield from (f"{_DEEPER}{reason.code}: {reason.explanation}" for reason in verdict.reasons[1:])

    def _chosen(self, event: CertificateChosen) -> Iterator[str]:
        sender = "client" if event.direction is Direction.CLIENT_TO_SERVER else "server"
        shown = self._describer.identity(event.chain[0]) if event.chain else "no certificate"
        scheme = f", {SignatureScheme.describe(event.scheme)}" if event.scheme is not None else ""
        yield f"{_INDENT}[choice] the {sender} shows {shown}{scheme}: {escape(event.reason)}"
        # One that is shown, or the only one that is not, has its reason above.
        for one in event.considered if len(event.considered) > 1 else ():
            if not one.shown:
                yield f"{_DEEPER}not {self._describer.identity(one.certificate)}: {escape(one.why)}"
        if self._detail != "names" and event.hints is not None:
            yield from (f"{_DEEPER}CA name: {self._describer.name(hint)}" for hint in event.hints)


# TLS 1.3's derivations whose context is no transcript hash. RFC 9846 4.7.1 and 7.2.
_EXPANSIONS = frozenset(("resumption", "traffic upd"))
# The labels of TLS 1.2's derivations.
_PRF_LABELS = frozenset(("master secret", "extended master secret", "key expansion"))


def one_line(event: Event) -> Iterator[str]:
    """The events that one line at every level of detail tells whole."""
    match event:
        case KeysChanged():
            suite = CipherSuite.describe(event.suite)
            yield f"[keys] {event.direction} is protected by {event.epoch} keys from here on ({suite})"
        case Negotiated():
            yield f"[negotiated] {', '.join(_negotiated(event))}"
        case HandshakeComplete():
            yield f"[complete] the {event.info.role} has finished its handshake"
        case NeedAsked():
            yield f"[waiting] for {escape(event.what)} ({escape(event.where)})"
        case Noted():
            yield f"[note] {event.direction} {event.text}"
        case NeedAnswered():
            yield f"[resumed] {escape(event.what)} came after {event.seconds * 1000:.1f} ms"


def _negotiated(event: Negotiated) -> Iterator[str]:
    yield ProtocolVersion.describe(event.version)
    yield CipherSuite.describe(event.suite)
    if event.group is not None:
        yield NamedGroup.describe(event.group)
    if event.server_name is not None:
        yield f"SNI {escape(event.server_name)}"
    if event.application_protocol is not None:
        yield f"ALPN {escape(event.application_protocol)}"
    if event.retried:
        yield "after a HelloRetryRequest"


def _record_header(record: RecordSeen) -> str:
    fields = ", ".join(f"{field.name} {field.text}" for field in fields_of_struct(record.header, RecordHeader))
    inside = ""
    if record.epoch is not Epoch.PLAINTEXT and not record.unreadable_reason:
        inside = f"; inside: {ContentType.describe(record.content_type)}, {len(record.content)} bytes"
        inside += f", padding of {record.padding} bytes" if record.padding else ""
    return f"[record] {record.header.hex(' ')}: {fields}{inside}"


def _opened(opened: Opened) -> Iterator[str]:
    yield f"nonce: {opened.nonce.hex()} ({opened.nonce_from})"
    yield f"additional data: {opened.additional_data.hex()} ({opened.additional_from})"


def _step(step: Step) -> str:
    shown = '(hidden: secrets="traffic" shows it)' if step.value is None else step.value.hex()
    return f"{step.name} = {step.formula}: {shown}"


def _joined(parts: list[Part]) -> Iterator[str]:
    yield f"joined of {', then '.join(f'{part.length} bytes of {part.name}' for part in parts)}"
    for part in parts:
        if part.value is not None:
            yield f"  {part.name}: {part.value.hex()}"


def derivation(event: SecretDerived) -> str:
    """How a secret is made, as RFC 9846 7.1 and RFC 5246 8.1 write it."""
    if event.label in _PRF_LABELS:
        return f'PRF({", ".join(event.inputs)}, "{event.label}", {context_name(event.label)})'
    if event.label in _EXPANSIONS:
        return (
            f'HKDF-Expand-Label({", ".join(event.inputs)}, "{event.label}", {context_name(event.label)}, hash length)'
        )
    if event.label:
        return f'Derive-Secret({", ".join(event.inputs)}, "{event.label}", {context_name(event.label)})'
    return f"HKDF-Extract({', '.join(event.inputs)})" if event.inputs else "an input of the key schedule"


def context_name(label: str) -> str:
    """What a derivation is bound to besides its secret."""
    return {
        "derived": "hash of nothing",
        "res binder": "hash of nothing",
        "ext binder": "hash of nothing",
        "resumption": "ticket nonce",
        "traffic upd": '""',
        "master secret": "client random + server random",
        "key expansion": "server random + client random",
    }.get(label, "transcript hash")
