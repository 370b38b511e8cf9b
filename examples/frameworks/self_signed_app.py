"""Clients with certificates that they signed themselves: there is no CA, and a client is its key.

In the mode ``request`` every client comes in, with a certificate or without, and TLS has proven that it holds the key
of the one it shows. So the key is the identity, as in SSH: here the first visit registers it. Everything else in the
certificate is the client's own claim.

handfast certs localhost
handfast serve --cert pki/server.pem --key pki/server.key --client-auth request --app self_signed_app:app
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=me -keyout me.key -out me.pem
handfast connect https://localhost:1337/ --cacert pki/ca.pem --cert me.pem --key me.key
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import handfast
from handfast.contrib.asgi import connection_info

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

visits: dict[str, int] = {}


async def app(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[dict[str, Any]], Awaitable[None]]
) -> None:
    """A plain ASGI application that counts the visits of each key."""
    if scope["type"] != "http":
        return
    info, tls = connection_info(scope), scope["extensions"]["tls"]
    if info is None or info.peer is None:
        answer = f"#(peer certs) = {len(tls['client_cert_chain'])}\n"
    else:
        pin = handfast.key_pin(info.peer.chain[0])
        visits[pin] = visits.get(pin, 0) + 1
        answer = (
            f"#(peer certs) = {len(tls['client_cert_chain'])}\n"
            f"you hold the key {pin} and call yourself {tls['client_cert_name']}\n"
            f"no CA says so: {tls['client_cert_error']}\n"
            f"this is visit no. {visits[pin]}\n"
            f"certs[0] goes as\n{tls['client_cert_chain'][0]}"
        )
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": answer.encode()})
