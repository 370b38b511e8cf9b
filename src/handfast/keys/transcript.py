"""The running hash over a handshake's messages, and what is signed over it. RFC 9846 4.5.1 (Transcript-Hash)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handfast.roles import Role
from handfast.wire.messages import message_hash

if TYPE_CHECKING:
    from handfast.crypto.hashes import Hash
    from handfast.wire.extensions import OfferedPsks


_CONTEXT = {role: b" " * 64 + b"TLS 1.3, %s CertificateVerify\0" % role.value.encode() for role in Role}


def proof_content(prover: Role, transcript_hash: bytes) -> bytes:
    """What CertificateVerify signs. RFC 9846 4.5.2."""
    return _CONTEXT[prover] + transcript_hash


def without_binders(hello: bytes, offered: OfferedPsks | None) -> bytes:
    """An encoded ClientHello up to its binders, which stand at its end. RFC 9846 4.3.11.2."""
    binders = () if offered is None else offered.binders
    return hello[: len(hello) - 2 - len(binders) - sum(map(len, binders))]


class Transcript:
    """Messages as they stood on the wire, hashed once the suite has named the hash.

    Bytes received go in as received: what is hashed is never a message encoded again.
    """

    __slots__ = ("_digest", "_pending", "_running")

    def __init__(self) -> None:
        self._pending: list[bytes] = []
        self._running: Any = None
        # What ``digest`` last returned, while it holds: key schedule and proofs ask for the same hash several times.
        self._digest = b""

    def add(self, raw: bytes) -> None:
        """Append one message with its 4-byte header."""
        if self._running is None:
            self._pending.append(raw)
        else:
            self._running.update(raw)
            self._digest = b""

    def start(self, hash_function: Hash) -> None:
        """The suite is known: hash what came so far. A second call, after a HelloRetryRequest, changes nothing."""
        if self._running is None:
            self._running = hash_function.new(b"".join(self._pending))
            self._pending.clear()

    def start_over_with_message_hash(self, hash_function: Hash) -> None:
        """Replace the first ClientHello by its hash, as a HelloRetryRequest demands. RFC 9846 4.5.1."""
        first_hello, *later = self._pending
        self._pending = [message_hash(hash_function.digest(first_hello)), *later]
        self.start(hash_function)

    def copy(self) -> Transcript:
        """What came so far, to go on from separately."""
        other = Transcript()
        other._pending = [*self._pending]
        other._running = None if self._running is None else self._running.copy()
        return other

    def digest_with(self, hash_function: Hash, partial: bytes) -> bytes:
        """Transcript-Hash of all messages so far and of the beginning of one more. RFC 9846 4.3.11.2."""
        if self._running is None:
            return hash_function.digest(b"".join((*self._pending, partial)))
        other = self.copy()
        other.add(partial)
        return other.digest()

    @property
    def messages(self) -> bytes:
        """All messages so far, as long as none were hashed: TLS 1.2 signs them whole. RFC 5246 7.4.8."""
        return b"".join(self._pending)

    def digest(self) -> bytes:
        """Transcript-Hash of all messages so far; the hash's size."""
        if not self._digest:
            self._digest = self._running.copy().digest()
        return self._digest
