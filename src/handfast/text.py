"""Text that came from a peer, a certificate or a file, made safe to show."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_ELLIPSIS = "..."
# As Rust prints a structure: its name and what is in it.
_DUMPED = re.compile(r": \w+ ?[({\[].*", re.DOTALL)


def escape(text: str | bytes, limit: int | None = None) -> str:
    """``text`` with everything that is not printable written as an escape, cut to ``limit`` characters of input.

    Escaped are control characters (so no line breaks and no terminal sequences), invisible and direction-changing
    characters, unusual spaces and lone surrogates. Bytes are read as UTF-8; what does not decode becomes ``\\xNN``. The
    result is for eyes, not for parsing: a backslash stays as it is.
    """
    shown = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text
    cut = limit is not None and len(shown) > limit
    body = shown[:limit] if cut else shown
    if not body.isprintable():
        body = "".join(character if character.isprintable() else _escaped(character) for character in body)
    return body + _ELLIPSIS if cut else body


def reported(error: BaseException, limit: int | None = None) -> str:
    """What another library's error says, escaped, without the structures of its own that it dumps behind its words."""
    return escape(_DUMPED.sub("", str(error)), limit)


def listed(texts: Sequence[str], most: int = 20) -> str:
    """The texts, escaped, with commas; of a long list the first ``most`` and how many there are besides."""
    shown = ", ".join(map(escape, texts[:most]))
    return f"{shown} and {len(texts) - most} more" if len(texts) > most else shown


def counted(number: int, noun: str) -> str:
    """ "1 CA name", "2 CA names"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _escaped(character: str) -> str:
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
