"""The last steps of the key schedule as lines of a trace: from traffic secrets to what opens a record by hand.

A reader who has the values can decrypt each record with any AEAD and compute each Finished with any HMAC: keys and IVs
stand below the line that says from where on they are used, the nonce below the header of its record, the finished key
below the check, and each transcript hash names the messages that it covers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.crypto.suites import IV_LENGTH, SUITES_13, Suite13
from handfast.crypto.suites12 import SUITES_12, Suite12
from handfast.events import Epoch, RecordSeen
from handfast.keys.hkdf import expand_label
from handfast.limits import MAX_HANDSHAKE_BYTES
from handfast.registry import NamedGroup
from handfast.roles import Direction
from handfast.wire import extensions as ext
from handfast.wire import messages12
from handfast.wire.messages import Finished, HelloRetryRequest, ServerHello, message_hash

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handfast.crypto.hashes import Hash
    from handfast.events import Checked, KeysChanged, MessageSeen, SecretDerived

_SENDERS = {Direction.CLIENT_TO_SERVER: "client", Direction.SERVER_TO_CLIENT: "server"}
_HIDDEN = '(hidden: secrets="traffic" shows it)'
# The parts of a hybrid's shared secret in their order, with their lengths. draft-ietf-tls-ecdhe-mlkem 4.3.
_JOINED: dict[int, tuple[tuple[str, int], ...]] = {
    NamedGroup.X25519MLKEM768: (("ML-KEM-768", 32), ("X25519", 32)),
    NamedGroup.SecP256r1MLKEM768: (("ECDH over P-256", 32), ("ML-KEM-768", 32)),
    NamedGroup.SecP384r1MLKEM1024: (("ECDH over P-384", 48), ("ML-KEM-1024", 32)),
}


class KeySchedule:
    """What a trace with every byte needs to know of the keys that are on. Each method gives the lines to add."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._latest: dict[Direction, str] = {}
        self._suite: Suite13 | Suite12 | None = None
        self._group: int | None = None
        # Under which secret each direction is protected, its IV, and how many records were.
        self._under: dict[Direction, str] = {}
        self._ivs: dict[Direction, bytes] = {}
        self._counts: dict[Direction, int] = {}
        # The messages of the handshake; none that come after it, and none beyond what both sides may send in one.
        self._messages: list[tuple[str, bytes]] = []
        self._size = self._finished = 0
        self._over = False

    def learn(self, name: str, value: bytes | None) -> None:
        """A secret of this name was derived; ``value`` is None where it must not be shown."""
        if "traffic_secret" in name:
            direction = Direction.CLIENT_TO_SERVER if name.startswith("client") else Direction.SERVER_TO_CLIENT
            if "application" in name:
                # Of the generations that KeyUpdates make, the last two are of use.
                before = self._latest.get(direction, "")
                if before and self._under.get(direction) != before:
                    self._values.pop(before, None)
                self._latest[direction] = name
        elif name not in ("key_block", "shared_secret"):
            return
        if value is not None:
            self._values[name] = value

    def message(self, event: MessageSeen) -> None:
        """Note what transcript hashes cover."""
        message = event.message
        if isinstance(message, ServerHello) and (share := message.find(ext.KeyShareServerHello)):
            self._group = share.server_share.group
        if isinstance(message, ServerHello | HelloRetryRequest):
            self._suite = SUITES_13.get(message.cipher_suite)
        if isinstance(message, messages12.ServerHello):
            self._suite = SUITES_12.get(message.cipher_suite)
        if self._over:
            return
        if isinstance(message, HelloRetryRequest) and self._suite is not None and len(self._messages) == 1:
            name, raw = self._messages.pop()
            self._messages.append((f"message_hash of {name}", message_hash(self._suite.hash.digest(raw))))
        self._messages.append((type(message).__name__, event.raw))
        self._size += len(event.raw)
        if self._size > 2 * MAX_HANDSHAKE_BYTES:
            self._messages.clear()
            self._over = True
            return
        self._finished += isinstance(message, Finished)
        self._over = self._finished == len(_SENDERS)

    # Lines

    def record(self, record: RecordSeen) -> Iterator[str]:
        """The nonce of a protected record, and what it authenticates besides."""
        direction = record.direction
        if record.epoch is Epoch.PLAINTEXT or record.unreadable_reason or direction not in self._counts:
            return
        number = self._counts[direction]
        self._counts[direction] += 1
        iv = self._ivs.get(direction)
        if iv is None:
            return
        if isinstance(self._suite, Suite12):
            yield from self._record_12(record, self._suite, iv, number)
            return
        nonce = int.from_bytes(iv, "big") ^ number
        yield f"nonce: {nonce.to_bytes(IV_LENGTH, 'big').hex()} (IV XOR record number {number})"
        yield f"additional data: {record.header.hex()} (the header)"

    @staticmethod
    def _record_12(record: RecordSeen, suite: Suite12, iv: bytes, number: int) -> Iterator[str]:
        """RFC 5246 6.2.3.3, RFC 5288 3, RFC 7905 2."""
        explicit = suite.explicit_nonce
        if explicit:
            nonce, how = iv + record.body[:explicit], f"IV, then the record's first {explicit} bytes"
        else:
            nonce = (int.from_bytes(iv, "big") ^ number).to_bytes(IV_LENGTH, "big")
            how = f"IV XOR record number {number}"
        start = number.to_bytes(8, "big") + record.header[:3]
        yield f"nonce: {nonce.hex()} ({how})"
        yield (
            f"additional data: {(start + len(record.content).to_bytes(2, 'big')).hex()}"
            " (record number, type, version, length of the content)"
        )

    def keys_changed(self, event: KeysChanged) -> Iterator[str]:
        """The key and the IV that protect a direction from here on."""
        direction, sender = event.direction, _SENDERS[event.direction]
        self._counts[direction] = 0
        self._ivs.pop(direction, None)
        if event.epoch is Epoch.PLAINTEXT:
            self._counts.pop(direction)
            return
        suite = SUITES_13.get(event.suite) or SUITES_12.get(event.suite)
        if isinstance(suite, Suite12):
            yield from self._keys_12(direction, suite)
        elif suite is not None:
            usual = {Epoch.EARLY: "client_early_traffic_secret", Epoch.HANDSHAKE: f"{sender}_handshake_traffic_secret"}
            name = usual.get(event.epoch) or self._latest.get(direction, f"{sender}_application_traffic_secret_0")
            yield from self._keys_13(direction, suite, name)

    def _keys_13(self, direction: Direction, suite: Suite13, name: str) -> Iterator[str]:
        """RFC 9846 7.3."""
        self._suite, self._under[direction] = suite, name
        secret = self._values.get(name)
        generation = name.rpartition("_")[2]
        if generation.isdigit():
            yield f"generation {generation} of this direction's application traffic secrets"
        for part, length in (("key", suite.key_length), ("iv", IV_LENGTH)):
            shown = _HIDDEN
            if secret is not None:
                value = expand_label(suite.hash, secret, part.encode(), b"", length)
                shown = value.hex()
                if part == "iv":
                    self._ivs[direction] = value
            yield f"write_{part} = {_expand(name, part, length)}: {shown}"

    def _keys_12(self, direction: Direction, suite: Suite12) -> Iterator[str]:
        """RFC 5246 6.3."""
        sender, key, iv = _SENDERS[direction], suite.key_length, suite.iv_length
        first = 0 if sender == "client" else 1
        block = self._values.get("key_block")
        for part, start, length in (("key", first * key, key), ("IV", 2 * key + first * iv, iv)):
            value = None if block is None else block[start : start + length]
            if value is not None and part == "IV":
                self._ivs[direction] = value
            shown = _HIDDEN if value is None else value.hex()
            yield f"{sender}_write_{part} = key_block[{start}:{start + length}]: {shown}"

    def finished(self, event: Checked) -> Iterator[str]:
        """How verify_data was made. RFC 9846 4.5.3, RFC 5246 7.4.9."""
        if event.what != Finished.__name__ or self._suite is None:
            return
        if isinstance(self._suite, Suite12):
            label = f"{_SENDERS[event.direction]} finished"
            yield f'verify_data = PRF(main_secret, "{label}", transcript hash), 12 bytes'
            return
        hash_: Hash = self._suite.hash
        name = self._under.get(event.direction, "")
        if not name:
            return
        secret = self._values.get(name)
        value = _HIDDEN if secret is None else expand_label(hash_, secret, b"finished", b"", hash_.size).hex()
        yield f"finished_key = {_expand(name, 'finished', hash_.size)}: {value}"
        yield "verify_data = HMAC(finished_key, transcript hash)"

    def derived(self, event: SecretDerived) -> Iterator[str]:
        """What a secret was made of, where the line that names it does not say so."""
        if event.name == "shared_secret" and self._group in _JOINED:
            yield from self._joined(self._values.get(event.name))
        elif event.context:
            yield from self.covered(event.context)

    def _joined(self, value: bytes | None) -> Iterator[str]:
        parts = _JOINED[self._group or 0]
        yield f"joined of {', then '.join(f'{length} bytes of {name}' for name, length in parts)}"
        start = 0
        for name, length in parts:
            if value is not None:
                yield f"  {name}: {value[start : start + length].hex()}"
            start += length

    def covered(self, content: bytes) -> Iterator[str]:
        """The messages of whose hash this is the end, if they are the first few of this handshake."""
        if self._suite is None:
            return
        transcript_hash = content[-self._suite.hash.size :]
        running = self._suite.hash.new()
        for count, (_, raw) in enumerate(self._messages, 1):
            running.update(raw)
            if running.digest() == transcript_hash:
                yield f"a hash of: {', '.join(name for name, _ in self._messages[:count])}"
                return


def _expand(name: str, label: str, length: int) -> str:
    return f'HKDF-Expand-Label({name}, "{label}", "", {length})'
