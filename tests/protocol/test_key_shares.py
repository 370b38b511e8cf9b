"""Public values that are none: points that are compressed, short, off the curve or of low order, and broken hybrids."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from handfast.crypto import groups
from handfast.registry import NamedGroup
from handfast.roles import Role
from handfast.wire.extensions import KeyShareClientHello, KeyShareEntry, KeyShareServerHello
from tests.lies import extended, flipped
from tests.protocol.ours import Row
from tests.scripted import OTHER_KEYS

HYBRIDS = {
    # group -> (the parts of what a client sends, of what a server sends), in bytes, in order
    NamedGroup.X25519MLKEM768: ((1184, 32), (1088, 32)),
    NamedGroup.SecP256r1MLKEM768: ((65, 1184), (65, 1088)),
    NamedGroup.SecP384r1MLKEM1024: ((97, 1568), (97, 1568)),
}
CURVES = (NamedGroup.secp256r1, NamedGroup.secp384r1, NamedGroup.secp521r1)
MONTGOMERY = {NamedGroup.x25519: 32, NamedGroup.x448: 56}
Spoil = Callable[[bytes], bytes]

LENGTHS: dict[str, Spoil] = {
    "a byte too few": lambda public: public[:-1],
    "a byte too many": lambda public: public + b"\0",
    "a single byte": lambda public: public[:1],
}
POINTS: dict[str, Spoil] = {
    "compressed": lambda point: bytes((2 + (point[-1] & 1),)) + point[1 : 1 + len(point) // 2],
    "in hybrid form": lambda point: bytes((6 + (point[-1] & 1),)) + point[1:],
    "off the curve": flipped,
    "with coordinates of zero": lambda point: b"\4" + bytes(len(point) - 1),
    "with coordinates beyond the prime": lambda point: b"\4" + b"\xff" * (len(point) - 1),
    "at infinity": lambda point: b"\0",
    "of an unknown form": lambda point: b"\1" + point[1:],
}
# RFC 7748 6: a result of zeros comes from points of small order; 0 and 1 are two of them.
SMALL_ORDER: dict[str, Spoil] = {
    "zero": lambda public: bytes(len(public)),
    "one": lambda public: b"\1" + bytes(len(public) - 1),
}


def part(sizes, which, spoil):
    """The public value of a hybrid with one of its two parts spoilt."""

    def whole(public):
        parts = [public[: sizes[0]], public[sizes[0] :]]
        parts[which] = spoil(parts[which])
        return b"".join(parts)

    return whole


def cases(role):
    for group in groups.ALL_GROUPS:
        for what, spoil in LENGTHS.items():
            yield group, what, spoil
    for group in CURVES:
        for what, spoil in POINTS.items():
            yield group, what, spoil
    for group in MONTGOMERY:
        for what, spoil in SMALL_ORDER.items():
            yield group, what, spoil
    for group, sizes in HYBRIDS.items():
        of_peer = sizes[1 if role is Role.CLIENT else 0]
        classical = 1 if group == NamedGroup.X25519MLKEM768 else 0
        for what, spoil in (SMALL_ORDER if classical else POINTS).items():
            yield group, f"its classical part {what}", part(of_peer, classical, spoil)
        if role is Role.SERVER:
            # FIPS 203 7.2: every coefficient of an encapsulation key is below 3329.
            too_large = lambda key: b"\xff\xff\xff" + key[3:]  # noqa: E731
            yield group, "an encapsulation key that fails its check", part(of_peer, 1 - classical, too_large)
            yield group, "the parts exchanged", lambda public, size=of_peer[0]: public[size:] + public[:size]


def parameters(role):
    return [
        pytest.param(group, spoil, id=f"{NamedGroup(group).name}: {what}")
        for group, what, spoil in cases(role)
        if group in groups.ALL_GROUPS
    ]


def share_of_server(spoil):
    def lie(hello):
        share = hello.find(KeyShareServerHello).server_share
        return extended(KeyShareServerHello(KeyShareEntry(share.group, spoil(share.key_exchange))))(hello)

    return lie


def share_of_client(spoil):
    def lie(hello):
        shares = hello.find(KeyShareClientHello).client_shares
        return extended(
            KeyShareClientHello(tuple(KeyShareEntry(share.group, spoil(share.key_exchange)) for share in shares))
        )(hello)

    return lie


@pytest.mark.parametrize(("group", "spoil"), parameters(Role.CLIENT))
def test_our_client_refuses(group, spoil):
    row = Row("", share_of_server(spoil), "bad_key_share", "illegal_parameter")
    row.check(Role.CLIENT, "ServerHello", ours={"groups": (group,)})


@pytest.mark.parametrize(("group", "spoil"), parameters(Role.SERVER))
def test_our_server_refuses(group, spoil):
    row = Row("", share_of_client(spoil), "bad_key_share", "illegal_parameter")
    row.check(Role.SERVER, "ClientHello", ours={"groups": (group,)}, peer={"groups": (group,)})


@pytest.mark.parametrize("group", [group for group in HYBRIDS if group in groups.ALL_GROUPS])
def test_a_server_that_exchanges_the_parts_of_a_hybrid_has_other_keys(group):
    """Any bytes are an ML-KEM ciphertext, so the mistake shows in the first record under the keys, or in the point."""
    size = HYBRIDS[group][1][0]
    lie = share_of_server(lambda public: public[size:] + public[:size])
    row = Row("", lie, "bad_key_share", "illegal_parameter")
    if group == NamedGroup.X25519MLKEM768:
        row = Row("", lie, "bad_record_mac", None, OTHER_KEYS)
    row.check(Role.CLIENT, "ServerHello", ours={"groups": (group,)})


def test_the_hybrids_of_this_table_are_all_there_are():
    assert set(groups.ALL_GROUPS) <= {*HYBRIDS, *CURVES, *MONTGOMERY}
