"""`make bench`: handfast beside Python's ssl and others, interleaved, in one process, memory to memory.

Absolute times move with the load of the machine by half and more; the ratios are of one interleaved run, and count.
Each row is the median over at least three rounds of the median of one round. Nothing is observed and every check is on.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import ssl
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import cryptography
from cryptography.hazmat.backends.openssl.backend import backend

import handfast
from bench import memory, primitives
from bench.sides import Pki, Row, connect, handfast_sides, pyopenssl_sides, ssl_sides

RESULTS = Path("bench-results.json")
TURN = 10
SIZES = {"64 B": 64, "1 KiB": 1024, "16 KiB": 16 * 1024, "1 MiB": 1 << 20}

# scenario, side -> the least ratio to ssl that we want; for memory, the most KiB.
GOALS = {
    ("full handshake", "server"): 1.15,
    ("full handshake", "client"): 1.3,
    ("mutual handshake", "server"): 1.8,
    ("mutual handshake", "client"): 1.8,
    ("seal 64 B", "server"): 0.85,
    ("open 64 B", "server"): 0.85,
    ("seal 1 KiB", "server"): 0.85,
    ("open 1 KiB", "server"): 0.85,
    ("seal 16 KiB", "server"): 1.3,
    ("open 16 KiB", "server"): 1.4,
    ("seal 1 MiB", "server"): 1.3,
    ("open 1 MiB", "server"): 1.4,
}


def handshakes(pki: Pki, *, mutual: bool, rounds: int, count: int) -> Iterator[Row]:
    """Each implementation's client and server, against our own other end."""
    makers = {"handfast": handfast_sides(pki, mutual=mutual), "ssl": ssl_sides(pki, mutual=mutual)}
    makers["pyOpenSSL"] = pyopenssl_sides(pki, mutual=mutual)
    our_client, our_server = makers["handfast"]
    seen: dict[tuple[str, str], list[float]] = {(name, side): [] for name in makers for side in ("client", "server")}
    for _ in range(rounds):
        once: dict[tuple[str, str], list[float]] = {key: [] for key in seen}
        # In turns of a few, as a server under load would run: one at a time would measure cold caches.
        for _ in range(0, count, TURN):
            for name, (client, server) in makers.items():
                once[name, "client"] += [connect(client, our_server)[2] for _ in range(TURN)]
                once[name, "server"] += [connect(our_client, server)[3] for _ in range(TURN)]
        for key, times in once.items():
            seen[key].append(median(times) * 1e6)
    scenario = "mutual handshake" if mutual else "full handshake"
    yield from rows(scenario, seen, "us")


def rows(scenario: str, seen: dict[tuple[str, str], list[float]], unit: str) -> Iterator[Row]:
    """The medians of rounds, with the ratio of each round's pair against ssl."""
    for (name, side), rounds in seen.items():
        ratio = median(base / mine for base, mine in zip(seen["ssl", side], rounds, strict=True))
        yield Row(scenario, side, name, round(median(rounds), 2), unit, round(ratio, 2))


def records(pki: Pki, *, rounds: int, seconds: float) -> Iterator[Row]:
    """Sealing and opening application data, of each implementation's server."""
    makers = {"handfast": handfast_sides(pki, mutual=False), "ssl": ssl_sides(pki, mutual=False)}
    makers["pyOpenSSL"] = pyopenssl_sides(pki, mutual=False)
    our_client = makers["handfast"][0]
    for label, size in SIZES.items():
        data = bytes(size)
        sealed: dict[tuple[str, str], list[float]] = {(name, "server"): [] for name in makers}
        opened: dict[tuple[str, str], list[float]] = {(name, "server"): [] for name in makers}
        for _ in range(rounds):
            for name, (_, server) in makers.items():
                ours, theirs, _, _ = connect(our_client, server)
                sealed[name, "server"].append(each(partial(theirs.seal, data), seconds, after=ours.open))
                opened[name, "server"].append(each(partial(ours.seal, data), seconds, timed=theirs.open))
        yield from rows(f"seal {label}", sealed, "us")
        yield from rows(f"open {label}", opened, "us")


def each(
    make: Callable[[], bytes],
    seconds: float,
    *,
    after: Callable[[bytes], int] | None = None,
    timed: Callable[[bytes], int] | None = None,
) -> float:
    """Microseconds of ``make``, or, if given, of ``timed`` on what it made; the median of what fits ``seconds``."""
    times: list[float] = []
    end = perf_counter() + seconds
    while perf_counter() < end or len(times) < 5:
        start = perf_counter()
        data = make()
        if timed is not None:
            start = perf_counter()
            timed(data)
        times.append(perf_counter() - start)
        if after is not None:
            after(data)
    return median(times) * 1e6


def verdict(row: Row) -> str:
    """Whether a goal is met, for the table."""
    goal = GOALS.get((row.scenario, row.side)) if row.implementation == "handfast" else None
    if goal is None or row.ratio_to_ssl is None:
        return ""
    return f"goal {goal:g}: {'met' if row.ratio_to_ssl >= goal else 'MISSED'}"


def versions() -> dict[str, str]:
    """What was measured with."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "handfast": handfast.__version__,
        "cryptography": f"{cryptography.__version__} ({backend.openssl_version_text()})",
        "ssl": ssl.OPENSSL_VERSION,
        "suite": "TLS_AES_128_GCM_SHA256",
        "group": "x25519",
        "certificates": "ECDSA P-256, leaf and CA",
        "resumed": "no",
    }


def check_facts(pki: Pki) -> None:
    """All sides really negotiate what the table says."""
    for sides in (handfast_sides, ssl_sides, pyopenssl_sides):
        client, server = sides(pki, mutual=True)
        our_client, our_server = handfast_sides(pki, mutual=True)
        for pair in ((client, our_server), (our_client, server)):
            ends = connect(*pair)[:2]
            for end in ends:
                version, suite, resumed = end.facts()
                if (version, suite, resumed) != ("TLSv1.3", "TLS_AES_128_GCM_SHA256", False):
                    sys.exit(f"handfast: error: a side negotiated {version}, {suite}, resumed: {resumed}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="at least 3")
    parser.add_argument("--count", type=int, default=60, help="handshakes of each kind per round")
    options = parser.parse_args()
    rounds = max(3, options.rounds)
    pki = Pki.create()
    try:
        check_facts(pki)
        gc.collect()
        gc.freeze()
        table = [
            *handshakes(pki, mutual=False, rounds=rounds, count=options.count),
            *handshakes(pki, mutual=True, rounds=rounds, count=options.count),
            *primitives.rows(),
            *records(pki, rounds=rounds, seconds=0.15),
            *memory.rows(pki),
        ]
    finally:
        pki.close()
    about = versions()
    for key, value in about.items():
        print(f"{key + ':':14} {value}")
    print(f"\n{'scenario':26} {'side':8} {'implementation':15} {'median':>10} {'':4} {'to ssl':>7}")
    for row in table:
        ratio = "" if row.ratio_to_ssl is None else f"{row.ratio_to_ssl:.2f}x"
        line = f"{row.scenario:26} {row.side:8} {row.implementation:15} {row.median:10.2f} {row.unit:4} {ratio:>7}"
        print(f"{line}  {verdict(row)}".rstrip())
    RESULTS.write_text(json.dumps({"about": about, "rows": [asdict(row) for row in table]}, indent=1) + "\n")
    print(f"\nwritten to {RESULTS}")


if __name__ == "__main__":
    main()
