"""`make chart`: bars of the last run's ratios, docs/performance.svg, and their table in docs/performance.md.

Both are made of bench-results.json alone: the same results make the same files. A bar starts at 1, where handfast costs
what ssl does, and its axis is logarithmic: twice as much is as far from 1 as half as much.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from html import escape
from math import log2
from pathlib import Path
from typing import Any

from bench.run import RESULTS

DOCS = Path("docs")
BEGIN, END = "<!-- bench: written by make chart -->", "<!-- bench: end -->"
# Of ``about``: what must be known to read a ratio.
TOLD = ("date", "load", "Python", "handfast", "ssl", "cryptography", "uvloop", "qh3")
BASE = "ssl"
# What the name of an implementation may end with, and what a scenario of that is called.
VARIANTS = {", uvloop": "{}, uvloop", ", X25519": "X25519, beside {}"}

# Scenario and side, and what each implementation's ratio is.
Table = dict[tuple[str, str], dict[str, float]]

LEFT, PLOT, ROW, BAR, TOP, BOTTOM, MARGIN = 290, 480, 8, 13, 74, 46, 76
WIDTH = LEFT + PLOT + MARGIN
LEAST, MOST = 0.25, 8.0
COLOURS = 3
LABELLED = 'aria-labelledby="title description"'
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.ground { fill: #ffffff }
.grid { stroke: #d0d7de }
.one { stroke: #1f2328; stroke-width: 1.5 }
.bar0 { fill: #2f6fbf }
.bar1 { fill: #b35c00 }
.bar2 { fill: #6b4fa0 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .ground { fill: #0d1117 }
  .grid { stroke: #3d444d }
  .one { stroke: #e6edf3 }
  .bar0 { fill: #5aa2f2 }
  .bar1 { fill: #e39b4a }
  .bar2 { fill: #b59aee }
}
"""


def ratios(rows: list[dict[str, Any]]) -> Table:
    """The ratios of all rows; those of variants are scenarios of their own."""
    table: Table = {}
    for row in rows:
        scenario, name = row["scenario"], row["implementation"]
        for end, called in VARIANTS.items():
            if name.endswith(end):
                scenario, name = called.format(scenario), name.removesuffix(end)
        if row["ratio_to_ssl"] is not None:
            table.setdefault((scenario, row["side"]), {})[name] = row["ratio_to_ssl"]
    return table


def columns(table: Table) -> list[str]:
    """All implementations but ssl, in the order in which they come first."""
    names = dict.fromkeys(name for cells in table.values() for name in cells)
    return [name for name in names if name != BASE]


def ours(table: Table) -> list[str]:
    """Those with bars: handfast by default, without remembered paths, and with another crypto provider."""
    return [name for name in columns(table) if name.partition(",")[0] == "handfast"][:COLOURS]


def shown(ratio: float) -> str:
    """Two digits, or as many as it takes to see that it is not 0."""
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.1g}"


# The table


def markdown(about: Mapping[str, str], table: Table) -> str:
    """A row for each scenario and side, a column for each implementation."""
    names = columns(table)
    lines = [
        "; ".join(f"{key} {about[key]}" for key in TOLD if about.get(key, "not installed") != "not installed") + ".",
        "",
        f"| scenario | side | {' | '.join(names)} |",
        f"|---|---|{'---:|' * len(names)}",
    ]
    for (scenario, side), cells in table.items():
        values = (shown(cells[name]) if name in cells else "" for name in names)
        lines.append(f"| {scenario} | {side} | {' | '.join(values)} |")
    return "\n".join(lines)


