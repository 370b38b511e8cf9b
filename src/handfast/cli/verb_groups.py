"""A verb that does something by itself and has further commands: ``certs localhost`` and ``certs show FILE``.

The first argument decides: the name of a command, and all that follows is that command's; anything else, and the verb
reads its own options and arguments. What is called as a command is can be given after ``--``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from handfast.cli import options

if TYPE_CHECKING:
    from collections.abc import Mapping


class VerbGroup(options.Verb, click.Group):
    """``subcommands`` are the names with a line about each; the command NAME of the verb VERB is ``command`` in the
    module ``handfast.cli.VERB_NAME``, imported when it is used."""

    # As every verb does, and other than click's groups.
    allow_interspersed_args = True
    allow_extra_args = False

    def __init__(self, *args: Any, subcommands: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, invoke_without_command=True, **kwargs)
        self.subcommands = subcommands

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.subcommands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.subcommands:
            return None
        command = import_module(f"handfast.cli.{ctx.info_name}_{cmd_name}").command
        return command if isinstance(command, click.Command) else None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The verb's own arguments; those of a command are left as they are."""
        if args and args[0] in self.subcommands:
            ctx.args = args
            return args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that is named, or the verb itself."""
        if not ctx.args:
            return click.Command.invoke(self, ctx)
        name, command, rest = self.resolve_command(ctx, ctx.args)
        if command is None:
            return None
        ctx.invoked_subcommand = name
        with command.make_context(name, rest, parent=ctx) as below:
            return command.invoke(below)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The verb's own parameters, of which none stands before a command, as that command's usage asks."""
        return super().get_params(ctx) if ctx.command is self else []

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """The verb's own; its commands have usages of their own."""
        return click.Command.collect_usage_pieces(self, ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verb's own options, then its commands."""
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.subcommands:
            with formatter.section("Commands"):
                formatter.write_dl(list(self.subcommands.items()))
