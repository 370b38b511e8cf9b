"""HKDF against RFC 5869, and HKDF-Expand-Label's bounds."""

from __future__ import annotations

import pytest

from handfast.crypto.hashes import SHA256, SHA384
from handfast.errors import ApiMisuse
from handfast.keys.hkdf import expand, expand_label, extract

# RFC 5869 A.1 to A.3: IKM, salt, info, PRK, OKM.
VECTORS = {
    "A.1": (
        b"\x0b" * 22,
        bytes(range(13)),
        bytes(range(0xF0, 0xFA)),
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    "A.2": (
        bytes(range(80)),
        bytes(range(0x60, 0xB0)),
        bytes(range(0xB0, 0x100)),
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        (
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
            "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
        ),
    ),
    "A.3": (
        b"\x0b" * 22,
        b"",
        b"",
        "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
}


@pytest.mark.parametrize(("ikm", "salt", "info", "prk", "okm"), VECTORS.values(), ids=VECTORS)
def test_rfc_5869(ikm, salt, info, prk, okm):
    assert extract(SHA256, salt, ikm).hex() == prk
    assert expand(SHA256, bytes.fromhex(prk), info, len(okm) // 2).hex() == okm


def test_expand_is_a_prefix_of_a_longer_expand():
    longest = expand(SHA384, b"secret" * 8, b"info", 255 * 48)
    for length in (0, 1, 47, 48, 49, 96, 97, 1000):
        assert expand(SHA384, b"secret" * 8, b"info", length) == longest[:length]
    with pytest.raises(ApiMisuse):
        expand(SHA384, b"secret" * 8, b"info", 255 * 48 + 1)


def test_expand_label_builds_the_rfc_s_structure():
    info = b"\x00\x20" + b"\x0dtls13 derived" + b"\x03abc"
    assert expand_label(SHA256, bytes(32), b"derived", b"abc", 32) == expand(SHA256, bytes(32), info, 32)


def test_expand_label_refuses_what_does_not_fit():
    assert len(expand_label(SHA256, bytes(32), b"x" * 249, bytes(255), 10)) == 10
    for label, length in ((b"x" * 250, 10), (b"x", 255 * 32 + 1), (b"x", 2**16), (b"x", -1)):
        with pytest.raises(ApiMisuse):
            expand_label(SHA256, bytes(32), label, b"", length)
