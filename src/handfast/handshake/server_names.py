"""Which names a server's connection may answer for.

A client may ask for one name in its hello and for another in its requests. Where names differ in what they demand of
clients, the second must not be answered under what was demanded for the first: ``policy_of`` tells.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from handfast.config.by_name import ByName, normal_name
from handfast.host_names import is_host_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.config.config import ServerConfig


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
