"""Verdict: what judging a peer's chain came to. It is a type of its own so that nothing else can pass for a yes.

There are two makers, ``accept`` and ``refuse``. Whatever else a verifier returns (None, True, a coroutine that was not
awaited) becomes a refusal in ``as_verdict``.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field, replace
from inspect import iscoroutine
from typing import TYPE_CHECKING, final

from handfast.errors import ApiMisuse, CertificateRejected
from handfast.errors.foreign import said_by
from handfast.limits import MAX_DETAIL_TEXT
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_MAKER = object()


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is wrong: a code of ``CertificateRejected.catalogue``, which presented certificate, and words.

    ``certificate_index`` counts from 0 (the leaf); None when no single certificate is to blame.
    """

    code: str
    certificate_index: int | None
    explanation: str


@final
@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement as data; it can be pickled and compared, and is true exactly when it accepts.

    Attributes:
        accepted: whether the chain was accepted.
        code: "" when accepted, else a key of ``CertificateRejected.catalogue``: the first of ``reasons``.
        explanation: what was found, in words a person can act on; already escaped for terminals and logs.
        advice: what to do about it, or "".
        path: the verified chain, leaf to root, as DER; () when there is none.
        reasons: everything found wrong, the first being the one that counts.
        names: the leaf's names, as "DNS:localhost", "URI:spiffe://..."; escaped.
        subject: the leaf's subject as RFC 4514 text; escaped.
        not_after: the end of the leaf's validity, in UTC.
    """

    accepted: bool
    code: str
    explanation: str
    advice: str
    path: tuple[bytes, ...] = field(repr=False)
    reasons: tuple[Reason, ...]
    names: tuple[str, ...]
    subject: str
    not_after: datetime | None
    maker: InitVar[object]

    def __post_init__(self, maker: object) -> None:
        if maker is not _MAKER:
            raise ApiMisuse("bad_argument", reason="a Verdict is made by accept() or refuse() only")

    def __bool__(self) -> bool:
        return self.accepted

    def error(self) -> CertificateRejected:
        """The refusal as the error to raise; ApiMisuse for a verdict that accepts."""
        if self.accepted:
            raise ApiMisuse("bad_argument", reason="a verdict that accepts is no error")
        return CertificateRejected(self.code, verdict=self, explanation=self.explanation, advice=self.advice)


def accept(
    path: Iterable[bytes] = (),
    *,
    explanation: str = "",
    names: Iterable[str] = (),
    subject: str = "",
    not_after: datetime | None = None,
) -> Verdict:
    """The verdict that the peer is who it says it is; ``path`` is the verified chain, leaf first, as DER."""
    shown = tuple(_shown(name) for name in names)
    return Verdict(True, "", _shown(explanation), "", tuple(path), (), shown, _shown(subject), not_after, _MAKER)


def refuse(
    code: str,
    explanation: str,
    *,
    advice: str = "",
    certificate_index: int | None = None,
    further: Iterable[Reason] = (),
    names: Iterable[str] = (),
    subject: str = "",
    not_after: datetime | None = None,
) -> Verdict:
    """The verdict that the peer is not accepted, for ``code``, a key of ``CertificateRejected.catalogue``.

    ``further`` are reasons beside the one that counts. Raises ApiMisuse for an unknown code.
    """
    if code not in CertificateRejected.catalogue:
        raise ApiMisuse("bad_argument", reason=f"{code!r} is not a code of CertificateRejected")
    words = _shown(explanation)
    beside = (replace(one, explanation=_shown(one.explanation)) for one in further)
    reasons = (Reason(code, certificate_index, words), *beside)
    shown = tuple(_shown(name) for name in names)
    return Verdict(False, code, words, _shown(advice), (), reasons, shown, _shown(subject), not_after, _MAKER)


def _shown(text: str) -> str:
    return escape(text, MAX_DETAIL_TEXT)


def as_verdict(value: object) -> Verdict:
    """``value`` when it is a Verdict, else a refusal: a verifier that forgot to decide has not accepted."""
    if isinstance(value, Verdict):
        return value
    kind = "None" if value is None else f"an object of type {type(value).__name__}"
    if iscoroutine(value):
        value.close()
        kind = "a coroutine that nobody awaited"
    return refuse(
        "no_verdict",
        f"the verifier returned {kind}, not a Verdict",
        advice="a verifier must return handfast.accept(...) or handfast.refuse(...)",
    )


def failed(error: BaseException) -> Verdict:
    """The refusal for a verifier that raised: a judgement that broke off has not accepted."""
    return refuse(
        "verifier_failed",
        f"the verifier failed: {said_by(error)}",
        advice="the verifier's own log may tell more",
    )
