"""A TLS 1.2 peer like that of ``peer``: it does everything right, and lies where it is told to.

Its steps have the names of the messages sent there, and ``ChangeCipherSpec``, which is one of them here. After that
step, whatever was told there, it writes under its keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, NamedTuple

from handfast.crypto import groups, signatures
from handfast.crypto.randomness import random_bytes
from handfast.crypto.suites12 import SUITES_12
from handfast.errors import PeerMisbehaved
from handfast.events import Epoch
from handfast.keys.schedule12 import MainSecret12
from handfast.pki.authority import Issued
from handfast.record.protection12 import Protection12
from handfast.registry import NamedGroup
from handfast.roles import Role
from handfast.wire import extensions as ext
from handfast.wire.codec import encode
from handfast.wire.extensions import ExtensionBody, Extensions
from handfast.wire.messages import CertificateVerify, ClientHello, Finished
from handfast.wire.messages12 import (
    MESSAGES_12,
    Certificate,
    CertificateRequest,
    CertificateStatus,
    ClientKeyExchange,
    NewSessionTicket,
    ServerECDHParams,
    ServerHello,
    ServerHelloDone,
    ServerKeyExchange,
)
from tests import certificates
from tests.lies import CHANGE_CIPHER_SPEC, DUMMY_CHANGE_CIPHER_SPEC, TLS12
from tests.scripted import OTHER_KEYS, Got, Peer


class Known(NamedTuple):
    """A session as a peer holds it."""

    suite: int
    main_secret: bytes
    ticket: bytes = b""
    session_id: bytes = b""


@dataclass
class Peer12(Peer):
    """What both roles share. ``extended``: whether the extended main secret is spoken; ``session``: what is resumed."""

    _: KW_ONLY
    extended: bool = True
    session: Known | None = None

    MESSAGES = MESSAGES_12

    def __post_init__(self) -> None:
        super().__post_init__()
        self.suite = next(iter(SUITES_12.values()))
        self.randoms = (b"", b"")
        self._protections: Mapping[Role, Protection12] = {}
        self._changed = False
        self.resumed = False

    @property
    def role(self) -> Role:
        return Role(self.ROLE)

    def _open(self, header: bytes, body: bytes) -> Got:
        if header[0] == CHANGE_CIPHER_SPEC:
            assert not self._changed
            assert body == b"\1"
            self._changed = True
            return Got(header[0], body, Epoch.PLAINTEXT)
        if not self._changed:
            return Got(header[0], body, Epoch.PLAINTEXT)
        try:
            content_type, content, _ = self._protections[self.role.peer].open(header, body)
        except PeerMisbehaved:
            return Got(0, body, OTHER_KEYS)
        return Got(content_type, content, Epoch.APPLICATION)

    def _derive(self, shared_secret: bytes) -> None:
        """The keys, once ClientKeyExchange was sent or came."""
        session_hash = self.suite.hash.digest(self.transcript.messages) if self.extended else None
        self._use(MainSecret12.from_shared_secret(self.suite, shared_secret, self.randoms, session_hash))

    def _resume(self, session: Known) -> None:
        self.resumed = True
        self._use(MainSecret12.restored(self.suite, session.main_secret, self.randoms))
        self.transcript.start(self.suite.hash)

    def _use(self, main_secret: MainSecret12) -> None:
        self.main_secret = main_secret
        keys = main_secret.keys()
        self._protections = {role: Protection12(self.suite, keys[role]) for role in Role}

    def _finish(self) -> None:
        """ChangeCipherSpec and Finished."""
        self.send("ChangeCipherSpec", DUMMY_CHANGE_CIPHER_SPEC)
        self._write_pending()
        self._write_keys = self._protections[self.role]
        self.send("Finished", Finished(self._verify_data(self.role)))

    def _check_their_finish(self) -> None:
        expected = self._verify_data(self.role.peer)
        assert self.expect(Finished).verify_data == expected
        assert self._changed

    def _verify_data(self, sender: Role) -> bytes:
        verify_data: bytes = self.main_secret.finished_key(sender).finished(self.transcript.digest())
        return verify_data

    def _scheme(self) -> int:
        assert self.identity is not None
        key = signatures.certificate_public_key(self.identity.chain[0])
        return self.scheme or signatures.schemes_for_12(key)[0]

    def _sign(self, content: bytes) -> tuple[int, bytes]:
        assert self.identity is not None
        scheme = self._scheme()
        return scheme, signatures.sign(self.identity.key, scheme, content)


def check_signature(certificate: Certificate, proof: ServerKeyExchange | CertificateVerify, content: bytes) -> None:
    key = signatures.certificate_public_key(certificate.certificate_list[0])
    assert signatures.verify_12(key, proof.algorithm, proof.signature, content)


@dataclass
class Server12(Peer12):
    """A server; without options it takes the client's first suite of its key and first group, and asks for nothing."""

    _: KW_ONLY
    identity: Issued | None = field(default_factory=certificates.server)
    chosen_suite: int | None = None
    group: int | None = None
    requests_certificate: bool = False
    certificate_types: tuple[int, ...] = (64, 1)
    requested_schemes: tuple[int, ...] = signatures.SUPPORTED_SCHEMES
    ca_names: tuple[bytes, ...] = ()
    protocol: bytes = b""
    session_id: bytes = b""
    announces_response: bool = False
    ocsp_response: bytes = b""
    timestamps: tuple[bytes, ...] = ()
    new_ticket: bytes | None = None
    lifetime_hint: int = 0

    ROLE = "server"

    def script(self) -> None:
        hello = self.expect(ClientHello)
        resumed = self._known(hello)
        self.suite = SUITES_12[self.chosen_suite or (resumed and resumed.suite) or self._first_suite(hello)]
        session_id = hello.legacy_session_id if resumed else self.session_id
        answer = ServerHello(TLS12, random_bytes(32), session_id, self.suite.id, 0, self._extensions(hello))
        self.randoms = hello.random, answer.random
        self.send("ServerHello", answer)
        if resumed is not None:
            self._resume(resumed)
            self._give_ticket()
            self._finish()
            self._check_their_finish()
            return
        chain = () if self.identity is None else self.identity.chain
        self.send("Certificate", Certificate(chain))
        if self.ocsp_response:
            self.send("CertificateStatus", CertificateStatus(1, self.ocsp_response))
        offered = hello.find(ext.NamedGroupList)
        assert offered is not None
        group = self.group or next(one for one in offered.named_group_list if one in groups.CLASSICAL_GROUPS)
        share = groups.generate(group)
        params = ServerECDHParams(3, group, share.public)
        if self.identity is not None:
            content = b"".join(self.randoms) + encode(params)
            self.send("ServerKeyExchange", ServerKeyExchange(params, *self._sign(content)))
        if self.requests_certificate:
            request = CertificateRequest(self.certificate_types, self.requested_schemes, self.ca_names)
            self.send("CertificateRequest", request)
        self.send("ServerHelloDone", ServerHelloDone())

        certificate = self.expect(Certificate) if self.requests_certificate else None
        exchange = self.expect(ClientKeyExchange)
        self._derive(share.shared_secret(exchange.public))
        if certificate is not None and certificate.certificate_list:
            content = self.transcript.messages
            check_signature(certificate, self.expect(CertificateVerify), content)
        self.transcript.start(self.suite.hash)
        self._check_their_finish()
        self._give_ticket()
        self._finish()

    def _known(self, hello: ClientHello) -> Known | None:
        """The session that the client offers, if it is ours."""
        offered = hello.find(ext.SessionTicket)
        if self.session is None or offered is None:
            return None
        name, own = (offered.ticket, self.session.ticket) if offered.ticket else (hello.legacy_session_id, b"")
        return self.session if name == (own or self.session.session_id) else None

    def _give_ticket(self) -> None:
        if self.new_ticket is not None:
            self.send("NewSessionTicket", NewSessionTicket(self.lifetime_hint, self.new_ticket))

    def given(self) -> Known:
        """The session as the client has it now."""
        return Known(self.suite.id, self.main_secret.value, self.new_ticket or b"", self.session_id)

    def _first_suite(self, hello: ClientHello) -> int:
        assert self.identity is not None
        kind = signatures.certificate_public_key(self.identity.chain[0]).kind
        return next(one for one in hello.cipher_suites if one in SUITES_12 and SUITES_12[one].fits(kind))

    def _extensions(self, hello: ClientHello) -> Extensions:
        bodies: list[ExtensionBody] = [ext.RenegotiationInfo(b""), ext.ECPointFormatList((0,))]
        if self.extended:
            bodies.append(ext.ExtendedMainSecret())
        if self.new_ticket is not None:
            bodies.append(ext.SessionTicketAcknowledged())
        if self.protocol:
            bodies.append(ext.ProtocolNameList((self.protocol,)))
        if hello.find(ext.ServerNameList):
            bodies.append(ext.ServerNameAcknowledged())
        if self.announces_response or self.ocsp_response:
            bodies.append(ext.CertificateStatusAcknowledged())
        if self.timestamps:
            bodies.append(ext.SignedCertificateTimestampList(self.timestamps))
        return Extensions.of(*bodies)


