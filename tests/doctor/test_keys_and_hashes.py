"""Ed25519 and SHA-1 at servers that refuse them, and at those that do not: `make doctor-matrix`."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from handfast.crypto import new_keys
from tests.doctor.matrix import Cast, ask, target
from tests.doctor.more_servers import MORE_SERVERS
from tests.doctor.servers import SERVERS
from tests.lint.broken import key_pem, pem, rsa_ca
from tests.lint.broken import server as made_for
from tests.trust.crafting import CLIENT, eku, rsa_key, with_sha1

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.skipif(os.environ.get("HANDFAST_DOCTOR") != "1", reason="slow: make doctor-matrix")
ALL = SERVERS | {name: MORE_SERVERS[name] for name in ("jsse", "envoy", "grpc")}
# BoringSSL accepts no Ed25519 by itself.
WITHOUT_ED25519 = {"envoy", "grpc"}


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("name", ALL)
def test_a_client_with_an_ed25519_key(name: str, version: str, cast: Cast) -> None:
    """Where the server takes it there is nothing to say; where it does not, its list of schemes decides."""
    certificate, key = cast.identity("edwards", cast.scene.client(key=new_keys.generate_private_key("ed25519")))
    with ALL[name](cast.setting(version)) as running:
        files = ("--cacert", cast.ca, "--cert", certificate, "--key", key)
        answer = ask(*target(running), *files, "--tls", version)
    wanted = (("client_scheme",),) if name in WITHOUT_ED25519 else ()
    assert answer.findings == wanted, answer.document


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("name", ALL)
def test_a_client_whose_certificate_is_signed_with_sha_1(name: str, version: str, cast: Cast) -> None:
    """Whether or not this server refuses it, the certificate has the fault, and no other is named beside it."""
    made = with_sha1(made_for(rsa_ca(), eku(CLIENT)), rsa_key())
    certificate, key = cast.write("sha1.pem", pem(made.der)), cast.write("sha1.key", key_pem(made.key))
    ca = cast.write("rsa-ca.pem", pem(rsa_ca().der))
    with ALL[name](replace(cast.setting(version), client_ca=ca)) as running:
        files = ("--cacert", cast.ca, "--cert", certificate, "--key", key, "--client-ca", ca)
        answer = ask(*target(running), *files, "--tls", version)
    assert answer.findings == (("client_weak_hash",),), answer.document
