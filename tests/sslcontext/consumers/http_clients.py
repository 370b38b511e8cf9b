"""HTTP clients, against a server of the standard library."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.sslcontext.consumers.kinds import BIG, Contexts, consumer, http_server, refusal


@consumer
def http_client(contexts: Contexts) -> object:
    import http.client
    import urllib.request

    port = http_server(contexts.server())
    connection = http.client.HTTPSConnection("localhost", port, context=contexts.client())
    connection.request("GET", "/")
    assert b"alice" in connection.getresponse().read()
    connection.request("GET", "/big")
    assert len(connection.getresponse().read()) == BIG
    connection.close()
    with urllib.request.urlopen(f"https://localhost:{port}/", context=contexts.client()) as answer:
        return answer.read()


@consumer
def urllib3_pool(contexts: Contexts) -> object:
    import urllib3

    port = http_server(contexts.server())
    pool = urllib3.PoolManager(ssl_context=contexts.client())
    for body in (b"", b"q" * 1_000_000):
        answer = pool.request("POST", f"https://localhost:{port}/", body=body)
        assert b"alice" in answer.data
        assert answer.data.endswith(str(len(body)).encode())
    assert len(pool.request("GET", f"https://localhost:{port}/big").data) == BIG
    other = urllib3.PoolManager(ssl_context=contexts.client(ca="other.pem"), retries=False)
    refusal(lambda: other.request("GET", f"https://localhost:{port}/"), "CERTIFICATE_VERIFY_FAILED")
    return refusal(lambda: pool.request("GET", f"https://127.0.0.2:{port}/", retries=False))


@consumer
def urllib3_tls_in_tls(contexts: Contexts) -> object:
    import urllib3

    port, proxy = http_server(contexts.server()), http_server(contexts.server())
    pool = urllib3.ProxyManager(
        f"https://localhost:{proxy}", ssl_context=contexts.client(), proxy_ssl_context=contexts.client()
    )
    answer = pool.request("GET", f"https://localhost:{port}/").data
    assert b"alice" in answer
    return answer


@consumer
def requests_session(contexts: Contexts) -> object:
    import requests
    from requests.adapters import HTTPAdapter

    context = contexts.client()

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> Any:
            return super().init_poolmanager(*args, ssl_context=context, **kwargs)

    port = http_server(contexts.server())
    with requests.Session() as session:
        session.mount("https://", Adapter())
        for _ in range(2):
            answer = session.get(f"https://localhost:{port}/")
            assert b"alice" in answer.content
        assert len(session.get(f"https://localhost:{port}/big").content) == BIG
    other = contexts.client(ca="other.pem")
    context = other
    with requests.Session() as session:
        session.mount("https://", Adapter())
        return refusal(lambda: session.get(f"https://localhost:{port}/"), "SSLError", "CERTIFICATE_VERIFY_FAILED")


@consumer
def requests_and_frozen_trust(contexts: Contexts) -> object:
    """requests loads public CAs into whatever context it gets; a frozen one takes none."""
    import requests
    from requests.adapters import HTTPAdapter

    context = contexts.client()
    if contexts.pairing == "stock-client":
        return "stock has no freeze_trust"
    context.freeze_trust()

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> Any:
            return super().init_poolmanager(*args, ssl_context=context, **kwargs)

    port = http_server(contexts.server())
    with requests.Session() as session:
        session.mount("https://", Adapter())
        text = refusal(lambda: session.get(f"https://localhost:{port}/"), "trust of this context is frozen")
    assert context.cert_store_stats()["x509"] == 1
    return text


def _httpx(name: str, contexts: Contexts) -> object:
    import importlib

    httpx: Any = importlib.import_module(name)
    port = http_server(contexts.server())
    with httpx.Client(verify=contexts.client()) as client:
        assert "alice" in client.get(f"https://localhost:{port}/").text
        assert len(client.get(f"https://localhost:{port}/big").content) == BIG
    with httpx.Client(verify=contexts.client(ca="other.pem")) as client:
        refusal(lambda: client.get(f"https://localhost:{port}/"), "CERTIFICATE_VERIFY_FAILED")

    async def main() -> str:
        async with httpx.AsyncClient(verify=contexts.client()) as client:
            answers = await asyncio.gather(*(client.get(f"https://localhost:{port}/") for _ in range(10)))
            assert all("alice" in answer.text for answer in answers)
            return str(answers[0].text)

    return asyncio.run(main())


@consumer
def httpx_clients(contexts: Contexts) -> object:
    return _httpx("httpx", contexts)


@consumer
def httpx2_clients(contexts: Contexts) -> object:
    return _httpx("httpx2", contexts)


@consumer
def httpx_over_trio(contexts: Contexts) -> object:
    import httpx
    import trio

    port = http_server(contexts.server())

    async def main() -> str:
        async with httpx.AsyncClient(verify=contexts.client()) as client:
            return (await client.get(f"https://localhost:{port}/")).text

    answer = trio.run(main)
    assert "alice" in answer
    return answer


@consumer
def httpcore_tls_in_tls(contexts: Contexts) -> object:
    import httpcore

    port, proxy = http_server(contexts.server()), http_server(contexts.server())
    with httpcore.HTTPProxy(
        f"https://localhost:{proxy}", ssl_context=contexts.client(), proxy_ssl_context=contexts.client()
    ) as pool:
        answer = pool.request("GET", f"https://localhost:{port}/").content
    assert b"alice" in answer
    return answer


@consumer
def aiohttp_both(contexts: Contexts) -> object:
    import aiohttp
    from aiohttp import web

    async def handle(request: Any) -> Any:
        certificate = request.get_extra_info("peercert")
        return web.Response(text=f"{certificate['subject']} {len(await request.read())}")

    async def big(_request: Any) -> Any:
        return web.Response(body=bytes(BIG))

    async def main() -> str:
        app = web.Application(client_max_size=BIG)
        app.router.add_route("*", "/", handle)
        app.router.add_get("/big", big)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=contexts.server())
        await site.start()
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=contexts.client())) as session:
            async with session.post(f"https://localhost:{port}/", data=bytes(1_000_000)) as answer:
                text = await answer.text()
            assert "alice" in text
            assert text.endswith("1000000")
            async with session.get(f"https://localhost:{port}/big") as answer:
                assert len(await answer.read()) == BIG
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=contexts.client(ca="other.pem"))
        ) as session:
            try:
                await session.get(f"https://localhost:{port}/")
            except aiohttp.ClientConnectorCertificateError:
                pass
            else:
                raise AssertionError("it was not refused")
        await runner.cleanup()
        return text

    return asyncio.run(main())


@consumer
def niquests_session(contexts: Contexts) -> object:
    import niquests
    from niquests.adapters import HTTPAdapter

    context = contexts.client()

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> Any:
            return super().init_poolmanager(*args, ssl_context=context, **kwargs)

    port = http_server(contexts.server())
    with niquests.Session(disable_http3=True, disable_http2=True) as session:
        session.mount("https://", Adapter())
        answer = session.get(f"https://localhost:{port}/", verify=contexts.file("ca.pem")).content
    assert answer
    assert b"alice" in answer
    return answer
