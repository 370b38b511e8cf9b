"""Browsers that show a client certificate to our server, each where it is installed."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from handfast.cli import main
from handfast.credentials.credentials import Credentials
from handfast.engine import ClientAuth
from handfast.registry import ProtocolVersion
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from tests import browsers, certificates
from tests.cli.conftest import https_server
from tests.interop.meeting import trusting
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from pathlib import Path

    from handfast.trust.presented import PresentedChain
    from handfast.verdict import Verdict
    from tests.conftest import Files

names = pytest.mark.parametrize("name", browsers.NAMES)
versions = pytest.mark.parametrize("version", [ProtocolVersion.TLS13, ProtocolVersion.TLS12], ids=["1.3", "1.2"])


class Noting:
    """A verifier, and whom it accepted."""

    def __init__(self, inner: PathVerifier) -> None:
        self._inner = inner
        self.accepted: list[str] = []

    def verify(self, presented: PresentedChain) -> Verdict:
        verdict = self._inner.verify(presented)
        if verdict.accepted:
            self.accepted.append(verdict.subject)
        return verdict


def visit(name: str, home: Path, verifier: PathVerifier, **settings: Any) -> tuple[str, set[str]]:
    """What a browser prints, if it does, and whom our server met."""
    noting = Noting(verifier)
    with https_server(ClientAuth.REQUIRE_AND_VERIFY, verifier=noting, **settings) as port:
        command = browsers.command(name, home, f"https://localhost:{port}/")
        environment = {**os.environ, "HOME": str(home)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT)
    return done.stdout, set(noting.accepted)


@names
@versions
def test_a_client_certificate(name: str, version: int, tmp_path: Path, files: Files) -> None:
    alice = files.identity(certificates.client())
    browsers.give(name, tmp_path, files.roots(certificates.ca()), alice["certificate"], alice["key"])
    page, accepted = visit(name, tmp_path, trusting(), versions=(version,))
    assert f"You are CN={certificates.CLIENT_NAME}" in page or (tmp_path / "page.png").exists()
    assert accepted == {f"CN={certificates.CLIENT_NAME},O=handfast"}


@names
@pytest.mark.parametrize("intermediate", [(), ("--intermediate", "issuing")], ids=["root", "intermediate"])
def test_both_sides_have_the_set_of_one_command(name: str, intermediate: tuple[str, ...], tmp_path: Path) -> None:
    """The browser trusts its CA and shows its client certificate, and the server has its own and asks for that."""
    pki = tmp_path / "pki"
    assert main(["certs", "localhost", *intermediate, "--dir", str(pki)]) == 0
    browsers.give(name, tmp_path, pki / "ca.pem", pki / "client.pem", pki / "client.key")
    own, roots = Credentials.from_files(pki / "server.pem", pki / "server.key"), Roots.from_file(pki / "ca.pem")
    page, accepted = visit(name, tmp_path, PathVerifier(roots), credentials=[own], ca_names=roots.names())
    assert "You are CN=client" in page or (tmp_path / "page.png").exists()
    assert accepted == {"CN=client,O=handfast"}
