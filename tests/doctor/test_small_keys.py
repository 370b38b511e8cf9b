"""RSA keys of 1024 bits that are met in a connection, and not in a file: at a server, at a client, at a CA."""

from __future__ import annotations

import contextlib
import socket
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from handfast.pki.authority import CA_USAGE, CertificateAuthority
from handfast.pki.fault_scene import weak_key
from handfast.pki.template import sign
from tests.doctor.matrix import Cast, ask, asked, target
from tests.doctor.servers import SERVERS, Running, Setting, nginx
from tests.doctor.written import logged
from tests.peers.base import REQUEST
from tests.peers.python_ssl import VERSIONS
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from pathlib import Path

# What an OpenSSL is told so that it uses keys of any size.
ALL_KEYS = "DEFAULT@SECLEVEL=0"
AT = [(name, version) for name in ("nginx", "s_server", "go") for version in ("1.2", "1.3")]


def serving(name: str, setting: Setting) -> contextlib.AbstractContextManager[Running]:
    """A server that takes small keys of its own. s_server and Go's do by themselves."""
    return nginx(setting, f"ssl_ciphers {ALL_KEYS}") if name == "nginx" else SERVERS[name](setting)


def fetch(port: int, cast: Cast, files: tuple[Path, Path], *, version: str, level: str = ALL_KEYS) -> None:
    """A request by Python's ssl, which sends the certificate that it is told to."""
    context = ssl.create_default_context(cafile=cast.ca)
    context.set_ciphers(level)
    context.minimum_version = context.maximum_version = VERSIONS[version]
    context.load_cert_chain(*files)
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", port), LIMIT) as tcp,
        context.wrap_socket(tcp, server_hostname="localhost") as tls,
    ):
        tls.sendall(REQUEST)
        tls.recv(4096)


def small_ca(cast: Cast) -> CertificateAuthority:
    """A root that has a small key."""
    key = weak_key()
    changed = {"key": key, "key_usage": CA_USAGE, "is_ca": True, "authority_key_identifier": False}
    template = replace(cast.scene.leaf("small root"), **changed)  # type: ignore[arg-type]
    return CertificateAuthority(sign(template, template.subject, key), key)


@pytest.mark.parametrize(("name", "version"), AT)
def test_a_server_with_a_small_key(name: str, version: str, cast: Cast) -> None:
    """The client's side sees it in the connection; the server's, in what its log says of a client and in its file."""
    small = cast.identity("small", cast.scene.server(key=weak_key()))
    with serving(name, cast.setting(version, small)) as running:
        alone = asked(cast, running, "--tls", version)
        fetch(running.port, cast, cast.identity("client", cast.good), version=version, level="DEFAULT@SECLEVEL=2")
        log = logged(running, "server_weak_key")
    assert alone == {"server_weak_key"}
    told = ask("--log", log, "--server-cert", small[0])
    assert ("server_weak_key",) in told.findings, (log, told.document)


@pytest.mark.parametrize(("name", "version"), [("nginx", "1.3"), ("nginx", "1.2"), ("node", "1.3"), ("python", "1.3")])
def test_a_client_with_a_small_key(name: str, version: str, cast: Cast) -> None:
    """A client that sends it nevertheless: the server's log names it."""
    small = cast.identity("small", cast.scene.client(key=weak_key()))
    with SERVERS[name](cast.setting(version)) as running:
        fetch(running.port, cast, small, version=version)
        log = logged(running, "client_weak_key")
    assert "client_weak_key" in ask("--log", log).causes, log
    both = ask("--log", log, "--cert", small[0], "--client-ca", cast.ca)
    assert both.decides("client_weak_key"), both.document


@pytest.mark.parametrize(("name", "version"), [("nginx", "1.3"), ("s_server", "1.2"), ("go", "1.3")])
def test_a_server_whose_ca_has_a_small_key(name: str, version: str, cast: Cast) -> None:
    ca = small_ca(cast)
    below = cast.identity("below", cast.scene.server(ca))
    certificate, key = cast.identity("client", cast.good)
    files = ("--cacert", cast.write("small-ca.pem", ca.certificate_pem), "--cert", certificate, "--key", key)
    with SERVERS[name](cast.setting(version, below)) as running:
        answer = ask(*target(running), *files)
    assert answer.findings == (("server_weak_key",),), answer.document


@pytest.mark.parametrize(("name", "version"), [("nginx", "1.3"), ("python", "1.2"), ("node", "1.3")])
def test_a_client_whose_ca_has_a_small_key(name: str, version: str, cast: Cast) -> None:
    """Its own key is large enough, so it is shown; the server refuses the CA's."""
    ca = small_ca(cast)
    certificate, key = cast.identity("below", cast.scene.client(ca))
    trusted = cast.write("small-ca.pem", ca.certificate_pem)
    files = ("--cacert", cast.ca, "--cert", certificate, "--key", key)
    with SERVERS[name](replace(cast.setting(version), client_ca=trusted)) as running:
        alone = ask(*target(running), *files)
        log = cast.write("the.log", logged(running, "" if name == "node" else "client_weak_key").encode())
        both = ask(*target(running), *files, "--client-ca", trusted)
        with_log = ask(*target(running), *files, "--log", log)
    assert "client_weak_key" in alone.causes, alone.document
    assert both.decides("client_weak_key"), both.document
    if name != "node":
        # Node says only that a client came to nothing.
        assert ("client_weak_key",) in with_log.findings, with_log.document
