"""How ``handfast connect`` reaches its target: addresses, redirections of the command line, and proxies."""

from __future__ import annotations

import base64
import socket

import pytest

from handfast.cli.proxies import is_excepted, parse_proxy, proxy_of_environment
from handfast.cli.target import Target, parse_target, redirected, resolved
from handfast.errors import ConfigError
from tests.cli.conftest import https_server
from tests.cli.test_connect import proxy, tcp_server, url
from tests.cli.test_pcapng import has_ipv6
from tests.ports import own_port

HERE = Target("example.com", 443, "/")


@pytest.mark.parametrize(
    ("rules", "addresses"),
    [
        (("example.com:443:127.0.0.1",), ("127.0.0.1",)),
        (("EXAMPLE.com:443:127.0.0.1,[::1]",), ("127.0.0.1", "::1")),
        (("example.com:443:[2001:db8::1]",), ("2001:db8::1",)),
        (("example.com:443:2001:db8::1",), ("2001:db8::1",)),
        (("+example.com:443:127.0.0.1",), ("127.0.0.1",)),
        (("example.com:443:127.0.0.1", "example.com:443:127.0.0.2"), ("127.0.0.2",)),
        (("*:443:127.0.0.1",), ("127.0.0.1",)),
        (("example.com:443:127.0.0.1", "*:443:127.0.0.2"), ("127.0.0.1",)),
        (("example.com:80:127.0.0.1", "other.example:443:127.0.0.1"), ()),
        ((), ()),
    ],
)
def test_resolve(rules, addresses):
    assert resolved(HERE.host, HERE.port, rules) == addresses


@pytest.mark.parametrize(
    "rule", ["", "a", "a:1", "a:1:", "a:1:b", "a:x:127.0.0.1", "a:65536:127.0.0.1", ":1:127.0.0.1", "a:1:127.0.0.1,"]
)
def test_bad_resolve(rule):
    with pytest.raises(ConfigError, match="--resolve"):
        resolved(HERE.host, HERE.port, (rule,))


@pytest.mark.parametrize("named", ["bücher.example", "BÜCHER.example.", "xn--bcher-kva.example"])
def test_international_names_are_compared_in_ascii(named):
    target = parse_target("https://bücher.example/")
    assert redirected(target, (f"{named}:443:127.0.0.1:1",)) == ("127.0.0.1", 1)
    assert resolved(target.host, target.port, (f"{named}:443:127.0.0.1",)) == ("127.0.0.1",)


@pytest.mark.parametrize("rule", ["EXAMPLE.Com:443:127.0.0.1:1", "example.com.:443:127.0.0.1:1"])
def test_connect_to_does_not_look_at_case(rule):
    assert redirected(HERE, (rule,)) == ("127.0.0.1", 1)


def test_resolve_replaces_dns_alone(run, pki):
    with https_server() as port:
        rule = ("--resolve", f"Server.example.com:{port}:127.0.0.1")
        result = run("connect", f"https://server.example.com:{port}/whoami", *pki.trust, *rule)
    assert '"server_name": "server.example.com"' in result.out


def test_one_family_of_addresses(run, pki):
    with https_server() as port:
        assert run("connect", "-4", url(port), *pki.trust).status == 0
        result = run("connect", "-6", f"https://127.0.0.1:{port}/", *pki.trust)
        assert result.is_error(1, f"cannot connect to 127.0.0.1:{port}", "no IPv6 address")
        # Not the last one, as for curl: they contradict each other.
        assert run("connect", "-6", "-4", url(port), *pki.trust).is_error(2, "--ipv4: --ipv6 says the contrary")


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_the_next_address_is_tried(run, pki):
    with https_server() as port:
        rule = ("--resolve", f"localhost:{port}:[::1],127.0.0.1")
        assert run("connect", "-v", url(port), *pki.trust, *rule).status == 0


# Proxies


@pytest.mark.parametrize(
    ("text", "address", "authorization"),
    [
        ("proxy.example", "proxy.example:1080", b""),
        ("http://proxy.example:3128/", "proxy.example:3128", b""),
        ("HTTP://[::1]:3128", "[::1]:3128", b""),
        ("http://me:p%40ss@proxy.example:80", "proxy.example:80", b"Basic " + base64.b64encode(b"me:p@ss")),
    ],
)
def test_a_proxys_address(text, address, authorization):
    found = parse_proxy(text, "--proxy")
    assert (found.address, found.authorization) == (address, authorization)
    assert "p@ss" not in repr(found)


