"""docs/errors.md, made from the catalogue of errors by ``python -m handfast.tools.pages.error_codes``."""

from __future__ import annotations

from string import Formatter
from typing import TYPE_CHECKING

from handfast import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handfast.errors import Entry, HandfastError

_INTRODUCTION = """\
# The error codes

Everything that handfast raises is a `HandfastError` with a stable `code`. Programs compare `type(error)` and
`error.code`; people read `error.what`, `error.hint` and `error.rfc`. The command line and the
[endpoint](endpoint.md) use the same codes.

*Alert* is what the peer is told when this side raises the error; with none, it is told nothing. Words in italics in a
meaning are filled in with what was found. A hint marked "as found" is made from what was found too; an empty one is the
hint of its class, which stands above the table.

This file is made from `handfast/errors/` by `python -m handfast.tools.pages.error_codes`.
"""


def error_table() -> str:
    """The whole page, in Markdown."""
    return "\n".join([_INTRODUCTION, *(line for kind in classes() for line in _section(kind))])


def classes() -> tuple[type[HandfastError], ...]:
    """The classes of errors, in the catalogue's order."""
    return tuple(errors.HandfastError.__subclasses__())


def _section(kind: type[HandfastError]) -> Iterator[str]:
    summary = (kind.__doc__ or "").strip().split("\n\n")[0]
    yield f"## {kind.__name__}\n"
    yield f"{' '.join(summary.split())} ({kind.fault[:1].upper()}{kind.fault[1:]}.)\n".replace("``", "`")
    if kind.default_hint:
        yield f"Hint: {kind.default_hint}.\n"
    yield "| code | alert | meaning | section | hint |"
    yield "|---|---|---|---|---|"
    for code, entry in kind.catalogue.items():
        yield _row(code, entry)
    yield ""


def _row(code: str, entry: Entry) -> str:
    alert = "none" if entry.alert is None else f"{entry.alert.name} ({int(entry.alert)})"
    cells = (f"`{code}`", alert, entry.meaning or _shown(entry.what), entry.rfc, _hint(entry))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _hint(entry: Entry) -> str:
    hint = "as found" if entry.hint.startswith("{") and entry.hint.endswith("}") else _shown(entry.hint)
    return f"{hint}; at a server: {_shown(entry.server_hint)}" if entry.server_hint else hint


def _shown(template: str) -> str:
    """A format string, with its fields in italics."""
    parts = Formatter().parse(template)
    return "".join(text + (f"*{field}*" if field else "") for text, field, _, _ in parts)


if __name__ == "__main__":
    print(error_table(), end="")
