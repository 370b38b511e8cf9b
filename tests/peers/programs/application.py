"""What granian serves: the page that PAGE names. It says when it was asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

BODY = Path(os.environ["PAGE"]).read_bytes()
HEADERS = [(b"content-length", str(len(BODY)).encode()), (b"connection", b"close")]


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ASGI."""
    if scope["type"] == "http":
        while (await receive()).get("more_body"):
            continue
        print(f"served|{scope['http_version']}", flush=True)
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": BODY})
