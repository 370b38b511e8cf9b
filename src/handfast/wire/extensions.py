"""Extension bodies: one class for each form that an extension takes in some message. RFC 9846 4.3.

Where an extension has several forms, each class says in its name which message it stands in. ``messages.py`` says which
forms a message may hold; whatever else stands there is kept, undecoded, as an ``OpaqueExtension``: an unknown type, a
GREASE value (RFC 8701), or a known type in a message where it does not belong, which is for the handshake to judge.
"""

from typing import Annotated

from handfast.limits import MAX_CA_NAMES
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
from handfast.wire.codec import Opaque, Remainder, Struct, UInt, Vector, tls_struct

# Who wants an extension wants the block that it stands in, too.
from handfast.wire.extension_block import Body as Body
from handfast.wire.extension_block import ExtensionBlock as ExtensionBlock
from handfast.wire.extension_block import ExtensionBody as ExtensionBody
from handfast.wire.extension_block import Extensions as Extensions
from handfast.wire.extension_block import OpaqueExtension as OpaqueExtension
from handfast.wire.extension_block import PartlyDecoded as PartlyDecoded
from handfast.wire.extension_block import forms as forms

# What is said of fields that several extensions have.
STATUS_TYPE = "What kind of status it is."
OCSP_RESPONSE = "The signed answer of the CA's OCSP responder."
_SCHEMES = "How signatures may be made, most wanted first."
_KINDS = "The kinds, most wanted first."
_CHOSEN_KIND = "The kind that the server chose."
_UNDECODED = "Its content, which handfast does not decode."


# RFC 9846 itself


@tls_struct
class SupportedVersionsClientHello(ExtensionBody):
    """The versions of TLS that the client speaks. RFC 9846 4.3.1."""

    EXTENSION_TYPE = ExtensionType.supported_versions
    versions: Annotated[tuple[int, ...], Vector(UInt(2, ProtocolVersion), 2, 254), "The versions, most wanted first."]


@tls_struct
class SupportedVersionsServerHello(ExtensionBody):
    """The version of TLS that the server chose. RFC 9846 4.3.1.

    It stands in HelloRetryRequest too.
    """

    EXTENSION_TYPE = ExtensionType.supported_versions
    selected_version: Annotated[int, UInt(2, ProtocolVersion), "The version that is spoken from here on."]


@tls_struct
class Cookie(ExtensionBody):
    """Bytes that the client sends back, so that the server need not remember the first hello. RFC 9846 4.3.2."""

    EXTENSION_TYPE = ExtensionType.cookie
    cookie: Annotated[bytes, Opaque(1, 2**16 - 1), "The bytes to send back, which only the server can read."]


@tls_struct
class SignatureSchemeList(ExtensionBody):
    """How the peer may sign, and its certificates too unless signature_algorithms_cert differs. RFC 9846 4.3.3."""

    EXTENSION_TYPE = ExtensionType.signature_algorithms
    supported_signature_algorithms: Annotated[tuple[int, ...], Vector(UInt(2, SignatureScheme), 2, 2**16 - 2), _SCHEMES]


@tls_struct
class SignatureSchemeListCert(ExtensionBody):
    """How the certificates of the peer may be signed, where that differs from its own signature. RFC 9846 4.3.3.

    It is signature_algorithms_cert.
    """

    EXTENSION_TYPE = ExtensionType.signature_algorithms_cert
    supported_signature_algorithms: Annotated[tuple[int, ...], Vector(UInt(2, SignatureScheme), 2, 2**16 - 2), _SCHEMES]


@tls_struct
class CertificateAuthorities(ExtensionBody):
    """The CAs that the sender accepts, by name, to help the peer choose a certificate. RFC 9846 4.3.4.

    The names are DER-encoded distinguished names.
    """

    EXTENSION_TYPE = ExtensionType.certificate_authorities
    authorities: Annotated[
        tuple[bytes, ...],
        Vector(Opaque(1, 2**16 - 1), 3, 2**16 - 1, most=MAX_CA_NAMES),
        "The names of the CAs, each in DER.",
    ]


