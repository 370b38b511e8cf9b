"""One request on its way to a backend, and its answer on the way back.

Between the two stands no more than what one read brings: a side that takes no more stops the other one. A request is
sent once, with one exception: one that is idempotent and has no body is sent a second time, over a new connection, when
a kept one turned out to be dead before a byte of the answer had come (RFC 9110 9.2.2, RFC 9112 9.3.1). An answer that
breaks off is broken off for the client too, so that it cannot take a part for the whole.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from handfast import limits
from handfast.proxy import backends
from handfast.proxy.http.header_fields import Fields, trailers
from handfast.proxy.http.request import Refused, Request
from handfast.proxy.journal import RequestEnded
from handfast.proxy.proxy_header import header_for

if TYPE_CHECKING:
    from handfast.proxy.http.gate import Admitted, Gate
    from handfast.proxy.http.pool import Pool
    from handfast.proxy.http.upstream import Switching, Upstream


class Asking(Protocol):
    """The client's side of one exchange: a stream of HTTP/2, or a connection of HTTP/1 for the time of a request."""

    @property
    def most_read(self) -> int:
        """How many bytes of an answer may come at once."""

    def send_interim(self, status: int, fields: Fields) -> None: ...

    def send_head(self, status: int, reason: bytes, fields: Fields, length: int | None) -> None: ...

    def send_data(self, data: bytes) -> None: ...

    def send_end(self, fields: Fields) -> None: ...

    def flush(self) -> None: ...

    def refuse(self, refused: Refused) -> None:
        """Answer in the backend's place."""

    def cut(self) -> None:
        """What was sent of an answer is all there is: let the client notice."""

    def hold(self, holding: bool) -> None:
        """Let no more of the request's body come, or let it come again."""

    def switch(self, upstream: Switching, fields: Fields, rest: bytes) -> None:
        """The backend speaks another protocol from now on, and ``rest`` is the first of it."""


