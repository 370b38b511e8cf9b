"""What ``decode`` shows of each connection, and which connections it shows."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal

import click

from handfast.cli import ui, verdict_words
from handfast.errors import bad_option
from handfast.events import Event, EventDispatcher, Observer, SecretSink
from handfast.lens.json_events import JsonEvents
from handfast.lens.keylog import KeyLog
from handfast.lens.recorded import Judgement, RecordedOutcome
from handfast.lens.trace import Trace
from handfast.outcome.describer import Describer
from handfast.roles import Role
from handfast.text import escape

if TYPE_CHECKING:
    from handfast.cli.page_file import PageFile
    from handfast.events import SecretLevel
    from handfast.lens.page.story import Story
    from handfast.passive import Endpoint, Flow
    from handfast.trust.verifiers import Verifier

# The same certificates and names come again and again.
_REMEMBERED = 128
DESCRIBER = Describer(
    lru_cache(_REMEMBERED)(verdict_words.DESCRIBER.identity),
    lru_cache(_REMEMBERED)(verdict_words.DESCRIBER.certificate),
    lru_cache(_REMEMBERED)(verdict_words.DESCRIBER.name),
)

Form = Literal["fields", "bytes", "summary", "json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which connections are shown; as a truth value, whether some are not."""

    host: str | None = None
    port: int | None = None
    sni: str | None = None
    subject: str | None = None
    failed: bool = False

    def __post_init__(self) -> None:
        if self.host is not None:
            try:
                ip_address(self.host)
            except ValueError:
                raise bad_option("--host", f"{self.host!r} is no IP address", "give one, such as 127.0.0.1") from None

    def __bool__(self) -> bool:
        return self.failed or any(one is not None for one in (self.host, self.port, self.sni, self.subject))

    @property
    def decided_late(self) -> bool:
        """Whether it takes the whole connection to know."""
        return self.failed or self.sni is not None or self.subject is not None

    def at_first(self, flow: Flow) -> bool:
        """Whether a connection may be shown, by its addresses."""
        ends = (flow.client, flow.server)
        host = None if self.host is None else ip_address(self.host).packed
        return (host is None or any(end.address == host for end in ends)) and (
            self.port is None or any(end.port == self.port for end in ends)
        )

    def at_last(self, outcome: RecordedOutcome) -> bool:
        """Whether it is shown, by what came of it."""
        name = "" if outcome.hello is None else outcome.hello.sni_name or ""
        if self.sni is not None and not fnmatchcase(name.lower(), self.sni.lower()):
            return False
        if self.failed and not outcome.failed:
            return False
        return self.subject is None or any(self.subject in said for said in _said_of_certificates(outcome))


def _said_of_certificates(outcome: RecordedOutcome) -> list[str]:
    certificates = [chain[0] for role in Role if (chain := outcome.chain(role))]
    return [line for certificate in certificates for line in DESCRIBER.certificate(certificate)]


class _Shown:
    """One connection: its lines are kept back as long as it is not known whether they are wanted."""

    def __init__(self, flow: Flow, output: list[str], *, kept: bool) -> None:
        self.flow = flow
        self.outcome = RecordedOutcome()
        self.json: JsonEvents | None = None
        self.story: Story | None = None
        self.started: float | None = None
        self.last = 0.0
        self.secrets: list[str] = []
        self._output = output
        self._lines = [] if kept else output

    def observe(self, event: Event) -> None:
        self.started = event.time if self.started is None else self.started
        self.last = event.time

    def write(self, line: str) -> None:
        self._lines.append(line)

    def release(self) -> None:
        """It is wanted."""
        if self._lines is not self._output:
            self._output += self._lines
            self._lines = self._output