@tls_struct
class OidFilter(Struct):
    """One extension that the client's certificate must have, and with which values. RFC 9846 4.3.5.

    Both are DER-encoded: an object identifier and the value wanted for it.
    """

    certificate_extension_oid: Annotated[bytes, Opaque(1, 2**8 - 1), "Which extension of the certificate."]
    certificate_extension_values: Annotated[bytes, Opaque(0, 2**16 - 1), "The values that it must have; empty for any."]


@tls_struct
class OidFilters(ExtensionBody):
    """What the client's certificate must say in its extensions. RFC 9846 4.3.5."""

    EXTENSION_TYPE = ExtensionType.oid_filters
    filters: Annotated[tuple[OidFilter, ...], Vector(OidFilter, 0, 2**16 - 1), "The filters, all of which must fit."]


@tls_struct
class PostHandshakeAuth(ExtensionBody):
    """The client lets the server ask for a certificate after the handshake. RFC 9846 4.3.6."""

    EXTENSION_TYPE = ExtensionType.post_handshake_auth


@tls_struct
class NamedGroupList(ExtensionBody):
    """The groups in which the sender can agree on keys. RFC 9846 4.3.7.

    It is supported_groups.
    """

    EXTENSION_TYPE = ExtensionType.supported_groups
    named_group_list: Annotated[
        tuple[int, ...], Vector(UInt(2, NamedGroup), 2, 2**16 - 1), "The groups, most wanted first."
    ]


@tls_struct
class KeyShareEntry(Struct):
    """A public key of the sender, and the group it is of. RFC 9846 4.3.8."""

    group: Annotated[int, UInt(2, NamedGroup), "The group that the key is of."]
    key_exchange: Annotated[
        bytes, Opaque(1, 2**16 - 1), "The public key; a server with ML-KEM sends a secret encrypted to the client's."
    ]


@tls_struct
class KeyShareClientHello(ExtensionBody):
    """The client's public keys: the server takes one, and both can compute the keys. RFC 9846 4.3.8."""

    EXTENSION_TYPE = ExtensionType.key_share
    client_shares: Annotated[
        tuple[KeyShareEntry, ...],
        Vector(KeyShareEntry, 0, 2**16 - 1),
        "A public key for each group that the client guesses the server will take.",
    ]


@tls_struct
class KeyShareHelloRetryRequest(ExtensionBody):
    """The group of which the server wants a public key in the next hello. RFC 9846 4.3.8."""

    EXTENSION_TYPE = ExtensionType.key_share
    selected_group: Annotated[int, UInt(2, NamedGroup), "The group that the server chose."]


@tls_struct
class KeyShareServerHello(ExtensionBody):
    """The server's public key: with the client's it makes the shared secret. RFC 9846 4.3.8."""

    EXTENSION_TYPE = ExtensionType.key_share
    server_share: Annotated[
        KeyShareEntry, KeyShareEntry, "The server's public key, of the group of one of the client's."
    ]


@tls_struct
class PskKeyExchangeModes(ExtensionBody):
    """Whether a resumed session must also agree on fresh keys. RFC 9846 4.3.9."""

    EXTENSION_TYPE = ExtensionType.psk_key_exchange_modes
    ke_modes: Annotated[
        tuple[int, ...],
        Vector(UInt(1, PskKeyExchangeMode), 1, 255),
        "The ways of using a pre-shared key that the client accepts.",
    ]


@tls_struct
class EarlyDataIndication(ExtensionBody):
    """From the client: early data follows this hello; from the server: it is accepted. RFC 9846 4.3.10.

    It stands in ClientHello and in EncryptedExtensions.
    """

    EXTENSION_TYPE = ExtensionType.early_data


@tls_struct
class EarlyDataIndicationNewSessionTicket(ExtensionBody):
    """With this ticket the client may send early data. RFC 9846 4.3.10.

    The size is bytes of plaintext.
    """

    EXTENSION_TYPE = ExtensionType.early_data
    max_early_data_size: Annotated[int, UInt(4), "How many bytes of early data the server would take."]


@tls_struct
class PskIdentity(Struct):
    """One pre-shared key that the client offers, mostly a ticket. RFC 9846 4.3.11.

    The age is milliseconds, plus ticket_age_add, modulo 2^32.
    """

    identity: Annotated[bytes, Opaque(1, 2**16 - 1), "The name of the key: the ticket as the server gave it."]
    obfuscated_ticket_age: Annotated[int, UInt(4), "How old the ticket is, disguised by adding ticket_age_add."]


