"""Starlette: a middleware that lets in the clients on a list, by the names in their verified certificates.

handfast certs localhost
handfast serve --cert pki/server.pem --key pki/server.key --client-ca pki/ca.pem --app starlette_app:app
handfast connect https://localhost:1337/ --cacert pki/ca.pem --cert pki/client.pem --key pki/client.key
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from handfast.contrib.asgi import verified_peer

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send
    from starlette.websockets import WebSocket

ALLOWED = {"CN=client,O=handfast", "CN=alice,O=handfast"}


class OnlyAllowed:
    """Nothing but 403 for others, and no WebSocket."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            peer = verified_peer(scope)
            if peer is None or peer.verdict.subject not in ALLOWED:
                if scope["type"] == "websocket":
                    await send({"type": "websocket.close", "code": 1008})
                else:
                    await PlainTextResponse("you are not on the list\n", 403)(scope, receive, send)
                return
        await self.app(scope, receive, send)


async def home(request: Request) -> PlainTextResponse:
    """What ASGI's tls extension says: under any server that has it, this part is the same."""
    tls = request.scope["extensions"]["tls"]
    return PlainTextResponse(f"hello, {tls['client_cert_name']}, over TLS {tls['tls_version']:#06x}\n")


async def greet(websocket: WebSocket) -> None:
    """A WebSocket's handler is told likewise."""
    await websocket.accept()
    await websocket.send_text(f"hello, {websocket.scope['extensions']['tls']['client_cert_name']}")
    await websocket.close()


app = OnlyAllowed(Starlette(routes=[Route("/", home), WebSocketRoute("/greet", greet)]))
