"""Handshake messages, declared as RFC 9846 appendix B.3 prints them.

``encode`` gives the bytes of a message that was built, and ``parsing.parse_handshake`` the message that bytes hold. A
parsed message keeps the bytes it came from in ``raw``: the transcript hashes those, never an encoding made anew.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, TypeAlias

from handfast.registry import (
    CertificateCompressionAlgorithm,
    CipherSuite,
    HandshakeType,
    KeyUpdateRequest,
    ProtocolVersion,
    SignatureScheme,
)
from handfast.wire import extensions as ext
from handfast.wire.codec import (
    Fixed,
    Opaque,
    Remainder,
    Struct,
    UInt,
    Vector,
    catalogued,
    tls_struct,
)
from handfast.wire.extensions import Body, ExtensionBlock, ExtensionBody, Extensions, forms

# The bytes before every message: its type and the length of the rest. RFC 9846 4.
HANDSHAKE_HEADER = 4
# What ServerHello.random is in a HelloRetryRequest: SHA-256("HelloRetryRequest"). RFC 9846 4.2.3.
HELLO_RETRY_REQUEST_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")

# What is said of fields that several messages have.
LEGACY_VERSION = "Always TLS 1.2 where TLS 1.3 is spoken: the version is in supported_versions."
SERVER_RANDOM = "32 random bytes of the server, which make the keys of each connection differ."
SESSION_ID_ECHO = "The client's session id, sent back unchanged to please middleboxes."
CHOSEN_SUITE = "The cipher suite that the server chose."
NO_COMPRESSION = "Always 0: no compression of records, which would leak secrets."
REQUEST_CONTEXT = "Marks which request a certificate answers; empty during the handshake."
CERTIFICATES = "The certificates: the sender's own first, each followed by its issuer's."
SCHEME = "How it is signed: the kind of key, the padding, the hash."
SIGNATURE = "The signature itself."
TICKET = "The ticket itself, which only the server can read."
MORE = "What else the message says, in parts that can be left out."


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class HandshakeMessage(Struct):
    """Base of all handshake messages. ``raw`` is the message as received, with its header; b"" for one built here."""

    HANDSHAKE_TYPE: ClassVar[int]
    EXTENSIONS: ClassVar[Mapping[int, type[ExtensionBody]]] = {}

    raw: bytes = field(default=b"", repr=False, compare=False)

    def encode(self) -> bytes:
        """The message with its 4-byte header. Raises ValueError when a field is outside its bounds. RFC 9846 4."""
        body = self.CODEC.write(self)
        if len(body) >= 2**24:
            raise ValueError(f"{type(self).__name__}: {len(body)} bytes do not fit a handshake message")
        return (self.HANDSHAKE_TYPE << 24 | len(body)).to_bytes(4, "big") + body


class Extended:
    """What has extensions; ``EXTENSIONS`` says which are defined there, and in which form: type -> class."""

    __slots__ = ()
    EXTENSIONS: ClassVar[Mapping[int, type[ExtensionBody]]]
    extensions: Extensions

    def find(self, cls: type[Body]) -> Body | None:
        """The extension in the form ``cls``, or None."""
        body = self.extensions.get(cls.EXTENSION_TYPE)
        return body if isinstance(body, cls) else None


class HelloShape:
    """What is the same in many ClientHellos: all but the random, the session id, key shares and PSKs.

    ``group`` is that of the only key share, None where there are several or none. ``versions`` keeps which version such
    a hello came to by those that we speak, and ``host_name`` whether its ``sni_name`` was found to be one.
    """

    __slots__ = (
        "cipher_suites",
        "extensions",
        "group",
        "host_name",
        "legacy_compression_methods",
        "sni_name",
        "versions",
    )

    def __init__(self, hello: "ClientHello") -> None:
        self.cipher_suites = hello.cipher_suites
        self.legacy_compression_methods = hello.legacy_compression_methods
        self.extensions = hello.extensions
        self.sni_name = hello.sni_name
        self.host_name = False
        self.group = hello.only_group
        self.versions: dict[tuple[int, ...], int] = {}


@tls_struct
class ClientHello(Extended, HandshakeMessage):
    """The client opens the handshake and offers everything that it can do. RFC 9846 4.2.2.

    A hello from before extensions has none, and an empty block is allowed before TLS 1.3.

    Extensions that do not decode are kept as they are; ``check_decoded`` judges them when the version is known.
    ``shape`` is what it has in common with hellos that came before; None where nothing of that is kept (``recall``).
    """

    HANDSHAKE_TYPE = HandshakeType.client_hello
    EXTENSIONS = forms(
        ext.ServerNameList,
        ext.MaxFragmentLength,
        ext.CertificateStatusRequest,
        ext.NamedGroupList,
        ext.ECPointFormatList,
        ext.SignatureSchemeList,
        ext.ProtocolNameList,
        ext.SignedCertificateTimestampRequest,
        ext.ClientCertTypeClientHello,
        ext.ServerCertTypeClientHello,
        ext.Padding,
        ext.EncryptThenMac,
        ext.ExtendedMainSecret,
        ext.CertificateCompressionAlgorithms,
        ext.RecordSizeLimit,
        ext.DelegatedCredential,
        ext.SessionTicket,
        ext.OfferedPsks,
        ext.EarlyDataIndication,
        ext.SupportedVersionsClientHello,
        ext.Cookie,
        ext.PskKeyExchangeModes,
        ext.CertificateAuthorities,
        ext.PostHandshakeAuth,
        ext.SignatureSchemeListCert,
        ext.KeyShareClientHello,
        ext.QuicTransportParameters,
        ext.ClientTicketRequest,
        ext.ApplicationSettingsOld,
        ext.ApplicationSettings,
        ext.EncryptedClientHello,
        ext.RenegotiationInfo,
    )
    legacy_version: Annotated[int, UInt(2, ProtocolVersion), LEGACY_VERSION]
    random: Annotated[bytes, Fixed(32), "32 random bytes of the client, which make the keys of each connection differ."]
    legacy_session_id: Annotated[
        bytes, Opaque(0, 32), "In TLS 1.2 the session to resume; in TLS 1.3 random bytes or nothing."
    ]
    cipher_suites: Annotated[
        tuple[int, ...],
        Vector(UInt(2, CipherSuite), 2, 2**16 - 2),
        "The cipher suites that the client can use, most wanted first.",
    ]
    legacy_compression_methods: Annotated[
        bytes, Opaque(1, 2**8 - 1), "How records may be compressed: only 0, not at all, is allowed in TLS 1.3."
    ]
    extensions: Annotated[Extensions, ExtensionBlock(EXTENSIONS, absent=True, judged_later=True), MORE] = field(
        default_factory=Extensions
    )
    shape: HelloShape | None = field(default=None, kw_only=True, repr=False, compare=False)

    def check_decoded(self, meaningless: Collection[int] = ()) -> None:
        """Every extension was decoded, but for those of these types. Raises BadMessage."""
        if not isinstance(self.extensions, ext.PartlyDecoded):
            return
        for extension_type, error in self.extensions.undecoded.items():
            if extension_type not in meaningless:
                error.path.append("extensions")
                raise catalogued(error, ClientHello)

    @property
    def sni_name(self) -> str | None:
        """The host name that the client asks for; text of the peer. RFC 6066 3."""
        return self._find_name() if self.shape is None else self.shape.sni_name

    @property
    def only_group(self) -> int | None:
        """The group of the only key share; None where there are several or none."""
        share = self.find(ext.KeyShareClientHello)
        return None if share is None or len(share.client_shares) != 1 else share.client_shares[0].group

    def _find_name(self) -> str | None:
        asked = self.find(ext.ServerNameList)
        for entry in () if asked is None else asked.server_name_list:
            if not entry.name_type:
                return entry.host_name.decode("ascii", "replace")
        return None


@tls_struct
class ServerHello(Extended, HandshakeMessage):
    """The server's choice: version, cipher suite and its key share; encryption starts after it. RFC 9846 4.2.3.

    One without supported_versions is parsed as TLS 1.2's.
    """

    HANDSHAKE_TYPE = HandshakeType.server_hello
    EXTENSIONS = forms(ext.SelectedPsk, ext.SupportedVersionsServerHello, ext.KeyShareServerHello)
    legacy_version: Annotated[int, UInt(2, ProtocolVersion), LEGACY_VERSION]
    random: Annotated[bytes, Fixed(32), SERVER_RANDOM]
    legacy_session_id_echo: Annotated[bytes, Opaque(0, 32), SESSION_ID_ECHO]
    cipher_suite: Annotated[int, UInt(2, CipherSuite), CHOSEN_SUITE]
    legacy_compression_method: Annotated[int, UInt(1), NO_COMPRESSION]
    extensions: Annotated[Extensions, ExtensionBlock(EXTENSIONS, absent=True), MORE] = field(default_factory=Extensions)


@tls_struct
class HelloRetryRequest(Extended, HandshakeMessage):
    """The server asks for a second ClientHello, mostly with a key share of another group. RFC 9846 4.2.4.

    On the wire it is a ServerHello whose ``random`` is HELLO_RETRY_REQUEST_RANDOM.
    """

    HANDSHAKE_TYPE = HandshakeType.server_hello
    EXTENSIONS = forms(
        ext.SupportedVersionsServerHello, ext.Cookie, ext.KeyShareHelloRetryRequest, ext.EncryptedClientHello
    )
    legacy_version: Annotated[int, UInt(2, ProtocolVersion), LEGACY_VERSION]
    random: Annotated[
        bytes, Fixed(32), 'A fixed value, the hash of "HelloRetryRequest", which tells it from a ServerHello.'
    ]
    legacy_session_id_echo: Annotated[bytes, Opaque(0, 32), SESSION_ID_ECHO]
    cipher_suite: Annotated[int, UInt(2, CipherSuite), CHOSEN_SUITE]
    legacy_compression_method: Annotated[int, UInt(1), NO_COMPRESSION]
    extensions: Annotated[Extensions, ExtensionBlock(EXTENSIONS, 6), MORE]


@tls_struct
class EncryptedExtensions(Extended, HandshakeMessage):
    """The server's answers to the client's extensions that are not needed for the keys. RFC 9846 4.4.1."""

    HANDSHAKE_TYPE = HandshakeType.encrypted_extensions
    EXTENSIONS = forms(
        ext.ServerNameAcknowledged,
        ext.MaxFragmentLength,
        ext.NamedGroupList,
        ext.ProtocolNameList,
        ext.ClientCertTypeEncryptedExtensions,
        ext.ServerCertTypeEncryptedExtensions,
        ext.RecordSizeLimit,
        ext.EarlyDataIndication,
        ext.QuicTransportParameters,
        ext.ServerTicketRequestHint,
        ext.ApplicationSettingsOld,
        ext.ApplicationSettings,
        ext.EncryptedClientHello,
    )
    extensions: Annotated[Extensions, ExtensionBlock(EXTENSIONS), MORE] = field(default_factory=Extensions)


@tls_struct
class CertificateRequest(Extended, HandshakeMessage):
    """The server asks the client for a certificate and says which it would accept. RFC 9846 4.4.2."""

    HANDSHAKE_TYPE = HandshakeType.certificate_request
    EXTENSIONS = forms(
        ext.ServerNameList,
        ext.CertificateStatusRequestCertificateRequest,
        ext.SignatureSchemeList,
        ext.SignedCertificateTimestampRequest,
        ext.CertificateCompressionAlgorithms,
        ext.DelegatedCredential,
        ext.CertificateAuthorities,
        ext.OidFilters,
        ext.SignatureSchemeListCert,
    )
    certificate_request_context: Annotated[bytes, Opaque(0, 2**8 - 1), REQUEST_CONTEXT]
    extensions: Annotated[Extensions, ExtensionBlock(EXTENSIONS), MORE] = field(default_factory=Extensions)


@tls_struct
class CertificateEntry(Extended, Struct):
    """One certificate of the chain, with what is said about it. RFC 9846 4.5.1.

    ``cert_data`` is a DER-encoded certificate, or a SubjectPublicKeyInfo for RawPublicKey.
    """

    EXTENSIONS = forms(ext.CertificateStatus, ext.SignedCertificateTimestampList, ext.DelegatedCredential)
    cert_data: Annotated[bytes, Opaque(1, 2**24 - 1), "The certificate itself, in DER, or a public key alone."]
    extensions: Annotated[
        Extensions, ExtensionBlock(EXTENSIONS), "What is said of this one certificate, such as its OCSP response."
    ] = field(default_factory=Extensions)


@tls_struct
class Certificate(HandshakeMessage):
    """The sender's certificate chain; empty where a client has none to show. RFC 9846 4.5.1.

    The extensions stand in the entries.
    """

    HANDSHAKE_TYPE = HandshakeType.certificate
    certificate_request_context: Annotated[bytes, Opaque(0, 2**8 - 1), REQUEST_CONTEXT]
    certificate_list: Annotated[tuple[CertificateEntry, ...], Vector(CertificateEntry, 0, 2**24 - 1), CERTIFICATES]


@tls_struct
class CompressedCertificate(HandshakeMessage):
    """A Certificate message, made smaller by compression. RFC 8879 4."""

    HANDSHAKE_TYPE = HandshakeType.compressed_certificate
    algorithm: Annotated[int, UInt(2, CertificateCompressionAlgorithm), "How it is compressed."]
    uncompressed_length: Annotated[int, UInt(3), "How many bytes the Certificate message has without compression."]
    compressed_certificate_message: Annotated[bytes, Opaque(1, 2**24 - 1), "The compressed Certificate message."]


@tls_struct
class CertificateVerify(HandshakeMessage):
    """The sender proves that it has its certificate's private key, by a signature over all so far. RFC 9846 4.5.2."""

    HANDSHAKE_TYPE = HandshakeType.certificate_verify
    algorithm: Annotated[int, UInt(2, SignatureScheme), SCHEME]
    signature: Annotated[bytes, Opaque(0, 2**16 - 1), SIGNATURE]


