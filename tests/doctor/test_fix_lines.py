"""The doctor's lines for nginx and HAProxy, each in a real one that has the fault: then it works."""

from __future__ import annotations

import contextlib
import os
import shlex
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from handfast.doctor.catalogue import fixes
from handfast.pki.fault_scene import FaultNames
from tests.doctor.matrix import Cast, ask, asked, target
from tests.doctor.servers import Running, listening
from tests.peers.base import require_peer
from tests.ports import own_port
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    os.environ.get("HANDFAST_DOCTOR") != "1", reason="it takes a minute: make doctor-matrix"
)


def line(code: str, program: str, cast: Cast, port: int = 0) -> str:
    """The doctor's line, with the files of the cast in it."""
    known = {"server_cert": cast.server[0], "server_key": cast.server[1], "client_ca": cast.ca, "crl": cast.crl}
    filled = fixes()[code].filled({**{name: str(path) for name, path in known.items()}, "port": str(port)})
    return filled[program].replace("localhost.example", "localhost")


# nginx


def directives(text: str) -> dict[str, str]:
    """Directives of a server by their names; comments, and what belongs in a proxy before it, are left out."""
    plain = "\n".join(part.partition("#")[0] for part in text.split("\n"))
    found = (one.strip() for one in plain.split(";") if one.strip())
    return {one.split()[0]: one for one in found if not one.startswith("proxy_")}


def usual(cast: Cast) -> dict[str, str]:
    certificate, key = cast.server
    asking = f"ssl_client_certificate {cast.ca}; ssl_verify_client on"
    return directives(f"ssl_certificate {certificate}; ssl_certificate_key {key}; {asking}; ssl_verify_depth 5")


