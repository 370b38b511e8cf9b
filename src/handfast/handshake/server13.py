"""The TLS 1.3 server, from its own hello to the client's Finished. RFC 9846 figure 1 and 4.2.3 to 4.5."""

from __future__ import annotations

from collections.abc import Generator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from handfast.config.by_name import no_such_name
from handfast.config.config import ClientAuth
from handfast.crypto.suites import SUITES_13
from handfast.events import Epoch
from handfast.handshake import negotiate
from handfast.handshake.early_data import (
    consider_early_data,
    read_end_of_early_data,
    skip_early_data,
    take_early_data,
)
from handfast.handshake.finish import check_finished, send_finished, tell_negotiated
from handfast.handshake.identity import (
    ProvenChain,
    adopt_resumed_peer,
    candidates,
    certificate_request_extensions,
    judge_client,
    prove_identity,
    read_certificate_verify,
    receive_certificate,
)
from handfast.handshake.negotiate import NegotiatedParameters
from handfast.handshake.psk import Resumption
from handfast.handshake.selection import Choice, choose_server_credentials
from handfast.handshake.server_resumption import send_tickets, tickets_to_send
from handfast.keys.established import Established
from handfast.registry import ExtensionType
from handfast.wire.extensions import (
    CertificateAuthorities,
    CertificateCompressionAlgorithms,
    EarlyDataIndication,
    ExtensionBody,
    Extensions,
    KeyShareEntry,
    KeyShareServerHello,
    ProtocolNameList,
    SelectedPsk,
    ServerNameAcknowledged,
    ServerTicketRequestHint,
    SignatureSchemeList,
    SupportedVersionsServerHello,
)
from handfast.wire.messages import (
    CertificateRequest,
    ClientHello,
    EncryptedExtensions,
    Finished,
    ServerHello,
)

if TYPE_CHECKING:
    from handfast.handshake.context import ServerHandshake, Step


def server13(
    hs: ServerHandshake, offer: negotiate.Offer, negotiated: NegotiatedParameters, resumption: Resumption | None
) -> Generator[Step, Any, Established]:
    """What follows a ClientHello that has all we need; ``resumption`` is the session that it resumes."""
    info, suite_id, group = hs.info, negotiated.suite, negotiated.group
    suite = SUITES_13[suite_id]
    info.version, info.suite, info.group = negotiate.TLS13, suite.id, group
    info.application_protocol, info.resumed = negotiated.protocol, resumption is not None
    mine = None if resumption is not None else (yield from own_identity(hs, offer))
    public, shared_secret = hs.seams.encapsulate(group, offer.shares[group])
    hs.transcript.start(suite.hash)
    # Between the start of the transcript, which then is the client's hello alone, and our hello: the secret of early
    # data is derived from exactly that.
    early = (yield from consider_early_data(hs, offer, resumption, suite)) if offer.parameters.early_data else None
    if early is not None:
        take_early_data(hs, early, suite)
    hs.send_encoded(server_hello(hs, offer, suite_id, group, public, resumption))
    early_secret = hs.early_secret(suite) if resumption is None else resumption.early_secret
    handshake_secret = early_secret.handshake_secret(shared_secret)
    # Each side's traffic secrets, named for who writes under them.
    client_secret, server_secret = handshake_secret.traffic_secrets(hs.transcript.digest())
    hs.write_with(server_secret, suite, Epoch.HANDSHAKE)
    if early is None:
        hs.read_with(client_secret, suite, Epoch.HANDSHAKE, after=ClientHello)
        if offer.parameters.early_data:
            skip_early_data(hs)
    if offer.hello.legacy_session_id and not hs.info.retried:
        hs.records.write_change_cipher_spec()

    ticket_count = tickets_to_send(hs.config, offer, resumed=resumption is not None)
    hint = ticket_count if offer.parameters.tickets is not None else 0
    # RFC 6066 3: a name is not acknowledged where a session is resumed.
    named = offer.parameters.names_server and resumption is None
    hs.send_encoded(encrypted_extensions(named, negotiated.protocol, early is not None, hint))
    tell_negotiated(hs, offer.hello)
    request = None if mine is None else (yield from send_server_certificate(hs, negotiated, mine))
    send_finished(hs, server_secret)
    main_secret = handshake_secret.main_secret()
    client_application, server_application, exporter = main_secret.application_secrets(hs.transcript.digest())
    hs.write_with(server_application, suite, Epoch.APPLICATION)

    if early is not None:
        yield from read_end_of_early_data(hs, client_secret, suite)
    proven = None if request is None else (yield from read_client_certificate(hs, request))
    yield from check_finished(hs, client_secret)
    # Not before Finished: a hello with a PSK's name in it may be one that was recorded.
    if resumption is not None:
        adopt_resumed_peer(hs, resumption.peer, resumption.state.ocsp_response, resumption.state.timestamps)
    wanted = ticket_count or hs.watch.wants_secrets
    resumption_secret = main_secret.resumption_secret(hs.transcript.digest()) if wanted else None
    hs.read_with(client_application, suite, Epoch.APPLICATION, after=Finished)
    hs.records.accepts_change_cipher_spec = False

    # Tickets come after the verdict, so that a client that is refused can resume nothing.
    if request is not None:
        yield from judge_client(hs, hs.config.client_auth, proven)
    if resumption_secret is not None:
        yield from send_tickets(hs, suite, resumption_secret, resumption, ticket_count)
    return Established(suite, client_application, server_application, exporter)


