"""What a ClientHello offers, in words, for verdicts on handshakes that came to nothing because of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.registry import CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme
from handfast.text import listed
from handfast.wire import extensions as ext

if TYPE_CHECKING:
    from handfast.wire.messages import ClientHello

_LISTED = 6


def protocols(hello: ClientHello) -> str:
    """The ALPN protocols, "" for none. RFC 7301 3.1."""
    found = hello.find(ext.ProtocolNameList)
    return (
        "" if found is None else listed([name.decode("utf-8", "backslashreplace") for name in found.protocol_name_list])
    )


def versions(hello: ClientHello | None) -> str:
    """The versions: "TLS 1.3, TLS 1.2". RFC 9846 4.3.1."""
    if hello is None:
        return "nothing"
    found = hello.find(ext.SupportedVersionsClientHello)
    return ProtocolVersion.describe_all(found.versions if found else (hello.legacy_version,))


def in_words(hello: ClientHello | None) -> str:
    """Versions, suites, groups and schemes: "TLS 1.3; suites ...; groups ...; signature schemes ..."."""
    if hello is None:
        return "nothing"
    said = [versions(hello), f"suites {CipherSuite.describe_all(hello.cipher_suites, _LISTED)}"]
    if groups := hello.find(ext.NamedGroupList):
        said.append(f"groups {NamedGroup.describe_all(groups.named_group_list, _LISTED)}")
    if schemes := hello.find(ext.SignatureSchemeList):
        names = SignatureScheme.describe_all(schemes.supported_signature_algorithms, _LISTED)
        said.append(f"signature schemes {names}")
    return "; ".join(said)


def limits_of_ours(hello: ClientHello | None) -> str:
    """What handfast does not speak at all, which no option changes."""
    speaks_12 = hello is not None and any(suite >> 8 != 0x13 for suite in hello.cipher_suites)
    older = ", in TLS 1.2 ECDHE with AEAD suites only" if speaks_12 else ""
    return f"handfast speaks TLS 1.3 and 1.2{older}: no RSA key exchange, finite-field groups or CBC suites"
