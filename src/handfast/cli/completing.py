"""How the words of a command line are completed: click's way, with our optional values.

An option such as ``--trace`` takes a value after ``=`` only, so the word after it is not its value; and bash, which
takes ``=`` for a word of its own, is given ``--trace=fields`` as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Completion(ShellComplete):
    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """What the last word can become."""
        options = _options_of(_command_of(self.cli, self.prog_name, args))
        option = options.get(args[-1]) if args else None
        if option is not None and hasattr(option, "bare") and "=" not in incomplete:
            args = [*args[:-1], f"{args[-1]}={option.bare}"]
            option = None
        found = super().get_completions(args, incomplete)
        # Some options take a file or something else, so that click does not know of the file.
        metavar = option.metavar if option is not None else None
        return found or ([CompletionItem(incomplete, type="file")] if metavar and metavar.startswith("FILE") else [])


class _Bash(_Completion, BashComplete):
    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the last, and the last as far as it is typed."""
        args, incomplete = super().get_completion_args()
        words: list[str] = []
        for word in [*args, incomplete]:
            if words and words[-1].startswith("--") and (word == "=" or words[-1].endswith("=")):
                words[-1] += word
            else:
                words.append(word)
        return words[:-1], words[-1]


class _Zsh(_Completion, ZshComplete):
    pass


class _Fish(_Completion, FishComplete):
    pass


CLASSES = (_Bash, _Zsh, _Fish)


def register() -> None:
    """Complete our way from now on."""
    for one in CLASSES:
        add_completion_class(one)


def _command_of(program: click.Command, name: str, words: list[str]) -> click.Command:
    """The command whose words they are: the verb, or the verb's command."""
    ctx = click.Context(program, info_name=name)
    for word in words:
        below = ctx.command.get_command(ctx, word) if isinstance(ctx.command, click.Group) else None
        if below is not None:
            ctx = click.Context(below, info_name=word, parent=ctx)
    return ctx.command


def _options_of(command: click.Command) -> Mapping[str, click.Option]:
    return {name: one for one in command.params if isinstance(one, click.Option) for name in one.opts}
