"""Verifiers: who decides whether a presented chain is acceptable."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from handfast.trust.policy import PathPolicy, named_policy
from handfast.trust.presented import PresentedChain, Purpose
from handfast.trust.verdict import Verdict, failed

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from handfast.trust.paths import Anchors
    from handfast.trust.roots import Roots
    from handfast.trust.signers import Deferred

__all__ = ["PathPolicy", "PathVerifier", "PresentedChain", "Purpose", "Verifier"]


class Verifier(Protocol):
    """Judges what a peer presented; whatever it returns that is not a ``Verdict`` counts as a refusal."""

    def verify(self, presented: PresentedChain) -> Verdict | Awaitable[Verdict] | Deferred: ...


class PathVerifier:
    """Accepts a chain that leads to a trusted root, and a server that has the right name. RFC 5280 6, RFC 9525.

    ``policy`` is "handfast", "openssl", "strict" or a ``PathPolicy``. ``check_name=False`` accepts a server under any
    name: for who checks names in another way. ``known_intermediates`` are DER certificates that help to explain why a
    chain is refused; they never complete one. ``verify`` never raises: what it cannot judge it refuses.
    """

    def __init__(
        self,
        roots: Roots,
        *,
        policy: str | PathPolicy = "handfast",
        check_name: bool = True,
        known_intermediates: tuple[bytes, ...] = (),
    ) -> None:
        self.roots = roots
        self.policy = named_policy(policy)
        self.check_name = check_name
        self.known_intermediates = known_intermediates

    def __repr__(self) -> str:
        return f"PathVerifier({self.roots.source})"

    def verify(self, presented: PresentedChain) -> Verdict:
        """The verdict, with the reasons for a refusal."""
        try:
            from handfast.trust.judgement import judge

            return judge(
                presented,
                self._anchors,
                self.policy,
                check_name=self.check_name,
                known=self.known_intermediates,
            )
        except Exception as error:  # noqa: BLE001 (what cannot be judged is refused)
            return failed(error)

    @cached_property
    def _anchors(self) -> Anchors:
        from handfast.trust.paths import Anchors

        return Anchors(self.roots)
