"""Pins: the peer is one that holds this very key, or has this very certificate.

A pin of a key is curl's: ``sha256//`` and the base64 of the SHA-256 of the SubjectPublicKeyInfo, RFC 7469 2.4. It
outlives the certificate when that is renewed with the same key. Possession of the key is proven by the handshake, so a
pin says all there is to say of who the peer is; names, dates and issuers are not looked at. Who wants these judged as
well combines: ``AllOf(PathVerifier(...), Pinned(...))``.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import TYPE_CHECKING

from handfast import der
from handfast.errors import ConfigError, bad_option
from handfast.text import escape, listed
from handfast.trust.leaf import accept_leaf, leaf_or_refusal, refuse_leaf
from handfast.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handfast.trust.presented import PresentedChain

_PREFIX = "sha256//"
_ADVICE = "a pin is sha256// and 44 characters of base64; handfast's verdict on a wrong key shows the right form"


class Pinned:
    """Accepts a peer whose key is one of ``keys``, or whose certificate is one of ``certificates``.

    ``keys`` are pins as ``key_pin`` makes them, several in one text separated by ``;`` as curl has it. ``certificates``
    are SHA-256 fingerprints in hexadecimal, with or without colons. Give a spare one whose key waits in a safe: that is
    what a peer can change to. Raises ConfigError bad_option for what is no pin, and for none at all.
    """

    def __init__(self, keys: Iterable[str] = (), *, certificates: Iterable[str] = ()) -> None:
        self.keys = frozenset(_key(pin.strip()) for text in keys for pin in text.split(";"))
        self.certificates = frozenset(_fingerprint(text) for text in certificates)
        if not self.keys and not self.certificates:
            raise _no_pin("none is given")

    def __repr__(self) -> str:
        return f"Pinned({listed(self._shown())})"

    @property
    def policy_id(self) -> bytes:
        """32 bytes, the same for the same pins."""
        return sha256(b"pinned" + "\n".join(self._shown()).encode()).digest()

    def verify(self, presented: PresentedChain) -> Verdict:
        """The verdict on the first certificate alone."""
        leaf = leaf_or_refusal(presented)
        if isinstance(leaf, Verdict):
            return leaf
        pin, fingerprint = key_pin(leaf.encoded), sha256(leaf.encoded).hexdigest()
        if pin in self.keys or fingerprint in self.certificates:
            return accept_leaf(leaf, f"{leaf.subject_text}, which is pinned")
        shown = f"its key is {pin}" + (f", its fingerprint {fingerprint}" if self.certificates else "")
        words = f"the certificate {leaf.subject_text} is not pinned: {shown}; pinned: {listed(self._shown())}"
        advice = "if the change was announced to you, pin the new key; if not, this may be another machine"
        return refuse_leaf(leaf, "pin_mismatch", words, advice)

    def _shown(self) -> list[str]:
        return sorted(self.keys) + sorted(self.certificates)


def key_pin(certificate: bytes) -> str:
    """The pin of a DER certificate's key: "sha256//...". ValueError when it is no certificate."""
    return pin_of(der.certificate_fields(certificate).subject_public_key_info)


def pin_of(public_key_info: bytes) -> str:
    """The pin of a key, a DER SubjectPublicKeyInfo: "sha256//..."."""
    return _PREFIX + b64encode(sha256(public_key_info).digest()).decode()


def _key(pin: str) -> str:
    try:
        digest = b64decode(pin.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if not pin.startswith(_PREFIX) or len(digest) != sha256().digest_size:
        raise _no_pin(f"{escape(pin, 80)!r} is not the SHA-256 of a key")
    return _PREFIX + b64encode(digest).decode()


def _fingerprint(text: str) -> str:
    try:
        digest = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        digest = b""
    if len(digest) != sha256().digest_size:
        raise _no_pin(f"{escape(text, 120)!r} is not the SHA-256 of a certificate")
    return digest.hex()


def _no_pin(reason: str) -> ConfigError:
    return bad_option("pin", reason, _ADVICE)