@tls_struct
class OfferedPsks(ExtensionBody):
    """The client offers to resume a session, or to use a key that both have. RFC 9846 4.3.11.

    It is pre_shared_key in ClientHello.
    """

    EXTENSION_TYPE = ExtensionType.pre_shared_key
    identities: Annotated[
        tuple[PskIdentity, ...], Vector(PskIdentity, 7, 2**16 - 1), "The keys that are offered, most wanted first."
    ]
    binders: Annotated[
        tuple[bytes, ...],
        Vector(Opaque(32, 255), 33, 2**16 - 1),
        "For each key a MAC which proves that the client has it.",
    ]


@tls_struct
class SelectedPsk(ExtensionBody):
    """The server takes one of the pre-shared keys: the session is resumed. RFC 9846 4.3.11.

    It is pre_shared_key in ServerHello.
    """

    EXTENSION_TYPE = ExtensionType.pre_shared_key
    selected_identity: Annotated[int, UInt(2), "The number of the key in the client's list, counted from 0."]


# What other documents define for TLS 1.3


@tls_struct
class ServerName(Struct):
    """One name of the server, with its kind. RFC 6066 3.

    Every type of name is to start with a 16-bit length.
    """

    name_type: Annotated[int, UInt(1, NameType), "What kind of name it is."]
    host_name: Annotated[bytes, Opaque(1, 2**16 - 1, printable=True), "The host name that the client wants to reach."]


@tls_struct
class ServerNameList(ExtensionBody):
    """The name of the server that the client wants to reach (SNI), readable by all on the path. RFC 6066 3."""

    EXTENSION_TYPE = ExtensionType.server_name
    server_name_list: Annotated[
        tuple[ServerName, ...], Vector(ServerName, 1, 2**16 - 1), "The names; clients send one."
    ]


@tls_struct
class ServerNameAcknowledged(ExtensionBody):
    """The server used the name that the client asked for. RFC 6066 3.

    It is empty, and stands in EncryptedExtensions.
    """

    EXTENSION_TYPE = ExtensionType.server_name


@tls_struct
class MaxFragmentLength(ExtensionBody):
    """The client asks for shorter records. RFC 6066 4.

    1 is 2^9 bytes, 2 is 2^10, 3 is 2^11, 4 is 2^12.
    """

    EXTENSION_TYPE = ExtensionType.max_fragment_length
    max_fragment_length: Annotated[int, UInt(1), "The longest record: 1 to 4 for 512, 1024, 2048 or 4096 bytes."]


@tls_struct
class CertificateStatusRequest(ExtensionBody):
    """The client asks for an OCSP response: what the CA says of the certificate now. RFC 6066 8.

    ``request`` depends on the type: for OCSP two lists, both empty here unless given.
    """

    EXTENSION_TYPE = ExtensionType.status_request
    status_type: Annotated[int, UInt(1, CertificateStatusType), "What kind of status is asked for."] = (
        CertificateStatusType.ocsp
    )
    request: Annotated[bytes, Remainder(), "Which responders and extensions; four zero bytes leave that open."] = bytes(
        4
    )


@tls_struct
class CertificateStatusRequestCertificateRequest(ExtensionBody):
    """The server asks the client for an OCSP response about its certificate. RFC 9846 4.5.1.1.

    It is empty.
    """

    EXTENSION_TYPE = ExtensionType.status_request


@tls_struct
class CertificateStatusAcknowledged(ExtensionBody):
    """The server of TLS 1.2 says that it sends an OCSP response next. RFC 6066 8.

    It is empty, and stands in a ServerHello; a CertificateStatus message will follow.
    """

    EXTENSION_TYPE = ExtensionType.status_request


@tls_struct
class CertificateStatus(ExtensionBody):
    """An OCSP response: what the CA says of this certificate now. RFC 6066 8.

    It stands in CertificateEntry; ``response`` is a DER-encoded OCSPResponse.
    """

    EXTENSION_TYPE = ExtensionType.status_request
    status_type: Annotated[int, UInt(1, CertificateStatusType), STATUS_TYPE]
    response: Annotated[bytes, Opaque(1, 2**24 - 1), OCSP_RESPONSE]


