"""What the commands share that look at certificate files: a time to judge by, a typed password, lines of facts."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import click

from handfast.cli import ui
from handfast.errors import bad_option
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Iterable

_COLUMN = 14


def instant(text: str | None) -> datetime | None:
    """The time that --at names, UTC unless it says otherwise; None without one. Raises ConfigError bad_option."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        reason = f"{escape(text, 80)!r} is no date"
        raise bad_option("--at", reason, "give 2026-12-31, or 2026-12-31T23:59:59") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


@cache
def typed_password() -> bytes | None:
    """The password that a person types, where there is a terminal to type it on."""
    if not sys.stdin.isatty():
        return None
    typed: str = click.prompt("Password", hide_input=True, err=True)
    return typed.encode()


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Lines of a label and a text, escaped by who made it; wrapped on a terminal, and else one line each."""
    if ui.width_of(sys.stdout) is None:
        lines = [f"  {label:{_COLUMN}}{text}" for label, text in facts]
    else:
        lines = ui.definitions((f"{label:{_COLUMN - 2}}", text) for label, text in facts)
    if lines:
        click.echo("\n".join(lines))
