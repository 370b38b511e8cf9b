"""Remembered paths: what they save, and that no verdict differs by them."""

from __future__ import annotations

import inspect
import sys
import threading
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from types import FrameType
from typing import Any

import pytest

from handfast.config.config import ClientAuth
from handfast.errors import ApiMisuse
from handfast.limits import MAX_STORED_CHAIN, REMEMBERED_PATHS
from handfast.pki.faults import FAULTS, build_fault
from handfast.sessions.cache import SessionCache
from handfast.sessions.tickets import SealedTickets
from handfast.trust.path import paths
from handfast.trust.path.path_memory import PathMemory
from handfast.trust.path.policy import named_policy
from handfast.trust.presented import PresentedChain
from handfast.trust.revocation.crl_store import Crls, OcspPolicy
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from handfast.verdict import Verdict
from handfast.x509.purpose import Purpose
from tests import certificates
from tests.lens.connections import client_config, server_config
from tests.passive.recorded import Pair, talk
from tests.waiting import LIMIT

from .crafting import DAY, NOW, Made, client, dns, intermediate, root, server
from .crl_crafting import crl, entry


def presented(made: Made, *, at: datetime = NOW, server_name: str = "localhost") -> PresentedChain:
    return PresentedChain(chain=made.chain, purpose=Purpose.SERVER, server_name=server_name, at=at)


