"""What is below a transport, as the transport sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

    from handfast.engine import ClientAuth, ClientAuthWord, Connection
    from handfast.io.aio.certificate_requests import Answer, CertificateRequests
    from handfast.io.aio.write_queue import Buffer


class Below(Protocol):
    """What a transport writes to and asks: the ``TLSProtocol`` on the TCP transport."""

    tcp: asyncio.Transport
    connection: Connection
    # Whether the TCP transport takes more at the moment.
    has_room: bool
    requests: CertificateRequests

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...

    def send(self, data: Buffer) -> None: ...

    def request_client_certificate(self, client_auth: ClientAuth | ClientAuthWord | None) -> Answer: ...

    def unwrap(self, protocol: asyncio.Protocol | asyncio.BufferedProtocol) -> asyncio.Transport: ...

    def start_closing(self) -> None: ...

    def finish_writing(self, *, close: bool) -> None: ...

    def abort(self) -> None: ...

    def give_up(self, error: BaseException) -> None: ...
