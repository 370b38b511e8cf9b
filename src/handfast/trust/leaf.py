"""One certificate judged for itself, as verifiers of keys and names do: the peer's own, and the verdicts on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.verdict import Verdict, accept, refuse

if TYPE_CHECKING:
    from handfast.trust.presented import PresentedChain
    from handfast.x509.certificates import Parsed


def leaf_or_refusal(presented: PresentedChain) -> Parsed | Verdict:
    """The peer's own certificate, parsed."""
    from handfast.x509.certificates import Malformed, parse

    if not presented.chain:
        return refuse("certificate_required", "no certificate was presented")
    try:
        return parse(presented.chain[0])
    except Malformed as error:
        return refuse("malformed", f"certificate no. 1: {error}", certificate_index=0)


def accept_leaf(leaf: Parsed, explanation: str) -> Verdict:
    """The verdict that accepts one certificate for itself: the path is no longer than that."""
    return accept(
        (leaf.encoded,),
        explanation=explanation,
        names=leaf.names.labelled(),
        subject=leaf.subject_text,
        not_after=leaf.not_after,
    )


def refuse_leaf(leaf: Parsed, code: str, words: str, advice: str) -> Verdict:
    """The verdict that refuses one certificate for itself."""
    return refuse(
        code,
        words,
        advice=advice,
        certificate_index=0,
        names=leaf.names.labelled(),
        subject=leaf.subject_text,
        not_after=leaf.not_after,
    )
