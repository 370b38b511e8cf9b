"""A connection through an HTTP proxy. RFC 9110 9.3.6."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h11

from handfast.cli import ui
from handfast.text import escape

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import NoReturn

    from handfast.cli.proxies import Proxy


def through_proxy(proxy: Proxy, host: str, port: int, connect: Callable[[], socket.socket]) -> socket.socket:
    """A socket that the proxy, to which ``connect`` connects, connected to ``host`` and ``port``."""
    sock = connect()
    try:
        _ask(sock, proxy, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    except BaseException:
        sock.close()
        raise
    return sock


def _ask(sock: socket.socket, proxy: Proxy, authority: str) -> None:
    connection = h11.Connection(h11.CLIENT)
    headers = [(b"Host", authority.encode())]
    if proxy.authorization:
        headers.append((b"Proxy-Authorization", proxy.authorization))
    request = h11.Request(method="CONNECT", target=authority, headers=headers)
    try:
        sock.sendall((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
        while True:
            match connection.next_event():
                case h11.NEED_DATA:
                    # A byte at a time: what stands behind the answer is the server's, which may speak first.
                    connection.receive_data(sock.recv(1))
                case h11.InformationalResponse():
                    pass
                case h11.Response(status_code=status) if 200 <= status < 300:
                    return
                case h11.Response(status_code=status, reason=reason):
                    _refused(proxy, f"{status} {escape(bytes(reason))}")
                case _:
                    _refused(proxy, "a closed connection")
    except h11.RemoteProtocolError as error:
        _refused(proxy, f"no HTTP: {escape(str(error))}")
    except OSError as error:
        _refused(proxy, error.strerror or str(error))


def _refused(proxy: Proxy, answer: str) -> NoReturn:
    what = f"the proxy {proxy.address} answered CONNECT with {answer}"
    ui.fail(what, "the network or the proxy", f"check {proxy.source}")
