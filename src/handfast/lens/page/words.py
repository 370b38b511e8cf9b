"""The plain words for what a page shows, and their Chinese: the one place where the page looks sentences up."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from handfast.wire.fields import Field

_SECTION = re.compile(r"RFC \d+ [\dA-Z][\d.]*\d|RFC \d+ \d+|RFC \d+")
_CATALOGUES = ("interface.toml", "zh.toml")


class Words(NamedTuple):
    """One sentence, "" where there is none, and the section where it is defined, such as "RFC 9846 4.2.2"."""

    sentence: str
    section: str


def of_declaration(cls: type) -> Words:
    """What is said of a message, an extension or another struct."""
    found = _SECTION.search(cls.__doc__ or "")
    return Words("", found[0] if found else "")


def of_field(field: Field, around: Words) -> tuple[Words, ...]:
    """What is said of a field, then of its value; ``around`` is what is said of the message that it is in."""
    return (Words("", around.section),) if field.name else ()


def of_secret(name: str) -> Words:
    """What is said of a secret of the key schedule. RFC 9846 7.1."""
    return Words("", "RFC 9846 7.1" if name else "")


def of_alert(description: int) -> Words:
    """What is said of an alert. RFC 9846 6."""
    return Words("", "RFC 9846 6" if description else "")


@cache
def chinese() -> dict[str, str]:
    """The Chinese of every sentence that has one."""
    # Not needed by one who makes no page.
    import tomllib
    from importlib import resources

    found: dict[str, str] = {}
    for name in _CATALOGUES:
        file = resources.files(__package__) / name
        if file.is_file():
            found |= tomllib.loads(file.read_text("utf-8"))["sentences"]
    return found
