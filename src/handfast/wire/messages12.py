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
from handfast.wire.messages import CertificateVerify, ClientHello, Extended, Finished, HandshakeMessage, Messages


@tls_struct
class HelloRequest(HandshakeMessage):
    """RFC 5246 7.4.1.1."""

    HANDSHAKE_TYPE = HandshakeType.hello_request


@tls_struct
class ServerHello(Extended, HandshakeMessage):
    """RFC 5246 7.4.1.3: a ServerHello without supported_versions. It may end without extensions.

    RFC 8422 4 has no supported_groups here. Real servers send it, and it means nothing.
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
    server_version: Annotated[int, UInt(2, ProtocolVersion)]
    random: Annotated[bytes, Fixed(32)]
    session_id: Annotated[bytes, Opaque(0, 32)]
    cipher_suite: Annotated[int, UInt(2, CipherSuite)]
    compression_method: Annotated[int, UInt(1)]
    extensions: Annotated[Extensions, ExtensionBlock(EXTENSIONS, absent=True)] = field(default_factory=Extensions)


@tls_struct
class Certificate(HandshakeMessage):
    """RFC 5246 7.4.2: DER-encoded certificates; a client that has none sends none."""

    HANDSHAKE_TYPE = HandshakeType.certificate
    certificate_list: Annotated[tuple[bytes, ...], Vector(Opaque(1, 2**24 - 1), 0, 2**24 - 1)]


@tls_struct
class CertificateStatus(HandshakeMessage):
    """RFC 6066 8: ``response`` is a DER-encoded OCSPResponse about the server's certificate."""

    HANDSHAKE_TYPE = HandshakeType.certificate_status
    status_type: Annotated[int, UInt(1, CertificateStatusType)]
    response: Annotated[bytes, Opaque(1, 2**24 - 1)]


@tls_struct
class ServerECDHParams(Struct):
    """RFC 8422 5.4. Curves other than named ones have another shape and are refused."""

    curve_type: Annotated[int, UInt(1, ECCurveType)]
    named_curve: Annotated[int, UInt(2, NamedGroup)]
    public: Annotated[bytes, Opaque(1, 2**8 - 1)]


@tls_struct
class ServerKeyExchange(HandshakeMessage):
    """RFC 8422 5.4."""

    HANDSHAKE_TYPE = HandshakeType.server_key_exchange
    params: Annotated[ServerECDHParams, ServerECDHParams]
    algorithm: Annotated[int, UInt(2, SignatureScheme)]
    signature: Annotated[bytes, Opaque(0, 2**16 - 1)]


@tls_struct
class CertificateRequest(HandshakeMessage):
    """RFC 5246 7.4.4: ``certificate_authorities`` are DER-encoded distinguished names."""

    HANDSHAKE_TYPE = HandshakeType.certificate_request
    certificate_types: Annotated[tuple[int, ...], Vector(UInt(1, ClientCertificateType), 1, 2**8 - 1)]
    supported_signature_algorithms: Annotated[tuple[int, ...], Vector(UInt(2, SignatureScheme), 2, 2**16 - 2)]
    certificate_authorities: Annotated[tuple[bytes, ...], Vector(Opaque(1, 2**16 - 1), 0, 2**16 - 1, most=MAX_CA_NAMES)]


@tls_struct
class ServerHelloDone(HandshakeMessage):
    """RFC 5246 7.4.5."""

    HANDSHAKE_TYPE = HandshakeType.server_hello_done


@tls_struct
class ClientKeyExchange(HandshakeMessage):
    """RFC 8422 5.7."""

    HANDSHAKE_TYPE = HandshakeType.client_key_exchange
    public: Annotated[bytes, Opaque(1, 2**8 - 1)]


@tls_struct
class NewSessionTicket(HandshakeMessage):
    """RFC 5077 3.3: the hint is seconds; a ticket of no bytes takes an earlier one back."""

    HANDSHAKE_TYPE = HandshakeType.new_session_ticket
    ticket_lifetime_hint: Annotated[int, UInt(4)]
    ticket: Annotated[bytes, Opaque(0, 2**16 - 1)]


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