def server_hello(
    hs: ServerHandshake, offer: negotiate.Offer, suite: int, group: int, public: bytes, resumption: Resumption | None
) -> bytes:
    """RFC 9846 4.2.3."""
    session_id = offer.hello.legacy_session_id
    selected = None if resumption is None else resumption.index
    to_random, to_id, to_public, rest = server_hello_around(suite, group, len(session_id), len(public), selected)
    return to_random + hs.seams.random_bytes(32) + to_id + session_id + to_public + public + rest


@lru_cache(maxsize=64)
def server_hello_around(
    suite: int, group: int, id_length: int, public_length: int, selected: int | None
) -> tuple[bytes, bytes, bytes, bytes]:
    """What stands around random, session id and public value in the encoding of such a ServerHello."""
    share = KeyShareServerHello(KeyShareEntry(group, bytes(public_length)))
    extensions = Extensions.of(SupportedVersionsServerHello(negotiate.TLS13), share)
    end = b""
    if selected is not None:
        extensions[ExtensionType.pre_shared_key] = SelectedPsk(selected)
        end = ExtensionType.pre_shared_key.to_bytes(2, "big") + b"\0\2" + selected.to_bytes(2, "big")
    raw = ServerHello(negotiate.TLS12, bytes(32), bytes(id_length), suite, 0, extensions).encode()
    return raw[:6], raw[38:39], raw[39 + id_length : len(raw) - len(end) - public_length], end


@lru_cache(maxsize=64)
def encrypted_extensions(named: bool, protocol: str | None, early: bool, ticket_hint: int) -> bytes:
    """RFC 9846 4.4.1."""
    bodies: list[ExtensionBody] = []
    if named:
        bodies.append(ServerNameAcknowledged())
    if protocol is not None:
        bodies.append(ProtocolNameList((protocol.encode(),)))
    if early:
        bodies.append(EarlyDataIndication())
    if ticket_hint:
        bodies.append(ServerTicketRequestHint(ticket_hint))
    return EncryptedExtensions(Extensions.of(*bodies)).encode()


def send_server_certificate(
    hs: ServerHandshake, negotiated: NegotiatedParameters, mine: Choice
) -> Generator[Step, Any, CertificateRequest | None]:
    """What we want to know of the client, which is returned, and who we are. RFC 9846 4.4.2 and 4.5."""
    request = None
    if hs.config.client_auth is not ClientAuth.NONE:
        request, encoded = kept_certificate_request(hs)
        hs.send_encoded(encoded)
    yield from prove_identity(hs, mine, negotiated.form)
    return request


def own_identity(hs: ServerHandshake, offer: negotiate.Offer) -> Generator[Step, Any, Choice]:
    """Who we are to this client. RFC 9846 4.5.1."""
    schemes = negotiate.signature_schemes(offer)
    ours = yield from candidates(hs, lambda: negotiate.seen(offer.hello))
    if not ours:
        raise no_such_name(hs.info.server_name)
    return choose_server_credentials(ours, schemes, hs.info.server_name, hs.config.signing_schemes)


def certificate_request(hs: ServerHandshake, context: bytes = b"") -> CertificateRequest:
    """RFC 9846 4.4.2. An empty list of CA names is left out: it would be malformed.

    After the handshake answers are told apart by the context of a plain Certificate, so none may come compressed.
    """
    bodies = [SignatureSchemeList(hs.config.client_schemes), *certificate_request_extensions(hs)]
    if context:
        bodies = [body for body in bodies if not isinstance(body, CertificateCompressionAlgorithms)]
    names = tuple(hs.config.ca_names or ())
    if names:
        bodies.append(CertificateAuthorities(names))
    hs.info.client_auth_requested = True
    hs.info.ca_names = names
    return CertificateRequest(context, Extensions.of(*bodies))


def kept_certificate_request(hs: ServerHandshake) -> tuple[CertificateRequest, bytes]:
    """The request of a handshake and its encoding, which is the same as long as nothing is loaded anew."""
    config = hs.config
    names = tuple(config.ca_names or ())
    key = names, config.asks_for_ocsp_response
    kept = config.requests.get(key)
    if kept is None:
        request = certificate_request(hs)
        kept = request, request.encode()
        config.requests.keep(key, kept, len(kept[1]))
    hs.info.client_auth_requested = True
    hs.info.ca_names = names
    return kept


def read_client_certificate(
    hs: ServerHandshake, request: CertificateRequest
) -> Generator[Step, Any, ProvenChain | None]:
    """The client's certificate with its proof, or None when it sent none. RFC 9846 4.5.1."""
    certificate = yield from receive_certificate(hs, request)
    if not certificate.certificate_list:
        return None
    return (yield from read_certificate_verify(hs, certificate, hs.config.client_schemes, request.extensions))
