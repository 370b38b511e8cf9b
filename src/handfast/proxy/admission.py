"""How many clients may be there: in all, of one address, in handshakes, and how fast new ones may come.

Asked before a byte of a client is read, so a flood costs an ``accept`` and a ``close`` for each connection. All that is
kept is bounded: a count for each address that is connected, and a rate for the addresses that came last.
"""

from __future__ import annotations

import resource
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, replace
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any

from handfast import limits, logs
from handfast.errors import bad_option
from handfast.io.failure_log import address_text
from handfast.proxy.entrance import Refusal
from handfast.token_bucket import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable

# An IPv6 network of this many bits is one client: it is what a household or a machine is given. RFC 6177.
_NETWORK = 64


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The limits of a proxy, of each of its processes.

    Attributes:
        connections: clients at once.
        per_client: of these, from one address; an IPv6 /64 is one. Clients of Unix sockets have no address.
        handshakes: clients at once whose handshake is not complete.
        per_second: new connections from one address in a second, 0 for any number. Short bursts may be ten times that.
    """

    connections: int = limits.PROXY_CONNECTIONS
    per_client: int = limits.PROXY_CONNECTIONS_PER_CLIENT
    handshakes: int = limits.PROXY_HANDSHAKES
    per_second: float = 0.0

    def __post_init__(self) -> None:
        for name in ("connections", "per_client", "handshakes"):
            value = getattr(self, name)
            if value < 1:
                raise bad_option(name, f"{value} would let no client in", "give a number from 1 on")
            if value > limits.PROXY_MOST:
                raise bad_option(name, "there are never so many", f"give {limits.PROXY_MOST} at most")
        if not 0 <= self.per_second <= limits.PROXY_MOST:
            advice = f"give a number up to {limits.PROXY_MOST}, or 0 for no limit"
            raise bad_option("per_second", f"{self.per_second:g} is no rate", advice)


class Limited:
    """An admission under ``ceilings``. ``clock`` gives seconds that never go back."""

    def __init__(self, ceilings: Ceilings, clock: Callable[[], float] = time.monotonic) -> None:
        self.ceilings = ceilings
        self._clock = clock
        self._connections = 0
        self._handshakes = 0
        self._of_client: Counter[str | int] = Counter()
        self._rates: OrderedDict[str | int, TokenBucket] = OrderedDict()

    def admit(self, listener: str, address: Any) -> Refusal | None:
        """None for a client that may come in; it is followed by one ``handshake_over`` at most, and one ``leave``."""
        key = _client(address)
        refusal = self._refusal(key)
        if refusal is not None:
            logs.warn("connections refused by a limit", lambda: f"{address_text(address)} at {listener}: {refusal.why}")
            return refusal
        self._connections += 1
        self._handshakes += 1
        if key is not None:
            self._of_client[key] += 1
        return None

    def handshake_over(self) -> None:
        """A client's handshake is over, well or not."""
        self._handshakes -= 1

    def leave(self, listener: str, address: Any) -> None:
        """A client that was admitted is gone. ``listener`` says where it came in."""
        key = _client(address)
        self._connections -= 1
        if key is not None:
            self._of_client[key] -= 1
            if not self._of_client[key]:
                del self._of_client[key]

    def _refusal(self, key: str | int | None) -> Refusal | None:
        most = self.ceilings
        if self._connections >= most.connections:
            return Refusal("too_many_connections", f"{most.connections} clients are connected, which is the limit")
        if self._handshakes >= most.handshakes:
            return Refusal("too_many_handshakes", f"{most.handshakes} handshakes are under way, which is the limit")
        if key is None:
            return None
        if self._of_client.get(key, 0) >= most.per_client:
            return Refusal("too_many_of_client", f"it has {most.per_client} connections, which is the limit")
        if most.per_second and not self._rate(key).take():
            return Refusal("too_fast", f"it makes more than {most.per_second:g} connections in a second")
        return None

    def _rate(self, key: str | int) -> TokenBucket:
        rates = self._rates
        found = rates.get(key)
        if found is None:
            if len(rates) >= limits.PROXY_RATES:
                rates.popitem(last=False)
            burst = max(int(self.ceilings.per_second * limits.PROXY_BURST_SECONDS), 1)
            found = rates[key] = TokenBucket(burst, self.ceilings.per_second, self._clock)
        rates.move_to_end(key)
        return found


def _client(address: Any) -> str | int | None:
    """Who counts as one client; None for one that has no address."""
    if not isinstance(address, tuple):
        return None
    host: str = address[0]
    if ":" not in host:
        return host
    found = IPv6Address(host.partition("%")[0])
    mapped = found.ipv4_mapped
    return str(mapped) if mapped is not None else int(found) >> (128 - _NETWORK)


def room_for(ceilings: Ceilings) -> Ceilings:
    """Raise the process's limit of open files as far as these connections need, each of which has two ends.

    Where the system does not allow as many as the default, the default is lower; for any other number ConfigError
    bad_option is raised.
    """
    needed = 2 * ceilings.connections + limits.PROXY_OWN_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and needed > hard:
        most = max((hard - limits.PROXY_OWN_DESCRIPTORS) // 2, 1)
        if ceilings.connections == limits.PROXY_CONNECTIONS:
            return room_for(replace(ceilings, connections=most))
        reason = f"{ceilings.connections} need {needed} open files, and this process may have {hard}"
        raise bad_option("connections", reason, f"give {most} at most, or raise the limit (ulimit -Hn, LimitNOFILE=)")
    if soft != resource.RLIM_INFINITY and needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return ceilings
