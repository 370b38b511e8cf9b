"""Fingerprints of hellos, by which programs are known that do not say who they are: JA3, JA3S and JA4.

JA3 is the MD5 of numbers in the order of the wire, which browsers have shuffled since 2023; JA4 sorts them. GREASE
values (RFC 8701) count in neither. https://github.com/salesforce/ja3, https://github.com/FoxIO-LLC/ja4
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from handfast.registry import ExtensionType, ProtocolVersion, is_grease
from handfast.wire import extensions as ext
from handfast.wire import messages12

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handfast.wire.messages import ClientHello, ServerHello

_VERSIONS: dict[int, str] = {
    ProtocolVersion.TLS13: "13",
    ProtocolVersion.TLS12: "12",
    ProtocolVersion.TLS11: "11",
    ProtocolVersion.TLS10: "10",
    ProtocolVersion.SSL30: "s3",
}
_MOST = 99


def ja3(hello: ClientHello) -> str:
    """MD5 of the version, suites, extensions, groups and point formats of a ClientHello, in hexadecimal."""
    groups = hello.find(ext.NamedGroupList)
    formats = hello.find(ext.ECPointFormatList)
    return _md5(
        str(int(hello.legacy_version)),
        _dashed(hello.cipher_suites),
        _dashed(hello.extensions),
        _dashed(groups.named_group_list if groups else ()),
        _dashed(formats.ec_point_format_list if formats else ()),
    )


def ja3s(hello: ServerHello | messages12.ServerHello) -> str:
    """MD5 of the version, suite and extensions of a ServerHello, in hexadecimal."""
    version = hello.server_version if isinstance(hello, messages12.ServerHello) else hello.legacy_version
    return _md5(str(int(version)), str(int(hello.cipher_suite)), _dashed(hello.extensions))


def ja4(hello: ClientHello) -> str:
    """JA4 of a ClientHello over TCP: ``t13d1516h2_8daaf6152771_e5627efa2ab1``."""
    suites = _without_grease(hello.cipher_suites)
    extensions = _without_grease(hello.extensions)
    named = ExtensionType.server_name in extensions
    start = f"t{_version(hello)}{'d' if named else 'i'}{_count(suites)}{_count(extensions)}{_protocol(hello)}"
    rest = [one for one in extensions if one not in (ExtensionType.server_name, _ALPN)]
    schemes = hello.find(ext.SignatureSchemeList)
    signed = _listed(_without_grease(schemes.supported_signature_algorithms)) if schemes else ""
    described = _listed(sorted(rest)) + (f"_{signed}" if signed else "")
    return f"{start}_{_short(_listed(sorted(suites)))}_{_short(described if rest else '')}"


_ALPN = ExtensionType.application_layer_protocol_negotiation


def _version(hello: ClientHello) -> str:
    offered = hello.find(ext.SupportedVersionsClientHello)
    versions = _without_grease(offered.versions) if offered else [hello.legacy_version]
    return _VERSIONS.get(max(versions, default=0), "00")


def _protocol(hello: ClientHello) -> str:
    """The first and the last character of the first ALPN protocol; of its hexadecimal form if they do not print."""
    offered = hello.find(ext.ProtocolNameList)
    first = offered.protocol_name_list[0] if offered and offered.protocol_name_list else b""
    if not first:
        return "00"
    ends = bytes((first[0], first[-1]))
    return ends.decode() if ends.isalnum() else f"{first.hex()[0]}{first.hex()[-1]}"


def _count(numbers: list[int]) -> str:
    return f"{min(len(numbers), _MOST):02}"


def _listed(numbers: Iterable[int]) -> str:
    return ",".join(f"{number:04x}" for number in numbers)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12] if text else "0" * 12


def _md5(*parts: str) -> str:
    return hashlib.md5(",".join(parts).encode(), usedforsecurity=False).hexdigest()


def _dashed(numbers: Iterable[int]) -> str:
    return "-".join(str(int(number)) for number in _without_grease(numbers))


def _without_grease(numbers: Iterable[int]) -> list[int]:
    return [int(number) for number in numbers if not is_grease(number)]
