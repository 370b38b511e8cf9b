"""Choices and checks that need no conversation: what was offered and what came -> what holds, or an error.

All of this is pure, so that every refusal of the RFC can be read, and tested, by itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from handfast.config.asked import CertificateWanted, HelloSeen
from handfast.crypto.suites import SUITES_13
from handfast.errors import PeerIncompatible, PeerMisbehaved
from handfast.handshake.extension_rules import Extended, check_extensions, require
from handfast.handshake.psk import allows_dhe, check_psk_form, check_selected, psk_identities
from handfast.registry import (
    GROUPS,
    CertificateStatusType,
    CipherSuite,
    ExtensionType,
    NamedGroup,
    ProtocolVersion,
    SignatureScheme,
)
from handfast.wire.extensions import (
    CertificateAuthorities,
    CertificateCompressionAlgorithms,
    CertificateStatusRequest,
    CertificateStatusRequestCertificateRequest,
    ClientTicketRequest,
    Cookie,
    EarlyDataIndication,
    KeyShareClientHello,
    KeyShareHelloRetryRequest,
    KeyShareServerHello,
    NamedGroupList,
    OfferedPsks,
    OidFilters,
    PostHandshakeAuth,
    ProtocolNameList,
    SelectedPsk,
    ServerNameList,
    SignatureSchemeList,
    SignedCertificateTimestampRequest,
    SupportedVersionsClientHello,
    SupportedVersionsServerHello,
)
from handfast.wire.messages import (
    CertificateRequest,
    ClientHello,
    EncryptedExtensions,
    HelloRetryRequest,
    ServerHello,
)

if TYPE_CHECKING:
    from handfast.config.config import ServerConfig

TLS12, TLS13 = ProtocolVersion.TLS12, ProtocolVersion.TLS13

# The last eight bytes of a ServerHello's random when a 1.3 server negotiates less. RFC 9846 4.2.3.
DOWNGRADE_SENTINELS = (b"DOWNGRD\x01", b"DOWNGRD\x00")

# The client's side


def check_answers_hello(hello: ClientHello, answer: ServerHello | HelloRetryRequest) -> None:
    """What ServerHello and HelloRetryRequest must both fulfil. RFC 9846 4.2.3 and 4.2.4."""
    name = type(answer).__name__
    check_version(hello, answer)
    if answer.legacy_session_id_echo != hello.legacy_session_id:
        raise PeerMisbehaved("wrong_session_id_echo", message=name)
    if answer.legacy_compression_method:
        raise PeerMisbehaved("compression_selected", message=name, method=answer.legacy_compression_method)
    if answer.cipher_suite not in hello.cipher_suites or answer.cipher_suite not in SUITES_13:
        suite = CipherSuite.describe(answer.cipher_suite)
        ours = CipherSuite.describe_all(hello.cipher_suites)
        raise PeerMisbehaved("suite_not_offered", message=name, suite=suite, ours=ours)
    requested = {*hello.extensions, ExtensionType.cookie} if isinstance(answer, HelloRetryRequest) else hello.extensions
    check_extensions(answer, requested)


def check_version(hello: ClientHello, answer: ServerHello | HelloRetryRequest) -> None:
    """The server speaks TLS 1.3. RFC 9846 4.2.3 and 4.3.1."""
    name = type(answer).__name__
    selected = require(answer, SupportedVersionsServerHello)
    if selected.selected_version != TLS13:
        version = ProtocolVersion.describe(selected.selected_version)
        ours = ProtocolVersion.describe_all(require(hello, SupportedVersionsClientHello).versions)
        raise PeerMisbehaved("version_not_offered", message=name, version=version, ours=ours)
    if answer.legacy_version != TLS12:
        raise PeerMisbehaved("legacy_version", message=name, version=answer.legacy_version)


def check_retry(hello: ClientHello, retry: HelloRetryRequest) -> int | None:
    """The group for which the server wants a key share, or None if it only wants its cookie back. RFC 9846 4.2.4."""
    check_answers_hello(hello, retry)
    wanted = retry.find(KeyShareHelloRetryRequest)
    if wanted is None:
        if retry.find(Cookie) is None:
            raise PeerMisbehaved("retry_changes_nothing")
        return None
    group = NamedGroup.describe(wanted.selected_group)
    offered = require(hello, NamedGroupList).named_group_list
    if wanted.selected_group not in offered:
        ours = NamedGroup.describe_all(offered)
        raise PeerMisbehaved("group_not_offered", message="HelloRetryRequest", group=group, ours=ours)
    if any(share.group == wanted.selected_group for share in require(hello, KeyShareClientHello).client_shares):
        raise PeerMisbehaved("retry_for_shared_group", group=group)
    return wanted.selected_group


@dataclass(slots=True)
class ServerChoice:
    """What a ServerHello settled: numbers of their registries, the server's public value, whether it took our PSK."""

    suite: int
    group: int
    key_exchange: bytes
    resumes: bool


