"""What --trace, --html, --keylog, --pcapng, $HANDFAST_LOG and their like ask for, anew for each connection of a run."""

from __future__ import annotations

import logging
import os
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handfast.cli import given_values, ui
from handfast.cli.verdict_words import DESCRIBER
from handfast.errors import bad_option
from handfast.events import SecretLevel
from handfast.files import create_private, errors_for, setuid
from handfast.io.failure_log import address_text
from handfast.lens.json_events import JsonEvents
from handfast.lens.keylog import KeyLog, open_key_log
from handfast.lens.outcome import Outcome
from handfast.lens.page.story import Story
from handfast.lens.pcapng import CaptureFile, Flow
from handfast.lens.trace import Trace
from handfast.outcome.diagnosed import diagnosed
from handfast.roles import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.cli.page_file import PageFile
    from handfast.events import Observer, SecretSink

# How every line of events begins.
_JSON_BEGIN = b'{"connection": '


class Lenses:
    """The lenses of one run of one verb. Raises ConfigError for a key log or capture that cannot be written to."""

    def __init__(
        self,
        role: Role,
        trace: str | None,
        secrets: str | None,
        keylog: Path | None,
        pcapng: Path | None = None,
        html: Path | None = None,
        lang: str | None = None,
        *,
        explain: bool = False,
        json: Path | None = None,
    ) -> None:
        if secrets is not None and trace is None and html is None and json is None:
            reason = "there is no --trace, no --html and no --json to show them in"
            raise bad_option("--secrets", reason, "give --trace=bytes or --html FILE too")
        if explain and trace is None:
            raise bad_option("--explain", "there is no --trace to explain", "give --trace=fields too")
        self._explain = explain
        self._role = role
        self._trace: Any = trace or ("names" if _log_level() == "trace" else None)
        self._secrets: Any = secrets or "none"
        self._numbers = count(1)
        self._keylog = None if keylog is None else _open_keylog(keylog)
        self._capture = None if pcapng is None else open_capture(pcapng)
        self._page = open_page(html, secrets, lang)
        if self._page is not None:
            self._page.write_at_end(and_meanwhile=role is Role.SERVER)
        self._write_json = None if json is None else _open_json(json, secrets=secrets is not None)
        self._events: dict[Outcome, JsonEvents] = {}

    def watch(self) -> tuple[Outcome, list[Observer], list[SecretSink]]:
        """The lenses of the next connection: the one that judges it, all observers, all secret sinks."""
        outcome = Outcome(self._role)
        observers: list[Observer] = [outcome]
        sinks: list[SecretSink] = [] if self._keylog is None else [self._keylog]
        number = next(self._numbers)
        label = str(number)
        if self._trace is not None:
            trace = Trace(
                ui.trace,
                detail=self._trace,
                secrets=self._secrets,
                label=label,
                describer=DESCRIBER,
                explain=self._explain,
            )
            observers.append(trace)
            sinks.append(trace.secret)
        if self._page is not None:
            story = self._page.story(self._role, outcome=outcome)
            self._page.add(story)
            observers.append(story)
            sinks.append(story.secret)
        if self._write_json is not None:
            events = JsonEvents(self._write_json, number, DESCRIBER, _LEVELS[self._secrets])
            self._events[outcome] = events
            observers.append(events)
            sinks.append(events.secret)
        return outcome, observers, sinks

    def tell(
        self, outcome: Outcome, verdict: str, *, failed: bool, hint: str = "", error: BaseException | None = None
    ) -> None:
        """The outcome of a connection, after its last event, where events are written as JSON; once.

        ``error`` is what ended it, None if it ended in order.
        """
        events = self._events.pop(outcome, None)
        if events is None:
            return
        info, http = outcome.info, outcome.http
        said: dict[str, Any] = {"verdict": verdict, "failed": failed, "hint": hint}
        said["diagnosis"] = diagnosed(outcome.failure(error)) if failed else ()
        if info is not None:
            named = {"version": info.version, "suite": info.suite, "group": info.group}
            said |= {name: None if value is None else str(value) for name, value in named.items()}
            said |= {"application_protocol": info.application_protocol, "resumed": info.resumed}
            peer = self._role.peer.value
            said[peer] = None if info.peer is None else info.peer.verdict.subject
            said[f"{peer}_verified"] = info.verified_peer is not None
            said["certificate_requested"] = info.client_auth_requested
            said["certificate_sent"] = info.certificate_sent
        said["http_status"] = None if http is None else http.status
        events.write("outcome", time.time(), **said)

    def record(self, client: Any, server: Any, observers: list[Observer], sinks: list[SecretSink]) -> Flow | None:
        """Add the capture to the lenses of a connection between two socket addresses; None if none is asked for."""
        for story in _stories(observers):
            story.client, story.server = address_text(client), address_text(server)
        if self._capture is None:
            return None
        flow = Flow(self._capture, client[:2], server[:2])
        observers.append(flow)
        sinks.append(flow.secret)
        return flow


