"""Handshakes and records, in turns of a few for each implementation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from statistics import median
from typing import Any

from bench.checks import pairs
from bench.primitives import Floor, Step, aes_gcm
from bench.sides import CLOCK, Implementation, Pair, Pki, Row, Side, connect, handfast_sides

TURN = 10
BATCH, BATCH_BYTES = 16, 256 * 1024
FLOOR = "floor"
SIZES = {"64 B": 64, "1 KiB": 1024, "16 KiB": 16 * 1024, "1 MiB": 1 << 20}

# Implementation and side.
Key = tuple[str, str]
Timer = Callable[[], float]


def seconds_of(step: Step) -> float:
    start = CLOCK()
    step()
    return CLOCK() - start


def interleave(
    scenario: str, timers: dict[Key, Timer], *, slow: Iterable[str], rounds: int, count: int
) -> Iterator[Row]:
    """Each timer does its operation once and gives the seconds that it took."""
    seen: dict[Key, list[float]] = {key: [] for key in timers}
    for _ in range(rounds):
        once: dict[Key, list[float]] = {key: [] for key in timers}
        # In turns of a few, as a server under load would run: one at a time would measure cold caches.
        for _ in range(0, count, TURN):
            for key, timer in timers.items():
                once[key] += [timer() for _ in range(1 if key[0] in slow else TURN)]
        for key, times in once.items():
            seen[key].append(median(times) * 1e6)
    yield from rows(scenario, seen, "us")


def rows(scenario: str, seen: dict[Key, list[float]], unit: str) -> Iterator[Row]:
    """The medians of rounds, with the ratio of each round's pair against ssl."""
    for (name, side), rounds in seen.items():
        ratio = median(base / mine for base, mine in zip(seen["ssl", side], rounds, strict=True))
        yield Row(scenario, side, name, round(median(rounds), 2), unit, round(ratio, 2 if ratio >= 0.1 else 5))


def handshakes(
    implementations: list[Implementation], pki: Pki, *, mutual: bool, rounds: int, count: int
) -> Iterator[Row]:
    """Each implementation's client and server, against our own other end where it has records."""
    kind = "mutual" if mutual else "full"
    timers: dict[Key, Timer] = {}
    for implementation in implementations:
        for side, pair, index in pairs(implementation, pki, mutual=mutual):
            timers[implementation.name, side] = partial(one_end, pair, index)
    for side, step in Floor(pki).steps(kind).items():
        timers[FLOOR, side] = partial(seconds_of, step)
    slow = {implementation.name for implementation in implementations if implementation.slow}
    yield from interleave(f"{kind} handshake", timers, slow=slow, rounds=rounds, count=count)


def one_end(pair: Pair, index: int) -> float:
    return connect(*pair)[1][index]


def records(implementations: list[Implementation], pki: Pki, *, rounds: int, seconds: float) -> Iterator[Row]:
    """Sealing and opening application data, of each implementation's server."""
    our_client, _ = handfast_sides(pki, mutual=False)
    servers = {
        implementation: implementation.sides(pki, mutual=False)[1]
        for implementation in implementations
        if implementation.largest
    }
    slow = {one.name for one in implementations if one.slow}
    for label, size in SIZES.items():
        data = bytes(size)
        able = {one.name: make for one, make in servers.items() if size <= one.largest}
        sealed: dict[Key, list[float]] = {(name, "server"): [] for name in (*able, FLOOR)}
        opened: dict[Key, list[float]] = {(name, "server"): [] for name in (*able, FLOOR)}
        encrypt, decrypt = aes_gcm(size)
        for _ in range(rounds):
            for name, make in able.items():
                (ours, theirs), _ = connect(our_client, make)
                check_transfer(name, ours, theirs, data)
                at_once = 1 if name in slow else batch(size)
                sealed[name, "server"].append(each(partial(theirs.seal, data), seconds, batch=at_once, after=ours.open))
                opened[name, "server"].append(each(partial(ours.seal, data), seconds, batch=at_once, timed=theirs.open))
            sealed[FLOOR, "server"].append(each(encrypt, seconds, batch=batch(size)))
            opened[FLOOR, "server"].append(each(decrypt, seconds, batch=batch(size)))
        yield from rows(f"seal {label}", sealed, "us")
        yield from rows(f"open {label}", opened, "us")


def check_transfer(name: str, ours: Side, theirs: Side, data: bytes) -> None:
    """All of the data arrives, both ways."""
    for sender, receiver in ((ours, theirs), (theirs, ours)):
        if receiver.open(sender.seal(data)) != len(data):
            sys.exit(f"handfast: error: {name} does not carry {len(data)} bytes at once")


def batch(size: int) -> int:
    """Calls that are timed together: asking for the time costs nearly as much as sealing a small record."""
    return max(1, min(BATCH, BATCH_BYTES // size))


def each(
    make: Callable[[], Any],
    seconds: float,
    *,
    batch: int,
    after: Callable[[Any], object] | None = None,
    timed: Callable[[Any], object] | None = None,
) -> float:
    """Microseconds of ``make``, or, if given, of ``timed`` on what it made; the median of what fits ``seconds``.

    Each time that is taken is of ``batch`` calls. ``after`` gets all that was made, untimed.
    """
    times: list[float] = []
    end = CLOCK() + seconds
    while CLOCK() < end or len(times) < 5:
        start = CLOCK()
        made = [make() for _ in range(batch)]
        if timed is not None:
            start = CLOCK()
            for data in made:
                timed(data)
        times.append(CLOCK() - start)
        if after is not None:
            for data in made:
                after(data)
    return median(times) * 1e6 / batch