def check_server_hello(hello: ClientHello, answer: ServerHello, retry: HelloRetryRequest | None) -> ServerChoice:
    """What the server chose, all of it offered in ``hello`` and none of it other than its own retry said."""
    check_answers_hello(hello, answer)
    share = require(answer, KeyShareServerHello).server_share
    offered = [one.group for one in require(hello, KeyShareClientHello).client_shares]
    if share.group not in offered:
        ours = NamedGroup.describe_all(offered)
        raise PeerMisbehaved("share_not_offered", group=NamedGroup.describe(share.group), ours=ours)
    if retry is not None and answer.cipher_suite != retry.cipher_suite:
        raise PeerMisbehaved("changed_after_retry", message="ServerHello", field="cipher_suite")
    selected = answer.find(SelectedPsk)
    if selected is not None:
        check_selected(hello, selected)
    return ServerChoice(answer.cipher_suite, share.group, share.key_exchange, selected is not None)


def check_encrypted_extensions(hello: ClientHello, answer: EncryptedExtensions) -> str | None:
    """The ALPN protocol that the server selected, if any. RFC 9846 4.4.1, RFC 7301 3.1."""
    check_extensions(answer, hello.extensions)
    return check_protocol(hello, answer)


def check_protocol(hello: ClientHello, answer: Extended) -> str | None:
    """The ALPN protocol that the message selects, if any; it must be one of the hello's. RFC 7301 3.1."""
    selected = answer.find(ProtocolNameList)
    if selected is None:
        return None
    protocols = selected.protocol_name_list
    if len(protocols) != 1:
        raise PeerMisbehaved("alpn_not_one", count=len(protocols))
    offered = require(hello, ProtocolNameList).protocol_name_list
    if protocols[0] not in offered:
        ours = ", ".join(name.decode("utf-8", "backslashreplace") for name in offered)
        raise PeerMisbehaved("alpn_not_offered", protocol=repr(protocols[0]), ours=ours)
    return protocols[0].decode("utf-8", "backslashreplace")


def check_certificate_request(request: CertificateRequest, *, later: bool = False) -> CertificateWanted:
    """What a CertificateRequest asks for. In the handshake, and only there, its context is empty. RFC 9846 4.4.2."""
    check_extensions(request)
    if request.certificate_request_context and not later:
        raise PeerMisbehaved("certificate_context", message="CertificateRequest")
    schemes = require(request, SignatureSchemeList).supported_signature_algorithms
    authorities = request.find(CertificateAuthorities)
    ca_names = () if authorities is None else tuple(authorities.authorities)
    found = request.find(OidFilters)
    filters = () if found is None else found.filters
    pairs = tuple((one.certificate_extension_oid, one.certificate_extension_values) for one in filters)
    return CertificateWanted(request.certificate_request_context, tuple(schemes), ca_names, pairs)


# The server's side


