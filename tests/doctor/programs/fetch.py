"""One request: the library, its limit in seconds, the URL, the CA of the server, the client's certificate and key."""

import asyncio
import ssl
import sys
from typing import Any


def fetch_by_requests(url: str, limit: float, ca: str, files: tuple[str, ...]) -> None:
    import requests

    requests.get(url, verify=ca, cert=files or None, timeout=limit)


def fetch_by_httpx(url: str, limit: float, ca: str, files: tuple[str, ...]) -> None:
    import httpx

    httpx.get(url, verify=context(ca, files), timeout=limit)


def fetch_by_aiohttp(url: str, limit: float, ca: str, files: tuple[str, ...]) -> None:
    import aiohttp

    async def fetch() -> None:
        timeout = aiohttp.ClientTimeout(limit)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url, ssl=context(ca, files)):
            pass

    asyncio.run(fetch())


def context(ca: str, files: tuple[str, ...]) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=ca)
    if files:
        certificate, key = files
        made.load_cert_chain(certificate, key, "")
    return made


FETCH: dict[str, Any] = {"requests": fetch_by_requests, "httpx": fetch_by_httpx, "aiohttp": fetch_by_aiohttp}

if __name__ == "__main__":
    library, limit, url, ca, *own = sys.argv[1:]
    FETCH[library](url, float(limit), ca, tuple(filter(None, own)))
    print("answered")
