"""Handshakes with foreign peers, in both roles, for each group that the other provider computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from handfast.crypto.providers import AWS_LC
from handfast.engine import ClientAuth
from handfast.registry import NamedGroup
from handfast.sessions.cache import SessionCache
from handfast.sessions.tickets import SealedTickets
from tests import certificates
from tests.interop.columns import COLUMNS, Column
from tests.interop.meeting import Meeting, credentials, trusting
from tests.peers import ClientAuth as TheirClientAuth

if TYPE_CHECKING:
    from tests.conftest import Files

# One of OpenSSL's, whose hybrids need a version that few machines have, and one that has them everywhere.
PEERS = ("openssl client", "openssl server", "go client", "go server")
GROUPS = ("x25519", "secp256r1", "X25519MLKEM768")
columns = pytest.mark.parametrize("column", [one for one in COLUMNS if one.name in PEERS], ids=lambda one: one.name)


def ours_and_theirs(column: Column, files: Files, group: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of both for a mutual handshake with this group, and certificates on P-256."""
    ours: dict[str, Any] = {
        "crypto_provider": AWS_LC,
        "groups": tuple(dict.fromkeys((NamedGroup.parse(group), NamedGroup.secp256r1))),
    }
    if column.is_client:
        return (
            {**ours, "client_auth": ClientAuth.REQUIRE_AND_VERIFY, "verifier": trusting()},
            files.identity(certificates.client()),
        )
    theirs = {"client_auth": TheirClientAuth.REQUIRE, "trust": files.roots(certificates.ca())}
    return {**ours, "credentials": (credentials(certificates.client()),)}, theirs


def reason_against(column: Column, group: str) -> None:
    if reason := column.lacks_group(group):
        pytest.skip(reason)


@columns
@pytest.mark.parametrize("group", GROUPS)
def test_a_full_handshake(column: Column, files: Files, group: str) -> None:
    reason_against(column, group)
    mine, theirs = Meeting(column, files)({"crypto_provider": AWS_LC, "groups": (NamedGroup.parse(group),)})
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.negotiated.group == group


@columns
@pytest.mark.parametrize("group", GROUPS)
def test_a_mutual_handshake_and_its_resumption(column: Column, files: Files, group: str) -> None:
    reason_against(column, group)
    ours, their_options = ours_and_theirs(column, files, group)
    meet = Meeting(column, files)
    mine, theirs = meet(ours, their_options)
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.peer_verified
    assert mine.negotiated.group == group
    memory: dict[str, Any] = {"tickets": SealedTickets()} if column.is_client else {"sessions": SessionCache()}
    mine, theirs = meet({**ours, **memory}, {**their_options, "connections": 2})
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.negotiated.resumed


@columns
def test_tls_1_2(column: Column, files: Files) -> None:
    ours, their_options = ours_and_theirs(column, files, "x25519")
    mine, theirs = Meeting(column, files)(ours, {**their_options, "version": "1.2"})
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.negotiated.version == "TLS 1.2"
