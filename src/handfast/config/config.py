"""What a connection is told before it starts: frozen, shared by many connections, checked when it is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias

from handfast import limits
from handfast.config import checks as config_checks
from handfast.config.by_name import ByName
from handfast.crypto.groups import ALL_GROUPS, CLASSICAL_GROUPS, SUPPORTED_GROUPS
from handfast.crypto.providers import provider_named
from handfast.crypto.randomness import random_bytes
from handfast.crypto.signatures import LEGACY_CLIENT_SCHEMES, SUPPORTED_SCHEMES
from handfast.crypto.suites import SUITES_13
from handfast.crypto.suites12 import SUITES_12
from handfast.errors import ApiMisuse, ConfigError, bad_option
from handfast.memory import Memory
from handfast.registry import (
    CertificateCompressionAlgorithm,
    CipherSuite,
    NamedGroup,
    ProtocolVersion,
    SignatureScheme,
)
from handfast.wire.compression import ALGORITHMS, available
from handfast.words import default, is_list, kind_of, mode, named, numbers, settings, word

if TYPE_CHECKING:
    from handfast.config.asked import HelloSeen
    from handfast.credentials.credentials import Credentials, CredentialsHandle
    from handfast.crypto.provider import CryptoProvider
    from handfast.registry import Registry
    from handfast.sessions.cache import Sessions
    from handfast.sessions.replay import ReplayGuard
    from handfast.sessions.tickets import Tickets
    from handfast.trust.verifiers import Verifier
    from handfast.wire.messages import CertificateRequest
    from handfast.words import Setting

    # Fields that are given by name or by number, and hold the members of a registry; and lists that hold as tuples.
    Names: TypeAlias = Setting[Sequence[str | int], tuple[int, ...]]
    OurCredentials: TypeAlias = "CredentialsHandle | Sequence[CredentialsHandle] | CredentialSource"

# The suites of each version, the highest version first.
_SUITES: dict[int, Mapping[int, object]] = {
    int(ProtocolVersion.TLS13): SUITES_13,
    int(ProtocolVersion.TLS12): SUITES_12,
}


ClientAuthWord = Literal["none", "request", "require_any", "verify_if_given", "require_and_verify"]


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


@settings
class Config:
    """What both roles share.

    Attributes:
        versions: the versions of TLS that may be spoken, as ["1.3"]; the highest that both sides speak is.
            Names, as the RFCs, OpenSSL, Go or NIST spell them, or numbers: here, and in the lists that follow.
        suites, groups, schemes: what is offered or accepted, most wanted first. ``suites`` holds those of all
            versions, and a version of which it holds none is not spoken.
        signing_schemes: what our own proof may be signed with; None for all that our keys can make.
        application_protocols: ALPN names, most wanted first; empty means that ALPN is not spoken.
        credentials: our identities to choose from, ``Credentials`` or handles that hold them; or a function that gives
            them, or an awaitable of them. A server's is given the client's hello (``HelloSeen``), and ``ByName`` is
            one. A client's is given the server's request (``CertificateWanted``), and is called only once the server
            has proven itself.
        verifier: judges the peer's chain.
        ca_names: DER distinguished names sent in certificate_authorities. ``None`` sends none.
        certificate_compression: how the peer's certificates may come compressed, and how ours are where the peer takes
            it; most wanted first. brotli and zstd need their packages. RFC 8879. Nothing is compressed unless asked
            for: it saves some hundred bytes, lets a peer that is not known yet make us inflate, and Wireshark does not
            show what is in there.
        ask_for_ocsp_response, ask_for_timestamps: whether the peer is asked for an OCSP response and for signed
            certificate timestamps beside its certificate. RFC 9846 4.5.1.1. The verifier judges the response; one that
            has ``requires_ocsp_response``, as ``PathVerifier(ocsp="require")``, is asked for in any case. Timestamps
            come unvalidated, in ``info``.
        handshake_timeout: seconds from the start to the peer's Finished and the verdict.
        unexpected_eof: what it is when the transport ends after the handshake, between two records, and the peer has
            sent no close_notify: an "error", or the "end" of its data as if it had. Anyone on the path can end a
            transport, so with "end" they can cut what the peer says: only for protocols that know by themselves where
            it ends, with peers that never send close_notify. A cut record is always an error.
        max_fragment: largest plaintext that we put into one record, in bytes.
        early_data_with_client_identity: whether early data may be sent and taken in a session that stands for a
            client's certificate. What such data asks for is done in the client's name before the client has proven
            that it is there.
        enable_secret_extraction: whether ``extract_secrets`` of a connection may give the traffic keys away.
        require_extended_main_secret: refuse a peer that speaks TLS 1.2 without it (RFC 7627). With False such a peer is
            let in; the connection then exports no keying material, and a client of ours that shows the same certificate
            to two servers can be impersonated by one of them to the other.
        crypto_provider: who computes: "cryptography", or "aws-lc" (docs/providers.md).

    Raises ConfigError for what handfast cannot do.
    """

    versions: Names = default((ProtocolVersion.TLS13, ProtocolVersion.TLS12))
    suites: Names = default((*SUITES_13, *SUITES_12))
    groups: Names = default(SUPPORTED_GROUPS)
    schemes: Names = default(SUPPORTED_SCHEMES)
    signing_schemes: Setting[Sequence[str | int] | None, tuple[int, ...] | None] = default(None)
    application_protocols: Setting[Sequence[str], tuple[str, ...]] = default(())
    credentials: Setting[OurCredentials, tuple[CredentialsHandle, ...] | CredentialSource] = default(())
    verifier: Verifier | None = None
    ca_names: Sequence[bytes] | None = None
    certificate_compression: Names = default(())
    ask_for_ocsp_response: bool = False
    ask_for_timestamps: bool = False
    handshake_timeout: float = limits.HANDSHAKE_TIMEOUT
    max_fragment: int = limits.MAX_PLAINTEXT
    early_data_with_client_identity: bool = False
    unexpected_eof: Literal["error", "end"] = "error"
    enable_secret_extraction: bool = False
    require_extended_main_secret: bool = True
    crypto_provider: str = "cryptography"

    def __post_init__(self) -> None:
        self._numbers("versions", _SUITES, ProtocolVersion)
        self._numbers("suites", {**SUITES_13, **SUITES_12}, CipherSuite)
        self._numbers("groups", ALL_GROUPS, NamedGroup)
        self._numbers("schemes", SUPPORTED_SCHEMES, SignatureScheme)
        if self.signing_schemes is not None:
            self._numbers("signing_schemes", (*SUPPORTED_SCHEMES, *LEGACY_CLIENT_SCHEMES), SignatureScheme)
        if self.certificate_compression != ():
            self._numbers("certificate_compression", ALGORITHMS, CertificateCompressionAlgorithm)
        for algorithm in self.certificate_compression:
            if not available(algorithm):
                name = CertificateCompressionAlgorithm.describe(algorithm)
                reason, advice = f"{name} is not installed", f"pip install 'handfast[{name}]'"
                _refuse("certificate_compression", reason, advice)
        self._keep("application_protocols", _protocols(self.application_protocols))
        if not limits.MIN_FRAGMENT <= self.max_fragment <= limits.MAX_PLAINTEXT:
            _refuse(
                "max_fragment",
                f"{self.max_fragment} is outside {limits.MIN_FRAGMENT}..{limits.MAX_PLAINTEXT}",
                "leave it out",
            )
        # Asked for now, so that what is wrong with it is said now.
        _ = self.crypto
        word("unexpected_eof", self.unexpected_eof, ("error", "end"))
        config_checks.check_kinds(self)
        if not self.handshake_timeout > 0:
            _refuse("handshake_timeout", f"{self.handshake_timeout} is not positive", "give seconds")
        self._keep("credentials", _credentials(self.credentials))
        _check_method("verifier", self.verifier, "verify", "handfast.PathVerifier(roots)")
        if not self.enabled_versions:
            spoken = ", ".join(map(ProtocolVersion.describe, self.versions))
            usable = any(suite in _SUITES[version] for version in self.versions for suite in self.suites)
            _refuse("groups" if usable else "suites", f"none can be used with {spoken}", "leave it out for the default")

    def _keep(self, option: str, value: object) -> None:
        """Hold what a setting comes to: a list that is changed later changes nothing here."""
        object.__setattr__(self, option, value)

    def _numbers(self, option: str, known: Collection[int], registry: type[Registry]) -> None:
        self._keep(option, numbers(option, getattr(self, option), known, registry))

    @cached_property
    def crypto(self) -> CryptoProvider:
        """The provider that ``crypto_provider`` names."""
        return provider_named(self.crypto_provider)

    @cached_property
    def own_id(self) -> bytes:
        """32 random bytes, this configuration's own: what keeps apart the sessions of verifiers that have no id."""
        return random_bytes(32)

    @property
    def asks_for_ocsp_response(self) -> bool:
        """Whether the peer is asked for an OCSP response, by our own wish or by the verifier's."""
        return self.ask_for_ocsp_response or getattr(self.verifier, "requires_ocsp_response", False) is True

    @cached_property
    def enabled_versions(self) -> tuple[int, ...]:
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
    def enabled_suites(self) -> tuple[int, ...]:
        """The suites of these versions, most wanted first."""
        return tuple(
            suite for suite in self.suites if any(suite in _SUITES[version] for version in self.enabled_versions)
        )