@tls_struct
class ProtocolNameList(ExtensionBody):
    """The protocols to speak above TLS: the client's offers, or the server's choice (ALPN). RFC 7301 3.1.

    It is application_layer_protocol_negotiation.
    """

    EXTENSION_TYPE = ExtensionType.application_layer_protocol_negotiation
    protocol_name_list: Annotated[
        tuple[bytes, ...],
        Vector(Opaque(1, 2**8 - 1, printable=True), 2, 2**16 - 1),
        "The protocols by name, most wanted first; of a server just one.",
    ]


@tls_struct
class SignedCertificateTimestampRequest(ExtensionBody):
    """The sender asks for proofs that the certificate is in public logs. RFC 6962 3.3.1."""

    EXTENSION_TYPE = ExtensionType.signed_certificate_timestamp


@tls_struct
class SignedCertificateTimestampList(ExtensionBody):
    """Proofs that the certificate was handed to public logs. RFC 6962 3.3.

    It stands in CertificateEntry.
    """

    EXTENSION_TYPE = ExtensionType.signed_certificate_timestamp
    sct_list: Annotated[
        tuple[bytes, ...], Vector(Opaque(1, 2**16 - 1), 1, 2**16 - 1), "A signed timestamp of each log."
    ]


@tls_struct
class ClientCertTypeClientHello(ExtensionBody):
    """The kinds of certificate that the client can show. RFC 7250 3."""

    EXTENSION_TYPE = ExtensionType.client_certificate_type
    client_certificate_types: Annotated[tuple[int, ...], Vector(UInt(1, CertificateType), 1, 2**8 - 1), _KINDS]


@tls_struct
class ClientCertTypeEncryptedExtensions(ExtensionBody):
    """The kind of certificate that the client is to show. RFC 7250 3."""

    EXTENSION_TYPE = ExtensionType.client_certificate_type
    client_certificate_type: Annotated[int, UInt(1, CertificateType), _CHOSEN_KIND]


@tls_struct
class ServerCertTypeClientHello(ExtensionBody):
    """The kinds of certificate that the client accepts of the server. RFC 7250 3."""

    EXTENSION_TYPE = ExtensionType.server_certificate_type
    server_certificate_types: Annotated[tuple[int, ...], Vector(UInt(1, CertificateType), 1, 2**8 - 1), _KINDS]


@tls_struct
class ServerCertTypeEncryptedExtensions(ExtensionBody):
    """The kind of certificate that the server shows. RFC 7250 3."""

    EXTENSION_TYPE = ExtensionType.server_certificate_type
    server_certificate_type: Annotated[int, UInt(1, CertificateType), _CHOSEN_KIND]


@tls_struct
class Padding(ExtensionBody):
    """Zero bytes that make the hello longer, for servers which stumble over some lengths. RFC 7685 3."""

    EXTENSION_TYPE = ExtensionType.padding
    padding: Annotated[bytes, Remainder(), "Zero bytes, without a meaning."]


@tls_struct
class CertificateCompressionAlgorithms(ExtensionBody):
    """How the peer may compress its certificates. RFC 8879 3.

    It is compress_certificate.
    """

    EXTENSION_TYPE = ExtensionType.compress_certificate
    algorithms: Annotated[
        tuple[int, ...],
        Vector(UInt(2, CertificateCompressionAlgorithm), 2, 2**8 - 2),
        "The algorithms, most wanted first.",
    ]


@tls_struct
class RecordSizeLimit(ExtensionBody):
    """The longest record that the sender wants to get. RFC 8449 4.

    It is bytes of plaintext, in TLS 1.3 with the content type.
    """

    EXTENSION_TYPE = ExtensionType.record_size_limit
    record_size_limit: Annotated[int, UInt(2), "The most bytes before encryption; in TLS 1.3 the content type counts."]


@tls_struct
class DelegatedCredential(ExtensionBody):
    """A short-lived key that the certificate's key has signed, or the wish for one. RFC 9345 4.

    It is not decoded.
    """

    EXTENSION_TYPE = ExtensionType.delegated_credential
    data: Annotated[bytes, Remainder(), _UNDECODED]


