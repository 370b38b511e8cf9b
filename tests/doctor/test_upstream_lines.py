"""The doctor's lines for nginx and HAProxy as clients: a real one before a TLS server, with the fault, then without."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handfast.doctor.catalogue import fixes
from tests.doctor import lines
from tests.doctor.lines import OF_CLIENTS, Fault, printed, refusing, without_comments
from tests.doctor.matrix import Cast, ask, target
from tests.doctor.servers import Running, listening
from tests.doctor.written import by_command, logged
from tests.peers.base import require_peer
from tests.ports import own_port
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = lines.slow
CLIENTS = (
    "client_shows_certificate", "client_trusts_server_ca", "client_sends_chain", "client_renews", "client_right_key",
    "client_key_password", "name", "sni",
)  # fmt: skip
# These lines are about clients; those that are about servers are tried in ``test_fix_lines``.
OF_UPSTREAMS = {*CLIENTS, "client_renews_crl", "https"}


def fetched(running: Running) -> str:
    """The page, or the proxy's own that says that it could not get it."""
    return by_command(require_peer("curl"), "-sS", "--noproxy", "*", f"http://127.0.0.1:{running.port}/")


def came(page: str) -> bool:
    return "s_server" in page


def test_all_lines_are_tried() -> None:
    for place in ("nginx", "haproxy"):
        about_clients = {"client", "name", "sni", "https"}
        found = {
            code for code, fix in fixes().items() if place in fix.templates and code.split("_")[0] in about_clients
        }
        assert found - OF_UPSTREAMS == set()


# nginx


def nginx_s_usual(upstream: int) -> str:
    return (
        f"proxy_pass https://localhost:{upstream}; proxy_ssl_certificate client.pem; proxy_ssl_verify on; "
        "proxy_ssl_certificate_key client.key; proxy_ssl_trusted_certificate ca.pem; proxy_ssl_server_name on; "
        "proxy_ssl_protocols TLSv1.2 TLSv1.3;"
    )


def with_directives(old: str, new: str) -> str:
    """Directives with others in the place of their namesakes."""
    plain = without_comments(new)
    parts = [part.strip() for text in (old, plain) for part in text.split(";") if part.strip()]
    parts = [part for part in parts if not part.startswith(("server_name", "ssl_"))]
    return "; ".join({part.split()[0]: part for part in parts}.values()) + ";"


def _configure(directives: str, port: int) -> None:
    folder = Path.cwd()
    paths = " ".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    Path("nginx.conf").write_text(
        f"{user}daemon off;\npid {folder}/nginx.pid;\nevents {{}}\n"
        f"http {{\n{paths}\naccess_log off;\nkeepalive_timeout 0;\n"
        f"server {{\nlisten 127.0.0.1:{port or 1};\nlocation / {{\nproxy_http_version 1.0;\n{directives}\n}}\n}}\n}}\n"
    )


@contextlib.contextmanager
def nginx(directives: str) -> Iterator[Running]:
    """A proxy in plain HTTP that is told so; files are looked for in the folder of the test."""
    with own_port() as port:
        _configure(directives, port)
        with listening(_nginx(), Path("nginx.log").absolute(), port) as running:
            yield running


