"""The handshake messages of TLS 1.2 that have another shape than their namesakes of TLS 1.3. RFC 5246 7.4, RFC 8422 5.

ClientHello, CertificateVerify and Finished are the same bytes in both and stand in ``messages``.
"""

from dataclasses import field
from typing import Annotated

from handfast.limits import MAX_CA_NAMES
from handfast.registry import (
    CertificateStatusType,
    CipherSuite,
    ClientCertificateType,
    ECCurveType,
    HandshakeType,
    NamedGroup,
    ProtocolVersion,
    SignatureScheme,
)
from handfast.wire import extensions as ext
from handfast.wire.codec import Fixed, Opaque, Struct, UInt, Vector, tls_struct
from handfast.wire.extensions import ExtensionBlock, Extensions, forms
from handfast.wire.messages import (
    CERTIFICATES,
    CHOSEN_SUITE,
    MORE,
    SCHEME,
    SERVER_RANDOM,
    TICKET,
    CertificateVerify,
    ClientHello,
    Extended,
    Finished,
    HandshakeMessage,
    Messages,
)

# What is said of fields that messages before TLS 1.2 have too.
SIGNED_PARAMS = "What is signed: the curve and the public key."
PARAMS_SIGNATURE = "The signature over both randoms and the parameters."
KEY_KINDS = "The kinds of keys that the certificate may have."
ACCEPTED_CAS = "The names of the CAs that the server accepts; none leaves it open."


@tls_struct
class HelloRequest(HandshakeMessage):
    """The server of TLS 1.2 asks for a new handshake, which handfast does not do. RFC 5246 7.4.1.1."""

    HANDSHAKE_TYPE = HandshakeType.hello_request


@tls_struct
class ServerHello(Extended, HandshakeMessage):
    """The server's choice in TLS 1.2: version, cipher suite and session. RFC 5246 7.4.1.3.

    It is a ServerHello without supported_versions, and may end without extensions. RFC 8422 4 has no supported_groups
    here. Real servers send it, and it means nothing.
    """

    HANDSHAKE_TYPE = HandshakeType.server_hello
    EXTENSIONS = forms(
        ext.ServerNameAcknowledged,
        ext.MaxFragmentLength,
        ext.CertificateStatusAcknowledged,
        ext.NamedGroupList,
        ext.ECPointFormatList,
        ext.ProtocolNameList,
        ext.SignedCertificateTimestampList,
        ext.ClientCertTypeEncryptedExtensions,
        ext.ServerCertTypeEncryptedExtensions,
        ext.EncryptThenMac,
        ext.ExtendedMainSecret,
        ext.RecordSizeLimit,
        ext.SessionTicketAcknowledged,
        ext.RenegotiationInfo,
    )
    server_version: Annotated[int, UInt(2, ProtocolVersion), "The version that is spoken."]
    random: Annotated[bytes, Fixed(32), SERVER_RANDOM]
    session_id: Annotated[
        bytes, Opaque(0, 32), "The name under which the session can be resumed; the client's if this resumes it."
    ]
    cipher_suite: Annotated[int, UInt(2, CipherSuite), CHOSEN_SUITE]
    compression_method: Annotated[int, UInt(1), "How records are compressed: only 0, not at all, is accepted."]
    extensions: Annotated[Extensions, ExtensionBlock(EXTENSIONS, absent=True), MORE] = field(default_factory=Extensions)


@tls_struct
class Certificate(HandshakeMessage):
    """The sender's certificate chain in TLS 1.2; empty where a client has none to show. RFC 5246 7.4.2.

    The certificates are DER-encoded.
    """

    HANDSHAKE_TYPE = HandshakeType.certificate
    certificate_list: Annotated[tuple[bytes, ...], Vector(Opaque(1, 2**24 - 1), 0, 2**24 - 1), CERTIFICATES]