def trusting(*roots: Made, remember: int = 8, **options: Any) -> PathVerifier:
    return PathVerifier(Roots.from_der(one.der for one in roots), remember_paths=remember, **options)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The leaves for which a path was looked for."""
    leaves: list[bytes] = []
    build = paths._build_paths

    def counted(parsed: Any, *others: Any) -> Any:
        leaves.append(parsed[0].encoded)
        return build(parsed, *others)

    monkeypatch.setattr(paths, "_build_paths", counted)
    return leaves


@pytest.mark.parametrize("policy", ["handfast", "openssl", "strict"])
@pytest.mark.parametrize("name", FAULTS)
def test_no_verdict_differs(name: str, policy: str) -> None:
    made = build_fault(name, now=NOW)
    roots = Roots.from_der(made.roots)
    remembering, plain = PathVerifier(roots, policy=policy), PathVerifier(roots, policy=policy, remember_paths=0)
    asked = []
    if made.server is not None:
        asked.append(PresentedChain(chain=made.server.chain, purpose=Purpose.SERVER, server_name=made.host, at=NOW))
    if made.client is not None:
        asked.append(PresentedChain(chain=made.client.chain, purpose=Purpose.CLIENT, server_name=None, at=NOW))
    # Each for the other purpose too, and at a time when all of it has expired.
    other = {Purpose.CLIENT: Purpose.SERVER, Purpose.SERVER: Purpose.CLIENT}
    asked += [replace(one, purpose=other[one.purpose]) for one in asked]
    asked += [replace(one, at=NOW + 40_000 * DAY) for one in asked]
    for one in (*asked, *asked, *reversed(asked)):
        assert remembering.verify(one) == plain.verify(one)


def test_a_chain_is_built_once(built: list[bytes]) -> None:
    trusted = root()
    middle = intermediate("Middle", trusted)
    one, other = server(middle), server(middle)
    verifier = trusting(trusted)
    for leaf in (one, one, other, one, other):
        verdict = verifier.verify(presented(leaf))
        assert verdict
        assert verdict.path == (leaf.der, middle.der, trusted.der)
    assert built == [one.der, other.der]


def test_zero_remembers_nothing(built: list[bytes]) -> None:
    trusted = root()
    leaf = server(trusted)
    verifier = trusting(trusted, remember=0)
    for _ in range(3):
        assert verifier.verify(presented(leaf))
    assert built == [leaf.der] * 3


def test_some_are_remembered_by_default(built: list[bytes]) -> None:
    trusted = root()
    leaves = [server(trusted) for _ in range(REMEMBERED_PATHS)]
    verifier = PathVerifier(Roots.from_der([trusted.der]))
    for leaf in leaves * 2:
        assert verifier.verify(presented(leaf))
    assert built == [leaf.der for leaf in leaves]
    assert len(verifier._accepted) == REMEMBERED_PATHS


def judged_by(monkeypatch: pytest.MonkeyPatch, verifier: PathVerifier) -> list[PresentedChain]:
    """The chains that are judged from here on, and not answered by a verdict that was kept."""
    judged: list[PresentedChain] = []
    judge = verifier._judge

    def counted(case: Any) -> Verdict:
        judged.append(case.presented)
        return judge(case)

    monkeypatch.setitem(vars(verifier), "_judge", counted)
    return judged


def test_a_verdict_is_kept_for_what_it_rests_on_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    trusted = root()
    leaf = server(trusted, dns("localhost", "other.example"), not_after=NOW + DAY)
    verifier = trusting(trusted)
    judged = judged_by(monkeypatch, verifier)
    first = presented(leaf)
    assert verifier.verify(first)
    assert verifier.verify(replace(first, at=NOW + DAY / 2))
    assert len(judged) == 1
    # Another name, wish, purpose or time is judged by itself; so is a chain of other bytes.
    others = [
        replace(first, server_name="other.example"),
        replace(first, asked_for_ocsp_response=True),
        replace(first, purpose=Purpose.CLIENT, server_name=None),
        replace(first, at=NOW + 2 * DAY),
        replace(first, chain=(*first.chain, trusted.der)),
        replace(first, chain=server(trusted).chain),
    ]
    for one in others:
        verifier.verify(one)
    assert judged[1:] == others
    # A refusal is judged each time.
    assert not verifier.verify(others[3])
    assert judged[-1] is others[3]
    assert len(judged) == len(others) + 2


def test_a_setting_that_changes_is_another_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    trusted = root()
    leaf = server(trusted)
    verifier = trusting(trusted)
    judged = judged_by(monkeypatch, verifier)
    assert verifier.verify(presented(leaf))
    changes: dict[str, Any] = {
        "policy": named_policy("strict"),
        "check_name": False,
        "ocsp": OcspPolicy.IGNORE,
        "crls": Crls.from_der([crl(trusted)]),
    }
    for name, value in changes.items():
        setattr(verifier, name, value)
        assert verifier.verify(presented(leaf))
    assert len(judged) == 1 + len(changes)
    with pytest.raises(AttributeError):
        verifier.roots = Roots.from_der([])  # type: ignore[misc]


def test_neither_lists_nor_a_response_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    trusted = root()
    leaf = server(trusted)
    verifier = trusting(trusted)
    assert verifier.verify(presented(leaf))
    judged = judged_by(monkeypatch, verifier)
    for _ in range(2):
        assert not verifier.verify(replace(presented(leaf), ocsp_response=b"no response"))
    verifier.crls = Crls.from_der([crl(trusted, entry(leaf))])
    for _ in range(2):
        assert verifier.verify(presented(leaf)).code == "revoked"
    assert len(judged) == 4


def test_what_was_refused_is_not_remembered(built: list[bytes]) -> None:
    trusted = root()
    stranger = server(root("Another"))
    verifier = trusting(trusted)
    verdicts = [verifier.verify(presented(stranger)) for _ in range(2)]
    assert [verdict.code for verdict in verdicts] == ["unknown_issuer"] * 2
    assert built == [stranger.der] * 2


def test_dates_and_names_are_judged_each_time() -> None:
    trusted = root()
    leaf = server(trusted, not_after=NOW + DAY)
    verifier = trusting(trusted)
    assert verifier.verify(presented(leaf))
    assert verifier.verify(presented(leaf, at=NOW + 2 * DAY)).code == "expired"
    assert verifier.verify(presented(leaf, at=NOW - 60 * DAY)).code == "not_yet_valid"
    assert verifier.verify(presented(leaf, server_name="elsewhere.example")).code == "name_mismatch"
    assert verifier.verify(presented(leaf))


def test_revocation_is_looked_up_each_time() -> None:
    trusted = root()
    leaf = client(trusted)
    verifier = trusting(trusted, crls=Crls.from_der([crl(trusted)]))
    chain = PresentedChain(chain=leaf.chain, purpose=Purpose.CLIENT, server_name=None, at=NOW)
    assert verifier.verify(chain)
    verifier.crls = Crls.from_der([crl(trusted, entry(leaf))])
    assert verifier.verify(chain).code == "revoked"


# Either of the two may be the way that is taken first.
@pytest.mark.parametrize("days", [(1, 9), (9, 1)])
def test_another_way_is_found_when_the_remembered_one_has_expired(days: tuple[int, int]) -> None:
    roots = [root(f"Root {index}", not_after=NOW + length * DAY) for index, length in enumerate(days)]
    middle = intermediate("Middle", roots[0])
    cross = intermediate("Middle", roots[1], key=middle.key)
    verifier = trusting(*roots)
    leaf = server(middle).with_above(middle, cross)
    assert verifier.verify(presented(leaf))
    assert verifier.verify(presented(leaf, at=NOW + 2 * DAY)).path[-1] == max(zip(days, roots, strict=True))[1].der


def test_the_oldest_is_forgotten_first(built: list[bytes]) -> None:
    trusted = root()
    leaves = [server(trusted) for _ in range(3)]
    verifier = trusting(trusted, remember=2)
    for leaf in (*leaves, *leaves[1:], leaves[0]):
        assert verifier.verify(presented(leaf))
    assert built == [one.der for one in (*leaves, leaves[0])]


def test_a_long_chain_is_not_remembered(built: list[bytes]) -> None:
    trusted = root()
    names = [f"{number}.{'x' * 60}.example" for number in range(MAX_STORED_CHAIN // 60)]
    for count, times in ((10, 1), (len(names), 2)):
        built.clear()
        leaf = server(trusted, dns("localhost", *names[:count]))
        verifier = trusting(trusted)
        for _ in range(2):
            assert verifier.verify(presented(leaf))
        assert len(built) == times


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(ApiMisuse, match="remember_paths"):
        trusting(root(), remember=-1)


def test_resumed_sessions_are_judged_by_it(built: list[bytes]) -> None:
    roots = Roots.from_der([certificates.ca().certificate_der])
    verifiers = [PathVerifier(roots, remember_paths=8) for _ in range(2)]
    ours = client_config(certificates.client(), sessions=SessionCache(), verifier=verifiers[0])
    theirs = server_config(ClientAuth.REQUIRE_AND_VERIFY, tickets=SealedTickets(), verifier=verifiers[1])
    resumed = []
    for _ in range(3):
        pair = Pair(ours, theirs)
        talk(pair)
        resumed.append(pair.server.info.resumed)
        assert pair.server.info.peer is not None
        assert pair.client.info.peer is not None
    assert resumed == [False, True, True]
    # The server's chain and the client's, each by its verifier.
    assert len(built) == 2
    assert all(one != other for one, other in pairwise(built))


def test_threads_that_make_room_at_once_are_all_accepted() -> None:
    trusted = root()
    verifier = trusting(trusted, remember=1)
    first, second = server(trusted), server(trusted)
    assert verifier.verify(presented(first))
    there = threading.Barrier(3)
    source, start = inspect.getsourcelines(PathMemory.keep)
    (forgets,) = [start + number for number, line in enumerate(source) if "popitem" in line]

    def trace(frame: FrameType, event: str, _: object) -> Any:
        forgetting = event == "line" and frame.f_lineno == forgets
        if frame.f_code is PathMemory.keep.__code__ and (event == "call" or forgetting):
            there.wait(LIMIT)
        return trace

    verdicts: list[Verdict] = []

    def judge() -> None:
        sys.settrace(trace)
        verdicts.append(verifier.verify(presented(second)))
        sys.settrace(None)

    threads = [threading.Thread(target=judge) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(verdicts), verdicts
