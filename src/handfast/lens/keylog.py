"""The NSS key log, RFC 9850: one line per secret, from which Wireshark and others decrypt a capture."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Self

from handfast.files import append_private
from handfast.limits import APPENDED_TO_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import FileIO
    from os import PathLike
    from types import TracebackType

    from handfast.events import Secret

# A line of a key log, be it one of those that NSS had for RSA; a remark; or a line that was cut where a disk was full,
# and that the next one may have been written behind.
_LINE = re.compile(rb"\s*(?:#.*|[A-Z][A-Z0-9_]*(?:\s+(?:[0-9A-Fa-f].*|Session-ID:.*)?)?)?")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def is_key_log(beginning: bytes) -> bool:
    """Whether the beginning of a file is that of a key log, to which lines may be appended; an empty one is."""
    lines = beginning.removeprefix(_BYTE_ORDER_MARK).splitlines()
    # What comes after it would complete its last line.
    return all(map(_LINE.fullmatch, lines if len(beginning) < APPENDED_TO_BYTES else lines[:-1]))


def open_key_log(path: str | PathLike[str]) -> FileIO:
    """A key log to append to, made if need be. Raises ConfigError as ``append_private``."""
    file = append_private(path, is_key_log)
    size = os.fstat(file.fileno()).st_size
    if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
        # Whatever cut the last line, the next one begins anew.
        file.write(b"\n")
    return file


class KeyLog:
    """A secret sink that hands each secret with a key log label to ``write_line``, newline included.

    ``write_line`` must have stored the line when it returns: the secret's first record follows it, and one who captures
    that record wants its key already there. Secrets without a label (the shared secret, the main secret, PSKs) are
    never written.
    """

    def __init__(self, write_line: Callable[[str], object]) -> None:
        self._write_line = write_line
        self._close: Callable[[], None] = lambda: None

    @classmethod
    def to_file(cls, path: str | PathLike[str]) -> Self:
        """A key log that is appended to a file, which only its owner may read: with it, the connection can be read.

        Close it, or use it in a ``with``. Raises ConfigError not_a_regular_file, foreign_file, hard_link,
        other_contents for a file that is no key log, file_unwritable.
        """
        file = open_key_log(path)
        log = cls(lambda line: file.write(line.encode()))
        log._close = file.close
        return log

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file of ``to_file``; no more secrets may come then."""
        self._close()

    def __call__(self, secret: Secret) -> None:
        """Log one secret. RFC 9850 2."""
        if secret.keylog_label:
            self._write_line(f"{secret.keylog_label} {secret.client_random.hex()} {secret.value.hex()}\n")
