"""The engine: one connection of either role, without I/O."""

from handfast.engine.client import ClientConnection
from handfast.engine.connection import Connection
from handfast.engine.results import Data, EarlyData, HandshakeDone, PeerAuthenticated, PeerClosed, Result
from handfast.engine.server import ServerConnection
from handfast.handshake.config import ClientAuth, ClientConfig, ServerConfig
from handfast.handshake.identity import automatic_ca_names
from handfast.handshake.info import ConnectionInfo, UnverifiedPeer, VerifiedPeer
from handfast.keys.established import ExtractedSecrets

__all__ = [
    "ClientAuth",
    "ClientConfig",
    "ClientConnection",
    "Connection",
    "ConnectionInfo",
    "Data",
    "EarlyData",
    "ExtractedSecrets",
    "HandshakeDone",
    "PeerAuthenticated",
    "PeerClosed",
    "Result",
    "ServerConfig",
    "ServerConnection",
    "UnverifiedPeer",
    "VerifiedPeer",
    "automatic_ca_names",
]
