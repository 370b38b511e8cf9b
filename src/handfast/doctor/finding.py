"""What the doctor finds: one thing that is wrong, the causes that it may be, and what would tell which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handfast.doctor.inputs import Input

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from handfast.doctor.evidence import Evidence

    Rule: TypeAlias = Callable[[Evidence], Iterator["Finding"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        causes: codes of the catalogue: one where the evidence decides, else all that it leaves open.
        evidence: what shows it, a sentence each, escaped.
        separates: what would tell which, where there are several.
        advice: what to do, where more is known than the catalogue has for the cause; "" for what that has.
    """

    causes: tuple[str, ...]
    evidence: tuple[str, ...]
    separates: Input = Input.NOTHING
    advice: str = ""