@pytest.mark.parametrize("text", ["socks5://a:1", "https://a:1", "http://", "http://a:x", "http://me:secret@a:1/path"])
def test_bad_proxies_show_no_password(text):
    with pytest.raises(ConfigError) as caught:
        parse_proxy(text, "$HTTPS_PROXY")
    assert "$HTTPS_PROXY" in caught.value.what
    assert "secret" not in caught.value.what


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "a:1"}, "a:1"),
        ({"https_proxy": "b:2", "HTTPS_PROXY": "a:1"}, "b:2"),
        ({"ALL_PROXY": "c:3"}, "c:3"),
        ({"ALL_PROXY": "c:3", "HTTPS_PROXY": "a:1"}, "a:1"),
        ({"HTTPS_PROXY": ""}, None),
        # What is for http:// is for nothing here.
        ({"HTTP_PROXY": "a:1"}, None),
        ({"HTTPS_PROXY": "a:1", "NO_PROXY": "example.com"}, None),
        ({"HTTPS_PROXY": "a:1", "NO_PROXY": "example.org"}, "a:1"),
    ],
)
def test_the_proxy_of_the_environment(environ, address):
    found = proxy_of_environment(HERE, environ)
    assert (None if found is None else found.address) == address


@pytest.mark.parametrize(
    ("host", "exceptions", "excepted"),
    [
        ("example.com", "*", True),
        ("example.com", "localhost, example.com", True),
        ("www.EXAMPLE.com", ".example.com", True),
        ("www.example.com", "example.com", True),
        ("www.example.com", "*.example.com", True),
        ("badexample.com", "example.com", False),
        ("example.com", "example.com:443", True),
        ("example.com", "example.com:80", False),
        ("example.com", ", .", False),
        ("127.0.0.1", "127.0.0.0/8", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.1:443", True),
        ("127.0.0.1", "0.0.1", False),
        ("::1", "::1", True),
        ("::1", "[::1]:443", True),
        ("2001:db8::1", "2001:db8::/32", True),
        ("10.0.0.1", "127.0.0.0/8, example.com", False),
    ],
)
def test_exceptions_from_proxies(host, exceptions, excepted):
    assert is_excepted(Target(host, 443, "/"), exceptions) == excepted


def test_through_the_proxy_of_the_environment(run, pki, monkeypatch):
    with https_server() as port, proxy(b"HTTP/1.1 200 Connected\r\n\r\n", port) as (proxy_port, seen):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{proxy_port}")
        result = run("connect", "-v", url(port), *pki.trust)
    assert result.status == 0
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"me:secret") in seen[0]
    assert f"through the proxy 127.0.0.1:{proxy_port} ($HTTPS_PROXY)" in result.err
    assert "secret" not in result.err


def test_no_proxy_for_loopback_if_the_environment_says_so(run, pki, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "localhost")
    with https_server() as port:
        assert run("connect", url(port), *pki.trust).status == 0
        assert run("connect", f"https://127.0.0.1:{port}/", *pki.trust).is_error(1, "cannot connect to 127.0.0.1:1")
        # What --proxy says goes before it, also that there is none.
        assert run("connect", "--proxy", "", f"https://127.0.0.1:{port}/", *pki.trust).status == 0


def test_a_refusing_proxy_of_the_environment_is_named(run, pki, monkeypatch):
    with proxy(b"HTTP/1.1 407 Who\r\n\r\n", 0) as (port, _):
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{port}")
        assert run("connect", "https://example.com/", *pki.trust).is_error(1, "407 Who", "check $ALL_PROXY")


def test_a_server_that_speaks_first_behind_a_proxy_is_heard(run, pki):
    """The proxy's answer and the server's greeting come in one piece."""

    def talk(client):
        lines = client.makefile("rb")
        while lines.readline() != b"\r\n":
            pass
        client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n220 mail\r\n")
        assert lines.readline() == b"EHLO localhost\r\n"
        client.sendall(b"500 no\r\n")

    with tcp_server(talk) as port:
        result = run("connect", "--starttls", "smtp", "localhost", *pki.trust, "--proxy", f"127.0.0.1:{port}")
    assert result.is_error(1, "SMTP: the server said '500 no'")


def test_a_host_alone_is_on_the_usual_port(run, pki):
    with own_port() as port:
        rule = ("--connect-to", f"localhost:443:127.0.0.1:{port}")
        result = run("connect", "LOCALHOST", *pki.trust, *rule)
    assert result.is_error(1, f"cannot connect to 127.0.0.1:{port}")


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_an_ipv6_target(run, pki):
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        port = listener.getsockname()[1]
    result = run("connect", f"[::1]:{port}", *pki.trust)
    assert result.is_error(1, "cannot connect to ::1:")
