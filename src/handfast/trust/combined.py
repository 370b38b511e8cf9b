"""Verifiers made of verifiers: all of several, one with a deadline, and one that refuses none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from inspect import isawaitable
from typing import TYPE_CHECKING, TypeAlias

from handfast import logs
from handfast.errors import ApiMisuse
from handfast.trust.verifiers import policy_id, requires_ocsp_response
from handfast.verdict import Verdict, accept, as_verdict, failed, refuse

if TYPE_CHECKING:
    from handfast.trust.presented import PresentedChain
    from handfast.trust.roots import Roots
    from handfast.trust.verifiers import Verifier

Judgement: TypeAlias = Verdict | Awaitable[Verdict]


class AllOf:
    """Accepts what all of ``verifiers`` accept; they are asked in this order, up to the first that refuses.

    An acceptance has the path and the names of the first. Where one of them is asynchronous, this is; ``DEFERRED`` is
    no answer here, and refuses.
    """

    def __init__(self, *verifiers: Verifier) -> None:
        if not verifiers:
            raise ApiMisuse("bad_argument", reason="all of no verifiers would accept everybody")
        self.verifiers = verifiers

    @property
    def roots(self) -> Roots | None:
        """Those of the first that has any: what to name to clients."""
        return next((roots for one in self.verifiers if (roots := getattr(one, "roots", None)) is not None), None)

    def __repr__(self) -> str:
        return f"AllOf({', '.join(map(repr, self.verifiers))})"

    @property
    def policy_id(self) -> bytes | None:
        """32 bytes, the same for the same ones in the same order; None where one of them says nothing of itself."""
        parts = [policy_id(verifier) for verifier in self.verifiers]
        if None in parts:
            return None
        return sha256(b"all of" + b"".join(sha256(part).digest() for part in parts if part is not None)).digest()

    @property
    def requires_ocsp_response(self) -> bool:
        """Whether one of them does, so that a configuration with this verifier asks for one."""
        return any(map(requires_ocsp_response, self.verifiers))

    def verify(self, presented: PresentedChain) -> Judgement:
        """The first refusal, or the acceptance of them all."""
        return _all_of(self.verifiers, presented, ())


def _all_of(verifiers: Sequence[Verifier], presented: PresentedChain, accepted: tuple[Verdict, ...]) -> Judgement:
    for position, verifier in enumerate(verifiers):
        answer = _ask(verifier, presented)
        if isawaitable(answer):
            return _all_of_later(answer, verifiers[position + 1 :], presented, accepted)
        verdict = as_verdict(answer)
        if not verdict.accepted:
            return verdict
        accepted = (*accepted, verdict)
    return _together(accepted)


async def _all_of_later(
    answer: Awaitable[object], rest: Sequence[Verifier], presented: PresentedChain, accepted: tuple[Verdict, ...]
) -> Verdict:
    verdict = await _awaited(answer)
    if not verdict.accepted:
        return verdict
    following = _all_of(rest, presented, (*accepted, verdict))
    return await following if isawaitable(following) else following


def _together(accepted: tuple[Verdict, ...]) -> Verdict:
    first = accepted[0]
    words = "; ".join(verdict.explanation for verdict in accepted if verdict.explanation)
    return accept(first.path, explanation=words, names=first.names, subject=first.subject, not_after=first.not_after)


class WithTimeout:
    """Refuses what an asynchronous ``verifier`` has not judged after so many seconds, and cancels it then.

    A synchronous one cannot be interrupted: its verdict passes as it is.
    """

    def __init__(self, verifier: Verifier, seconds: float) -> None:
        if not seconds > 0:
            raise ApiMisuse("bad_argument", reason=f"{seconds} s is no time to judge anybody")
        self.verifier = verifier
        self.seconds = seconds

    def __repr__(self) -> str:
        return f"WithTimeout({self.verifier!r}, {self.seconds:g})"

    @property
    def policy_id(self) -> bytes | None:
        """That of the verifier."""
        return policy_id(self.verifier)

    @property
    def requires_ocsp_response(self) -> bool:
        """Whether the verifier does."""
        return requires_ocsp_response(self.verifier)

    def verify(self, presented: PresentedChain) -> Judgement:
        """The verifier's verdict, if it comes in time."""
        answer = _ask(self.verifier, presented)
        return self._in_time(answer) if isawaitable(answer) else as_verdict(answer)

    async def _in_time(self, answer: Awaitable[object]) -> Verdict:
        import asyncio

        late = refuse(
            "verifier_failed",
            f"the verifier gave no verdict within {self.seconds:g} s",
            advice="see why it is slow, or give it more time",
        )
        try:
            async with asyncio.timeout(self.seconds) as deadline:
                verdict = await _awaited(answer)
        except TimeoutError:
            return late
        # One that will not be cancelled is late all the same.
        return late if deadline.expired() else verdict