@dataclass(frozen=True, slots=True)
class OfferedParameters:
    """What a ClientHello says beside its key shares and PSKs: the same for all hellos of one shape.

    Numbers of their registries. ``schemes`` is None in a hello that is content with its PSKs; ``resumes`` says whether
    it can resume in the one way that we do, with (EC)DHE, ``tickets`` how many it asks for, new and resumed.
    """

    suites: tuple[int, ...]
    groups: tuple[int, ...]
    protocols: tuple[bytes, ...]
    schemes: tuple[int, ...] | None
    names_server: bool
    early_data: bool
    post_handshake_auth: bool
    resumes: bool
    tickets: tuple[int, int] | None


@dataclass(slots=True, eq=False)
class Offer:
    """A ClientHello's offer, checked: what it says, key shares by group."""

    hello: ClientHello
    parameters: OfferedParameters
    shares: dict[int, bytes]

    @property
    def protocols(self) -> tuple[bytes, ...]:
        """The application protocols, as sent."""
        return self.parameters.protocols


@dataclass(frozen=True, slots=True)
class NegotiatedParameters:
    """What a hello comes to under a configuration."""

    parameters: OfferedParameters
    suite: int
    group: NamedGroup
    protocol: str | None
    form: CertificateForm


def negotiate_parameters(config: ServerConfig, hello: ClientHello) -> tuple[NegotiatedParameters, Offer]:
    """What becomes of a hello of TLS 1.3: the same for all of one shape with shares for the same groups."""
    if hello.shape is None:
        return _negotiate_parameters(config, hello)
    # Two shares for one group would be refused, and are two in the key.
    entries = require(hello, KeyShareClientHello).client_shares
    key = hello.shape, *[share.group for share in entries]
    kept = config.negotiations.get(key)
    if kept is None:
        kept, offer = _negotiate_parameters(config, hello)
        config.negotiations.keep(key, kept, 256 + 8 * len(key))
        return kept, offer
    if ExtensionType.pre_shared_key in hello.extensions:
        check_psk_form(hello)
    return kept, Offer(hello, kept.parameters, {share.group: share.key_exchange for share in entries})


def _negotiate_parameters(config: ServerConfig, hello: ClientHello) -> tuple[NegotiatedParameters, Offer]:
    if hello.find(Cookie) is not None:
        raise PeerMisbehaved("cookie_in_first_hello")
    offer = check_client_hello(hello)
    suite = choose_suite(config.suites, offer)
    group = choose_group(config.groups, offer)
    protocol = choose_protocol(config.application_protocols, offer, required=config.require_application_protocol)
    form = certificate_form(hello, config.certificate_compression)
    return NegotiatedParameters(offer.parameters, suite, group, protocol, form), offer


def check_client_hello(hello: ClientHello) -> Offer:
    """What a client that speaks TLS 1.3 offers, if its hello is whole. RFC 9846 4.2.2 and 9.2."""
    if hello.legacy_compression_methods != b"\x00":
        raise PeerMisbehaved("compression_offered")
    check_extensions(hello)
    check_psk_form(hello)
    groups = tuple(require(hello, NamedGroupList).named_group_list)
    shares = _shares_by_group(require(hello, KeyShareClientHello), groups)
    if hello.find(OfferedPsks) is None:
        require(hello, SignatureSchemeList)
    protocols, schemes = hello.find(ProtocolNameList), hello.find(SignatureSchemeList)
    tickets = hello.find(ClientTicketRequest)
    parameters = OfferedParameters(
        tuple(hello.cipher_suites),
        groups,
        () if protocols is None else tuple(protocols.protocol_name_list),
        None if schemes is None else tuple(schemes.supported_signature_algorithms),
        names_server=hello.find(ServerNameList) is not None,
        early_data=hello.find(EarlyDataIndication) is not None,
        post_handshake_auth=hello.find(PostHandshakeAuth) is not None,
        resumes=allows_dhe(hello),
        tickets=None if tickets is None else (tickets.new_session_count, tickets.resumption_count),
    )
    return Offer(hello, parameters, shares)


