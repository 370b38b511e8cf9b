"""Verdicts in words, with certificates described, for what the commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.lens import verdict_line as verdict
from handfast.outcome.certificate_words import DESCRIBER

if TYPE_CHECKING:
    from handfast.errors import HandfastError
    from handfast.lens.outcome import Outcome

__all__ = ["DESCRIBER", "verdict_hint", "verdict_line"]


def verdict_line(outcome: Outcome, error: BaseException | None = None) -> str:
    """What came of a connection, in one line; ``error`` is what ended it, if something did."""
    return verdict.line(outcome, error, DESCRIBER)


def verdict_hint(outcome: Outcome, error: HandfastError | None = None) -> str:
    """What to do about a connection that came to nothing."""
    return verdict.hint(outcome, error, DESCRIBER)
