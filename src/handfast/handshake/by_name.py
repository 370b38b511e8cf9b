"""What a server has for each name that clients ask for (SNI). RFC 6066 3, RFC 9846 9.2.

A name is looked up exactly first, then with ``*`` for its left-most label, then as the default. Without a default a
client that asks for another name is refused with unrecognized_name, and one that asks for none with missing_extension.

A client may ask for one name in its hello and for another in its requests. Where names differ in what they demand of
clients, the second must not be answered under what was demanded for the first: ``policy_of`` tells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Generic, TypeVar

from handfast.errors import ConfigError, HandfastError, PeerIncompatible, bad_option
from handfast.host_names import is_host_name
from handfast.text import escape
from handfast.x509.names import reference_identity

if TYPE_CHECKING:
    from handfast.handshake.config import ServerConfig
    from handfast.handshake.negotiate import HelloSeen

T = TypeVar("T")


class ByName(Generic[T]):
    """A configuration, or credentials, for each name: ``choose_config`` or ``credentials`` of a ``ServerConfig``.

    ``by_name`` maps DNS names to what holds for them; ``*.example.com`` stands for exactly one label in place of the
    ``*``, and gives way to an exact name. ``default`` is for all other names, for addresses and for clients that name
    nothing; without one they are refused. Raises ConfigError bad_option for what is no such name.
    """

    def __init__(self, by_name: Mapping[str, T], *, default: T | None = None) -> None:
        self._by_name: dict[str, T] = {}
        self._default = default
        for name, value in by_name.items():
            normal = _pattern(name)
            if normal in self._by_name:
                raise _bad(name, "named twice")
            self._by_name[normal] = value

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


def may_have_credentials(config: ServerConfig, server_name: str | None) -> bool:
    """False where there are certainly none for this name: a table says so, without asking."""
    return not isinstance(config.credentials, ByName) or bool(config.credentials.find(server_name))


def policy_of(base: ServerConfig, chosen: ServerConfig, asked: str | None) -> Callable[[str], bool] | None:
    """Whether a request for a host, on the connection that asked for ``asked``, would have had the same policy.

    None where all hosts have the same. Where a function of the user's own chose the configuration none can tell, but
    for the very name that was asked.
    """
    chooser = base.choose_config
    if chooser is None and not isinstance(chosen.credentials, ByName):
        return None

    def serves(host: str) -> bool:
        try:
            name = _name_in(host)
        except ValueError:
            return False
        if not may_have_credentials(chosen, name):
            return False
        if chooser is None:
            return True
        if isinstance(chooser, ByName):
            return chooser.find(name) is chosen
        return name == (None if asked is None else normal_name(asked))

    return serves


def _name_in(host: str) -> str | None:
    """The name that a client of this Host (a name or an address, perhaps a port) asks for; ValueError if it is none."""
    closing = host.rfind("]") + 1
    bare, _, port = host[closing:].partition(":")
    if port and not (port.isascii() and port.isdigit()):
        raise ValueError("not a port")
    if closing:
        if bare or not host.startswith("["):
            raise ValueError("not an address")
        ip_address(host[1 : closing - 1])
        return None
    name = normal_name(bare)
    if is_host_name(name):
        return name
    ip_address(bare)
    return None


def _pattern(name: str) -> str:
    wildcard = name.startswith("*.")
    host = reference_identity(name[2:] if wildcard else name)
    if not isinstance(host, str):
        raise _bad(name, "an address, which no client asks for by name")
    return f"*.{host}" if wildcard else host


def _bad(name: str, reason: str) -> ConfigError:
    advice = "give DNS names, with * at most as the whole left-most label"
    return bad_option(f"server name {escape(name)!r}", reason, advice)
