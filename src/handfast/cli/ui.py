"""The output rules of all verbs.

What the user asked for goes to standard output; everything else goes to standard error with the prefix ``handfast:``,
in lower case and without a final period. An error is two lines: what happened and whose fault it is, then a hint. Exit
status 0: done; 1: the peer, the handshake or a certificate failed; 2: usage, or a local file is bad; 130: Ctrl-C.
"""

from __future__ import annotations

import io
import os
import shlex
import shutil
import signal
import socket
import sys
import textwrap
import warnings
from typing import TYPE_CHECKING, NoReturn, TextIO

import click

from handfast.errors import ApiMisuse, ConfigError, HandfastError
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FAILED = 1
BAD_USAGE = 2
INTERRUPTED = 130

# Seconds between two looks for a signal, in what may wait for long. Python tells of a signal between two steps of its
# own: of one that comes in the moment before a wait it tells after it, and Ctrl-C would do nothing.
SIGNALS_ARE_LOOKED_FOR = 0.5

# Without a terminal and $COLUMNS.
_USUAL_WIDTH = 80
# Help is laid out in the width there is, as long as lines can be read.
CONTEXT_SETTINGS = {"max_content_width": 120}


# Of a command's context, where nothing is said but errors.
_SILENT = "handfast.cli.ui.silent"

_NO_HINT = "--trace shows what was said until then"


class CommandFailed(Exception):
    """A failure that is no TLS error; it ends the program with two lines and ``status``."""

    def __init__(self, what: str, fault: str, hint: str, status: int = FAILED) -> None:
        super().__init__(what)
        self.what = what
        self.fault = fault
        self.hint = hint
        self.status = status


class UsageErrorWithHint(click.UsageError):
    """One of click's, for which we know better what was meant."""

    def __init__(self, error: click.UsageError, hint: str) -> None:
        super().__init__(error.message, error.ctx)
        self.hint = hint


def silence() -> None:
    """Leave out what ``note`` and ``warn`` say, until the running command is over."""
    click.get_current_context().meta[_SILENT] = True


def _silent() -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and _SILENT in context.meta


def note(text: str) -> None:
    """One line for the user that is not the output asked for."""
    if _silent():
        return
    _complain(_filled("handfast:", _in_options(escape(text))))


def warn(text: str) -> None:
    """A line that should be read."""
    if _silent():
        return
    _complain(_filled("handfast: warning:", _in_options(escape(text)), "33"))


def trace(text: str) -> None:
    """A line of a trace, already escaped, on standard error and without a prefix."""
    _complain(_trace_line(_in_options(text), sys.stderr))


def trace_as_output(text: str) -> None:
    """A line of a trace, where the trace is what was asked for."""
    click.echo(_trace_line(_in_options(text), sys.stdout))


def traces_as_output(lines: list[str]) -> None:
    """Several such lines, in one piece."""
    if lines:
        plain = width_of(sys.stdout) is None
        click.echo("\n".join(lines if plain else (_trace_line(line, sys.stdout) for line in lines)))


def _trace_line(text: str, stream: TextIO) -> str:
    """A line of a trace, wrapped where ``stream`` is a terminal; headings, which are not indented, stand out."""
    indent = " " * (len(text) - len(text.lstrip()) + 4)
    lines = "\n".join(_wrapped(text, width_of(stream), indent))
    return lines if text.startswith(" ") else _paint(lines, "36", stream)


def _in_options(text: str) -> str:
    # Loaded by what says something: the help of a verb is quicker without.
    from handfast.cli.in_options import in_options

    return in_options(text)


def heading(text: str) -> None:
    """A heading on standard output."""
    click.echo(_paint("\n".join(_wrapped(text, width_of(sys.stdout))), "1", sys.stdout))


def width_of(stream: TextIO) -> int | None:
    """How wide lines may be: a terminal's width, which $COLUMNS overrides; None for a file or a pipe."""
    # $COLUMNS alone says nothing: readline leaves it behind for whatever a program starts.
    if not stream.isatty():
        return None
    return shutil.get_terminal_size((_USUAL_WIDTH, 24)).columns


