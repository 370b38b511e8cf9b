"""The doctor's lines for Envoy, each put into a real Envoy that has the fault: then it works.

`make doctor-matrix` has Envoy. Its texts are in ``test_written``, its rows of the fault table in ``test_more_servers``.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from handfast.doctor.catalogue import fixes
from tests.doctor.envoy import Lines, before, certificates, of_setting, serving
from tests.doctor.matrix import Cast, ask, target
from tests.doctor.servers import s_server
from tests.doctor.written import by_command
from tests.peers.base import require_peer

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(
    os.environ.get("HANDFAST_DOCTOR") != "1", reason="it takes a minute: make doctor-matrix"
)


def fix(code: str, cast: Cast, **names: object) -> str:
    """The doctor's line, with the files of the cast in it."""
    certificate, key = cast.identity("client", cast.good)
    known = {"cert": certificate, "key": key, "cacert": cast.ca, "client_ca": cast.ca, "crl": cast.crl, **names}
    known |= {"server_cert": cast.server[0], "server_key": cast.server[1]}
    return fixes()[code].filled({one: str(value) for one, value in known.items()})["envoy"]


def _other_ca(cast: Cast) -> str:
    return f"validation_context: {{trusted_ca: {{filename: {cast.issuer}}}}}"


# A fix, what is wrong before it, and the cause that the doctor has among its own.
OF_SERVERS: dict[str, tuple[Callable[[Cast, Lines], Lines], str]] = {
    "server_asks": (lambda cast, lines: Lines(common=lines.common[:1]), "not_requested"),
    "server_asks_at_once": (lambda cast, lines: replace(lines, context=()), ""),
    "server_trusts_client_ca": (lambda cast, lines: lines.with_fix(_other_ca(cast)), "client_wrong_ca"),
    "server_renews_crl": (
        lambda cast, lines: lines.with_fix(
            f"validation_context: {{trusted_ca: {{filename: {cast.ca}}}, crl: {{filename: {cast.stale_crl}}}}}"
        ),
        "client_crl_stale",
    ),
    "versions": (
        lambda cast, lines: lines.with_fix("tls_params: {tls_maximum_protocol_version: TLSv1_2}"),
        "no_common_version",
    ),
    "suites": (
        lambda cast, lines: lines.with_fix(
            "tls_params: {tls_maximum_protocol_version: TLSv1_2, cipher_suites: [ECDHE-RSA-AES128-GCM-SHA256]}"
        ),
        "no_common_suite",
    ),
    "groups": (lambda cast, lines: lines.with_fix("tls_params: {ecdh_curves: [P-521]}"), "no_common_group"),
    "alpn": (lambda cast, lines: lines.with_fix("alpn_protocols: [postgresql]"), ""),
    "sni": (
        lambda cast, lines: replace(lines, match="filter_chain_match: {server_names: [www.other.example]}"),
        "closed_in_handshake",
    ),
    "server_allows_client": (
        lambda cast, lines: lines.with_fix("principals: [{authenticated: {principal_name: {exact: other}}}]"),
        "client_not_allowed",
    ),
}
# What our client must be restricted to for the fault to be one.
_OURS = {"versions": ("--tls", "1.3"), "suites": ("--tls", "1.2"), "groups": ("--groups", "x25519,secp256r1")}


@pytest.mark.parametrize("name", OF_SERVERS)
def test_a_line_for_a_server(name: str, cast: Cast) -> None:
    breaking, cause = OF_SERVERS[name]
    setting = cast.setting("1.3")
    lines = of_setting(setting)
    # Without a restriction of versions, unless the fault brings one.
    broken = breaking(cast, replace(lines, common=tuple(one for one in lines.common if "tls_params" not in one)))
    certificate, key = cast.identity("client", cast.good)
    asking = ("--cacert", cast.ca, "--cert", certificate, "--key", key, *_OURS.get(name, ()))
    with serving(setting, broken) as running:
        found = ask(*target(running), *asking)
    assert (cause in found.causes) if cause else found.status == 0, found.document
    principal = f'"{_principal(cast)}"'
    line = fix(name, cast, name="localhost").replace("NAME", principal)
    # A restriction that is the fault is not what this line is about.
    with serving(setting, broken.with_fix(line)) as running:
        mended = ask(*target(running), *asking)
    assert mended.status == 0, (line, mended.document)


def _principal(cast: Cast) -> str:
    """Whom Envoy takes the good client for: its first URI, else its first DNS name, else its subject."""
    return cast.good.certificate.subject.rfc4514_string()


OF_CLIENTS: dict[str, Callable[[Cast, Lines], Lines]] = {
    "client_shows_certificate": lambda cast, lines: replace(lines, common=lines.common[1:]),
    "client_trusts_server_ca": lambda cast, lines: lines.with_fix(_other_ca(cast)),
    "client_sends_chain": lambda cast, lines: lines.with_fix(_leaf_alone(cast)),
    "name": lambda cast, lines: replace(lines, context=("sni: www.other.example", lines.context[1])),
}


def _leaf_alone(cast: Cast) -> str:
    """The client of the intermediate, whose chain is in client-chain.pem."""
    issued = cast.scene.client(cast.scene.intermediate)
    cast.write("client-chain.pem", issued.cert_pem)
    leaf = issued.cert_pem.split(b"-----END CERTIFICATE-----")[0] + b"-----END CERTIFICATE-----\n"
    return certificates(cast.write("leaf.pem", leaf), cast.write("leaf.key", issued.key_pem))


@pytest.mark.parametrize("name", OF_CLIENTS)
def test_a_line_for_a_client(name: str, cast: Cast) -> None:
    """An Envoy before a server that requires a certificate, and knows one name."""
    setting = cast.setting("1.3")
    trusting = f"validation_context: {{trusted_ca: {{filename: {cast.ca}}}}}"
    good = Lines(
        ("sni: localhost", "auto_sni_san_validation: true"),
        (certificates(*cast.identity("client", cast.good)), trusting, fix("versions", cast)),
    )
    broken = OF_CLIENTS[name](cast, good)
    line = fix(name, cast, own_name="localhost").replace("client-chain.pem", str(cast.directory / "client-chain.pem"))
    if name == "client_sends_chain":
        line = line.replace(str(cast.directory / "client.key"), str(cast.directory / "leaf.key"))
    with s_server(setting) as server:
        assert "upstream connect error" in _fetched(cast, broken, server.port)
        page = _fetched(cast, broken.with_fix(line), server.port)
    assert "upstream connect error" not in page, (line, page)
    assert "s_server" in page


def _fetched(cast: Cast, lines: Lines, port: int) -> str:
    with before(cast.setting(""), lines, port) as running:
        return by_command(require_peer("curl"), "-sS", "--noproxy", "*", f"http://127.0.0.1:{running.port}/")
