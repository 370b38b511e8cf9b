"""What --trace, --secrets, --keylog and $HANDFAST_LOG ask for, made anew for each connection of a run."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handfast.cli import ui
from handfast.cli.options import setuid
from handfast.cli.words import DESCRIBER
from handfast.files import append_private
from handfast.lens.keylog import KeyLog
from handfast.lens.trace import Trace
from handfast.lens.verdict import Outcome

if TYPE_CHECKING:
    from handfast.events import Observer, Role, SecretSink


class Lenses:
    """The lenses of one run of one verb. Raises ConfigError for a key log that cannot be written to."""

    def __init__(self, role: Role, trace: str | None, secrets: str | None, keylog: Path | None) -> None:
        if secrets is not None and trace is None:
            raise ui.bad_option("--secrets", "there is no --trace to show them in", "give --trace=bytes too")
        self._role = role
        self._trace: Any = trace or ("names" if _log_level() == "trace" else None)
        self._secrets: Any = secrets or "none"
        self._numbers = count(1)
        self._keylog = None if keylog is None else _open_keylog(keylog)

    def watch(self) -> tuple[Outcome, Sequence[Observer], Sequence[SecretSink]]:
        """The lenses of the next connection: the one that judges it, all observers, all secret sinks."""
        outcome = Outcome(self._role, DESCRIBER)
        observers: list[Observer] = [outcome]
        sinks: list[SecretSink] = [] if self._keylog is None else [self._keylog]
        label = str(next(self._numbers))
        if self._trace is not None:
            trace = Trace(ui.trace, detail=self._trace, secrets=self._secrets, label=label, describer=DESCRIBER)
            observers.append(trace)
            sinks.append(trace.secret)
        return outcome, observers, sinks


def _open_keylog(path: Path) -> KeyLog:
    if setuid():
        raise ui.bad_option("--keylog", "not for a program that runs with another user's rights", "leave it out")
    file = append_private(path)
    click.get_current_context().call_on_close(file.close)
    ui.note(f"appending keys to {path}: whoever has that file can read the connection")
    return KeyLog(lambda line: _store(file.write(line.encode()), line, path))


def _store(written: int, line: str, path: Path) -> None:
    if written != len(line):
        ui.warn(f"{path}: the disk is full, a key is missing from it")


def keylog_of_environment() -> Path | None:
    """What $SSLKEYLOGFILE names, unless the process has another user's rights."""
    name = os.environ.get("SSLKEYLOGFILE", "")
    if not name:
        return None
    if setuid():
        ui.note("$SSLKEYLOGFILE is not honoured: this program runs with another user's rights")
        return None
    ui.note("$SSLKEYLOGFILE is set")
    return Path(name)


def _log_level() -> str:
    level = os.environ.get("HANDFAST_LOG", "")
    if level not in ("", "debug", "trace"):
        raise ui.bad_option("$HANDFAST_LOG", f"unknown level {level!r}", "set it to debug or trace, or not at all")
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
