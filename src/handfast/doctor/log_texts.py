"""The texts that programs write when TLS fails, and what each can mean: ``log_texts.toml`` and ``meanings.toml``.

A text is found by plain searches in a line that is first made alike (see ``alike``): the time that takes grows with the
length of the line alone, whatever stands in it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from handfast.doctor.catalogue import causes as known_causes
from handfast.doctor.inputs import Input

if TYPE_CHECKING:
    from collections.abc import Iterator

_OTHER = {"client": "server", "server": "client"}
# Of an input that a meaning names with a side in it: what it is for each side.
_INPUTS = {
    "client_trust": Input.CLIENT_TRUST,
    "server_trust": Input.CLIENT_CA,
}
_ALIKE = str.maketrans("_-", "  ")
_GAP = " ... "


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text says from one side's mouth: the causes that it leaves open, and the input that would tell which."""

    causes: tuple[str, ...]
    tells: Input


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Program:
    """One that writes logs.

    Attributes:
        title: its name. seen: the versions that the tests make write its texts, "" for none.
        side: as what it speaks where nothing in a line shows it, "" where it can be either.
        marks: what shows in a line that it speaks as "client" or as "server".
        mostly_client: what in a line a client says, and a server only now and then.
    """

    title: str
    seen: str
    side: str
    marks: Mapping[str, tuple[str, ...]]
    mostly_client: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownText:
    """One text.

    Attributes:
        program: whose it is.
        shown: as it is written, with " ... " for what differs from case to case.
        parts: what must stand in a line that was made alike, in this order.
        readings: what it says where a client says it, where a server does, and under "" where that is not known.
        note: what a reader should know besides; "" for nothing.
        left_by: which of the doctor's own connections leave it in a server's log: those with "no certificate", or
            those for "HTTP/2"; "" for none.
        advice: what to do, where it tells more than its causes do; "" where it does not.
        source: where it is from; "" for a text that the tests make the program write.
    """

    program: Program
    shown: str
    parts: tuple[str, ...]
    readings: Mapping[str, Reading]
    note: str = ""
    source: str = ""
    left_by: str = ""
    advice: str = ""

    def stands_in(self, line: str) -> bool:
        """Whether a line that was made alike holds it."""
        at = 0
        for part in self.parts:
            at = line.find(part, at)
            if at < 0:
                return False
            at += len(part)
        return True

    def says_more_than(self, other: KnownText) -> bool:
        """Whether the other is a part of this one."""
        if len(other.parts) > 1 or self.parts == other.parts:
            return False
        return any(other.parts[0] in part for part in self.parts)


@dataclass(frozen=True, slots=True)
class _Meaning:
    """An entry of meanings.toml."""

    readings: Mapping[str, Reading]
    note: str = ""
    left_by: str = ""
    advice: str = ""


def alike(text: str) -> str:
    """The text in small letters, with spaces for "-" and "_": OpenSSL's words, and names that are made of them."""
    return text.lower().translate(_ALIKE)


@cache
def texts() -> tuple[KnownText, ...]:
    """All texts, in the order of the declaration."""
    declared = _declaration("log_texts.toml")
    sources = declared["sources"]
    return tuple(
        _text(program, row, sources) for name, program in programs().items() for row in declared[name]["texts"]
    )


@cache
def faults() -> tuple[str, ...]:
    """The causes without a side that are faults of certificates as one side sends them to the other."""
    return tuple(_declaration("meanings.toml")["faults"]["certificates"])


@cache
def programs() -> Mapping[str, Program]:
    """All programs by their names in the declaration."""
    declared = _declaration("log_texts.toml")
    return MappingProxyType({name: _program(entry) for name, entry in declared.items() if name != "sources"})


def speaker(line: str) -> tuple[Program | None, str]:
    """Who speaks in a line that was made alike, and as which side; None and "" where it does not show."""
    for program in programs().values():
        for side, marks in program.marks.items():
            if any(mark in line for mark in marks):
                return program, side
    return None, ""


def is_mostly_a_client(line: str) -> bool:
    """Whether a line that was made alike is, where nothing else shows who speaks, a client's."""
    return any(mark in line for program in programs().values() for mark in program.mostly_client)


def _program(entry: Mapping[str, Any]) -> Program:
    marks = {side: tuple(map(alike, entry.get(side, ()))) for side in _OTHER}
    return Program(
        title=entry["title"],
        seen=entry["seen"],
        side=entry.get("side", ""),
        marks=MappingProxyType(marks),
        mostly_client=tuple(map(alike, entry.get("mostly_client", ()))),
    )


def _text(program: Program, row: list[str], sources: Mapping[str, str]) -> KnownText:
    shown, meaning, *source = row
    known = _meanings()[meaning]
    parts = tuple(alike(part) for part in shown.split(_GAP))
    return KnownText(
        program=program,
        shown=shown,
        parts=parts,
        readings=known.readings,
        note=known.note,
        left_by=known.left_by,
        advice=known.advice,
        source=sources[source[0]] if source else "",
    )


@cache
def _meanings() -> Mapping[str, _Meaning]:
    declared = _declaration("meanings.toml")
    del declared["faults"]
    besides = ("note", "left_by", "advice")
    return {
        name: _Meaning(_readings(entry), **{part: entry[part] for part in besides if part in entry})
        for name, entry in declared.items()
    }


def _readings(entry: Mapping[str, Any]) -> Mapping[str, Reading]:
    """One for each side, and one for both together."""
    each = {side: _reading(entry, side) for side in _OTHER}
    both = tuple(dict.fromkeys(code for reading in each.values() for code in reading.causes))
    differ = each["client"] != each["server"]
    return MappingProxyType({**each, "": Reading(both, Input.WHOSE_LOG) if differ else each["client"]})


def _reading(entry: Mapping[str, Any], side: str) -> Reading:
    words = {"self": side, "peer": _OTHER[side]}
    named = [*entry.get("causes", ()), *entry.get(f"if_{side}", ())]
    codes = tuple(dict.fromkeys(code for name in named for code in _codes(name.format(**words))))
    tells = entry.get("tells", "").format(**words)
    decided = len(codes) < 2 or not tells
    return Reading(codes, Input.NOTHING if decided else _INPUTS.get(tells) or Input[tells.upper()])


def _codes(name: str) -> Iterator[str]:
    """The codes that a name stands for, all of the catalogue. Raises KeyError."""
    side, star, _ = name.partition("_*")
    for code in [f"{side}_{fault}" for fault in faults()] if star else [name]:
        yield known_causes()[code].code


def _declaration(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))
