"""Browsers that show a client certificate to our server. They are large: where one is missing nothing is demanded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from handfast.cli import main
from handfast.credentials.credentials import Credentials
from handfast.engine import ClientAuth
from handfast.registry import ProtocolVersion
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from tests import certificates
from tests.cli.conftest import https_server
from tests.interop.meeting import trusting
from tests.peers import require_peer

if TYPE_CHECKING:
    from pathlib import Path

    from handfast.trust.presented import PresentedChain
    from handfast.verdict import Verdict
    from tests.conftest import Files

LIMIT = 30.0
FIREFOX = {
    "security.default_personal_cert": "Select Automatically",
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.enabled": False,
}
# Chromium has its policies in one place for all, so the test's are put there for this process alone.
CHROMIUM = 'mount --bind "$0" /etc/chromium && exec "$@"'

versions = pytest.mark.parametrize("version", [ProtocolVersion.TLS13, ProtocolVersion.TLS12], ids=["1.3", "1.2"])


def browser(*names: str) -> str:
    """The path of the first of these that is there, or the end of the running test."""
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"{names[0]} is not installed")
    return found


def database(directory: Path, trust: Path, certificate: Path, key: Path) -> None:
    """A certificate database of NSS with a CA, trusted for servers, and a client's certificate."""
    directory.mkdir(parents=True)
    store, bundle = f"sql:{directory}", directory / "client.p12"
    for command in (
        ["certutil", "-N", "-d", store, "--empty-password"],
        ["certutil", "-A", "-d", store, "-n", "ca", "-t", "C,,", "-i", str(trust)],
        ["openssl", "pkcs12", "-export", "-in", str(certificate), "-inkey", str(key), "-out", str(bundle),
            "-passout", "pass:", "-name", "client"],
        ["pk12util", "-i", str(bundle), "-d", store, "-W", "", "-K", ""],
    ):  # fmt: skip
        subprocess.run([require_peer(command[0]), *command[1:]], check=True, capture_output=True, timeout=LIMIT)


def alices(directory: Path, files: Files) -> None:
    """A database with Alice's certificate and our CA."""
    alice = files.identity(certificates.client())
    database(directory, files.roots(certificates.ca()), alice["certificate"], alice["key"])


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


def visit(command: list[str], home: Path, verifier: Noting, **settings: Any) -> tuple[str, list[str]]:
    """What a browser prints, and whom our server met; the last argument of the command gets the port."""
    with https_server(ClientAuth.REQUIRE_AND_VERIFY, verifier=verifier, **settings) as port:
        done = subprocess.run(
            [*command[:-1], command[-1].format(port=port)],
            env={**os.environ, "HOME": str(home)}, capture_output=True, text=True, timeout=LIMIT,
        )  # fmt: skip
    return done.stdout, verifier.accepted


def chromium(home: Path) -> list[str]:
    """Headless Chromium, which shows a certificate without asking; or the end of the running test."""
    program = browser("chromium")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("Chromium's policies need a mount namespace, and that needs root")
    policies = home / "etc" / "policies" / "managed"
    policies.mkdir(parents=True)
    choice = json.dumps({"pattern": "https://localhost", "filter": {}})
    (policies / "choice.json").write_text(json.dumps({"AutoSelectCertificateForUrls": [choice]}))
    command = ["unshare", "--mount", "sh", "-c", CHROMIUM, str(home / "etc"), program]
    command += ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={home}/profile", "--dump-dom"]
    return [*command, "https://localhost:{port}/"]


def firefox(profile: Path, picture: Path) -> list[str]:
    """Headless Firefox, which shows a certificate without asking; or the end of the running test."""
    program = browser("firefox-esr", "firefox")
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in FIREFOX.items()]
    (profile / "user.js").write_text("".join(lines))
    command = [program, "--headless", "--no-remote", "--profile", str(profile)]
    return [*command, "--screenshot", str(picture), "https://localhost:{port}/"]


@versions
def test_chromium(version: int, tmp_path: Path, files: Files) -> None:
    command = chromium(tmp_path)
    alices(tmp_path / ".pki" / "nssdb", files)
    page, accepted = visit(command, tmp_path, Noting(trusting()), versions=(version,))
    assert f"You are CN={certificates.CLIENT_NAME}" in page
    assert set(accepted) == {f"CN={certificates.CLIENT_NAME},O=handfast"}


@versions
def test_firefox(version: int, tmp_path: Path, files: Files) -> None:
    alices(tmp_path / "profile", files)
    _, accepted = visit(
        firefox(tmp_path / "profile", tmp_path / "page.png"), tmp_path, Noting(trusting()), versions=(version,)
    )
    assert (tmp_path / "page.png").exists()
    assert set(accepted) == {f"CN={certificates.CLIENT_NAME},O=handfast"}


@pytest.mark.parametrize("intermediate", [(), ("--intermediate", "issuing")], ids=["root", "intermediate"])
@pytest.mark.parametrize("name", ["chromium", "firefox"])
def test_both_sides_have_the_set_of_one_command(name: str, intermediate: tuple[str, ...], tmp_path: Path) -> None:
    """The browser trusts its CA and shows its client certificate, and the server has its own and asks for that."""
    pki, home = tmp_path / "pki", tmp_path / "home"
    home.mkdir()
    assert main(["certs", "localhost", *intermediate, "--dir", str(pki)]) == 0
    if name == "chromium":
        command = chromium(home)
        database(home / ".pki" / "nssdb", pki / "ca.pem", pki / "client.pem", pki / "client.key")
    else:
        database(home / "profile", pki / "ca.pem", pki / "client.pem", pki / "client.key")
        command = firefox(home / "profile", tmp_path / "page.png")
    own = Credentials.from_files(pki / "server.pem", pki / "server.key")
    roots = Roots.from_file(pki / "ca.pem")
    page, accepted = visit(command, home, Noting(PathVerifier(roots)), credentials=[own], ca_names=roots.names())
    assert [subject.partition(",")[0] for subject in dict.fromkeys(accepted)] == ["CN=client"]
    assert "You are CN=client" in page or (tmp_path / "page.png").exists()