@dataclass
class Client12(Peer12):
    """A client; without options it asks for localhost and has no certificate."""

    _: KW_ONLY
    suites: tuple[int, ...] = tuple(SUITES_12)
    groups: tuple[int, ...] = (NamedGroup.x25519, NamedGroup.secp256r1)
    schemes: tuple[int, ...] = signatures.SUPPORTED_SCHEMES
    server_name: bytes = b"localhost"
    protocols: tuple[bytes, ...] = ()
    takes_tickets: bool = False
    # Whether it tells by its session id that a ticket was accepted.
    fresh_id: bool = True

    ROLE = "client"

    def script(self) -> None:
        hello = self._hello()
        self.send("ClientHello", hello)
        answer = self.expect(ServerHello)
        self.suite = SUITES_12[answer.cipher_suite]
        self.randoms = hello.random, answer.random
        assert (answer.find(ext.ExtendedMainSecret) is not None) == self.extended
        self.session_id = answer.session_id
        known = bool(answer.session_id) or not self.fresh_id
        if self.session is not None and known and answer.session_id == hello.legacy_session_id:
            self._resume(self.session)
            self._take_ticket(answer)
            self._check_their_finish()
            self._finish()
            return
        certificate = self.expect(Certificate)
        if answer.find(ext.CertificateStatusAcknowledged) is not None:
            self.expect(CertificateStatus)
        exchange = self.expect(ServerKeyExchange)
        check_signature(certificate, exchange, b"".join(self.randoms) + encode(exchange.params))
        request: Any = self.expect(CertificateRequest, ServerHelloDone)
        asked = isinstance(request, CertificateRequest)
        if asked:
            self.expect(ServerHelloDone)
            self.send("Certificate", Certificate(() if self.identity is None else self.identity.chain))
        share = groups.generate(exchange.params.named_curve)
        self.send("ClientKeyExchange", ClientKeyExchange(share.public))
        self._derive(share.shared_secret(exchange.params.public))
        if asked and self.identity is not None:
            self.send("CertificateVerify", CertificateVerify(*self._sign(self.transcript.messages)))
        self.transcript.start(self.suite.hash)
        self._finish()
        self._take_ticket(answer)
        self._check_their_finish()

    def _take_ticket(self, answer: ServerHello) -> None:
        self.ticket = None
        if answer.find(ext.SessionTicketAcknowledged) is not None:
            self.ticket = self.expect(NewSessionTicket)

    def given(self) -> Known:
        """The session as the server can resume it."""
        ticket = b"" if self.ticket is None else self.ticket.ticket
        return Known(self.suite.id, self.main_secret.value, ticket, self.session_id)

    def _hello(self) -> ClientHello:
        bodies: list[ExtensionBody] = [
            ext.ServerNameList((ext.ServerName(0, self.server_name),)),
            ext.NamedGroupList(self.groups),
            ext.SignatureSchemeList(self.schemes),
            ext.ECPointFormatList((0,)),
            ext.RenegotiationInfo(b""),
        ]
        if self.extended:
            bodies.append(ext.ExtendedMainSecret())
        if self.protocols:
            bodies.append(ext.ProtocolNameList(self.protocols))
        session = self.session or Known(0, b"")
        if self.takes_tickets or session.ticket:
            bodies.append(ext.SessionTicket(session.ticket))
        session_id = random_bytes(32) if session.ticket and self.fresh_id else session.session_id
        return ClientHello(TLS12, random_bytes(32), session_id, self.suites, b"\0", Extensions.of(*bodies))