@settings
class ClientConfig(Config):
    """A client's configuration.

    Attributes:
        key_share_groups: the groups for which key shares are sent with the first hello, out of ``groups``. ``None``
            sends one for the first group and, if that is a hybrid, for the first classical one too, so that a server
            without the hybrid needs no second round trip.
        enforce_verdict: whether a server whose chain the verifier refuses is refused. With False the verdict is still
            computed and reported, and ``info.peer`` is an ``UnverifiedPeer``.
        sessions: where sessions are kept to be resumed; ``None`` resumes none. It may be shared: sessions of different
            servers, verifiers or identities never meet.
        ticket_request: how many tickets a server should send, in a new session and in a resumed one. RFC 9149.
        post_handshake_auth: whether to offer authentication after the handshake (RFC 9846 4.3.6): a server may then ask
            for a certificate at any time, and gets one by the same choice as in the handshake.
        when_no_certificate_matches: what becomes of a server's request that none of our certificates fits: the one that
            comes nearest is sent, or none. What our key cannot sign, or the server's oid_filters forbid, never is.

    Without ``verifier`` the default roots of this machine are trusted.
    """

    key_share_groups: Setting[Sequence[str | int] | None, tuple[int, ...] | None] = default(None)
    enforce_verdict: bool = True
    sessions: Sessions | None = None
    ticket_request: tuple[int, int] | None = None
    post_handshake_auth: bool = False
    when_no_certificate_matches: Literal["send_anyway", "send_none"] = "send_anyway"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_method("sessions", self.sessions, "take", "handfast.SessionCache()")
        word("when_no_certificate_matches", self.when_no_certificate_matches, ("send_anyway", "send_none"))
        if self.key_share_groups:
            self._numbers("key_share_groups", ALL_GROUPS, NamedGroup)
        outside = [group for group in self.key_share_groups or () if group not in self.groups]
        if outside:
            _refuse("key_share_groups", f"{NamedGroup.describe(outside[0])} is not in groups", "add it there")
        if self.ticket_request is not None and not all(0 <= count <= 255 for count in self.ticket_request):
            _refuse("ticket_request", f"{self.ticket_request} does not hold two numbers up to 255", "RFC 9149 3")
        config_checks.check_client_demands(self)

    @cached_property
    def first_groups(self) -> tuple[int, ...]:
        """The groups that the first hello has shares for."""
        if self.key_share_groups is not None:
            return tuple(self.key_share_groups)
        first = self.groups[0]
        if first in CLASSICAL_GROUPS:
            return (first,)
        return (first, *[group for group in self.groups if group in CLASSICAL_GROUPS][:1])

    @cached_property
    def hellos(self) -> Memory[Any, Any]:
        """First hellos as they were sent before, by all that may change of them."""
        return Memory(limits.HELLOS_KEPT, limits.HELLOS_KEPT_BYTES)


