"""What a context is told, and which of it can be honoured: what cannot raises when it is set."""

from __future__ import annotations

import operator
import ssl
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from handfast import limits
from handfast.crypto.groups import SUPPORTED_GROUPS
from handfast.crypto.suites import SUITES_13
from handfast.crypto.suites12 import SUITES_12
from handfast.registry import ProtocolVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from handfast.config.config import ClientAuth, CredentialSource
    from handfast.credentials.credentials import Credentials
    from handfast.io.arguments import ObserverFactory
    from handfast.trust.verifiers import Verifier

TLS12, TLS13 = int(ProtocolVersion.TLS12), int(ProtocolVersion.TLS13)

# Setting one of these changes nothing: what they switch off is never done here, and what they switch on always.
_ALWAYS_SO = (
    ssl.OP_ALL
    | ssl.OP_NO_SSLv2
    | ssl.OP_NO_SSLv3
    | ssl.OP_NO_TLSv1
    | ssl.OP_NO_TLSv1_1
    | ssl.OP_NO_COMPRESSION
    | ssl.OP_NO_RENEGOTIATION
    | ssl.OP_SINGLE_DH_USE
    | ssl.OP_SINGLE_ECDH_USE
    | ssl.OP_CIPHER_SERVER_PREFERENCE
    | ssl.OP_ENABLE_MIDDLEBOX_COMPAT
    | 0x800  # OP_DONT_INSERT_EMPTY_FRAGMENTS, a part of OP_ALL in some releases
)
OP_NO_TICKET = int(ssl.OP_NO_TICKET)
OP_IGNORE_UNEXPECTED_EOF = int(getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 1 << 7))
_HONOURED = OP_NO_TICKET | OP_IGNORE_UNEXPECTED_EOF | int(ssl.OP_NO_TLSv1_2) | int(ssl.OP_NO_TLSv1_3)

_OF_VERSIONS = (
    ssl.OP_NO_SSLv2 | ssl.OP_NO_SSLv3 | ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1 | ssl.OP_NO_TLSv1_2 | ssl.OP_NO_TLSv1_3
)

PARTIAL_CHAIN = 0x80000
CRL_CHECK = int(ssl.VERIFY_CRL_CHECK_LEAF)
# Together with CRL_CHECK, as OpenSSL has it.
CRL_CHECK_ALL = int(ssl.VERIFY_CRL_CHECK_CHAIN) & ~CRL_CHECK
STRICT = int(ssl.VERIFY_X509_STRICT)
_FLAGS = CRL_CHECK | CRL_CHECK_ALL | STRICT | PARTIAL_CHAIN | int(ssl.VERIFY_X509_TRUSTED_FIRST)

_NUMBERS = {version: int(version) for version in ssl.TLSVersion if int(version) > 0}
_LOWEST, _HIGHEST = ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.MAXIMUM_SUPPORTED

SniCallback = "Callable[[Any, str | None, Any], int | None]"


@dataclass
class Settings:
    """All that a context holds but certificates of others, which are its store's."""

    server: bool | None
    versions_of_protocol: tuple[int, ...]
    options: int
    verify_flags: int
    verify_mode: ssl.VerifyMode = ssl.CERT_NONE
    check_hostname: bool = False
    hostname_checks_common_name: bool = True
    minimum_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    maximum_version: ssl.TLSVersion = _HIGHEST
    suites_13: tuple[int, ...] = tuple(SUITES_13)
    suites_12: tuple[int, ...] = tuple(SUITES_12)
    groups: tuple[int, ...] = tuple(SUPPORTED_GROUPS)
    # What servers sign with, and what clients do; None for what was not set.
    server_schemes: tuple[int, ...] | None = None
    client_schemes: tuple[int, ...] | None = None
    application_protocols: tuple[str, ...] = ()
    post_handshake_auth: bool = False
    num_tickets: int = limits.TICKETS_PER_CONNECTION
    loaded: list[Credentials] = field(default_factory=list)
    client_credentials: Sequence[Credentials] | CredentialSource | None = None
    server_credentials: Sequence[Credentials] | CredentialSource | None = None
    ca_names: Sequence[bytes] | None = None
    client_auth: ClientAuth | None = None
    verifier: Verifier | None = None
    observe: ObserverFactory | None = None
    sni_callback: Callable[[Any, str | None, Any], int | None] | None = None

    def versions(self) -> tuple[int, ...]:
        """The versions that may be spoken, the highest first; () where the settings leave none."""
        low, high = (_bound(version) for version in (self.minimum_version, self.maximum_version))
        banned = {TLS12: self.options & ssl.OP_NO_TLSv1_2, TLS13: self.options & ssl.OP_NO_TLSv1_3}
        return tuple(one for one in self.versions_of_protocol if low <= one <= high and not banned[one])


def _bound(version: ssl.TLSVersion) -> int:
    return {_LOWEST: 0, _HIGHEST: 0xFFFF}.get(version) or _NUMBERS.get(version, 0)


def checked_options(value: Any, before: int) -> int:
    """The options as they may stand; ValueError for one that is new and cannot be honoured."""
    number = operator.index(value)
    if not 0 <= number < 1 << 64:
        raise OverflowError("options are a number of 64 bits")
    unknown = number & ~(int(_ALWAYS_SO) | _HONOURED | before)
    if unknown:
        raise ValueError(f"handfast cannot honour {ssl.Options(unknown)!r}; docs/sslcontext.md lists what it can")
    if number & ~before & _OF_VERSIONS:
        _deprecated("ssl.OP_NO_SSL*/ssl.OP_NO_TLS* options are deprecated")
    return number


def _deprecated(words: str) -> None:
    """Warn where the stock setter warns, at the line that set it."""
    warnings.warn(words, DeprecationWarning, stacklevel=4)


def checked_flags(value: Any) -> int:
    """Verification flags; ValueError for one that cannot be honoured."""
    flags = operator.index(value)
    unknown = flags & ~_FLAGS
    if unknown:
        raise ValueError(f"handfast cannot honour {ssl.VerifyFlags(unknown)!r}; docs/sslcontext.md lists what it can")
    return flags


def checked_version(value: Any, *, maximum: bool) -> ssl.TLSVersion:
    """A bound on the versions; ValueError for a maximum below TLS 1.2, which leaves nothing to speak."""
    try:
        version = ssl.TLSVersion(value)
    except ValueError:
        raise ValueError(f"Unsupported TLS/SSL version {value:#x}" if isinstance(value, int) else value) from None
    if 0 < int(version) < TLS12:
        _deprecated(f"ssl.TLSVersion.{version.name} is deprecated")
    if maximum and 0 < int(version) < TLS12:
        raise ValueError(f"Unsupported protocol version {version.name}: handfast speaks TLS 1.2 and 1.3")
    return version


def of_protocol(protocol: int) -> tuple[bool | None, tuple[int, ...]]:
    """The role, None for both, and the versions of one of ``ssl.PROTOCOL_*``; ValueError for an old version's."""
    both = (TLS13, TLS12)
    if protocol == ssl.PROTOCOL_TLS_CLIENT:
        return False, both
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        return True, both
    if protocol == ssl.PROTOCOL_TLS:
        return None, both
    if protocol == ssl.PROTOCOL_TLSv1_2:
        return None, (TLS12,)
    raise ValueError("invalid or unsupported protocol version: handfast speaks TLS 1.2 and 1.3")
