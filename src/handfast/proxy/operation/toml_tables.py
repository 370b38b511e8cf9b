"""Reading a TOML file so that every complaint names its file, line and key, and an unknown key is one.

tomllib keeps no positions, so the line of a key is looked for when there is something to complain about: table headers
and keys are recognized at the beginnings of lines, outside of strings of several lines.
"""

from __future__ import annotations

import os
import re
import tomllib
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from handfast import limits
from handfast.errors import ConfigError, bad_option
from handfast.text import escape
from handfast.x509.loading import read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from enum import StrEnum

    Choice = TypeVar("Choice", bound=StrEnum)

# Names of tables and keys, and the places of tables in a list.
Where: TypeAlias = tuple[str | int, ...]

_HEADER = re.compile(r"\s*(\[\[?)(.+?)\]\]?\s*(#.*)?$")
_NAME = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_KEY = re.compile(rf"\s*({_NAME}(?:\s*\.\s*{_NAME})*)\s*=")
# What a number of TOML may be; the rest of it and nan are refused here, where the line is known.
_LARGEST = 2**63 - 1
_QUOTES = re.compile(r'"""|\'\'\'')


class TomlFile:
    """A TOML file that was read. Raises ConfigError for what is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shown = escape(str(path))
        data = read(path)
        if len(data) > limits.PROXY_CONFIG_BYTES:
            reason = f"it has more than {limits.PROXY_CONFIG_BYTES} bytes"
            raise bad_option(self.shown, reason, "give the configuration of a proxy")
        try:
            self._text = data.decode()
            self.content = tomllib.loads(self._text)
        except (ValueError, RecursionError) as error:
            # tomllib's words name line and column. It fails otherwise for numbers of thousands of digits, and for lists
            # in a thousand lists.
            raise bad_option(self.shown, f"this is no TOML: {error}", "docs/proxy.md shows a file") from None
        self._lines: dict[Where, int] | None = None

    def error(self, where: Where, reason: str, advice: str) -> ConfigError:
        """What is wrong with what stands there."""
        return bad_option(self.place(where), reason, advice)

    def place(self, where: Where) -> str:
        """File, line and key, for people."""
        if self._lines is None:
            self._lines = _lines(self._text)
        known = next((self._lines[where[:n]] for n in range(len(where), 0, -1) if where[:n] in self._lines), None)
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{escape(part)}" for part in where).lstrip(".")
        line = "" if known is None else f", line {known}"
        return f"{self.shown}{line}: {key}" if key else self.shown

    @contextmanager
    def at(self, where: Where) -> Iterator[None]:
        """ConfigErrors of what is made of this value name the place."""
        try:
            yield
        except ConfigError as error:
            if str(error).startswith(self.shown):
                raise
            raise self.error(where, error.what, error.hint) from None


class Table:
    """A table, whose keys are taken one after the other; ``done`` complains of those that were not."""

    def __init__(self, file: TomlFile, content: dict[str, Any], where: Where = (), above: Table | None = None) -> None:
        self.file = file
        self.where = where
        self._own = content
        self._above = above
        self._content: dict[str, Any] = content if above is None else {**above._content, **content}
        self._known: list[str] = []
        # Keys that were asked for and not taken: there are such, and what is not taken is not honoured.
        self._looked_for: list[str] = []

    def __contains__(self, key: str) -> bool:
        self._looked_for.append(key)
        return key in self._content

    def without(self, *keys: str) -> Table:
        """The table without these keys, which others take."""
        return Table(self.file, {key: value for key, value in self._own.items() if key not in keys}, self.where)

    def over(self, above: Table) -> Table:
        """The table, with the keys of another one that it does not have."""
        return Table(self.file, self._own, self.where, above)

    def at(self, key: str) -> Where:
        """Where this key stands."""
        if self._above is not None and key not in self._own and key in self._above:
            return self._above.at(key)
        return (*self.where, key)

    def error(self, key: str, reason: str, advice: str) -> ConfigError:
        """What is wrong with this key."""
        return self.file.error(self.at(key) if key else self.where, reason, advice)

    def text(self, key: str) -> str | None:
        """A string; None where there is none, as of all of these."""
        value = self._take(key, str, "a string in quotes")
        if value == "":
            raise self.error(key, "this is empty", "write a value, or leave the key out")
        return None if value is None else self._without_zero(key, value)

    def needed(self, key: str, advice: str) -> str:
        """A string that must be there."""
        found = self.text(key)
        if found is None:
            raise self.error("", f"there is no {key}", advice)
        return found

    def path(self, key: str) -> Path | None:
        """A file, relative to the one that names it."""
        value = self.text(key)
        return None if value is None else self.file.path.parent / os.path.expanduser(value)

    def flag(self, key: str) -> bool:
        """True or false; false where nothing is said."""
        return self._take(key, bool, "true or false") is True

    def number(self, key: str, default: float) -> float:
        """A number, of which a fraction may be."""
        value = self._take(key, (int, float), "a number")
        if value is not None and not abs(value) <= _LARGEST:
            raise self.error(key, "this is not a number to reckon with", "write a number")
        return default if value is None else float(value)

    def whole(self, key: str, default: int) -> int:
        """A whole number."""
        value = self._take(key, int, "a whole number")
        if value is not None and abs(value) > _LARGEST:
            raise self.error(key, "this has more than 64 bits", "write a smaller number")
        return default if value is None else int(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings."""
        value = self._take(key, list, 'a list, as ["a", "b"]')
        if value == []:
            raise self.error(key, "this list is empty, and would restrict nothing", "fill it, or leave the key out")
        for one in value or ():
            if not isinstance(one, str) or not one:
                raise self.error(key, "not all of this list are strings", 'write ["a", "b"]')
        return tuple(self._without_zero(key, one) for one in value or ())

    def choice(self, key: str, kind: type[Choice]) -> Choice | None:
        """One of a few words."""
        value = self.text(key)
        return None if value is None else self._one_of(key, value, kind)

    def choices(self, key: str, kind: type[Choice]) -> tuple[Choice, ...]:
        """Some of a few words."""
        return tuple(self._one_of(key, value, kind) for value in self.texts(key))

    def table(self, key: str) -> Table | None:
        """A table below this one."""
        value = self._take(key, dict, f"a table, as [{key}]")
        return None if value is None else Table(self.file, value, self.at(key))

    def tables(self, key: str) -> list[Table]:
        """A list of tables."""
        value = self._take(key, list, f"a list of tables, as [[{key}]]")
        for number, one in enumerate(value or ()):
            if not isinstance(one, dict):
                raise self.file.error((*self.at(key), number), "this is no table", f"write [[{key}]]")
        return [Table(self.file, one, (*self.at(key), number)) for number, one in enumerate(value or ())]

    def items(self) -> list[tuple[str, Table]]:
        """All keys, each of which is the name of a table."""
        found = [(key, self.table(key)) for key in list(self._content)]
        return [(key, table) for key, table in found if table is not None]

    def done(self) -> None:
        """All keys that there may be were taken. Raises ConfigError for others."""
        for key in self._content:
            if key not in self._known:
                there = list(dict.fromkeys((*self._known, *self._looked_for)))
                near = get_close_matches(key, there, 1)
                advice = f"did you mean {near[0]}?" if near else f"there may be {', '.join(there)}"
                raise self.error(key, "there is no such key", advice)

    def _take(self, key: str, kind: type | tuple[type, ...], words: str) -> Any:
        self._known.append(key)
        value = self._content.get(key)
        # In Python true is a number, in TOML it is none.
        if value is not None and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
            raise self.error(key, f"this is not {words}", f"write {words}")
        return value

    def _without_zero(self, key: str, value: str) -> str:
        if "\0" in value:
            raise self.error(key, "this has a zero byte", "write what it names, without one")
        return value

    def _one_of(self, key: str, value: str, kind: type[Choice]) -> Choice:
        try:
            return kind(value)
        except ValueError:
            there = ", ".join(kind)
            raise self.error(key, f"{escape(value)!r} is none of {there}", f"write one of {there}") from None


