"""Servers that close on a client that names no protocol of theirs (ALPN, RFC 7301), as those of gRPC do.

They close after the handshake and without a word, which is also how some refuse a certificate: so the same is asked
once more with HTTP/2 named. Where that is answered, nothing else was in the way.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from handfast.doctor.evidence import HTTP_2
from handfast.doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handfast.doctor.evidence import Attempt, Evidence


def considered(evidence: Evidence) -> Evidence:
    """The evidence without the connections that failed for want of a protocol's name, and for nothing else."""
    if named(evidence) is None:
        return evidence
    left = tuple(one for one in evidence.attempts if not (one.live and one.closed_without_a_word))
    return replace(evidence, attempts=left)


def protocol_named(evidence: Evidence) -> Iterator[Finding]:
    """The client was told which protocols to name, and the server speaks another."""
    if evidence.protocols_chosen and (one := named(evidence)) is not None:
        said = f"{one.title}, the server speaks {HTTP_2}; otherwise it closes after the handshake without a word"
        yield Finding(causes=("no_common_alpn",), evidence=(said,))


def remarks(evidence: Evidence) -> Iterator[str]:
    """What a client of such a server must do, where it is nothing that it was told wrong."""
    if not evidence.protocols_chosen and named(evidence) is not None:
        yield f"the server closes without a word on clients that do not name {HTTP_2} (ALPN), as those of gRPC do"


def named(evidence: Evidence) -> Attempt | None:
    """The connection that named HTTP/2 and was answered, where another that did not was closed."""
    ours = [one for one in evidence.attempts if one.live]
    if not any(one.closed_without_a_word and one.protocol != HTTP_2 for one in ours):
        return None
    return next((one for one in ours if one.protocol == HTTP_2 and one.answered and not one.error), None)