@tls_struct
class ClientTicketRequest(ExtensionBody):
    """How many tickets the client would like. RFC 9149 3."""

    EXTENSION_TYPE = ExtensionType.ticket_request
    new_session_count: Annotated[int, UInt(1), "The number wanted after a full handshake."]
    resumption_count: Annotated[int, UInt(1), "The number wanted after a resumption."]


@tls_struct
class ServerTicketRequestHint(ExtensionBody):
    """How many tickets the server is going to send. RFC 9149 3."""

    EXTENSION_TYPE = ExtensionType.ticket_request
    expected_count: Annotated[int, UInt(1), "The number of tickets to expect."]


@tls_struct
class QuicTransportParameters(ExtensionBody):
    """Settings of QUIC, which carries TLS inside. RFC 9001 8.2.

    They are not decoded.
    """

    EXTENSION_TYPE = ExtensionType.quic_transport_parameters
    data: Annotated[bytes, Remainder(), _UNDECODED]


@tls_struct
class EncryptedClientHello(ExtensionBody):
    """A hello inside the hello, encrypted to hide the server's name from all on the path. RFC 9849 5.

    It is not decoded: the outer or inner form, or what a server answers.
    """

    EXTENSION_TYPE = ExtensionType.encrypted_client_hello
    data: Annotated[bytes, Remainder(), _UNDECODED]


@tls_struct
class ApplicationSettings(ExtensionBody):
    """Settings of the protocol above TLS, sent along with the handshake. draft-vvv-tls-alps.

    They are not decoded.
    """

    EXTENSION_TYPE = ExtensionType.application_settings
    data: Annotated[bytes, Remainder(), _UNDECODED]


@tls_struct
class ApplicationSettingsOld(ExtensionBody):
    """Settings of the protocol above TLS, under the number that an early draft had. draft-vvv-tls-alps.

    They are not decoded.
    """

    EXTENSION_TYPE = ExtensionType.application_settings_old
    data: Annotated[bytes, Remainder(), _UNDECODED]


# What a ClientHello holds for TLS 1.2


@tls_struct
class ECPointFormatList(ExtensionBody):
    """How the sender reads points of elliptic curves; only TLS 1.2 looks at it. RFC 8422 5.1.2."""

    EXTENSION_TYPE = ExtensionType.ec_point_formats
    ec_point_format_list: Annotated[
        tuple[int, ...], Vector(UInt(1, ECPointFormat), 1, 2**8 - 1), "The formats; uncompressed must be among them."
    ]


@tls_struct
class EncryptThenMac(ExtensionBody):
    """A safer order of encryption and MAC for the older suites of TLS 1.2. RFC 7366 2."""

    EXTENSION_TYPE = ExtensionType.encrypt_then_mac


@tls_struct
class ExtendedMainSecret(ExtensionBody):
    """Ties the secret of TLS 1.2 to the whole handshake, so that no two connections share one. RFC 7627 5.1."""

    EXTENSION_TYPE = ExtensionType.extended_main_secret


@tls_struct
class SessionTicket(ExtensionBody):
    """The client of TLS 1.2 resumes with a ticket, or says that it would take one. RFC 5077 3.2.

    It is empty, or the ticket.
    """

    EXTENSION_TYPE = ExtensionType.session_ticket
    ticket: Annotated[bytes, Remainder(), "The ticket as the server gave it; nothing where the client has none."]


@tls_struct
class SessionTicketAcknowledged(ExtensionBody):
    """The server of TLS 1.2 says that it is going to send a ticket. RFC 5077 3.2.

    It is empty, and stands in ServerHello; a NewSessionTicket will come.
    """

    EXTENSION_TYPE = ExtensionType.session_ticket


@tls_struct
class RenegotiationInfo(ExtensionBody):
    """Proves that a new handshake belongs to the connection it is made in; says little in a first one. RFC 5746 3.2."""

    EXTENSION_TYPE = ExtensionType.renegotiation_info
    renegotiated_connection: Annotated[bytes, Opaque(0, 255), "Empty in the first handshake of a connection."]