class DangerouslyAcceptAnyone:
    """Accepts every peer, and reports each: for finding out who connects, and for nothing else.

    With ``verifier`` the report has its verdict; without, each peer is reported as one that was not judged. ``report``
    is called with the presented chain and that verdict; by default a line goes to the log ``handfast``. The peer then
    counts as verified everywhere. To see verdicts without enforcing them, a client's ``enforce_verdict=False`` and a
    server's ``ClientAuth.REQUEST`` are the safer way.
    """

    def __init__(
        self, verifier: Verifier | None = None, *, report: Callable[[PresentedChain, Verdict], object] | None = None
    ) -> None:
        self._verifier = verifier
        self._report = report or _log

    def __repr__(self) -> str:
        return f"DangerouslyAcceptAnyone({'' if self._verifier is None else repr(self._verifier)})"

    @property
    def policy_id(self) -> bytes:
        """32 bytes, no other verifier's: a session that rests on this is worth nothing elsewhere."""
        return sha256(b"anyone").digest()

    @property
    def requires_ocsp_response(self) -> bool:
        """Whether the verifier whose verdicts are reported does."""
        return requires_ocsp_response(self._verifier)

    def verify(self, presented: PresentedChain) -> Judgement:
        """Yes."""
        if self._verifier is None:
            return self._accept(presented, refuse("policy", "nobody judged this certificate"))
        answer = _ask(self._verifier, presented)
        if isawaitable(answer):
            return self._accept_later(presented, answer)
        return self._accept(presented, as_verdict(answer))

    async def _accept_later(self, presented: PresentedChain, answer: Awaitable[object]) -> Verdict:
        return self._accept(presented, await _awaited(answer))

    def _accept(self, presented: PresentedChain, verdict: Verdict) -> Verdict:
        self._report(presented, verdict)
        if verdict.accepted:
            return verdict
        from handfast.x509.describe import describe

        about = describe(presented.chain[0])
        words = f"accepted without verification: {verdict.explanation}"
        return accept((), explanation=words, names=about.names, subject=about.subject)


def _log(presented: PresentedChain, verdict: Verdict) -> None:
    if verdict.accepted:
        return
    from handfast.x509.describe import describe

    def line() -> str:
        about = describe(presented.chain[0])
        return f"accepted without verification: {about.subject} (SHA-256 {about.sha256}): {verdict.explanation}"

    logs.warn("peers accepted without verification", line)


def _ask(verifier: Verifier, presented: PresentedChain) -> object:
    """What it answers, or the refusal that its failure is."""
    try:
        return verifier.verify(presented)
    except Exception as error:  # noqa: BLE001 (a verifier that failed has not accepted)
        return failed(error)


async def _awaited(answer: Awaitable[object]) -> Verdict:
    try:
        return as_verdict(await answer)
    except Exception as error:  # noqa: BLE001 (a verifier that failed has not accepted)
        return failed(error)
