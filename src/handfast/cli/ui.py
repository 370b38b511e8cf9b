"""The output rules of all verbs.

What the user asked for goes to standard output; everything else goes to standard error with the prefix ``handfast:``,
in lower case and without a final period. An error is two lines: what happened and whose fault it is, then a hint. Exit
status 0: done; 1: the peer, the handshake or a certificate failed; 2: usage, or a local file is bad; 130: Ctrl-C.
"""

from __future__ import annotations

import io
import os
import socket
import sys
import warnings
from typing import TYPE_CHECKING, NoReturn, TextIO

import click

from handfast.errors import ApiMisuse, ConfigError, HandfastError
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Callable

FAILED = 1
BAD_USAGE = 2
INTERRUPTED = 130


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


def note(text: str) -> None:
    """One line for the user that is not the output asked for."""
    _complain(f"handfast: {escape(text)}")


def warn(text: str) -> None:
    """A line that should be read."""
    _complain(f"{_paint('handfast: warning:', '33', sys.stderr)} {escape(text)}")


def trace(text: str) -> None:
    """A line of a trace, already escaped, on standard error and without a prefix."""
    _complain(_trace_line(text, sys.stderr))


def trace_as_output(text: str) -> None:
    """A line of a trace, where the trace is what was asked for."""
    click.echo(_trace_line(text, sys.stdout))


def _trace_line(text: str, stream: TextIO) -> str:
    """Headings, which are not indented, stand out."""
    return text if text.startswith(" ") else _paint(text, "36", stream)


def heading(text: str) -> None:
    """A heading on standard output."""
    click.echo(_paint(text, "1", sys.stdout))


def prepare_process() -> None:
    """What a process that is nothing but this program does first."""
    if not sys.warnoptions:
        # A library's advice to programmers is none for our users; whoever wants it says python -W default.
        warnings.simplefilter("ignore")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name in letters that the terminal's encoding lacks is shown by their numbers, as on standard error.
        sys.stdout.reconfigure(errors="backslashreplace")


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
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 (the last resort of a program: no traceback reaches its user)
        return _failed(error)
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
            named = f"{error.filename}: " if error.filename else ""
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
    if isinstance(error, click.NoSuchOption) and error.possibilities:
        message = f"no such option: {error.option_name}"
        hint = f"did you mean {' or '.join(sorted(error.possibilities))}?"
    elif isinstance(error, UsageErrorWithHint):
        hint = error.hint
    else:
        hint = f"{verb} --help shows what can be given"
    return _two_lines(message[:1].lower() + message[1:], "the command line", hint, BAD_USAGE)


def _two_lines(what: str, fault: str, hint: str, status: int) -> int:
    _complain(f"{_paint('handfast: error:', '31', sys.stderr)} {escape(what)} ({fault})")
    _complain(f"{_paint('handfast: hint:', '36', sys.stderr)} {escape(hint)}")
    return status


def _complain(text: str) -> None:
    try:
        click.echo(text, err=True)
    except BrokenPipeError:
        # Nobody reads our complaints: the exit status still tells.
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