def _nginx() -> list[str]:
    folder = Path.cwd()
    return [require_peer("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]


# What is wrong, as directives; "" where it is in the files.
OF_NGINX: dict[str, Callable[[str], str]] = {
    "client_shows_certificate": lambda usual: re.sub(r"proxy_ssl_certificate(_key)? \S+;", "", usual),
    "client_right_key": lambda usual: usual.replace("client.key", "other.key"),
    "sni": lambda usual: f"{usual} proxy_ssl_name {lines.OTHER_NAME};",
}
# With these it does not start.
_UNUSABLE = {"client_right_key", "client_key_password"}


def _prepare(cast: Cast, fault: Fault) -> None:
    if fault.fix == "client_right_key":
        cast.write("other.key", cast.server[1].read_bytes())
    else:
        fault.prepare(cast)


def _told(cast: Cast, fault: Fault, running: Running, place: str) -> str:
    """The line, after a look at whether the doctor names the cause."""
    more = ("--key", "other.key") if fault.fix == "client_right_key" else ()
    answer = fault.ask(running, *more)
    assert fault.cause in answer.causes, answer.document
    return printed(answer, fault.fix, place).replace("other.key", "client.key")


@pytest.mark.parametrize("code", CLIENTS)
def test_a_line_for_nginx(code: str, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    fault = OF_CLIENTS[code]
    _prepare(cast, fault)
    with refusing(cast, code) as server:
        text = _told(cast, fault, server, "nginx")
        broken = OF_NGINX.get(code, str)(nginx_s_usual(server.port))
        if code in _UNUSABLE:
            assert "emerg" in _tested(broken)
        else:
            with nginx(broken) as proxy:
                assert not came(fetched(proxy))
                if text.startswith("nginx -s reload"):
                    fault.mend(cast)
                    assert not came(fetched(proxy))
                    by_command(*_nginx(), "-s", "reload")
                    assert until(lambda: came(fetched(proxy)))
                    return
        fault.mend(cast)
        cast.write("passwords", lines.PASSWORD + b"\n")
        with nginx(with_directives(broken, text)) as proxy:
            page = fetched(proxy)
            assert came(page), (text, page, proxy.log())


def _tested(directives: str) -> str:
    """What nginx says of a configuration; on a terminal it would ask for a password."""
    _configure(directives, 0)
    command = [*_nginx(), "-t"]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        start_new_session=True,
        check=False,
    )
    return done.stderr


def test_nginx_s_line_for_a_revocation_list(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    cast.write("crl.pem", cast.stale_crl.read_bytes())
    with refusing(cast, "") as server:
        usual = nginx_s_usual(server.port)
        with nginx(f"{usual} proxy_ssl_crl {cast.stale_crl.name};") as proxy:
            assert not came(fetched(proxy))
            answer = ask("--log", logged(proxy, "server_crl_stale"))
        assert "server_crl_stale" in answer.causes, proxy.log()
        cast.write("crl.pem", Path("fresh.pem").read_bytes())
        line = printed(answer, "client_renews_crl", "nginx")
        with nginx(with_directives(f"{usual} proxy_ssl_crl {cast.stale_crl.name};", line)) as proxy:
            assert came(fetched(proxy))


def test_nginx_s_line_for_versions(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    with refusing(cast, "") as server:
        usual = nginx_s_usual(server.port).replace("proxy_ssl_protocols TLSv1.2 TLSv1.3", "proxy_ssl_protocols TLSv1.2")
        with nginx(usual) as proxy:
            assert not came(fetched(proxy))
            answer = ask("--log", logged(proxy, "no_common_version"))
        assert "no_common_version" in answer.causes, proxy.log()
        with nginx(with_directives(usual, printed(answer, "versions", "nginx"))) as proxy:
            assert came(fetched(proxy)), proxy.log()


@pytest.mark.parametrize("place", ["nginx", "haproxy"])
def test_the_line_for_a_proxy_that_speaks_plain_http(place: str, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    with refusing(cast, "") as server:
        usual = nginx_s_usual(server.port)
        plain = usual.replace("https://", "http://")
        with nginx(plain) if place == "nginx" else haproxy(f"server one localhost:{server.port}") as proxy:
            assert not came(fetched(proxy))
        answer = ask(*target(server), "--cacert", "ca.pem", "--log", logged(server, "http_to_tls"))
        assert "http_to_tls" in answer.causes, server.log()
        line = printed(answer, "https", place)
        with (
            nginx(with_directives(plain, line))
            if place == "nginx"
            else haproxy(with_words(haproxy_s_usual(server.port).replace("ssl ", ""), line))
        ) as proxy:
            assert came(fetched(proxy)), proxy.log()


# HAProxy

_ALONE = {"ssl"}


def haproxy_s_usual(upstream: int) -> str:
    lines.run("cat client.pem client.key > client-and-key.pem")
    verifying = "ca-file ca.pem verify required verifyhost localhost"
    return f"server one localhost:{upstream} ssl crt client-and-key.pem {verifying}"


def with_words(old: str, new: str) -> str:
    """A ``server`` line with the words of another in the place of their namesakes; commands of the other are run."""
    for command in without_comments(new).split("\n"):
        if command.startswith("cat "):
            lines.run(command)
    servers = [old, *(one for one in without_comments(new).split("\n") if one.startswith("server "))]
    words: dict[str, str] = {}
    for server in servers:
        first, *rest = server.split()[2:]
        words["where"] = first
        while rest:
            name = rest.pop(0)
            words[name] = name if name in _ALONE else f"{name} {rest.pop(0)}"
    return f"server one {' '.join(words.values())}"


@contextlib.contextmanager
def haproxy(server: str) -> Iterator[Running]:
    """A proxy in plain HTTP before one server."""
    with own_port() as port:
        Path("haproxy.cfg").write_text(
            "global\n    nbthread 1\n    log stdout format raw local0\n"
            "defaults\n    mode http\n    log global\n    retries 0\n"
            "    timeout client 2m\n    timeout server 2m\n    timeout connect 2m\n"
            f"frontend plain\n    bind 127.0.0.1:{port}\n    default_backend all\nbackend all\n"
            f"    {server}\n"
        )
        command = [require_peer("haproxy"), "-db", "-f", "haproxy.cfg"]
        with listening(command, Path("haproxy.log").absolute(), port) as running:
            yield running


OF_HAPROXY: dict[str, Callable[[str], str]] = {
    "client_shows_certificate": lambda usual: usual.replace("crt client-and-key.pem ", ""),
    "sni": lambda usual: f"{usual} sni str({lines.OTHER_NAME})",
}


@pytest.mark.parametrize("code", [code for code in CLIENTS if "haproxy" in fixes()[code].templates])
def test_a_line_for_haproxy(code: str, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    fault = OF_CLIENTS[code]
    _prepare(cast, fault)
    with refusing(cast, code) as server:
        text = _told(cast, fault, server, "haproxy")
        broken = OF_HAPROXY.get(code, str)(haproxy_s_usual(server.port))
        with haproxy(broken) as proxy:
            assert not came(fetched(proxy))
        fault.mend(cast)
        # To reload is to start anew, with the files that the commands made.
        with haproxy(with_words(broken, text)) as proxy:
            assert came(fetched(proxy)), (text, proxy.log())


def test_haproxy_s_line_for_a_revocation_list(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.in_the_folder(cast, monkeypatch)
    with refusing(cast, "") as server:
        broken = f"{haproxy_s_usual(server.port)} crl-file {cast.stale_crl.name}"
        with haproxy(broken) as proxy:
            assert not came(fetched(proxy))
        # HAProxy does not say why it refuses a server, so a reader has it from another client.
        answer = ask(*target(server), "--cacert", "ca.pem", "--log", lines.curl(server, *_HELD_AGAINST_A_LIST))
        assert "server_crl_stale" in answer.causes
        line = printed(answer, "client_renews_crl", "haproxy")
        with haproxy(with_words(broken, line)) as proxy:
            assert came(fetched(proxy)), (line, proxy.log())


_HELD_AGAINST_A_LIST = ("--cacert", "ca.pem", "--crlfile", "stale.pem")
