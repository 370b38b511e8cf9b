"""A client's handshake from its first hello to the fork on the version. RFC 9846 4.2."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from handfast.crypto.groups import CLASSICAL_GROUPS
from handfast.crypto.suites import SUITES_13
from handfast.errors import PeerMisbehaved
from handfast.handshake import negotiate, versions
from handfast.handshake.client13 import client13
from handfast.handshake.client_resumption import SESSIONS_13, find_offer, quietly
from handfast.handshake.early_data import (
    check_old_version,
    may_offer_early_data,
    send_early_data,
    withdraw_early_data,
)
from handfast.handshake.identity import certificate_request_extensions
from handfast.handshake.psk import SessionOffer, check_hash, offered_modes, send_with_psk
from handfast.keys.established import Established
from handfast.registry import ECPointFormat, ExtensionType
from handfast.wire import messages12
from handfast.wire.extensions import (
    CertificateAuthorities,
    ClientTicketRequest,
    Cookie,
    EarlyDataIndication,
    ECPointFormatList,
    ExtendedMainSecret,
    ExtensionBody,
    Extensions,
    KeyShareClientHello,
    KeyShareEntry,
    NamedGroupList,
    PostHandshakeAuth,
    ProtocolNameList,
    RenegotiationInfo,
    ServerName,
    ServerNameList,
    SessionTicket,
    SignatureSchemeList,
    SupportedVersionsClientHello,
)
from handfast.wire.messages import ClientHello, HelloRetryRequest, ServerHello
from handfast.x509.names import sni

if TYPE_CHECKING:
    from handfast.config.config import ClientConfig
    from handfast.crypto.groups import KeyShare
    from handfast.handshake.context import ClientHandshake, Step
    from handfast.handshake.tls12.client_resumption import SessionOffer12
    from handfast.keys.established12 import Established12
    from handfast.trust.verifiers import Verifier


@dataclass(slots=True)
class ClientOffer:
    """The hello as sent, the private halves of its key shares by group, and the session that it offers to resume."""

    hello: ClientHello
    shares: dict[int, KeyShare]
    session: SessionOffer | None


def client(
    hs: ClientHandshake, verifier: Verifier, server_name: str | None, early_data: bytes = b""
) -> Generator[Step, Any, Established | Established12]:
    """RFC 9846 figure 1 from the client's side, up to the version."""
    config = hs.config
    # The secrets of a session are told under the name that the connection will have.
    hs.client_random = hs.seams.random_bytes(32)
    session = session_12 = None
    if config.sessions is not None and server_name is not None:
        if negotiate.TLS13 in config.enabled_versions:
            session = yield from find_offer(hs, config.sessions, verifier, server_name, SESSIONS_13)
        # The server alone knows which version it will speak: RFC 9846 4.2.2.
        if negotiate.TLS12 in config.enabled_versions:
            from handfast.handshake.tls12.client_resumption import SESSIONS_12

            session_12 = yield from find_offer(hs, config.sessions, verifier, server_name, SESSIONS_12)
    early = may_offer_early_data(hs, session, early_data) if early_data else False
    offer = make_offer(hs, server_name, session, session_12, early=early)
    hs.flush()
    hs.records.accepts_change_cipher_spec = True
    if early and session is not None and ExtensionType.early_data in offer.hello.extensions:
        send_early_data(hs, offer.hello, session, early_data)
    hs.takes_warnings = negotiate.TLS12 in config.enabled_versions
    answer = yield from hs.expect(ServerHello, HelloRetryRequest, messages12.ServerHello)
    versions.check_version(config.enabled_versions, answer)
    if isinstance(answer, messages12.ServerHello):
        from handfast.handshake.tls12.client import client12

        check_old_version(offer.hello)
        return (yield from client12(hs, verifier, server_name, offer.hello, answer, session_12))
    if session_12 is not None and config.sessions is not None:
        quietly(config.sessions.put, session_12.partition, session_12.session)
    hs.takes_warnings = False
    retry = None
    if isinstance(answer, HelloRetryRequest):
        retry = answer
        offer = answer_retry(hs, offer, retry)
        answer = yield from hs.expect(ServerHello, HelloRetryRequest, messages12.ServerHello)
        if isinstance(answer, HelloRetryRequest):
            raise PeerMisbehaved("second_retry")
        if isinstance(answer, messages12.ServerHello):
            raise PeerMisbehaved("changed_after_retry", message="ServerHello", field="the version")
    choice = negotiate.check_server_hello(offer.hello, answer, retry)
    session = offer.session if choice.resumes else None
    if session is not None:
        check_hash(session, choice.suite)
        hs.info.session_identified = session.session.identified
    shared_secret = offer.shares[choice.group].shared_secret(choice.key_exchange)
    return (yield from client13(hs, verifier, server_name, offer.hello, choice, shared_secret, session))