def signature_schemes(offer: Offer) -> tuple[int, ...]:
    """What our certificate may be signed with; only a hello that is content with its PSKs leaves them out."""
    schemes = offer.parameters.schemes
    return (
        tuple(require(offer.hello, SignatureSchemeList).supported_signature_algorithms) if schemes is None else schemes
    )


def seen(hello: ClientHello) -> HelloSeen:
    """What a server may choose its configuration by."""
    versions, groups = hello.find(SupportedVersionsClientHello), hello.find(NamedGroupList)
    schemes, protocols = hello.find(SignatureSchemeList), hello.find(ProtocolNameList)
    authorities = hello.find(CertificateAuthorities)
    return HelloSeen(
        server_name=hello.sni_name,
        application_protocols=() if protocols is None else tuple(protocols.protocol_name_list),
        versions=(hello.legacy_version,) if versions is None else tuple(versions.versions),
        suites=tuple(hello.cipher_suites),
        groups=() if groups is None else tuple(groups.named_group_list),
        schemes=() if schemes is None else tuple(schemes.supported_signature_algorithms),
        ca_names=() if authorities is None else tuple(authorities.authorities),
        offers_psk=hello.find(OfferedPsks) is not None,
        early_data=hello.find(EarlyDataIndication) is not None,
        raw=hello.raw,
    )


def sni_name(hello: ClientHello) -> str | None:
    """The host name that a client asks for, whatever version will be spoken; None if it names no host. RFC 6066 3.

    There is one name of each type, and that of a host is printable ASCII; names of other types mean nothing. Raises
    PeerMisbehaved bad_server_name.
    """
    shape = hello.shape
    if shape is not None and shape.host_name:
        return shape.sni_name
    asked = hello.find(ServerNameList)
    if asked is None:
        return None
    entries = asked.server_name_list
    if len(entries) > 1 and len({entry.name_type for entry in entries}) != len(entries):
        raise PeerMisbehaved("bad_server_name", reason="two names of one type")
    name = hello.sni_name
    if name is not None and not _HOST_NAME(name):
        raise PeerMisbehaved("bad_server_name", reason="bytes that no host name has")
    if shape is not None:
        shape.host_name = True
    return name


# Visible ASCII. What is not ASCII at all has become U+FFFD by now.
_HOST_NAME = re.compile("[!-~]+").fullmatch


def _shares_by_group(key_share: KeyShareClientHello, groups: Collection[int]) -> dict[int, bytes]:
    """One share per group, each for a group of supported_groups. RFC 9846 4.3.8."""
    shares: dict[int, bytes] = {}
    named = frozenset(groups)
    for share in key_share.client_shares:
        if share.group in shares:
            raise PeerMisbehaved("duplicate_key_share", group=NamedGroup.describe(share.group))
        if share.group not in named:
            raise PeerMisbehaved("share_outside_groups", group=NamedGroup.describe(share.group))
        shares[share.group] = share.key_exchange
    return shares


def choose_suite(ours: Sequence[int], offer: Offer) -> int:
    """Our most wanted suite among those offered. RFC 9846 4.2.2."""
    ours = [suite for suite in ours if suite in SUITES_13]
    for suite in ours:
        if suite in offer.parameters.suites:
            return suite
    theirs = CipherSuite.describe_all(offer.parameters.suites)
    raise PeerIncompatible("no_common_suite", theirs=theirs, ours=CipherSuite.describe_all(ours))


def choose_group(ours: Sequence[int], offer: Offer) -> NamedGroup:
    """Our most wanted group among those with a share, else among those without: a retry asks for it. RFC 9846 4.2.1."""
    for group in ours:
        if group in offer.shares:
            return GROUPS[group]
    for group in ours:
        if group in offer.parameters.groups:
            return GROUPS[group]
    theirs = NamedGroup.describe_all(offer.parameters.groups)
    raise PeerIncompatible("no_common_group", theirs=theirs, ours=NamedGroup.describe_all(ours))


