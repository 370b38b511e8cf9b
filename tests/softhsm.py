"""SoftHSM2 tokens for tests: a directory of their own, and keys that belong to certificates of the tests' CA."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.certificates import require_peer
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from handfast.pki.authority import Issued

PIN = "1234"
_PLACES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)


class Tokens:
    """Tokens below a directory. ``module`` is SoftHSM's library, ``environment`` what a process needs to see them."""

    def __init__(self, directory: Path) -> None:
        require_peer("softhsm2-util")
        found = [place for place in _PLACES if Path(place).exists()]
        if not found:
            pytest.skip("SoftHSM's library is not at any of the usual places")
        self.module = found[0]
        self.directory = directory
        (directory / "tokens").mkdir()
        self.environment = self.configured()
        self._keys = 0

    def configured(self, name: str = "softhsm2.conf", extra: str = "") -> dict[str, str]:
        """An environment in which SoftHSM has these tokens and the extra settings."""
        config = self.directory / name
        config.write_text(f"directories.tokendir = {self.directory / 'tokens'}\nlog.level = ERROR\n{extra}")
        return {"SOFTHSM2_CONF": str(config)}

    def make(self, label: str) -> None:
        """A token."""
        self._run("--init-token", "--free", "--label", label, "--so-pin", "5678")

    def put(self, token: str, label: str, issued: Issued) -> str:
        """Put a certificate's key into a token; returns the URI's path that names it."""
        self._keys += 1
        key = self.directory / "key.pem"
        key.write_bytes(issued.key_pem)
        self._run("--import", str(key), "--token", token, "--label", label, "--id", f"{self._keys:04x}")
        key.unlink()
        return f"pkcs11:token={token};object={label}"

    def uri(self, path: str, pin: str = PIN) -> str:
        """The whole URI."""
        return f"{path}?module-path={self.module}&pin-value={pin}"

    def _run(self, *arguments: str) -> None:
        command = ["softhsm2-util", *arguments, "--pin", PIN]
        subprocess.run(command, env={**os.environ, **self.environment}, check=True, capture_output=True, timeout=LIMIT)
