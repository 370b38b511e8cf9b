"""The plain words for what a page shows, and their Chinese: the one place where the page looks sentences up."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from handfast.events import CHECKS
from handfast.keys import secret_names
from handfast.registry import AlertDescription
from handfast.registry.meanings import meanings
from handfast.registry.sentences import split
from handfast.wire.explained import explained

if TYPE_CHECKING:
    from handfast.wire.codec import Struct
    from handfast.wire.fields import Field

_CATALOGUES = ("interface.toml", "zh.toml")


class Words(NamedTuple):
    """One sentence, "" where there is none, and the section where it is defined, such as "RFC 9846 4.2.2"."""

    sentence: str
    section: str


def of_declaration(cls: type[Struct]) -> Words:
    """What is said of a message, an extension or another struct."""
    return Words(*explained(cls))


def of_field(field: Field) -> tuple[Words, ...]:
    """What is said of a field, then of its value."""
    return Words(field.sentence, field.rfc), *(Words(*said) for said in field.meanings)


def of_secret(name: str, *, tls13: bool) -> Words:
    """What is said of a secret of the key schedule."""
    return Words(*secret_names.explained(name, secret_names.MEANINGS if tls13 else secret_names.MEANINGS_12))


def of_alert(description: int) -> tuple[Words, ...]:
    """What is said of an alert."""
    return tuple(Words(*said) for said in meanings(AlertDescription, description))


def of_check(what: str) -> Words:
    """What is said of a proof."""
    return Words(*split(CHECKS.get(what)))


@cache
def chinese() -> dict[str, str]:
    """The Chinese of every sentence that has one, and of a verdict's code behind the word "verdict"."""
    # Not needed by one who makes no page.
    import tomllib
    from importlib import resources

    found: dict[str, str] = {}
    for name in _CATALOGUES:
        file = resources.files(__package__) / name
        tables = tomllib.loads(file.read_text("utf-8"))
        found |= tables["sentences"]
        found |= {f"verdict {code}": said for code, said in tables.get("verdicts", {}).items()}
    return found
