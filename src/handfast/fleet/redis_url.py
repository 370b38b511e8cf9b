"""What a Redis URL says, in redis-py's own words, and read more strictly: what cannot be meant is refused.

A password that is not percent-encoded puts its rest into another part: the port of redis://user:s3cr/et@host is "s3cr".
So errors show nothing of the URL, and one whose host or path a password could reach into is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from handfast.errors import bad_option
from handfast.host_names import is_ip_address

FILES = ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs")
_QUERY = ("db", "username", "password", *FILES)
_ADVICE = (
    "give it as one of: rediss://user:password@host:port/0, redis://127.0.0.1:6379/0, unix:///run/redis/redis.sock;"
    " a password has its / ? # @ : % [ ] percent-encoded, as %2F %3F %23 %40 %3A %25 %5B %5D"
)
_SCHEMES = ("rediss", "redis", "unix")
_BEHIND_HOST = re.compile(r"[/?].*@")
_BEHIND_BRACKET = re.compile(r"\][^:]")
_HEAD_OF_QUERY = re.compile(r"[?#]")
# Names of containers have an underscore now and then.
_NAME = re.compile(r"[\w.-]+")
_DATABASE = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A URL's parts.

    Attributes:
        scheme: "rediss", "redis" or "unix".
        options: what redis-py calls host and port, or path; db, username and password as far as they are given.
        files: those of ``FILES`` that it names.
    """

    scheme: str
    options: dict[str, Any] = field(repr=False)
    files: dict[str, str]


class _Unusable(ValueError):
    """What is wrong with a URL, without any of its text."""


def parse(url: object) -> RedisUrl:
    """Take a URL apart. Raises ConfigError bad_option, which shows nothing of it."""
    try:
        return _parsed(url)
    except _Unusable as error:
        reason = str(error)
    except ValueError:
        reason = "its host, its port or an escape in it cannot be read"
    # Not in the clause: the error would carry the other one along, and urllib's quote what they could not read.
    raise bad_option("url", reason, _ADVICE)


def _parsed(url: object) -> RedisUrl:
    if not isinstance(url, str):
        raise _Unusable("it is no text")
    scheme = _scheme(url)
    parts = urlsplit(url)
    if scheme == "unix":
        if parts.netloc.rpartition("@")[2] or not parts.path:
            raise _Unusable("unix:// is not followed by an absolute path, as in unix:///run")
        options: dict[str, Any] = {"path": unquote(parts.path, errors="strict")}
        if _HEAD_OF_QUERY.search(options["path"]):
            raise _Unusable("its path has an encoded ? or #, as where all of a URL was percent-encoded")
    else:
        if parts.port == 0:
            raise _Unusable("its port is 0")
        options = {"host": _host(parts), "port": parts.port or 6379}
        if parts.path not in ("", "/"):
            options["db"] = parts.path[1:]
    for name, text in (("username", parts.username), ("password", parts.password)):
        if text:
            options[name] = unquote(text, errors="strict")
    files = _add_query(parts.query, options)
    if "db" in options:
        if not _DATABASE.fullmatch(options["db"]):
            raise _Unusable("its database is no number")
        options["db"] = int(options["db"])
    return RedisUrl(scheme, options, files)


def _host(parts: SplitResult) -> str:
    """The host, which people are shown: where too much of a URL was percent-encoded, it would have a password in it."""
    host = unquote(parts.hostname or "localhost", errors="strict")
    address, _, zone = host.partition("%")
    if not _NAME.fullmatch(host) and not (is_ip_address(address) and _NAME.fullmatch(zone or "-")):
        raise _Unusable("its host is neither a name nor an address")
    if _BEHIND_BRACKET.search(parts.netloc):
        raise _Unusable("there is something behind the ] of its address")
    return host


def _scheme(url: str) -> str:
    """The scheme of a URL of which urlsplit leaves nothing out, and in which no password may reach behind the host."""
    if not url.isprintable() or url != url.strip():
        raise _Unusable("there are control characters in it, or spaces around it")
    scheme, mark, rest = url.partition("://")
    if not mark or scheme.lower() not in _SCHEMES:
        raise _Unusable("it begins with none of rediss://, redis:// and unix://")
    if "#" in rest:
        raise _Unusable("there is a # in it")
    if _BEHIND_HOST.search(rest):
        raise _Unusable("there is an @ behind its first / or ?, where an address has ended")
    return scheme.lower()


def _add_query(query: str, options: dict[str, Any]) -> dict[str, str]:
    """Add what the query says to ``options``, but for the files, which are returned."""
    files: dict[str, str] = {}
    found = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict") if query else []
    for name, text in found:
        if name not in _QUERY or not text or name in options or name in files:
            there = ", ".join(_QUERY)
            raise _Unusable(f"behind its ? may stand {there}, each with a value, and no more than once in all")
        (files if name in FILES else options)[name] = text
    return files