def _lines(text: str) -> dict[Where, int]:
    """The line of each table and key, as far as they begin a line."""
    found: dict[Where, int] = {}
    table: Where = ()
    counts: dict[Where, int] = {}
    inside = False
    for number, line in enumerate(text.split("\n"), 1):
        if not inside and (header := _HEADER.match(line)) is not None:
            table = _placed(_names(header[2]), counts, in_list=header[1] == "[[")
            found.setdefault(table, number)
        elif not inside and (key := _KEY.match(line)) is not None:
            names = _names(key[1])
            for length in range(1, len(names) + 1):
                found.setdefault((*table, *names[:length]), number)
        inside ^= len(_QUOTES.findall(line)) % 2 == 1
    return found


def _placed(names: tuple[str, ...], counts: dict[Where, int], *, in_list: bool) -> Where:
    """A table's names, with the places of those that are lists. ``counts`` are the tables of each list so far."""
    where: Where = ()
    for position, name in enumerate(names):
        where = (*where, name)
        if in_list and position == len(names) - 1:
            counts[where] = counts.get(where, 0) + 1
        if where in counts:
            where = (*where, counts[where] - 1)
    return where


def _names(text: str) -> tuple[str, ...]:
    """The parts of a dotted key."""
    try:
        parsed: Any = tomllib.loads(f"{text} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    names = []
    while isinstance(parsed, dict):
        ((name, parsed),) = parsed.items()
        names.append(name)
    return tuple(names)
