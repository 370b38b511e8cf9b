"""What a connection is told before it starts: frozen, shared by many connections, checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from handfast import limits
from handfast.crypto.groups import ALL_GROUPS, CLASSICAL_GROUPS, SUPPORTED_GROUPS
from handfast.crypto.signatures import SUPPORTED_SCHEMES
from handfast.crypto.suites import SUITES_13
from handfast.crypto.suites12 import SUITES_12
from handfast.errors import ConfigError
from handfast.registry import CipherSuite, NamedGroup, ProtocolVersion, Registry, SignatureScheme

if TYPE_CHECKING:
    from handfast.trust.credentials import Credentials
    from handfast.trust.verifiers import Verifier


# The suites of each version, the highest version first.
_SUITES: dict[int, Mapping[int, object]] = {
    int(ProtocolVersion.TLS13): SUITES_13,
    int(ProtocolVersion.TLS12): SUITES_12,
}


class ClientAuth(StrEnum):
    """What a server asks of its clients. Possession of the key is proven whenever a certificate is shown, in each mode.

    ``none``: no certificate is requested. ``request``: one is requested; none, or one that the verifier refuses, is
    accepted and reported. ``require_any``: one must come, and the verdict on it is reported. ``verify_if_given``: none
    is accepted, one that comes must satisfy the verifier. ``require_and_verify``: one must come and satisfy it.
    """

    NONE = "none"
    REQUEST = "request"
    REQUIRE_ANY = "require_any"
    VERIFY_IF_GIVEN = "verify_if_given"
    REQUIRE_AND_VERIFY = "require_and_verify"

    @property
    def requires_certificate(self) -> bool:
        """Whether a client without a certificate is refused."""
        return self in (ClientAuth.REQUIRE_ANY, ClientAuth.REQUIRE_AND_VERIFY)

    @property
    def enforces_verdict(self) -> bool:
        """Whether a client whose certificate the verifier refuses is refused."""
        return self in (ClientAuth.VERIFY_IF_GIVEN, ClientAuth.REQUIRE_AND_VERIFY)


@dataclass(frozen=True, kw_only=True)
class Config:
    """What both roles share.

    Attributes:
        versions: the versions of TLS that may be spoken; the highest that both sides speak is.
        suites, groups, schemes: what is offered or accepted, most wanted first. ``suites`` holds those of all
            versions, and a version of which it holds none is not spoken.
        application_protocols: ALPN names, most wanted first; empty means that ALPN is not spoken.
        credentials: our identities to choose from.
        verifier: judges the peer's chain.
        ca_names: DER distinguished names sent in certificate_authorities. ``None`` sends none.
        handshake_timeout: seconds from the start to the peer's Finished and the verdict.
        max_fragment: largest plaintext that we put into one record, in bytes.
        require_extended_main_secret: refuse a peer that speaks TLS 1.2 without it (RFC 7627). With False such a peer is
            let in; the connection then exports no keying material, and a client of ours that shows the same certificate
            to two servers can be impersonated by one of them to the other.

    Raises ConfigError for what handfast cannot do.
    """

    versions: Sequence[int] = (ProtocolVersion.TLS13, ProtocolVersion.TLS12)
    suites: Sequence[int] = (*SUITES_13, *SUITES_12)
    groups: Sequence[int] = SUPPORTED_GROUPS
    schemes: Sequence[int] = SUPPORTED_SCHEMES
    application_protocols: Sequence[str] = ()
    credentials: Sequence[Credentials] = ()
    verifier: Verifier | None = None
    ca_names: Sequence[bytes] | None = None
    handshake_timeout: float = limits.HANDSHAKE_TIMEOUT
    max_fragment: int = limits.MAX_PLAINTEXT
    require_extended_main_secret: bool = True

    def __post_init__(self) -> None:
        _check_known("versions", self.versions, _SUITES, ProtocolVersion)
        _check_known("suites", self.suites, {**SUITES_13, **SUITES_12}, CipherSuite)
        _check_known("groups", self.groups, ALL_GROUPS, NamedGroup)
        _check_known("schemes", self.schemes, SUPPORTED_SCHEMES, SignatureScheme)
        for protocol in self.application_protocols:
            if not 1 <= len(protocol.encode()) <= 255:
                _refuse("application_protocols", f"{protocol!r} is not 1 to 255 bytes long", "RFC 7301 3.1")
        if not limits.MIN_FRAGMENT <= self.max_fragment <= limits.MAX_PLAINTEXT:
            _refuse(
                "max_fragment",
                f"{self.max_fragment} is outside {limits.MIN_FRAGMENT}..{limits.MAX_PLAINTEXT}",
                "leave it out",
            )
        if self.handshake_timeout <= 0:
            _refuse("handshake_timeout", f"{self.handshake_timeout} is not positive", "give seconds")
        if not self.spoken:
            spoken = ", ".join(map(ProtocolVersion.describe, self.versions))
            _refuse("suites", f"none can be used with {spoken} and these groups", "leave it out for the default")

    @cached_property
    def spoken(self) -> tuple[int, ...]:
        """The versions that can be spoken, the highest first: those with a suite, and TLS 1.2 with a group it knows."""
        classical = any(group in CLASSICAL_GROUPS for group in self.groups)
        return tuple(
            version
            for version, suites in _SUITES.items()
            if version in self.versions
            and any(suite in suites for suite in self.suites)
            and (classical or version != ProtocolVersion.TLS12)
        )

    @cached_property
    def spoken_suites(self) -> tuple[int, ...]:
        """The suites of these versions, most wanted first."""
        return tuple(suite for suite in self.suites if any(suite in _SUITES[version] for version in self.spoken))


@dataclass(frozen=True, kw_only=True)
class ClientConfig(Config):
    """A client's configuration.

    Attributes:
        key_share_groups: the groups for which key shares are sent with the first hello, out of ``groups``. ``None``
            sends one for the first group and, if that is a hybrid, for the first classical one too, so that a server
            without the hybrid needs no second round trip.
        enforce_verdict: whether a server whose chain the verifier refuses is refused. With False the verdict is still
            computed and reported, and ``info.peer`` is an ``UnverifiedPeer``.

    Without ``verifier`` the default roots of this machine are trusted.
    """

    key_share_groups: Sequence[int] | None = None
    enforce_verdict: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        outside = [group for group in self.key_share_groups or () if group not in self.groups]
        if outside:
            _refuse("key_share_groups", f"{NamedGroup.describe(outside[0])} is not in groups", "add it there")


@dataclass(frozen=True, kw_only=True)
class ServerConfig(Config):
    """A server's configuration.

    Attributes:
        client_auth: what is asked of clients.
        require_application_protocol: refuse clients that speak ALPN and share none of our protocols (RFC 7301 3.2);
            with False such clients go on without one.
    """

    client_auth: ClientAuth = ClientAuth.NONE
    require_application_protocol: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.credentials:
            raise ConfigError("no_credentials")
        if self.client_auth.enforces_verdict and self.verifier is None:
            _refuse(
                "client_auth",
                f"{self.client_auth} needs a verifier to judge client certificates",
                "give --client-ca, or choose request or require_any",
            )


def _check_known(option: str, values: Sequence[int], known: object, registry: type[Registry]) -> None:
    if not values:
        _refuse(option, "is empty", "leave it out for the default")
    for value in values:
        if value not in known:  # type: ignore[operator]
            _refuse(option, f"handfast does not speak {registry.describe(value)}", "see --help for the names")
    if len(set(values)) != len(values):
        _refuse(option, "names a value twice", "name each once")


def _refuse(option: str, reason: str, advice: str) -> None:
    raise ConfigError("bad_option", option=option, reason=reason, advice=advice)
