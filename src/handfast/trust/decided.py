"""Who is let in, as a function of the user's own decides it.

The function is given a peer whose certificate is good and whose possession of the key is proven, and returns True,
False, or a text: why not. It is asked in the thread of the connection's event loop, so it should look things up in
memory. What it raises, and what it returns instead of these, is a refusal, and goes to the log.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import import_module
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

from handfast import logs
from handfast.errors import bad_option
from handfast.errors.foreign import said_by
from handfast.text import escape, reported
from handfast.trust.leaf import accept_leaf, leaf_or_refusal, refuse_leaf
from handfast.verdict import Verdict

if TYPE_CHECKING:
    from handfast.trust.presented import PresentedChain

_HINT = "write module:attribute, and start in the folder in which the module is"


class Peer(Protocol):
    """What the function is given; a ``VerifiedPeer`` is one. ``verdict`` has ``subject`` and ``names``."""

    @property
    def chain(self) -> tuple[bytes, ...]: ...
    @property
    def verdict(self) -> Verdict: ...


Decision: TypeAlias = Callable[[Peer], bool | str]


@dataclass(frozen=True, slots=True)
class _InHandshake:
    """A peer that the verifiers before this one have accepted."""

    chain: tuple[bytes, ...] = field(repr=False)
    verdict: Verdict


class Decided:
    """Accepts whom ``decide`` returns True for; others are access_denied.

    A verifier to stand behind one of paths, ``AllOf(PathVerifier(roots), Decided(...))``, and the rule of a proxy's
    service or route. ``name`` is what the log calls the function.
    """

    def __init__(self, decide: Decision, name: str = "") -> None:
        if not callable(decide):
            raise bad_option("decision", f"{type(decide).__name__} is no function", "give one that takes a peer")
        self._decide = decide
        self._name = escape(name or getattr(decide, "__qualname__", type(decide).__name__))

    @classmethod
    def named(cls, name: str) -> Self:
        """The function of that name, ``module:attribute``. Raises ConfigError bad_option where there is none."""
        return cls(attribute_named(name), name)

    def __repr__(self) -> str:
        return f"Decided({self._name})"

    @property
    def policy_id(self) -> bytes:
        """32 bytes, the same for the same name: what it decides is asked anew for each session that is resumed."""
        return sha256(b"decided" + self._name.encode()).digest()

    def verify(self, presented: PresentedChain) -> Verdict:
        """The verdict on a peer whose path others have verified."""
        leaf = leaf_or_refusal(presented)
        if isinstance(leaf, Verdict):
            return leaf
        accepted = accept_leaf(leaf, f"{leaf.subject_text}, which {self._name} lets in")
        reason = self._ask(_InHandshake(presented.chain, accepted))
        if reason is None:
            return accepted
        words = f"{leaf.subject_text} is genuine, and not let in: {reason}"
        return refuse_leaf(leaf, "access_denied", words, f"{self._name} decides that")

    def why_not(self, peer: Peer | None) -> str | None:
        """Why a verified peer is not let in, None where it is."""
        return "it has no verified certificate" if peer is None else self._ask(peer)

    def _ask(self, peer: Peer) -> str | None:
        try:
            answer: object = self._decide(peer)
        except Exception as error:  # noqa: BLE001 (what broke off is no yes)
            words = said_by(error)
            logs.warn("failures of a decision", lambda: f"{self._name} failed, and the peer is not let in: {words}")
            return f"{self._name} failed"
        if answer is True:
            return None
        if answer is False:
            return f"{self._name} says no"
        if isinstance(answer, str) and answer:
            return f"{self._name}: {escape(answer)}"
        if iscoroutine(answer):
            answer.close()
        kind = type(answer).__name__
        logs.warn("failures of a decision", lambda: f"{self._name} returned {kind}, not True, False or why not")
        return f"{self._name} gave no answer"


def attribute_named(name: str, option: str = "decision", advice: str = _HINT) -> Any:
    """What ``module:attribute`` names; modules are found in the current folder too.

    Raises ConfigError bad_option, which calls it ``option``.
    """
    module, _, attributes = name.partition(":")
    if not module or not attributes:
        raise bad_option(option, f"{escape(name)!r} names no attribute of a module", advice)
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = import_module(module)
        for attribute in attributes.split("."):
            found = getattr(found, attribute)
    except Exception as error:
        raise bad_option(option, f"{escape(name)}: {type(error).__name__}: {reported(error)}", advice) from error
    return found
