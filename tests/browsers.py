"""Headless Chromium and Firefox, which show a client's certificate without asking. They are large: none is demanded."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.peers import require_peer
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from pathlib import Path

NAMES = {"chromium": ("chromium",), "firefox": ("firefox-esr", "firefox")}
_PREFERENCES = {
    "security.default_personal_cert": "Select Automatically",
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.enabled": False,
}
# Chromium has its policies in one place for all, so these are put there for this process alone.
_WITH_POLICIES = 'mount --bind "$0" /etc/chromium && exec "$@"'


def executable(name: str) -> str:
    """The path of a browser's program, or the end of the running test."""
    found = next((path for program in NAMES[name] if (path := shutil.which(program))), None)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def database(name: str, home: Path) -> Path:
    """Where a browser with this home has its certificates; the database is made, and empty."""
    directory = {"chromium": home / ".pki" / "nssdb", "firefox": home / "firefox"}[name]
    directory.mkdir(parents=True)
    tell_database(directory, "certutil", "-N", "--empty-password")
    return directory


def tell_database(directory: Path, tool: str, *arguments: object, check: bool = True) -> None:
    """Run one of NSS's tools on a database."""
    command = [require_peer(tool), "-d", f"sql:{directory}", *map(str, arguments)]
    subprocess.run(command, check=check, capture_output=True, stdin=subprocess.DEVNULL, timeout=LIMIT)


def give(name: str, home: Path, trust: Path, certificate: Path, key: Path) -> None:
    """A browser a CA, trusted for servers, and a client's certificate."""
    executable(name)
    directory, bundle = database(name, home), home / "client.p12"
    files = map(str, ("-in", certificate, "-inkey", key, "-out", bundle))
    export = [require_peer("openssl"), "pkcs12", "-export", *files, "-passout", "pass:", "-name", "client"]
    subprocess.run(export, check=True, capture_output=True, timeout=LIMIT)
    tell_database(directory, "certutil", "-A", "-n", "ca", "-t", "C,,", "-i", trust)
    tell_database(directory, "pk12util", "-i", bundle, "-W", "", "-K", "")


def command(name: str, home: Path, url: str) -> list[str]:
    """What opens a page; to be run with ``HOME`` as told. Chromium prints it, Firefox writes home / page.png."""
    if name == "chromium":
        return _chromium(home, url)
    lines = [f"user_pref({json.dumps(key)}, {json.dumps(value)});\n" for key, value in _PREFERENCES.items()]
    (home / "firefox" / "user.js").write_text("".join(lines))
    options = ["--headless", "--no-remote", "--profile", str(home / "firefox"), "--screenshot", str(home / "page.png")]
    return [executable(name), *options, url]


def _chromium(home: Path, url: str) -> list[str]:
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("Chromium's policies need a mount namespace, and that needs root")
    policies = home / "etc" / "policies" / "managed"
    policies.mkdir(parents=True)
    choice = json.dumps({"pattern": "https://localhost", "filter": {}})
    (policies / "choice.json").write_text(json.dumps({"AutoSelectCertificateForUrls": [choice]}))
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={home}/profile", "--dump-dom"]
    return ["unshare", "--mount", "sh", "-c", _WITH_POLICIES, str(home / "etc"), executable("chromium"), *options, url]
