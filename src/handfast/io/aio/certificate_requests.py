"""Who waits at a server for a client's answer to a CertificateRequest after the handshake. RFC 9846 4.7.2."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import asyncio

    from handfast.engine import PeerAuthenticated, UnverifiedPeer, VerifiedPeer

    Answer: TypeAlias = asyncio.Future[VerifiedPeer | UnverifiedPeer | None]


class CertificateRequests:
    """The requests of one connection that are not answered yet, by their contexts."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[bytes, Answer] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, context: bytes, answer: Answer) -> None:
        """``answer`` is to get what the client answers to the request of ``context``."""
        self._waiting[context] = answer

    def answered(self, result: PeerAuthenticated) -> None:
        """The client answered, and all that it sent before was delivered."""
        answer = self._waiting.pop(result.context, None)
        if answer is not None and not answer.done():
            answer.set_result(result.peer)

    def give_up(self, error: Exception) -> None:
        """No answers come any more: every future that waits for one gets ``error``."""
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(error)
                # Marks it as seen: the task that asked may be gone.
                answer.exception()
        self._waiting.clear()
