"""Files that hold secrets: readable by their owner only, and never written through somebody else's trap.

In a directory that others may write to, one who guesses a file's name can put something there first: a symbolic link to
a file worth destroying, a second name of one (a hard link), a pipe that they read from, a file of their own. So a path
is opened without following a link in its last part, and what was opened is looked at before anything is written to it.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from errno import EEXIST, EISDIR, ELOOP, ENXIO
from secrets import token_hex
from typing import TYPE_CHECKING

from handfast.errors import ConfigError, bad_option
from handfast.limits import APPENDED_TO_BYTES
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import FileIO
    from os import PathLike
    from typing import BinaryIO

PRIVATE = 0o600
# Without O_NONBLOCK, opening a pipe would wait for its reader; on a regular file it means nothing.
_SAFE_FLAGS = os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def refuse_empty(path: str | PathLike[str]) -> None:
    """ConfigError bad_option for an empty name: a ``Path`` made of it is the current directory, which was not named."""
    if not os.fspath(path):
        advice = "give one, or leave it out; a variable that is not set gives an empty one"
        raise bad_option("path", "the name of a file or directory is empty", advice)


def create_private(path: str | PathLike[str], *, replace: bool = False) -> BinaryIO:
    """A file of mode 0600 to write to, buffered; with ``replace`` an own regular file there is emptied first.

    Raises ConfigError file_exists, not_a_regular_file, foreign_file, hard_link, file_unwritable.
    """
    descriptor = _open_own(path, 0 if replace else os.O_EXCL)
    os.ftruncate(descriptor, 0)
    return open(descriptor, "wb")


def append_private(
    path: str | PathLike[str], fits: Callable[[bytes], bool] | None = None, *, keeps_mode: bool = False
) -> FileIO:
    """A file to append to, made with mode 0600 if need be.

    An own one there that others could read is closed to them, unless it ``keeps_mode``. ``fits`` says of the beginning
    of what is there, of up to ``limits.APPENDED_TO_BYTES``, whether more may follow it; where not, the file stays as it
    is. It is not buffered: when a write returns the file has it, and two processes can share the file line by line.
    Raises ConfigError not_a_regular_file, foreign_file, hard_link, other_contents, file_unwritable.
    """
    return open(_open_own(path, os.O_APPEND, fits, keeps_mode=keeps_mode), "ab", buffering=0)


def check_replaceable(path: str | PathLike[str], *, replace: bool) -> None:
    """``write_whole`` will be able to write there. With ``replace`` it may replace an own regular file.

    Raises ConfigError file_exists, not_a_regular_file, foreign_file, hard_link, file_unwritable.
    """
    with errors_for(path):
        if os.path.lexists(path):
            _check_own_regular_file(path, os.lstat(path))
            if not replace:
                raise ConfigError("file_exists", path=escape(os.fspath(path)))
        temporary = _beside(path)
        os.close(os.open(temporary, _SAFE_FLAGS | os.O_WRONLY | os.O_EXCL, PRIVATE))
        os.unlink(temporary)


def write_whole(path: str | PathLike[str], data: bytes, mode: int = PRIVATE) -> None:
    """Write a file that is either whole or as it was before; what it replaces is what ``check_replaceable`` allows.

    Raises ConfigError not_a_regular_file, foreign_file, hard_link, file_unwritable.
    """
    with errors_for(path):
        if os.path.lexists(path):
            _check_own_regular_file(path, os.lstat(path))
        temporary = _beside(path)
        descriptor = os.open(temporary, _SAFE_FLAGS | os.O_WRONLY | os.O_EXCL, mode)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise


def _beside(path: str | PathLike[str]) -> str:
    """A new name in the same directory, short enough for any file system."""
    folder, name = os.path.split(os.fspath(path))
    return os.path.join(folder, f".{name[:100]}.{token_hex(8)}")


def _open_own(
    path: str | PathLike[str], flags: int, fits: Callable[[bytes], bool] | None = None, *, keeps_mode: bool = False
) -> int:
    access = os.O_WRONLY if fits is None else os.O_RDWR
    keeps_mode = keeps_mode and os.path.lexists(path)
    with errors_for(path):
        descriptor = os.open(path, _SAFE_FLAGS | access | flags, PRIVATE)
    try:
        _check_own_regular_file(path, os.fstat(descriptor))
        if fits is not None and not fits(os.pread(descriptor, APPENDED_TO_BYTES, 0)):
            raise ConfigError("other_contents", path=escape(os.fspath(path)))
        if not keeps_mode:
            os.fchmod(descriptor, PRIVATE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_own_regular_file(path: str | PathLike[str], status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError("not_a_regular_file", path=escape(os.fspath(path)), kind=kind_of(status))
    if status.st_uid != os.geteuid():
        raise ConfigError("foreign_file", path=escape(os.fspath(path)))
    # Such a name may have been put there by somebody else, for a file of ours that they cannot write to.
    if status.st_nlink > 1:
        raise ConfigError("hard_link", path=escape(os.fspath(path)), names=status.st_nlink)


def kind_of(status: os.stat_result) -> str:
    """What a file is, in words with their article."""
    return next((words for test, words in _KINDS if test(status.st_mode)), "a regular file")


@contextmanager
def errors_for(path: str | PathLike[str]) -> Iterator[None]:
    """Turns the OSErrors of creating ``path`` into ConfigErrors that name it."""
    try:
        yield
    except OSError as error:
        name = escape(os.fspath(path))
        # What is in the way is worth naming; it may be gone by now, and then the error stays as general as it was.
        if error.errno in (EEXIST, EISDIR, ELOOP, ENXIO) and os.path.lexists(path):
            kind = kind_of(os.lstat(path))
            if kind != "a regular file":
                raise ConfigError("not_a_regular_file", path=name, kind=kind) from None
            raise ConfigError("file_exists", path=name) from None
        raise ConfigError("file_unwritable", path=name, reason=error.strerror or str(error)) from None


def setuid() -> bool:
    """Whether the process has another user's rights: then its environment names no file that is read or written with
    them."""
    return os.geteuid() != os.getuid() or os.getegid() != os.getgid()
