"""Handshake messages that had another shape before TLS 1.2, for reading recordings: no signature names its scheme.

RFC 4346 7.4 (TLS 1.1), RFC 2246 7.4 (TLS 1.0), RFC 4492 5.4.
"""

from typing import Annotated

from handfast.registry import ClientCertificateType, HandshakeType, ProtocolVersion
from handfast.wire import messages12
from handfast.wire.codec import Opaque, UInt, Vector, tls_struct
from handfast.wire.messages import SIGNATURE, HandshakeMessage, Messages


@tls_struct
class ServerKeyExchange(HandshakeMessage):
    """The server's fresh public key, signed as before TLS 1.2. RFC 4492 5.4.

    Key exchanges other than ECDHE have another shape.
    """

    HANDSHAKE_TYPE = HandshakeType.server_key_exchange
    params: Annotated[messages12.ServerECDHParams, messages12.ServerECDHParams, messages12.SIGNED_PARAMS]
    signature: Annotated[bytes, Opaque(0, 2**16 - 1), messages12.PARAMS_SIGNATURE]


@tls_struct
class CertificateRequest(HandshakeMessage):
    """The server asks the client for a certificate, as before TLS 1.2. RFC 4346 7.4.4.

    ``certificate_authorities`` are DER-encoded distinguished names.
    """

    HANDSHAKE_TYPE = HandshakeType.certificate_request
    certificate_types: Annotated[
        tuple[int, ...], Vector(UInt(1, ClientCertificateType), 1, 2**8 - 1), messages12.KEY_KINDS
    ]
    certificate_authorities: Annotated[
        tuple[bytes, ...], Vector(Opaque(1, 2**16 - 1), 0, 2**16 - 1), messages12.ACCEPTED_CAS
    ]


@tls_struct
class CertificateVerify(HandshakeMessage):
    """The client proves that it has its certificate's private key, as before TLS 1.2. RFC 4346 7.4.8."""

    HANDSHAKE_TYPE = HandshakeType.certificate_verify
    signature: Annotated[bytes, Opaque(0, 2**16 - 1), SIGNATURE]


_MESSAGES: Messages = {
    **messages12.MESSAGES_12,
    **{cls.HANDSHAKE_TYPE: cls for cls in (ServerKeyExchange, CertificateRequest, CertificateVerify)},
}


def messages_of(server_version: int) -> Messages:
    """The messages of TLS 1.2 or of what came before it, by the version in a ServerHello without supported_versions."""
    return messages12.MESSAGES_12 if server_version >= ProtocolVersion.TLS12 else _MESSAGES
