"""Who is let in, of those whose certificates are good: by the names that these hold, or by their keys.

A verifier to stand behind one of paths: ``AllOf(PathVerifier(roots), Allowed(dns=[...]))``. By itself it would believe
any certificate's word. A peer is let in by one entry of any kind.

Patterns are of whole segments, as ghostunnel has them: ``*`` is one segment, a label of a DNS name or what stands
between two slashes of a URI; ``**`` at the end of a URI is whatever follows. Nothing else is special, and a ``*`` that
is a part of a segment is refused, since it would look as if it were.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING

from handfast.errors import bad_option
from handfast.text import escape, listed
from handfast.trust.leaf import accept_leaf, leaf_or_refusal, refuse_leaf
from handfast.trust.pins import Pinned, key_pin
from handfast.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handfast.errors import ConfigError
    from handfast.trust.presented import PresentedChain
    from handfast.x509.certificates import Parsed

_ANY = "*"
_REST = "**"


class Allowed:
    """Accepts a peer that has one of these names in its certificate, or one of these keys; others are access_denied.

    ``dns`` and ``uris`` are patterns for subjectAltName entries, ``common_names`` are the subject's, exactly, and
    ``keys`` are pins as ``key_pin`` makes them. Raises ConfigError bad_option for what is none, and without any.
    """

    def __init__(
        self,
        *,
        dns: Iterable[str] = (),
        uris: Iterable[str] = (),
        common_names: Iterable[str] = (),
        keys: Iterable[str] = (),
    ) -> None:
        names, locations, subjects, pins = tuple(dns), tuple(uris), frozenset(common_names), tuple(keys)
        self._dns = [_pattern(name.lower().removesuffix("."), ".") for name in names]
        self._uris = [_pattern(uri, "/") for uri in locations]
        self._common_names = subjects
        self._keys = Pinned(pins).keys if pins else frozenset[str]()
        kinds = (("DNS:", names), ("URI:", locations), ("CN=", sorted(subjects)), ("", sorted(self._keys)))
        self._shown = [f"{kind}{one}" for kind, entries in kinds for one in entries]
        if not self._shown or "" in (*names, *locations, *subjects):
            raise _bad("an empty entry would let nobody in", "name who is let in")

    def __repr__(self) -> str:
        return f"Allowed({listed(self._shown)})"

    @property
    def policy_id(self) -> bytes:
        """32 bytes, the same for the same entries."""
        digests = [sha256(entry.encode("utf-8", "surrogatepass")).digest() for entry in sorted(self._shown)]
        return sha256(b"allowed" + b"".join(digests)).digest()

    def verify(self, presented: PresentedChain) -> Verdict:
        """The verdict on the first certificate alone."""
        leaf = leaf_or_refusal(presented)
        if isinstance(leaf, Verdict):
            return leaf
        if self._lets_in(leaf):
            return accept_leaf(leaf, f"{leaf.subject_text}, which is let in")
        names = ", ".join(leaf.names.labelled()) or "no names"
        key = f" and the key {key_pin(leaf.encoded)}" if self._keys else ""
        found = f"it has {names}{key}; let in are: {listed(self._shown)}"
        words = f"{leaf.subject_text} is genuine, and not let in: {found}"
        return refuse_leaf(leaf, "access_denied", words, "let it in by one of its names, if it should be")

    def _lets_in(self, leaf: Parsed) -> bool:
        names = leaf.names
        return (
            _any_matches(self._dns, (name.lower().removesuffix(".") for name in names.dns))
            or _any_matches(self._uris, names.uri)
            or not self._common_names.isdisjoint(names.common_names)
            or key_pin(leaf.encoded) in self._keys
        )


def _any_matches(patterns: list[re.Pattern[str]], names: Iterable[str]) -> bool:
    return any(pattern.fullmatch(name) for name in names for pattern in patterns)


def _pattern(text: str, separator: str) -> re.Pattern[str]:
    """What matches the same names as a pattern of segments."""
    *above, last = segments = text.split(separator)
    if any(_ANY in segment and segment != _ANY for segment in above) or (_ANY in last and last not in (_ANY, _REST)):
        raise _bad(f"{escape(text)!r}: * stands for a whole segment only, ** for all that is left", "write it out")
    if last == _REST and (separator != "/" or not any(above)):
        raise _bad(f"{escape(text)!r}: ** is for the end of a URI", "write a * for each label")
    one = f"[^{re.escape(separator)}]+"
    spelled = [{_ANY: one, _REST: ".*"}.get(segment, re.escape(segment)) for segment in segments]
    return re.compile(re.escape(separator).join(spelled), re.DOTALL)


def _bad(reason: str, advice: str) -> ConfigError:
    return bad_option("allowed", reason, advice)