@tls_struct
class Finished(HandshakeMessage):
    """The sender proves that it has the keys and saw the same messages; its handshake ends here. RFC 9846 4.5.3.

    Only the suite says how long ``verify_data`` must be.
    """

    HANDSHAKE_TYPE = HandshakeType.finished
    verify_data: Annotated[bytes, Remainder(), "A MAC over the hash of all messages before this one."]


@tls_struct
class EndOfEarlyData(HandshakeMessage):
    """The client's early data ends here; what follows is under the handshake keys. RFC 9846 4.6."""

    HANDSHAKE_TYPE = HandshakeType.end_of_early_data


@tls_struct
class NewSessionTicket(Extended, HandshakeMessage):
    """The server gives a ticket with which the client can resume this session later. RFC 9846 4.7.1.

    The lifetime is seconds, ``ticket_age_add`` is added to milliseconds.
    """

    HANDSHAKE_TYPE = HandshakeType.new_session_ticket
    EXTENSIONS = forms(ext.EarlyDataIndicationNewSessionTicket)
    ticket_lifetime: Annotated[int, UInt(4), "For how many seconds the ticket may be used, at most a week."]
    ticket_age_add: Annotated[int, UInt(4), "A random number that the client adds to the ticket's age to hide it."]
    ticket_nonce: Annotated[bytes, Opaque(0, 255), "Makes the pre-shared key of each ticket of a connection another."]
    ticket: Annotated[bytes, Opaque(1, 2**16 - 1), TICKET]
    extensions: Annotated[Extensions, ExtensionBlock(EXTENSIONS), MORE] = field(default_factory=Extensions)


@tls_struct
class KeyUpdate(HandshakeMessage):
    """The sender uses new keys from its next record on. RFC 9846 4.7.3."""

    HANDSHAKE_TYPE = HandshakeType.key_update
    request_update: Annotated[int, UInt(1, KeyUpdateRequest), "Whether the receiver is to change its keys too."]


# The messages of one version, by their types.
Messages: TypeAlias = Mapping[int, type[HandshakeMessage]]

# HelloRetryRequest is missing: its number is ServerHello's.
MESSAGES: Messages = {
    cls.HANDSHAKE_TYPE: cls
    for cls in (
        ClientHello,
        ServerHello,
        NewSessionTicket,
        EndOfEarlyData,
        EncryptedExtensions,
        Certificate,
        CertificateRequest,
        CertificateVerify,
        Finished,
        KeyUpdate,
        CompressedCertificate,
    )
}


def message_hash(transcript_hash: bytes) -> bytes:
    """What stands for the first ClientHello in the transcript after a HelloRetryRequest. RFC 9846 4.1."""
    return bytes((HandshakeType.message_hash, 0, 0, len(transcript_hash))) + transcript_hash