def make_offer(
    hs: ClientHandshake,
    server_name: str | None,
    session: SessionOffer | None,
    session_12: SessionOffer12 | None,
    *,
    early: bool,
) -> ClientOffer:
    """Send the first ClientHello. RFC 9846 4.2.2."""
    config = hs.config
    speaks_13 = negotiate.TLS13 in config.enabled_versions
    shares = {group: hs.seams.generate(group) for group in config.first_groups} if speaks_13 else {}
    hs.info.post_handshake_auth = config.post_handshake_auth and speaks_13
    session_id = b"" if session_12 is None else session_12.session.session_id
    # One that names nothing shows by its echo that a ticket was accepted (RFC 5077 3.4), and makes a handshake of TLS
    # 1.3 look like a resumption of TLS 1.2 to middleboxes (RFC 9846 D.4).
    if not session_id and (speaks_13 or session_12 is not None):
        session_id = hs.seams.random_bytes(32)
    # All that the hello says depends on this and on what never changes, but for randomness and for what sessions bring.
    key = server_name, early, tuple(config.ca_names or ()), config.asks_for_ocsp_response
    pattern = config.hellos.get(key) if session_12 is None else None
    if pattern is None:
        extensions = first_extensions(hs, server_name, session_12, shares, early=early)
        pattern = HelloPattern(
            ClientHello(negotiate.TLS12, bytes(32), session_id, config.enabled_suites, b"\0", extensions)
        )
        if session_12 is None:
            config.hellos.keep(key, pattern, pattern.size)
    hello, encoded = pattern.hello(hs.client_random, session_id, [share.public for share in shares.values()])
    if session is None:
        hello = hs.send(hello, encoded)
    else:
        hello = send_with_psk(hs, hello, encoded, session)
    hs.client_random = hello.random
    return ClientOffer(hello, shares, session)


def first_extensions(
    hs: ClientHandshake,
    server_name: str | None,
    session_12: SessionOffer12 | None,
    shares: dict[int, KeyShare],
    *,
    early: bool,
) -> Extensions:
    """The extensions of the first ClientHello, without PSKs. RFC 9846 4.3."""
    config = hs.config
    speaks_12, speaks_13 = negotiate.TLS12 in config.enabled_versions, negotiate.TLS13 in config.enabled_versions
    bodies: list[ExtensionBody] = []
    name = sni(server_name)
    if name is not None:
        bodies.append(ServerNameList((ServerName(0, name.encode("ascii")),)))
    groups = [group for group in config.groups if speaks_13 or group in CLASSICAL_GROUPS]
    bodies += NamedGroupList(tuple(groups)), SignatureSchemeList(tuple(config.schemes))
    if speaks_13:
        bodies += SupportedVersionsClientHello(config.enabled_versions), key_shares(shares)
    if speaks_12:
        bodies += ECPointFormatList((ECPointFormat.uncompressed,)), ExtendedMainSecret(), RenegotiationInfo(b"")
        if config.sessions is not None and server_name is not None:
            bodies.append(SessionTicket(b"" if session_12 is None else session_12.session.ticket))
    if config.application_protocols:
        bodies.append(ProtocolNameList(tuple(protocol.encode() for protocol in config.application_protocols)))
    bodies += certificate_request_extensions(hs, compression=speaks_13)
    if speaks_13:
        bodies += only_for_13(config, early=early)
    return Extensions.of(*bodies)