class Decoding:
    """What is shown of a capture. Give ``watch`` and ``over`` to a ``Reading``.

    After it, ``openings`` are the TCP connections of what was shown, and ``lines``, if ``names_keys``, their key log.
    """

    def __init__(
        self,
        wanted: Wanted,
        *,
        form: Form,
        levels: frozenset[SecretLevel],
        secrets: Literal["none", "traffic", "all"],
        verifier: Verifier | None,
        page: PageFile | None = None,
        explain: bool = False,
    ) -> None:
        self.page = page
        self.wanted = wanted
        self.names_keys = False
        self.openings: set[int] = set()
        self.lines: list[str] = []
        self.count = 0
        self._form = form
        self._levels = levels
        self._secrets = secrets
        self._verifier = verifier
        self._explain = explain
        self._live: dict[Flow, _Shown] = {}
        # What is to be printed: not by an observer, which must not raise when its output is closed.
        self._output: list[str] = []

    def flush(self) -> None:
        """Print what has been told. Raises BrokenPipeError."""
        lines, self._output[:] = self._output[:], []
        if self._form != "json":
            ui.traces_as_output(lines)
        elif lines:
            click.echo("\n".join(lines))

    def watch(self, flow: Flow) -> tuple[list[Observer], list[SecretSink]]:
        """The observers and secret sinks of a connection."""
        if not self.wanted.at_first(flow):
            return [], []
        shown = self._live[flow] = _Shown(flow, self._output, kept=self.wanted.decided_late)
        observers: list[Observer] = [shown.observe, shown.outcome]
        sinks: list[SecretSink] = [KeyLog(shown.secrets.append)] if self.names_keys else []
        self._add_form(shown, observers, sinks)
        if self.page is not None:
            shown.story = self.page.story(None, client=str(flow.client), server=str(flow.server))
            observers.append(shown.story)
            sinks.append(shown.story.secret)
        return observers, sinks

    def _add_form(self, shown: _Shown, observers: list[Observer], sinks: list[SecretSink]) -> None:
        flow = shown.flow
        if self._form == "json":
            shown.json = JsonEvents(shown.write, flow.number, DESCRIBER, self._levels)
            shown.json.write("connection", 0.0, **_ends(flow))
            observers.append(shown.json)
            sinks.append(shown.json.secret)
        elif self._form != "summary":
            before = f", after {flow.prologue}" if flow.prologue else ""
            shown.write(
                f"New TCP connection #{flow.number}: {_endpoint(flow.client)} <-> {_endpoint(flow.server)}{before}"
            )
            trace = Trace(
                shown.write,
                detail=self._form,
                secrets=self._secrets,
                label=str(flow.number),
                describer=DESCRIBER,
                explain=self._explain,
            )
            observers.append(trace)
            sinks.append(trace.secret)

    def over(self, flow: Flow) -> None:
        """Nothing more comes of a connection."""
        shown = self._live.pop(flow, None)
        if shown is None or not self.wanted.at_last(shown.outcome):
            return
        self.count += 1
        self.openings.add(flow.opening)
        self.lines += shown.secrets
        self._end(shown)
        shown.release()

    def _end(self, shown: _Shown) -> None:
        outcome, flow = shown.outcome, shown.flow
        line = outcome.line(DESCRIBER, self._judgements(shown))
        if self.page is not None and shown.story is not None:
            said_too = f"; diagnosis: {' or '.join(outcome.diagnosis)}" if outcome.diagnosis else ""
            shown.story.told_by(f"{line}{said_too}", failed=outcome.failed)
            self.page.add(shown.story)
        name = None if outcome.hello is None else outcome.hello.sni_name
        if shown.json is not None:
            prints = {"ja3": outcome.ja3, "ja3s": outcome.ja3s, "ja4": outcome.ja4}
            said: dict[str, Any] = {"verdict": line, "failed": outcome.failed, "server_name": name and escape(name)}
            said["diagnosis"] = outcome.diagnosis
            shown.json.write("outcome", shown.last, **_ends(flow), **said, **prints)
            return
        if self._form == "summary":
            at = _moment(shown.started or 0.0).strftime("%Y-%m-%d %H:%M:%S")
            asked = f" SNI {escape(name)}," if name else ""
            before = f" after {flow.prologue}," if flow.prologue else ""
            shown.write(f"{flow.number} {at} {flow.client} > {flow.server}:{before}{asked} {line}")
            return
        said_of = [("JA4", outcome.ja4), ("JA3", outcome.ja3), ("JA3S", outcome.ja3s)]
        if outcome.ja4:
            shown.write(f"{flow.number}    {', '.join(f'{title} {value}' for title, value in said_of if value)}")
        shown.write(f"{flow.number}    {line}")
        if outcome.diagnosis:
            shown.write(f"{flow.number}    diagnosis: {' or '.join(outcome.diagnosis)}")

    def _judgements(self, shown: _Shown) -> list[Judgement]:
        """What the verifier says of the chains, at the time at which they were shown."""
        if self._verifier is None:
            return []
        from handfast.trust.presented import PresentedChain
        from handfast.x509.purpose import Purpose

        found = []
        hello = shown.outcome.hello
        for role, purpose in ((Role.SERVER, Purpose.SERVER), (Role.CLIENT, Purpose.CLIENT)):
            chain = shown.outcome.chain(role)
            if not chain:
                continue
            # A client that does not name the server may know it under any name.
            asked = None if role is Role.CLIENT or hello is None else hello.sni_name
            name = asked or (str(ip_address(shown.flow.server.address)) if role is Role.SERVER else None)
            presented = PresentedChain(chain=chain, purpose=purpose, server_name=name, at=_moment(shown.started or 0.0))
            verdict: Any = self._verifier.verify(presented)
            found.append(Judgement(role, verdict.accepted, verdict.explanation))
        return found

    def explain(self, text: str) -> bool:
        """Show what the bytes in a text are; False if there is nothing in it that is known."""
        from handfast.passive import Endpoint, Flow
        from handfast.passive.paste import Paste, pieces

        nobody = Endpoint(bytes(4), 0)
        flow = Flow(1, nobody, nobody)
        shown = _Shown(flow, self._output, kept=False)
        trace = Trace(
            shown.write,
            detail="bytes" if self._form == "bytes" else "fields",
            secrets=self._secrets,
            describer=DESCRIBER,
            explain=self._explain,
        )
        observer: Observer = trace
        if self._form == "json":
            observer = JsonEvents(shown.write, 1, DESCRIBER, self._levels)
        paste = Paste(EventDispatcher([observer, shown.outcome, shown.observe], [], time.time))
        known = [paste.tell(piece) for piece in pieces(text)]
        paste.end()
        if any(known) and shown.outcome.ja4:
            prints = {"ja4": shown.outcome.ja4, "ja3": shown.outcome.ja3}
            if isinstance(observer, JsonEvents):
                observer.write("outcome", shown.last, **prints)
            else:
                shown.write(", ".join(f"{title.upper()} {value}" for title, value in prints.items()))
        self.flush()
        return any(known)


def _ends(flow: Flow) -> dict[str, str]:
    return {"client": str(flow.client), "server": str(flow.server), "prologue": flow.prologue}


def _endpoint(end: Endpoint) -> str:
    return f"{ip_address(end.address)}({end.port})"


def _moment(seconds: float) -> datetime:
    """A time of a capture; the epoch for one that no calendar has."""
    with suppress(OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(seconds, UTC)
    return datetime.fromtimestamp(0, UTC)
