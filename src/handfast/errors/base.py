"""The base of all errors, and one line of the catalogue."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from handfast.errors.foreign import detail
from handfast.registry import AlertDescription

if TYPE_CHECKING:
    from collections.abc import Mapping


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

    ``meaning`` says what the code stands for where ``what`` is made of details alone. ``server_hint`` is the hint for
    who runs a server, where that is another than a client's; ``fault`` is whose fault it is where that is not the
    class's.
    """

    alert: AlertDescription | None
    what: str
    rfc: str = ""
    hint: str = ""
    meaning: str = ""
    server_hint: str = ""
    fault: Fault | None = None


# Where a hint that is made of details turns out to be empty.
_NO_HINT = "a Trace shows what both sides said until then"
# Where RFC 5246 and its companions say what RFC 9846 says of TLS 1.3.
_SECTIONS_12 = {
    "RFC 9846 3": "RFC 5246 4",
    "RFC 9846 4": "RFC 5246 7.4",
    "RFC 9846 4.2.2": "RFC 5246 7.4.1.2",
    "RFC 9846 4.2.3": "RFC 5246 7.4.1.3",
    "RFC 9846 4.3": "RFC 5246 7.4.1.4",
    "RFC 9846 4.3.1": "RFC 5246 E.1",
    "RFC 9846 4.3.3": "RFC 5246 7.4.1.4.1",
    "RFC 9846 4.3.7": "RFC 8422 5.1.1",
    "RFC 9846 4.3.8": "RFC 8422 5.4",
    "RFC 9846 4.3.8.2": "RFC 8422 5.11",
    "RFC 9846 4.5.1": "RFC 5246 7.4.2",
    "RFC 9846 4.5.1.1": "RFC 5246 7.4.2",
    "RFC 9846 4.5.2": "RFC 5246 7.4.8",
    "RFC 9846 4.5.3": "RFC 5246 7.4.9",
    "RFC 9846 5": "RFC 5246 6.2.1",
    "RFC 9846 5.1": "RFC 5246 6.2.1",
    "RFC 9846 5.2": "RFC 5246 6.2.3.3",
    "RFC 9846 6": "RFC 5246 7.2",
    "RFC 9846 6.1": "RFC 5246 7.2.1",
    "RFC 9846 6.2": "RFC 5246 7.2.2",
    "RFC 9846 9.2": "RFC 5246 7.4.1.4",
}


class HandfastError(Exception):
    """Base of every error that handfast raises.

    Attributes: ``code`` (stable string), ``what`` (one sentence without a period), ``hint``, ``rfc`` (section, or ""),
    ``fault``, ``alert`` (what the peer is told, or None when it is told nothing), ``details`` (what the sentence was
    made from), ``diagnosis`` (which causes of docs/doctor.md are left open, as codes; () where none is known). A
    traceback shows the hint below the error, as its note.
    """

    fault: Fault = Fault.OURS
    catalogue: ClassVar[Mapping[str, Entry]] = {}
    default_hint: ClassVar[str] = ""
    diagnosis: tuple[str, ...] = ()

    def __init__(self, code: str, /, **details: object) -> None:
        entry = self.catalogue[code]
        self.code = code
        self.details = details
        self.alert = entry.alert
        self.rfc = entry.rfc
        # What a peer, a store or a foreign exception said becomes text of ours here.
        shown = {name: detail(value) for name, value in details.items()}
        self.what = entry.what.format(**shown)
        self.hint = (entry.hint or self.default_hint).format(**shown) or self.default_hint or _NO_HINT
        if entry.fault is not None:
            self.fault = entry.fault
        super().__init__(self.what)
        # A traceback ends in its notes.
        self._note = f"hint: {self.hint}"
        self.add_note(self._note)

    def __reduce__(self) -> tuple[Any, ...]:
        """An error is copied and pickled with its attributes and notes, for callers in other processes.

        What cannot be pickled itself, as a foreign exception or a configuration among the details, goes as its text.
        """
        state = {name: _portable(value) for name, value in vars(self).items()}
        # A copy has notes and details of its own.
        state["details"] = {name: _portable(value) for name, value in self.details.items()}
        state["__notes__"] = list(self.__notes__)
        return _bare, (type(self), self.args), state

    def hint_to(self, *, server: bool) -> None:
        """Give the hint to who runs this side: what a server can do may be something else than what a client can."""
        entry = self.catalogue[self.code]
        if server and entry.server_hint:
            self.hint = entry.server_hint.format(**self.details)
            self.__notes__[:] = [f"hint: {self.hint}" if note is self._note else note for note in self.__notes__]
            self._note = f"hint: {self.hint}"

    def as_in_tls12(self) -> None:
        """Let ``rfc`` and ``alert`` be those of TLS 1.2's RFCs, in a connection of that version.

        There is no alert certificate_required in it: RFC 5246 7.4.6.
        """
        if self.alert is AlertDescription.certificate_required:
            self.alert = AlertDescription.handshake_failure
        signed = self.details.get("message") == "ServerKeyExchange" and self.rfc == "RFC 9846 4.5.2"
        self.rfc = "RFC 8422 5.4" if signed else _SECTIONS_12.get(self.rfc, self.rfc)

    def explain(self, what: str = "") -> str:
        """The error as a paragraph: what, whose fault, where the RFC says so, what to do, and the diagnosis.

        ``what`` stands in the error's own sentence's place where more is known.
        """
        section = f" [{self.rfc}]" if self.rfc else ""
        hint = f"; {self.hint}" if self.hint else ""
        diagnosis = f"; diagnosis: {' or '.join(self.diagnosis)}" if self.diagnosis else ""
        return f"{what or self.what} ({self.fault}){section}{hint}{diagnosis}"


def _bare(kind: type[HandfastError], args: tuple[object, ...]) -> HandfastError:
    """An error without attributes, which its state brings."""
    return kind.__new__(kind, *args)


def _portable(value: object) -> object:
    # A program that pickles no errors need not load it.
    import pickle

    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 (what a foreign object raises is its own choice)
        return detail(value)
    return value
