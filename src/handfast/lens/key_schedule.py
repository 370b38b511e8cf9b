"""The last steps of the key schedule as data: from traffic secrets to what opens a record by hand.

A reader who has the values can decrypt each record with any AEAD and compute each Finished with any HMAC: keys and IVs
belong to the change from where on they are used, the nonce to its record, the finished key to the check, and each
transcript hash names the messages that it covers. The trace prints this as lines, the page draws it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

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

    from handfast.events import Checked, KeysChanged, MessageSeen, SecretDerived

_SENDERS = {Direction.CLIENT_TO_SERVER: "client", Direction.SERVER_TO_CLIENT: "server"}
# The parts of a hybrid's shared secret in their order, with their lengths. draft-ietf-tls-ecdhe-mlkem 4.3.
_JOINED: dict[int, tuple[tuple[str, int], ...]] = {
    NamedGroup.X25519MLKEM768: (("ML-KEM-768", 32), ("X25519", 32)),
    NamedGroup.SecP256r1MLKEM768: (("ECDH over P-256", 32), ("ML-KEM-768", 32)),
    NamedGroup.SecP384r1MLKEM1024: (("ECDH over P-384", 48), ("ML-KEM-1024", 32)),
}


class Opened(NamedTuple):
    """What opens one record besides the key: nonce and additional data, each with how it is made."""

    nonce: bytes
    nonce_from: str
    additional_data: bytes
    additional_from: str


class Step(NamedTuple):
    """One derivation: the ``formula`` of ``name`` as the RFC writes it. ``value`` is None where it must not be shown.

    ``secret``, ``label`` and ``length`` are what HKDF-Expand-Label is given, with an empty context; "" and 0 for a step
    of another kind.
    """

    name: str
    formula: str
    value: bytes | None
    secret: str = ""
    label: str = ""
    length: int = 0


class Part(NamedTuple):
    """A part of a hybrid's shared secret. ``value`` is None where it must not be shown."""

    name: str
    length: int
    value: bytes | None


