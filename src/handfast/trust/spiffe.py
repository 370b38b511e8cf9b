"""SPIFFE: a peer is the workload that its one URI names, vouched for by the CAs of that name's trust domain.

The rules are those of the SPIFFE-ID and X509-SVID standards: exactly one URI in subjectAltName, no CA, no right to sign
certificates or lists, a path to a root of the ID's own trust domain and of no other. DNS names do not count.
"""

from __future__ import annotations

import re
from hashlib import sha256
from inspect import iscoroutine
from typing import TYPE_CHECKING, NamedTuple

from handfast import limits
from handfast.errors import ConfigError, bad_option
from handfast.limits import REMEMBERED_PATHS
from handfast.text import escape, listed
from handfast.trust.leaf import leaf_or_refusal, refuse_leaf
from handfast.trust.verifiers import PathVerifier
from handfast.verdict import Verdict, failed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handfast.trust.presented import PresentedChain
    from handfast.trust.roots import Roots
    from handfast.x509.certificates import Parsed

_SCHEME = "spiffe://"
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]+", re.ASCII)
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)


class SpiffeId(NamedTuple):
    """A parsed ID: ``path`` is "" or begins with a slash."""

    trust_domain: str
    path: str

    def __str__(self) -> str:
        return f"{_SCHEME}{self.trust_domain}{self.path}"

    @classmethod
    def parse(cls, text: str) -> SpiffeId:
        """ValueError, which says why, for what is no SPIFFE ID. SPIFFE-ID 2."""
        if not text.startswith(_SCHEME):
            raise ValueError(f"it does not begin with {_SCHEME}")
        if len(text.encode("utf-8", "surrogatepass")) > limits.MAX_SPIFFE_ID:
            raise ValueError(f"it is longer than {limits.MAX_SPIFFE_ID} bytes")
        domain, slash, path = text.removeprefix(_SCHEME).partition("/")
        if not _is_trust_domain(domain):
            raise ValueError("its trust domain is not made of a-z, 0-9, dots, dashes and underscores alone")
        for segment in path.split("/") if slash else ():
            if segment in (".", "..") or not _SEGMENT.fullmatch(segment):
                raise ValueError(
                    "its path has a segment that is empty, a dot, two dots or of other than letters, digits, ._-"
                )
        return cls(domain, slash + path)


class SpiffeVerifier:
    """Accepts a workload of one of the trust domains in ``bundles``, each with the roots of its CAs.

    ``path_prefix`` such as "/ns/prod" admits only IDs with that path or one below it; ``allow`` is asked about each ID
    as text and admits it by returning True. Without either, everybody in these domains is admitted. ``policy`` and
    ``remember_paths`` are those of ``PathVerifier``, for each domain. Raises ConfigError bad_option for what is no
    trust domain or no path.
    """

    def __init__(
        self,
        bundles: Mapping[str, Roots],
        *,
        path_prefix: str = "",
        allow: Callable[[str], bool] | None = None,
        policy: str = "handfast",
        remember_paths: int = REMEMBERED_PATHS,
    ) -> None:
        for domain in bundles:
            if not _is_trust_domain(domain):
                raise _bad(f"{escape(domain)!r} is not a trust domain", "give the name alone, without spiffe://")
        if not bundles:
            raise _bad("there is none", "give at least one trust domain with its roots")
        self._prefix = path_prefix.rstrip("/")
        if self._prefix and not _is_path(self._prefix):
            raise _bad(f"{escape(path_prefix)!r} is not a path", "a path begins with a slash, as /ns/prod")
        self._allow = allow
        self._verifiers = {
            domain: PathVerifier(roots, policy=policy, check_name=False, remember_paths=remember_paths)
            for domain, roots in bundles.items()
        }

    def __repr__(self) -> str:
        return f"SpiffeVerifier({listed(sorted(self._verifiers))})"

    @property
    def roots(self) -> Roots:
        """Those of all domains: what to name to clients."""
        from handfast.trust.roots import Roots

        all_roots = [one.roots for one in self._verifiers.values()]
        certificates = dict.fromkeys(one for roots in all_roots for one in roots.certificates)
        return Roots(tuple(certificates), " and ".join(roots.origin for roots in all_roots))

    @property
    def policy_id(self) -> bytes | None:
        """32 bytes, the same for the same domains, roots and prefix; None with ``allow``, which may say anything."""
        if self._allow is not None:
            return None
        parts = [domain.encode() + b"=" + one.policy_id for domain, one in sorted(self._verifiers.items())]
        return sha256(b"spiffe" + b"".join(sha256(part).digest() for part in parts) + self._prefix.encode()).digest()

    def verify(self, presented: PresentedChain) -> Verdict:
        """The verdict; the ID is the one "URI:" among its names."""
        leaf = leaf_or_refusal(presented)
        if isinstance(leaf, Verdict):
            return leaf
        try:
            identity = workload_id(leaf)
        except ValueError as error:
            advice = "have an X.509 SVID issued: one URI, and no right to sign others"
            return refuse_leaf(leaf, "spiffe_id", str(error), advice)
        verifier = self._verifiers.get(identity.trust_domain)
        if verifier is None:
            known = listed(sorted(self._verifiers))
            words = f"{identity} is of the trust domain {identity.trust_domain}; trusted are: {known}"
            return refuse_leaf(leaf, "spiffe_id", words, "federate with that trust domain: give its bundle too")
        verdict = verifier.verify(presented)
        if not verdict.accepted:
            return verdict
        try:
            admitted = self._admits(identity)
        except Exception as error:  # noqa: BLE001 (what cannot be judged is refused)
            return failed(error)
        if not admitted:
            words = f"{identity} is genuine, and not admitted here"
            return refuse_leaf(leaf, "access_denied", words, "admit it, if it should be let in")
        return verdict

    def _admits(self, identity: SpiffeId) -> bool:
        if self._prefix and identity.path != self._prefix and not identity.path.startswith(self._prefix + "/"):
            return False
        if self._allow is None:
            return True
        answer: object = self._allow(str(identity))
        if iscoroutine(answer):
            answer.close()
            raise TypeError("allow must not be a coroutine function")
        return answer is True


def workload_id(leaf: Parsed) -> SpiffeId:
    """The ID that the certificate is for; ValueError, with the reason, for no SVID of a workload. X509-SVID 3, 4."""
    from cryptography.x509 import KeyUsage

    uris = leaf.names.uri
    if len(uris) != 1:
        raise ValueError(f"the certificate {leaf.subject_text} has {len(uris)} URI names; an SVID has exactly one")
    try:
        identity = SpiffeId.parse(uris[0])
    except ValueError as error:
        raise ValueError(f"{escape(uris[0], limits.MAX_PEER_TEXT)} is no SPIFFE ID: {error}") from None
    if not identity.path:
        raise ValueError(f"{identity} names a trust domain and no workload")
    usage = leaf.extension(KeyUsage)
    if leaf.is_ca or (usage is not None and (usage.key_cert_sign or usage.crl_sign)):
        raise ValueError(
            f"the certificate of {identity} may sign certificates or revocation lists: it is no workload's"
        )
    return identity


def _is_trust_domain(text: str) -> bool:
    return bool(_TRUST_DOMAIN.fullmatch(text)) and len(text) <= limits.MAX_SPIFFE_TRUST_DOMAIN


def _is_path(text: str) -> bool:
    try:
        return SpiffeId.parse(f"{_SCHEME}example{text}").path == text
    except ValueError:
        return False


def _bad(reason: str, advice: str) -> ConfigError:
    return bad_option("SPIFFE trust domain", reason, advice)
