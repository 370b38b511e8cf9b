"""The fork on the version: which one a connection speaks. RFC 9846 4.2.3 and 4.3.1.

What is above the fork, ``client`` and ``server``, asks here; below it no file knows of another version.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from handfast.errors import PeerIncompatible, PeerMisbehaved
from handfast.handshake.negotiate import DOWNGRADE_SENTINELS, TLS12, TLS13
from handfast.registry import CipherSuite, ExtensionType, ProtocolVersion
from handfast.wire import messages12
from handfast.wire.extensions import SupportedVersionsClientHello

if TYPE_CHECKING:
    from handfast.wire.messages import ClientHello, HelloRetryRequest, ServerHello


# The extensions that mean nothing in the other version: whatever stands in them is not looked at there.
_ONLY_12 = frozenset(
    (
        ExtensionType.ec_point_formats,
        ExtensionType.encrypt_then_mac,
        ExtensionType.extended_main_secret,
        ExtensionType.session_ticket,
        ExtensionType.renegotiation_info,
    )
)
_ONLY_13 = frozenset(
    (
        ExtensionType.compress_certificate,
        ExtensionType.delegated_credential,
        ExtensionType.pre_shared_key,
        ExtensionType.early_data,
        ExtensionType.cookie,
        ExtensionType.psk_key_exchange_modes,
        ExtensionType.certificate_authorities,
        ExtensionType.post_handshake_auth,
        ExtensionType.key_share,
        ExtensionType.quic_transport_parameters,
        ExtensionType.ticket_request,
    )
)
_MEANINGLESS: dict[int | None, frozenset[ExtensionType]] = {TLS12: _ONLY_13, TLS13: _ONLY_12, None: _ONLY_12 | _ONLY_13}


def check_decoded(hello: ClientHello, version: int | None) -> None:
    """What means something in this version was decoded; where it is None, what means something in every version."""
    hello.check_decoded(_MEANINGLESS[version])


def choose_version(ours: tuple[int, ...], hello: ClientHello) -> int:
    """The highest version that we and the client speak, the same for all hellos of one shape. RFC 9846 4.3.1.

    A client that fell back is refused, RFC 7507 3. What the hello says must decode, as far as it means something in
    that version.
    """
    shape = hello.shape
    if shape is None:
        return _choose_version(ours, hello)
    version = shape.versions.get(ours)
    if version is None:
        version = shape.versions[ours] = _choose_version(ours, hello)
    return version


def _choose_version(ours: Collection[int], hello: ClientHello) -> int:
    versions = hello.find(SupportedVersionsClientHello)
    if versions is None and ExtensionType.supported_versions in hello.extensions:
        check_decoded(hello, None)
    if hello.legacy_version <= ProtocolVersion.SSL30:
        # RFC 9846 D.5: whatever the extension says.
        raise _no_common((hello.legacy_version,), ours)
    # RFC 9846 4.3.1: where the extension is, it alone decides; without it 1.2 is the highest, whatever the number.
    theirs = (min(hello.legacy_version, TLS12),) if versions is None else versions.versions
    common = [version for version in ours if version in theirs]
    if not common:
        raise _no_common((hello.legacy_version,) if versions is None else theirs, ours)
    if max(common) < max(ours) and CipherSuite.TLS_FALLBACK_SCSV in hello.cipher_suites:
        raise PeerIncompatible("inappropriate_fallback", theirs=ProtocolVersion.describe(max(common)))
    check_decoded(hello, max(common))
    return max(common)


def check_version(ours: Collection[int], answer: ServerHello | HelloRetryRequest | messages12.ServerHello) -> None:
    """The server answers by a version that we offered, and was not made to. RFC 9846 4.2.3."""
    if not isinstance(answer, messages12.ServerHello):
        if TLS13 not in ours:
            version = ProtocolVersion.describe(TLS13)
            offer = ProtocolVersion.describe_all(ours)
            raise PeerMisbehaved("version_not_offered", message=type(answer).__name__, version=version, ours=offer)
    elif TLS13 in ours and answer.random[-8:] in DOWNGRADE_SENTINELS:
        raise PeerMisbehaved("downgrade_sentinel")
    elif TLS12 not in ours or answer.server_version != TLS12:
        raise _no_common((answer.server_version,), ours)


def _no_common(theirs: Collection[int], ours: Collection[int]) -> PeerIncompatible:
    return PeerIncompatible(
        "no_common_version", theirs=ProtocolVersion.describe_all(theirs), ours=ProtocolVersion.describe_all(ours)
    )
