"""Full handshakes that cost more than the plain ones: another group, a second hello, and hellos that all differ.

Each other end is handfast. It offers and accepts what the row is about, and the facts of each pair are looked at first.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count as numbers
from typing import Any

import handfast
from bench.providers import providers
from bench.scenarios import Key, Timer, interleave, one_end
from bench.sides import (
    Handfast,
    Maker,
    Pair,
    Pki,
    Row,
    Ssl,
    connect,
    handfast_configs,
    handfast_pair,
    ssl_contexts,
)
from handfast.registry import NamedGroup

HYBRID = (NamedGroup.X25519MLKEM768, NamedGroup.x25519)
RETRYING = (NamedGroup.x25519, NamedGroup.secp256r1)
DOMAIN = "bench.example"


@dataclass(frozen=True)
class Variation:
    """One scenario: who takes part, and what our ends must say of the handshake, (group, retried)."""

    scenario: str
    pairs: dict[Key, Pair]
    facts: dict[Key, tuple[int, bool]]


def measure(variation: Variation, *, rounds: int, count: int) -> Iterator[Row]:
    """Its rows, after one handshake of each pair."""
    timers: dict[Key, Timer] = {}
    for key, pair in variation.pairs.items():
        seen = facts(pair)
        if seen != variation.facts[key]:
            sys.exit(f"handfast: error: {variation.scenario}: {' of '.join(key[::-1])} negotiated {seen}")
        timers[key] = partial(one_end, pair, 0 if key[1] == "client" else 1)
    yield from interleave(variation.scenario, timers, slow=(), rounds=rounds, count=count)


def facts(pair: Pair) -> tuple[int | None, bool]:
    """The group of a handshake and whether it had a HelloRetryRequest, by one of our ends."""
    for end in connect(*pair)[0]:
        if isinstance(end, Handfast):
            return end.connection.info.group, end.connection.info.retried
    raise TypeError("none of the ends is handfast's")


def ours() -> dict[str, dict[str, Any]]:
    """Our implementations, with the options of their configurations."""
    return {"handfast": {}} | {f"handfast, {name}": {"provider": name} for name in providers()}


def crossed(pairs: dict[str, Pair], peers: tuple[Maker, Maker]) -> dict[Key, Pair]:
    """Both ends of each implementation, against ``peers``: a client of ours and a server."""
    found: dict[Key, Pair] = {}
    for name, (client, server) in pairs.items():
        found[name, "client"] = client, peers[1]
        found[name, "server"] = peers[0], server
    return found


def default_group(pki: Pki) -> Variation:
    """X25519MLKEM768, beside X25519 in the same run.

    ssl takes part with X25519 where its OpenSSL is older than 3.5, which knows no other of the two.
    """
    pairs = {
        name: handfast_pair(*handfast_configs(pki, mutual=False, groups=HYBRID, **o)) for name, o in ours().items()
    }
    plain = {f"{name}, X25519": handfast_pair(*handfast_configs(pki, mutual=False, **o)) for name, o in ours().items()}
    client, server = ssl_contexts(pki, mutual=False)
    both: Pair = (lambda: Ssl(client, server=False), lambda: Ssl(server, server=True))
    group = NamedGroup.X25519MLKEM768 if ssl.OPENSSL_VERSION_INFO >= (3, 5) else NamedGroup.x25519
    # Our client makes one share for each group, where the other end may know X25519 alone.
    crossing = crossed(pairs | {"ssl": both}, pairs["handfast"]) | crossed(plain, plain["handfast, X25519"])
    wanted = dict.fromkeys(pairs, HYBRID[0]) | dict.fromkeys(plain, HYBRID[1]) | {"ssl": group}
    return Variation("X25519MLKEM768", crossing, {key: (wanted[key[0]], False) for key in crossing})


def retry(pki: Pki) -> Variation:
    """HelloRetryRequest: the client's share is of X25519, and the server accepts P-256 alone."""
    pairs = {}
    for name, options in ours().items():
        client, _ = handfast_configs(pki, mutual=False, groups=RETRYING, **options)
        _, server = handfast_configs(pki, mutual=False, groups=RETRYING[1:], **options)
        pairs[name] = handfast_pair(client, server)
    ssl_client, ssl_server = ssl_contexts(pki, mutual=False)
    ssl_server.set_ecdh_curve("prime256v1")
    both: Pair = (lambda: Ssl(ssl_client, server=False), lambda: Ssl(ssl_server, server=True))
    crossing = crossed(pairs | {"ssl": both}, pairs["handfast"])
    return Variation("HelloRetryRequest", crossing, dict.fromkeys(crossing, (RETRYING[1], True)))


def varying_hello(pki: Pki) -> Variation:
    """Each connection is to another name, of another length too: no end has seen a hello like it before."""
    wild = replace(pki, name=f"*.{DOMAIN}")
    number = numbers(1)

    def name() -> str:
        fresh = next(number)
        return f"{'x' * (fresh % 23)}{fresh}.{DOMAIN}"

    def varied(client: handfast.ClientConfig, server: handfast.ServerConfig) -> Pair:
        return (
            lambda: Handfast(handfast.ClientConnection(client, server_name=name())),
            lambda: Handfast(handfast.ServerConnection(server)),
        )

    pairs = {who: varied(*handfast_configs(wild, mutual=False, **options)) for who, options in ours().items()}
    client, server = ssl_contexts(wild, mutual=False)
    pairs["ssl"] = (lambda: Ssl(client, server=False, name=name()), lambda: Ssl(server, server=True))
    crossing = crossed(pairs, pairs["handfast"])
    return Variation("varying hello", crossing, dict.fromkeys(crossing, (NamedGroup.x25519, False)))


def rows(pki: Pki, *, rounds: int, count: int) -> Iterator[Row]:
    """All of them."""
    for make in (default_group, retry, varying_hello):
        yield from measure(make(pki), rounds=rounds, count=count)