class Exchange:
    """One request. The client's side calls ``start``, ``body``, ``body_end``, ``hold`` and ``client_gone``."""

    __slots__ = (
        "_admitted", "_asking", "_connecting", "_gate", "_held", "_pool", "_since", "_trailers", "_twice",
        "_upstream", "over", "received", "request", "sent", "sent_all", "silence", "status",
    )  # fmt: skip

    def __init__(self, asking: Asking, gate: Gate, pool: Pool, request: Request) -> None:
        self._asking = asking
        self._gate = gate
        self._pool = pool
        self.request = request
        self._upstream: Upstream | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._admitted: Admitted | None = None
        # What came of the body before there was a backend to take it, and its trailers.
        self._held: list[bytes] = []
        self._trailers: Fields = []
        # Whether it was sent once more already.
        self._twice = False
        self.silence = limits.PROXY_STALL_TIMEOUT
        self._since = time.monotonic()
        self.sent_all = False
        self.over = False
        self.status = 0
        self.received = self.sent = 0

    # For the client's side

    def start(self) -> None:
        """Send the request, or have it refused."""
        request = self.request
        info = self._gate.client.info
        if info is not None and not info.complete:
            # RFC 8470 5.1.
            request.early = True
        try:
            admitted = self._gate.admit(request)
        except Refused as refused:
            self._refuse(refused)
            return
        self._admitted = admitted
        backend = admitted.backend
        if backend.http2 and request.is_grpc:
            self.silence = self._gate.service.idle_timeout
        upstream = self._pool.take(backend, fresh=not request.repeatable)
        if upstream is not None:
            self._begin(upstream, admitted)
        else:
            self._connect(admitted)

    def body(self, data: bytes) -> None:
        """Some of the request's body; nothing of it is asked for while it is held."""
        if self.over:
            return
        self.received += len(data)
        if self._upstream is None:
            self._held.append(data)
        else:
            self._upstream.body(data)

    def body_end(self, fields: Fields) -> None:
        """The request is complete; its trailers."""
        if self.over or self.sent_all:
            return
        self.sent_all = True
        self._trailers = trailers(fields)
        if self._upstream is not None:
            self._upstream.end(self._trailers)

    def hold(self, holding: bool) -> None:
        """The client takes no more of the answer at the moment, or does again."""
        if self._upstream is not None:
            self._upstream.hold(holding)

    def client_gone(
        self, code: str = "client_closed", why: str = "the client left before its answer was complete"
    ) -> None:
        """The client takes no answer any more."""
        if self.over:
            return
        upstream = self._ended(code, why)
        if upstream is not None:
            upstream.close()

    # Reaching a backend

    def _connect(self, admitted: Admitted) -> None:
        if not self.sent_all and self.request.length != 0:
            self._asking.hold(True)
        self._connecting = asyncio.get_running_loop().create_task(self._reach(admitted))

    async def _reach(self, admitted: Admitted) -> None:
        backend = admitted.backend
        form = backend.proxy_protocol
        header = b"" if form is None else header_for(self._gate.client, form)
        try:
            upstream = await self._pool.reach(backend, header)
        except backends.BackendFailed as error:
            self._connecting = None
            status = 504 if error.code == "backend_timeout" else 502
            self._refuse(Refused(status, error.code, error.why, "the server behind this one cannot be reached"))
            return
        self._connecting = None
        if upstream.gone:
            # It has closed already, or spoken before it was asked.
            self.on_failed("backend_closed", f"{backend.text}: it did not wait for a request")
            return
        if not self.sent_all:
            # Before what is held fills the transport, which would hold again.
            self._asking.hold(False)
        self._begin(upstream, admitted)

    def _begin(self, upstream: Upstream, admitted: Admitted) -> None:
        self._upstream = upstream
        request = self.request
        if request.length == 0:
            self.sent_all = True
        held, self._held = self._held, []
        upstream.begin(self, request, admitted, held, self._asking.most_read)
        if self.sent_all and not self.over:
            upstream.end(self._trailers)

    # From the backend

    def on_interim(self, status: int, fields: Fields) -> None:
        """An interim response (1xx) came. HTTP/1.0 has none."""
        if self.request.version != "HTTP/1.0":
            self._asking.send_interim(status, fields)

    def on_head(self, status: int, reason: bytes, fields: Fields, length: int | None) -> None:
        """The answer's head came."""
        self.status = status
        self._asking.send_head(status, reason, fields, length)

    def on_data(self, data: bytes) -> None:
        """Some of the answer's body came."""
        self.sent += len(data)
        self._asking.send_data(data)

    def on_end(self, fields: Fields) -> None:
        """The answer is complete."""
        upstream = self._ended()
        if upstream is not None:
            upstream.release(in_order=self.sent_all)
        self._asking.send_end(trailers(fields))

    def on_batch_end(self) -> None:
        """Nothing more came at the moment."""
        self._asking.flush()

    def on_switched(self, upstream: Switching, fields: Fields, rest: bytes) -> None:
        """The backend agreed to change the protocol."""
        self.status = 101
        self._ended()
        upstream.detach()
        self._asking.switch(upstream, fields, rest)

    def on_failed(self, code: str, why: str) -> None:
        """There will be no answer, or no more of it."""
        if self.over:
            return
        upstream, self._upstream = self._upstream, None
        if self.status:
            self._ended(code, why)
            self._asking.cut()
            return
        if upstream is not None and self._admitted is not None and self._may_repeat(upstream):
            self._twice = True
            self._connect(self._admitted)
            return
        late = code == "backend_timeout"
        told = "the server behind this one did not answer" + (" in time" if late else " as it should")
        self._refuse(Refused(504 if late else 502, code, why, told))

    def _may_repeat(self, upstream: Upstream) -> bool:
        if self._twice or upstream.heard:
            return False
        if upstream.unprocessed:
            # RFC 9113 8.7: as if it had not been sent. A body is not kept for that.
            return self.request.length == 0
        return not upstream.fresh and self.request.repeatable

    def on_full(self, full: bool) -> None:
        """The backend takes no more of the request at the moment, or does again."""
        if not self.over and not self.sent_all:
            self._asking.hold(full)

    # Ends

    def _refuse(self, refused: Refused) -> None:
        self.status = refused.status
        self._ended(refused.code, refused.why)
        self._asking.refuse(refused)

    def _ended(self, code: str = "", why: str = "") -> Upstream | None:
        """The exchange is over: tell the journal. Returns the connection that it had."""
        self.over = True
        upstream, self._upstream = self._upstream, None
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        client, request = self._gate.client, self.request
        client.journal.tell(
            RequestEnded(
                client.listener,
                client.text,
                client.info,
                request.version,
                request.method.decode("latin-1"),
                request.authority.decode("latin-1"),
                request.target.decode("latin-1"),
                self.status,
                time.monotonic() - self._since,
                self.received,
                self.sent,
                "" if self._admitted is None else self._admitted.backend.text,
                code,
                why,
            )
        )
        return upstream


def tell_refused(gate: Gate, refused: Refused, version: str) -> None:
    """Tell the journal of a request that could not be read."""
    client = gate.client
    entry = RequestEnded(
        client.listener, client.text, client.info, version, "", "", "", refused.status, 0.0, 0, 0, code=refused.code,
        why=refused.why,
    )  # fmt: skip
    client.journal.tell(entry)
