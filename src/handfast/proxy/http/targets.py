"""Which route a path belongs to, and which paths are refused because backends disagree on what they mean.

A rule for ``/admin`` is worth nothing if ``/x/../admin``, ``//admin`` or ``/%61dmin`` reach the same pages. Servers
differ in what they make of these, so where a service has routes such a path is refused, not guessed at.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handfast.proxy.settings import Route

# Empty and dot segments; parameters, which some strip; backslashes, which some turn; escapes that are none; and escapes
# of what needs none or is a delimiter: unreserved characters, "/", "\\", ";", "?", "#", "%", and control characters.
_AMBIGUOUS = re.compile(
    rb"//|/\.{1,2}(?:/|$)|[;\\]|%(?![0-9A-Fa-f]{2})|%(?:[01][0-9A-Fa-f]|7[Ff])"
    rb"|%(?:2[35DdEeFf]|3[0-9BbFf]|4[1-9A-Fa-f]|5[0-9AaFfCc]|6[1-9A-Fa-f]|7[0-9AaEe])"
)
_ESCAPE = re.compile(rb"%[0-9A-Fa-f]{2}")


def is_ambiguous(path: bytes) -> bool:
    """Whether two servers could take this path for two different ones."""
    return _AMBIGUOUS.search(path) is not None


class Routes:
    """The routes of a service, to be looked up by path: the longest prefix of whole segments holds."""

    __slots__ = ("_found", "_routes")

    def __init__(self, routes: Sequence[Route]) -> None:
        by_length = sorted(routes, key=lambda route: len(route.prefix), reverse=True)
        self._routes = [(_normal(quote(route.prefix, safe="/%").encode()), route) for route in by_length]

    def __bool__(self) -> bool:
        return bool(self._routes)

    def find(self, path: bytes) -> Route | None:
        """The route of a path that is not ambiguous."""
        plain = _normal(path)
        for prefix, route in self._routes:
            if plain == prefix or plain.startswith(prefix + b"/"):
                return route
        return None


def _normal(path: bytes) -> bytes:
    """A path without a slash at its end, and with the digits of escapes in upper case."""
    if b"%" in path:
        path = _ESCAPE.sub(lambda escape: escape[0].upper(), path)
    return path.rstrip(b"/")
