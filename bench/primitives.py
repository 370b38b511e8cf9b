"""The floor: what the cryptography of one handshake costs by itself, each primitive once as a handshake uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter

from bench.sides import Row
from handfast.crypto import groups, new_keys, signatures
from handfast.registry import NamedGroup, SignatureScheme

CONTENT = bytes(130)
SCHEME = int(SignatureScheme.ecdsa_secp256r1_sha256)


def microseconds(step: Callable[[], object], count: int = 200) -> float:
    times = []
    for _ in range(count):
        start = perf_counter()
        step()
        times.append(perf_counter() - start)
    return median(times) * 1e6


def rows() -> Iterator[Row]:
    """X25519 and ECDSA P-256 as each side does them in a full handshake, without the verification of the chain."""
    key = new_keys.generate_private_key("ecdsa-p256")
    public = signatures.describe_public_key(key.public_key())
    signature = signatures.sign(key, SCHEME, CONTENT)
    share = groups.generate(NamedGroup.x25519)
    answer, _ = groups.encapsulate(NamedGroup.x25519, share.public)
    generate = microseconds(lambda: groups.generate(NamedGroup.x25519))
    finish = microseconds(lambda: share.shared_secret(answer))
    encapsulate = microseconds(lambda: groups.encapsulate(NamedGroup.x25519, share.public))
    sign = microseconds(lambda: signatures.sign(key, SCHEME, CONTENT))
    verify = microseconds(lambda: signatures.verify(public, SCHEME, signature, CONTENT))
    yield Row("sum of primitives", "client", "cryptography", round(generate + finish + verify, 2), "us", None)
    yield Row("sum of primitives", "server", "cryptography", round(encapsulate + sign, 2), "us", None)
    yield Row("ECDSA P-256 verify", "", "cryptography", round(verify, 2), "us", None)
