"""What is kept in Redis is sealed, under keys that Redis does not have.

A fleet has one key of 32 bytes, or several while it is changed: the first seals, all open. Of it a subkey is derived
for each purpose, and of a subkey, with 24 random bytes, the AES-256-GCM key of each single thing that is sealed. So
any number of machines may seal any number of things: there are no nonces that could meet, and nothing to count (NIST
SP 800-38D 8.3 bounds random nonces under one key by 2^32).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from handfast import limits, logs
from handfast.crypto.hashes import SHA256
from handfast.crypto.randomness import random_bytes
from handfast.crypto.suites import InvalidTag, ticket_aead
from handfast.errors import bad_option
from handfast.sessions.tickets import KEY_LENGTH
from handfast.text import escape
from handfast.words import is_list
from handfast.x509 import loading

if TYPE_CHECKING:
    from collections.abc import Sequence

SALT_LENGTH = 24
# The key is used for nothing else.
_NONCE = bytes(12)
_ADVICE = "make one with: openssl rand -hex 32"


def seal(key: bytes, data: bytes, associated: bytes) -> bytes:
    """``data``, sealed under ``key`` (32 bytes) together with ``associated``, which must be the same to open it."""
    salt = random_bytes(SALT_LENGTH)
    return salt + ticket_aead(SHA256.hmac(key, salt)).encrypt(_NONCE, data, associated)


def unseal(key: bytes, sealed: bytes, associated: bytes) -> bytes | None:
    """What ``seal`` was given; None for anything else."""
    salt, rest = sealed[:SALT_LENGTH], sealed[SALT_LENGTH:]
    try:
        return ticket_aead(SHA256.hmac(key, salt)).decrypt(_NONCE, rest, associated)
    except InvalidTag:
        return None


class FleetKeys:
    """The keys of a fleet, 32 random bytes each: the first seals, all open. Raises ConfigError bad_option."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.replace(keys)

    def __repr__(self) -> str:
        return f"<FleetKeys, {len(self._keys)} of them>"

    def replace(self, keys: Sequence[bytes]) -> None:
        """Seal with the first of ``keys`` from now on, and open with all of them. Raises ConfigError bad_option."""
        if not is_list(keys) or not 1 <= len(keys) <= limits.FLEET_KEYS:
            raise bad_option("keys", f"there must be 1 to {limits.FLEET_KEYS} keys of a fleet", _ADVICE)
        if any(type(key) is not bytes or len(key) != KEY_LENGTH for key in keys):
            raise bad_option("keys", f"a key of a fleet has {KEY_LENGTH} bytes", _ADVICE)
        self._keys = tuple(keys)

    def derived(self, purpose: bytes) -> bytes:
        """32 bytes of the first key, for ``purpose`` alone."""
        return _derived(self._keys[0], purpose)

    def seal(self, purpose: bytes, data: bytes, associated: bytes) -> bytes:
        """Sealed under the first key."""
        return seal(self.derived(purpose), data, associated)

    def unseal(self, purpose: bytes, sealed: object, associated: bytes) -> bytes | None:
        """What was sealed for ``purpose`` under one of the keys; None for anything else."""
        if not isinstance(sealed, bytes):
            return None
        found = (unseal(_derived(key, purpose), sealed, associated) for key in self._keys)
        return next((data for data in found if data is not None), None)


def _derived(key: bytes, purpose: bytes) -> bytes:
    return SHA256.hmac(key, b"handfast fleet: " + purpose)


def read_keys(path: str | os.PathLike[str]) -> list[bytes]:
    """The keys in a file: 64 hexadecimal digits on each line, the one that seals first; # begins a comment.

    Raises ConfigError file_missing, file_unreadable, bad_option.
    """
    name = escape(os.fspath(path))
    lines = [line.partition(b"#")[0].strip() for line in loading.read(path).splitlines()]
    keys = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            key = bytes.fromhex(line.decode("ascii"))
        except ValueError:
            key = b""
        if len(key) != KEY_LENGTH:
            reason = f"line {number} of {name} is no key of {2 * KEY_LENGTH} hexadecimal digits"
            raise bad_option("keys", reason, _ADVICE)
        keys.append(key)
    if not keys:
        raise bad_option("keys", f"{name} holds no key", _ADVICE)
    if len(keys) > limits.FLEET_KEYS:
        raise bad_option("keys", f"{name} holds more than {limits.FLEET_KEYS} keys", "take out those that are not used")
    return keys


def warn_if_open(path: str | os.PathLike[str]) -> None:
    """Log a warning where users may read or write the file who are neither its owner nor of its group."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        name, why = escape(os.fspath(path)), "any user of this machine can open the fleet's sessions with it"
        logs.warn("key files open to all", lambda: f"{name}: {why}: chmod o= it, or let it be made anew")
