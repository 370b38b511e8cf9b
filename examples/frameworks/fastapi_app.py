"""FastAPI: who the client is, as a dependency. Every route that names it is closed to others.

handfast certs localhost
handfast serve --cert pki/server.pem --key pki/server.key --client-ca pki/ca.pem --client-auth verify_if_given \
    --app fastapi_app:app
handfast connect https://localhost:1337/accounts --cacert pki/ca.pem --cert pki/client.pem --key pki/client.key
"""

from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request, WebSocket, WebSocketException

from handfast.contrib.asgi import verified_peer

ADMINISTRATORS = {"CN=alice,O=handfast"}

app = FastAPI()


def client(request: Request) -> str:
    """The subject of the client's certificate; 401 without a verified one."""
    peer = verified_peer(request.scope)
    if peer is None:
        raise HTTPException(401, "show a certificate of our CA")
    return peer.verdict.subject


Client = Annotated[str, Depends(client)]


def administrator(name: Client) -> str:
    """A client who may do everything; 403 for others."""
    if name not in ADMINISTRATORS:
        raise HTTPException(403, f"{name} is no administrator")
    return name


@app.get("/health")
async def health() -> str:
    """For all, also without a certificate."""
    return "fine"


@app.get("/accounts")
async def accounts(name: Client) -> dict[str, str]:
    """For those whom the CA knows."""
    return {"accounts of": name}


@app.delete("/accounts")
@app.get("/admin")
def admin(name: Annotated[str, Depends(administrator)]) -> dict[str, str]:
    """For some of them. This one runs in a thread of FastAPI's pool."""
    return {"administrator": name}


@app.websocket("/events")
async def events(websocket: WebSocket) -> None:
    """A WebSocket is refused before it is accepted."""
    peer = verified_peer(websocket.scope)
    if peer is None:
        raise WebSocketException(1008)
    await websocket.accept()
    await websocket.send_text(f"events of {peer.verdict.subject}")
    await websocket.close()
