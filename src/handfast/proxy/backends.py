"""Reaching a backend: TCP or a Unix socket, plain or by TLS with the backend's own configuration.

A header of the PROXY protocol, where there is one, is the first on the wire, before TLS.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from handfast.errors import CertificateRejected, ConnectionLost, HandfastError, PeerRejected
from handfast.outcome import failure_words
from handfast.outcome.failure import Failure
from handfast.roles import Role
from handfast.text import escape

if TYPE_CHECKING:
    from typing import Any

    from handfast.proxy.settings import Backend

_THERE = (0, errno.EISCONN)
# Seconds until a Unix socket whose queue is full is tried again.
_UNIX_PAUSE = 0.02
_REFUSED = frozenset({errno.ECONNREFUSED, errno.ENOENT, errno.ECONNRESET, errno.EPIPE})


class BackendFailed(Exception):
    """A backend could not be reached, or is not who it must be.

    ``code`` is stable: backend_refused, backend_unreachable, backend_unknown_name, backend_timeout,
    backend_certificate (we refused its certificate), backend_refused_us (it refused ours, or the want of one),
    backend_tls (anything else of TLS), backend_no_tls (it has none), backend_reset. ``why`` is for a log, and is
    escaped where it is written.
    """

    def __init__(self, code: str, why: str) -> None:
        super().__init__(f"{code}: {why}")
        self.code = code
        self.why = why


async def connect(backend: Backend, protocol: asyncio.BaseProtocol, *, header: bytes = b"") -> asyncio.Transport:
    """Connect ``protocol`` to the backend, within its ``connect_timeout``, TLS included; ``header`` goes first.

    Raises BackendFailed. Cancelling it closes what was open.
    """
    try:
        async with asyncio.timeout(backend.connect_timeout):
            sock = await _connected(backend)
            try:
                return await _transport_over(backend, sock, protocol, header)
            except BaseException:
                sock.close()
                raise
    except TimeoutError:
        why = f"{backend.text} did not answer within {backend.connect_timeout:g} seconds"
        raise BackendFailed("backend_timeout", why) from None
    except HandfastError as error:
        raise failure(backend, error) from None
    except OSError as error:
        raise failure(backend, error) from None


def failure(backend: Backend, error: Exception) -> BackendFailed:
    """What an error of a connection to the backend comes to."""
    if isinstance(error, HandfastError):
        why = f"{backend.text}: {failure_words.line(Failure(role=Role.CLIENT, error=error), _describer())}"
        return BackendFailed(_code(error), why)
    number = error.errno if isinstance(error, OSError) else None
    reason = os.strerror(number) if number is not None and number > 0 else str(error) or type(error).__name__
    if isinstance(error, socket.gaierror):
        return BackendFailed("backend_unknown_name", f"{backend.text}: {error.strerror}")
    if number in (errno.ECONNRESET, errno.EPIPE):
        return BackendFailed("backend_reset", f"{backend.text}: {reason}")
    code = "backend_refused" if number in _REFUSED else "backend_unreachable"
    return BackendFailed(code, f"{backend.text}: {reason}")


def _code(error: HandfastError) -> str:
    match error:
        case CertificateRejected():
            return "backend_certificate"
        case PeerRejected():
            return "backend_refused_us"
        case ConnectionLost(code="handshake_timeout"):
            return "backend_timeout"
    return "backend_tls"


def _describer() -> Any:
    from handfast.outcome.certificate_words import DESCRIBER

    return DESCRIBER


async def _connected(backend: Backend) -> socket.socket:
    """A socket that is connected. Raises OSError of the last address tried."""
    address = backend.address
    if isinstance(address, str):
        return await _connect_one(socket.AF_UNIX, address)
    host, port = address
    try:
        *others, last = await _addresses(asyncio.get_running_loop(), host, port)
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "no name that DNS could hold") from None
    for family, where in others:
        with suppress(OSError):
            return await _connect_one(family, where)
    return await _connect_one(*last)


async def _addresses(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[tuple[int, Any]]:
    """One at least. Raises socket.gaierror."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return [(family, (host, port))]
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, where) for family, _, _, _, where in found]


async def _connect_one(family: int, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_UNIX:
            await _connect_unix(sock, address)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if not _connected_at_once(sock, address):
                await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _connected_at_once(sock: socket.socket, address: Any) -> bool:
    """Whether the connection is there already. If not, it is being made, or what failed is told when it is asked again.

    Over loopback all of TCP's handshake is done when the call returns that starts it, and the second call says so: a
    turn of the loop, and two calls that watch the socket, are spared.
    """
    started = sock.connect_ex(address)
    return started == 0 or (started == errno.EINPROGRESS and sock.connect_ex(address) in _THERE)


async def _connect_unix(sock: socket.socket, path: str) -> None:
    """Connect, which is done at once, or refused for now because too many wait to be accepted: then try again.

    A loop's own ``sock_connect`` takes that for a connection that is being made, and then for one that is there.
    """
    while True:
        try:
            sock.connect(path)
        except BlockingIOError:
            await asyncio.sleep(_UNIX_PAUSE)
        else:
            return


async def _transport_over(
    backend: Backend, sock: socket.socket, protocol: asyncio.BaseProtocol, header: bytes
) -> asyncio.Transport:
    """The transport over a connected socket."""
    loop = asyncio.get_running_loop()
    if header:
        await loop.sock_sendall(sock, header)
    if backend.tls is None:
        transport, _ = await loop.create_connection(lambda: protocol, sock=sock)
        return transport
    from handfast.io.aio.connect import create_connection

    if backend.starttls is not None:
        await _ask_for_tls(backend, sock)
    name = backend.server_name or backend.address[0]
    secured, _ = await create_connection(
        lambda: protocol, None, None, backend.tls, server_name=name, sock=sock, observe=backend.observe
    )
    return secured


async def _ask_for_tls(backend: Backend, sock: socket.socket) -> None:
    """Ask in PostgreSQL's way. Raises BackendFailed where the answer is not that TLS may begin."""
    from handfast.proxy.postgres import SSL_REQUEST, YES

    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, SSL_REQUEST)
    # One byte and no more: what stood behind it would count as sent by TLS.
    answer = await loop.sock_recv(sock, 1)
    if answer != YES:
        said = f"{escape(answer.decode('latin-1'))!r}" if answer else "its end"
        raise BackendFailed("backend_no_tls", f"{backend.text} was asked for TLS in PostgreSQL's way and said {said}")
