"""What somebody else says, a peer, a store or a foreign exception, as it becomes text of ours."""

from __future__ import annotations

from handfast.limits import MAX_DETAIL_TEXT, MAX_PEER_TEXT
from handfast.text import escape


def said_by(error: BaseException) -> str:
    """What a foreign exception says, with its type: escaped, shortened, and whatever its ``str`` may do."""
    try:
        words = str(error)
    except Exception:  # noqa: BLE001 (an exception that cannot even say what it is about)
        words = "it does not say what"
    return f"{type(error).__name__}: {escape(words, MAX_PEER_TEXT)}" if words else type(error).__name__


def detail(value: object) -> object:
    """A value as it stands in a sentence of ours: a number as it is, all else as text, escaped and shortened."""
    return value if isinstance(value, int | float) else escape(str(value), MAX_DETAIL_TEXT)
