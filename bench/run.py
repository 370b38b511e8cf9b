"""`make bench`: handfast beside Python's ssl and others, interleaved, most of it in one process, memory to memory.

Absolute times move with the load of the machine by half and more; the ratios are of one interleaved run, and count.
Each row is the median over at least three rounds of the median of one round. Nothing is observed and every check is on;
who leaves out a check is named. The rows `floor` are the primitives alone: the best that could be reached here.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench import idle, memory, others, providers, resumption, serving, starting, tls12, variations, waiting
from bench.build import builds, python_build
from bench.checks import check_facts, remark
from bench.scenarios import FLOOR, handshakes, records
from bench.sides import ALWAYS, Pki, Row

RESULTS = Path("bench-results.json")

# scenario, side -> the least ratio to ssl that we want.
GOALS = {
    ("full handshake", "server"): 1.15,
    ("full handshake", "client"): 1.3,
    ("mutual handshake", "server"): 1.8,
    ("mutual handshake", "client"): 1.8,
    ("resumed handshake", "server"): 1.4,
    ("resumed handshake", "client"): 2.2,
    ("TLS 1.2, full handshake", "server"): 1.15,
    ("TLS 1.2, full handshake", "client"): 1.15,
    ("TLS 1.2, mutual handshake", "server"): 1.7,
    ("TLS 1.2, mutual handshake", "client"): 1.7,
    ("TLS 1.2, seal 16 KiB", "server"): 1.2,
    ("TLS 1.2, open 16 KiB", "server"): 1.2,
    ("seal 64 B", "server"): 0.85,
    ("open 64 B", "server"): 0.85,
    ("seal 1 KiB", "server"): 0.85,
    ("open 1 KiB", "server"): 0.85,
    ("seal 16 KiB", "server"): 1.3,
    ("open 16 KiB", "server"): 1.4,
    ("seal 1 MiB", "server"): 1.3,
    ("open 1 MiB", "server"): 1.4,
}
# scenario -> the most KiB.
MOST_KIB = {"idle connection, full": 20, "idle connection, mutual": 20}


def verdict(row: Row) -> str:
    """Whether a goal is met, for the table."""
    if row.implementation not in ("handfast", "handfast, uvloop"):
        return ""
    most = MOST_KIB.get(row.scenario)
    if most is not None:
        return f"goal {most} KiB: {'met' if row.median <= most else 'MISSED'}"
    goal = GOALS.get((row.scenario, row.side))
    if goal is None or row.ratio_to_ssl is None:
        return ""
    return f"goal {goal:g}: {'met' if row.ratio_to_ssl >= goal else 'MISSED'}"


def versions() -> dict[str, str]:
    """What was measured with, and what all rows have in common."""
    installed = {module: one.name for module, one in others.OPTIONAL.items() if one in others.installed()}
    return {
        "date": datetime.now(UTC).date().isoformat(),
        **builds(installed),
        "not installed": ", ".join(others.missing()) or "-",
        **{f"provider {name}": f"missing: {why}" for name, why in providers.missing().items()},
        "suite": "TLS_AES_128_GCM_SHA256",
        "group": "X25519, except in the rows that say so",
        "certificates": "ECDSA P-256, leaf and CA",
        "resumed": "no, except in the rows that say so",
        "time": "of the thread on its core; in the rows of aio, of the server's process",
        "idle connection": "RSS of an asyncio server process per connection, above that of plain TCP",
    }


def aes_gcm(table: list[Row]) -> str:
    """What the raw AEAD call costs, of the rows of the floor."""
    floor = {row.scenario: row.median for row in table if row.implementation == FLOOR}
    costs = (f"{floor[f'seal {size}']:.2f} us to encrypt {size}" for size in ("64 B", "16 KiB"))
    return "alone, by cryptography: " + ", ".join(costs)


def measure(pki: Pki, *, rounds: int, count: int) -> tuple[dict[str, str], list[Row]]:
    """What is to be known of the run, and its table."""
    implementations = [*ALWAYS, *others.installed()]
    for implementation in implementations:
        check_facts(implementation, pki)
    about = versions()
    about |= {f"about {one.name}": text for one in implementations if (text := remark(one, pki))}
    gc.collect()
    gc.freeze()
    table = [
        *handshakes(implementations, pki, mutual=False, rounds=rounds, count=count),
        *handshakes(implementations, pki, mutual=True, rounds=rounds, count=count),
        *resumption.rows(pki, rounds=rounds, count=count),
        *variations.rows(pki, rounds=rounds, count=count),
        *records(implementations, pki, rounds=rounds, seconds=0.1),
        *serving.rows(pki, rounds=rounds),
        *tls12.rows(pki, rounds=rounds, count=count),
        *waiting.rows(pki, rounds=rounds),
        *starting.rows(pki, rounds=rounds),
        *memory.rows(pki),
        *idle.rows(pki),
    ]
    return about | {"AES-128-GCM": aes_gcm(table)}, table


def show(about: dict[str, str], table: list[Row]) -> None:
    for key, value in about.items():
        print(f"{key + ':':18} {value}")
    print(f"\n{'scenario':26} {'side':6} {'implementation':26} {'median':>10} {'':4} {'to ssl':>8}")
    for row in table:
        ratio = "" if row.ratio_to_ssl is None else f"{row.ratio_to_ssl:.{2 if row.ratio_to_ssl >= 0.1 else 4}f}x"
        line = f"{row.scenario:26} {row.side:6} {row.implementation:26} {row.median:10.2f} {row.unit:4} {ratio:>8}"
        print(f"{line}  {verdict(row)}".rstrip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="at least 3")
    parser.add_argument("--count", type=int, default=60, help="handshakes of each kind per round")
    options = parser.parse_args()
    said = python_build().warning()
    if said:
        print(said, file=sys.stderr)
    pki = Pki.create()
    try:
        about, table = measure(pki, rounds=max(3, options.rounds), count=options.count)
    finally:
        pki.close()
    show(about, table)
    if said:
        print(f"\n{said}", file=sys.stderr)
    RESULTS.write_text(json.dumps({"about": about, "rows": [asdict(row) for row in table]}, indent=1) + "\n")
    print(f"\nwritten to {RESULTS}")


if __name__ == "__main__":
    main()