class OffersProtocols(Protocol):
    """A client's offer, of whatever version."""

    @property
    def protocols(self) -> tuple[bytes, ...]: ...


def choose_protocol(ours: Sequence[str], offer: OffersProtocols, *, required: bool) -> str | None:
    """Our most wanted ALPN protocol among those offered; None when either side does not speak ALPN. RFC 7301 3.2."""
    if not ours or not offer.protocols:
        return None
    for protocol in ours:
        if protocol.encode() in offer.protocols:
            return protocol
    if not required:
        return None
    theirs = ", ".join(protocol.decode("ascii", "backslashreplace") for protocol in offer.protocols)
    raise PeerIncompatible("no_common_application_protocol", theirs=theirs, ours=", ".join(ours))


# What a client may change in its second hello. RFC 9846 4.2.2.
_MAY_CHANGE = frozenset(
    (ExtensionType.key_share, ExtensionType.cookie, ExtensionType.pre_shared_key, ExtensionType.padding)
)


def check_second_hello(first: Offer, second: ClientHello, group: int, cookie: bytes) -> Offer:
    """The hello that answers our HelloRetryRequest: the same as the first, but for what we asked. RFC 9846 4.2.2."""
    before = first.hello
    for name in ("legacy_version", "random", "legacy_session_id", "cipher_suites", "legacy_compression_methods"):
        if getattr(before, name) != getattr(second, name):
            raise PeerMisbehaved("changed_after_retry", message="ClientHello", field=name)
    for extension_type in {*before.extensions, *second.extensions} - _MAY_CHANGE - {ExtensionType.early_data}:
        if before.extensions.get(extension_type) != second.extensions.get(extension_type):
            name = ExtensionType.describe(extension_type)
            raise PeerMisbehaved("changed_after_retry", message="ClientHello", field=name)
    if ExtensionType.early_data in second.extensions:
        raise PeerMisbehaved("changed_after_retry", message="ClientHello", field="early_data")
    if not psk_identities(second) <= psk_identities(before):
        raise PeerMisbehaved("changed_after_retry", message="ClientHello", field="pre_shared_key to one that is new")
    returned = second.find(Cookie)
    if returned is None or returned.cookie != cookie:
        raise PeerMisbehaved("wrong_cookie")
    offer = check_client_hello(second)
    if list(offer.shares) != [group]:
        raise PeerMisbehaved("changed_after_retry", message="ClientHello", field="key_share otherwise than asked")
    return offer


# Certificates, in both roles


@dataclass(frozen=True, slots=True)
class CertificateForm:
    """How a Certificate may be sent, and what may stand beside its leaf: ``compression`` is an algorithm's number."""

    compression: int | None
    ocsp_response: bool
    timestamps: bool


def certificate_form(asking: ClientHello | CertificateRequest, compression: Iterable[int]) -> CertificateForm:
    """What ``asking`` lets a Certificate be, for a sender that compresses with these, most wanted first."""
    offered = compression_offered(asking)
    status = asking.find(CertificateStatusRequest)
    return CertificateForm(
        next((algorithm for algorithm in compression if algorithm in offered), None),
        asking.find(CertificateStatusRequestCertificateRequest) is not None
        or (status is not None and status.status_type == CertificateStatusType.ocsp),
        asking.find(SignedCertificateTimestampRequest) is not None,
    )


def compression_offered(asking: ClientHello | CertificateRequest) -> tuple[int, ...]:
    """The algorithms by which the Certificate that answers may be compressed. RFC 8879 3."""
    offered = asking.find(CertificateCompressionAlgorithms)
    return () if offered is None else tuple(offered.algorithms)


def choose_scheme(
    ours: Iterable[SignatureScheme], theirs: Collection[int], allowed: Collection[int] | None = None
) -> SignatureScheme | None:
    """The first of our key's schemes that the peer accepts, and that we may sign with; None allows all."""
    return next((one for one in ours if one in theirs and (allowed is None or one in allowed)), None)
