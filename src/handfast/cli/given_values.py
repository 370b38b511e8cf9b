"""What is wrong with a value before it is known what the value is for: it is empty, or given twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from handfast.errors import ConfigError, bad_option

if TYPE_CHECKING:
    from collections.abc import Sequence

# The options of which an empty value says something: no proxy, a body without bytes.
MAY_BE_EMPTY = frozenset({"proxy", "data"})


def check(ctx: click.Context, arguments: Sequence[str]) -> None:
    """ConfigError for an empty value on the command line.

    It is looked for in the arguments themselves: as a ``Path``, an empty one is the current directory, where there may
    be certificates of others.
    """
    given, _, _ = ctx.command.make_parser(ctx).parse_args(list(arguments))
    for parameter in ctx.command.params:
        if is_empty(parameter, given.get(parameter.name or "")):
            raise empty(_called(parameter))


def is_empty(parameter: click.Parameter, value: Any) -> bool:
    """Whether a value, or one of several, is empty and says nothing by that."""
    several = isinstance(value, list | tuple)
    return parameter.name not in MAY_BE_EMPTY and (any(one == "" for one in value) if several else value == "")


def empty(option: str) -> ConfigError:
    """The error of an empty value."""
    advice = "give a value, or leave it out; a variable of the shell that is not set is an empty one"
    return bad_option(option, "its value is empty", advice)


def _called(parameter: click.Parameter) -> str:
    """What error lines call it: --cert, TARGET."""
    return parameter.opts[-1] if isinstance(parameter, click.Option) else parameter.human_readable_name.strip("[].")