@tls_struct
class CertificateStatus(HandshakeMessage):
    """An OCSP response: what the CA says of the server's certificate now. RFC 6066 8.

    ``response`` is a DER-encoded OCSPResponse.
    """

    HANDSHAKE_TYPE = HandshakeType.certificate_status
    status_type: Annotated[int, UInt(1, CertificateStatusType), ext.STATUS_TYPE]
    response: Annotated[bytes, Opaque(1, 2**24 - 1), ext.OCSP_RESPONSE]


@tls_struct
class ServerECDHParams(Struct):
    """The server's fresh public key and the curve that it is on. RFC 8422 5.4.

    Curves other than named ones have another shape and are refused.
    """

    curve_type: Annotated[int, UInt(1, ECCurveType), "How the curve is described; only by its number is accepted."]
    named_curve: Annotated[int, UInt(2, NamedGroup), "The curve."]
    public: Annotated[bytes, Opaque(1, 2**8 - 1), "The server's public key for this connection, a point on the curve."]


@tls_struct
class ServerKeyExchange(HandshakeMessage):
    """The server's fresh public key, signed with its certificate's key. RFC 8422 5.4."""

    HANDSHAKE_TYPE = HandshakeType.server_key_exchange
    params: Annotated[ServerECDHParams, ServerECDHParams, SIGNED_PARAMS]
    algorithm: Annotated[int, UInt(2, SignatureScheme), SCHEME]
    signature: Annotated[bytes, Opaque(0, 2**16 - 1), PARAMS_SIGNATURE]


@tls_struct
class CertificateRequest(HandshakeMessage):
    """The server of TLS 1.2 asks the client for a certificate and says which it would accept. RFC 5246 7.4.4.

    ``certificate_authorities`` are DER-encoded distinguished names.
    """

    HANDSHAKE_TYPE = HandshakeType.certificate_request
    certificate_types: Annotated[tuple[int, ...], Vector(UInt(1, ClientCertificateType), 1, 2**8 - 1), KEY_KINDS]
    supported_signature_algorithms: Annotated[
        tuple[int, ...],
        Vector(UInt(2, SignatureScheme), 2, 2**16 - 2),
        "How the client and its CAs may sign, most wanted first.",
    ]
    certificate_authorities: Annotated[
        tuple[bytes, ...], Vector(Opaque(1, 2**16 - 1), 0, 2**16 - 1, most=MAX_CA_NAMES), ACCEPTED_CAS
    ]


@tls_struct
class ServerHelloDone(HandshakeMessage):
    """The server has said all, and waits for the client. RFC 5246 7.4.5."""

    HANDSHAKE_TYPE = HandshakeType.server_hello_done


@tls_struct
class ClientKeyExchange(HandshakeMessage):
    """The client's fresh public key; with it both sides can compute the keys. RFC 8422 5.7."""

    HANDSHAKE_TYPE = HandshakeType.client_key_exchange
    public: Annotated[bytes, Opaque(1, 2**8 - 1), "The client's public key for this connection, a point on the curve."]


@tls_struct
class NewSessionTicket(HandshakeMessage):
    """The server of TLS 1.2 gives a ticket with which the client can resume this session later. RFC 5077 3.3.

    The hint is seconds; a ticket of no bytes takes an earlier one back.
    """

    HANDSHAKE_TYPE = HandshakeType.new_session_ticket
    ticket_lifetime_hint: Annotated[
        int, UInt(4), "For how many seconds the server expects to know the ticket; 0 says nothing."
    ]
    ticket: Annotated[bytes, Opaque(0, 2**16 - 1), TICKET]


MESSAGES_12: Messages = {
    cls.HANDSHAKE_TYPE: cls
    for cls in (
        HelloRequest,
        ClientHello,
        ServerHello,
        NewSessionTicket,
        Certificate,
        CertificateStatus,
        ServerKeyExchange,
        CertificateRequest,
        ServerHelloDone,
        CertificateVerify,
        ClientKeyExchange,
        Finished,
    )
}
