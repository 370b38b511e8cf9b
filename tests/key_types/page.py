"""The tables of keys in docs/certificates.md: ``python -m tests.key_types.page`` measures and writes them anew.

Each cell is a connection in TLS 1.3 and one in TLS 1.2. Nothing is written where a program is missing.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests import browsers
from tests.interop import columns
from tests.peers import SERVERS
from tests.syntax import ROOT

from .by_browsers import measured
from .programs import HANDFAST, MEASURES
from .sets import KINDS, make_sets

if TYPE_CHECKING:
    from .programs import Sets

PAGE = ROOT / "docs" / "certificates.md"
START, END = "<!-- keys: python -m tests.key_types.page -->\n", "<!-- end of keys -->\n"
VERSIONS = ("1.3", "1.2")
YES, NO = "yes", "no"


def browser_version(name: str) -> str:
    """As the browser says it, without its maker and its distributor."""
    done = subprocess.run([browsers.executable(name), "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"(Chromium|Firefox) [\d.]+", done.stdout)
    if found is None:
        raise AssertionError(done.stdout)
    return found[0]


# What each row is called, and which version of it was met.
PROGRAMS: dict[str, tuple[str, Callable[[], str]]] = {
    HANDFAST: ("handfast", lambda: HANDFAST),
    "openssl": ("OpenSSL", columns.openssl_version),
    "pyopenssl": ("a newer OpenSSL", columns.pyopenssl_version),
    "curl": ("curl", columns.curl_version),
    "python": ("Python's ssl", columns.python_version),
    "gnutls": ("GnuTLS", columns.gnutls_version),
    "go": ("Go", columns.go_version),
    "jsse": ("Java", columns.java_version),
    "node": ("Node", columns.node_version),
    "nss": ("NSS", columns.nss_version),
    "chromium": ("Chromium", lambda: browser_version("chromium")),
    "firefox": ("Firefox", lambda: browser_version("firefox")),
}
TITLES = {
    "takes a server's": "A client that is to trust a **server's** certificate with such a key:",
    "takes a client's": "A server that is to trust a **client's**:",
    "shows a client's": "A client that is to **show** one as its own:",
}

# By kind: what one program does with it.
Row: TypeAlias = dict[str, str]


def _cell(versions: list[str]) -> str:
    if len(versions) == len(VERSIONS):
        return YES
    return f"TLS {versions[0]}" if versions else NO


def rows_of(program: str, sets: Sets, folder: Path) -> dict[str, Row]:
    """The program's row in each table that it has one in, by the table's key in `MEASURES`."""
    if program in browsers.NAMES:
        found = measured(program, sets, folder)
        return {
            part: {kind: _cell([one for one in VERSIONS if (kind, one) in met]) for kind in KINDS}
            for part, met in found.items()
        }
    parts = [part for part in MEASURES if part != "takes a client's" or program in (HANDFAST, *SERVERS)]
    return {
        part: {
            kind: _cell([one for one in VERSIONS if MEASURES[part](program, sets, kind, one)]) for kind in KINDS
        }
        for part in parts
    }  # fmt: skip


def tables(found: Mapping[str, Mapping[str, Row]]) -> str:
    """What stands on the page between the two marks, of the rows by program."""
    lines = []
    for part, title in TITLES.items():
        lines += [
            "",
            title,
            "",
            "| | " + " | ".join(f"`{kind}`" for kind in KINDS) + " |",
            "|---" * (len(KINDS) + 1) + "|",
        ]
        for program, rows in found.items():
            if part in rows:
                lines.append(f"| {PROGRAMS[program][0]} | " + " | ".join(rows[part][kind] for kind in KINDS) + " |")
    versions = "; ".join(PROGRAMS[program][1]() for program in found if program != HANDFAST)
    return "\n".join([*lines[1:], "", *textwrap.wrap(f"Measured with {versions}.", 120), ""])


def with_tables(page: str, made: str) -> str:
    """The page with these tables."""
    before, _, rest = page.partition(START)
    return before + START + made + END + rest.partition(END)[2]


def of_page(page: str) -> dict[str, dict[str, Row]]:
    """The rows of each program, as the page has them."""
    names = {title: program for program, (title, _version) in PROGRAMS.items()}
    parts = {title: part for part, title in TITLES.items()}
    found: dict[str, dict[str, Row]] = {program: {} for program in PROGRAMS}
    part, kinds = "", [""]
    for line in page.partition(START)[2].partition(END)[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line in parts:
            part = parts[line]
        elif line.startswith("| |"):
            kinds = [cell.strip("`") for cell in cells[1:]]
        elif cells[0] in names:
            found[names[cells[0]]][part] = dict(zip(kinds, cells[1:], strict=True))
    return found


def main() -> int:
    """Measure, and write the tables; the exit status."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            sets = make_sets(folder / "sets")
            found = {program: rows_of(program, sets, folder / program) for program in PROGRAMS}
            made = tables(found)
        except (pytest.skip.Exception, pytest.fail.Exception) as missing:
            print(f"nothing was written: {missing}", file=sys.stderr)
            return 1
    PAGE.write_text(with_tables(PAGE.read_text(), made))
    print(f"{PAGE} is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