def replaced(page: str, text: str) -> str:
    """The page with ``text`` between its two marks. ValueError for a page without them, each once."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"the page needs one line {BEGIN} and one line {END} after it")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}"


# The chart


def at(ratio: float) -> float:
    """How far right a ratio is; what the axis does not reach is at its end."""
    share = (log2(min(max(ratio, LEAST), MOST)) - log2(LEAST)) / (log2(MOST) - log2(LEAST))
    return round(LEFT + PLOT * share, 1)


def text(x: float, y: float, said: str, *, anchor: str = "start", kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{style}>{escape(said)}</text>'


def bar(y: float, ratio: float, index: int) -> Iterator[str]:
    """One bar from 1, and its ratio behind it."""
    start, end = at(1), at(ratio)
    left, right = min(start, end), max(start, end)
    width = max(right - left, 1)
    yield f'<rect class="bar{index}" x="{left:g}" y="{y:g}" width="{width:g}" height="{BAR - 2}"/>'
    cut = "" if LEAST <= ratio <= MOST else " »" if ratio > MOST else "« "
    label = f"{shown(ratio)}{cut}" if ratio >= LEAST else f"{cut}{shown(ratio)}"
    if ratio >= 1:
        yield text(right + 4, y + BAR - 3, label)
    else:
        yield text(left - 4, y + BAR - 3, label, anchor="end")


def grid(bottom: float) -> Iterator[str]:
    """The lines of the axis, and what they mean."""
    for ratio in (0.25, 0.5, 1, 2, 4, 8):
        kind = "one" if ratio == 1 else "grid"
        yield f'<line class="{kind}" x1="{at(ratio):g}" y1="{TOP - 6}" x2="{at(ratio):g}" y2="{bottom:g}"/>'
        yield text(at(ratio), bottom + 16, f"{ratio:g}", anchor="middle")
    yield text(at(1), bottom + 34, "costs more than ssl  ◂  1 = as much  ▸  costs less", anchor="middle")


def svg(about: Mapping[str, str], table: Table) -> str:
    """The chart, of the rows in which handfast is; it needs nothing from elsewhere."""
    names = ours(table)
    bars: list[str] = []
    y = float(TOP)
    spoken = []
    for (scenario, side), cells in table.items():
        present = [name for name in names if name in cells]
        if not present:
            continue
        bars.append(text(16, y + BAR - 3, f"{scenario}, {side}"))
        for name in present:
            bars += bar(y, cells[name], names.index(name))
            y += BAR
        y += ROW
        spoken.append(f"{scenario}, {side}: {', '.join(f'{name} {shown(cells[name])}' for name in present)}")
    height = y + BOTTOM
    title = "What handfast costs beside Python's ssl"
    described = f"Ratios of {about.get('date', 'an unknown day')}; above 1 handfast costs less. {'; '.join(spoken)}."
    legend = []
    for index, name in enumerate(names):
        x = LEFT + index * 190
        legend += [f'<rect class="bar{index}" x="{x}" y="42" width="12" height="12"/>', text(x + 18, 52, name)]
    size = f'width="{WIDTH}" height="{height:g}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" {size} role="img" {LABELLED}>',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="description">{escape(described)}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" {size}/>',
        text(16, 26, f"{title}, {about.get('date', '')}", kind="title"),
        *legend,
        *grid(y),
        *bars,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def write(results: Path, docs: Path) -> None:
    """Both files anew. ValueError or OSError for results or a page that cannot be used."""
    found = json.loads(results.read_text())
    table = ratios(found["rows"])
    page = docs / "performance.md"
    said = replaced(page.read_text(), markdown(found["about"], table))
    (docs / "performance.svg").write_text(svg(found["about"], table))
    page.write_text(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--docs", type=Path, default=DOCS, help="the folder of performance.md")
    options = parser.parse_args()
    try:
        write(options.results, options.docs)
    except FileNotFoundError as error:
        sys.exit(f"handfast: error: {error.filename} is not there; hint: `make bench` writes {RESULTS}")
    except ValueError as error:
        sys.exit(f"handfast: error: {error}; hint: `make bench` writes {RESULTS}, and git has the page")
    print(f"written: {options.docs / 'performance.svg'}, and the table of {options.docs / 'performance.md'}")


if __name__ == "__main__":
    main()
