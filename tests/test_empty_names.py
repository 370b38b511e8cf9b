"""An empty name names no file: it is not taken for the current directory, whatever lies there."""

from __future__ import annotations

import pytest

from handfast.credentials.credentials import Credentials
from handfast.errors import ConfigError
from handfast.io.sslcontext.loading import roots
from handfast.pki.directory import write_files
from handfast.reload.handles import ReloadingCredentials, ReloadingVerifier
from handfast.trust.first_use import FirstUse
from handfast.trust.revocation.crl_store import Crls
from handfast.trust.roots import Roots
from tests import certificates


@pytest.mark.parametrize(
    "made",
    [
        lambda: Roots.from_path(""),
        lambda: Roots.from_directory(""),
        lambda: Roots.from_file(""),
        lambda: Crls.from_path(""),
        lambda: Credentials.from_files("", "server.key"),
        lambda: Credentials.from_files("server.pem", ""),
        lambda: ReloadingCredentials.from_files("", "server.key"),
        lambda: ReloadingVerifier.from_files(""),
        lambda: FirstUse(""),
        lambda: write_files("", {"new.pem": b""}),
        lambda: roots(""),
    ],
)
def test_an_empty_name_is_refused(tmp_path, monkeypatch, made):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ca.pem").write_bytes(certificates.ca().certificate_pem)
    (tmp_path / "server.pem").write_bytes(certificates.server().cert_pem)
    (tmp_path / "server.key").write_bytes(certificates.server().key_pem)
    with pytest.raises(ConfigError, match="the name of a file or directory is empty"):
        made()
    assert len(list(tmp_path.iterdir())) == 3
