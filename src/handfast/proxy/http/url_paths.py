"""Paths as servers read them, and those that are refused because servers disagree on what they mean.

A rule for ``/admin`` is worth nothing if ``/x/../admin``, ``//admin`` or ``/%61dmin`` reach the same pages. Servers
differ in what they make of these, so where a service has routes such a path is refused, not guessed at.

A reserved character and its escape, ``+`` and ``%2B``, are two things by RFC 3986 2.2: some servers keep them apart,
and others decode before they look. A path is looked up as each of them has it, and refused where that gives two
routes. All other characters mean the same escaped or not (RFC 3986 6.2.2.2, and 2.1 for those that no URI may have).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

from handfast.errors import bad_option
from handfast.text import escape

if TYPE_CHECKING:
    from handfast.errors import ConfigError

# Empty and dot segments; parameters, which some strip; backslashes, which some turn; escapes that are none; and escapes
# of what needs none or is a delimiter: unreserved characters, "/", "\\", ";", "?", "#", "%", and control characters.
_AMBIGUOUS = re.compile(
    rb"//|/\.{1,2}(?:/|$)|[;\\]|%(?![0-9A-Fa-f]{2})|%(?:[01][0-9A-Fa-f]|7[Ff])"
    rb"|%(?:2[35DdEeFf]|3[0-9BbFf]|4[1-9A-Fa-f]|5[0-9AaFfCc]|6[1-9A-Fa-f]|7[0-9AaEe])"
)
_ESCAPE = re.compile(rb"%[0-9A-Fa-f]{2}")
# The reserved characters that may stand in a segment (RFC 3986 3.3), without ";", which is ambiguous in any form.
_RESERVED = ":@!$&'()*+,="
_ESCAPE_OF_RESERVED = re.compile("%(?:{})".format("|".join(f"{ord(one):02X}" for one in _RESERVED)), re.IGNORECASE)


def is_ambiguous(path: bytes) -> bool:
    """Whether two servers could take this path for two different ones, whatever the routes are."""
    if _AMBIGUOUS.search(path) is not None:
        return True
    if b"%" not in path:
        return False
    try:
        # Of what is no UTF-8, overlong forms of "/" included, readers leave out a part, replace it or refuse.
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return True
    return False


def normal_prefix(prefix: str) -> bytes:
    """The one form of a route's prefix, which is plain text, or has escapes of what may not stand in a path.

    It has no slash at its end. Raises ConfigError bad_option for what no path that is served begins with.
    """

    def refused(reason: str, advice: str) -> ConfigError:
        return bad_option("route", f"{escape(prefix)!r} {reason}", advice)

    if not prefix.startswith("/"):
        raise refused("is no path", "begin it with /")
    if "?" in prefix or "#" in prefix:
        raise refused("would hold for no request: a path ends before ? and #", "give the path alone")
    reserved = _ESCAPE_OF_RESERVED.search(prefix)
    if reserved is not None:
        plain = unquote_to_bytes(reserved[0]).decode()
        raise refused(f"has {reserved[0]}, which is {plain} to some servers, and not to others", f"write {plain}")
    try:
        given = prefix.encode()
    except UnicodeEncodeError:
        raise refused("is no text", "give it in UTF-8") from None
    if is_ambiguous(as_written(given)):
        reason = "would hold for no request: such paths are read differently by servers, and refused"
        advice = r"leave out empty and dot segments, ; and \, and escapes of what needs none or is a delimiter"
        raise refused(reason, advice)
    return decoded(given).rstrip(b"/")


def as_written(path: bytes) -> bytes:
    """The path to a server that keeps escapes of reserved characters: what must be escaped is, with upper case."""
    return _ESCAPE.sub(lambda found: found[0].upper(), quote(path, safe=f"/%{_RESERVED}").encode())


def decoded(path: bytes) -> bytes:
    """The path to a server that decodes, in the form of ``as_written``."""
    return quote(unquote_to_bytes(path), safe=f"/{_RESERVED}").encode()
