"""Browsers that show a client certificate to our server. They are large: where one is missing nothing is demanded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from handfast.cli import main
from handfast.credentials.credentials import Credentials
from handfast.engine import ClientAuth
from handfast.registry import ProtocolVersion
from tests import certificates
from tests.cli.conftest import https_server
from tests.interop.meeting import trusting
from tests.peers import require_peer

if TYPE_CHECKING:
    from pathlib import Path

    from handfast.trust.presented import PresentedChain
    from handfast.verdict import Verdict
    from tests.conftest import Files

LIMIT = 90.0
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


def database(directory: Path, files: Files) -> None:
    """A certificate database of NSS with Alice's certificate and our CA."""
    directory.mkdir(parents=True)
    alice = files.identity(certificates.client())
    store, bundle = f"sql:{directory}", directory / "alice.p12"
    for command in (
        ["certutil", "-N", "-d", store, "--empty-password"],
        ["certutil", "-A", "-d", store, "-n", "ca", "-t", "CT,C,C", "-i", str(files.roots(certificates.ca()))],
        ["openssl", "pkcs12", "-export", "-in", str(alice["certificate"]), "-inkey", str(alice["key"]), "-out",
            str(bundle), "-passout", "pass:", "-name", "alice"],
        ["pk12util", "-i", str(bundle), "-d", store, "-W", "", "-K", ""],
    ):  # fmt: skip
        subprocess.run([require_peer(command[0]), *command[1:]], check=True, capture_output=True, timeout=LIMIT)


class Noting:
    """The verifier of all healthy certificates, and whom it accepted."""

    def __init__(self) -> None:
        self._inner = trusting()
        self.accepted: list[str] = []

    def verify(self, presented: PresentedChain) -> Verdict:
        verdict = self._inner.verify(presented)
        if verdict.accepted:
            self.accepted.append(verdict.subject)
        return verdict


def visit(command: list[str], home: Path, version: int) -> tuple[str, list[str]]:
    """What a browser prints, and whom our server met; the last argument of the command gets the port."""
    verifier = Noting()
    with https_server(ClientAuth.REQUIRE_AND_VERIFY, verifier=verifier, versions=(version,)) as port:
        done = subprocess.run(
            [*command[:-1], command[-1].format(port=port)],
            env={**os.environ, "HOME": str(home)}, capture_output=True, text=True, timeout=LIMIT,
        )  # fmt: skip
    return done.stdout, verifier.accepted


@versions
def test_chromium(version: int, tmp_path: Path, files: Files) -> None:
    program = browser("chromium")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("Chromium's policies need a mount namespace, and that needs root")
    database(tmp_path / ".pki" / "nssdb", files)
    policies = tmp_path / "etc" / "policies" / "managed"
    policies.mkdir(parents=True)
    choice = json.dumps({"pattern": "https://localhost", "filter": {}})
    (policies / "choice.json").write_text(json.dumps({"AutoSelectCertificateForUrls": [choice]}))
    command = ["unshare", "--mount", "sh", "-c", CHROMIUM, str(tmp_path / "etc"), program]
    command += ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile", "--dump-dom"]
    page, accepted = visit([*command, "https://localhost:{port}/"], tmp_path, version)
    assert f"You are CN={certificates.CLIENT_NAME}" in page
    assert set(accepted) == {f"CN={certificates.CLIENT_NAME},O=handfast"}


def test_chromium_trusts_the_set_of_one_command(tmp_path: Path) -> None:
    program = browser("chromium")
    pki, store = tmp_path / "pki", f"sql:{tmp_path}/.pki/nssdb"
    assert main(["certs", "localhost", "--intermediate", "issuing", "--dir", str(pki)]) == 0
    (tmp_path / ".pki" / "nssdb").mkdir(parents=True)
    for command in (
        ["certutil", "-N", "-d", store, "--empty-password"],
        ["certutil", "-A", "-d", store, "-n", "ca", "-t", "C,,", "-i", str(pki / "ca.pem")],
    ):
        subprocess.run([require_peer(command[0]), *command[1:]], check=True, capture_output=True, timeout=LIMIT)
    own = Credentials.from_files(pki / "server.pem", pki / "server.key")
    command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    with https_server(ClientAuth.NONE, credentials=[own]) as port:
        done = subprocess.run(
            [*command, "--dump-dom", f"https://localhost:{port}/"],
            env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=LIMIT,
        )  # fmt: skip
    assert "You were not asked for a certificate" in done.stdout, done.stdout


@versions
def test_firefox(version: int, tmp_path: Path, files: Files) -> None:
    program = browser("firefox-esr", "firefox")
    profile = tmp_path / "profile"
    database(profile, files)
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in FIREFOX.items()]
    (profile / "user.js").write_text("".join(lines))
    command = [program, "--headless", "--no-remote", "--profile", str(profile)]
    command += ["--screenshot", str(tmp_path / "page.png"), "https://localhost:{port}/"]
    _, accepted = visit(command, tmp_path, version)
    assert (tmp_path / "page.png").exists()
    assert set(accepted) == {f"CN={certificates.CLIENT_NAME},O=handfast"}
