"""Heads of HTTP responses, of either version, and where a redirect leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin

from handfast.cli import http, ui
from handfast.cli.target import Target, parse_url
from handfast.errors import ConfigError
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# A body is not sent again behind these: clients make a GET of it. RFC 9110 15.4.2 to 15.4.4.
_BECOME_GET = frozenset({301, 302, 303})
# What says who we are to the server that it was meant for.
_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "host"})


class Head(NamedTuple):
    """The head of a response; ``version`` is "1.1", "2" and the like."""

    version: str
    status: int
    reason: bytes
    headers: Sequence[tuple[bytes, bytes]]

    @property
    def informational(self) -> bool:
        """Whether another head follows. RFC 9110 15.2."""
        return 100 <= self.status < 200

    @property
    def lines(self) -> list[str]:
        """As text, escaped, without the empty line."""
        first = f"HTTP/{self.version} {self.status} {escape(self.reason)}".rstrip()
        return [first, *(f"{escape(name)}: {escape(value)}" for name, value in self.headers)]

    def location(self) -> str:
        """Where a redirect leads, as the server says it; "" for what is no redirect."""
        if self.status not in _REDIRECTS:
            return ""
        found = (value for name, value in self.headers if name.lower() == b"location")
        return next(found, b"").decode("latin-1")


def redirect(target: Target, location: str) -> Target:
    """The target that a redirect leads to; ends the program where that is no https:// URL.

    No plaintext is spoken on a server's word, and none of the file that a file:// would read.
    """
    base = f"https://{target.authority}{target.path or '/'}"
    try:
        return parse_url(urljoin(base, location))
    except (ConfigError, ValueError) as error:
        why = error.what if isinstance(error, ConfigError) else str(error)
        what = f"the server redirects to {escape(location, 256)!r}, which is not followed: {escape(why)}"
        ui.fail(what, "the peer's decision", "without -L, its answer is shown as it is")


def same_origin(one: Target, other: Target) -> bool:
    """Whether two targets are one server, of whom the one may know what the other does. RFC 6454 4."""
    return (one.host.lower(), one.port) == (other.host.lower(), other.port)


def follow(request: http.Request, before: Target, after: Target, status: int, *, kept: bool) -> http.Request:
    """The request that follows a redirect; ``kept`` says that the user named its method.

    What was for the first server's eyes (credentials, cookies, its name) goes to no other.
    """
    method, body, headers = request.method, request.body, request.headers
    if not same_origin(before, after):
        headers = [(name, value) for name, value in headers if name.lower() not in _SECRET_HEADERS]
        headers = [("Host", after.authority), *headers]
    if status in _BECOME_GET and method != "HEAD" and (body or method == "POST"):
        body = b""
        headers = [(name, value) for name, value in headers if not name.lower().startswith("content-")]
        method = method if kept else "GET"
    return http.Request(method, after.path or "/", headers, body)