@settings
class ServerConfig(Config):
    """A server's configuration.

    Attributes:
        client_auth: what is asked of clients.
        require_application_protocol: refuse clients that speak ALPN and share none of our protocols (RFC 7301 3.2);
            with False such clients go on without one.
        choose_config: is given the client's hello and returns the configuration for it, or an awaitable of that; the
            handshake goes on under that one alone: it has no other chooser, which would not be asked, and the same
            ``handshake_timeout``, since time runs before it is chosen. None refuses the client with unrecognized_name.
            ``by_name`` makes one from a table.
        tickets: what sessions are resumed with; ``None`` gives no tickets and resumes nothing. Never share automatic
            keys between configurations that trust differently: tickets are bound to ``client_auth``, verifier and name.
        ticket_count: tickets in each connection, of TLS 1.2 one at most, unless the client asks for another number
            (RFC 9149). 0 gives none in either version, whatever is asked for, nor in TLS 1.2 a session id.
        ticket_lifetime: seconds that a ticket lives. session_lifetime: seconds after a client's last signature that
            its session may still be resumed, however often it was renewed.
        max_early_data: bytes of early data (0-RTT) that are taken; 0 takes none. Needs ``replay_guard``.
        replay_guard: remembers which early data was seen.
        accept_legacy_client_signatures: whether clients whose RSA keys cannot do RSASSA-PSS, as in old tokens, may sign
            with PKCS#1 v1.5 in TLS 1.3 too, as they may in TLS 1.2. RFC 9963.
        psk_satisfies_client_auth: whether a PSK that no certificate stands behind may do where one is required.
    """

    client_auth: Setting[ClientAuth | ClientAuthWord, ClientAuth] = default(ClientAuth.NONE)
    require_application_protocol: bool = True
    choose_config: ConfigChooser | None = None
    tickets: Tickets | None = None
    ticket_count: int = limits.TICKETS_PER_CONNECTION
    ticket_lifetime: int = limits.TICKET_LIFETIME
    session_lifetime: int = limits.SESSION_LIFETIME
    max_early_data: int = 0
    replay_guard: ReplayGuard | None = None
    psk_satisfies_client_auth: bool = False
    accept_legacy_client_signatures: bool = False

    @classmethod
    def by_name(cls, configs: Mapping[str, ServerConfig], *, default: ServerConfig | None = None) -> ServerConfig:
        """A configuration that is another for each name that clients ask for (SNI), as ``ByName`` looks them up.

        Without ``default`` clients that ask for another name, or for none, are refused. Raises ConfigError bad_option
        for what is no such name, and where one of them chooses another itself or has another ``handshake_timeout``.
        """
        if not configs:
            _refuse("by_name", "is empty", "give a configuration for each name")
        return replace(default or next(iter(configs.values())), choose_config=ByName(configs, default=default))

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep("client_auth", mode("client_auth", self.client_auth, ClientAuth))
        _check_method("tickets", self.tickets, "redeem", "handfast.SealedTickets()")
        _check_method("replay_guard", self.replay_guard, "first_use", "handfast.MemoryReplayGuard()")
        self._check_sessions()
        if not self.credentials:
            raise ConfigError("no_credentials")
        config_checks.check_signing(self)
        if self.client_auth.enforces_verdict and self.verifier is None:
            _refuse(
                "client_auth",
                f"{self.client_auth} needs a verifier to judge client certificates",
                "give a verifier, or choose request or require_any",
            )
        config_checks.check_server_demands(self)
        config_checks.check_tables(self)

    @cached_property
    def negotiations(self) -> Memory[Any, Any]:
        """What hellos came to under this configuration, by their shape and the groups of their shares."""
        return Memory(limits.NEGOTIATIONS_KEPT, limits.NEGOTIATIONS_KEPT_BYTES)

    @cached_property
    def requests(self) -> Memory[Any, tuple[CertificateRequest, bytes]]:
        """What clients are asked for in a handshake, with its encoding, by what may change of it."""
        return Memory(1, limits.MAX_HANDSHAKE_MESSAGE)

    @cached_property
    def client_schemes(self) -> tuple[int, ...]:
        """What clients may sign with in TLS 1.3, most wanted first."""
        return (*self.schemes, *(LEGACY_CLIENT_SCHEMES if self.accept_legacy_client_signatures else ()))

    def _check_sessions(self) -> None:
        if not 0 <= self.ticket_count <= limits.MAX_TICKETS_SENT:
            _refuse("ticket_count", f"{self.ticket_count} is outside 0..{limits.MAX_TICKETS_SENT}", "leave it out")
        for option in ("ticket_lifetime", "session_lifetime"):
            seconds = getattr(self, option)
            if not 0 < seconds <= limits.MAX_TICKET_LIFETIME:
                _refuse(option, f"{seconds} s is outside 1..{limits.MAX_TICKET_LIFETIME}", "RFC 9846 4.7.1")
        if not 0 <= self.max_early_data < 2**32:
            _refuse("max_early_data", f"{self.max_early_data} is outside 0..2^32-1", "0 takes none")
        if self.max_early_data and (self.tickets is None or self.replay_guard is None):
            _refuse("max_early_data", "early data needs tickets and a replay_guard", "see docs/sessions.md")


