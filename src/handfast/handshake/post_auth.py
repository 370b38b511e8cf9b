"""A client that shows who it is after the handshake, because the server asks only then. RFC 9846 4.7.2.

Each request and its answer is an *exchange*, one generator per role as in the handshake, with the same hands and the
same code for proving and checking. Several may be under way: their transcripts all continue the handshake's, and the
request's context tells them apart. An exchange is in one of three places:

- in line, because it needs a signature or a verdict. One need is asked at a time, and reading goes on meanwhile: data
  that comes is data of a client that is not judged yet;
- receiving, between Certificate and Finished of an answer: then nothing else may come;
- at a server, waiting for its Certificate, which may take as long as a person does.

A client writes the messages of an answer when it has them all, so nothing of its own comes between them either.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from handfast import limits
from handfast.errors import ApiMisuse, PeerMisbehaved
from handfast.handshake import negotiate
from handfast.handshake.context import ClientHandshake, Expect, HandshakeContext, ServerHandshake, Step, misused
from handfast.handshake.finish import check_finished, send_finished
from handfast.handshake.identity import client_choice, judge_client, prove_identity
from handfast.handshake.server13 import certificate_request, read_client_certificate
from handfast.roles import Role
from handfast.wire.messages import Certificate, CertificateRequest, HandshakeMessage

if TYPE_CHECKING:
    from handfast.config.config import ClientAuth
    from handfast.connection_info import UnverifiedPeer, VerifiedPeer
    from handfast.handshake.needs import Need
    from handfast.keys.established import Established

# At a server: the request's context and who answered it, None for a client that declined.
Answered: TypeAlias = "tuple[bytes, VerifiedPeer | UnverifiedPeer | None]"
Exchange: TypeAlias = "Generator[Step, Any, Answered | None]"

# RFC 9113 9.2.3 (RFC 8740) and RFC 9001 4.4: with many requests under way it is unknown which one this is about.
FORBIDDING_PROTOCOLS = ("h2", "h3")


def answer_request(hs: ClientHandshake, secrets: Established) -> Exchange:
    """The client's side: Certificate, CertificateVerify unless that is empty, Finished."""
    request = yield from hs.expect(CertificateRequest)
    wanted = negotiate.check_certificate_request(request, later=True)
    hs.info.client_auth_requested = True
    hs.info.ca_names = wanted.ca_names
    mine = yield from client_choice(hs, wanted)
    form = negotiate.certificate_form(request, hs.config.certificate_compression)
    yield from prove_identity(hs, mine, form, request.certificate_request_context)
    send_finished(hs, secrets.write)
    hs.flush()
    return None


def request_identity(hs: ServerHandshake, client_auth: ClientAuth, context: bytes, secrets: Established) -> Exchange:
    """The server's side: the request, the checks of the answer in the handshake's order, the verdict."""
    request = hs.send(certificate_request(hs, context))
    hs.flush()
    proven = yield from read_client_certificate(hs, request)
    yield from check_finished(hs, secrets.read)
    yield from judge_client(hs, client_auth, proven)
    return context, None if proven is None else hs.info.peer


class PostHandshakeAuthentication:
    """The exchanges of one connected side whose client offered them."""

    __slots__ = ("_asked", "_contexts", "_hs", "_receiving", "_secrets", "expected", "queue", "startable")

    def __init__(self, hs: HandshakeContext, secrets: Established) -> None:
        self._hs = hs
        self._secrets = secrets
        # What starts an exchange, or an answer; at a server only while one is asked for.
        self.startable: tuple[type[HandshakeMessage], ...] = ()
        # The message that must come next, in the middle of an answer.
        self.expected: Expect | None = None
        # The first of them is asked.
        self.queue: list[tuple[Exchange, Need]] = []
        self._receiving: Exchange | None = None
        # At a server, the exchanges whose answer has not begun to come, by context.
        self._asked: dict[bytes, Exchange] = {}
        # At a client, all contexts that came; the handshake's own is empty.
        self._contexts: set[bytes] = {b""} if hs.info.client_auth_requested else set()
        if hs.role is Role.CLIENT and hs.info.application_protocol not in FORBIDDING_PROTOCOLS:
            self.startable = (CertificateRequest,)

    @property
    def under_way(self) -> bool:
        """Whether an answer is owed or awaited."""
        return bool(self.expected or self.queue or self._asked)

    def request(self, client_auth: ClientAuth) -> bytes:
        """Send a CertificateRequest; its context."""
        if len(self._asked) >= limits.MAX_PENDING_CERTIFICATE_REQUESTS:
            raise ApiMisuse("cannot_request", reason=f"{len(self._asked)} requests have no answer yet")
        context = self._hs.seams.random_bytes(32)
        hs = cast("ServerHandshake", self._hs).continued()
        exchange = request_identity(hs, client_auth, context, self._secrets)
        next(exchange)
        self._asked[context] = exchange
        self.startable = (Certificate,)
        return context

    def exchange(self, message: HandshakeMessage) -> Exchange:
        """The exchange that goes on with ``message``, which is ``expected`` or one of ``startable``."""
        receiving = self._receiving
        if receiving is not None:
            self._receiving = self.expected = None
            return receiving
        if isinstance(message, CertificateRequest):
            return self._answer(message.certificate_request_context)
        asked = None
        if isinstance(message, Certificate):
            asked = self._asked.pop(message.certificate_request_context, None)
        if asked is None:
            raise PeerMisbehaved("certificate_context", message=type(message).__name__)
        self.startable = (Certificate,) if self._asked else ()
        return asked

    def _answer(self, context: bytes) -> Exchange:
        if context in self._contexts:
            raise PeerMisbehaved("reused_request_context")
        if len(self._contexts) >= limits.MAX_CERTIFICATE_REQUESTS:
            limit = limits.MAX_CERTIFICATE_REQUESTS
            raise PeerMisbehaved("too_many_certificate_requests", limit=limit, where="over one connection")
        if len(self.queue) >= limits.MAX_PENDING_CERTIFICATE_REQUESTS:
            limit = limits.MAX_PENDING_CERTIFICATE_REQUESTS
            raise PeerMisbehaved("too_many_certificate_requests", limit=limit, where="wait for our answer")
        self._contexts.add(context)
        exchange = answer_request(cast("ClientHandshake", self._hs).continued(), self._secrets)
        next(exchange)
        return exchange

    def refuse_data(self) -> None:
        """Nothing may stand between the messages of an answer. RFC 9846 4.7.2."""
        if self.expected is not None:
            raise PeerMisbehaved("unexpected_message", message="application data", expected=self.expected.names)

    def go_on(self, exchange: Exchange, value: object) -> Answered | None:
        """Let the exchange go on, to its end or to where it waits: for a message of its answer, or in line."""
        try:
            step = exchange.send(value)
        except StopIteration as finished:
            return cast("Answered | None", finished.value)
        except ApiMisuse as error:
            raise misused(error) from None
        if isinstance(step, Expect):
            self._receiving, self.expected = exchange, step
        else:
            self.queue.append((exchange, step))
        return None