class KeySchedule:
    """What it takes to follow every byte: the keys that are on. Tell it of each event in its order."""

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

    @property
    def hash_name(self) -> str:
        """The hash of the suite in use, such as "sha256"; "" as long as there is none."""
        return "" if self._suite is None else self._suite.hash.name

    @property
    def is_13(self) -> bool:
        """Whether the suite in use is one of TLS 1.3, under which a record holds its type and padding."""
        return isinstance(self._suite, Suite13)

    def record(self, record: RecordSeen, content_length: int | None = None) -> Opened | None:
        """What opens a protected record; None for one in plaintext, or if the IV must not be shown.

        ``content_length`` is for a record whose content was cut.
        """
        direction = record.direction
        if record.epoch is Epoch.PLAINTEXT or record.unreadable_reason or direction not in self._counts:
            return None
        number = self._counts[direction]
        self._counts[direction] += 1
        iv = self._ivs.get(direction)
        if iv is None:
            return None
        if isinstance(self._suite, Suite12):
            length = len(record.content) if content_length is None else content_length
            return self._record_12(record, self._suite, iv, number, length)
        nonce = int.from_bytes(iv, "big") ^ number
        from_ = f"IV XOR record number {number}"
        return Opened(nonce.to_bytes(IV_LENGTH, "big"), from_, record.header, "the header")

    @staticmethod
    def _record_12(record: RecordSeen, suite: Suite12, iv: bytes, number: int, content_length: int) -> Opened:
        """RFC 5246 6.2.3.3, RFC 5288 3, RFC 7905 2."""
        explicit = suite.explicit_nonce
        if explicit:
            nonce, how = iv + record.body[:explicit], f"IV, then the record's first {explicit} bytes"
        else:
            nonce = (int.from_bytes(iv, "big") ^ number).to_bytes(IV_LENGTH, "big")
            how = f"IV XOR record number {number}"
        start = number.to_bytes(8, "big") + record.header[:3]
        additional = start + content_length.to_bytes(2, "big")
        return Opened(nonce, how, additional, "record number, type, version, length of the content")

    def explicit_nonce(self, record: RecordSeen) -> int:
        """How many bytes of nonce a protected record begins with. RFC 5288 3."""
        protected = record.epoch is not Epoch.PLAINTEXT
        return self._suite.explicit_nonce if protected and isinstance(self._suite, Suite12) else 0

    def keys_changed(self, event: KeysChanged) -> list[Step]:
        """The key and the IV that protect a direction from here on."""
        direction, sender = event.direction, _SENDERS[event.direction]
        self._counts[direction] = 0
        self._ivs.pop(direction, None)
        if event.epoch is Epoch.PLAINTEXT:
            self._counts.pop(direction)
            return []
        suite = SUITES_13.get(event.suite) or SUITES_12.get(event.suite)
        if isinstance(suite, Suite12):
            return list(self._keys_12(direction, suite))
        if suite is None:
            return []
        usual = {Epoch.EARLY: "client_early_traffic_secret", Epoch.HANDSHAKE: f"{sender}_handshake_traffic_secret"}
        name = usual.get(event.epoch) or self._latest.get(direction, f"{sender}_application_traffic_secret_0")
        return list(self._keys_13(direction, suite, name))

    def generation(self, direction: Direction) -> str:
        """Which of its application traffic secrets protects a direction of TLS 1.3; "" for none of them."""
        number = self._under.get(direction, "").rpartition("_")[2]
        return number if number.isdigit() else ""

    def _keys_13(self, direction: Direction, suite: Suite13, name: str) -> Iterator[Step]:
        """RFC 9846 7.3."""
        self._suite, self._under[direction] = suite, name
        secret = self._values.get(name)
        for part, length in (("key", suite.key_length), ("iv", IV_LENGTH)):
            value = None if secret is None else expand_label(suite.hash, secret, part.encode(), b"", length)
            if value is not None and part == "iv":
                self._ivs[direction] = value
            yield Step(f"write_{part}", _expand(name, part, length), value, name, part, length)

    def _keys_12(self, direction: Direction, suite: Suite12) -> Iterator[Step]:
        """RFC 5246 6.3."""
        sender, key, iv = _SENDERS[direction], suite.key_length, suite.iv_length
        first = 0 if sender == "client" else 1
        block = self._values.get("key_block")
        for part, start, length in (("key", first * key, key), ("IV", 2 * key + first * iv, iv)):
            value = None if block is None else block[start : start + length]
            if value is not None and part == "IV":
                self._ivs[direction] = value
            yield Step(f"{sender}_write_{part}", f"key_block[{start}:{start + length}]", value, "key_block")

    def finished(self, event: Checked) -> tuple[Step | None, str]:
        """How verify_data was made: the step to its key, if any, and the formula. RFC 9846 4.5.3, RFC 5246 7.4.9.

        (None, "") where that is not known, and for what is no Finished.
        """
        if event.what != Finished.__name__ or self._suite is None:
            return None, ""
        if isinstance(self._suite, Suite12):
            return None, f'PRF(main_secret, "{_SENDERS[event.direction]} finished", transcript hash), 12 bytes'
        hash_ = self._suite.hash
        name = self._under.get(event.direction, "")
        if not name:
            return None, ""
        secret = self._values.get(name)
        value = None if secret is None else expand_label(hash_, secret, b"finished", b"", hash_.size)
        formula = _expand(name, "finished", hash_.size)
        step = Step("finished_key", formula, value, name, "finished", hash_.size)
        return step, "HMAC(finished_key, transcript hash)"

    def parts(self, event: SecretDerived) -> list[Part]:
        """What a hybrid's shared secret is joined of, in this order; [] for any other secret."""
        if event.name != "shared_secret":
            return []
        value, start, found = self._values.get(event.name), 0, []
        for name, length in _JOINED.get(self._group or 0, ()):
            found.append(Part(name, length, None if value is None else value[start : start + length]))
            start += length
        return found

    def covered(self, content: bytes) -> list[str]:
        """The names of the messages of whose hash this is the end, if they are the first of this handshake; else []."""
        return [name for name, _ in self.hashed(content)]

    def hashed(self, content: bytes) -> list[tuple[str, bytes]]:
        """The messages of whose hash this is the end, each with its bytes in the transcript; [] as in ``covered``."""
        if self._suite is None:
            return []
        transcript_hash = content[-self._suite.hash.size :]
        running = self._suite.hash.new()
        for count, (_, raw) in enumerate(self._messages, 1):
            running.update(raw)
            if running.digest() == transcript_hash:
                return self._messages[:count]
        return []


def _expand(name: str, label: str, length: int) -> str:
    return f'HKDF-Expand-Label({name}, "{label}", "", {length})'