def definitions(entries: Iterable[tuple[str, str]], indent: str = "  ") -> list[str]:
    """Lines of a list: each name, and beside it what is said of it, wrapped at words."""
    entries = list(entries)
    column = max((len(name) for name, _ in entries), default=0) + 2
    lines = []
    for name, text in entries:
        first, *rest = _wrapped(text, (width_of(sys.stdout) or _USUAL_WIDTH) - len(indent) - column, "")
        lines += [f"{indent}{name:{column}}{first}", *(f"{indent}{'':{column}}{line}" for line in rest)]
    return lines


def command_lines(words: Iterable[str], width: int | None = None) -> list[str]:
    """A command as it can be pasted into a shell, indented, with a backslash where a line is continued."""
    room = (width or width_of(sys.stdout) or _USUAL_WIDTH) - len("  ") - len(" \\")
    lines, line = [], ""
    for part in _option_and_value(map(shlex.quote, words)):
        if line and len(line) + 1 + len(part) > room:
            lines.append(f"{line} \\")
            line = f"  {part}"
        else:
            line = f"{line} {part}" if line else part
    return [f"  {one}" for one in [*lines, line]]


def _option_and_value(words: Iterable[str]) -> list[str]:
    """The words, but an option and the word behind it, which may be its value, in one."""
    parts: list[str] = []
    for word in words:
        if parts and parts[-1].startswith("-") and " " not in parts[-1] and not word.startswith("-"):
            parts[-1] += f" {word}"
        else:
            parts.append(word)
    return parts


def write_examples(formatter: click.HelpFormatter, examples: Iterable[str]) -> None:
    """Examples at the head of a help page; a remark in brackets stands behind its command."""
    lines = []
    for example in examples:
        command, _, remark = example.partition("  (")
        lines += [f"  # {remark.rstrip(')')}"] if remark else []
        lines += command_lines(shlex.split(command), formatter.width)
    formatter.write("\n".join(["Examples:", *lines, "", ""]))


def _wrapped(text: str, width: int | None, indent: str = "    ") -> list[str]:
    """``text`` in lines that end at words; a word longer than a line stays whole. One line where there is no width."""
    if width is None or len(text) <= width:
        return [text]
    further = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.wrap(text, max(width, 20), subsequent_indent=indent, **further) or [""]  # type: ignore[arg-type]


def _filled(prefix: str, text: str, colour: str = "") -> str:
    """A line for standard error, wrapped where that is a terminal."""
    lines = "\n".join(_wrapped(f"{prefix} {text}", width_of(sys.stderr)))
    return (_paint(prefix, colour, sys.stderr) if colour else prefix) + lines.removeprefix(prefix)


def prepare_process() -> None:
    """What a process that is nothing but this program does first."""
    _fill_standard_streams()
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        # As ``__main__`` left it. From here on Ctrl-C is KeyboardInterrupt, which ``run`` knows.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not sys.warnoptions:
        # A library's advice to programmers is none for our users; python -W default shows it.
        warnings.simplefilter("ignore")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name in letters that the terminal's encoding lacks is shown by their numbers, as on standard error.
        sys.stdout.reconfigure(errors="backslashreplace")


