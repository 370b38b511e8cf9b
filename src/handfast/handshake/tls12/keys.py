"""Where the keys of a TLS 1.2 handshake go on, the same in both roles. RFC 5246 7.1 and 8.1, RFC 7627 4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.events import Epoch
from handfast.keys.schedule12 import MainSecret12

if TYPE_CHECKING:
    from handfast.crypto.suites12 import Suite12
    from handfast.handshake.context import HandshakeContext
    from handfast.keys.schedule12 import DirectionKeys
    from handfast.wire.messages import HandshakeMessage


def main_secret(
    hs: HandshakeContext, suite: Suite12, shared_secret: bytes, randoms: tuple[bytes, bytes], *, extended: bool
) -> MainSecret12:
    """The main secret, once ClientKeyExchange is part of the transcript."""
    session_hash = suite.hash.digest(hs.transcript.messages) if extended else None
    return MainSecret12.from_shared_secret(suite, shared_secret, randoms, session_hash, hs.report)


def write_with(hs: HandshakeContext, suite: Suite12, keys: DirectionKeys) -> None:
    """Write what is still to be written, ChangeCipherSpec, and from then on with these keys."""
    hs.flush()
    hs.records.write_change_cipher_spec()
    hs.records.change_write_keys(hs.protection_12(suite, keys), Epoch.APPLICATION, suite.id)


def read_with(hs: HandshakeContext, suite: Suite12, keys: DirectionKeys, after: type[HandshakeMessage]) -> None:
    """The next record must be ChangeCipherSpec, from which on these keys are read with."""
    hs.records.await_change_cipher_spec(hs.protection_12(suite, keys), Epoch.APPLICATION, suite.id, after.__name__)
