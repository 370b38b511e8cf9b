"""Who is let in, of those whose certificates are good: by the names that these hold, or by their keys.

A verifier to stand behind one of paths: ``AllOf(PathVerifier(roots), Allowed(dns=[...]))``. By itself it would believe
any certificate's word. A peer is let in by one entry of any kind. In a proxy it is a rule too, of a service or a route.

Patterns are of whole segments, as ghostunnel has them: ``*`` is one segment, a label of a DNS name or what stands
between two slashes of a URI; ``**`` at the end of a URI is whatever follows. Common names and organizational units are
compared to the letter, and their segments are what stands between two dots, as many of them are host names: ``alice``
is that name alone, ``*.web.example`` one label more, and ``*`` any value without a dot. Nothing else is special, and a
``*`` that is a part of a segment is refused, since it would look as if it were.

The entries may stand in a file, one per line, as ``cn: alice`` or ``dns: *.corp.example``: ``entries_in``.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Self

from handfast import limits
from handfast.errors import ConfigError, bad_option
from handfast.text import escape, listed
from handfast.trust.leaf import accept_leaf, leaf_or_refusal, refuse_leaf
from handfast.trust.pins import Pinned, key_pin
from handfast.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from handfast.connection_info import VerifiedPeer
    from handfast.trust.presented import PresentedChain
    from handfast.x509.certificates import Parsed

_ANY = "*"
_REST = "**"


class Allowed:
    """Accepts a peer that has one of these names in its certificate, or one of these keys; others are access_denied.

    ``dns`` and ``uris`` are patterns for subjectAltName entries, ``common_names`` and ``organizational_units`` for the
    subject's, and ``keys`` are pins as ``key_pin`` makes them. Raises ConfigError bad_option for what is none, and
    without any.
    """

    def __init__(
        self,
        *,
        dns: Iterable[str] = (),
        uris: Iterable[str] = (),
        common_names: Iterable[str] = (),
        organizational_units: Iterable[str] = (),
        keys: Iterable[str] = (),
    ) -> None:
        names, locations, pins = tuple(dns), tuple(uris), tuple(keys)
        subjects, units = sorted(set(common_names)), sorted(set(organizational_units))
        self._dns = [_pattern(name.lower().removesuffix("."), ".") for name in names]
        self._uris = [_pattern(uri, "/") for uri in locations]
        self._common_names = [_pattern(name, ".") for name in subjects]
        self._units = [_pattern(unit, ".") for unit in units]
        self._keys = Pinned(pins).keys if pins else frozenset[str]()
        kinds = (("DNS:", names), ("URI:", locations), ("CN=", subjects), ("OU=", units), ("", sorted(self._keys)))
        self._shown = [f"{kind}{one}" for kind, entries in kinds for one in entries]
        if not self._shown or "" in (*names, *locations, *subjects, *units):
            raise _bad("an empty entry would let no peer in", "name who is let in")

    @classmethod
    def from_file(cls, path: str | PathLike[str]) -> Self:
        """Those whom the lines of a file name, as ``entries_in`` reads them. Raises ConfigError."""
        return cls(**entries_in(path))

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
        return refuse_leaf(leaf, "access_denied", self._refusal(leaf), "let it in by one of its names, if it should be")

    def why_not(self, peer: VerifiedPeer | None) -> str | None:
        """Why a verified peer is not let in, None where it is: the rule of a proxy's service or route."""
        if peer is None:
            return f"it has no verified certificate; let in are: {listed(self._shown)}"
        from handfast.x509.certificates import Malformed, parse

        try:
            leaf = parse(peer.chain[0])
        except Malformed as error:
            return str(error)
        return None if self._lets_in(leaf) else self._refusal(leaf)

    def _refusal(self, leaf: Parsed) -> str:
        names = ", ".join(leaf.names.labelled()) or "no names"
        key = f" and the key {key_pin(leaf.encoded)}" if self._keys else ""
        found = f"it has {names}{key}; let in are: {listed(self._shown)}"
        return f"{leaf.subject_text} is genuine, and not let in: {found}"

    def _lets_in(self, leaf: Parsed) -> bool:
        names = leaf.names
        return (
            _any_matches(self._dns, (name.lower().removesuffix(".") for name in names.dns))
            or _any_matches(self._uris, names.uri)
            or _any_matches(self._common_names, names.common_names)
            or _any_matches(self._units, names.organizational_units)
            or key_pin(leaf.encoded) in self._keys
        )


# How a line of a file begins, and the argument of ``Allowed`` that it is for.
KINDS = {"cn": "common_names", "dns": "dns", "ou": "organizational_units", "spki": "keys", "uri": "uris"}


def entries_in(path: str | PathLike[str]) -> dict[str, list[str]]:
    """The entries in a file, by the arguments of ``Allowed``: one per line, ``KIND: VALUE``, kinds as in ``KINDS``.

    Lines that are empty or begin with # say nothing. Raises ConfigError, which names file and line.
    """
    from handfast.x509.loading import read

    shown = escape(str(path))
    content = read(path)
    if len(content) > limits.ALLOW_FILE_BYTES:
        raise _bad(f"{shown} has more than {limits.ALLOW_FILE_BYTES} bytes", "name whom you let in by patterns")
    found: dict[str, list[str]] = {}
    for number, line in enumerate(content.decode("utf-8", "backslashreplace").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        kind, colon, value = text.partition(":")
        argument = KINDS.get(kind.strip().lower())
        if argument is None or not colon:
            reason = f"{shown}, line {number}: {escape(text, 80)!r} is no entry"
            raise _bad(reason, f"write one of {', '.join(KINDS)}, a colon, and who is let in, as in cn: alice")
        try:
            Allowed(**{argument: [value.strip()]})
        except ConfigError as error:
            raise _bad(f"{shown}, line {number}: {error.details['reason']}", str(error.details["advice"])) from None
        found.setdefault(argument, []).append(value.strip())
    if not found:
        raise _bad(f"{shown} has no entry, and would let no peer in", "write a line such as cn: alice")
    return found


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
