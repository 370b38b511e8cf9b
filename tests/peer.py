"""A TLS 1.3 peer that meets one of our connections in memory: it does everything right, and lies where it is told to.

It stands on wire, keys, record protection and crypto alone, so it shares no judgement with what it tests, and it checks
what ours sends: certificates with their proofs, and Finished. A test says what goes wrong and reads what ours made of
it: the code of our error, the alert that the peer got, and under which keys::

    peer = Server(client(), lies={"ServerHello": change(cipher_suite=0x1304)}).run()
    assert peer.refusal == ("suite_not_offered", "illegal_parameter", "plaintext")

A lie is about one step of the script. The steps have the names of the messages sent there; the hello that answers a
HelloRetryRequest is ``SecondClientHello``. A hello that offers PSKs gets its binders after the lie about it, so that
they are right; a lie about ``BoundClientHello`` or ``BoundSecondClientHello`` comes last. ``EarlyData`` is a record.
``lies.py`` has the ways to lie, ``scripted.py`` what both roles share.

Handshake bytes enter the peer's transcript as they were sent. A lie is therefore signed and authenticated like the
truth: ours can refuse it for nothing but itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace

from handfast.crypto import groups, signatures
from handfast.crypto.groups import KeyShare
from handfast.crypto.randomness import random_bytes
from handfast.crypto.suites import SUITES_13
from handfast.events import Epoch
from handfast.keys.schedule import EarlySecret
from handfast.keys.transcript import Transcript
from handfast.pki.authority import Issued
from handfast.record.protection import Protection13
from handfast.registry import ExtensionType, NamedGroup
from handfast.wire import extensions as ext
from handfast.wire.extensions import ExtensionBody, Extensions
from handfast.wire.messages import (
    HELLO_RETRY_REQUEST_RANDOM,
    Certificate,
    CertificateRequest,
    ClientHello,
    EncryptedExtensions,
    EndOfEarlyData,
    HelloRetryRequest,
    NewSessionTicket,
    ServerHello,
)
from tests import certificates
from tests.lies import (
    APPLICATION_DATA,
    DUMMY_CHANGE_CIPHER_SPEC,
    TLS12,
    TLS13,
    Record,
)
from tests.scripted import Peer, Psk


@dataclass
class Server(Peer):
    """A server; without options it takes the client's first suite and first share and asks for no certificate.

    ``group`` without a share, or a ``cookie``, makes it send a HelloRetryRequest. It accepts the first of the ``psks``
    that the client offers, and early data with it if it ``takes_early_data``; what comes early is in ``data`` either
    way, and even if it no longer ``accepts_psks``. It ends by giving so many ``tickets``, which are then in ``given``.
    """

    _: KW_ONLY
    identity: Issued | None = field(default_factory=certificates.server)
    chosen_suite: int | None = None
    group: int | None = None
    cookie: bytes = b""
    requests_certificate: bool = False
    ca_names: tuple[bytes, ...] = ()
    protocol: bytes = b""
    psks: tuple[Psk, ...] = ()
    accepts_psks: bool = True
    takes_early_data: bool = False
    tickets: int = 0
    ticket_lifetime: int = 3600
    max_early_data: int = 0

    given: list[Psk] = field(default_factory=list, init=False)

    ROLE = "server"

    def script(self) -> None:
        hello = self.expect(ClientHello)
        psk = self._choose_psk(hello, Transcript())
        self.suite = SUITES_13[self.chosen_suite or (hello.cipher_suites[0] if psk is None else psk.suite)]
        self._read_early_data(hello, psk)
        psk = psk if self.accepts_psks else None
        shares = _shares(hello)
        group = self.group or next(iter(shares))
        if retried := group not in shares or bool(self.cookie):
            before, hello = self._retry(hello, group, shares)
            psk = self._choose_psk(hello, before) if self.accepts_psks else None
            shares = _shares(hello)
        public, shared_secret = groups.encapsulate(group, shares[group])
        self.transcript.start(self.suite.hash)
        self.send("ServerHello", self._hello(hello, group, public, psk))
        early_secret = EarlySecret(self.suite.hash) if psk is None else psk.early_secret
        handshake_secret = early_secret.handshake_secret(shared_secret)
        client, server = handshake_secret.traffic_secrets(self.transcript.digest())
        self._write_pending()
        if hello.legacy_session_id and not retried:
            self.put(DUMMY_CHANGE_CIPHER_SPEC)
        self._write_with(server)
        self._read_with(Epoch.HANDSHAKE, client)
        early = self.takes_early_data and psk is not None and hello.find(ext.EarlyDataIndication) is not None
        self._flight(resumes=psk is not None, early=early)
        secrets = self._application_secrets(handshake_secret)
        self._write_with(secrets[1])
        if early:
            self.expect(EndOfEarlyData)
        self._client_flight(resumed=psk is not None)
        self._read_with(Epoch.APPLICATION, secrets[0])
        self._client_is_finished()
        for number in range(self.tickets):
            self._give_ticket(bytes((number,)))

    def _choose_psk(self, hello: ClientHello, before: Transcript) -> Psk | None:
        offered = hello.find(ext.OfferedPsks)
        if offered is None:
            return None
        truncated = hello.raw[: -2 - sum(1 + len(binder) for binder in offered.binders)]
        for index, identity in enumerate(offered.identities):
            for psk in self.psks:
                if psk.identity == identity.identity:
                    assert offered.binders[index] == psk.binder(before, truncated)
                    self.selected = index
                    return psk
        return None

    def _read_early_data(self, hello: ClientHello, psk: Psk | None) -> None:
        if psk is not None and hello.find(ext.EarlyDataIndication) is not None:
            hash_ = SUITES_13[psk.suite].hash
            hello_hash = self.transcript.digest_with(hash_, b"")
            self.early_exporter = psk.early_secret.early_exporter_secret(hello_hash)
            secret = psk.early_secret.client_early_traffic_secret(hello_hash)
            self._read_keys.append((Epoch.EARLY, Protection13(SUITES_13[psk.suite], secret)))

    def _retry(self, hello: ClientHello, group: int, shares: Mapping[int, bytes]) -> tuple[Transcript, ClientHello]:
        """The transcript before the second hello, and that."""
        self.transcript.start_over_with_message_hash(self.suite.hash)
        bodies: list[ExtensionBody] = [ext.SupportedVersionsServerHello(TLS13)]
        if group not in shares:
            bodies.append(ext.KeyShareHelloRetryRequest(group))
        if self.cookie:
            bodies.append(ext.Cookie(self.cookie))
        echo, suite = hello.legacy_session_id, self.suite.id
        retry = HelloRetryRequest(TLS12, HELLO_RETRY_REQUEST_RANDOM, echo, suite, 0, Extensions.of(*bodies))
        self.send("HelloRetryRequest", retry)
        self._write_pending()
        if hello.legacy_session_id:
            self.put(DUMMY_CHANGE_CIPHER_SPEC)
        before = self.transcript.copy()
        return before, self.expect(ClientHello)

    def _hello(self, hello: ClientHello, group: int, public: bytes, psk: Psk | None) -> ServerHello:
        extensions = Extensions.of(
            ext.SupportedVersionsServerHello(TLS13), ext.KeyShareServerHello(ext.KeyShareEntry(group, public))
        )
        if psk is not None:
            extensions[ExtensionType.pre_shared_key] = ext.SelectedPsk(self.selected)
        return ServerHello(TLS12, random_bytes(32), hello.legacy_session_id, self.suite.id, 0, extensions)

    def _flight(self, *, resumes: bool, early: bool) -> None:
        bodies: list[ExtensionBody] = [ext.ProtocolNameList((self.protocol,))] if self.protocol else []
        if early:
            bodies.append(ext.EarlyDataIndication())
        self.send("EncryptedExtensions", EncryptedExtensions(Extensions.of(*bodies)))
        if self.requests_certificate and not resumes:
            extensions = Extensions.of(ext.SignatureSchemeList(signatures.SUPPORTED_SCHEMES))
            if self.ca_names:
                extensions[ExtensionType.certificate_authorities] = ext.CertificateAuthorities(self.ca_names)
            self.send("CertificateRequest", CertificateRequest(b"", extensions))
        if not resumes:
            self._prove()
        self._send_finished()

    def _client_flight(self, *, resumed: bool) -> None:
        if self.requests_certificate and not resumed:
            certificate = self.expect(Certificate)
            if certificate.certificate_list:
                self._check_proof(certificate, "client")
        self._check_finished()

    def _give_ticket(self, nonce: bytes) -> None:
        extensions = Extensions()
        if self.max_early_data:
            extensions = Extensions.of(ext.EarlyDataIndicationNewSessionTicket(self.max_early_data))
        key, age_add = self.resumption_secret.psk(nonce), int.from_bytes(random_bytes(4), "big")
        psk = Psk(random_bytes(16), key, self.suite.id, age_add, self.max_early_data)
        self.given.append(psk)
        self.send("NewSessionTicket", NewSessionTicket(self.ticket_lifetime, age_add, nonce, psk.identity, extensions))


@dataclass
class Client(Peer):
    """A client; without options it shares the first of its groups, asks for localhost and has no certificate.

    It offers ``psks``, ``age`` milliseconds old, and sends ``early_data`` with the first of them unless that is None.
    Tickets of ours are in ``tickets``. ``more`` are further extensions of its hello.
    """

    _: KW_ONLY
    suites: tuple[int, ...] = tuple(SUITES_13)
    groups: tuple[int, ...] = (NamedGroup.x25519, NamedGroup.secp256r1)
    shared_groups: tuple[int, ...] | None = None
    schemes: tuple[int, ...] = signatures.SUPPORTED_SCHEMES
    server_name: bytes = b"localhost"
    protocols: tuple[bytes, ...] = ()
    psks: tuple[Psk, ...] = ()
    modes: tuple[int, ...] = (1,)
    age: int = 0
    early_data: bytes | None = None
    more: tuple[ExtensionBody, ...] = ()

    # The PSK that ours accepted, and whether it took early data.
    accepted: Psk | None = field(default=None, init=False)
    early_data_accepted: bool = field(default=False, init=False)

    ROLE = "client"

    def script(self) -> None:
        shares = self._new_shares(self.groups[:1] if self.shared_groups is None else self.shared_groups)
        hello = self._hello(shares)
        self._send_hello("ClientHello", hello)
        if self.early_data is not None:
            self._send_early_data(self.early_data)
        answer = self.expect(ServerHello, HelloRetryRequest)
        self.suite = SUITES_13[answer.cipher_suite]
        if isinstance(answer, HelloRetryRequest):
            shares, answer = self._try_again(hello, answer, shares)
        else:
            self.transcript.start(self.suite.hash)
        share = answer.extensions[ExtensionType.key_share]
        assert isinstance(share, ext.KeyShareServerHello)
        shared_secret = shares[share.server_share.group].shared_secret(share.server_share.key_exchange)
        selected = answer.find(ext.SelectedPsk)
        self.accepted = None if selected is None else self.psks[selected.selected_identity]
        early_secret = EarlySecret(self.suite.hash) if self.accepted is None else self.accepted.early_secret
        handshake_secret = early_secret.handshake_secret(shared_secret)
        client, server = handshake_secret.traffic_secrets(self.transcript.digest())
        self._read_with(Epoch.HANDSHAKE, server)
        request = self._read_flight()
        secrets = self._application_secrets(handshake_secret)
        self._read_with(Epoch.APPLICATION, secrets[1])
        if self.early_data is None:
            self.put(DUMMY_CHANGE_CIPHER_SPEC)
        if self.early_data_accepted:
            self.send("EndOfEarlyData", EndOfEarlyData())
        self._write_with(client)
        if request is not None:
            self._prove()
        self._send_finished()
        self._client_is_finished()
        self._write_with(secrets[0])

    @property
    def tickets(self) -> list[Psk]:
        """What ours gave so far."""
        return [self._ticket(message) for message in self.listen().messages if isinstance(message, NewSessionTicket)]

    def _ticket(self, message: NewSessionTicket) -> Psk:
        key = self.resumption_secret.psk(message.ticket_nonce)
        early = message.find(ext.EarlyDataIndicationNewSessionTicket)
        size = 0 if early is None else early.max_early_data_size
        return Psk(message.ticket, key, self.suite.id, message.ticket_age_add, size)

    def _send_hello(self, step: str, hello: ClientHello) -> None:
        lie = self.lies.get(step, hello)
        said = lie(hello) if callable(lie) else lie
        if self.psks and isinstance(said, ClientHello) and said.find(ext.OfferedPsks) is not None:
            said = self._bound(said)
        last = self.lies.get(f"Bound{step}", said)
        self.put(last(said) if callable(last) else last)

    def _bound(self, hello: ClientHello) -> ClientHello:
        offered = hello.extensions[ExtensionType.pre_shared_key]
        assert isinstance(offered, ext.OfferedPsks)
        truncated = hello.encode()[: -2 - sum(1 + len(binder) for binder in offered.binders)]
        binders = tuple(psk.binder(self.transcript, truncated) for psk in self.psks)
        extensions = Extensions(hello.extensions)
        extensions[ExtensionType.pre_shared_key] = ext.OfferedPsks(offered.identities, binders)
        return replace(hello, extensions=extensions)

    def _send_early_data(self, data: bytes) -> None:
        psk = self.psks[0]
        self.suite = SUITES_13[psk.suite]
        self._write_pending()
        hello_hash = self.transcript.digest_with(self.suite.hash, b"")
        self.early_exporter = psk.early_secret.early_exporter_secret(hello_hash)
        self.put(DUMMY_CHANGE_CIPHER_SPEC)
        self._write_with(psk.early_secret.client_early_traffic_secret(hello_hash))
        self.send("EarlyData", Record(APPLICATION_DATA, data))

    def _new_shares(self, wanted: Sequence[int]) -> dict[int, KeyShare]:
        return {group: groups.generate(group) for group in wanted}

    def _hello(self, shares: Mapping[int, KeyShare]) -> ClientHello:
        bodies: list[ExtensionBody] = [
            ext.ServerNameList((ext.ServerName(0, self.server_name),)),
            ext.SupportedVersionsClientHello((TLS13,)),
            ext.NamedGroupList(self.groups),
            ext.SignatureSchemeList(self.schemes),
            _key_shares(shares),
        ]
        if self.protocols:
            bodies.append(ext.ProtocolNameList(self.protocols))
        if self.modes:
            bodies.append(ext.PskKeyExchangeModes(self.modes))
        if self.early_data is not None:
            bodies.append(ext.EarlyDataIndication())
        bodies += self.more
        if self.psks:
            identities = [ext.PskIdentity(psk.identity, (self.age + psk.age_add) % 2**32) for psk in self.psks]
            unbound = [bytes(SUITES_13[psk.suite].hash.size) for psk in self.psks]
            bodies.append(ext.OfferedPsks(tuple(identities), tuple(unbound)))
        return ClientHello(TLS12, random_bytes(32), random_bytes(32), self.suites, b"\0", Extensions.of(*bodies))

    def _try_again(
        self, hello: ClientHello, retry: HelloRetryRequest, shares: dict[int, KeyShare]
    ) -> tuple[dict[int, KeyShare], ServerHello]:
        self.transcript.start_over_with_message_hash(self.suite.hash)
        extensions = Extensions(hello.extensions)
        extensions.pop(ExtensionType.early_data, None)
        psks = extensions.pop(ExtensionType.pre_shared_key, None)
        self._write_pending()
        self._write_keys = None
        if (wanted := retry.find(ext.KeyShareHelloRetryRequest)) is not None:
            shares = self._new_shares((wanted.selected_group,))
            extensions[ExtensionType.key_share] = _key_shares(shares)
        if (cookie := retry.find(ext.Cookie)) is not None:
            extensions[ExtensionType.cookie] = cookie
        if psks is not None:
            extensions[ExtensionType.pre_shared_key] = psks
        self.put(DUMMY_CHANGE_CIPHER_SPEC)
        self._send_hello("SecondClientHello", replace(hello, extensions=extensions))
        return shares, self.expect(ServerHello)

    def _read_flight(self) -> CertificateRequest | None:
        answer = self.expect(EncryptedExtensions)
        self.early_data_accepted = answer.find(ext.EarlyDataIndication) is not None
        if self.accepted is not None:
            self._check_finished()
            return None
        request = None
        certificate: Certificate | CertificateRequest = self.expect(CertificateRequest, Certificate)
        if isinstance(certificate, CertificateRequest):
            request = certificate
            certificate = self.expect(Certificate)
        self._check_proof(certificate, "server")
        self._check_finished()
        return request


def _shares(hello: ClientHello) -> dict[int, bytes]:
    offered = hello.find(ext.KeyShareClientHello)
    assert offered is not None
    return {share.group: share.key_exchange for share in offered.client_shares}


def _key_shares(shares: Mapping[int, KeyShare]) -> ext.KeyShareClientHello:
    return ext.KeyShareClientHello(tuple(ext.KeyShareEntry(group, share.public) for group, share in shares.items()))