# Is given a client's hello and gives the configuration for it.
ConfigChooser: TypeAlias = Callable[["HelloSeen"], "ServerConfig | Awaitable[ServerConfig | None] | None"]
# Gives our credentials for what the peer said: None, one, several, or an awaitable of that.
CredentialSource: TypeAlias = Callable[[Any], "Credentials | Sequence[Credentials] | Awaitable[Any] | None"]


def _protocols(given: object) -> tuple[str, ...]:
    advice = 'give a list of their names, as ["h2", "http/1.1"]'
    if isinstance(given, str | bytes):
        _refuse("application_protocols", f"{given!r} is one name and no list", advice)
    if not is_list(given):
        _refuse("application_protocols", f"{named(given)} is no list", advice)
    protocols = []
    for protocol in given:
        if not isinstance(protocol, str):
            _refuse("application_protocols", f"{named(protocol)} is no text", advice)
        if not 1 <= len(protocol.encode()) <= 255:
            _refuse("application_protocols", f"{protocol!r} is not 1 to 255 bytes long", "RFC 7301 3.1")
        protocols.append(protocol)
    return tuple(protocols)


def demand(kind: type[Config], config: object) -> None:
    """ApiMisuse bad_argument where one role is given the other's configuration, or none."""
    if not isinstance(config, kind):
        raise ApiMisuse("bad_argument", reason=f"a {kind.__name__} is needed, not {type(config).__name__}")


def _credentials(given: object) -> Any:
    """One or several as a tuple, a function as it is. ConfigError for what is none: not only when a peer waits."""
    if callable(given) and not isinstance(given, type):
        return given
    several = tuple(given) if is_list(given) else (given,)
    for one in several:
        if isinstance(one, type) or not hasattr(one, "current"):
            advice = (
                "give handfast.Credentials, as from_files(certificate, key) makes them, a list of them, or a function"
            )
            # Text may be a key: it is not repeated.
            _refuse("credentials", f"{kind_of(one)} is not credentials", advice)
    return several


def _check_method(option: str, value: object, method: str, example: str) -> None:
    if isinstance(value, type) or not (value is None or callable(getattr(value, method, None))):
        _refuse(option, f"{kind_of(value)} has no method {method} to call", f"give an object, as {example}")


def _refuse(option: str, reason: str, advice: str) -> NoReturn:
    raise bad_option(option, reason, advice)
