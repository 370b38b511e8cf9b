"""Resumed handshakes: what a returning client and its server pay. The other end is handfast, as in the full ones.

The sessions form a chain: each is of the ticket that the previous connection brought, so that none is used twice. The
server issues one ticket in each handshake, and the client reads it; both count.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import handfast
from bench.primitives import Floor
from bench.providers import providers
from bench.scenarios import FLOOR, Key, Timer, interleave, seconds_of
from bench.sides import (
    FORGETTING,
    HANDFAST,
    NAME,
    Handfast,
    Maker,
    Pki,
    PyOpenSsl,
    Row,
    Side,
    Ssl,
    connect,
    handfast_configs,
    pyopenssl_contexts,
    ssl_contexts,
)


@dataclass(frozen=True)
class Resumable:
    """``client`` makes an end that offers a session, if it gets one; ``session`` takes the newest one from an end."""

    client: Callable[[Any | None], Side]
    server: Maker
    session: Callable[[Any], Any]


def handfast_resumable(pki: Pki, **options: Any) -> Resumable:
    """Our engine, which keeps its sessions by itself; ``options`` are those of ``handfast_configs``."""
    client, server = handfast_configs(pki, mutual=False, **options)
    client = replace(client, sessions=handfast.SessionCache())
    server = replace(server, tickets=handfast.SealedTickets(), ticket_count=1)
    return Resumable(
        client=lambda session: Handfast(handfast.ClientConnection(client, server_name=NAME)),
        server=lambda: Handfast(handfast.ServerConnection(server)),
        session=lambda end: None,
    )


def ssl_resumable(pki: Pki) -> Resumable:
    """Python's ssl."""
    client, server = ssl_contexts(pki, mutual=False, tickets=1)
    return Resumable(
        client=lambda session: Ssl(client, server=False, session=session),
        server=lambda: Ssl(server, server=True),
        session=lambda end: end.object.session,
    )


def pyopenssl_resumable(pki: Pki) -> Resumable:
    """pyOpenSSL, whose server issues two tickets with a full handshake and one with a resumed one."""
    client, server = pyopenssl_contexts(pki, mutual=False)

    def session(end: Any) -> Any:
        found = end.connection.get_session()
        # OpenSSL spoils the session of a connection that is freed without close_notify.
        end.connection.shutdown()
        return found

    return Resumable(
        client=lambda session: PyOpenSsl(client, server=False, session=session),
        server=lambda: PyOpenSsl(server, server=True),
        session=session,
    )


class Returning:
    """One client that comes back to one server; calling it gives the seconds of the end at ``index``.

    ``judge`` is the index of the end that knows whether it resumed.
    """

    def __init__(self, client: Resumable, server: Resumable, *, index: int, judge: int) -> None:
        self.client, self.server, self.index, self.judge = client, server, index, judge
        self.session: Any | None = None
        self._connect()

    def _connect(self) -> tuple[tuple[Side, Side], tuple[float, float]]:
        ends, seconds = connect(partial(self.client.client, self.session), self.server.server)
        self.session = self.client.session(ends[0])
        return ends, seconds

    def __call__(self) -> float:
        ends, seconds = self._connect()
        if not ends[self.judge].facts()[2]:
            sys.exit("handfast: error: a session was not resumed")
        return seconds[self.index]


def rows(pki: Pki, *, rounds: int, count: int) -> Iterator[Row]:
    """The resumed handshake of all that can."""
    makers = {
        HANDFAST.name: handfast_resumable(pki),
        FORGETTING.name: handfast_resumable(pki, remember_paths=0),
        **{f"handfast, {name}": handfast_resumable(pki, provider=name) for name in providers()},
        "ssl": ssl_resumable(pki),
        "pyOpenSSL": pyopenssl_resumable(pki),
    }
    timers: dict[Key, Timer] = {}
    for name, own in makers.items():
        # The other end chooses suite and group for those that cannot, and it knows whether it resumed.
        timers[name, "client"] = Returning(own, handfast_resumable(pki), index=0, judge=1)
        timers[name, "server"] = Returning(handfast_resumable(pki), own, index=1, judge=0)
    for side, step in Floor(pki).steps("resumed").items():
        timers[FLOOR, side] = partial(seconds_of, step)
    yield from interleave("resumed handshake", timers, slow=(), rounds=rounds, count=count)
