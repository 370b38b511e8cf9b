"""What a server has for each name that clients ask for (SNI). RFC 6066 3, RFC 9846 9.2.

A name is looked up exactly first, then with ``*`` for its left-most label, then as the default. Without a default a
client that asks for another name is refused with unrecognized_name, and one that asks for none with missing_extension.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from handfast.errors import ConfigError, HandfastError, PeerIncompatible, bad_option
from handfast.text import escape
from handfast.x509.names import reference_identity

if TYPE_CHECKING:
    from handfast.config.asked import HelloSeen

T = TypeVar("T")


class ByName(Generic[T]):
    """A configuration, or credentials, for each name: ``choose_config`` or ``credentials`` of a ``ServerConfig``.

    ``by_name`` maps DNS names to what holds for them; ``*.example.com`` stands for exactly one label in place of the
    ``*``, and gives way to an exact name. ``default`` is for all other names, for addresses and for clients that name
    nothing; without one they are refused. Raises ConfigError bad_option for what is no such name.
    """

    def __init__(self, by_name: Mapping[str, T], *, default: T | None = None) -> None:
        self._by_name: dict[str, T] = {}
        self._default = None if default is None else _settled(default)
        for name, value in by_name.items():
            normal = _pattern(name)
            if normal in self._by_name:
                raise _bad(name, "named twice")
            self._by_name[normal] = _settled(value)

    def __repr__(self) -> str:
        return f"ByName({', '.join(self._by_name)}{'' if self._default is None else ', and a default'})"

    @property
    def values(self) -> tuple[T, ...]:
        """All that there is, the default last."""
        return (*self._by_name.values(), *(() if self._default is None else (self._default,)))

    def find(self, server_name: str | None) -> T | None:
        """What there is for this name, or for a client that names nothing; None if nothing."""
        if server_name is not None:
            name = normal_name(server_name)
            above = name.partition(".")[2]
            for key in (name, f"*.{above}"):
                if key in self._by_name:
                    return self._by_name[key]
        return self._default

    def __call__(self, hello: HelloSeen) -> T:
        """What there is for the client of this hello. Raises HandfastError where there is nothing."""
        found = self.find(hello.server_name)
        if found is None:
            raise no_such_name(hello.server_name)
        return found


def no_such_name(server_name: str | None) -> HandfastError:
    """The error for a client that asks for a name we do not have, or for none where one is needed."""
    if server_name is None:
        return PeerIncompatible("no_server_name")
    return PeerIncompatible("unknown_server_name", name=escape(server_name))


def normal_name(name: str) -> str:
    """A name as it is compared: in lower case, without a trailing dot."""
    return name.lower().removesuffix(".")


def _pattern(name: str) -> str:
    wildcard = name.startswith("*.")
    host = reference_identity(name[2:] if wildcard else name)
    if not isinstance(host, str):
        raise _bad(name, "an address, which no client asks for by name")
    return f"*.{host}" if wildcard else host


def _settled(value: T) -> T:
    """Credentials in a list as a tuple: the list may be changed later."""
    return cast("T", tuple(value)) if isinstance(value, list) else value


def _bad(name: str, reason: str) -> ConfigError:
    advice = "give DNS names, with * at most as the whole left-most label"
    return bad_option(f"server name {escape(name)!r}", reason, advice)
