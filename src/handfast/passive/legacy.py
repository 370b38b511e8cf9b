"""Suites that handfast does not speak, and TLS 1.1 and 1.0, for reading recordings only: CBC, RC4, AEADs without ECDHE.

They are read because recordings of them exist, and people need to know what is in these. Nothing here can be used to
talk, and a wrong padding or MAC is an error like any other: reading a recording answers no attacker's questions.
"""

from __future__ import annotations

import re
from dataclasses import replace
from hmac import compare_digest
from typing import TYPE_CHECKING, TypeAlias, cast

from handfast.crypto.hashes import SHA256, SHA384
from handfast.crypto.old_ciphers import BLOCK_CIPHERS, RC4, rc4
from handfast.crypto.suites12 import SUITES_12, Suite12
from handfast.errors import PeerMisbehaved
from handfast.keys.schedule12 import DirectionKeys, MainSecret12
from handfast.limits import MAX_COMPRESSED
from handfast.passive.legacy_keys import MD5, MD5_SHA1, SHA1, LegacyMainSecret, LegacySuite
from handfast.record.protection12 import Protection12
from handfast.registry import CipherSuite, ProtocolVersion

if TYPE_CHECKING:
    from handfast.crypto.old_ciphers import BlockCipher
    from handfast.keys.schedule import Report
    from handfast.passive.legacy_keys import LegacyKeys
    from handfast.record.protection import Opened
    from handfast.wire.messages12 import ServerHello

_MACS = {"MD5": MD5, "SHA": SHA1, "SHA256": SHA256, "SHA384": SHA384}
_WITH_MAC = re.compile(rf"TLS_\w+_WITH_({'|'.join(BLOCK_CIPHERS)}|{RC4})_({'|'.join(_MACS)})")
_AEAD = re.compile(r"TLS_(DHE_)?RSA_WITH_(AES_\d+_GCM|CHACHA20_POLY1305)_SHA\d+")


OldSuite: TypeAlias = Suite12 | LegacySuite
OldMainSecret: TypeAlias = MainSecret12 | LegacyMainSecret


class _MacProtection:
    """One direction, for opening. ``records`` is the number of the next record."""

    def __init__(self, suite: LegacySuite, keys: LegacyKeys) -> None:
        self.records = 0
        self._suite = suite
        self._keys = keys
        # The record that was looked at last: one is looked at again where its number is not known exactly.
        self._last = b""

    def _check(self, header: bytes, content: bytes, tag: bytes) -> None:
        authenticated = self.records.to_bytes(8, "big") + header[:3] + len(content).to_bytes(2, "big") + content
        if not compare_digest(self._suite.mac.hmac(self._keys.mac_key, authenticated), tag):
            raise PeerMisbehaved("bad_record_mac")

    def _checked(self, header: bytes, content: bytes) -> bytes:
        """Content without the MAC at its end."""
        size = self._suite.mac.size
        content, tag = content[:-size], content[-size:]
        self._check(header, content, tag)
        return content


class CbcProtection(_MacProtection):
    """A block cipher in CBC mode. RFC 5246 6.2.3.2, RFC 2246 6.2.3.2; with ``encrypt_then_mac`` RFC 7366."""

    def __init__(
        self, suite: LegacySuite, keys: LegacyKeys, cipher: BlockCipher, *, explicit_iv: bool, encrypt_then_mac: bool
    ) -> None:
        """Without ``explicit_iv``, in TLS 1.0, the last block of each record is the IV of the next."""
        super().__init__(suite, keys)
        self._cipher = cipher
        self._explicit_iv = explicit_iv
        self._encrypt_then_mac = encrypt_then_mac
        self._chained = keys.initialization_vector

    def open(self, header: bytes, body: bytes) -> Opened:
        """Content type, content and padding of one record. Raises PeerMisbehaved bad_record_mac."""
        size, block = self._suite.mac.size, self._cipher.block
        encrypted = body[:-size] if self._encrypt_then_mac else body
        vector = self._vector(body, encrypted)
        if self._encrypt_then_mac:
            self._check(header, encrypted, body[-size:])
        if self._explicit_iv:
            encrypted = encrypted[block:]
        if not encrypted or len(encrypted) % block or len(vector) != block:
            raise PeerMisbehaved("bad_record_mac")
        plaintext = self._cipher.decrypt(self._keys.key, vector, encrypted)
        padding = plaintext[-1] + 1
        content = plaintext[:-padding]
        if plaintext[len(content) :] != bytes((padding - 1,)) * padding:
            raise PeerMisbehaved("bad_record_mac")
        if not self._encrypt_then_mac:
            content = self._checked(header, content)
        self.records += 1
        return header[0], content, padding

    def _vector(self, body: bytes, encrypted: bytes) -> bytes:
        """The IV of a record: also behind one that did not open, since that only takes what was on the wire."""
        block = self._cipher.block
        if self._explicit_iv:
            return encrypted[:block]
        if body is not self._last:
            if self._last:
                end = len(self._last) - (self._suite.mac.size if self._encrypt_then_mac else 0)
                self._chained = self._last[max(0, end - block) : max(0, end)]
            self._last = body
        return self._chained


