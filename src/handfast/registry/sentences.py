"""How handfast says in one sentence what a thing is, and where it is specified: ``Sentence. RFC 9846 4.2.2.``

Declarations hold that as plain text, in the first paragraph of a docstring or in a table; ``split`` takes it apart.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# Compiled when it is first used: this module is imported with the key schedule.
_FORM = r"(?P<sentence>.*?\.)(?: (?P<section>RFC \d+(?: [0-9A-Z]+(?:\.\d+)*)?|draft-[a-z0-9-]+)\.)?"


class Explained(NamedTuple):
    """One sentence for people, with its full stop, and the section that says more, as "RFC 9846 4.2.2"; "" for none."""

    sentence: str
    rfc: str


def split(text: str | None) -> Explained:
    """What the first paragraph of ``text`` says; both "" where it has not that form, as without docstrings."""
    found = re.fullmatch(_FORM, " ".join((text or "").partition("\n\n")[0].split()))
    return Explained(found["sentence"], found["section"] or "") if found else Explained("", "")
