"""What an exchange and its way to a backend are for each other, whichever HTTP the backend speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from handfast.proxy.http.gate import Admitted
    from handfast.proxy.http.header_fields import Fields
    from handfast.proxy.http.request import Request
    from handfast.proxy.settings import Backend


class Answered(Protocol):
    """Whom an upstream tells what came: the exchange. Of ``on_failed`` the code is stable, and why is for a log."""

    @property
    def silence(self) -> float:
        """Seconds for which nothing need come, of the request or of its answer."""

    def on_interim(self, status: int, fields: Fields) -> None: ...

    def on_head(self, status: int, reason: bytes, fields: Fields, length: int | None) -> None: ...

    def on_data(self, data: bytes) -> None: ...

    def on_end(self, trailers: Fields) -> None: ...

    def on_batch_end(self) -> None: ...

    def on_switched(self, upstream: Switching, fields: Fields, rest: bytes) -> None: ...

    def on_failed(self, code: str, why: str) -> None: ...

    def on_full(self, full: bool) -> None: ...


class Upstream(Protocol):
    """What takes one exchange to a backend: a connection of HTTP/1.1, or a stream of HTTP/2.

    Attributes:
        fresh: whether no exchange was made over the connection before.
        gone: whether it cannot be used any more.
        heard: whether anything of the present answer has come.
        unprocessed: whether the backend says that it has not looked at the request.
    """

    backend: Backend
    fresh: bool
    gone: bool
    heard: bool
    unprocessed: bool

    def begin(self, exchange: Answered, request: Request, admitted: Admitted, body: Sequence[bytes], most: int) -> None:
        """Send the head of a request and what there is of its body. At most ``most`` bytes are read at once."""

    def body(self, data: bytes) -> None:
        """Send some of the request's body."""

    def end(self, fields: Fields) -> None:
        """The request is complete, with these trailers: the answer may be waited for."""

    def hold(self, holding: bool) -> None:
        """The client takes no more of the answer at the moment, or does again."""

    def release(self, *, in_order: bool) -> None:
        """The exchange is over; ``in_order`` says that the request was sent to its end."""

    def close(self) -> None:
        """The exchange is given up. What was not sent is lost."""


class Switching(Upstream, Protocol):
    """A connection of HTTP/1.1 over which another protocol may be spoken."""

    transport: asyncio.Transport

    def detach(self) -> None:
        """The transport has another protocol from now on."""
