"""Which route the path of a request belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.proxy.http.url_paths import as_written, decoded, is_ambiguous, normal_prefix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handfast.proxy.settings import Route


class AmbiguousPath(Exception):
    """Two servers could take the path for two different ones."""


class Routes:
    """The routes of a service, to be looked up by path: the longest prefix of whole segments holds."""

    __slots__ = ("_routes",)

    def __init__(self, routes: Sequence[Route]) -> None:
        normal = [(normal_prefix(route.prefix), route) for route in routes]
        self._routes = sorted(normal, key=lambda pair: len(pair[0]), reverse=True)

    def __bool__(self) -> bool:
        return bool(self._routes)

    def find(self, path: bytes) -> Route | None:
        """The route of a path. Raises AmbiguousPath, also where it depends on the server which one that is."""
        if is_ambiguous(path):
            raise AmbiguousPath
        found = self._longest(as_written(path))
        if b"%" in path and self._longest(decoded(path)) is not found:
            # Which of its reserved characters a server decodes makes no third route: no prefix has an escape of one.
            raise AmbiguousPath
        return found

    def _longest(self, path: bytes) -> Route | None:
        plain = path.rstrip(b"/")
        for prefix, route in self._routes:
            if plain == prefix or plain.startswith(prefix + b"/"):
                return route
        return None
