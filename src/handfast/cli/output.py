"""Where the body goes: standard output, or a file that is either whole or not there."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

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