def ended(observers: list[Observer], error: BaseException) -> None:
    """Tell the lenses what ended a connection, which its events may not know."""
    for story in _stories(observers):
        story.ended(error)


def _stories(observers: list[Observer]) -> list[Story]:
    return [one for one in observers if isinstance(one, Story)]


def open_page(html: Path | None, secrets: str | None, lang: str | None) -> PageFile | None:
    """The file that --html names; None without it. Raises ConfigError."""
    if html is None:
        if lang is not None:
            raise bad_option("--lang", "there is no --html that it speaks of", "give --html FILE too")
        return None
    # Most runs make none.
    from handfast.cli.page_file import PageFile

    return PageFile(html, secrets, lang or "en")


# What --secrets lets JSON hold.
_LEVELS = {
    "none": frozenset[SecretLevel](),
    "traffic": frozenset({SecretLevel.TRAFFIC}),
    "all": frozenset(SecretLevel),
}


def _open_json(path: Path, *, secrets: bool) -> Callable[[str], None]:
    """What writes a line to the file, or for "-" to standard output. Raises ConfigError."""
    if str(path) == "-":
        return click.echo
    if secrets and setuid():
        raise bad_option("--json", "not for a program that runs with another user's rights", "leave --secrets out")
    file = create_private(path, replace=is_json_events(path))
    click.get_current_context().call_on_close(file.close)
    if secrets:
        ui.note(f"writing events and their secrets to {path}: whoever has that file can read the connection")

    def write(line: str) -> None:
        # In one call: several connections may be under way.
        file.write(line.encode() + b"\n")
        file.flush()

    return write


def is_json_events(path: Path) -> bool:
    """Whether a file is there that events may replace: older ones, or nothing yet."""
    if not path.is_file():
        return False
    with errors_for(path), open(path, "rb") as file:
        return file.read(len(_JSON_BEGIN)) in (b"", _JSON_BEGIN)


def _open_keylog(path: Path) -> KeyLog:
    if setuid():
        raise bad_option("--keylog", "not for a program that runs with another user's rights", "leave it out")
    file = open_key_log(path)
    click.get_current_context().call_on_close(file.close)
    ui.note(f"appending keys to {path}: whoever has that file can read the connection")
    return KeyLog(lambda line: _store(file.write(line.encode()), line, path))


def _store(written: int, line: str, path: Path) -> None:
    if written != len(line):
        ui.warn(f"{path}: the disk is full, a key is missing from it")


def open_capture(path: Path) -> CaptureFile:
    """A capture file that replaces an earlier one, and nothing else. Raises ConfigError."""
    if setuid():
        raise bad_option("--pcapng", "not for a program that runs with another user's rights", "leave it out")
    file = create_private(path, replace=is_capture(path))
    click.get_current_context().call_on_close(file.close)
    ui.note(f"writing packets and their keys to {path}: whoever has that file can read the connection")

    def write(blocks: bytes) -> None:
        try:
            file.write(blocks)
            file.flush()
        except OSError as error:
            ui.warn(f"{path}: {ui.reason(error)}: the capture ends here")
            raise

    return CaptureFile(write)


def is_capture(path: Path) -> bool:
    """Whether a file is there that a capture may replace: an older capture, or nothing yet."""
    if not path.is_file():
        return False
    with errors_for(path), open(path, "rb") as file:
        return file.read(4) in (b"", b"\x0a\x0d\x0d\x0a")


def keylog_of_environment() -> Path | None:
    """What $SSLKEYLOGFILE names, unless the process has another user's rights.

    Raises ConfigError where an option names the same file for something else.
    """
    name = os.environ.get("SSLKEYLOGFILE", "")
    if not name:
        return None
    if setuid():
        ui.note("$SSLKEYLOGFILE is not honoured: this program runs with another user's rights")
        return None
    ui.note("$SSLKEYLOGFILE is set")
    path = Path(name)
    given_values.refuse_same_file([*given_values.outputs(click.get_current_context()), ("$SSLKEYLOGFILE", path)])
    return path


def _log_level() -> str:
    level = os.environ.get("HANDFAST_LOG", "")
    if level not in ("", "debug", "trace"):
        raise bad_option("$HANDFAST_LOG", f"unknown level {level!r}", "set it to debug or trace, or not at all")
    return level


class _Handler(logging.Handler):
    """Log lines under the output rules."""

    def emit(self, record: logging.LogRecord) -> None:
        (ui.warn if record.levelno >= logging.WARNING else ui.note)(record.getMessage())


def log_to_terminal(*, quiet: bool) -> None:
    """Show the log on standard error; a ``quiet`` verb, which tells of its one connection itself, only if asked to."""
    level = _log_level()
    logger = logging.getLogger("handfast")
    logger.propagate = False
    logger.handlers[:] = [logging.NullHandler() if quiet and not level else _Handler()]
    logger.setLevel(logging.DEBUG if level else logging.WARNING)