@contextlib.contextmanager
def nginx(cast: Cast, lines: dict[str, str]) -> Iterator[Running]:
    folder = cast.directory
    paths = " ".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    with own_port() as port:
        listen = lines.get("listen", f"listen 127.0.0.1:{port} ssl").replace("listen 443", f"listen 127.0.0.1:{port}")
        others = "; ".join(one for name, one in lines.items() if name != "listen")
        config = cast.write(
            "nginx.conf",
            f"{user}daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nevents {{}}\nhttp {{\n{paths}\n"
            "access_log off;\n"
            f"server {{\n{listen};\n{others};\nlocation / {{ return 204; }}\n}}\n}}\n".encode(),
        )
        command = [require_peer("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(config)]
        with listening(command, folder / "nginx.log", port) as running:
            yield running


OF_NGINX: dict[str, tuple[Callable[[Cast], str], str, tuple[str, ...]]] = {
    "server_asks": (lambda cast: "ssl_verify_client off", "not_requested", ()),
    "server_trusts_client_ca": (lambda cast: f"ssl_client_certificate {cast.issuer}", "client_wrong_ca", ()),
    "server_renews_crl": (lambda cast: f"ssl_crl {cast.stale_crl}", "client_crl_stale", ()),
    "versions": (lambda cast: "ssl_protocols TLSv1.2", "no_common_version", ("--tls", "1.3")),
    "suites": (lambda cast: "ssl_ciphers ECDHE-RSA-AES128-GCM-SHA256", "no_common_suite", ("--tls", "1.2")),
    # In TLS 1.2, which alone it speaks by itself, a P-256 key takes its group with it.
    "groups": (
        lambda cast: "ssl_ecdh_curve secp521r1; ssl_protocols TLSv1.3",
        "no_common_group",
        ("--groups", "x25519"),
    ),
}


@pytest.mark.parametrize("code", OF_NGINX)
def test_a_line_for_nginx(code: str, cast: Cast) -> None:
    breaking, cause, more = OF_NGINX[code]
    broken = usual(cast) | directives(breaking(cast))
    with nginx(cast, broken) as running:
        assert cause in asked(cast, running, *more)
    with nginx(cast, broken | directives(line(code, "nginx", cast))) as running:
        assert asked(cast, running, *more) == set()


def test_the_lines_for_nginx_of_chains_and_keys(cast: Cast) -> None:
    issued = cast.scene.server(cast.scene.intermediate)
    cast.write("server-chain.pem", issued.cert_pem)
    leaf = b"".join(issued.cert_pem.partition(b"-----END CERTIFICATE-----\n")[:2])
    files = (cast.write("leaf.pem", leaf), cast.write("leaf.key", issued.key_pem))
    alone = usual(cast) | directives(f"ssl_certificate {files[0]}; ssl_certificate_key {files[1]}")
    with nginx(cast, alone) as running:
        assert "server_missing_intermediate" in asked(cast, running)
    # Relative names are of the folder of the configuration.
    with nginx(cast, alone | directives(line("server_sends_chain", "nginx", cast))) as running:
        assert asked(cast, running) == set()
    swapped = usual(cast) | directives(f"ssl_certificate_key {files[1]}")
    with nginx(cast, swapped | directives(line("server_right_key", "nginx", cast))) as running:
        assert asked(cast, running) == set()
    cast.write("passwords", b"secret\n")
    locked = load_pem_private_key(cast.server[1].read_bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    with_password = usual(cast) | directives(f"ssl_certificate_key {cast.write('locked.key', locked)}")
    with nginx(cast, with_password | directives(line("server_key_password", "nginx", cast))) as running:
        assert asked(cast, running) == set()


@contextlib.contextmanager
def nginx_in_http(cast: Cast, in_http: str) -> Iterator[Running]:
    """One whose part about HTTP is told whole, with LISTEN for the address."""
    user = "user root;\n" if os.geteuid() == 0 else ""
    with own_port() as port:
        text = in_http.replace("LISTEN", f"127.0.0.1:{port}").replace("listen 443", f"listen 127.0.0.1:{port}")
        head = f"{user}daemon off;\nmaster_process off;\npid {cast.directory}/nginx.pid;\nevents {{}}\n"
        config = cast.write("nginx.conf", f"{head}http {{\naccess_log off;\n{text}\n}}\n".encode())
        command = [require_peer("nginx"), "-e", "stderr", "-p", str(cast.directory), "-c", str(config)]
        with listening(command, cast.directory / "nginx.log", port) as running:
            yield running


def test_nginx_s_line_that_asks_and_requires_for_some_paths(cast: Cast) -> None:
    lines, condition = line("server_asks_at_once", "nginx", cast).rsplit("\n", 1)
    own = f"listen LISTEN ssl; ssl_certificate {cast.server[0]}; ssl_certificate_key {cast.server[1]};"
    location = f"location / {{ {condition}\n return 204; }}"
    with nginx_in_http(cast, f"server {{ {own} {lines}\n {location} }}") as running:
        assert asked(cast, running) == set()
        # Without a certificate the page is forbidden, and the handshake is not.
        assert "no_certificate" in ask(*target(running), "--cacert", cast.ca).causes


@pytest.fixture
def plain(tmp_path: Path) -> Cast:
    """Of names that each program writes in the same way, one as long as it may be."""
    return Cast(tmp_path, 0, FaultNames(host="localhost", client="x" * 64))


def test_nginx_s_lines_that_let_somebody_in(plain: Cast) -> None:
    cast = plain
    mapped, condition = line("server_allows_client", "nginx", cast).rsplit("\n", 1)
    own = f"listen LISTEN ssl; ssl_certificate {cast.server[0]}; ssl_certificate_key {cast.server[1]};"
    own += f"ssl_client_certificate {cast.ca}; ssl_verify_client optional;"
    subject = cast.good.certificate.subject.rfc4514_string()
    for name, forbidden in (("CN=nobody", True), (subject, False)):
        allowing = mapped.replace("CN=NAME", name)
        location = f"location / {{ {condition}\n return 204; }}"
        with nginx_in_http(cast, f"{allowing}\nserver {{ {own} {location} }}") as running:
            assert ("client_not_allowed" in asked(cast, running)) is forbidden, name


def test_nginx_s_lines_for_names_and_protocols(cast: Cast) -> None:
    own = f"ssl_certificate {cast.server[0]}; ssl_certificate_key {cast.server[1]}; location / {{ return 204; }}"
    named = line("sni", "nginx", cast).split("\n")[0].replace("NAME", "localhost")
    others = "server { listen LISTEN ssl default_server; ssl_reject_handshake on; }"
    for site, refused in (("server_name www.other.example;", True), (named, False)):
        with nginx_in_http(cast, f"{others}\nserver {{ listen LISTEN ssl; {site} {own} }}") as running:
            assert ("sni_refused" in asked(cast, running)) is refused
    for listen, refused in (("listen LISTEN ssl;", True), (line("alpn", "nginx", cast, 443).partition(" #")[0], False)):
        with nginx_in_http(cast, f"server {{ {listen} {own} }}") as running:
            assert ("no_common_alpn" in asked(cast, running, "--alpn", "h2")) is refused


# HAProxy


@contextlib.contextmanager
def haproxy(cast: Cast, bind: str, in_global: str = "", in_frontend: str = "") -> Iterator[Running]:
    """With a line ``bind`` whose port and certificate file are written as the doctor's are."""
    both = cast.write("server-and-key.pem", b"".join(path.read_bytes() for path in cast.server))
    with own_port() as port:
        words = shlex.split(bind)
        words = [*(str(both) if word == both.name else word for word in words)]
        words[1] = f"127.0.0.1:{port}"
        config = cast.write(
            "haproxy.cfg",
            f"global\n    nbthread 1\n    {in_global}\ndefaults\n    mode http\n    timeout client 2m\n"
            f"frontend tls\n    {' '.join(words)}\n    {in_frontend}\n    http-request return status 204\n".encode(),
        )
        command = [require_peer("haproxy"), "-db", "-f", str(config)]
        with listening(command, cast.directory / "haproxy.log", port) as running:
            yield running


_ASKING = "bind :443 ssl crt server-and-key.pem ca-file {} verify required"
# Where the fault is in the line of the fix.
OF_HAPROXY: dict[str, tuple[Callable[[Cast], str], str, tuple[str, ...]]] = {
    "server_asks": (lambda cast: "bind :443 ssl crt server-and-key.pem", "not_requested", ()),
    "server_trusts_client_ca": (lambda cast: _ASKING.format(cast.issuer), "client_wrong_ca", ()),
    "server_renews_crl": (
        lambda cast: f"{_ASKING.format(cast.ca)} crl-file {cast.stale_crl}",
        "client_crl_stale",
        (),
    ),
    "groups": (
        lambda cast: "bind :443 ssl crt server-and-key.pem curves P-521",
        "no_common_group",
        ("--groups", "x25519"),
    ),
    "alpn": (lambda cast: "bind :443 ssl crt server-and-key.pem alpn postgresql", "", ()),
}
OF_HAPROXY_S_DEFAULTS = {
    "versions": ("ssl-default-bind-options ssl-max-ver TLSv1.2", "no_common_version", ("--tls", "1.3")),
    "suites": ("ssl-default-bind-ciphers ECDHE-RSA-AES128-GCM-SHA256", "no_common_suite", ("--tls", "1.2")),
}


@pytest.mark.parametrize("code", OF_HAPROXY)
def test_a_line_for_haproxy(code: str, cast: Cast) -> None:
    breaking, cause, more = OF_HAPROXY[code]
    with haproxy(cast, breaking(cast)) as running:
        found = asked(cast, running, *more)
        assert cause in found or not cause, found
    with haproxy(cast, line(code, "haproxy", cast, 443)) as running:
        assert asked(cast, running, *more) - {"not_requested"} == set()


@pytest.mark.parametrize("code", OF_HAPROXY_S_DEFAULTS)
def test_a_line_for_haproxy_s_global_section(code: str, cast: Cast) -> None:
    breaking, cause, more = OF_HAPROXY_S_DEFAULTS[code]
    bind = _ASKING.format(cast.ca)
    with haproxy(cast, bind, breaking) as running:
        assert cause in asked(cast, running, *more)
    with haproxy(cast, bind, line(code, "haproxy", cast)) as running:
        assert asked(cast, running, *more) == set()


def test_haproxy_s_line_that_asks_and_requires_nothing(cast: Cast) -> None:
    with haproxy(cast, line("server_asks_at_once", "haproxy", cast, 443)) as running:
        assert asked(cast, running) == set()
        assert ask(*target(running), "--cacert", cast.ca).status == 0


def test_haproxy_s_line_that_lets_somebody_in(plain: Cast) -> None:
    cast = plain
    bind = _ASKING.format(cast.ca).replace("required", "optional")
    denying = line("server_allows_client", "haproxy", cast)
    for name, forbidden in (("nobody", True), (f"'{cast.scene.names.client}'", False)):
        with haproxy(cast, bind, in_frontend=denying.replace("NAME", name)) as running:
            found = asked(cast, running)
            assert bool(found & {"client_not_allowed", "path_forbidden"}) is forbidden, found


def test_haproxy_s_line_for_a_log(cast: Cast) -> None:
    logging = f"log stdout format raw local0 debug\n    {line('log', 'haproxy', cast)}"
    old = cast.identity("old", cast.scene.client(**cast.scene.expired()))
    with haproxy(cast, _ASKING.format(cast.ca), in_frontend=logging) as running:
        ask(*target(running), "--cacert", cast.ca, "--cert", old[0], "--key", old[1])
        assert until(lambda: "client_expired" in ask("--log", running.log()).causes), running.log()