def _fill_standard_streams() -> None:
    """Give a process that was started without one of its standard streams an empty one.

    Its descriptor, too: it would be that of the next file or connection, and what is printed would go there.
    """
    for name, flags in (("stdin", os.O_RDONLY), ("stdout", os.O_WRONLY), ("stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            mode = "r" if flags == os.O_RDONLY else "w"
            setattr(sys, name, open(os.open(os.devnull, flags), mode, closefd=False))  # noqa: SIM115 (the process's)


def reason(error: OSError) -> str:
    """The system's words for an error, without what Python adds to some of them."""
    # The numbers of getaddrinfo are not those of errno.
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno)


def run(command: click.Command, arguments: list[str]) -> int:
    """Run ``command``, turn whatever ends it into two lines at most, and return the exit status."""
    try:
        status = command.main(arguments, prog_name="handfast", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_left()
    except (KeyboardInterrupt, click.Abort):
        status = INTERRUPTED
    except Exception as error:  # noqa: BLE001 (the last resort of a program: no traceback reaches its user)
        status = _failed(error)
    try:
        sys.stdout.flush()
    except OSError:
        # What is still in the buffer does not get anywhere, and Python would try again at exit, with words of its own.
        _discard(sys.stdout)
    return status if isinstance(status, int) else 0


def _failed(error: Exception) -> int:
    match error:
        case click.UsageError():
            return _usage_error(error)
        case CommandFailed():
            return _two_lines(error.what, error.fault, error.hint, error.status)
        case ConfigError() | ApiMisuse():
            return _two_lines(error.what, error.fault, error.hint, BAD_USAGE)
        case HandfastError():
            return _two_lines(error.what, error.fault, error.hint, FAILED)
        case OSError():
            # Of what was opened by its descriptor, that is the name.
            named = f"{error.filename}: " if error.filename and not isinstance(error.filename, int) else ""
            return _two_lines(
                f"{named}{reason(error)}", "this machine", "check the path, its permissions and the disk", 2
            )
    if os.environ.get("HANDFAST_LOG"):
        import traceback

        # Without locals: a frame's locals can hold keys.
        _complain("".join(traceback.format_exception(error)).rstrip())
    what = f"handfast failed: {type(error).__name__}: {error}"
    return _two_lines(what, "a bug in handfast", "report it, with the traceback that HANDFAST_LOG=debug shows", FAILED)


def _usage_error(error: click.UsageError) -> int:
    message = error.format_message().replace("\n", " ").rstrip(".")
    verb = error.ctx.command_path if error.ctx is not None else "handfast"
    if isinstance(error, click.NoSuchOption):
        from handfast.cli.suggestions import instead_of

        message = f"no such option: {error.option_name}"
        known = [] if error.ctx is None else [name for one in error.ctx.command.params for name in one.opts]
        better = instead_of(error.option_name, known)
        hint = f"did you mean {better}?" if better else f"{verb} --help shows what can be given"
    elif isinstance(error, UsageErrorWithHint):
        hint = error.hint
    else:
        hint = f"{verb} --help shows what can be given"
    return _two_lines(message[:1].lower() + message[1:], "the command line", hint, BAD_USAGE)


def _two_lines(what: str, fault: str, hint: str, status: int) -> int:
    _complain(_filled("handfast: error:", f"{escape(what)} ({fault})", "31"))
    _complain(_filled("handfast: hint:", _in_options(escape(hint)) or _NO_HINT, "36"))
    return status


def _complain(text: str) -> None:
    try:
        click.echo(text, err=True)
    except OSError:
        # Nothing more can be said, as to a pipe without a reader or on a full disk: the exit status still tells.
        _discard(sys.stderr)


def _reader_left() -> int:
    """The reader of our output (``head``) has enough: that is the end, without a word, and with click's own status."""
    _discard(sys.stdout)
    return FAILED


def _discard(stream: TextIO) -> None:
    """Point a stream at nothing, so that the flush at exit does not fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _paint(text: str, colour: str, stream: TextIO) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if colourful(stream) else text


def colourful(stream: TextIO) -> bool:
    """Whether this stream is a terminal that wants colour. https://no-color.org"""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def fail(what: str, fault: str, hint: str, status: int = FAILED) -> NoReturn:
    """End the program with an error."""
    raise CommandFailed(what, fault, hint, status)


def guarded(write: Callable[[bytes], None], *, terminal: bool) -> Callable[[bytes], None]:
    """``write`` for bytes of a peer: on a terminal, control characters except line breaks and tabs are escaped."""
    if not terminal:
        return write

    def shown(data: bytes) -> None:
        lines = data.decode("utf-8", "backslashreplace").split("\n")
        text = "\n".join("\t".join(map(escape, line.rstrip("\r").split("\t"))) for line in lines)
        write(text.encode())

    return shown
