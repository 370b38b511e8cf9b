"""What the commands share that look at certificate files: a time to judge by, a typed password, lines of facts."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handfast.cli import options, ui
from handfast.errors import bad_option
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from handfast.credentials.passwords import Password

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


def files_and_password(paths: Sequence[Path], file: Path | None) -> tuple[list[Path], Password]:
    """The files without the passwords behind their names, as curl has them, and what opens those that are encrypted:
    such a password, the file of --key-password-file, or what is typed. Raises ConfigError bad_option."""
    named = [options.file_and_password(str(path)) for path in paths]
    behind = list(dict.fromkeys(secret for _, secret in named if secret is not None))
    if len(behind) > 1:
        raise bad_option("FILE", "two passwords are given", "look at one file at a time")
    if behind and file is not None:
        raise bad_option("--key-password-file", "the password stands behind the file's name already", "give it once")
    return [Path(name) for name, _ in named], behind[0] if behind else file or typed_password


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Lines of a label and a text, escaped by who made it; wrapped on a terminal, and else one line each."""
    if ui.width_of(sys.stdout) is None:
        lines = [f"  {label:{_COLUMN}}{text}" for label, text in facts]
    else:
        lines = ui.definitions((f"{label:{_COLUMN - 2}}", text) for label, text in facts)
    if lines:
        click.echo("\n".join(lines))
