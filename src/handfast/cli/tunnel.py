"""A connection through an HTTP proxy. RFC 9110 9.3.6."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h11

from handfast.cli import ui
from handfast.io.sockets import open_tcp
from handfast.text import escape

if TYPE_CHECKING:
    import socket
    from typing import NoReturn


def through_proxy(proxy: tuple[str, int], host: str, port: int) -> socket.socket:
    """A socket that the proxy connected to ``host`` and ``port``."""
    address = f"{proxy[0]}:{proxy[1]}"
    sock = open_tcp(*proxy)
    try:
        _ask(sock, address, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    except BaseException:
        sock.close()
        raise
    return sock


def _ask(sock: socket.socket, address: str, authority: str) -> None:
    connection = h11.Connection(h11.CLIENT)
    request = h11.Request(method="CONNECT", target=authority, headers=[("Host", authority)])
    try:
        sock.sendall((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
        while True:
            match connection.next_event():
                case h11.NEED_DATA:
                    connection.receive_data(sock.recv(64 * 1024))
                case h11.InformationalResponse():
                    pass
                case h11.Response(status_code=status) if 200 <= status < 300:
                    return
                case h11.Response(status_code=status, reason=reason):
                    _refused(address, f"{status} {escape(bytes(reason))}")
                case _:
                    _refused(address, "a closed connection")
    except h11.RemoteProtocolError as error:
        _refused(address, f"no HTTP: {escape(str(error))}")
    except OSError as error:
        _refused(address, error.strerror or str(error))


def _refused(address: str, answer: str) -> NoReturn:
    ui.fail(f"the proxy {address} answered CONNECT with {answer}", "the network or the proxy", "check --proxy")
