"""A signer's connection to its key-holder: many requests at once, answers in any order, and a way back after a loss.

What waits when the connection ends fails, since it is not known what became of it; what comes later connects anew, and
tries again with growing pauses until its own time is up. A connection over which a request timed out and nothing came
since is not used for new requests: those that still wait for it may, and then it is closed.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from handfast import limits
from handfast.errors import ConnectionLost, HandfastError, LocalFailure
from handfast.io.aio import connect as aio
from handfast.keyholder.messages import (
    EXPLANATIONS,
    VERSION,
    Answer,
    Code,
    FrameTooLarge,
    Request,
    frame,
    read_frame,
)
from handfast.wire.codec import decode

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from handfast.engine import ClientConfig
    from handfast.keyholder.messages import Parts

    Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]

CLOSED = "the signer was closed"


class HolderAddress:
    """Where a holder is: a Unix socket's path, or host and port and how to speak TLS with it."""

    def __init__(
        self, address: str | tuple[str, int], tls: ClientConfig | None = None, server_name: str | None = None
    ) -> None:
        self._address = address
        self._tls = tls
        self._server_name = server_name

    def __str__(self) -> str:
        return self._address if isinstance(self._address, str) else "{}:{}".format(*self._address)

    async def open(self) -> Streams:
        """Connect. Raises OSError or ConnectionLost where none listens, another HandfastError where TLS refuses."""
        if isinstance(self._address, str):
            return await asyncio.open_unix_connection(self._address)
        if self._tls is None:
            raise TypeError("no configuration for TLS")
        host, port = self._address
        return await aio.open_connection(host, port, self._tls, server_name=self._server_name)


class NotAsked(LocalFailure):
    """The connection was gone before the request was written to it, so another one may be asked."""


class HolderConnection:
    """One connection."""

    def __init__(self, streams: Streams, place: HolderAddress) -> None:
        self._reader, self._writer = streams
        self._place = place
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._last_id = 0
        self._retired = False
        self._used_at = asyncio.get_running_loop().time()
        # How many answers have come: tells a holder that is slow from one that is gone.
        self.heard = 0
        self._reading = asyncio.create_task(self._read())

    @property
    def usable(self) -> bool:
        """Whether new requests may go over it."""
        idle = not self._waiting and asyncio.get_running_loop().time() - self._used_at > limits.LINK_IDLE
        return not (self._retired or self._reading.done() or idle)

    async def ask(self, key_id: bytes, scheme: int, parts: Parts) -> bytes:
        """The signature. Raises LocalFailure, NotAsked as long as nothing was written."""
        # Before the request is added, so that a holder that does not read makes callers wait and not the buffer grow.
        try:
            await self._writer.drain()
        except (OSError, HandfastError) as error:
            self.retire()
            raise NotAsked("holder_lost", holder=self._place, reason=error) from None
        if self._reading.done():
            raise NotAsked("holder_lost", holder=self._place, reason="it closed the connection")
        self._last_id = request_id = self._last_id % 0xFFFFFFFF + 1
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = answer
        try:
            self._writer.write(frame(Request.of(request_id, key_id, scheme, parts)))
            return await answer
        finally:
            del self._waiting[request_id]
            self._used_at = asyncio.get_running_loop().time()
            self._close_if_done()

    def retire(self) -> None:
        """No new requests; close once none waits."""
        self._retired = True
        self._close_if_done()

    async def close(self) -> None:
        """End it now; what waits fails."""
        self._reading.cancel()
        await asyncio.wait([self._reading])

    def _close_if_done(self) -> None:
        if self._retired and not self._waiting:
            self._reading.cancel()

    async def _read(self) -> None:
        fail: Callable[[], HandfastError] = partial(self._lost, CLOSED)
        try:
            while True:
                self._take(decode(Answer, await read_frame(self._reader, limits.HOLDER_ANSWER_FRAME)))
        except LocalFailure as error:
            fail = partial(LocalFailure, error.code, **error.details)
        except asyncio.IncompleteReadError:
            fail = partial(self._lost, "it closed the connection")
        except (OSError, HandfastError, FrameTooLarge) as error:
            fail = partial(self._lost, error)
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(fail())
            self._writer.transport.abort()
            with suppress(OSError, HandfastError):
                await self._writer.wait_closed()

    def _take(self, answer: Answer) -> None:
        if answer.version != VERSION:
            raise self._refused(Code.unsupported_version)
        if answer.request_id == 0:
            raise self._refused(answer.code)
        self.heard += 1
        waiting = self._waiting.get(answer.request_id)
        if waiting is None or waiting.done():
            # Its request was cancelled.
            return
        if answer.code == Code.signed and answer.signature:
            waiting.set_result(answer.signature)
        else:
            waiting.set_exception(self._refused(answer.code))

    def _refused(self, code: int) -> LocalFailure:
        reason = EXPLANATIONS.get(code, f"it answered with code {code}")
        return LocalFailure("holder_refused", holder=self._place, reason=reason)

    def _lost(self, reason: object) -> LocalFailure:
        return LocalFailure("holder_lost", holder=self._place, reason=reason)


class Client:
    """Asks one holder, over one connection at a time. For the loop in which it is used."""

    def __init__(self, place: HolderAddress, timeout: float) -> None:
        self._place = place
        self._timeout = timeout
        self._link: HolderConnection | None = None
        self._connecting = asyncio.Lock()
        # Fewer than a holder lets wait, with a margin for answers that it still counts: the rest queue up here.
        self._room = asyncio.Semaphore(limits.HOLDER_PENDING // 2)
        self._pause = limits.RECONNECT_FIRST
        self._trouble = ""
        self._closed = False

    async def sign(self, key_id: bytes, scheme: int, parts: Parts) -> bytes:
        """The holder's signature. Raises LocalFailure."""
        link, heard = None, 0
        try:
            async with asyncio.timeout(self._timeout), self._room:
                link = await self._connected()
                heard = link.heard
                with suppress(NotAsked):
                    return await link.ask(key_id, scheme, parts)
                # It may have ended since it was last used; if a new one ends at once too, the holder wants none.
                link = None
                link = await self._connected()
                heard = link.heard
                return await link.ask(key_id, scheme, parts)
        except TimeoutError:
            if link is None and self._trouble:
                raise LocalFailure("holder_unreachable", holder=self._place, reason=self._trouble) from None
            if link is not None and link.heard == heard:
                link.retire()
            raise LocalFailure("holder_timeout", holder=self._place, seconds=self._timeout) from None
        except asyncio.CancelledError:
            if not self._closed:
                raise
            code = "holder_unreachable" if link is None else "holder_lost"
            raise LocalFailure(code, holder=self._place, reason=CLOSED) from None

    async def close(self) -> None:
        """End the connection. A call of ``sign`` is to be cancelled then, and raises LocalFailure."""
        self._closed = True
        if self._link is not None:
            await self._link.close()

    async def _connected(self) -> HolderConnection:
        async with self._connecting:
            if self._link is not None and not self._link.usable:
                self._link.retire()
                self._link = None
            while self._link is None:
                try:
                    self._link = HolderConnection(await self._place.open(), self._place)
                except (OSError, ConnectionLost) as error:
                    self._trouble = getattr(error, "strerror", None) or str(error)
                    await asyncio.sleep(self._pause)
                    self._pause = min(2 * self._pause, limits.RECONNECT_MOST)
                except HandfastError as error:
                    # Another attempt would find the same certificates.
                    raise LocalFailure("holder_unreachable", holder=self._place, reason=error.what) from None
            self._pause, self._trouble = limits.RECONNECT_FIRST, ""
            return self._link
