"""The table of causes in docs/doctor.md: ``python -m tests.doctor.causes_page`` writes it anew."""

from __future__ import annotations

from handfast.doctor.catalogue import causes
from tests.syntax import ROOT

PAGE = ROOT / "docs" / "doctor.md"
START, END = "<!-- causes: python -m tests.doctor.causes_page -->\n", "<!-- end of causes -->\n"


def with_table(page: str) -> str:
    """The page with the table of today."""
    rows = ["| code | what it is | whose fault | what it looks like | what it takes to know |", "|---|---|---|---|---|"]
    rows += [f"| `{one.code}` | {one.says} | {one.fault} | {one.signs} | {one.needs} |" for one in causes().values()]
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return before + START + "\n".join(rows) + "\n" + END + after


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
