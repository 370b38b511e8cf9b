"""Nothing that is remembered makes a difference: with memories and without them the same is told, sent and refused.

Randomness, clock, key shares and signatures are fixed, so that a connection can be had again byte for byte.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import count
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from handfast.crypto import groups, signatures
from handfast.engine import ClientConfig, ServerConfig
from handfast.handshake import seams
from handfast.memory import Memory
from handfast.pki.authority import CertificateAuthority
from handfast.pki.faults import FAULTS, FaultNames, build_fault
from handfast.sessions import replay, tickets
from handfast.wire import recall
from tests.faults.meeting import Meeting, Settings
from tests.passive import recorded, test_same_stream
from tests.passive.recorded import Pair, talk
from tests.passive.test_same_stream import SCENARIOS, plainly

START = time.time()
CLOCK = re.compile(r"the time here is [0-9-]+ [0-9:]+ UTC")


class Repeatable:
    """What is random, from a counter that every connection starts anew; a signature is made once for each content."""

    def __init__(self) -> None:
        self.signatures: dict[tuple[bytes, int, bytes], bytes] = {}
        self._sign = signatures.sign
        self.start_over()

    def start_over(self) -> None:
        self._numbers = count()

    def random_bytes(self, length: int) -> bytes:
        return hashlib.shake_128(b"%d" % next(self._numbers)).digest(length)

    def generate(self, group: int) -> groups.KeyShare:
        public = self.random_bytes(groups.EXCHANGES[group].client_length)
        return groups.KeyShare(group, public, lambda peer: self.agree(public, peer))

    def encapsulate(self, group: int, peer: bytes) -> tuple[bytes, bytes]:
        public = self.random_bytes(groups.EXCHANGES[group].server_length)
        return public, self.agree(public, peer)

    def agree(self, own: bytes, peer: bytes) -> bytes:
        return hashlib.sha256(b"".join(sorted((own, peer)))).digest()

    def sign(self, private_key: Any, scheme: int, message: bytes) -> bytes:
        public = private_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        key = public, scheme, message
        if key not in self.signatures:
            self.signatures[key] = self._sign(private_key, scheme, message)
        return self.signatures[key]

    def clock(self) -> float:
        return START

    def seams(self, **edit: Any) -> seams.Seams:
        return seams.Seams(
            clock=self.clock,
            monotonic=self.clock,
            random_bytes=self.random_bytes,
            generate=self.generate,
            encapsulate=self.encapsulate,
            edit=edit["edit"],
        )


@pytest.fixture
def repeatable(monkeypatch: pytest.MonkeyPatch) -> Repeatable:
    made = Repeatable()
    for module in (tickets, replay):
        monkeypatch.setattr(module, "random_bytes", made.random_bytes)
    monkeypatch.setattr(CertificateAuthority, "server", cache(CertificateAuthority.server))
    monkeypatch.setattr(signatures, "sign", made.sign)
    monkeypatch.setattr(recorded, "Seams", lambda clock, edit: made.seams(edit=edit))
    return made


def told(pair: Pair) -> list[Any]:
    """All that a connection showed of itself: events with their bytes, secrets and the error of each side."""
    found: list[Any] = []
    for side in pair.sides:
        events = [plainly(event) for event in side.events]
        for event in events:
            del event["time"]
        error = None if side.error is None else (type(side.error), side.error.code, str(side.error))
        found += [events, side.secrets, side.keylog, error]
    infos = (pair.client.info, pair.server.info)
    return [*found, *([one.peer, one.peer_chain, one.own_chain, one.resumed] for one in infos)]


class Returning(Pair):
    """A connection between two that have met before, under the same configurations."""

    def __init__(self, client: ClientConfig, server: ServerConfig, **options: Any) -> None:
        for _ in range(2):
            talk(Pair(client, server))
        super().__init__(client, server, **options)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_connection_is_the_same(name: str, repeatable: Repeatable, monkeypatch: pytest.MonkeyPatch) -> None:
    connect: Callable[[], Pair] = SCENARIOS[name]

    monkeypatch.setattr(test_same_stream, "Pair", Returning)
    recalled = counted_recalls(monkeypatch)

    def once() -> list[Any]:
        repeatable.start_over()
        recalled.clear()
        return told(connect())

    once()
    remembered = once()
    # The edited hello of that one is the first of its kind.
    assert bool(recalled) is (name != "TLS 1.2 without the extended main secret")
    monkeypatch.setattr(Memory, "keep", lambda *_: None)
    forget_all()
    assert once() == remembered
    assert not recalled


def counted_recalls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The messages that are recalled from here on."""
    recalled: list[Any] = []
    recall_hello = recall._recall_hello

    def counted(raw: bytes) -> Any:
        found = recall_hello(raw)
        if found is not None:
            recalled.append(found)
        return found

    monkeypatch.setattr(recall, "_recall_hello", counted)
    return recalled


def forget_all() -> None:
    """Empty the memories of this process; those of configurations and verifiers go with their owners."""
    for one in (*made_by_imports(), *gc.get_objects()):
        if issubclass(type(one), Memory):
            one.forget()


@functools.cache
def made_by_imports() -> tuple[Memory[Any, Any], ...]:
    """The memories that were there before the first test, which the collector does not list (tests/conftest.py)."""
    gc.unfreeze()
    found = tuple(one for one in gc.get_objects() if issubclass(type(one), Memory))
    gc.freeze()
    # Without any, what follows would compare a memory with itself.
    assert found
    return found


@pytest.mark.parametrize("name", [fault.name for fault in FAULTS.values() if fault.alert is not None])
@pytest.mark.parametrize("versions", [(0x0304,), (0x0303,)], ids=["1.3", "1.2"])
def test_a_fault_is_the_same(name: str, versions: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(build_fault(name, FaultNames()))

    def configs() -> tuple[ClientConfig, ServerConfig]:
        return replace(settings.client, versions=versions), replace(settings.server, versions=versions)

    client, server = configs()

    def once() -> list[Any]:
        sides = Meeting(client, server, settings.made.host).sides.values()
        found = [(repr(side.info.peer), side.info.peer_chain, type(side.error), str(side.error)) for side in sides]
        # The minute may have changed meanwhile.
        return [tuple(CLOCK.sub("", one) if isinstance(one, str) else one for one in side) for side in found]

    remembered = [once() for _ in range(3)][-1]
    monkeypatch.setattr(Memory, "keep", lambda *_: None)
    forget_all()
    client, server = configs()
    assert once() == remembered
