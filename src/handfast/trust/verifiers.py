"""Verifiers: who decides whether a presented chain is acceptable."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeVar

from handfast.errors import ApiMisuse
from handfast.limits import MAX_STORED_CHAIN, REMEMBERED_PATHS
from handfast.memory import Memory
from handfast.trust.path.path_context import PathContext
from handfast.trust.path.path_memory import accepted
from handfast.trust.path.policy import PathPolicy, named_policy
from handfast.trust.presented import PresentedChain
from handfast.trust.revocation.crl_store import CrlScope, CrlUnknown, OcspPolicy, RevocationCheck
from handfast.verdict import Verdict, failed
from handfast.words import choices, named
from handfast.x509.purpose import Purpose

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from enum import StrEnum

    from handfast.credentials.signers import Deferred
    from handfast.trust.path.anchors import Anchors
    from handfast.trust.path.path_memory import Accepted
    from handfast.trust.revocation.crl_store import Crls
    from handfast.trust.roots import Roots

Mode = TypeVar("Mode", bound="StrEnum")

__all__ = ["PathPolicy", "PathVerifier", "PresentedChain", "Purpose", "Verifier"]


class Verifier(Protocol):
    """Judges what a peer presented; whatever it returns that is not a ``Verdict`` counts as a refusal."""

    def verify(self, presented: PresentedChain) -> Verdict | Awaitable[Verdict] | Deferred: ...


def requires_ocsp_response(verifier: Verifier | None) -> bool:
    """Whether a verifier says that a peer must send an OCSP response."""
    return getattr(verifier, "requires_ocsp_response", False) is True


def policy_id(verifier: Verifier | None) -> bytes | None:
    """What a verifier says that it shares with all that trust as it does; None for one that says nothing."""
    own = getattr(verifier, "policy_id", None)
    return own if isinstance(own, bytes) else None


class PathVerifier:
    """Accepts a chain that leads to a trusted root, and a server that has the right name. RFC 5280 6, RFC 9525.

    ``policy`` is "handfast", "openssl", "strict" or a ``PathPolicy``. ``check_name=False`` accepts a server under any
    name: for who checks names in another way. ``known_intermediates`` are DER certificates that help to explain why a
    chain is refused; they never complete one. ``verify`` never raises: what it cannot judge it refuses.

    With ``crls`` the verified path is looked up in them. ``crl_scope`` "chain" looks up the leaf and the CAs between it
    and the root: a revoked CA, not looked up, would vouch for anything, while a list that is missing is noticed at
    the first connection. "leaf" looks up the leaf alone. ``crl_unknown`` says what becomes of a certificate about which
    no list speaks: "refuse" or "allow". The lists may be replaced while the verifier is in use: set ``crls``.

    ``ocsp`` says what becomes of the OCSP response that a peer may send beside its certificate: "ignore"; "check", by
    which one that came must be good, and must have come if it was asked for and the certificate promises it
    (must-staple, RFC 7633); "require", by which one is asked for and must come.

    ``remember_paths`` is how many paths are remembered, 64 if nothing is said: a peer that comes back with the same
    chain then costs no signature checks along it. Dates, names, purposes and revocation are judged each time all the
    same. Each path takes some kilobytes of memory; 0 remembers none.
    """

    def __init__(
        self,
        roots: Roots,
        *,
        policy: str | PathPolicy = "handfast",
        check_name: bool = True,
        known_intermediates: tuple[bytes, ...] = (),
        crls: Crls | None = None,
        crl_scope: CrlScope | str = CrlScope.CHAIN,
        crl_unknown: CrlUnknown | str = CrlUnknown.REFUSE,
        ocsp: OcspPolicy | str = OcspPolicy.CHECK,
        remember_paths: int = REMEMBERED_PATHS,
    ) -> None:
        if not hasattr(roots, "certificates"):
            reason = f"roots are handfast.Roots, as Roots.from_file(...) makes them, not {type(roots).__name__}"
            raise ApiMisuse("bad_argument", reason=reason)
        self._roots = roots
        self.policy = named_policy(policy)
        self.check_name = check_name
        self.known_intermediates = known_intermediates
        self.crls = crls
        self.crl_scope = _mode("crl_scope", crl_scope, CrlScope)
        self.crl_unknown = _mode("crl_unknown", crl_unknown, CrlUnknown)
        self.ocsp = _mode("ocsp", ocsp, OcspPolicy)
        if remember_paths < 0:
            raise ApiMisuse("bad_argument", reason=f"remember_paths is a number of paths, not {remember_paths}")
        self._remember_paths = remember_paths
        self._accepted: Memory[tuple[object, ...], Accepted] = Memory(remember_paths, remember_paths * MAX_STORED_CHAIN)

    def __repr__(self) -> str:
        return f"PathVerifier({self.roots.source})"

    @property
    def roots(self) -> Roots:
        """What is trusted. It cannot be replaced: other roots take another verifier, as ``ReloadingVerifier`` makes."""
        return self._roots

    @cached_property
    def policy_id(self) -> bytes:
        """32 bytes, the same for a verifier that trusts the same roots in the same way: sessions are bound to it."""
        from handfast.crypto.hashes import SHA256

        roots = b"".join(sorted(map(SHA256.digest, self.roots.certificates)))
        lists = (self.crls is not None, str(self.crl_scope), str(self.crl_unknown))
        knobs = (self.policy, self.check_name, *lists, str(self.ocsp))
        return SHA256.digest(roots + repr(knobs).encode())

    @property
    def requires_ocsp_response(self) -> bool:
        """Whether a peer must send an OCSP response: a configuration with this verifier asks for one."""
        return self.ocsp is OcspPolicy.REQUIRE

    def verify(self, presented: PresentedChain) -> Verdict:
        """The verdict, with the reasons for a refusal."""
        try:
            if self.crls is not None or presented.ocsp_response:
                return self._judge(self._case(presented))
            # Without those a verdict that accepts rests on these and on the time alone.
            asked = presented.server_name, presented.purpose, presented.asked_for_ocsp_response
            key = presented.chain, *asked, self.check_name, self.ocsp, self.policy
            kept = self._accepted.get(key)
            if kept is not None and kept.since <= presented.at <= kept.until:
                return kept.verdict
            verdict = self._judge(self._case(presented))
            size = sum(map(len, presented.chain))
            if verdict.accepted and size <= MAX_STORED_CHAIN:
                self._accepted.keep(key, accepted(verdict), size)
            return verdict
        except Exception as error:  # noqa: BLE001 (what cannot be judged is refused)
            return failed(error)

    def _case(self, presented: PresentedChain) -> PathContext:
        return PathContext(
            presented,
            self._anchors,
            self.policy,
            check_name=self.check_name,
            known_intermediates=self.known_intermediates,
            revocation=self._revocation(),
            ocsp=self.ocsp,
        )

    @cached_property
    def _judge(self) -> Callable[[PathContext], Verdict]:
        # Imported once and not in each call, which would cost as much as everything that is made for one.
        from handfast.trust.path.judgement import judge

        return judge

    def _revocation(self) -> RevocationCheck | None:
        crls = self.crls
        if crls is None:
            return None
        return RevocationCheck(crls=crls, scope=self.crl_scope, unknown=self.crl_unknown)

    @cached_property
    def _anchors(self) -> Anchors:
        from handfast.trust.path.anchors import Anchors

        return Anchors(self.roots, self._remember_paths)


def _mode(name: str, given: object, kind: type[Mode]) -> Mode:
    if not isinstance(given, str) or given not in list(kind):
        raise ApiMisuse("bad_argument", reason=f"{name} is {choices(kind)}, not {named(given)}")
    return kind(given)
