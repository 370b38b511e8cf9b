"""What a path verifier judges, and by what."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handfast.trust.path.anchors import Anchors
    from handfast.trust.path.policy import PathPolicy
    from handfast.trust.presented import PresentedChain
    from handfast.trust.revocation.crl_store import OcspPolicy, RevocationCheck
    from handfast.x509.certificates import Parsed


class PathContext(NamedTuple):
    """``known_intermediates`` are intermediates that help to explain a refusal, never to accept."""

    presented: PresentedChain
    anchors: Anchors
    policy: PathPolicy
    check_name: bool
    known_intermediates: Sequence[bytes]
    revocation: RevocationCheck | None
    ocsp: OcspPolicy

    def position(self, certificate: Parsed) -> int | None:
        """Where a certificate of a path was presented; None for one of our roots."""
        chain = self.presented.chain
        return chain.index(certificate.encoded) if certificate.encoded in chain else None
