"""Where the body goes: standard output, or a file that is either whole or not there."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, TextIO

import click

from handfast.cli import ui
from handfast.files import errors_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def standard_output() -> Iterator[Callable[[bytes], None]]:
    """Writes to standard output at once; on a terminal, what could command it is escaped."""
    stream = sys.stdout.buffer

    def write(data: bytes) -> None:
        stream.write(data)
        stream.flush()

    yield ui.guarded(write, terminal=sys.stdout.isatty())


class ScreenLine:
    """``write`` that knows whether the last line was ended, so that what follows on a shared screen can begin one."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._last = b"\n"

    def __call__(self, data: bytes) -> None:
        self._write(data)
        self._last = data[-1:] or self._last

    def end(self, *, shown: bool) -> None:
        """End a line that is not, if what was ``shown`` goes where our own lines go: to one terminal or file."""
        if shown and self._last != b"\n" and _same_place(sys.stdout, sys.stderr):
            click.echo(err=True)
            self._last = b"\n"


def _same_place(one: TextIO, other: TextIO) -> bool:
    try:
        first, second = os.fstat(one.fileno()), os.fstat(other.fileno())
    except (OSError, ValueError):
        return False
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


@contextmanager
def output_file(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Writes to a file that gets its name only when the block ends well. Raises ConfigError.

    Devices and pipes are written to directly; a link leads to the file that is replaced.
    """
    if path.exists() and not path.is_file():
        with errors_for(path):
            device = open(path, "wb", buffering=0)  # noqa: SIM115 (closed below)
        with device:
            yield lambda data: _write(device.write, data)
        return
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f".{path.name[:200]}.{token_hex(8)}")
    with errors_for(path):
        file = open(temporary, "xb")  # noqa: SIM115 (closed before it is renamed)
    try:
        with file:
            yield lambda data: _write(file.write, data)
        with errors_for(path):
            if path.exists():
                shutil.copymode(path, temporary)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _write(write: Callable[[bytes], int | None], data: bytes) -> None:
    write(data)
