"""The connections of a capture as evidence: the same that our own connections give."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from handfast.doctor.attempts import Watching, attempt, http_answer
from handfast.errors import ConnectionLost, HandfastError, PeerRejected
from handfast.events import Closed, Event, RecordSeen
from handfast.lens.outcome import Outcome
from handfast.limits import PROBE_ANSWER_BYTES
from handfast.passive import Reading
from handfast.registry import AlertDescription, ContentType
from handfast.roles import Role

if TYPE_CHECKING:
    from handfast.doctor.evidence import Attempt
    from handfast.events import Observer, SecretSink
    from handfast.passive import Flow
    from handfast.passive.keylog_reader import KeyLogSecrets


def attempts_of(capture: BinaryIO, secrets: KeyLogSecrets) -> tuple[tuple[Attempt, ...], HandfastError | None]:
    """What each connection of a capture shows, and what is wrong with the capture. Raises ConfigError not_a_capture."""
    live: dict[Flow, _Recorded] = {}
    found: list[Attempt] = []

    def watch(flow: Flow) -> tuple[list[Observer], list[SecretSink]]:
        live[flow] = one = _Recorded()
        return [one, one.watching, one.outcome], []

    def over(flow: Flow) -> None:
        if one := live.pop(flow, None):
            found.append(one.attempt(f"connection {flow.number} of the capture"))

    reading = Reading(capture, watch, secrets, over=over)
    for _ in reading:
        pass
    return tuple(found), reading.damage


class _Recorded:
    """An observer of one recorded connection."""

    def __init__(self) -> None:
        self.watching = Watching()
        self.outcome = Outcome(Role.CLIENT)
        self._answer = bytearray()
        self._ended = False

    def __call__(self, event: Event) -> None:
        match event:
            case RecordSeen(content_type=ContentType.application_data, direction=direction, content=content):
                if direction is Role.SERVER.sends and len(self._answer) < PROBE_ANSWER_BYTES:
                    self._answer += content
            case Closed():
                self._ended = True

    def attempt(self, title: str) -> Attempt:
        answer = http_answer(bytes(self._answer))
        self.outcome.http = None if answer is None else answer[0]
        return attempt(title, self.watching, self.outcome, self._error(), live=False)

    def _error(self) -> HandfastError | None:
        """What ended it, as its client would say it."""
        said = self.outcome.alerts.get(Role.SERVER.sends)
        if said is not None:
            name = AlertDescription.describe(said)
            code = name if name in PeerRejected.catalogue else "unknown_alert"
            return PeerRejected(code, alert=f"{name} ({int(said)})", stage="")
        if self._ended and not self.watching.complete and Role.CLIENT.sends not in self.outcome.alerts:
            return ConnectionLost("eof_in_handshake", stage=self.outcome.stage.removeprefix("after "))
        return None
