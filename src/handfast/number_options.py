"""Numbers that a program gives, held to their bounds when they are given.

Each of them bounds something later, by a comparison that no NaN, True or text must decide.
"""

from __future__ import annotations

from handfast import limits
from handfast.errors import bad_option
from handfast.words import named

_ADVICE = "leave it out for the default"


def check_seconds(option: str, value: object, least: float, most: float) -> None:
    """ConfigError bad_option for what is no number from ``least`` to ``most``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise bad_option(option, f"{named(value)} is no number of seconds from {least:g} to {most:.0f}", _ADVICE)


def check_count(option: str, value: object, least: int) -> None:
    """ConfigError bad_option for what is no whole number from ``least`` to ``limits.KEPT_MOST``."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= limits.KEPT_MOST:
        raise bad_option(option, f"{named(value)} is no whole number from {least} to {limits.KEPT_MOST}", _ADVICE)
