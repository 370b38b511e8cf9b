"""Choices and checks of a TLS 1.2 handshake that need no conversation. RFC 5246 7.4.1, RFC 8422, RFC 7627, RFC 5746."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handfast.config.asked import CertificateWanted
from handfast.crypto.groups import CLASSICAL_GROUPS
from handfast.crypto.suites12 import ECDSA, RSA, SUITES_12, Suite12
from handfast.errors import BadMessage, PeerIncompatible, PeerMisbehaved
from handfast.handshake.extension_rules import check_extensions, require
from handfast.handshake.negotiate import check_protocol
from handfast.registry import (
    GROUPS,
    CipherSuite,
    ClientCertificateType,
    ECCurveType,
    ECPointFormat,
    NamedGroup,
)
from handfast.wire.extensions import (
    ECPointFormatList,
    ExtendedMainSecret,
    NamedGroupList,
    ProtocolNameList,
    RenegotiationInfo,
    SessionTicketAcknowledged,
    SignatureSchemeList,
)

if TYPE_CHECKING:
    from handfast.wire.messages import ClientHello
    from handfast.wire.messages12 import CertificateRequest, ServerECDHParams, ServerHello

# What a client that names no groups is taken to have: it is from before x25519. RFC 8422 4 leaves us the choice.
_UNNAMED_GROUPS = (NamedGroup.secp256r1, NamedGroup.secp384r1, NamedGroup.secp521r1)

# The kinds of certificate that sign, by the kind of key that a suite names. RFC 5246 7.4.4 and RFC 8422 5.5.
CERTIFICATE_TYPES = {ECDSA: ClientCertificateType.ecdsa_sign, RSA: ClientCertificateType.rsa_sign}


def _check_renegotiation(hello: ClientHello | ServerHello) -> bool:
    """Whether the hello has renegotiation_info, which is empty: this is a first handshake. RFC 5746 3.4 and 3.6."""
    info = hello.find(RenegotiationInfo)
    if info is not None and info.renegotiated_connection:
        raise PeerMisbehaved("renegotiation_in_first_handshake", message=type(hello).__name__)
    return info is not None


def _check_point_formats(hello: ClientHello | ServerHello) -> None:
    """Uncompressed points are known to all. RFC 8422 5.1.2."""
    formats = hello.find(ECPointFormatList)
    if formats is not None and ECPointFormat.uncompressed not in formats.ec_point_format_list:
        raise PeerMisbehaved("no_uncompressed_points", message=type(hello).__name__)


def _check_extended(hello: ClientHello | ServerHello, peer: str, *, required: bool) -> bool:
    """Whether the peer speaks the extended main secret. RFC 7627 5.2 and 5.3."""
    extended = hello.find(ExtendedMainSecret) is not None
    if required and not extended:
        raise PeerIncompatible("no_extended_main_secret", peer=peer)
    return extended


# The client's side


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """What a ServerHello settled.

    ``extended`` says that the main secret is the extended one; ``resumes``, that the server echoes our session id, and
    so resumes the session that we offered; ``ticket``, that a NewSessionTicket will come.
    """

    suite: Suite12
    extended: bool
    protocol: str | None
    resumes: bool
    ticket: bool


def check_server_hello(hello: ClientHello, answer: ServerHello, *, require_extended: bool) -> ServerChoice:
    """What the server chose, all of it offered in ``hello``. RFC 5246 7.4.1.3."""
    suite = SUITES_12.get(answer.cipher_suite)
    if suite is None or suite.id not in hello.cipher_suites:
        name = CipherSuite.describe(answer.cipher_suite)
        ours = CipherSuite.describe_all(hello.cipher_suites)
        raise PeerMisbehaved("suite_not_offered", message="ServerHello", suite=name, ours=ours)
    if answer.compression_method:
        raise PeerMisbehaved("compression_selected", message="ServerHello", method=answer.compression_method)
    check_extensions(answer, hello.extensions)
    _check_point_formats(answer)
    if not _check_renegotiation(answer):
        raise PeerIncompatible("no_secure_renegotiation")
    extended = _check_extended(answer, "server", required=require_extended)
    resumes = answer.session_id != b"" and answer.session_id == hello.legacy_session_id
    ticket = answer.find(SessionTicketAcknowledged) is not None
    return ServerChoice(suite, extended, check_protocol(hello, answer), resumes, ticket)


def check_resumption(choice: ServerChoice, suite: int | None) -> None:
    """A server that resumes a session keeps to its suite, and to the extended main secret. RFC 7627 5.3.

    ``suite`` is that of the session that we offered, or None.
    """
    if suite is None:
        raise PeerMisbehaved("resumes_no_session")
    if choice.suite.id != suite:
        raise PeerMisbehaved("resumption_with_other_suite", suite=choice.suite.name)
    if not choice.extended:
        raise PeerMisbehaved("resumption_not_extended", message="ServerHello")


def check_params(hello: ClientHello, params: ServerECDHParams) -> NamedGroup:
    """The group of the key exchange, which we offered. RFC 8422 5.4."""
    if params.curve_type != ECCurveType.named_curve:
        value = ECCurveType.describe(params.curve_type)
        raise BadMessage("bad_value", message="ServerKeyExchange", field="curve_type", value=value)
    group = params.named_curve
    offered = [one for one in require(hello, NamedGroupList).named_group_list if one in CLASSICAL_GROUPS]
    if group not in offered:
        name, ours = NamedGroup.describe(group), NamedGroup.describe_all(offered)
        raise PeerMisbehaved("group_not_offered", message="ServerKeyExchange", group=name, ours=ours)
    return GROUPS[group]


@dataclass(frozen=True, slots=True)
class CertificateWanted12:
    """What a CertificateRequest asks for; ``ca_names`` are DER, () when the request names none."""

    certificate_types: tuple[int, ...]
    schemes: tuple[int, ...]
    ca_names: tuple[bytes, ...]

    @classmethod
    def from_request(cls, request: CertificateRequest) -> CertificateWanted12:
        """RFC 5246 7.4.4."""
        return cls(request.certificate_types, request.supported_signature_algorithms, request.certificate_authorities)

    @property
    def asked(self) -> CertificateWanted:
        """The request in the form from which credentials are chosen in every version."""
        return CertificateWanted(b"", self.schemes, self.ca_names)


# The server's side


@dataclass(frozen=True, slots=True)
class Offer:
    """A ClientHello's offer, checked. ``secure_renegotiation``: whether it must be answered, RFC 5746 3.6."""

    hello: ClientHello
    suites: tuple[int, ...]
    groups: tuple[int, ...]
    schemes: tuple[int, ...]
    protocols: tuple[bytes, ...]
    extended: bool
    secure_renegotiation: bool


