"""Peers that ask for a certificate after the handshake, or answer, honestly or with lies."""

from __future__ import annotations

from handfast.crypto import signatures
from handfast.engine import (
    ClientAuth,
    Data,
    PeerAuthenticated,
)
from handfast.events import Epoch
from handfast.wire.extensions import Extensions, PostHandshakeAuth, SignatureSchemeList
from handfast.wire.messages import (
    Certificate,
    CertificateEntry,
    CertificateRequest,
    CertificateVerify,
    Finished,
    KeyUpdate,
)
from tests import certificates
from tests.lies import APPLICATION_DATA, Record, extended
from tests.peer import Client, Server
from tests.protocol.ours import APPLICATION_KEYS, assert_dead, client, credentials, server
from tests.scripted import proof_content

NONE = ClientAuth.NONE
ALICE, MALLORY = certificates.client(), certificates.client(name="mallory")
OFFER = dict.fromkeys(("ClientHello", "SecondClientHello"), extended(PostHandshakeAuth()))
DATA = Record(APPLICATION_DATA, b"data")
SCHEMES = SignatureSchemeList(signatures.SUPPORTED_SCHEMES)


# Peers


class TheirClient(Client):
    """A client that offers authentication after the handshake, and answers requests, or lies in its answers."""

    def __init__(self, ours, **options):
        super().__init__(ours, **{"lies": OFFER, **options})
        self.run()
        assert self.complete, ours.error
        self.base = self.transcript.copy()
        self.results.clear()

    def _send_finished(self):
        self.handshake_secret = self.write_secret
        super()._send_finished()

    @property
    def requests(self):
        return [message for message in self.listen().messages if isinstance(message, CertificateRequest)]

    def answer(self, request=None, identity=ALICE, lies=None, *, key=None, proves_as="client", secret=None):
        """The messages of an answer as what they are sent as; a lie is about one of them, as in a handshake."""
        request = request or self.requests[-1]
        transcript = self.base.copy()
        transcript.add(request.raw)
        sent = []

        def say(message):
            lie = (lies or {}).get(type(message).__name__, message)
            lie = lie(message) if callable(lie) else lie
            for item in lie if isinstance(lie, list) else [lie]:
                raw = item if isinstance(item, bytes | Record) else item.encode()
                if isinstance(raw, bytes):
                    transcript.add(raw)
                sent.append(raw)

        chain: tuple[bytes, ...] = () if identity is None else identity.chain
        say(Certificate(request.certificate_request_context, tuple(map(CertificateEntry, chain))))
        if identity is not None:
            scheme = signatures.schemes_for(signatures.certificate_public_key(chain[0]))[0]
            content = proof_content(proves_as, transcript)
            say(CertificateVerify(scheme, signatures.sign(key or identity.key, scheme, content)))
        say(Finished((secret or self.write_secret).finished(transcript.digest())))
        return sent


class TheirServer(Server):
    """A server that asks after the handshake, and checks each answer."""

    def __init__(self, ours, **options):
        super().__init__(ours, **options)
        self.run()
        assert self.complete, ours.error
        self.base = self.transcript.copy()
        self.results.clear()

    def ask(self, context=b"context", *bodies):
        request = CertificateRequest(context, Extensions.of(*(bodies or (SCHEMES,))))
        self.say(request)
        return request

    def take_answer(self, request):
        """The chain of the next answer, which must be right in every point. It must be for ``request``."""
        transcript = self.base.copy()
        transcript.add(request.encode())
        certificate = self._take(Certificate, transcript)
        assert certificate.certificate_request_context == request.certificate_request_context
        chain = tuple(entry.cert_data for entry in certificate.certificate_list)
        if chain:
            content = proof_content("client", transcript)
            proof = self._take(CertificateVerify, transcript)
            assert signatures.verify(
                signatures.certificate_public_key(chain[0]), proof.algorithm, proof.signature, content
            )
        expected = self.read_secret.finished(transcript.digest())
        assert self._take(Finished, transcript).verify_data == expected
        return chain

    def _take(self, kind, transcript):
        while isinstance(message := self._next(), KeyUpdate):
            self._follow()
        assert isinstance(message, kind), message
        transcript.add(message.raw)
        return message

    def _next(self):
        self._incoming += self.connection.outgoing()
        return self._next_message()

    def _follow(self):
        self._read_with(Epoch.APPLICATION, self.read_secret.updated())


def our_server(**options):
    """Our server, which asked a client that offered it, and the client."""
    asks = options.pop("asks", {})
    ours = server(**{"client_auth": NONE, **options})
    peer = TheirClient(ours)
    ours.request_client_certificate(**asks)
    return peer


def our_client(**options):
    options.setdefault("credentials", (credentials(ALICE),))
    return TheirServer(client(post_handshake_auth=True, **options))


def authenticated(peer):
    return [result.peer for result in peer.results if isinstance(result, PeerAuthenticated)]


def data_of(peer):
    return [bytes(result.data) for result in peer.results if isinstance(result, Data)]


def check_refused(act, code, alert_name, **options):
    """``act`` of a client that was asked is refused: at once and byte by byte, watched and not."""
    for chunk, observers in ((0, []), (1, [repr])):
        peer = our_server(observers=observers, **options)
        peer.chunk = chunk
        act(peer)
        assert peer.refusal == (code, alert_name, APPLICATION_KEYS), peer.connection.error
        assert_dead(peer.connection)
        assert authenticated(peer) == []


def check_client_refuses(act, code, alert_name, **options):
    for chunk, observers in ((0, []), (1, [repr])):
        peer = our_client(observers=observers, **options)
        peer.chunk = chunk
        act(peer)
        assert peer.refusal == (code, alert_name, APPLICATION_KEYS), peer.connection.error
        assert_dead(peer.connection)
