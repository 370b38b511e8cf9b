"""A server whose CA nobody trusts by itself, and its CA in each of the forms in which tools want it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.bundles.tools import ENVIRONMENT
from tests.certificates import ca, other_ca, server
from tests.peers.base import require_peer
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handfast.pki.authority import CertificateAuthority


def trust_in_every_form(folder: Path, authority: CertificateAuthority) -> dict[str, dict[str, str]]:
    """By row of the page's table: the variables that say to trust this CA."""
    hashed, any_names, bundle, store = folder / "hashed", folder / "any", folder / "ca.pem", folder / "trust.p12"
    hashed.mkdir(parents=True)
    any_names.mkdir()
    bundle.write_bytes(authority.certificate_pem)
    shutil.copy(bundle, any_names / "our-ca.pem")
    shutil.copy(bundle, hashed / "our-ca.pem")
    subprocess.run([require_peer("openssl"), "rehash", hashed], check=True, capture_output=True, timeout=LIMIT)
    keytool = [require_peer("keytool"), "-importcert", "-noprompt", "-alias", "ours", "-file", str(bundle)]
    keytool += ["-keystore", str(store), "-storepass", "changeit"]
    subprocess.run(keytool, check=True, capture_output=True, timeout=LIMIT, env=ENVIRONMENT)
    # An absolute path each, as a program may have another working directory.
    paths = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HANDFAST_CACERT"), str(bundle))
    rows = {name: {name: path} for name, path in paths.items()}
    rows["SSL_CERT_DIR, names by openssl rehash"] = {"SSL_CERT_DIR": str(hashed)}
    rows["SSL_CERT_DIR, any names"] = {"SSL_CERT_DIR": str(any_names)}
    rows["NODE_EXTRA_CA_CERTS"] = {"NODE_EXTRA_CA_CERTS": str(bundle)}
    rows["NODE_OPTIONS=--use-openssl-ca and SSL_CERT_FILE"] = {
        "NODE_OPTIONS": "--use-openssl-ca",
        "SSL_CERT_FILE": str(bundle),
    }
    options = f"-Djavax.net.ssl.trustStore={store} -Djavax.net.ssl.trustStorePassword=changeit"
    rows["JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=..."] = {"JAVA_TOOL_OPTIONS": options}
    return rows


@pytest.fixture(scope="session")
def right(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    return trust_in_every_form(tmp_path_factory.mktemp("right") / "trust", ca())


@pytest.fixture(scope="session")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    return trust_in_every_form(tmp_path_factory.mktemp("wrong") / "trust", other_ca())


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[int]:
    """``handfast serve`` on a free port, with these arguments."""
    command = [sys.executable, "-m", "handfast", "serve", "--listen", "127.0.0.1:0", *arguments]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        try:
            found = re.search(r":(\d+)", process.stdout.readline())
            assert found is not None
            yield int(found[1])
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of a healthy certificate, with every name that it goes by."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "server.pem").write_bytes(server().cert_pem)
    (folder / "server.key").write_bytes(server().key_pem)
    with serving(folder, "--cert", "server.pem", "--key", "server.key") as port:
        yield f"https://localhost:{port}/"
