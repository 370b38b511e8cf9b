"""``--crypto-provider``: whose cryptography a command computes with."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from handfast.cli.proxy_operation import Program
from handfast.crypto import providers
from tests.cli.conftest import https_server
from tests.proxy.program import backend, get, proxying, write_files


@pytest.fixture
def not_installed(monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    providers._aws_lc.cache_clear()
    monkeypatch.setattr(metadata, "version", version)


@pytest.mark.parametrize("verb", ["connect", "doctor", "serve", "proxy", "proxy without TLS"])
def test_one_that_is_not_installed(run, pki, not_installed, verb):
    arguments = {
        "connect": ("localhost:1", *pki.trust),
        "doctor": ("localhost:1", *pki.trust),
        "serve": ("--listen", "127.0.0.1:0", *pki.server),
        "proxy": ("--from", "127.0.0.1:0", "--to", "127.0.0.1:1", *pki.server),
        "proxy without TLS": ("--from", "127.0.0.1:0", "--to", "tls://localhost:1"),
    }[verb]
    result = run(verb.split()[0], *arguments, "--crypto-provider", "aws-lc")
    assert result.is_error(2, "--crypto-provider", "needs qh3", "pip install 'handfast[aws-lc]'")


def test_one_that_is_unknown(run):
    assert run("connect", "localhost:1", "--crypto-provider", "openssl").is_error(2, "openssl", "aws-lc")


def test_a_request(run, pki):
    with https_server() as port:
        result = run("connect", f"https://localhost:{port}/", *pki.alice, "--crypto-provider", "aws-lc")
    assert result.status == 0, result.err


def test_both_ends_of_a_proxy(run, pki, monkeypatch):
    plans = []

    def serve(_self, plan, *_, **__):
        plans.append(plan)
        return 0

    monkeypatch.setattr(Program, "serve", serve)
    ends = ("--from", "127.0.0.1:0", "--to", "tls://localhost:1", "--to-cacert", pki.ca)
    assert (
        run("proxy", *pki.server, *ends, "--suites", "TLS_AES_128_GCM_SHA256", "--crypto-provider", "aws-lc").status
        == 0
    )
    (listener,) = plans[0].listeners
    clients, service = listener.tls, listener.service.backend.tls
    assert (clients.crypto_provider, service.crypto_provider) == ("aws-lc", "aws-lc")
    # The others are said of the end that faces clients.
    assert len(clients.suites) == 1 < len(service.suites)


@pytest.mark.parametrize("option", [(), ("--crypto-provider", "aws-lc")])
def test_a_process_loads_what_it_needs(tmp_path, option):
    folder = write_files(tmp_path)
    identity = ("--cert", folder / "server.pem", "--key", folder / "server.key", "--client-ca", folder / "ca.pem")
    with (
        backend() as app,
        proxying("--from", "127.0.0.1:0", "--to", app.at, *identity, *option) as proxy,
    ):
        assert get(folder, proxy.ports[0]) == "app /"
        libraries = Path(f"/proc/{proxy.process.pid}/maps").read_text()
    assert ("qh3" in libraries) == bool(option)
