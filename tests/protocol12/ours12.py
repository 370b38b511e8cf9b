"""Our side of the TLS 1.2 tests: it speaks both versions, and meets peers that speak 1.2 alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from handfast.crypto.suites12 import SUITES_12
from handfast.roles import Role
from tests.peer12 import Client12, Peer12, Server12
from tests.protocol.ours import Row, client, server

TLS12, TLS13 = 0x0303, 0x0304
BOTH: dict[str, Any] = {"versions": (TLS13, TLS12)}
ONLY: dict[str, Any] = {"versions": (TLS12,)}

PLAINTEXT, KEYS = "plaintext", "application"

every_suite = pytest.mark.parametrize("suite", SUITES_12.values(), ids=lambda suite: suite.name)


def meet12(role: Role, ours: Mapping[str, Any] | None = None, **options: Any) -> Peer12:
    """Our connection of this role, and the TLS 1.2 peer that it meets, before a byte is sent."""
    settings = {**BOTH, **(ours or {})}
    if role is Role.CLIENT:
        return Server12(client(**settings), **options)
    return Client12(server(**settings), **options)


@dataclass(frozen=True)
class Row12(Row):
    """One line of a table of refusals."""

    meet = staticmethod(meet12)
