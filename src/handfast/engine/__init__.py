"""The engine: one connection of either role, without I/O. A role is loaded when it is first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from handfast.config.asked import CertificateWanted, HelloSeen
from handfast.config.by_name import ByName
from handfast.config.config import ClientAuth, ClientAuthWord, ClientConfig, ServerConfig
from handfast.connection_info import ConnectionInfo, UnverifiedPeer, VerifiedPeer
from handfast.engine.connection import Connection
from handfast.engine.results import Data, EarlyData, HandshakeDone, PeerAuthenticated, PeerClosed, Result
from handfast.handshake.identity import automatic_ca_names
from handfast.keys.established import ExtractedSecrets

if TYPE_CHECKING:
    from handfast.engine.client import ClientConnection
    from handfast.engine.server import ServerConnection

__all__ = [
    "ByName",
    "CertificateWanted",
    "ClientAuth",
    "ClientAuthWord",
    "ClientConfig",
    "ClientConnection",
    "Connection",
    "ConnectionInfo",
    "Data",
    "EarlyData",
    "ExtractedSecrets",
    "HandshakeDone",
    "HelloSeen",
    "PeerAuthenticated",
    "PeerClosed",
    "Result",
    "ServerConfig",
    "ServerConnection",
    "UnverifiedPeer",
    "VerifiedPeer",
    "automatic_ca_names",
]

_ROLES = {"ClientConnection": "handfast.engine.client", "ServerConnection": "handfast.engine.server"}


def __getattr__(name: str) -> Any:
    if name not in _ROLES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_ROLES[name]), name)
    return found
