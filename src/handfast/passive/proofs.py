"""The transcript of a recorded handshake, and the proofs over it: Finished and CertificateVerify. RFC 9846 4.5.

A proof can be checked only if all messages before it were recorded and opened. Where that is not so, nothing is said of
it, and it counts as right: what follows it can be read all the same.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

from handfast.crypto import signatures
from handfast.events import Checked, Epoch, EventDispatcher
from handfast.keys.transcript import Transcript, proof_content
from handfast.limits import MAX_CERTIFICATE_REQUESTS
from handfast.roles import Role
from handfast.wire.compression import certificate_in
from handfast.wire.messages import Certificate, CertificateRequest, CertificateVerify, Finished

if TYPE_CHECKING:
    from handfast.crypto.hashes import Hash
    from handfast.keys.schedule import TrafficSecret
    from handfast.wire.messages import HandshakeMessage


class Proofs:
    """One handshake's transcript; ``whole`` is False once a part of it is missing."""

    def __init__(self, watch: EventDispatcher) -> None:
        self.whole = True
        self.retried = False
        self._watch = watch
        self._transcript = Transcript()
        self._started = False
        self._messages = 0
        self._server_finished = False
        self._leaves: dict[Role, bytes] = {}
        # After the handshake: the transcripts of requests without an answer, by context, and that of the answer that
        # is coming.
        self._requests: dict[bytes, Transcript] = {}
        self._answer: Transcript | None = None

    def add(self, raw: bytes, epoch: Epoch) -> None:
        """Append a message; those under application keys are no part of the handshake.

        A transcript that is not whole proves nothing: what else comes is not kept.
        """
        if self.whole and epoch is not Epoch.APPLICATION:
            self._messages += 1
            self._transcript.add(raw)

    def start(self, hash_function: Hash) -> None:
        """The suite is known."""
        self._started = True
        self._transcript.start(hash_function)

    def start_over(self, hash_function: Hash) -> None:
        """A HelloRetryRequest came, and has been added. RFC 9846 4.5.1."""
        if self._started or self._messages != 2:
            self.whole = False
            return
        self.retried = self._started = True
        self._transcript.start_over_with_message_hash(hash_function)

    @property
    def messages(self) -> bytes | None:
        """All messages so far, as long as no version has said how to hash them; None if not all are there."""
        return self._transcript.messages if self.whole and not self._started else None

    @property
    def transcript_hash(self) -> bytes:
        """The hash of all messages so far; b"" if it cannot be known."""
        return self._transcript.digest() if self.whole and self._started else b""

    def hash_with(self, hash_function: Hash, partial: bytes) -> bytes:
        """The hash of all messages so far and of the start of a ClientHello; b"" if it cannot be known."""
        first = not self._messages or self.retried
        return self._transcript.digest_with(hash_function, partial) if self.whole and first else b""

    def check(self, sender: Role, message: HandshakeMessage, secret: TrafficSecret | None, epoch: Epoch) -> bool:
        """Check and tell, if ``message``, which is not yet added, is a proof; False if it is a wrong one.

        ``secret`` is what its sender's records are protected with.
        """
        certificate = certificate_in(message)
        if certificate is not None and certificate.certificate_list:
            self._leaves[sender] = certificate.certificate_list[0].cert_data
        if sender is Role.SERVER and isinstance(message, Finished):
            self._server_finished = True
        if epoch is Epoch.HANDSHAKE and sender is Role.CLIENT and not self._server_finished:
            # It covers the server's flight, of which something was not recorded.
            self.whole = False
        if epoch is Epoch.HANDSHAKE and self.transcript_hash:
            return self._check(sender, message, secret, self.transcript_hash)
        return epoch is not Epoch.APPLICATION or self._later(sender, message, secret)

    def _later(self, sender: Role, message: HandshakeMessage, secret: TrafficSecret | None) -> bool:
        """``check`` for a client that shows who it is after the handshake. RFC 9846 4.7.2."""
        if sender is Role.SERVER:
            if isinstance(message, CertificateRequest) and self.transcript_hash:
                if len(self._requests) >= MAX_CERTIFICATE_REQUESTS:
                    del self._requests[next(iter(self._requests))]
                transcript = self._requests[message.certificate_request_context] = self._transcript.copy()
                transcript.add(message.raw)
            return True
        if isinstance(message, Certificate):
            self._answer = self._requests.pop(message.certificate_request_context, None)
        answer = self._answer
        if answer is None:
            return True
        right = self._check(sender, message, secret, answer.digest())
        answer.add(message.raw)
        if not right or isinstance(message, Finished):
            self._answer = None
        return right

    def _check(
        self, sender: Role, message: HandshakeMessage, secret: TrafficSecret | None, transcript_hash: bytes
    ) -> bool:
        if isinstance(message, Finished) and secret is not None:
            expected, received = secret.finished(transcript_hash), message.verify_data
            right = compare_digest(expected, received)
            # One of another length is malformed, and compared with nothing.
            if len(received) == len(expected):
                self._tell(sender, "Finished", transcript_hash, expected, received, right)
            return right
        if isinstance(message, CertificateVerify) and sender in self._leaves:
            content = proof_content(sender, transcript_hash)
            verdict = _is_right(self._leaves[sender], sender, message, content)
            if verdict is not None:
                self._tell(sender, "CertificateVerify", content, b"", message.signature, verdict)
            return verdict is not False
        return True

    def _tell(self, sender: Role, what: str, content: bytes, expected: bytes, received: bytes, ok: bool) -> None:
        self._watch.emit(
            Checked(
                time=self._watch.time,
                direction=sender.sends,
                what=what,
                content=content,
                expected=expected,
                received=received,
                ok=ok,
            )
        )


def _is_right(leaf: bytes, sender: Role, proof: CertificateVerify, content: bytes) -> bool | None:
    """Whether the leaf's key signed ``content``; None where the two do not go together."""
    try:
        key = signatures.certificate_public_key(leaf)
    except signatures.UnusableKey:
        return None
    allowed = signatures.may_prove(proof.algorithm, client=sender is Role.CLIENT)
    if not allowed or not signatures.scheme_fits(key, proof.algorithm):
        return None
    return signatures.verify(key, proof.algorithm, proof.signature, content)
