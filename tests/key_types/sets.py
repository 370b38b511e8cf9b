"""The set that ``handfast certs localhost --key-type KIND`` makes, for each kind."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

from handfast.cli import main
from handfast.crypto.new_keys import DEFAULT_KEY, KEY_KINDS, ML_DSA_KINDS

KINDS = (DEFAULT_KEY, *(kind for kind in KEY_KINDS if kind != DEFAULT_KEY), *ML_DSA_KINDS)
PASSWORD = "correct horse"


@dataclass(frozen=True)
class KeyedSet:
    """The files of one set: a CA, a server's and a client's certificate, all with keys of one kind."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def certificate(self, role: str) -> Path:
        return self.folder / f"{role}.pem"

    def key(self, role: str) -> Path:
        return self.folder / f"{role}.key"

    @property
    def bundle(self) -> Path:
        """The client's certificate and key as PKCS#12, under ``PASSWORD``; there is none with an ML-DSA key."""
        return self.folder / "client.p12"


def make_sets(folder: Path) -> dict[str, KeyedSet]:
    """A set of each kind, by its kind."""
    folder.mkdir(exist_ok=True)
    password = folder / "password"
    password.write_text(PASSWORD)
    made = {kind: KeyedSet(folder / kind) for kind in KINDS}
    for kind, one in made.items():
        command = ["certs", "localhost", "--key-type", kind, "--dir", str(one.folder)]
        bundle = [] if kind in ML_DSA_KINDS else ["--p12", "--p12-password-file", str(password)]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            status = main([*command, *bundle])
        if status:
            raise AssertionError(f"no set of {kind}: {status}")
    return made
