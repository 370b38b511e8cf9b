"""What the lines of a pasted log mean: which causes each can stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handfast.doctor.evidence import LogLine
from handfast.doctor.log_texts import alike, is_mostly_a_client, speaker, texts
from handfast.limits import MAX_LOG_LINE, MAX_LOG_LINES, MAX_LOG_LINES_TOLD, MAX_PEER_TEXT
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from handfast.doctor.log_texts import KnownText, Program

# Where the text stands far behind in a line, this much of what is before it is shown.
_BEFORE = 60
# What decides nothing comes after all that decides something.
_MOST_VAGUE = 1000
_RARELY_A_SERVER = ", as a client; in a server's log it speaks of the client's certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A log, read.

    Attributes:
        lines: those that say something of TLS, each meaning once; of many the first.
        known, unknown: how many lines say something, and how many do not; empty ones are not counted.
        beyond: whether there were more than are read.
    """

    lines: tuple[LogLine, ...]
    known: int
    unknown: int
    beyond: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    """What stands in a line: the texts, and the side that speaks in it, "" where it does not show."""

    line: str
    texts: tuple[KnownText, ...]
    side: str
    program: Program | None
    mostly_client: bool


def parse(text: str) -> Log:
    """The lines of a log that say something of TLS. Of a line its first MAX_LOG_LINE characters are looked at."""
    lines = [line[:MAX_LOG_LINE] for line in text.splitlines() if not line.isspace() and line]
    read = lines[:MAX_LOG_LINES]
    found = [one for one in map(_look, read) if one.texts or one.side]
    spoken = [one for one in found if one.texts]
    # A log is of one side, if nothing in it says otherwise: a proxy's is of both.
    sides = {one.side for one in found if one.side}
    usual = sides.pop() if len(sides) == 1 else ""
    told = dict.fromkeys(_lines(spoken, usual))
    return Log(
        lines=tuple(told)[:MAX_LOG_LINES_TOLD],
        known=len(spoken),
        unknown=len(read) - len(spoken),
        beyond=len(lines) > len(read),
    )


def _look(line: str) -> _Found:
    same = alike(line)
    there = [text for text in texts() if text.stands_in(same)]
    there = [text for text in there if not any(other.says_more_than(text) for other in there)]
    program, side = speaker(same)
    return _Found(line, tuple(there), side, program, is_mostly_a_client(same))


def _lines(found: Iterable[_Found], usual: str) -> Iterator[LogLine]:
    seen = set()
    for one in found:
        mostly = "client" if one.mostly_client and not (one.side or usual) else ""
        sides = ((text, one.side or text.program.side or usual or mostly) for text in one.texts)
        said, side = min(sides, key=_vagueness)
        if (said, side) in seen:
            continue
        seen.add((said, side))
        # A program says more of itself than the library does whose words it hands on: that is declared behind it.
        program = one.program or one.texts[0].program
        who = _RARELY_A_SERVER if mostly else f", as a {side}" if side else ""
        yield LogLine(
            text=_excerpt(one.line, said),
            causes=said.readings[side].causes,
            program=program.title + who,
            tells=said.readings[side].tells,
            note=said.note,
            otherwise=said.readings["server"].causes if mostly else (),
            left_by=said.left_by,
            advice=said.advice,
        )


def _vagueness(said: tuple[KnownText, str]) -> tuple[int, int]:
    """How much a text leaves open where this side says it; of equals the longer text says more."""
    text, side = said
    return len(text.readings[side].causes) or _MOST_VAGUE, -len(text.shown)


def _excerpt(line: str, said: KnownText) -> str:
    """The line, escaped, or the part of it in which the text stands."""
    at = alike(line).find(said.parts[0])
    start = at - _BEFORE if at > MAX_PEER_TEXT // 2 else 0
    return ("..." if start else "") + escape(line[start:].strip(), MAX_PEER_TEXT)