class HelloPattern:
    """A ClientHello without its random, its session id and the public values of its key shares, encoded once."""

    __slots__ = ("_extensions", "_groups", "_parts", "_suites", "_to_id", "_to_random", "size")

    def __init__(self, hello: ClientHello) -> None:
        raw = hello.encode()
        self.size = len(raw)
        key_share = hello.find(KeyShareClientHello)
        entries = () if key_share is None else key_share.client_shares
        self._extensions = hello.extensions
        self._suites = hello.cipher_suites
        self._groups = [entry.group for entry in entries]
        self._to_random, self._to_id, at = raw[:6], raw[38:39], 39 + raw[38]
        # What stands before each public value, and after the last one.
        self._parts: list[bytes] = []
        for entry in entries:
            start = raw.index(entry.key_exchange, at)
            self._parts.append(raw[at:start])
            at = start + len(entry.key_exchange)
        self._parts.append(raw[at:])

    def hello(self, random: bytes, session_id: bytes, publics: Sequence[bytes]) -> tuple[ClientHello, bytes]:
        """The hello with these, and its encoding."""
        extensions, entries = Extensions(self._extensions), []
        parts = [self._to_random, random, self._to_id, session_id, self._parts[0]]
        for group, public, part in zip(self._groups, publics, self._parts[1:], strict=True):
            entries.append(KeyShareEntry(group, public))
            parts += (public, part)
        if entries:
            extensions[ExtensionType.key_share] = KeyShareClientHello(tuple(entries))
        return ClientHello(negotiate.TLS12, random, session_id, self._suites, b"\0", extensions), b"".join(parts)


def only_for_13(config: ClientConfig, *, early: bool) -> list[ExtensionBody]:
    """The extensions that say nothing to a server of an older version. RFC 9846 4.3."""
    bodies: list[ExtensionBody] = []
    if config.ca_names:
        bodies.append(CertificateAuthorities(tuple(config.ca_names)))
    if config.sessions is not None:
        bodies.append(offered_modes())
        if config.ticket_request is not None:
            bodies.append(ClientTicketRequest(*config.ticket_request))
    if early:
        bodies.append(EarlyDataIndication())
    if config.post_handshake_auth:
        bodies.append(PostHandshakeAuth())
    return bodies


def key_shares(shares: dict[int, KeyShare]) -> KeyShareClientHello:
    """RFC 9846 4.3.8."""
    return KeyShareClientHello(tuple(KeyShareEntry(group, share.public) for group, share in shares.items()))


def answer_retry(hs: ClientHandshake, offer: ClientOffer, retry: HelloRetryRequest) -> ClientOffer:
    """Send the second ClientHello: the first, changed only as the server asked. RFC 9846 4.2.2 and 4.2.4."""
    hs.require_boundary(HelloRetryRequest)
    group = negotiate.check_retry(offer.hello, retry)
    suite = SUITES_13[retry.cipher_suite]
    hs.transcript.start_over_with_message_hash(suite.hash)
    hs.info.retried = True
    shares = offer.shares if group is None else {group: hs.seams.generate(group)}
    session = offer.session if offer.session is not None and offer.session.suite.hash is suite.hash else None
    early, extensions = ExtensionType.early_data in offer.hello.extensions, Extensions(offer.hello.extensions)
    extensions.pop(ExtensionType.pre_shared_key, None)
    if early:
        withdraw_early_data(hs, extensions)
    if group is not None:
        extensions[ExtensionType.key_share] = key_shares(shares)
    cookie = retry.find(Cookie)
    if cookie is not None:
        extensions[ExtensionType.cookie] = cookie
    # One such record is enough, and early data has one behind the first hello. RFC 9846 D.4.
    if offer.hello.legacy_session_id and not early:
        hs.records.write_change_cipher_spec()
    second = replace(offer.hello, extensions=extensions)
    second = hs.send(second) if session is None else send_with_psk(hs, second, second.encode(), session)
    hs.flush()
    return ClientOffer(second, shares, session)
