"""``handfast manpages``: a man page for each command, from what its ``--help`` is made of."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handfast.cli import EXAMPLES, option_sources, options, ui
from handfast.files import errors_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_STATUSES = (
    ("0", "Done."),
    ("1", "The peer, the handshake, a certificate or a capture failed."),
    ("2", "The command line or a local file is wrong."),
    ("130", "Interrupted from the keyboard."),
)
_ROOTS = "Where --cacert is absent: the first that is set names the CAs to trust, else the system's are trusted."
# Of each option that has them: further variables, and what they say.
_VARIABLES = {
    "cacert": ("SSL_CERT_FILE, SSL_CERT_DIR, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE", _ROOTS),
    "config": (option_sources.CONFIG, "The file of --config, where that is absent."),
}
_EVERYWHERE = (("HANDFAST_LOG", "debug: log what is done, on standard error."), ("NO_COLOR", "Use no colour."))
_FILES = (
    "A configuration file is TOML, with a table for each command and in it what its options would be given: a string, "
    "a number, true or false, or a list where the option may be given several times. A relative path in it is relative "
    "to the file. The command line wins over the file, and the file over the environment. What switches a check off, "
    "shows secrets or overwrites files is taken from the command line alone."
)
_CONFIGURATION = ("[connect]", 'cacert = "ca.pem"', 'cert = "client.pem"', 'key = "client.key"')


@click.command(cls=options.Verb, examples=("handfast manpages ~/.local/share/man/man1", "handfast manpages ."))
@click.argument("directory", type=click.Path(path_type=Path))
def command(directory: Path) -> None:
    """Write a man page for each command into DIRECTORY, in roff: handfast.1, handfast-connect.1 and so on.

    What pip installs has them already: man finds those beside a program that is on $PATH."""
    for name, text in pages().items():
        path = directory / name
        with errors_for(path):
            directory.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        click.echo(path)


def pages() -> dict[str, str]:
    """Each page by the name of its file."""
    from handfast.cli import program

    contexts = list(_commands(click.Context(program, info_name="handfast", **program.context_settings)))
    return {f"{_name(ctx)}.1": "\n".join(_page(ctx, contexts)) + "\n" for ctx in contexts}


def _commands(ctx: click.Context) -> Iterator[click.Context]:
    yield ctx
    if not isinstance(ctx.command, click.Group):
        return
    for name in ctx.command.list_commands(ctx):
        command = ctx.command.get_command(ctx, name)
        if command is not None:
            yield from _commands(click.Context(command, info_name=name, parent=ctx))


def _name(ctx: click.Context) -> str:
    """handfast-certs-show."""
    return ctx.command_path.replace(" ", "-")


def _page(ctx: click.Context, contexts: list[click.Context]) -> Iterator[str]:
    name, command = _name(ctx), ctx.command
    yield f'.TH {_escaped(name.upper())} 1 "" handfast "User commands"'
    # Neither hyphens nor blanks that are not in what is to be copied.
    yield from (".nh", ".ad l")
    yield from (".SH NAME", _line(f"{name} - {_first_sentence(command)}"))
    usage = " ".join(command.collect_usage_pieces(ctx))
    yield from (".SH SYNOPSIS", f"{_bold(ctx.command_path)} {_escaped(usage)}")
    yield ".SH DESCRIPTION"
    yield from _paragraphs(command.help or "")
    below = [one for one in contexts if one.parent is ctx]
    yield from _section("COMMANDS", [(_name(one), _first_sentence(one.command)) for one in below])
    yield ".SH OPTIONS"
    yield from _options(ctx)
    yield ".SH EXAMPLES"
    yield from _literally(_examples(command))
    yield from _section("ENVIRONMENT", [*_variables(command), *_EVERYWHERE])
    if ctx.parent is None:
        yield ".SH FILES"
        yield from (*_paragraphs(_FILES), ".PP", *_literally(_CONFIGURATION))
    yield from _section('"EXIT STATUS"', _STATUSES)
    others = [one for one in contexts if one is ctx.parent or (ctx.parent is not None and one.parent is ctx.parent)]
    yield ".SH SEE ALSO"
    yield ", ".join(f"{_bold(_name(one))}(1)" for one in [*others, *below] if one is not ctx)


def _first_sentence(command: click.Command) -> str:
    text = " ".join((command.help or "").split("\n\n")[0].split())
    return re.split(r"(?<=[^.])[.:;] |\.$", text)[0]


def _variables(command: click.Command) -> Iterator[tuple[str, str]]:
    for parameter in command.params:
        if variable := option_sources.variable_of(parameter):
            yield variable, f"The value of {parameter.opts[-1]}, where that is absent."
    for parameter in command.params:
        if parameter.name in _VARIABLES:
            yield _VARIABLES[parameter.name]


def _options(ctx: click.Context) -> Iterator[str]:
    command = ctx.command
    if isinstance(command, options.Verb):
        groups = command.option_groups(ctx)
    else:
        records = (one.get_help_record(ctx) for one in command.get_params(ctx))
        groups = {"": [record for record in records if record is not None]}
    for title, found in groups.items():
        if len(groups) > 1:
            yield f".SS {_escaped(title)}"
        for names, words in found:
            # The names in bold, and what stands for a value as it is.
            marked = re.sub(r"(?<!\S)-[-\w]+", lambda name: f"\\fB{name[0]}\\fR", _escaped(names, hyphens=False))
            yield from (".TP", marked.replace("-", "\\-"), _line(words))


def _examples(command: click.Command) -> Iterator[str]:
    for example in getattr(command, "examples", EXAMPLES):
        text, _, remark = example.partition("  (")
        if remark:
            yield f"# {remark.rstrip(')')}"
        yield from ui.command_lines(shlex.split(text), 76)


def _section(title: str, entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    entries = list(entries)
    if entries:
        yield f".SH {title}"
    for name, words in entries:
        yield from (".TP", _bold(name), _line(words))


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.strip().split("\n\n")):
        if number:
            yield ".PP"
        yield _line(" ".join(paragraph.split()))


def _literally(lines: Iterable[str]) -> Iterator[str]:
    yield from (".EX", *map(_protected, map(_escaped, lines)), ".EE")


def _bold(text: str) -> str:
    return f"\\fB{_escaped(text)}\\fR"


def _line(text: str) -> str:
    """Running text, in lines of the usual width."""
    lines = textwrap.wrap(_escaped(text), 79, break_long_words=False, break_on_hyphens=False)
    return "\n".join(map(_protected, lines))


def _protected(line: str) -> str:
    """A dot at the start of a line would be a request."""
    return f"\\&{line}" if line.startswith(".") else line


def _escaped(text: str, *, hyphens: bool = True) -> str:
    """Text as roff prints it: hyphens as they are typed, since readers copy options."""
    text = text.replace("\\", "\\e").replace("'", "\\(aq").replace("`", "\\(ga").replace("^", "\\(ha")
    text = text.replace("~", "\\(ti")
    return text.replace("-", "\\-") if hyphens else text
