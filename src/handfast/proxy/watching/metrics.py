"""Numbers of a proxy for Prometheus, in its text format (version 0.0.4).

Nothing that a client says becomes a label: listeners and codes are ours, methods are not labels at all, and a status is
its class. So there are as many series as listeners times a few. The numbers of several processes are added up: each is
a ``Sample`` by its name and labels, and gauges of one process are as good as counters for that.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from handfast import limits
from handfast.proxy.journal import ConnectionEnded, HandshakeComplete, RequestEnded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from handfast.proxy.journal import Entry, Journal

Labels: TypeAlias = tuple[tuple[str, str], ...]


class Key(NamedTuple):
    """What a number is of."""

    name: str
    labels: Labels = ()


Numbers: TypeAlias = "Mapping[Key, float]"

# Seconds of a handshake and of a request, up to which one is counted in a bucket.
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# Of each family: its type, and what it is.
FAMILIES = {
    "handfast_connections_total": ("counter", "Clients' connections that are over, by listener and how they ended."),
    "handfast_connections_open": ("gauge", "Clients that are connected."),
    "handfast_requests_open": ("gauge", "Requests that are not answered yet."),
    "handfast_handshakes_total": ("counter", "TLS handshakes with clients that were completed."),
    "handfast_handshake_seconds": ("histogram", "From a client's connection to the end of its handshake."),
    "handfast_requests_total": ("counter", "Requests by the class of their answer's status; 0 where there was none."),
    "handfast_request_seconds": ("histogram", "From a request's head to the end of its answer."),
    "handfast_received_bytes_total": ("counter", "Bytes from clients, inside of TLS."),
    "handfast_sent_bytes_total": ("counter", "Bytes to clients, inside of TLS."),
    "handfast_certificate_expiry_timestamp_seconds": ("gauge", "When a certificate of ours ends, in seconds of 1970."),
    "handfast_reload_generation": ("gauge", "How many configurations took effect, the first included."),
    "handfast_reload_failures_total": ("counter", "Configurations that could not be used; the one before stayed."),
    "handfast_workers": ("gauge", "Processes that serve."),
    "handfast_worker_restarts_total": ("counter", "Processes that ended by themselves and were started again."),
    "handfast_draining": ("gauge", "1 while the proxy ends and takes no new connections."),
    "handfast_start_timestamp_seconds": ("gauge", "When the proxy was started, in seconds of 1970."),
}


class Metrics:
    """A reader of the journal that counts."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._numbers: defaultdict[Key, float] = defaultdict(float)
        # Of each histogram, how many fell into each bucket and not into one before it.
        self._histograms: dict[str, list[int]] = {}
        self._codes: set[str] = set()
        self._values: dict[Key, float] = {Key("handfast_start_timestamp_seconds"): time.time()}

    def __call__(self, entry: Entry) -> None:
        """Count the entry."""
        if isinstance(entry, HandshakeComplete):
            resumed = "true" if entry.info.resumed else "false"
            self._count("handfast_handshakes_total", version=str(entry.info.version), resumed=resumed)
            self._observe("handfast_handshake_seconds", entry.seconds)
            return
        if isinstance(entry, RequestEnded):
            status = f"{entry.status // 100}xx" if entry.status else "0"
            self._count("handfast_requests_total", listener=entry.listener, status=status)
            self._observe("handfast_request_seconds", entry.seconds)
            return
        self._count("handfast_connections_total", listener=entry.listener, code=self._code(entry.code or "ok"))
        if isinstance(entry, ConnectionEnded):
            self._count("handfast_received_bytes_total", entry.received, listener=entry.listener)
            self._count("handfast_sent_bytes_total", entry.sent, listener=entry.listener)

    def count(self, name: str) -> None:
        """One more, of a family without labels."""
        self._numbers[Key(name)] += 1

    def hold(self, values: Mapping[Key, float]) -> None:
        """Show these gauges, in place of those of the same families that were there."""
        names = {key.name for key in values}
        self._values = {key: value for key, value in self._values.items() if key.name not in names} | dict(values)

    def numbers(self) -> dict[Key, float]:
        """All of them, as they are now."""
        now: dict[Key, float] = dict(self._numbers)
        now |= self._values
        for name, counts in self._histograms.items():
            totals = list(accumulate(counts))
            for bound, total in zip((*map(str, _BUCKETS), "+Inf"), totals, strict=True):
                now[Key(f"{name}_bucket", (("le", bound),))] = total
            now[Key(f"{name}_count")] = totals[-1]
        now[Key("handfast_connections_open")] = self._journal.connections
        now[Key("handfast_requests_open")] = self._journal.requests
        return now

    def _code(self, code: str) -> str:
        """A code as a label: they are ours, and there are no more of them than a limit."""
        if code not in self._codes:
            if len(self._codes) >= limits.PROXY_METRIC_CODES:
                return "other"
            self._codes.add(code)
        return code

    def _count(self, name: str, by: float = 1, /, **labels: str) -> None:
        self._numbers[Key(name, tuple(labels.items()))] += by

    def _observe(self, name: str, seconds: float) -> None:
        counts = self._histograms.setdefault(name, [0] * (len(_BUCKETS) + 1))
        counts[bisect_left(_BUCKETS, seconds)] += 1
        self._count(f"{name}_sum", seconds)


def added(*processes: Numbers) -> dict[Key, float]:
    """The numbers of several processes together: sums, but of points in time and generations the greatest."""
    total: dict[Key, float] = {}
    for numbers in processes:
        for key, value in numbers.items():
            if key.name.endswith("_timestamp_seconds") or key.name == "handfast_reload_generation":
                total[key] = max(total.get(key, value), value)
            else:
                total[key] = total.get(key, 0) + value
    return total


def counters_of(numbers: Numbers) -> dict[Key, float]:
    """Those that stay when the process that counted them has ended: counters, and what histograms are made of."""
    return {key: value for key, value in numbers.items() if FAMILIES[_family(key.name)][0] != "gauge"}


def exposition(numbers: Numbers) -> bytes:
    """The numbers as Prometheus reads them."""
    lines: list[str] = []
    by_family: dict[str, list[Key]] = {}
    for key in numbers:
        by_family.setdefault(_family(key.name), []).append(key)
    for family, (kind, words) in FAMILIES.items():
        found = by_family.get(family)
        if not found:
            continue
        lines += (f"# HELP {family} {words}", f"# TYPE {family} {kind}")
        lines += [_sample(key, numbers[key]) for key in sorted(found, key=_order)]
    return ("\n".join(lines) + "\n").encode()


def _family(name: str) -> str:
    if name in FAMILIES:
        return name
    return name.rpartition("_")[0]


def _order(key: Key) -> tuple[Any, ...]:
    """Buckets by their bound, and before sum and count."""
    bound = dict(key.labels).get("le")
    return key.name, -1.0 if bound is None else float(bound), key.labels


def _sample(key: Key, value: float) -> str:
    labels = ",".join(f'{name}="{_escaped(text)}"' for name, text in key.labels)
    number = str(int(value)) if value == int(value) else repr(float(value))
    return f"{key.name}{{{labels}}} {number}" if labels else f"{key.name} {number}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def as_json(numbers: Numbers) -> list[Any]:
    """The numbers for another process."""
    return [[key.name, key.labels, value] for key, value in numbers.items()]


def from_json(rows: Iterable[Any]) -> dict[Key, float]:
    """The numbers of another process."""
    return {Key(name, tuple((a, b) for a, b in labels)): value for name, labels, value in rows}