class StreamProtection(_MacProtection):
    """RC4. RFC 5246 6.2.3.1. Behind a gap nothing opens any more."""

    def __init__(self, suite: LegacySuite, keys: LegacyKeys) -> None:
        super().__init__(suite, keys)
        self._decrypt = rc4(keys.key)
        self._plaintext = b""

    def open(self, header: bytes, body: bytes) -> Opened:
        """Content type, content and no padding. Raises PeerMisbehaved bad_record_mac."""
        if body is not self._last:
            self._last, self._plaintext = body, self._decrypt(body)
        content = self._checked(header, self._plaintext)
        self.records += 1
        return header[0], content, 0


class CompressedProtection(Protection12):
    """One direction under an AEAD, for opening, whose content is compressed and may have grown by that."""

    __slots__ = ()

    most_content = MAX_COMPRESSED


def protection(
    suite: OldSuite, keys: DirectionKeys | LegacyKeys, hello: ServerHello, *, encrypt_then_mac: bool
) -> CbcProtection | StreamProtection | Protection12:
    """What opens one direction's records after this ServerHello, under keys of ``main_secret``."""
    if isinstance(suite, Suite12) or isinstance(keys, DirectionKeys):
        kind = CompressedProtection if hello.compression_method else Protection12
        return kind(cast(Suite12, suite), cast(DirectionKeys, keys))
    if suite.cipher is None:
        return StreamProtection(suite, keys)
    explicit = hello.server_version > ProtocolVersion.TLS10
    return CbcProtection(suite, keys, suite.cipher, explicit_iv=explicit, encrypt_then_mac=encrypt_then_mac)


def main_secret(
    suite: OldSuite, value: bytes, randoms: tuple[bytes, bytes], report: Report | None, *, extended: bool
) -> OldMainSecret:
    """The main secret of a connection under a suite of ``suite_for``."""
    if isinstance(suite, LegacySuite):
        return LegacyMainSecret(suite, value, randoms, report)
    return MainSecret12(suite, value, randoms, report, extended=extended)


def suite_for(number: int, version: int) -> OldSuite | None:
    """A suite to read with, or None. RFC 5246 A.5, RFC 5288, RFC 5289, RFC 7905, RFC 2246 A.5."""
    name = CipherSuite.describe(number)
    found = _WITH_MAC.fullmatch(name)
    if found is not None:
        cipher, mac = found.groups()
        prf = (SHA384 if mac == "SHA384" else SHA256) if version >= ProtocolVersion.TLS12 else MD5_SHA1
        return LegacySuite(CipherSuite(number), name, prf, _MACS[mac], BLOCK_CIPHERS.get(cipher))
    if version < ProtocolVersion.TLS12:
        return None
    if number in SUITES_12:
        return SUITES_12[CipherSuite(number)]
    if _AEAD.fullmatch(name) is not None:
        cipher = name.partition("_WITH_")[2]
        return replace(SUITES_12[CipherSuite[f"TLS_ECDHE_RSA_WITH_{cipher}"]], id=CipherSuite(number), name=name)
    return None