def check_client_hello(hello: ClientHello, *, require_extended: bool) -> Offer:
    """What a client offers, if its hello is whole. RFC 5246 7.4.1.2."""
    if 0 not in hello.legacy_compression_methods:
        raise PeerMisbehaved("no_null_compression")
    check_extensions(hello)
    _check_point_formats(hello)
    secure = _check_renegotiation(hello) or CipherSuite.TLS_EMPTY_RENEGOTIATION_INFO_SCSV in hello.cipher_suites
    extended = _check_extended(hello, "client", required=require_extended)
    groups = hello.find(NamedGroupList)
    # RFC 5246 7.4.1.4.1: without it SHA-1 is meant, with which no signature is made any more.
    schemes = hello.find(SignatureSchemeList)
    protocols = hello.find(ProtocolNameList)
    return Offer(
        hello,
        hello.cipher_suites,
        _UNNAMED_GROUPS if groups is None else groups.named_group_list,
        () if schemes is None else schemes.supported_signature_algorithms,
        () if protocols is None else protocols.protocol_name_list,
        extended,
        secure,
    )


def common_suites(ours: Sequence[int], offer: Offer) -> list[Suite12]:
    """Our suites that the client offers, most wanted first; at least one. RFC 5246 7.4.1.3."""
    spoken = [suite for suite in ours if suite in SUITES_12]
    common = [SUITES_12[suite] for suite in spoken if suite in offer.suites]
    if not common:
        theirs = CipherSuite.describe_all(offer.suites)
        raise PeerIncompatible("no_common_suite", theirs=theirs, ours=CipherSuite.describe_all(spoken))
    return common


def choose_group(ours: Sequence[int], offered: Collection[int]) -> NamedGroup:
    """Our most wanted group among those offered; P-256, if we have it, where the client named none. RFC 8422 4, 5.1."""
    if offered is _UNNAMED_GROUPS and NamedGroup.secp256r1 in ours:
        return NamedGroup.secp256r1
    for group in ours:
        if group in offered and group in CLASSICAL_GROUPS:
            return GROUPS[group]
    theirs = NamedGroup.describe_all(offered)
    raise PeerIncompatible("no_common_group", theirs=theirs, ours=NamedGroup.describe_all(ours))
