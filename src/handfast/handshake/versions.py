"""The fork on the version: which one a connection speaks. RFC 9846 4.2.3 and 4.3.1.

What is above the fork, ``client`` and ``server``, asks here; below it no file knows of another version.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from handfast.errors import PeerIncompatible, PeerMisbehaved
from handfast.handshake.negotiate import DOWNGRADE_SENTINELS, TLS12, TLS13, names
from handfast.registry import CipherSuite, ProtocolVersion
from handfast.wire import messages12
from handfast.wire.extensions import SupportedVersionsClientHello

if TYPE_CHECKING:
    from handfast.wire.messages import ClientHello, HelloRetryRequest, ServerHello


def choose_version(ours: Collection[int], hello: ClientHello) -> int:
    """The highest version that we and the client speak. RFC 9846 4.3.1; RFC 7507 3 against a client that fell back."""
    versions = hello.find(SupportedVersionsClientHello)
    if versions is not None:
        theirs = versions.versions
    else:
        # RFC 9846 4.3.1: whatever the number, the extension alone speaks of 1.3 and more.
        theirs = (min(hello.legacy_version, TLS12),)
    common = [version for version in ours if version in theirs]
    if not common:
        raise _no_common(theirs if versions is not None else (hello.legacy_version,), ours)
    if max(common) < max(ours) and CipherSuite.TLS_FALLBACK_SCSV in hello.cipher_suites:
        raise PeerIncompatible("inappropriate_fallback", theirs=ProtocolVersion.describe(max(common)))
    return max(common)


def check_version(ours: Collection[int], answer: ServerHello | HelloRetryRequest | messages12.ServerHello) -> None:
    """The server answers by a version that we offered, and was not made to. RFC 9846 4.2.3."""
    if not isinstance(answer, messages12.ServerHello):
        if TLS13 not in ours:
            version = ProtocolVersion.describe(TLS13)
            offer = names(ProtocolVersion, ours)
            raise PeerMisbehaved("version_not_offered", message=type(answer).__name__, version=version, ours=offer)
    elif TLS13 in ours and answer.random[-8:] in DOWNGRADE_SENTINELS:
        raise PeerMisbehaved("downgrade_sentinel")
    elif TLS12 not in ours or answer.server_version != TLS12:
        raise _no_common((answer.server_version,), ours)


def _no_common(theirs: Collection[int], ours: Collection[int]) -> PeerIncompatible:
    return PeerIncompatible(
        "no_common_version", theirs=names(ProtocolVersion, theirs), ours=names(ProtocolVersion, ours)
    )
