"""Key exchange: (EC)DHE and its hybrids with ML-KEM behind one face. RFC 9846 4.3.8, draft-ietf-tls-ecdhe-mlkem.

The client calls ``generate`` and sends the public value; the server calls ``encapsulate`` on it and sends back a public
value of its own; the client's ``KeyShare.shared_secret`` of that ends the exchange. For ECDHE the server's half is an
ephemeral key of its own, for ML-KEM a ciphertext: the two values of an exchange may differ in length.

A hybrid group is two of those exchanges side by side: public values and shared secrets are concatenated, in the order
of the group's table entry. It is as strong as the stronger of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x448, x25519

from handfast.errors import PeerMisbehaved
from handfast.registry import NamedGroup

# From the server's public value to the shared secret; ValueError for what is not a public value.
Finish: TypeAlias = Callable[[bytes], bytes]


class Exchange(Protocol):
    """One key exchange. The lengths, in bytes, are those of the public values that each side sends."""

    client_length: int
    server_length: int

    def generate(self) -> tuple[bytes, Finish]:
        """The client's public value and what makes the shared secret from the server's."""

    def encapsulate(self, peer_public: bytes) -> tuple[bytes, bytes]:
        """The server's public value and the shared secret. ValueError if the client's is not valid."""


class _Montgomery:
    """X25519 and X448. RFC 7748 and RFC 9846 7.4.2; OpenSSL itself refuses a shared secret of zeros."""

    def __init__(self, private_key: Any, public_key: Any, length: int) -> None:
        self.client_length = self.server_length = length
        self._generate = private_key.generate
        self._load = public_key.from_public_bytes

    def generate(self) -> tuple[bytes, Finish]:
        private_key = self._generate()
        load = self._load
        return private_key.public_key().public_bytes_raw(), lambda peer: bytes(private_key.exchange(load(peer)))

    def encapsulate(self, peer_public: bytes) -> tuple[bytes, bytes]:
        peer_key = self._load(peer_public)
        private_key = self._generate()
        return private_key.public_key().public_bytes_raw(), private_key.exchange(peer_key)


class _NistCurve:
    """ECDHE over a NIST curve with uncompressed points only. RFC 9846 4.3.8.2 and 7.4.2."""

    def __init__(self, curve: ec.EllipticCurve) -> None:
        self._curve = curve
        self._coordinate = (curve.key_size + 7) // 8
        self.client_length = self.server_length = 1 + 2 * self._coordinate

    def _load(self, point: bytes) -> ec.EllipticCurvePublicKey:
        # OpenSSL would also take the hybrid form (06, 07) of the same length.
        if point[0] != 4:
            raise ValueError("not an uncompressed point")
        return ec.EllipticCurvePublicKey.from_encoded_point(self._curve, point)

    def _point(self, private_key: ec.EllipticCurvePrivateKey) -> bytes:
        # By hand, because the serialization module costs 16 ms to import.
        numbers = private_key.public_key().public_numbers()
        size = self._coordinate
        return b"\4" + numbers.x.to_bytes(size, "big") + numbers.y.to_bytes(size, "big")

    def generate(self) -> tuple[bytes, Finish]:
        private_key = ec.generate_private_key(self._curve)
        return self._point(private_key), lambda peer: private_key.exchange(ec.ECDH(), self._load(peer))

    def encapsulate(self, peer_public: bytes) -> tuple[bytes, bytes]:
        peer_key = self._load(peer_public)
        private_key = ec.generate_private_key(self._curve)
        return self._point(private_key), private_key.exchange(ec.ECDH(), peer_key)


class _MlKem:
    """ML-KEM. FIPS 203; OpenSSL makes the checks of 7.2 on the encapsulation key."""

    def __init__(self, private_key: Any, public_key: Any, client_length: int, server_length: int) -> None:
        self.client_length = client_length
        self.server_length = server_length
        self._generate = private_key.generate
        self._load = public_key.from_public_bytes

    def generate(self) -> tuple[bytes, Finish]:
        private_key = self._generate()
        return private_key.public_key().public_bytes_raw(), private_key.decapsulate

    def encapsulate(self, peer_public: bytes) -> tuple[bytes, bytes]:
        shared_secret, ciphertext = self._load(peer_public).encapsulate()
        return ciphertext, shared_secret


class _Hybrid:
    """Two exchanges at once, concatenated in this order. draft-ietf-tls-ecdhe-mlkem 4.1 to 4.3."""

    def __init__(self, first: Exchange, second: Exchange) -> None:
        self._first = first
        self._second = second
        self.client_length = first.client_length + second.client_length
        self.server_length = first.server_length + second.server_length

    def generate(self) -> tuple[bytes, Finish]:
        first_public, first_finish = self._first.generate()
        second_public, second_finish = self._second.generate()
        cut = self._first.server_length
        return first_public + second_public, lambda peer: first_finish(peer[:cut]) + second_finish(peer[cut:])

    def encapsulate(self, peer_public: bytes) -> tuple[bytes, bytes]:
        cut = self._first.client_length
        first_public, first_secret = self._first.encapsulate(peer_public[:cut])
        second_public, second_secret = self._second.encapsulate(peer_public[cut:])
        return first_public + second_public, first_secret + second_secret


_X25519 = _Montgomery(x25519.X25519PrivateKey, x25519.X25519PublicKey, 32)
_X448 = _Montgomery(x448.X448PrivateKey, x448.X448PublicKey, 56)
_P256, _P384, _P521 = (_NistCurve(curve) for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()))
_MLKEM768 = _MlKem(mlkem.MLKEM768PrivateKey, mlkem.MLKEM768PublicKey, 1184, 1088)
_MLKEM1024 = _MlKem(mlkem.MLKEM1024PrivateKey, mlkem.MLKEM1024PublicKey, 1568, 1568)

_KNOWN: dict[int, Exchange] = {
    NamedGroup.X25519MLKEM768: _Hybrid(_MLKEM768, _X25519),
    NamedGroup.x25519: _X25519,
    NamedGroup.secp256r1: _P256,
    NamedGroup.secp384r1: _P384,
    NamedGroup.secp521r1: _P521,
    NamedGroup.x448: _X448,
    NamedGroup.SecP256r1MLKEM768: _Hybrid(_P256, _MLKEM768),
    NamedGroup.SecP384r1MLKEM1024: _Hybrid(_P384, _MLKEM1024),
}


def _without_missing() -> dict[int, Exchange]:
    """The exchanges that the OpenSSL under ``cryptography`` has: not every build has ML-KEM and X448."""
    missing: set[int] = set()
    for part, groups in (
        (_MLKEM768, {NamedGroup.X25519MLKEM768, NamedGroup.SecP256r1MLKEM768}),
        (_MLKEM1024, {NamedGroup.SecP384r1MLKEM1024}),
        (_X448, {NamedGroup.x448}),
    ):
        try:
            part.generate()
        except UnsupportedAlgorithm:
            missing |= groups
    return {group: exchange for group, exchange in _KNOWN.items() if group not in missing}


EXCHANGES: Mapping[int, Exchange] = _without_missing()

# Every group that ``generate`` and ``encapsulate`` take.
ALL_GROUPS: tuple[int, ...] = tuple(EXCHANGES)
# Those of them that are one exchange and no hybrid.
CLASSICAL_GROUPS: tuple[int, ...] = tuple(
    group for group, exchange in EXCHANGES.items() if not isinstance(exchange, _Hybrid)
)
# What is offered and accepted by default, in order of preference; the other hybrids are for those who name them.
SUPPORTED_GROUPS: tuple[int, ...] = tuple(
    group for group in ALL_GROUPS if group not in (NamedGroup.SecP256r1MLKEM768, NamedGroup.SecP384r1MLKEM1024)
)


class KeyShare:
    """A client's half of a key exchange: ``group``, and the ``public`` value for the key_share extension."""

    __slots__ = ("_finish", "group", "public")

    def __init__(self, group: int, public: bytes, finish: Finish) -> None:
        self.group = group
        self.public = public
        self._finish = finish

    def __repr__(self) -> str:
        return f"KeyShare({NamedGroup.describe(self.group)})"

    def shared_secret(self, peer_public: bytes) -> bytes:
        """The shared secret with the server's public value. RFC 9846 7.4. Raises PeerMisbehaved bad_key_share."""
        if len(peer_public) != EXCHANGES[self.group].server_length:
            raise PeerMisbehaved("bad_key_share", group=NamedGroup.describe(self.group))
        try:
            return self._finish(peer_public)
        except ValueError:
            raise PeerMisbehaved("bad_key_share", group=NamedGroup.describe(self.group)) from None


def generate(group: int, exchanges: Mapping[int, Exchange] = EXCHANGES) -> KeyShare:
    """A fresh key share for one of ``ALL_GROUPS``. RFC 9846 4.3.8. Raises KeyError for another group.

    ``exchanges`` are those of another provider.
    """
    public, finish = exchanges[group].generate()
    return KeyShare(group, public, finish)


def encapsulate(group: int, peer_public: bytes, exchanges: Mapping[int, Exchange] = EXCHANGES) -> tuple[bytes, bytes]:
    """The server's public value and the shared secret. RFC 9846 4.3.8, 7.4. Raises PeerMisbehaved bad_key_share.

    ``exchanges`` are those of another provider.
    """
    exchange = exchanges[group]
    if len(peer_public) != exchange.client_length:
        raise PeerMisbehaved("bad_key_share", group=NamedGroup.describe(group))
    try:
        return exchange.encapsulate(peer_public)
    except ValueError:
        raise PeerMisbehaved("bad_key_share", group=NamedGroup.describe(group)) from None
