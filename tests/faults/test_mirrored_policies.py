"""The mirrored cases under the policies that follow OpenSSL, beside OpenSSL. The table's own: tests/trust."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from handfast.pki.fault_scene import Scene
from handfast.pki.faults import Role
from handfast.trust.presented import PresentedChain
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from handfast.x509.purpose import Purpose
from tests.trust.crafting import NOW
from tests.trust.test_against_openssl import openssl_accepts

from .meeting import new_seed, random_names
from .test_faults_on_the_wire import MIRRORED

if TYPE_CHECKING:
    from pathlib import Path

CLIENTS = [name for name, mirrored in MIRRORED.items() if mirrored.role is Role.CLIENT]


@pytest.mark.parametrize("policy", ["openssl", "strict"])
@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_certificate_is_judged_as_openssl_does(name: str, policy: str, tmp_path: Path) -> None:
    made = MIRRORED[name].build(Scene(random_names(new_seed()), NOW))
    assert made.client is not None
    presented = PresentedChain(chain=made.client.chain, purpose=Purpose.CLIENT, server_name=None, at=NOW)
    verdict = PathVerifier(Roots.from_der(made.roots), policy=policy).verify(presented)
    options = ["-purpose", "sslclient", *(["-x509_strict"] if policy == "strict" else [])]
    assert verdict.accepted is openssl_accepts(tmp_path, made.client.chain, made.roots, *options), verdict
