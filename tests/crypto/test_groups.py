"""Key exchange: both sides agree, and every kind of bad public value is refused with the same error."""

from __future__ import annotations

import subprocess
import sys

import pytest

from handfast.crypto import groups
from handfast.errors import PeerMisbehaved
from handfast.registry import AlertDescription, NamedGroup

# Lengths of the client's and the server's public value and of the shared secret, in bytes.
LENGTHS = {
    NamedGroup.X25519MLKEM768: (1216, 1120, 64),
    NamedGroup.x25519: (32, 32, 32),
    NamedGroup.secp256r1: (65, 65, 32),
    NamedGroup.secp384r1: (97, 97, 48),
    NamedGroup.secp521r1: (133, 133, 66),
    NamedGroup.x448: (56, 56, 56),
    NamedGroup.SecP256r1MLKEM768: (1249, 1153, 64),
    NamedGroup.SecP384r1MLKEM1024: (1665, 1665, 80),
}
CURVES = (NamedGroup.secp256r1, NamedGroup.secp384r1, NamedGroup.secp521r1)
P256_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1


def refused(group, act):
    with pytest.raises(PeerMisbehaved) as caught:
        act()
    assert caught.value.code == "bad_key_share"
    assert caught.value.alert is AlertDescription.illegal_parameter
    assert group.name in caught.value.what
    return True


def refused_by_both_sides(group, value):
    return refused(group, lambda: groups.encapsulate(group, value)) and refused(
        group, lambda: groups.generate(group).shared_secret(value)
    )


def test_the_default_order():
    assert [NamedGroup.describe(group) for group in groups.SUPPORTED_GROUPS] == [
        "X25519MLKEM768",
        "x25519",
        "secp256r1",
        "secp384r1",
        "secp521r1",
        "x448",
    ]
    assert set(groups.ALL_GROUPS) == set(LENGTHS)


@pytest.mark.parametrize("group", LENGTHS, ids=lambda group: group.name)
def test_both_sides_agree(group):
    share = groups.generate(group)
    public, secret = groups.encapsulate(group, share.public)
    assert (len(share.public), len(public), len(secret)) == LENGTHS[group]
    assert share.group == group
    assert share.shared_secret(public) == secret
    assert groups.encapsulate(group, share.public)[1] != secret


@pytest.mark.parametrize("group", LENGTHS, ids=lambda group: group.name)
def test_wrong_lengths_are_refused(group):
    share = groups.generate(group)
    public, _ = groups.encapsulate(group, share.public)
    for bad in (b"", share.public[:-1], share.public + b"\0"):
        assert refused(group, lambda bad=bad: groups.encapsulate(group, bad))
    for bad in (b"", public[:-1], public + b"\0"):
        assert refused(group, lambda bad=bad: share.shared_secret(bad))


@pytest.mark.parametrize("group", CURVES, ids=lambda group: group.name)
def test_bad_points_are_refused(group):
    point = groups.generate(group).public
    half = len(point) // 2
    bad_points = {
        "compressed": bytes((2 + (point[-1] & 1),)) + point[1 : half + 1],
        "hybrid": bytes((6 + (point[-1] & 1),)) + point[1:],
        "off the curve": point[:-1] + bytes((point[-1] ^ 1,)),
        "coordinate beyond the field": b"\4" + b"\xff" * (2 * half),
        "zeros": b"\4" + bytes(2 * half),
        "infinity": b"\0",
        "infinity, padded": bytes(len(point)),
    }
    for bad in bad_points.values():
        assert refused_by_both_sides(group, bad)


def test_a_coordinate_is_not_reduced():
    """The point (x + p, y) is (x, y) to a careless reader. RFC 9846 4.3.8.2: coordinates are below p."""
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    x, y, square = 0, 0, 1
    while y * y % P256_PRIME != square:
        x += 1
        square = (x**3 - 3 * x + b) % P256_PRIME
        y = pow(square, (P256_PRIME + 1) // 4, P256_PRIME)
    group = NamedGroup.secp256r1
    groups.encapsulate(group, b"\4" + x.to_bytes(32, "big") + y.to_bytes(32, "big"))
    assert refused_by_both_sides(group, b"\4" + (x + P256_PRIME).to_bytes(32, "big") + y.to_bytes(32, "big"))


@pytest.mark.parametrize("group", [NamedGroup.x25519, NamedGroup.x448], ids=lambda group: group.name)
def test_points_of_small_order_are_refused(group):
    length = LENGTHS[group][0]
    # 0, 1 and p - 1 have small order on both curves: the shared secret would be zeros. RFC 9846 7.4.2.
    prime = 2**255 - 19 if group is NamedGroup.x25519 else 2**448 - 2**224 - 1
    for value in (0, 1, prime - 1, prime):
        assert refused_by_both_sides(group, value.to_bytes(length, "little"))


def test_a_hybrid_is_refused_for_either_half():
    share = groups.generate(NamedGroup.X25519MLKEM768)
    public, _ = groups.encapsulate(NamedGroup.X25519MLKEM768, share.public)
    group = NamedGroup.X25519MLKEM768
    # FIPS 203 7.2: the coefficients of an encapsulation key are below 3329.
    unreduced = b"\xff" * 384 + share.public[384:]
    assert refused(group, lambda: groups.encapsulate(group, unreduced))
    assert refused(group, lambda: groups.encapsulate(group, share.public[:-32] + bytes(32)))
    assert refused(group, lambda: share.shared_secret(public[:-32] + bytes(32)))


def test_an_altered_ciphertext_gives_another_secret():
    """ML-KEM rejects implicitly: the handshake fails at Finished, not here."""
    share = groups.generate(NamedGroup.X25519MLKEM768)
    public, secret = groups.encapsulate(NamedGroup.X25519MLKEM768, share.public)
    altered = share.shared_secret(bytes((public[0] ^ 1,)) + public[1:])
    assert altered[:32] != secret[:32]
    assert altered[32:] == secret[32:]


def test_the_order_of_the_halves():
    """X25519MLKEM768 has ML-KEM first, SecP256r1MLKEM768 the curve. draft-ietf-tls-ecdhe-mlkem 4.1."""
    share = groups.generate(NamedGroup.SecP256r1MLKEM768)
    public, _ = groups.encapsulate(NamedGroup.SecP256r1MLKEM768, share.public)
    assert share.public[0] == public[0] == 4
    share = groups.generate(NamedGroup.X25519MLKEM768)
    # X25519 is the part that is not an ML-KEM key: any 32 bytes but a point of small order are valid there.
    public, secret = groups.encapsulate(NamedGroup.X25519MLKEM768, share.public[:-32] + (9).to_bytes(32, "little"))
    assert secret[32:] == public[-32:]


def test_a_group_that_is_not_ours_is_a_key_error():
    with pytest.raises(KeyError):
        groups.generate(NamedGroup.ffdhe2048)


def test_no_secret_in_the_repr():
    assert repr(groups.generate(NamedGroup.x25519)) == "KeyShare(x25519)"


def test_importing_loads_no_x509_and_no_serialization():
    code = (
        "import sys, handfast.crypto.groups, handfast.crypto.signatures, handfast.record.protection\n"
        "print([name for name in ('cryptography.x509', 'cryptography.hazmat.primitives.serialization', 'ssl')"
        " if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
