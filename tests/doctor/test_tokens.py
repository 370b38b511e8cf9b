"""A client's key in a token without RSA-PSS: what the doctor says of a real one, and what its fixes come to."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from handfast.crypto import new_keys
from handfast.doctor.catalogue import fixes
from tests.doctor.matrix import Cast, target
from tests.doctor.servers import s_server
from tests.faults.meeting import new_seed
from tests.peers.base import require_peer
from tests.softhsm import Tokens
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from pathlib import Path

# As smart cards have it that know PKCS #1 v1.5 only, and ECDSA.
_LIMITED = "slots.mechanisms = CKM_RSA_PKCS,CKM_SHA256_RSA_PKCS,CKM_ECDSA\n"


class Held:
    """A client whose key of this kind is in such a token."""

    def __init__(self, directory: Path, kind: str) -> None:
        pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
        self.cast = Cast(directory, new_seed())
        tokens = Tokens(directory)
        tokens.make("card")
        issued = self.cast.scene.client(key=new_keys.generate_private_key(kind))
        self.certificate = self.cast.identity("held", issued)[0]
        self.module = tokens.module
        self.key = tokens.uri(tokens.put("card", "mine", issued))
        self.environment = {**os.environ, **tokens.configured("limited.conf", _LIMITED)}

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        own = ("--cacert", self.cast.ca, "--cert", self.certificate, "--key", self.key)
        command = [sys.executable, "-m", "handfast", *map(str, (*arguments, *own))]
        return subprocess.run(command, capture_output=True, text=True, env=self.environment, timeout=LIMIT, check=False)

    def causes(self, *arguments: object) -> list[str]:
        document = json.loads(self.run("doctor", *arguments, "--json").stdout)
        return [cause["code"] for finding in document["findings"] for cause in finding["causes"]]


def test_a_token_without_pss_is_named_and_what_helps_does(tmp_path: Path) -> None:
    held = Held(tmp_path, "rsa-2048")
    assert held.causes() == ["token_mechanism"]
    with s_server(held.cast.setting("1.3")) as running:
        assert held.causes(*target(running)) == ["token_mechanism"]
    command = fixes()["token"].filled({})["command"].replace("MODULE", held.module).replace("TOKEN", "card")
    program, *words = shlex.split(command, comments=True)
    listed = subprocess.run(
        [require_peer(program), *words], capture_output=True, text=True, env=held.environment, timeout=LIMIT, check=True
    )
    assert "CKM_ECDSA" in listed.stdout
    assert "PSS" not in listed.stdout


def test_an_ecdsa_key_in_the_same_token_works(tmp_path: Path) -> None:
    """The other half of the fix."""
    held = Held(tmp_path, "ecdsa-p256")
    with s_server(held.cast.setting("1.3")) as running:
        assert held.causes(*target(running)) == []
