"""Signers and verifiers that do not answer at once, and verdicts that are fixed beforehand."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from handfast import limits
from handfast.credentials.signers import DEFERRED
from handfast.errors import ApiMisuse
from handfast.handshake.needs import Judge, Sign
from handfast.verdict import Verdict, accept, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.credentials.credentials import Credentials
    from handfast.credentials.signers import Signer
    from handfast.handshake.needs import Need
    from handfast.trust.presented import PresentedChain
    from handfast.trust.verifiers import Verifier


class Answering(StrEnum):
    """How a signer or verifier answers: at once, by an awaitable, or by the connection's owner at its leisure."""

    SYNC = "sync"
    ASYNC = "async"
    DEFERRED = "deferred"


class Later:
    """Lets another thread find the answer, and hands out an awaitable of it, or DEFERRED."""

    def __init__(self, function: Callable[..., Any], answering: Answering) -> None:
        self._function = function
        self._answering = answering
        self._pending: Future[Any] = Future()

    def ask(self, *question: Any) -> Any:
        """An awaitable of the answer; or DEFERRED, and ``fetch`` has the answer."""
        if self._answering is Answering.ASYNC:
            import asyncio

            return asyncio.to_thread(self._function, *question)
        self._pending = Future()
        threading.Thread(target=self._find, args=(self._pending, question), daemon=True).start()
        return DEFERRED

    def fetch(self) -> Any:
        """The deferred answer, or what was raised instead of it."""
        return self._pending.result(limits.HANDSHAKE_TIMEOUT)

    def _find(self, pending: Future[Any], question: tuple[Any, ...]) -> None:
        try:
            pending.set_result(self._function(*question))
        except Exception as error:  # noqa: BLE001 (it is raised where the answer is fetched)
            pending.set_exception(error)


class LateSigner(Later):
    """A signer that answers later."""

    def __init__(self, signer: Signer, answering: Answering) -> None:
        super().__init__(signer.sign, answering)
        self.schemes = signer.schemes

    def sign(self, scheme: int, message: bytes) -> Any:
        """An awaitable, or DEFERRED."""
        return self.ask(scheme, message)


class LateVerifier(Later):
    """A verifier that answers later."""

    def __init__(self, verifier: Verifier, answering: Answering) -> None:
        super().__init__(verifier.verify, answering)

    def verify(self, presented: PresentedChain) -> Any:
        """An awaitable, or DEFERRED."""
        return self.ask(presented)


class ForcedVerifier:
    """Looks at nothing: accepts every chain, or refuses every chain with ``code``."""

    def __init__(self, code: str | None) -> None:
        self.code = code

    def verify(self, presented: PresentedChain) -> Verdict:
        """The verdict that was fixed beforehand."""
        if self.code is None:
            return accept(explanation="the endpoint was told to accept")
        return refuse(self.code, "the endpoint was told to refuse")


def answering_signer(credentials: Credentials, answering: Answering) -> Credentials:
    """Credentials with this chain and key, whose signer answers in this way."""
    if answering is Answering.SYNC:
        return credentials
    return replace(credentials, signer=LateSigner(credentials.signer, answering))


def answering_verifier(verifier: Verifier, answering: Answering) -> Verifier:
    """A verifier that judges as this one does, and answers in this way."""
    return verifier if answering is Answering.SYNC else LateVerifier(verifier, answering)


def wait_for_answer(need: Need, awaitable: Any) -> object:
    """Waits for what was not answered at once: runs an awaitable, fetches what was deferred."""
    if awaitable is not None:
        import asyncio

        async def answer() -> object:
            return cast(object, await awaitable)

        return asyncio.run(answer())
    source: object = None
    if isinstance(need, Sign):
        source = need.credentials.signer
    elif isinstance(need, Judge):
        source = need.verifier
    if not isinstance(source, Later):
        raise ApiMisuse("bad_argument", reason="a signer or verifier that defers must be one of the endpoint's own")
    return source.fetch()
