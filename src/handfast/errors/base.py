"""The base of all errors, and one line of the catalogue."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from handfast.errors.foreign import detail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handfast.registry import AlertDescription


class Fault(StrEnum):
    """Whose fault an error is, as seen from this side."""

    PEER = "the peer's fault"
    DECISION = "the peer's decision"
    OURS = "our side's fault"
    NOBODY = "the two sides do not fit"
    NETWORK = "the network or the peer's process"
    CALLER = "the calling program's fault"


class Entry(NamedTuple):
    """One line of the catalogue; ``what`` is a format string for the details that the raiser gives.

    ``meaning`` says what the code stands for where ``what`` is made of details alone.
    """

    alert: AlertDescription | None
    what: str
    rfc: str = ""
    hint: str = ""
    meaning: str = ""


class HandfastError(Exception):
    """Base of every error that handfast raises.

    Attributes: ``code`` (stable string), ``what`` (one sentence without a period), ``hint``, ``rfc`` (section, or ""),
    ``fault``, ``alert`` (what the peer is told, or None when it is told nothing), ``details`` (what the sentence was
    made from).
    """

    fault: Fault = Fault.OURS
    catalogue: ClassVar[Mapping[str, Entry]] = {}
    default_hint: ClassVar[str] = ""

    def __init__(self, code: str, /, **details: object) -> None:
        entry = self.catalogue[code]
        self.code = code
        self.details = details
        self.alert = entry.alert
        self.rfc = entry.rfc
        # Whoever said it, a peer, a store or a foreign exception: here it becomes text of ours.
        shown = {name: detail(value) for name, value in details.items()}
        self.what = entry.what.format(**shown)
        self.hint = (entry.hint or self.default_hint).format(**shown)
        super().__init__(self.what)

    def explain(self) -> str:
        """The error as a paragraph: what, whose fault, where the RFC says so, and what to do."""
        section = f" [{self.rfc}]" if self.rfc else ""
        return f"{self.what} ({self.fault}){section}" + (f"; {self.hint}" if self.hint else "")
