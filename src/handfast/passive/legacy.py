"""TLS 1.2 suites that handfast does not speak, for reading recordings only: CBC, and AEADs without forward secrecy.

They are read because recordings of them exist, and people need to know what is in these. Nothing here can be used to
talk, and a wrong padding or MAC is an error like any other: reading a recording answers no attacker's questions.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from hmac import compare_digest
from typing import TYPE_CHECKING

from handfast.crypto import cbc
from handfast.crypto.hashes import SHA256, SHA384, Hash
from handfast.crypto.suites12 import ECDSA, RSA, SUITES_12, Suite12
from handfast.errors import PeerMisbehaved
from handfast.registry import CipherSuite

if TYPE_CHECKING:
    from handfast.keys.schedule12 import DirectionKeys
    from handfast.record.protection import Opened

_SHA1 = Hash("SHA1", hashlib.sha1, 20, 64)
_MACS = {"SHA": _SHA1, "SHA256": SHA256, "SHA384": SHA384}
_CBC = re.compile(r"TLS_(?:\w+_)?(RSA|ECDSA)_WITH_AES_(128|256)_CBC_(SHA\d*)")
_AEAD = re.compile(r"TLS_(DHE_)?RSA_WITH_(AES_\d+_GCM|CHACHA20_POLY1305)_SHA\d+")


class CbcProtection:
    """One direction, for opening. RFC 5246 6.2.3.2; with ``encrypt_then_mac`` RFC 7366."""

    def __init__(self, suite: Suite12, keys: DirectionKeys, *, encrypt_then_mac: bool) -> None:
        # See ``suite_for``: what is called IV there is the cipher's key.
        self.records = 0
        self._mac_key, self._key = keys.key, keys.iv
        self._hash = _MACS[suite.name.rpartition("_")[2]]
        self._encrypt_then_mac = encrypt_then_mac

    def open(self, header: bytes, body: bytes) -> Opened:
        """Content type, content and padding of one record. Raises PeerMisbehaved bad_record_mac."""
        size = self._hash.size
        tag = b""
        if self._encrypt_then_mac:
            body, tag = body[:-size], body[-size:]
            self._check(header, body, tag)
        if len(body) < 2 * cbc.AES_BLOCK or len(body) % cbc.AES_BLOCK:
            raise PeerMisbehaved("bad_record_mac")
        plaintext = cbc.decrypt(self._key, body[: cbc.AES_BLOCK], body[cbc.AES_BLOCK :])
        padding = plaintext[-1] + 1
        content = plaintext[:-padding]
        if plaintext[len(content) :] != bytes((padding - 1,)) * padding:
            raise PeerMisbehaved("bad_record_mac")
        if not tag:
            content, tag = content[:-size], content[-size:]
            self._check(header, content, tag)
        self.records += 1
        return header[0], content, padding

    def _check(self, header: bytes, content: bytes, tag: bytes) -> None:
        authenticated = self.records.to_bytes(8, "big") + header[:3] + len(content).to_bytes(2, "big") + content
        if not compare_digest(self._hash.hmac(self._mac_key, authenticated), tag):
            raise PeerMisbehaved("bad_record_mac")


def is_cbc(suite: Suite12) -> bool:
    """Whether records under this suite are opened by ``CbcProtection``."""
    return "_CBC_" in suite.name


def suite_for(number: int) -> Suite12 | None:
    """A suite to read with, or None. RFC 5246 A.5, RFC 5288, RFC 5289, RFC 7905.

    In a CBC suite the MAC's key stands where an AEAD has its key, and the cipher's key where it has its IV: in this
    order they stand in the key block (RFC 5246 6.3).
    """
    known = SUITES_12.get(number)
    name = CipherSuite.describe(number)
    if known is not None:
        return known
    if (found := _CBC.fullmatch(name)) is not None:
        authentication, bits, mac = found.groups()
        prf = SHA384 if mac == "SHA384" else SHA256
        like = next(iter(SUITES_12.values()))
        return replace(
            like, id=CipherSuite[name], name=name, authentication=ECDSA if authentication == "ECDSA" else RSA, hash=prf,
            key_length=_MACS[mac].size, iv_length=int(bits) // 8,
        )  # fmt: skip
    if _AEAD.fullmatch(name) is not None:
        cipher = name.partition("_WITH_")[2]
        return replace(SUITES_12[CipherSuite[f"TLS_ECDHE_RSA_WITH_{cipher}"]], id=CipherSuite[name], name=name)
    return None
