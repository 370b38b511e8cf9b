"""The table of rules in docs/certs-show.md: ``python -m tests.lint.page`` writes it anew."""

from __future__ import annotations

from handfast.lint.rule_table import EVERYONE, REFUSERS, RULES
from tests.syntax import ROOT

PAGE = ROOT / "docs" / "certs-show.md"
START, END = "<!-- rules: python -m tests.lint.page -->\n", "<!-- end of rules -->\n"


def _refusers(identifiers: tuple[str, ...], source: str) -> str:
    if not identifiers:
        return "none: a remark"
    named = "everyone" if identifiers == EVERYONE else ", ".join(REFUSERS[one] for one in identifiers)
    return named if source == "measured" else f"{named} ({source})"


def table() -> str:
    """The rules as a table in Markdown."""
    rows = ["| rule | what is wrong | who refuses | what to do |", "|---|---|---|---|"]
    for code, rule in RULES.items():
        cells = rule.what, _refusers(rule.refused_by, rule.source), rule.advice
        rows.append(" | ".join([f"| `{code}`", *(cell.replace("*", r"\*") for cell in cells)]) + " |")
    return "\n".join(rows) + "\n"


def with_table(page: str) -> str:
    """The page with the table of today."""
    before, _, rest = page.partition(START)
    return before + START + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
