"""The engine: one connection of either role, without I/O."""

from handfast.config.asked import CertificateWanted, HelloSeen
from handfast.config.by_name import ByName
from handfast.config.config import ClientAuth, ClientConfig, ServerConfig
from handfast.connection_info import ConnectionInfo, UnverifiedPeer, VerifiedPeer
from handfast.engine.client import ClientConnection
from handfast.engine.connection import Connection
from handfast.engine.results import Data, EarlyData, HandshakeDone, PeerAuthenticated, PeerClosed, Result
from handfast.engine.server import ServerConnection
from handfast.handshake.identity import automatic_ca_names
from handfast.keys.established import ExtractedSecrets

__all__ = [
    "ByName",
    "CertificateWanted",
    "ClientAuth",
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
