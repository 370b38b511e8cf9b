"""What is wrong with values before it is known what they are for: empty ones, second ones, two outputs in one file."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handfast.errors import ConfigError, bad_option

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# The options of which an empty value says something: no proxy, a body without bytes, no protocol.
MAY_BE_EMPTY = frozenset({"proxy", "data", "alpn"})

# The parameters that name a file which is written.
_OUTPUTS = frozenset(
    {
        "output", "html", "keylog", "pcapng", "json", "write", "access_log", "session_file", "trust_on_first_use",
    }
)  # fmt: skip


def check(ctx: click.Context, arguments: Sequence[str]) -> None:
    """ConfigError for an empty value on the command line, an option given twice, and two outputs that are one file.

    The first is looked for in the arguments themselves: as a ``Path``, an empty one is the current directory, where
    there may be certificates of others.
    """
    given, _, order = ctx.command.make_parser(ctx).parse_args(list(arguments))
    _refuse_repeated(order)
    for parameter in ctx.command.params:
        if is_empty(parameter, given.get(parameter.name or "")):
            raise empty(_called(parameter))
    refuse_same_file(outputs(ctx))


def _refuse_repeated(order: Iterable[click.Parameter]) -> None:
    """ConfigError for an option that comes again, and takes one value, and for two that exclude each other."""
    seen: dict[str | None, click.Option] = {}
    for option in order:
        if not isinstance(option, click.Option) or option.multiple:
            continue
        before = seen.get(option.name)
        if before is not None and before is not option:
            raise bad_option(_called(option), f"{_called(before)} says the contrary", "leave one of them out")
        if before is option and not option.is_flag:
            raise bad_option(_called(option), "it is given twice, and takes one value", "give it once")
        seen[option.name] = option


def is_empty(parameter: click.Parameter, value: Any) -> bool:
    """Whether a value, or one of several, is empty and says nothing by that."""
    several = isinstance(value, list | tuple)
    return parameter.name not in MAY_BE_EMPTY and (any(one == "" for one in value) if several else value == "")


def empty(option: str) -> ConfigError:
    """The error of an empty value."""
    advice = "give a value, or leave it out; a variable of the shell that is not set is an empty one"
    return bad_option(option, "its value is empty", advice)


def outputs(ctx: click.Context) -> Iterator[tuple[str, Path]]:
    """The options that name files to write, with their values."""
    for parameter in ctx.command.params:
        value = ctx.params.get(parameter.name or "")
        if parameter.name in _OUTPUTS and isinstance(value, Path) and str(value) != "-":
            yield _called(parameter), value


def refuse_same_file(named: Iterable[tuple[str, Path]]) -> None:
    """ConfigError where two of these, each with what names it, are one file, be it by links: one would lose all."""
    seen: dict[object, str] = {}
    for option, path in named:
        for identity in _identities(path):
            if seen.setdefault(identity, option) != option:
                reason = f"it names the same file as {seen[identity]}"
                raise bad_option(option, reason, "give each a file of its own")


def _identities(path: Path) -> tuple[object, ...]:
    """What is the same for the same file; () for what is no file, as /dev/null, which may take several outputs."""
    resolved = os.path.realpath(path)
    try:
        status = os.stat(resolved)
    except OSError:
        return (resolved,)
    return (resolved, (status.st_dev, status.st_ino)) if stat.S_ISREG(status.st_mode) else ()


def _called(parameter: click.Parameter) -> str:
    """What error lines call it: --cert, TARGET."""
    return parameter.opts[-1] if isinstance(parameter, click.Option) else parameter.human_readable_name.strip("[].")
