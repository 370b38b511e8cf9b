"""Who may ask for what: rules of services and routes, paths that can be read in two ways, and misdirected requests."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from handfast import ByName, ClientAuth
from handfast.errors import ConfigError
from handfast.proxy.http.url_paths import is_ambiguous
from handfast.proxy.settings import Backend, Listener, ProxyProtocol, Route, Service
from tests import certificates
from tests.aio.support import identity, server_config
from tests.proxy.http.browser import browser, tls
from tests.proxy.http.support import Origin, Web, web
from tests.proxy.support import LOCAL, backend, mutual

if TYPE_CHECKING:
    from handfast import VerifiedPeer
    from tests.aio.conftest import Runner


@dataclass(frozen=True)
class Named:
    """Lets in who has this name."""

    name: str

    def why_not(self, peer: VerifiedPeer | None) -> str | None:
        if peer is None:
            return "it is not verified"
        return None if f"DNS:{self.name}" in peer.verdict.names else f"{peer.verdict.names[0]} is not {self.name}"


class Broken:
    """Fails."""

    def why_not(self, peer: VerifiedPeer | None) -> str | None:
        raise LookupError("no such table")


def test_a_rule_that_fails_lets_nobody_in(run: Runner) -> None:
    async def main() -> None:
        async with web(rule=Broken()) as proxy:
            client = await proxy.asker()
            answer = await client.get()
            assert answer.status == 403
            assert b"table" not in answer.body
            client.close()
            assert "no such table" in (await proxy.requests())[0].why
            assert proxy.origin.raw == []

    run(main())


ROUTES = (Route("/admin", rule=Named("root")), Route("/admin/public", rule=Named("alice")), Route("/other/"))


def test_a_client_that_may_not_is_told_so_and_the_journal_why(run: Runner) -> None:
    async def main() -> None:
        async with web(rule=Named("bob")) as proxy:
            client = await proxy.asker()
            answer = await client.get()
            assert answer.status == 403
            assert b"bob" not in answer.body
            assert b"alice" not in answer.body
            client.close()
            (entry,) = await proxy.requests()
            assert (entry.code, entry.why) == ("not_allowed", "DNS:alice is not bob")
            assert proxy.origin.raw == []

    run(main())


def test_a_client_without_a_certificate_may_have_what_no_rule_keeps_from_it(run: Runner) -> None:
    async def main() -> None:
        async with web(tls=server_config(client_auth=ClientAuth.REQUEST), routes=ROUTES) as proxy:
            for client in (
                await proxy.asker(anonymous=True),
                await proxy.asker(credentials=[identity(certificates.other_ca().client("root"))]),
            ):
                assert (await client.get("/")).status == 200
                assert (await client.get("/admin")).status == 403
                client.close()
            assert {entry.why for entry in await proxy.requests(4)} == {"", "it is not verified"}

    run(main())


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/admin", 403),
        ("/admin/", 403),
        ("/admin?x=/../y", 403),
        ("/admin/x", 403),
        ("/administrator", 200),
        ("/x/admin", 200),
        ("/admin/public", 200),
        ("/admin/public/x", 200),
        ("/admin/publication", 403),
        ("/%C3%A9%20", 200),
        ("/other", 200),
        ("/x?a=//b;c%2e", 200),
    ],
)
def test_the_longest_prefix_of_whole_segments_holds(run: Runner, path: str, status: int) -> None:
    async def main() -> None:
        async with web(routes=ROUTES) as proxy:
            client = await proxy.asker()
            assert (await client.get(path)).status == status
            client.close()

    run(main())


AMBIGUOUS = (
    "//admin", "/x//admin", "/./admin", "/x/../admin", "/x/..", "/x/.", "/..", "/%2e%2e/admin", "/x/%2E./admin",
    "/x/.%2e/admin", "/%61dmin", "/adm%69n", "/admin%2fx", "/x%2F..%2Fadmin", "/x;/admin", "/admin;x=1", "/x\\admin",
    "/x%5cadmin", "/%", "/%4", "/%zz", "/x%00", "/x%0a", "/%252e%252e/admin", "/admin%3Fx", "/admin%23x", "/x%3badmin",
    "/x%7e", "/x%5f", "/x%2d", "/adm%ffin", "/x%c0%af..%c0%afadmin", "/%ed%a0%80",
)  # fmt: skip


@pytest.mark.parametrize("path", AMBIGUOUS)
def test_a_path_that_can_be_read_in_two_ways_is_refused_where_rules_hold_for_paths(run: Runner, path: str) -> None:
    async def main() -> None:
        async with web(routes=ROUTES) as proxy, web() as without:
            client = await proxy.asker()
            assert (await client.get(path)).status == 400
            # The connection goes on: nothing of the request is still to come.
            assert (await client.get("/")).status == 200
            client.close()
            plain = await without.asker()
            assert (await plain.get(path)).status == 200
            plain.close()

    run(main())


def test_paths_that_browsers_send_are_not_ambiguous() -> None:
    for path in (
        b"/",
        b"/a/b.c/..d/e..",
        b"/a.",
        b"/...",
        b"/%20%22%3C%3E%60%7B%7D%C3%A9",
        b"/a:b@c!$&'()*+,=",
        b"/~x_-.",
    ):
        assert not is_ambiguous(path), path


RESERVED = ":@+!$&'()*,="
# What may not stand in a path as it is, and what browsers leave there all the same.
ESCAPED = ("café", "a b", "a|b", "[x]", "a^b", "`{<>}", 'a"b')


def escaped(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())


@pytest.mark.parametrize("http2", [False, True])
def test_a_reserved_character_and_its_escape_are_under_no_laxer_rule(run: Runner, http2: bool) -> None:
    """Backends that decode have ``/a+b`` for ``/a%2Bb``, others have none of it: where that is two rules it is 400."""
    guarded = tuple(Route(f"/a{one}b", rule=Named("bob")) for one in RESERVED)
    wanted = {"/a%2Bc": 200, "/ok/a%2Bb": 200, "/a+b/x%2By": 403, "/a+b/../": 400, "/a%2Bb/x": 400, "/a%2Bbc": 200}
    for one in RESERVED:
        code = f"{ord(one):02X}"
        wanted |= {f"/a{one}b": 403, f"/a{one}b/x?y": 403, f"/a%{code}b": 400, f"/a%{code.lower()}b/": 400}
        wanted |= {f"/a{one}bc": 200, f"/a%{code}bc": 200}

    async def main() -> None:
        async with web(tls=tls(), routes=(Route("/", rule=Named("alice")), *guarded)) as proxy:
            client = await (browser if http2 else Web.asker)(proxy)
            for path, status in wanted.items():
                assert (await client.get(path)).status == status, path
            client.close()
            allowed = [path for path, status in wanted.items() if status == 200]
            assert [seen.target for seen in proxy.origin.seen] == allowed

    run(main())


def test_a_laxer_rule_below_a_strict_one_lets_no_escape_in(run: Runner) -> None:
    """The other way round: a backend that does not decode would see a path of the strict rule."""

    async def main() -> None:
        async with web(routes=(Route("/", rule=Named("bob")), Route("/open@all", rule=Named("alice")))) as proxy:
            client = await proxy.asker()
            for path, status in {"/open@all/x": 200, "/open%40all/x": 400, "/open@all/%40": 200, "/x": 403}.items():
                assert (await client.get(path)).status == status, path
            client.close()

    run(main())


WITHOUT_PATH = {
    "OPTIONS *": 403, "OPTIONS https://localhost": 403, "GET https://localhost?x": 403, "GET https://localhost": 403,
    "GET *": 400, "OPTIONS **": 400, "OPTIONS localhost:443": 400, "GET localhost:443": 400, "GET localhost": 400,
    "CONNECT localhost:443": 405, "CONNECT *": 405, "CONNECT /": 405,
}  # fmt: skip


@pytest.mark.parametrize("line", WITHOUT_PATH)
def test_a_target_without_a_path_passes_no_rule(run: Runner, line: str) -> None:
    async def main() -> None:
        async with web(routes=(Route("/", rule=Named("bob")),)) as proxy:
            client = await proxy.asker()
            assert (await client.ask(f"{line} HTTP/1.1\nhost: localhost")).status == WITHOUT_PATH[line]
            client.close()
            assert (await proxy.requests())[0].status == WITHOUT_PATH[line]
            assert proxy.origin.raw == []

    run(main())


WITHOUT_PATH_IN_HTTP2: tuple[tuple[int, dict[str, Any]], ...] = (
    (403, {"method": "OPTIONS", "path": "*"}),
    (400, {"method": "GET", "path": "*"}),
    (400, {"method": "OPTIONS", "path": "localhost:443"}),
    (400, {"path": "https://localhost/"}),
    (405, {"method": "CONNECT", "path": None, "scheme": None, "authority": "localhost:443"}),
    (405, {"method": "CONNECT", "path": "*"}),
    (405, {"method": "CONNECT", "path": "/", "protocol": "websocket"}),
)


@pytest.mark.parametrize(("status", "pseudo"), WITHOUT_PATH_IN_HTTP2)
def test_a_target_without_a_path_passes_no_rule_in_http_2(run: Runner, status: int, pseudo: dict[str, Any]) -> None:
    async def main() -> None:
        async with web(tls=tls(), routes=(Route("/", rule=Named("bob")),)) as proxy:
            client = await browser(proxy)
            assert (await client.get(**pseudo)).status == status
            client.close()
            assert proxy.origin.raw == []

    run(main())


@pytest.mark.parametrize("http2", [False, True])
def test_the_server_as_a_whole_is_where_the_route_for_all_paths_leads(run: Runner, http2: bool) -> None:
    async def main() -> None:
        other = Origin()
        async with backend(other.handle) as address:
            route = Route("/", rule=Named("alice"), backend=Backend(address[:2]))
            async with web(tls=tls(), routes=(route,)) as proxy:
                if http2:
                    client = await browser(proxy)
                    assert (await client.get("*", method="OPTIONS")).status == 200
                    client.close()
                else:
                    asker = await proxy.asker()
                    assert (await asker.ask("OPTIONS * HTTP/1.1\nhost: localhost")).status == 200
                    asker.close()
                assert [seen.target for seen in other.seen] == ["*"]
                assert proxy.origin.raw == []

    run(main())


@pytest.mark.parametrize("prefix", ESCAPED)
def test_what_may_not_stand_in_a_path_means_the_same_escaped_or_not(run: Runner, prefix: str) -> None:
    plain, coded = "/" + prefix, "/" + re.sub("[^a-z]", escaped, prefix)
    asked = [coded, coded.lower(), coded + "/x", *([plain] if plain.isascii() and " " not in plain else [])]

    async def main() -> None:
        for written in (plain, coded):
            async with web(routes=(Route(written, rule=Named("bob")),)) as proxy:
                client = await proxy.asker()
                for path in asked:
                    assert (await client.get(path)).status == 403, path
                client.close()

    run(main())


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("x", "no path"), ("", "no path"), ("/q?x=1", "ends before"), ("/q#x", "ends before"),
        ("/m;v=1", "read differ"), ("//dd", "read differ"), ("/x//", "read differ"), ("/x/../y", "read differ"),
        ("/.", "read differ"),
        ("/p%41", "read differ"), ("/p%2fq", "read differ"), ("/100%", "read differ"), ("/100%25", "read differ"),
        ("/a\\b", "read differ"), ("/a\0b", "read differ"), ("/caf%E9", "read differ"), ("/\ud800", "no text"),
        *((f"/a%{ord(one):02x}b", f"is {one} to some") for one in RESERVED),
    ],
)  # fmt: skip
def test_a_prefix_that_would_hold_for_no_request_is_refused(prefix: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        Route(prefix)


def with_route(address: Any) -> contextlib.AbstractAsyncContextManager[Web]:
    return web(routes=(Route("/api", backend=Backend(address[:2])),))


def test_a_route_has_a_backend_of_its_own(run: Runner) -> None:
    async def main() -> None:
        other = Origin()
        async with backend(other.handle) as address, with_route(address) as proxy:
            client = await proxy.asker()
            for path in ("/", "/api/x", "/apiary"):
                assert (await client.get(path)).status == 200
            client.close()
            assert [seen.target for seen in other.seen] == ["/api/x"]
            assert [seen.target for seen in proxy.origin.seen] == ["/", "/apiary"]

    run(main())


@pytest.mark.parametrize("http2", [False, True])
def test_a_request_for_another_policy_is_misdirected(run: Runner, http2: bool) -> None:
    """By the service of its host, and by the configuration that its connection would have had."""

    async def main() -> None:
        origin = Origin()
        async with backend(origin.handle) as address:
            one, two = Service(Backend(address[:2])), Service(Backend(address[:2]))
            issued = identity(certificates.ca().server("localhost", "a.example", "b.example", "c.example"))
            strict = mutual(credentials=[issued], application_protocols=("h2", "http/1.1"))
            lax = server_config(credentials=[issued], application_protocols=("h2", "http/1.1"))
            chosen = server_config(
                choose_config=ByName({"c.example": lax}, default=strict),
                credentials=[issued],
                application_protocols=("h2", "http/1.1"),
            )
            services = ByName({"localhost": one, "a.example": one, "b.example": two, "c.example": one})
            proxy = Web(Listener(LOCAL, services, chosen))
            await proxy.start()
            hosts = {"localhost": 200, "a.example:80": 200, "A.Example": 200, "b.example": 421, "c.example": 421}
            hosts |= {"unknown.example": 421, "[::1]": 421, "127.0.0.1": 421}
            if http2:
                client = await browser(proxy)
                for host, status in hosts.items():
                    assert (await client.get(authority=host)).status == status, host
                client.close()
            else:
                asker = await proxy.asker()
                for host, status in hosts.items():
                    assert (await asker.get(host=host)).status == status, host
                asker.close()
            codes = [entry.code for entry in await proxy.requests(len(hosts))]
            assert codes == ["misdirected" if status == 421 else "" for status in hosts.values()]
            await proxy.proxy.close(0)

    run(main())


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("asked", [None, "secret.example"])
def test_an_address_has_the_policy_of_clients_that_name_nothing(run: Runner, http2: bool, asked: str | None) -> None:
    """Of both families, with a port and without: no client asks for an address by name (RFC 6066 3)."""

    async def main() -> None:
        origin = Origin()
        async with backend(origin.handle) as address:
            public, secret = Service(Backend(address[:2])), Service(Backend(address[:2]))
            issued = identity(certificates.ca().server("localhost", "secret.example", "127.0.0.1", "::1"))
            alpn = ("h2", "http/1.1")
            lax = server_config(credentials=[issued], application_protocols=alpn)
            strict = mutual(credentials=[issued], application_protocols=alpn)
            chosen = server_config(
                choose_config=ByName({"secret.example": strict}, default=lax),
                credentials=[issued],
                application_protocols=alpn,
            )
            services = ByName({"secret.example": secret}, default=public)
            proxy = Web(Listener(LOCAL, services, chosen))
            await proxy.start()
            of_address, of_name = (200, 421) if asked is None else (421, 200)
            hosts = dict.fromkeys(("[::1]", "[::1]:443", "[2001:DB8::1]:80", "127.0.0.1", "127.0.0.1:443"), of_address)
            hosts |= {"secret.example": of_name, "other.example": of_address, "[::g]": 400, "[::1]x": 400}
            hosts |= {"[::1:2:3:4:5:6:7:8:9]": 421}
            name = "127.0.0.1" if asked is None else asked
            if http2:
                client = await browser(proxy, server_name=name)
                for host, status in hosts.items():
                    assert (await client.get(authority=host)).status == status, host
                client.close()
            else:
                for host, status in hosts.items():
                    asker = await proxy.asker(server_name=name)
                    assert (await asker.get(host=host)).status == status, host
                    asker.close()
            await proxy.proxy.close(0)

    run(main())


@pytest.mark.parametrize("http2", [False, True])
def test_connections_with_a_header_for_one_client_are_that_clients_alone(run: Runner, http2: bool) -> None:
    signature = b"\r\n\r\n\0\r\nQUIT\n"

    class Behind(Origin):
        """It reads the header first."""

        async def handle(self, reader, writer) -> None:
            head = await reader.readexactly(16)
            assert head.startswith(signature)
            heads.append(await reader.readexactly(int.from_bytes(head[14:])))
            await super().handle(reader, writer)

    heads: list[bytes] = []

    async def main() -> None:
        origin = Behind()
        async with backend(origin.handle) as address:
            behind = Backend(address[:2], proxy_protocol=ProxyProtocol.TLS)
            proxy = Web(Listener(LOCAL, Service(behind), tls()))
            await proxy.start()
            for _ in range(2):
                if http2:
                    client = await browser(proxy)
                    for _ in range(2):
                        assert (await client.get()).status == 200
                    client.close()
                else:
                    asker = await proxy.asker()
                    for _ in range(2):
                        assert (await asker.get()).status == 200
                    asker.close()
            await proxy.told(6)
            await proxy.proxy.close(0)
            assert [seen.connection for seen in origin.seen] == [0, 0, 1, 1]
            assert len(set(heads)) == 2

    run(main())


def test_two_routes_with_one_meaning_are_refused() -> None:
    with pytest.raises(ConfigError):
        Service(Backend(("127.0.0.1", 1)), routes=(Route("/a"), Route("/a/")))
    with pytest.raises(ConfigError):
        Service(Backend(("127.0.0.1", 1)), routes=(Route("/a b"), Route("/a%20b")))


def test_a_plain_client_on_loopback_is_served(run: Runner) -> None:
    """The other way round: bytes in plain come in, and TLS with our certificate goes out."""

    async def main() -> None:
        import asyncio

        from tests.aio.support import client_config
        from tests.proxy.http.support import Asker

        origin = Origin()
        async with backend(origin.handle, config=mutual()) as address:
            out = Backend(address[:2], tls=client_config(), server_name="localhost")
            proxy = Web(Listener(LOCAL, Service(out)))
            await proxy.start()
            client = Asker(*await asyncio.open_connection(*proxy.address[:2]))
            for _ in range(2):
                assert (await client.get()).status == 200
            body = "POST / HTTP/1.1\nhost: localhost\ncontent-length: 2\nconnection: close"
            assert (await client.ask(body, b"hi")).status == 200
            assert await client.at_end()
            client.close()
            assert {seen["x-forwarded-proto"] for seen in origin.seen} == {"http"}
            assert {seen.connection for seen in origin.seen} == {0}
            await proxy.proxy.close(0)

    run(main())
