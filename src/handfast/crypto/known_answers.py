"""What a provider must get right before it is used: published vectors, and the default provider's answers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec

from handfast.crypto import groups, signatures
from handfast.crypto.suites import InvalidTag
from handfast.errors import PeerMisbehaved
from handfast.registry import CipherSuite, NamedGroup, SignatureScheme

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.crypto.provider import CryptoProvider

_unhex = bytes.fromhex

# Key, nonce, associated data, plaintext, ciphertext with tag.
_GCM = (
    _unhex("cafebabefacedbaddecaf888"),
    _unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
    _unhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    ),
)
_SUNSCREEN = (
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    b"sunscreen would be it."
)
_GCM_KEY = _unhex("feffe9928665731c6d6a8f9467308308")
_AEADS: dict[int, tuple[bytes, bytes, bytes, bytes, bytes]] = {
    # The Galois/Counter Mode of Operation (McGrew, Viega), test cases 4 and 16.
    CipherSuite.TLS_AES_128_GCM_SHA256: (
        _GCM_KEY,
        *_GCM,
        _unhex(
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
            "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
            "5bc94fbc3221a5db94fae95ae7121a47"
        ),
    ),
    CipherSuite.TLS_AES_256_GCM_SHA384: (
        2 * _GCM_KEY,
        *_GCM,
        _unhex(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
            "76fc6ece0f4e1768cddf8853bb2d551b"
        ),
    ),
    # RFC 8439 2.8.2.
    CipherSuite.TLS_CHACHA20_POLY1305_SHA256: (
        bytes(range(0x80, 0xA0)),
        _unhex("070000004041424344454647"),
        _unhex("50515253c0c1c2c3c4c5c6c7"),
        _SUNSCREEN,
        _unhex(
            "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
            "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
            "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
            "3ff4def08e4b7a9de576d26586cec64b6116"
            "1ae10b594f09e26a7e902ecbd0600691"
        ),
    ),
}

# RFC 6979 A.2.5, with SHA-256 and the message "sample".
_ECDSA_KEY = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
_ECDSA_SIGNATURE = _unhex(
    "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
    "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
)


def wrong_answer(provider: CryptoProvider) -> str:
    """The first primitive for which the answer of ``provider`` is wrong, or that it fails to compute; "" if none."""
    for what, right in _questions():
        try:
            if right(provider):
                continue
        except BaseException as error:
            # A panic of Rust code is no Exception.
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
        return what
    return ""


def _questions() -> list[tuple[str, Callable[[CryptoProvider], bool]]]:
    groups_asked = [(NamedGroup.describe(group), partial(_agrees, group)) for group in _BAD_SHARES]
    suites_asked = [(CipherSuite.describe(suite), partial(_seals, suite)) for suite in _AEADS]
    return [*groups_asked, *suites_asked, ("ecdsa_secp256r1_sha256", _signs_and_verifies)]


# What each group must refuse of a client: a point of small order, one off the curve, a coefficient beyond the modulus.
_BAD_SHARES: dict[int, Callable[[bytes], bytes]] = {
    NamedGroup.x25519: lambda share: bytes(len(share)),
    NamedGroup.secp256r1: lambda share: share[:-1] + bytes((share[-1] ^ 1,)),
    NamedGroup.X25519MLKEM768: lambda share: b"\xff\xff\xff" + share[3:],
}


def _agrees(group: int, provider: CryptoProvider) -> bool:
    """Both roles agree with the default provider: the keys are ephemeral, so no published vector can be put in."""
    if group not in groups.ALL_GROUPS:
        return True
    ours, theirs = provider.generate(group), groups.generate(group)
    public, secret = groups.encapsulate(group, ours.public)
    if ours.shared_secret(public) != secret:
        return False
    public, secret = provider.encapsulate(group, theirs.public)
    if theirs.shared_secret(public) != secret:
        return False
    try:
        provider.encapsulate(group, _BAD_SHARES[group](theirs.public))
    except PeerMisbehaved:
        return True
    return False


def _seals(suite: int, provider: CryptoProvider) -> bool:
    key, nonce, associated_data, plaintext, ciphertext = _AEADS[suite]
    aead = provider.aeads[suite](key)
    if aead.encrypt(nonce, plaintext, associated_data) != ciphertext:
        return False
    if aead.decrypt(nonce, ciphertext, associated_data) != plaintext:
        return False
    try:
        aead.decrypt(nonce, ciphertext[:-1] + bytes((ciphertext[-1] ^ 1,)), associated_data)
    except InvalidTag:
        return True
    return False


def _signs_and_verifies(provider: CryptoProvider) -> bool:
    private_key = ec.derive_private_key(_ECDSA_KEY, ec.SECP256R1())
    key = signatures.describe_public_key(private_key.public_key())
    scheme, known = SignatureScheme.ecdsa_secp256r1_sha256, signatures.ecdsa_signature(_ECDSA_SIGNATURE)
    made = provider.signer(private_key)(scheme, b"sample")
    return (
        provider.verify(key, scheme, known, b"sample")
        and not provider.verify(key, scheme, known, b"simple")
        and signatures.verify(key, scheme, made, b"sample")
    )
