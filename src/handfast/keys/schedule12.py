"""The keys of TLS 1.2. RFC 5246 5, 6.3 and 8.1, RFC 7627.

  shared_secret -> PRF(., "extended master secret", hash of the messages up to ClientKeyExchange) = main secret
                or PRF(., "master secret", client random + server random), which a man in the middle can make two
                   connections share: RFC 7627 1
  main secret   -> PRF(., "key expansion", server random + client random) = keys and IVs of both directions
                   PRF(., "client finished" or "server finished", transcript hash) = verify_data
                   PRF(., label of the application, randoms and context) = exported keying material

The RFC's first input is called premaster secret; with ECDHE it is the shared secret itself (RFC 8422 5.10).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handfast.crypto.hashes import mac
from handfast.errors import ApiMisuse
from handfast.roles import Role

if TYPE_CHECKING:
    from handfast.crypto.hashes import Hash, HashState
    from handfast.crypto.suites12 import Suite12
    from handfast.keys.schedule import Report

MAIN_SECRET_LENGTH = 48
VERIFY_DATA_LENGTH = 12


def prf(hash_: Hash, secret: bytes, label: str, seed: bytes, length: int) -> bytes:
    """The pseudorandom function, P_hash. RFC 5246 5."""
    return _expand(_pads(hash_, secret), label, seed, length)


def _pads(hash_: Hash, secret: bytes) -> tuple[HashState, HashState]:
    return hash_.pads(secret if len(secret) <= hash_.block_size else hash_.digest(secret))


def _expand(pads: tuple[HashState, HashState], label: str, seed: bytes, length: int) -> bytes:
    """``prf`` of the secret that these are the HMAC's pads of."""
    seed = label.encode() + seed
    output = b""
    block = seed
    while len(output) < length:
        block = mac(pads, block)
        output += mac(pads, block + seed)
    return output[:length]


@dataclass(frozen=True, slots=True)
class DirectionKeys:
    """What protects one direction: the AEAD's key and the secret part of its nonce."""

    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)


class FinishedKey:
    """Makes the verify_data of one side's Finished."""

    __slots__ = ("_label", "_pads")

    def __init__(self, pads: tuple[HashState, HashState], sender: Role) -> None:
        """``pads`` are those of the main secret."""
        self._pads = pads
        self._label = f"{sender} finished"

    def finished(self, transcript_hash: bytes) -> bytes:
        """verify_data, 12 bytes. RFC 5246 7.4.9."""
        return _expand(self._pads, self._label, transcript_hash, VERIFY_DATA_LENGTH)


class Exporter:
    """Keying material for the application. RFC 5705."""

    __slots__ = ("_hash", "_randoms", "_secret", "extended")

    def __init__(self, hash_: Hash, secret: bytes, randoms: bytes, *, extended: bool) -> None:
        self._hash = hash_
        self._secret = secret
        self._randoms = randoms
        self.extended = extended

    def export(self, label: str, context: bytes | None, length: int) -> bytes:
        """Exported keying material; None, no context, is not the same as an empty one. RFC 5705 4.

        Raises ApiMisuse without the extended main secret: two connections might export the same (RFC 7627 1);
        and for a context or a length that does not fit.
        """
        if not self.extended:
            raise ApiMisuse("no_exporter_12")
        if context is not None and len(context) >= 2**16:
            raise ApiMisuse("bad_argument", reason=f"a context of {len(context)} bytes")
        if not 0 <= length < 2**16:
            raise ApiMisuse("bad_argument", reason=f"{length} bytes of keying material")
        seed = self._randoms
        if context is not None:
            seed += len(context).to_bytes(2, "big") + context
        return prf(self._hash, self._secret, label, seed, length)


class MainSecret12:
    """The main secret of one connection. ``value``, 48 bytes, does not show."""

    __slots__ = ("_client_random", "_pads", "_report", "_server_random", "extended", "suite", "value")

    def __init__(
        self, suite: Suite12, value: bytes, randoms: tuple[bytes, bytes], report: Report | None, *, extended: bool
    ) -> None:
        """``randoms`` are the client's and the server's."""
        self.suite = suite
        self.value = value
        self._pads = _pads(suite.hash, value)
        self.extended = extended
        self._client_random, self._server_random = randoms
        self._report = report

    def __repr__(self) -> str:
        return f"<MainSecret12 of {self.suite.name}>"

    @classmethod
    def from_shared_secret(
        cls,
        suite: Suite12,
        shared_secret: bytes,
        randoms: tuple[bytes, bytes],
        session_hash: bytes | None,
        report: Report | None = None,
    ) -> MainSecret12:
        """The extended one if ``session_hash`` is given, the transcript hash up to ClientKeyExchange. RFC 7627 4."""
        extended = session_hash is not None
        label = "extended master secret" if extended else "master secret"
        seed = b"".join(randoms) if session_hash is None else session_hash
        value = prf(suite.hash, shared_secret, label, seed, MAIN_SECRET_LENGTH)
        if report is not None:
            report("shared_secret", "", (), b"", shared_secret)
            report("main_secret", label, ("shared_secret",), seed, value)
        return cls(suite, value, randoms, report, extended=extended)

    @classmethod
    def restored(
        cls, suite: Suite12, value: bytes, randoms: tuple[bytes, bytes], report: Report | None = None
    ) -> MainSecret12:
        """That of a session, extended as all that are kept are, for the connection with these randoms."""
        if report is not None:
            report("main_secret", "", (), b"", value)
        return cls(suite, value, randoms, report, extended=True)

    def keys(self) -> dict[Role, DirectionKeys]:
        """The keys that each role writes with. RFC 5246 6.3."""
        suite = self.suite
        key, iv = suite.key_length, suite.iv_length
        seed = self._server_random + self._client_random
        block = _expand(self._pads, "key expansion", seed, 2 * (key + iv))
        if self._report is not None:
            self._report("key_block", "key expansion", ("main_secret",), seed, block)
        ivs = 2 * key
        return {
            Role.CLIENT: DirectionKeys(block[:key], block[ivs : ivs + iv]),
            Role.SERVER: DirectionKeys(block[key:ivs], block[ivs + iv :]),
        }

    def finished_key(self, sender: Role) -> FinishedKey:
        """What makes the Finished of one role."""
        return FinishedKey(self._pads, sender)

    def exporter(self) -> Exporter:
        """What makes keying material for the application."""
        return Exporter(self.suite.hash, self.value, self._client_random + self._server_random, extended=self.extended)
