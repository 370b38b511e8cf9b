"""A handshake message in one line: the few facts that matter of it. What a peer chose to say is escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.limits import MAX_PEER_TEXT
from handfast.registry import (
    CertificateCompressionAlgorithm,
    CipherSuite,
    KeyUpdateRequest,
    NamedGroup,
    ProtocolVersion,
    Registry,
    SignatureScheme,
)
from handfast.text import counted, escape
from handfast.wire import extensions as ext
from handfast.wire import messages as msg
from handfast.wire import messages12 as msg12
from handfast.wire import messages_old as old
from handfast.wire.compression import certificate_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from handfast.outcome.describer import Describer

# A server with a public trust store names a hundred CAs and more; a line shows the first, all fields show all.
_NAMES_LISTED = 4


def name_of(message: object) -> str:
    """What a trace calls the message; a Certificate without certificates is a client that declined."""
    name = type(message).__name__
    certificate = message if isinstance(message, msg12.Certificate) else certificate_in(message)
    declined = certificate is not None and not certificate.certificate_list
    return f"{name} (empty: the client declined)" if declined else name


def facts(message: object, describer: Describer) -> str:
    """The facts of a message, or "" when its name says it all."""
    summarize = _SUMMARIES.get(type(message))
    return "; ".join(part for part in summarize(message, describer) if part) if summarize else ""


def ca_names(names: tuple[bytes, ...] | None, describer: Describer) -> str:
    """The three cases that other tools print alike. ``names`` are DER; None when no certificate was requested."""
    if names is None:
        return "no client certificate requested"
    if not names:
        return "client certificate requested, without CA names"
    listed = [f"[{describer.name(name)}]" for name in names[:_NAMES_LISTED]]
    more = [f"{len(names) - _NAMES_LISTED} more"] if len(names) > _NAMES_LISTED else []
    return f"client certificate requested, with {counted(len(names), 'CA name')}: {', '.join(listed + more)}"


# A CertificateRequest, in whatever version.
REQUESTS = (msg.CertificateRequest, msg12.CertificateRequest, old.CertificateRequest)


def requested_names(
    request: msg.CertificateRequest | msg12.CertificateRequest | old.CertificateRequest,
) -> tuple[bytes, ...]:
    """The CA names of a CertificateRequest as DER, () when it has none. RFC 9846 4.3.4 and RFC 5246 7.4.4."""
    if not isinstance(request, msg.CertificateRequest):
        return request.certificate_authorities
    authorities = request.find(ext.CertificateAuthorities)
    return () if authorities is None else authorities.authorities


def _client_hello(hello: msg.ClientHello, _describer: Describer) -> Iterable[str]:
    versions = hello.find(ext.SupportedVersionsClientHello)
    yield ProtocolVersion.describe_all(versions.versions if versions else (hello.legacy_version,))
    yield _counted("suite", CipherSuite, hello.cipher_suites)
    if groups := hello.find(ext.NamedGroupList):
        yield f"groups {NamedGroup.describe_all(groups.named_group_list)}"
    if shares := hello.find(ext.KeyShareClientHello):
        sent = tuple(share.group for share in shares.client_shares)
        yield f"key shares {NamedGroup.describe_all(sent)}" if sent else "no key share"
    if names := hello.find(ext.ServerNameList):
        yield f"SNI {_texts(name.host_name for name in names.server_name_list)}"
    if protocols := hello.find(ext.ProtocolNameList):
        yield f"ALPN {_texts(protocols.protocol_name_list)}"
    if ech := hello.find(ext.EncryptedClientHello):
        # GREASE cannot be told from an outer hello: that is what it is for. RFC 9849 5 and 6.2.
        yield "ECH: an outer hello, or GREASE" if ech.data[:1] == b"\0" else "ECH: an inner hello"
    if hello.find(ext.Cookie):
        yield "cookie"
    if psks := hello.find(ext.OfferedPsks):
        yield counted(len(psks.identities), "PSK")


def _server_hello(hello: msg.ServerHello, _describer: Describer) -> Iterable[str]:
    version = hello.find(ext.SupportedVersionsServerHello)
    yield ProtocolVersion.describe(version.selected_version if version else hello.legacy_version)
    yield CipherSuite.describe(hello.cipher_suite)
    if share := hello.find(ext.KeyShareServerHello):
        yield f"key share {NamedGroup.describe(share.server_share.group)}"
    if psk := hello.find(ext.SelectedPsk):
        yield f"PSK no. {psk.selected_identity} accepted"


def _hello_retry_request(hello: msg.HelloRetryRequest, _describer: Describer) -> Iterable[str]:
    yield CipherSuite.describe(hello.cipher_suite)
    if share := hello.find(ext.KeyShareHelloRetryRequest):
        yield f"wants a key share for {NamedGroup.describe(share.selected_group)}"
    if hello.find(ext.Cookie):
        yield "cookie"


def _encrypted_extensions(message: msg.EncryptedExtensions, _describer: Describer) -> Iterable[str]:
    if protocols := message.find(ext.ProtocolNameList):
        yield f"ALPN {_texts(protocols.protocol_name_list)}"
    if message.find(ext.ServerNameAcknowledged):
        yield "SNI used"


def _certificate_request(request: msg.CertificateRequest, describer: Describer) -> Iterable[str]:
    yield ca_names(requested_names(request), describer)
    if schemes := request.find(ext.SignatureSchemeList):
        yield _counted("scheme", SignatureScheme, schemes.supported_signature_algorithms)


def presented(message: msg.Certificate | msg12.Certificate) -> tuple[bytes, ...]:
    """The certificates of a Certificate message as DER, leaf first."""
    if isinstance(message, msg12.Certificate):
        return message.certificate_list
    return tuple(entry.cert_data for entry in message.certificate_list)


def _certificate(message: msg.Certificate | msg12.Certificate, describer: Describer) -> Iterable[str]:
    if chain := presented(message):
        yield describer.identity(chain[0])
        further = len(chain) - 1
        yield f"and {counted(further, 'certificate')} above it" if further else ""
    if isinstance(message, msg.Certificate) and message.certificate_list:
        yield from _staple(message.certificate_list[0])


def _staple(leaf: msg.CertificateEntry) -> Iterable[str]:
    if status := leaf.find(ext.CertificateStatus):
        yield f"OCSP response of {len(status.response)} bytes"
    if timestamps := leaf.find(ext.SignedCertificateTimestampList):
        yield counted(len(timestamps.sct_list), "certificate timestamp")


def _compressed_certificate(message: msg.CompressedCertificate, describer: Describer) -> Iterable[str]:
    algorithm = CertificateCompressionAlgorithm.describe(message.algorithm)
    yield f"{algorithm}, {message.uncompressed_length} bytes uncompressed"
    if certificate := certificate_in(message):
        yield from _certificate(certificate, describer)


def _certificate_verify(message: msg.CertificateVerify, _describer: Describer) -> Iterable[str]:
    yield f"{SignatureScheme.describe(message.algorithm)}, signature of {len(message.signature)} bytes"


def _finished(message: msg.Finished, _describer: Describer) -> Iterable[str]:
    yield f"verify_data of {len(message.verify_data)} bytes"


def _new_session_ticket(message: msg.NewSessionTicket, _describer: Describer) -> Iterable[str]:
    yield f"ticket of {len(message.ticket)} bytes, good for {message.ticket_lifetime} s"


def _key_update(message: msg.KeyUpdate, _describer: Describer) -> Iterable[str]:
    yield KeyUpdateRequest.describe(message.request_update)


def _server_hello_12(hello: msg12.ServerHello, _describer: Describer) -> Iterable[str]:
    yield ProtocolVersion.describe(hello.server_version)
    yield CipherSuite.describe(hello.cipher_suite)
    if protocols := hello.find(ext.ProtocolNameList):
        yield f"ALPN {_texts(protocols.protocol_name_list)}"
    if not hello.find(ext.ExtendedMainSecret):
        yield "without the extended main secret"
    if timestamps := hello.find(ext.SignedCertificateTimestampList):
        yield counted(len(timestamps.sct_list), "certificate timestamp")


def _certificate_status(message: msg12.CertificateStatus, _describer: Describer) -> Iterable[str]:
    yield f"OCSP response of {len(message.response)} bytes"


def _server_key_exchange(message: msg12.ServerKeyExchange, _describer: Describer) -> Iterable[str]:
    yield NamedGroup.describe(message.params.named_curve)
    yield f"{SignatureScheme.describe(message.algorithm)}, signature of {len(message.signature)} bytes"


def _certificate_request_12(request: msg12.CertificateRequest, describer: Describer) -> Iterable[str]:
    yield ca_names(requested_names(request), describer)
    yield _counted("scheme", SignatureScheme, request.supported_signature_algorithms)


def _certificate_request_old(request: old.CertificateRequest, describer: Describer) -> Iterable[str]:
    yield ca_names(requested_names(request), describer)


def _new_session_ticket_12(message: msg12.NewSessionTicket, _describer: Describer) -> Iterable[str]:
    yield f"ticket of {len(message.ticket)} bytes, good for {message.ticket_lifetime_hint} s"


def _counted(noun: str, registry: type[Registry], numbers: tuple[int, ...]) -> str:
    """A few by name, many as a count."""
    return f"{noun}s {registry.describe_all(numbers)}" if len(numbers) <= 4 else counted(len(numbers), noun)


def _texts(values: Iterable[bytes]) -> str:
    return escape(", ".join(escape(value) for value in values), MAX_PEER_TEXT)


_SUMMARIES: dict[type, Callable[..., Iterable[str]]] = {
    msg.ClientHello: _client_hello,
    msg.ServerHello: _server_hello,
    msg.HelloRetryRequest: _hello_retry_request,
    msg.EncryptedExtensions: _encrypted_extensions,
    msg.CertificateRequest: _certificate_request,
    msg.Certificate: _certificate,
    msg.CompressedCertificate: _compressed_certificate,
    msg.CertificateVerify: _certificate_verify,
    msg.Finished: _finished,
    msg.NewSessionTicket: _new_session_ticket,
    msg.KeyUpdate: _key_update,
    msg12.ServerHello: _server_hello_12,
    msg12.Certificate: _certificate,
    msg12.CertificateStatus: _certificate_status,
    msg12.ServerKeyExchange: _server_key_exchange,
    msg12.CertificateRequest: _certificate_request_12,
    old.CertificateRequest: _certificate_request_old,
    msg12.NewSessionTicket: _new_session_ticket_12,
}
