"""Finished, and what both roles say when the parameters are known. RFC 9846 4.5.3."""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Protocol

from handfast.errors import BadMessage, PeerMisbehaved
from handfast.events import Negotiated
from handfast.wire.messages import ClientHello, Finished

if TYPE_CHECKING:
    from collections.abc import Generator

    from handfast.handshake.context import HandshakeContext, Step


class Authenticates(Protocol):
    """A secret of one side, by which it proves what it saw."""

    def finished(self, transcript_hash: bytes, /) -> bytes: ...


def send_finished(hs: HandshakeContext, secret: Authenticates) -> bytes:
    """Prove that we saw the same handshake as the peer, by the verify_data that is returned. RFC 9846 4.5.3."""
    transcript_hash = hs.transcript.digest()
    verify_data = secret.finished(transcript_hash)
    sent = hs.send(Finished(verify_data)).verify_data
    if hs.watch.active:
        hs.checked(hs.role.sends, "Finished", transcript_hash, verify_data, sent, verify_data == sent)
    return sent


def check_finished(hs: HandshakeContext, secret: Authenticates) -> Generator[Step, Any, bytes]:
    """Wait for the proof that the peer saw the same handshake, check it and return it. RFC 9846 4.5.3."""
    transcript_hash = hs.transcript.digest()
    finished = yield from hs.expect(Finished)
    expected = secret.finished(transcript_hash)
    received = finished.verify_data
    if len(received) != len(expected):
        size = len(expected)
        raise BadMessage(
            "length_out_of_bounds",
            message="Finished",
            field="verify_data",
            length=len(received),
            minimum=size,
            maximum=size,
        )
    ok = compare_digest(expected, received)
    if hs.watch.active:
        hs.checked(hs.role.peer.sends, "Finished", transcript_hash, expected, received, ok)
    if not ok:
        raise PeerMisbehaved("bad_finished")
    return received


def tell_negotiated(hs: HandshakeContext, hello: ClientHello) -> None:
    """Tell the parameters, which EncryptedExtensions completes. ``hello`` is the client's last."""
    if hs.watch.active and hs.info.version is not None and hs.info.suite is not None:
        hs.tell(
            Negotiated(
                time=hs.watch.time,
                version=hs.info.version,
                suite=hs.info.suite,
                group=hs.info.group,
                retried=hs.info.retried,
                server_name=hello.sni_name,
                application_protocol=hs.info.application_protocol,
            )
        )
