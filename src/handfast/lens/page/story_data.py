"""A story's events -> plain data for a page: the ladder of records with what they caused, people, and key schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from handfast.events import (
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
from handfast.lens import summary
from handfast.lens.key_schedule import KeySchedule, Opened
from handfast.lens.page import plain_words
from handfast.lens.page import rows as row
from handfast.lens.page.graph import Graph, Node, digest_name, extract
from handfast.lens.page.rows import Row
from handfast.lens.page.story import CutRecord, Hidden, Story
from handfast.registry import (
    AlertLevel,
    CipherSuite,
    ContentType,
    NamedGroup,
    ProtocolVersion,
    SignatureScheme,
)
from handfast.roles import Direction
from handfast.text import escape
from handfast.wire import messages12
from handfast.wire.compression import certificate_in
from handfast.wire.fields import Kind
from handfast.wire.messages import MESSAGES, CompressedCertificate, Finished
from handfast.wire.messages_old import messages_of

if TYPE_CHECKING:
    from collections.abc import Callable

_SIDES = {Direction.CLIENT_TO_SERVER: "client", Direction.SERVER_TO_CLIENT: "server"}


def told(story: Story, *, strict: bool = False) -> dict[str, Any]:
    """What a page needs of a story, as data for JSON. With ``strict`` it raises Uncovered rather than lose a byte."""
    return _Teller(story, strict=strict).told()


class _Teller:
    def __init__(self, story: Story, *, strict: bool) -> None:
        self._story = story
        self._strict = strict
        self._describer = story.describer
        self._schedule = KeySchedule()
        self._graph = Graph(self._schedule)
        self._items: list[dict[str, Any]] = []
        self._words: dict[plain_words.Words, int] = {}
        self._messages = MESSAGES
        self._records: dict[tuple[Direction, int], _Record] = {}
        self._streams = {direction: _Stream() for direction in Direction}
        self._said: list[dict[str, Any]] = []
        self._people: dict[str, dict[str, Any]] = {"client": {}, "server": {}}
        self._facts: list[tuple[str, str]] = []
        self._values: dict[str, bytes | SecretLevel] = {}
        self._count = 0

    def told(self) -> dict[str, Any]:
        for one in self._story.kept:
            self._take(one)
        for direction in Direction:
            self._leave(direction)
        for record in self._records.values():
            self._finish(record)
        story = self._story
        end = story.verdict()
        return {
            "title": story.title,
            "role": "" if story.role is None else str(story.role),
            "client": story.client,
            "server": story.server,
            "started": story.started or 0.0,
            "end": {"line": end.line, "hint": end.hint, "failed": end.failed},
            "facts": self._facts,
            "items": self._items,
            "messages": self._said,
            "people": self._people,
            "keys": [node.as_data() | self._about(self._secret_words(node)) for node in self._graph.nodes],
            "left_out": story.left_out,
            "secrets": sorted(str(level) for level in story.levels),
            "words": [list(key) for key in self._words],
        }

    def _word(self, said: tuple[plain_words.Words, ...]) -> list[int]:
        """The numbers of words in the list that all rows share."""
        return [self._words.setdefault(one, len(self._words)) for one in said if any(one)]

    def _secret_words(self, node: Node) -> plain_words.Words:
        """Those of a secret; the section alone for a key, an IV and what else is made of one."""
        said = plain_words.of_secret(node.name, tls13=self._messages is MESSAGES)
        return (
            said
            if any(said)
            else plain_words.Words("", "RFC 9846 7.3" if self._messages is MESSAGES else "RFC 5246 6.3")
        )

    def _about(self, *said: plain_words.Words) -> dict[str, list[int]]:
        return {"w": self._word(said)}

    def _take(self, one: Event | CutRecord | Secret | Hidden) -> None:
        match one:
            case CutRecord():
                self._record(one.event, one.body, one.content)
            case RecordSeen():
                self._record(one, len(one.body), len(one.content))
            case Secret():
                self._values[one.name] = one.value
                self._schedule.learn(one.name, one.value)
            case Hidden():
                self._values[one.name] = one.level
                self._schedule.learn(one.name, None)
            case MessageSeen():
                self._message(one)
            case Event():
                tell: Callable[[Any], dict[str, Any] | None] | None = self._TELLERS.get(type(one))
                said = None if tell is None else tell(self, one)  # type: ignore[call-arg]
                if said is not None:
                    self._items.append(said | {"at": self._at(one)})

    def _at(self, event: Event) -> float:
        """Seconds since the first record; what comes before that has no time of its own."""
        return max(0.0, event.time - (self._story.started or event.time))

    # Records

    def _record(self, event: RecordSeen, body: int, content: int) -> None:
        self._count += 1
        opened = self._schedule.record(event, content)
        record = _Record(event, body, content, self._schedule)
        self._records[event.direction, event.index] = record
        record.item = {
            "k": "record",
            "d": str(event.direction),
            "at": self._at(event),
            "n": self._count,
            "epoch": "" if event.epoch is Epoch.PLAINTEXT else str(event.epoch),
            "type": ContentType.describe(event.content_type) if not event.unreadable_reason else "",
            "size": len(event.header) + body,
            "unread": escape(event.unreadable_reason),
            "messages": [],
        }
        record.item["opened"] = _opens(event, opened, tls13=record.tls13)
        self._items.append(record.item)
        if event.content_type == ContentType.handshake and not event.unreadable_reason:
            self._streams[event.direction].add(record)

    def _finish(self, record: _Record) -> None:
        """The rows of a record: on the wire, and of what it holds."""
        event, header = record.event, row.of_header(record.event)
        at = len(event.header)
        size = at + record.body
        if event.epoch is Epoch.PLAINTEXT and not event.unreadable_reason:
            rows, data = header + record.content_rows(at, self._story.levels), event.header + event.body
            record.item["rows"] = self._as_data(rows, size, data)
            return
        wire = row.of_protected(event, record.body, record.explicit_nonce, aead=record.aead)
        # With the keys on the page, the ciphertext would give away what is hidden.
        if SecretLevel.TRAFFIC in self._story.levels and any(one.hidden == "all" for one in record.parts):
            wire = [row.hide(one, "all") for one in wire]
        for one in wire:
            one.hidden = one.hidden or ("cut" if len(one.data or b"") < one.end - one.start else "")
        record.item["rows"] = self._as_data(header + wire, size, event.header + event.body)
        if not event.unreadable_reason:
            inner = record.content_rows(0, self._story.levels)
            inner += row.of_inner(event, record.content, tls13=record.tls13)
            length = record.content + (1 + event.padding if record.tls13 else 0)
            record.item["inner"] = self._as_data(inner, length, event.content)
            record.item["inner_size"] = length

    def _as_data(self, rows: list[Row], size: int, data: bytes) -> list[dict[str, Any]]:
        return row.as_data(row.covered(rows, size, data, strict=self._strict), self._word)

    # Messages

    def _message(self, event: MessageSeen) -> None:
        message = event.message
        self._schedule.message(event)
        said = plain_words.of_declaration(type(message))
        number = len(self._said)
        told: dict[str, Any] = {
            "name": summary.name_of(message),
            "id": type(message).__name__,
            "d": str(event.direction),
            "size": len(event.raw),
            "facts": summary.facts(message, self._describer),
            **self._about(said),
        }
        self._said.append(told)
        rows = self._rows(event.raw)
        self._graph.transcript_hidden |= any(one.hidden for one in rows)
        title = Row(name=told["name"], start=0, end=len(event.raw), kind=Kind.CONTAINER, text=told["facts"])
        title.message, title.said = number, (said,)
        for record in self._streams[event.direction].claim(event.raw, [title, *rows], self._story.levels):
            record.item["messages"].append(number)
        if isinstance(message, messages12.ServerHello):
            self._messages = messages_of(message.server_version)
        inside = certificate_in(message) if isinstance(message, CompressedCertificate) else None
        if inside is not None:
            inflated = self._rows(inside.raw)
            told["inside"] = self._as_data(inflated, len(inside.raw), inside.raw)
            told["inside_size"] = len(inside.raw)
        self._meet(event)

    def _rows(self, raw: bytes) -> list[Row]:
        return row.of_message(raw, self._messages, self._describer, self._story.levels)

    def _meet(self, event: MessageSeen) -> None:
        """What a message says of the people: the chain that one shows, the names that the server asks for."""
        message = event.message
        if isinstance(message, summary.REQUESTS):
            names = summary.requested_names(message)
            self._people["client"]["asked"] = [self._describer.name(name) for name in names]
        certificate = message if isinstance(message, messages12.Certificate) else certificate_in(message)
        if certificate is not None:
            chain = summary.presented(certificate)
            self._people[_SIDES[event.direction]]["chain"] = [self._describer.certificate(one) for one in chain]

    def _leave(self, direction: Direction) -> None:
        """Handshake bytes that no message claimed."""
        raw = self._streams[direction].rest()
        if raw:
            rows = [row.undecoded(raw, 0, self._story.levels)]
            if raw[0] in self._messages and not rows[0].hidden:
                rows = self._rows(raw)
            self._streams[direction].claim(raw, rows, self._story.levels)

    # What happened between records

    def _secret(self, event: SecretDerived) -> dict[str, Any]:
        value = self._values.pop(event.name, SecretLevel.TRAFFIC)
        shown = value if isinstance(value, bytes) else None
        level = "" if shown is not None else str(value)
        return {"k": "secret", "node": self._graph.derived(event, shown, level)}

    def _keys(self, event: KeysChanged) -> dict[str, Any]:
        side = _SIDES[event.direction]
        steps = self._schedule.keys_changed(event)
        generation = self._schedule.generation(event.direction)
        what = f"{side} {event.epoch}{f' {generation}' if generation else ''}"
        nodes = [self._graph.step(step, f"{what} {step.name.removeprefix(f'{side}_')}") for step in steps]
        suite = CipherSuite.describe(event.suite) if event.suite else ""
        return {"k": "keys", "d": str(event.direction), "epoch": str(event.epoch), "suite": suite, "nodes": nodes}

    def _checked(self, event: Checked) -> dict[str, Any]:
        said: dict[str, Any] = {"k": "check", "d": str(event.direction), "what": event.what, "ok": event.ok}
        said |= self._about(plain_words.of_check(event.what))
        said["covers"] = self._schedule.covered(event.content)
        step, formula = self._schedule.finished(event)
        if step is not None:
            said["nodes"] = [self._graph.step(step, f"{_SIDES[event.direction]} finished_key")]
            if step.value is not None and event.ok:
                digest = digest_name(self._schedule.hash_name)
                said["shell"] = [extract(digest, step.value, event.content, len(event.expected))]
        if event.what == Finished.__name__ or not event.ok:
            said |= {"formula": formula, "expected": event.expected.hex(), "received": event.received.hex()}
        return said

    def _judged(self, event: PeerJudged) -> dict[str, Any]:
        verdict, side = event.verdict, _SIDES[event.direction]
        said: dict[str, Any] = {
            "k": "verdict",
            "d": str(event.direction),
            "who": self._describer.identity(event.chain[0]) if event.chain else "",
            "ok": verdict.accepted,
            "code": verdict.code,
            "why": verdict.explanation,
            "advice": self._story.reword(verdict.advice),
            "more": [f"{reason.code}: {reason.explanation}" for reason in verdict.reasons[1:]],
            "path": [self._describer.identity(one) for one in verdict.path],
        }
        self._people[side]["verdict"] = said
        return said

    def _chosen(self, event: CertificateChosen) -> dict[str, Any]:
        said: dict[str, Any] = {
            "k": "choice",
            "d": str(event.direction),
            "who": self._describer.identity(event.chain[0]) if event.chain else "",
            "scheme": "" if event.scheme is None else SignatureScheme.describe(event.scheme),
            "why": escape(event.reason),
            "considered": [
                [self._describer.identity(one.certificate), one.shown, escape(one.why)] for one in event.considered
            ],
        }
        self._people[_SIDES[event.direction]]["choice"] = said
        return said

    def _alert(self, event: AlertSeen) -> dict[str, Any]:
        last = self._items[-1] if self._items else {}
        if last.get("k") == "record":
            last["alert"] = row.alert_name(event.description)
        said: dict[str, Any] = {
            "k": "alert",
            "d": str(event.direction),
            "level": AlertLevel.describe(event.level),
            "name": row.alert_name(event.description),
            "fatal": event.description not in (0, 90) and event.level != AlertLevel.warning,
            "trusted": event.authenticated,
            **self._about(*plain_words.of_alert(event.description)),
        }
        if event.error is not None:
            why = f"{event.error.what} ({event.error.fault})"
            said |= {"why": self._story.reword(why), "hint": self._story.reword(event.error.hint)}
        return said

    def _negotiated(self, event: Negotiated) -> dict[str, Any]:
        said = [
            ("version", ProtocolVersion.describe(event.version)),
            ("cipher suite", CipherSuite.describe(event.suite)),
            ("group", "" if event.group is None else NamedGroup.describe(event.group)),
            ("server name", escape(event.server_name or "")),
            ("application protocol", escape(event.application_protocol or "")),
            ("HelloRetryRequest", "needed" if event.retried else ""),
        ]
        self._facts = [(name, text) for name, text in said if text]
        return {"k": "negotiated", "facts": self._facts}

    def _complete(self, event: HandshakeComplete) -> dict[str, Any]:
        info = event.info
        if info.resumed:
            self._facts.append(("session", "resumed"))
        if info.early_data:
            self._facts.append(("early data", escape(info.early_data)))
        return {"k": "complete", "who": str(info.role)}

    def _closed(self, event: Closed) -> dict[str, Any]:
        self._leave(event.direction)
        return {"k": "closed", "d": str(event.direction), "how": escape(event.how)}

    def _asked(self, event: NeedAsked) -> dict[str, Any]:
        return {"k": "wait", "what": escape(event.what), "where": escape(event.where)}

    def _answered(self, event: NeedAnswered) -> dict[str, Any]:
        return {"k": "answer", "what": escape(event.what), "seconds": event.seconds}

    def _noted(self, event: Noted) -> dict[str, Any]:
        return {"k": "note", "d": str(event.direction), "text": event.text}

    _TELLERS: ClassVar[dict[type[Event], Any]] = {
        SecretDerived: _secret,
        KeysChanged: _keys,
        Checked: _checked,
        PeerJudged: _judged,
        CertificateChosen: _chosen,
        AlertSeen: _alert,
        Negotiated: _negotiated,
        HandshakeComplete: _complete,
        Closed: _closed,
        NeedAsked: _asked,
        NeedAnswered: _answered,
        Noted: _noted,
    }


def _opens(event: RecordSeen, opened: Opened | None, *, tls13: bool) -> list[str]:
    """Nonce and additional data, each with how it is made; "" for what is hidden."""
    if opened is not None:
        return [opened.nonce.hex(), opened.nonce_from, opened.additional_data.hex(), opened.additional_from]
    # That is no secret.
    return ["", "", event.header.hex(), "the header"] if tls13 else ["", "", "", ""]


class _Record:
    """One record: what was kept of it, the lengths that it had, and the rows of the messages in it."""

    def __init__(self, event: RecordSeen, body: int, content: int, schedule: KeySchedule) -> None:
        self.event = event
        self.body, self.content = body, content
        self.item: dict[str, Any] = {}
        self.parts: list[Row] = []
        self.explicit_nonce = schedule.explicit_nonce(event)
        self.tls13 = schedule.is_13 and event.epoch is not Epoch.PLAINTEXT and not event.unreadable_reason
        self.aead = bool(schedule.hash_name)

    def content_rows(self, at: int, levels: frozenset[SecretLevel]) -> list[Row]:
        """The rows of the content, which starts at ``at``."""
        if self.event.content_type == ContentType.handshake:
            return [one.part(one.start, one.end, at, 0) for one in self.parts]
        return row.of_content(self.event, self.content, at, levels)


class _Stream:
    """The handshake bytes of one direction, in the records that brought them, until a message claims them."""

    def __init__(self) -> None:
        # Record, offset in its content, bytes.
        self._waiting: list[tuple[_Record, int, bytes]] = []

    def add(self, record: _Record) -> None:
        self._waiting.append((record, 0, record.event.content))

    def rest(self) -> bytes:
        return b"".join(data for _, _, data in self._waiting)

    def claim(self, raw: bytes, rows: list[Row], levels: frozenset[SecretLevel]) -> list[_Record]:
        """Give ``rows`` to the records that hold the message; what stands before it is undecoded.

        Returns those records; none if no record holds it, as with a hello in the framing of SSL 2.0.
        """
        at = self.rest().find(raw)
        if at < 0:
            return []
        if at > 0:
            skipped = self.rest()[:at]
            self.claim(skipped, [row.undecoded(skipped, 0, levels)], levels)
        holders: list[_Record] = []
        taken = 0
        while taken < len(raw):
            record, offset, data = self._waiting.pop(0)
            used = min(len(data), len(raw) - taken)
            _place(rows, taken, taken + used, record, offset - taken)
            taken += used
            holders.append(record)
            if used < len(data):
                self._waiting.insert(0, (record, offset + used, data[used:]))
        return holders


def _place(rows: list[Row], start: int, end: int, record: _Record, shift: int) -> None:
    """The rows of a message that have bytes between ``start`` and ``end``, below its heading."""
    for one in rows:
        inside = one.start < end and one.end > start
        # A field without bytes stands where it would begin.
        empty = one.start == one.end and start <= one.start < end
        ends = one.start == one.end == end and end == rows[0].end
        if inside or empty or ends:
            record.parts.append(one.part(start, end, shift, 0 if one.message is not None else 1))
