"""The same in TLS 1.2, where a server signs its key exchange, and a client all messages so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from handfast import ClientAuth
from handfast.errors import LocalFailure, PeerRejected
from handfast.registry import ProtocolVersion
from handfast.roles import Role
from tests import certificates
from tests.aio.support import client_config, server_config
from tests.keyholder.support import Running, close, held, remote
from tests.keyholder.test_signer import handshake

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

TLS12 = (ProtocolVersion.TLS12,)


def meet(path: Path, kind: str, *, tls12: bool) -> tuple[Any, Any]:
    """What a client and a server make of it whose keys are in one holder."""
    issued = certificates.server(kind), certificates.client(kind)
    keys = [held(one, [role], tls12=tls12) for one, role in zip(issued, (Role.SERVER, Role.CLIENT), strict=True)]
    server, client = (remote(one, path) for one in issued)
    with Running(*keys, path=path):
        theirs = server_config(client_auth=ClientAuth.REQUIRE_AND_VERIFY, credentials=[server], versions=TLS12)
        got = handshake(client_config(credentials=[client], versions=TLS12), theirs)
        close(server, client)
    return got


@pytest.mark.parametrize("kind", ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-2048"])
def test_both_roles(tmp_path: Path, kind: str) -> None:
    assert meet(tmp_path / "s", kind, tls12=True) == (b"DNS:alice", None)


def test_a_key_that_is_for_tls13_alone(tmp_path: Path) -> None:
    client, server = meet(tmp_path / "s", "ecdsa-p256", tls12=False)
    assert isinstance(server, LocalFailure)
    assert "the key is not for TLS 1.2" in server.what
    assert isinstance(client, PeerRejected)
