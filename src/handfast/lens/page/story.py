"""The story of one connection: an observer and secret sink that keeps what a page tells of it, within bounds.

Nothing is worked out while the connection lives: the events are kept, and ``told`` makes plain data of them.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from handfast import limits
from handfast.errors import ConnectionLost, HandfastError, PeerRejected
from handfast.events import AlertSeen, Checked, Closed, Event, MessageSeen, RecordSeen, Secret, SecretLevel
from handfast.lens import verdict_line
from handfast.lens.outcome import Outcome
from handfast.lens.page.rows import alert_name
from handfast.outcome.certificate_words import DESCRIBER
from handfast.outcome.describer import Describer
from handfast.outcome.diagnosed import diagnosed
from handfast.registry import AlertDescription, AlertLevel, ContentType
from handfast.roles import Direction, Role

if TYPE_CHECKING:
    from collections.abc import Callable

Secrets = Literal["none", "traffic", "all"]
LEVELS: dict[Secrets, frozenset[SecretLevel]] = {
    "none": frozenset(),
    "traffic": frozenset({SecretLevel.TRAFFIC}),
    "all": frozenset(SecretLevel),
}
_SILENT = frozenset({AlertDescription.close_notify, AlertDescription.user_canceled})


class End(NamedTuple):
    """What came of a connection: the verdict in one line, what to do about it, and whether it failed."""

    line: str
    hint: str
    failed: bool


class CutRecord(NamedTuple):
    """A record of which not all is kept: the lengths that its body and its content had."""

    event: RecordSeen
    body: int
    content: int


class Hidden(NamedTuple):
    """A secret whose value is not kept."""

    name: str
    level: SecretLevel


class Story:
    """An observer of one connection; its method ``secret`` is a secret sink.

    ``role`` is our side's, None for a recording. ``secrets`` says what the page may show: ``none``, ``traffic`` (the
    secrets of this connection, and application data) or ``all`` (also those for resumption and exporters, and tickets).
    What may not be shown is not kept. ``title``, ``client`` and ``server`` (addresses) are said of the connection.
    ``outcome`` is one that hears of each event before this story does; without one it has its own. ``over`` is called
    when both directions have ended. ``reword`` puts hints into other words, those of a program's options.

    Attributes:
        started: the time of its first record, None before.
    """

    def __init__(
        self,
        role: Role | Literal["client", "server"] | None,
        *,
        secrets: Secrets = "none",
        title: str = "",
        client: str = "",
        server: str = "",
        outcome: Outcome | None = None,
        describer: Describer = DESCRIBER,
        over: Callable[[], None] = lambda: None,
        reword: Callable[[str], str] = str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.role = None if role is None else Role(role)
        self.levels = LEVELS[secrets]
        self.title, self.client, self.server = title, client, server
        self.describer, self.reword = _briefly(describer), reword
        self.started: float | None = None
        self._end: End | None = None
        # Events and secrets in their order.
        self.kept: list[Event | CutRecord | Secret | Hidden] = []
        self.left_out = 0
        self._bytes = 0
        self._over = over
        self._open = set(Direction)
        self._outcome = outcome or Outcome(self.role or Role.CLIENT, clock)
        self._tells_outcome = outcome is None
        self._error: BaseException | None = None
        self._peers_alert: AlertSeen | None = None

    def secret(self, secret: Secret) -> None:
        """Keep a secret, or that there is one."""
        if len(self.kept) < limits.PAGE_EVENTS:
            self.kept.append(secret if secret.level in self.levels else Hidden(secret.name, secret.level))

    def __call__(self, event: Event) -> None:
        if self.started is None and isinstance(event, RecordSeen):
            self.started = event.time
        if self._tells_outcome:
            self._outcome(event)
        self._judge(event)
        self._keep(event)
        if isinstance(event, Closed):
            self._open.discard(event.direction)
            if not self._open:
                self._over()

    def _keep(self, event: Event) -> None:
        kept: Event | CutRecord = event
        size = 0
        if isinstance(event, RecordSeen):
            kept = self._shortened(event)
            shown = kept.event if isinstance(kept, CutRecord) else event
            size = len(shown.body) + len(shown.content)
        elif isinstance(event, MessageSeen):
            size = len(event.raw)
        elif isinstance(event, Checked):
            most = limits.PAGE_DATA_BYTES
            kept = replace(event, content=event.content[-most:]) if len(event.content) > most else event
        if self._bytes + size > limits.PAGE_CONNECTION_BYTES or len(self.kept) >= limits.PAGE_EVENTS:
            self.left_out += isinstance(event, RecordSeen)
            # How it ended is told whatever came before.
            if not isinstance(event, AlertSeen | Closed) or len(self.kept) >= 2 * limits.PAGE_EVENTS:
                return
        self._bytes += size
        self.kept.append(kept)

    def _shortened(self, record: RecordSeen) -> RecordSeen | CutRecord:
        """The record, of application data only the beginning, and none where it may not be shown."""
        if record.content_type != ContentType.application_data and not record.unreadable_reason:
            return record
        most, body, content = limits.PAGE_DATA_BYTES, record.body, record.content
        shown = content[:most] if SecretLevel.TRAFFIC in self.levels else b""
        return CutRecord(replace(record, body=body[:most], content=shown), len(body), len(content))

    # How it ended

    def _judge(self, event: Event) -> None:
        if isinstance(event, AlertSeen) and self._error is None:
            if event.error is not None:
                self._error = event.error
            elif event.description not in _SILENT and not self._is_warning(event):
                self._peers_alert = self._peers_alert or event
        elif isinstance(event, Closed) and event.how in ("eof", "reset") and self._known_nothing:
            self._error = self._lost(event.how)

    @property
    def _known_nothing(self) -> bool:
        """Whether the handshake is under way, and nothing has ended it."""
        undecided = self._error is None and self._peers_alert is None and self.role is not None
        return undecided and self._outcome.info is None

    def _lost(self, how: str) -> ConnectionLost:
        if how == "reset":
            return ConnectionLost("reset", stage=self._outcome.stage)
        return ConnectionLost("eof_in_handshake", stage=self._outcome.last_message or "nothing")

    def _is_warning(self, alert: AlertSeen) -> bool:
        return alert.level == AlertLevel.warning and alert.description == AlertDescription.no_renegotiation

    def ended(self, error: BaseException | None) -> None:
        """Say what ended the connection, where that is known better than the events tell it."""
        self._error = error or self._error

    def told_by(self, line: str, hint: str = "", *, failed: bool) -> None:
        """Say what came of it, where something else than this story judges it."""
        self._end = End(line, hint, failed)

    def verdict(self) -> End:
        """What came of it, as far as is known now."""
        if self._end is not None:
            return self._end
        error = self._error
        if error is None and self._peers_alert is not None:
            name = AlertDescription.describe(self._peers_alert.description)
            code = name if name in PeerRejected.catalogue else "unknown_alert"
            error = PeerRejected(code, alert=alert_name(self._peers_alert.description), stage=self._outcome.stage)
        known = error if isinstance(error, HandfastError) else None
        line = verdict_line.line(self._outcome, error, self.describer)
        hint = verdict_line.hint(self._outcome, known, self.describer)
        failed = error is not None or self._outcome.cause() is not None or self._outcome.info is None
        if failed and (causes := diagnosed(self._outcome.failure(error))):
            line += f"; diagnosis: {' or '.join(causes)}"
        return End(self.reword(line), self.reword(hint), failed)


def _briefly(describer: Describer) -> Describer:
    """One that says the beginning: a peer's name may have as many characters as its certificate has bytes."""

    def brief(text: str) -> str:
        return text if len(text) <= limits.PAGE_NAME else f"{text[: limits.PAGE_NAME]}…"

    return Describer(
        identity=lambda certificate: brief(describer.identity(certificate)),
        certificate=lambda certificate: [brief(line) for line in describer.certificate(certificate)],
        name=lambda name: brief(describer.name(name)),
    )
