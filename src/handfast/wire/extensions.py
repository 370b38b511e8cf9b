"""Extension bodies: one class for each form that an extension takes in some message. RFC 9846 4.3.

Where an extension has several forms, each class says in its name which message it stands in. ``messages.py`` says which
forms a message may hold; whatever else stands there is kept, undecoded, as an ``OpaqueExtension``: an unknown type, a
GREASE value (RFC 8701), or a known type in a message where it does not belong, which is for the handshake to judge.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, TypeVar

from handfast.limits import MAX_CA_NAMES, MAX_LIST_ITEMS
from handfast.registry import (
    CertificateCompressionAlgorithm,
    CertificateStatusType,
    CertificateType,
    ECPointFormat,
    ExtensionType,
    NamedGroup,
    NameType,
    ProtocolVersion,
    PskKeyExchangeMode,
    SignatureScheme,
)
from handfast.wire.codec import (
    Opaque,
    Remainder,
    Struct,
    TooMany,
    UInt,
    Undecodable,
    Vector,
    read_length,
    tls_struct,
    truncated,
    write_length,
)


class ExtensionBody(Struct):
    """Base of all extension bodies."""

    __slots__ = ()
    EXTENSION_TYPE: ClassVar[int]


@dataclass(slots=True)
class OpaqueExtension(ExtensionBody):
    """An extension that is unknown, or known and not defined for the message it stands in; ``data`` is its body."""

    extension_type: int
    data: bytes


# RFC 9846 itself


@tls_struct
class SupportedVersionsClientHello(ExtensionBody):
    """RFC 9846 4.3.1."""

    EXTENSION_TYPE = ExtensionType.supported_versions
    versions: Annotated[tuple[int, ...], Vector(UInt(2, ProtocolVersion), 2, 254)]


@tls_struct
class SupportedVersionsServerHello(ExtensionBody):
    """RFC 9846 4.3.1; in HelloRetryRequest too."""

    EXTENSION_TYPE = ExtensionType.supported_versions
    selected_version: Annotated[int, UInt(2, ProtocolVersion)]


@tls_struct
class Cookie(ExtensionBody):
    """RFC 9846 4.3.2."""

    EXTENSION_TYPE = ExtensionType.cookie
    cookie: Annotated[bytes, Opaque(1, 2**16 - 1)]


@tls_struct
class SignatureSchemeList(ExtensionBody):
    """RFC 9846 4.3.3."""

    EXTENSION_TYPE = ExtensionType.signature_algorithms
    supported_signature_algorithms: Annotated[tuple[int, ...], Vector(UInt(2, SignatureScheme), 2, 2**16 - 2)]


@tls_struct
class SignatureSchemeListCert(ExtensionBody):
    """RFC 9846 4.3.3: signature_algorithms_cert."""

    EXTENSION_TYPE = ExtensionType.signature_algorithms_cert
    supported_signature_algorithms: Annotated[tuple[int, ...], Vector(UInt(2, SignatureScheme), 2, 2**16 - 2)]


@tls_struct
class CertificateAuthorities(ExtensionBody):
    """RFC 9846 4.3.4: DER-encoded distinguished names."""

    EXTENSION_TYPE = ExtensionType.certificate_authorities
    authorities: Annotated[tuple[bytes, ...], Vector(Opaque(1, 2**16 - 1), 3, 2**16 - 1, most=MAX_CA_NAMES)]


@tls_struct
class OidFilter(Struct):
    """RFC 9846 4.3.5: a DER-encoded object identifier and the DER-encoded value wanted for it."""

    certificate_extension_oid: Annotated[bytes, Opaque(1, 2**8 - 1)]
    certificate_extension_values: Annotated[bytes, Opaque(0, 2**16 - 1)]


@tls_struct
class OidFilters(ExtensionBody):
    """RFC 9846 4.3.5."""

    EXTENSION_TYPE = ExtensionType.oid_filters
    filters: Annotated[tuple[OidFilter, ...], Vector(OidFilter, 0, 2**16 - 1)]


@tls_struct
class PostHandshakeAuth(ExtensionBody):
    """RFC 9846 4.3.6."""

    EXTENSION_TYPE = ExtensionType.post_handshake_auth


@tls_struct
class NamedGroupList(ExtensionBody):
    """RFC 9846 4.3.7: supported_groups."""

    EXTENSION_TYPE = ExtensionType.supported_groups
    named_group_list: Annotated[tuple[int, ...], Vector(UInt(2, NamedGroup), 2, 2**16 - 1)]


@tls_struct
class KeyShareEntry(Struct):
    """RFC 9846 4.3.8."""

    group: Annotated[int, UInt(2, NamedGroup)]
    key_exchange: Annotated[bytes, Opaque(1, 2**16 - 1)]


@tls_struct
class KeyShareClientHello(ExtensionBody):
    """RFC 9846 4.3.8."""

    EXTENSION_TYPE = ExtensionType.key_share
    client_shares: Annotated[tuple[KeyShareEntry, ...], Vector(KeyShareEntry, 0, 2**16 - 1)]


@tls_struct
class KeyShareHelloRetryRequest(ExtensionBody):
    """RFC 9846 4.3.8."""

    EXTENSION_TYPE = ExtensionType.key_share
    selected_group: Annotated[int, UInt(2, NamedGroup)]


@tls_struct
class KeyShareServerHello(ExtensionBody):
    """RFC 9846 4.3.8."""

    EXTENSION_TYPE = ExtensionType.key_share
    server_share: Annotated[KeyShareEntry, KeyShareEntry]


@tls_struct
class PskKeyExchangeModes(ExtensionBody):
    """RFC 9846 4.3.9."""

    EXTENSION_TYPE = ExtensionType.psk_key_exchange_modes
    ke_modes: Annotated[tuple[int, ...], Vector(UInt(1, PskKeyExchangeMode), 1, 255)]


@tls_struct
class EarlyDataIndication(ExtensionBody):
    """RFC 9846 4.3.10, in ClientHello and EncryptedExtensions."""

    EXTENSION_TYPE = ExtensionType.early_data


@tls_struct
class EarlyDataIndicationNewSessionTicket(ExtensionBody):
    """RFC 9846 4.3.10; the size is bytes of plaintext."""

    EXTENSION_TYPE = ExtensionType.early_data
    max_early_data_size: Annotated[int, UInt(4)]


@tls_struct
class PskIdentity(Struct):
    """RFC 9846 4.3.11; the age is milliseconds, plus ticket_age_add, modulo 2^32."""

    identity: Annotated[bytes, Opaque(1, 2**16 - 1)]
    obfuscated_ticket_age: Annotated[int, UInt(4)]


@tls_struct
class OfferedPsks(ExtensionBody):
    """RFC 9846 4.3.11: pre_shared_key in ClientHello."""

    EXTENSION_TYPE = ExtensionType.pre_shared_key
    identities: Annotated[tuple[PskIdentity, ...], Vector(PskIdentity, 7, 2**16 - 1)]
    binders: Annotated[tuple[bytes, ...], Vector(Opaque(32, 255), 33, 2**16 - 1)]


@tls_struct
class SelectedPsk(ExtensionBody):
    """RFC 9846 4.3.11: pre_shared_key in ServerHello."""

    EXTENSION_TYPE = ExtensionType.pre_shared_key
    selected_identity: Annotated[int, UInt(2)]


# What other documents define for TLS 1.3


@tls_struct
class ServerName(Struct):
    """RFC 6066 3; every type of name is to start with a 16-bit length."""

    name_type: Annotated[int, UInt(1, NameType)]
    host_name: Annotated[bytes, Opaque(1, 2**16 - 1, printable=True)]


@tls_struct
class ServerNameList(ExtensionBody):
    """RFC 6066 3, in a request."""

    EXTENSION_TYPE = ExtensionType.server_name
    server_name_list: Annotated[tuple[ServerName, ...], Vector(ServerName, 1, 2**16 - 1)]


@tls_struct
class ServerNameAcknowledged(ExtensionBody):
    """RFC 6066 3, in EncryptedExtensions: empty, the server used the name."""

    EXTENSION_TYPE = ExtensionType.server_name


@tls_struct
class MaxFragmentLength(ExtensionBody):
    """RFC 6066 4: 1 is 2^9 bytes, 2 is 2^10, 3 is 2^11, 4 is 2^12."""

    EXTENSION_TYPE = ExtensionType.max_fragment_length
    max_fragment_length: Annotated[int, UInt(1)]


@tls_struct
class CertificateStatusRequest(ExtensionBody):
    """RFC 6066 8; ``request`` depends on the type: for OCSP two lists, both empty here unless given."""

    EXTENSION_TYPE = ExtensionType.status_request
    status_type: Annotated[int, UInt(1, CertificateStatusType)] = CertificateStatusType.ocsp
    request: Annotated[bytes, Remainder()] = bytes(4)


@tls_struct
class CertificateStatusRequestCertificateRequest(ExtensionBody):
    """RFC 9846 4.5.1.1: a server asks a client for an OCSP response with an empty extension."""

    EXTENSION_TYPE = ExtensionType.status_request


@tls_struct
class CertificateStatusAcknowledged(ExtensionBody):
    """RFC 6066 8, in a ServerHello of TLS 1.2: empty, a CertificateStatus message will follow."""

    EXTENSION_TYPE = ExtensionType.status_request


@tls_struct
class CertificateStatus(ExtensionBody):
    """RFC 6066 8, in CertificateEntry: ``response`` is a DER-encoded OCSPResponse."""

    EXTENSION_TYPE = ExtensionType.status_request
    status_type: Annotated[int, UInt(1, CertificateStatusType)]
    response: Annotated[bytes, Opaque(1, 2**24 - 1)]


@tls_struct
class ProtocolNameList(ExtensionBody):
    """RFC 7301 3.1: application_layer_protocol_negotiation."""

    EXTENSION_TYPE = ExtensionType.application_layer_protocol_negotiation
    protocol_name_list: Annotated[tuple[bytes, ...], Vector(Opaque(1, 2**8 - 1, printable=True), 2, 2**16 - 1)]


@tls_struct
class SignedCertificateTimestampRequest(ExtensionBody):
    """RFC 6962 3.3.1."""

    EXTENSION_TYPE = ExtensionType.signed_certificate_timestamp


@tls_struct
class SignedCertificateTimestampList(ExtensionBody):
    """RFC 6962 3.3, in CertificateEntry."""

    EXTENSION_TYPE = ExtensionType.signed_certificate_timestamp
    sct_list: Annotated[tuple[bytes, ...], Vector(Opaque(1, 2**16 - 1), 1, 2**16 - 1)]


@tls_struct
class ClientCertTypeClientHello(ExtensionBody):
    """RFC 7250 3."""

    EXTENSION_TYPE = ExtensionType.client_certificate_type
    client_certificate_types: Annotated[tuple[int, ...], Vector(UInt(1, CertificateType), 1, 2**8 - 1)]


@tls_struct
class ClientCertTypeEncryptedExtensions(ExtensionBody):
    """RFC 7250 3."""

    EXTENSION_TYPE = ExtensionType.client_certificate_type
    client_certificate_type: Annotated[int, UInt(1, CertificateType)]


@tls_struct
class ServerCertTypeClientHello(ExtensionBody):
    """RFC 7250 3."""

    EXTENSION_TYPE = ExtensionType.server_certificate_type
    server_certificate_types: Annotated[tuple[int, ...], Vector(UInt(1, CertificateType), 1, 2**8 - 1)]


@tls_struct
class ServerCertTypeEncryptedExtensions(ExtensionBody):
    """RFC 7250 3."""

    EXTENSION_TYPE = ExtensionType.server_certificate_type
    server_certificate_type: Annotated[int, UInt(1, CertificateType)]


@tls_struct
class Padding(ExtensionBody):
    """RFC 7685 3: zero bytes."""

    EXTENSION_TYPE = ExtensionType.padding
    padding: Annotated[bytes, Remainder()]


@tls_struct
class CertificateCompressionAlgorithms(ExtensionBody):
    """RFC 8879 3: compress_certificate."""

    EXTENSION_TYPE = ExtensionType.compress_certificate
    algorithms: Annotated[tuple[int, ...], Vector(UInt(2, CertificateCompressionAlgorithm), 2, 2**8 - 2)]


@tls_struct
class RecordSizeLimit(ExtensionBody):
    """RFC 8449 4: bytes of plaintext, in TLS 1.3 with the content type."""

    EXTENSION_TYPE = ExtensionType.record_size_limit
    record_size_limit: Annotated[int, UInt(2)]


@tls_struct
class DelegatedCredential(ExtensionBody):
    """RFC 9345 4, undecoded."""

    EXTENSION_TYPE = ExtensionType.delegated_credential
    data: Annotated[bytes, Remainder()]


@tls_struct
class ClientTicketRequest(ExtensionBody):
    """RFC 9149 3."""

    EXTENSION_TYPE = ExtensionType.ticket_request
    new_session_count: Annotated[int, UInt(1)]
    resumption_count: Annotated[int, UInt(1)]


@tls_struct
class ServerTicketRequestHint(ExtensionBody):
    """RFC 9149 3."""

    EXTENSION_TYPE = ExtensionType.ticket_request
    expected_count: Annotated[int, UInt(1)]


@tls_struct
class QuicTransportParameters(ExtensionBody):
    """RFC 9001 8.2, undecoded."""

    EXTENSION_TYPE = ExtensionType.quic_transport_parameters
    data: Annotated[bytes, Remainder()]


@tls_struct
class EncryptedClientHello(ExtensionBody):
    """RFC 9849 5, undecoded: the outer or inner form, or what a server answers."""

    EXTENSION_TYPE = ExtensionType.encrypted_client_hello
    data: Annotated[bytes, Remainder()]


@tls_struct
class ApplicationSettings(ExtensionBody):
    """draft-vvv-tls-alps, undecoded."""

    EXTENSION_TYPE = ExtensionType.application_settings
    data: Annotated[bytes, Remainder()]


@tls_struct
class ApplicationSettingsOld(ExtensionBody):
    """draft-vvv-tls-alps under its first number, undecoded."""

    EXTENSION_TYPE = ExtensionType.application_settings_old
    data: Annotated[bytes, Remainder()]


# What a ClientHello holds for TLS 1.2


@tls_struct
class ECPointFormatList(ExtensionBody):
    """RFC 8422 5.1.2."""

    EXTENSION_TYPE = ExtensionType.ec_point_formats
    ec_point_format_list: Annotated[tuple[int, ...], Vector(UInt(1, ECPointFormat), 1, 2**8 - 1)]


@tls_struct
class EncryptThenMac(ExtensionBody):
    """RFC 7366 2."""

    EXTENSION_TYPE = ExtensionType.encrypt_then_mac


@tls_struct
class ExtendedMainSecret(ExtensionBody):
    """RFC 7627 5.1."""

    EXTENSION_TYPE = ExtensionType.extended_main_secret


@tls_struct
class SessionTicket(ExtensionBody):
    """RFC 5077 3.2: empty, or the ticket."""

    EXTENSION_TYPE = ExtensionType.session_ticket
    ticket: Annotated[bytes, Remainder()]


@tls_struct
class SessionTicketAcknowledged(ExtensionBody):
    """RFC 5077 3.2, in ServerHello: empty, a NewSessionTicket will come."""

    EXTENSION_TYPE = ExtensionType.session_ticket


@tls_struct
class RenegotiationInfo(ExtensionBody):
    """RFC 5746 3.2."""

    EXTENSION_TYPE = ExtensionType.renegotiation_info
    renegotiated_connection: Annotated[bytes, Opaque(0, 255)]


# Blocks of extensions

Body = TypeVar("Body", bound=ExtensionBody)
Forms = Mapping[int, type[ExtensionBody]]


def forms(*classes: type[ExtensionBody]) -> Forms:
    """Which extensions a message may hold: extension type -> the class of its form there."""
    return {cls.EXTENSION_TYPE: cls for cls in classes}


class Extensions(dict[int, ExtensionBody]):
    """The extensions of one message: extension type -> body, in the order of the wire."""

    __slots__ = ()

    @classmethod
    def of(cls, *bodies: ExtensionBody) -> "Extensions":
        """A block with these extensions in this order. Raises ValueError for two of one type."""
        block = cls()
        for body in bodies:
            extension_type = body.extension_type if type(body) is OpaqueExtension else body.EXTENSION_TYPE
            if extension_type in block:
                raise ValueError(f"two extensions of type {ExtensionType.describe(extension_type)}")
            block[extension_type] = body
        return block

    def find(self, cls: type[Body]) -> Body | None:
        """The extension in the form ``cls``, or None."""
        body = self.get(cls.EXTENSION_TYPE)
        return body if isinstance(body, cls) else None


class PartlyDecoded(Extensions):
    """The extensions of a ClientHello some of which did not decode: those are opaque, and ``undecoded`` says why.

    Whether that matters depends on the version that is spoken, which the hello alone does not settle.
    """

    __slots__ = ("undecoded",)

    def __init__(self, block: Extensions) -> None:
        super().__init__(block)
        self.undecoded: dict[int, Undecodable] = {}


_HEADER = struct.Struct(">HH")


class ExtensionBlock:
    """``Extension extensions<minimum..2^16-1>``, each body in the form that ``forms`` has for it. RFC 9846 4.3.

    ``absent`` says that the message may end without the block, as before TLS 1.3; an empty one is then not written.
    ``judged_later``: a body that does not decode is not refused here, and makes the block a ``PartlyDecoded``.
    """

    __slots__ = ("absent", "forms", "judged_later", "maximum", "minimum", "prefix")

    def __init__(self, forms: Forms, minimum: int = 0, *, absent: bool = False, judged_later: bool = False) -> None:
        self.forms = forms
        self.minimum = minimum
        self.maximum = 2**16 - 1
        self.prefix = 2
        self.absent = absent
        self.judged_later = judged_later

    def read(self, data: bytes, at: int, end: int) -> tuple[Extensions, int]:
        block = Extensions()
        if self.absent and at == end:
            return block, end
        at, stop = read_length(data, at, end, self)
        forms = self.forms
        while at < stop:
            if len(block) >= MAX_LIST_ITEMS:
                raise TooMany(MAX_LIST_ITEMS)
            start = at + 4
            if start > stop:
                truncated(start - stop)
            extension_type, length = _HEADER.unpack_from(data, at)
            at = start + length
            try:
                if at > stop:
                    truncated(at - stop)
                if extension_type in block:
                    raise Undecodable("duplicate_extension", extension=ExtensionType.describe(extension_type))
                form = forms.get(extension_type)
                if form is None:
                    block[extension_type] = OpaqueExtension(extension_type, data[start:at])
                    continue
                block[extension_type], stopped = form.CODEC.read(data, start, at)
                if stopped != at:
                    raise Undecodable("trailing_bytes", extra=at - stopped)
            except Undecodable as error:
                error.path.append(ExtensionType.describe(extension_type))
                if not self.judged_later or at > stop or error.code == "duplicate_extension":
                    raise
                if not isinstance(block, PartlyDecoded):
                    block = PartlyDecoded(block)
                block[extension_type] = OpaqueExtension(extension_type, data[start:at])
                block.undecoded[extension_type] = error.with_traceback(None)
        return block, stop

    def write(self, value: Extensions) -> bytes:
        if self.absent and not value:
            return b""
        parts: list[bytes] = []
        for extension_type, body in value.items():
            data = body.data if type(body) is OpaqueExtension else body.CODEC.write(body)
            try:
                parts += (_HEADER.pack(extension_type, len(data)), data)
            except struct.error:
                words = f"extension type {extension_type} or its {len(data)} bytes do not fit 16 bits"
                raise ValueError(words) from None
        return write_length(b"".join(parts), self)
