"""handfast: TLS you can see through. A TLS 1.3 engine and the mutual-TLS toolkit on top of it.

The public names are listed in docs/api.md. Each is loaded when it is first used, so that ``import handfast`` is quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handfast import aio, errors, events, lens, lint, passive, pki, registry
    from handfast.credentials.credentials import Credentials
    from handfast.credentials.pkcs11 import Pkcs11Signer
    from handfast.credentials.signers import DEFERRED, LocalSigner, Signer, ThreadSigner
    from handfast.engine import (
        ByName,
        CertificateWanted,
        ClientAuth,
        ClientConfig,
        ClientConnection,
        ConnectionInfo,
        Data,
        EarlyData,
        ExtractedSecrets,
        HandshakeDone,
        HelloSeen,
        PeerAuthenticated,
        PeerClosed,
        ServerConfig,
        ServerConnection,
        UnverifiedPeer,
        VerifiedPeer,
    )
    from handfast.errors import (
        ApiMisuse,
        BadMessage,
        CertificateRejected,
        ConfigError,
        ConnectionLost,
        HandfastError,
        LocalFailure,
        PeerIncompatible,
        PeerMisbehaved,
        PeerRejected,
    )
    from handfast.events import Observer, SecretSink
    from handfast.fleet.redis_fleet import RedisFleet
    from handfast.handshake.needs import Need
    from handfast.io.lookup import info
    from handfast.io.sockets import Listener, TLSSocket, connect, listen
    from handfast.io.sslcontext.context import SSLContext
    from handfast.io.sslcontext.defaults import create_default_context
    from handfast.keyholder.held_keys import HeldKey
    from handfast.keyholder.holder import KeyHolder
    from handfast.keyholder.signer import RemoteSigner
    from handfast.passive.reading import decode
    from handfast.reload.handles import Reloading, ReloadingCredentials, ReloadingVerifier
    from handfast.reload.watcher import FileWatcher
    from handfast.sessions.cache import SessionCache, Sessions
    from handfast.sessions.replay import MemoryReplayGuard, ReplayGuard
    from handfast.sessions.tickets import SealedTickets, SessionIds, StoredTickets, Tickets
    from handfast.trust.combined import AllOf, DangerouslyAcceptAnyone, WithTimeout
    from handfast.trust.first_use import FirstUse
    from handfast.trust.pins import Pinned, key_pin
    from handfast.trust.presented import PresentedChain
    from handfast.trust.revocation.crl_store import Crls
    from handfast.trust.roots import Roots
    from handfast.trust.spiffe import SpiffeVerifier
    from handfast.trust.verifiers import PathVerifier, Verifier
    from handfast.verdict import Verdict, accept, refuse

__version__ = "0.1.0.dev0"

_HOME = {
    "handfast.engine": (
        "ByName",
        "CertificateWanted",
        "ClientAuth",
        "ClientConfig",
        "ClientConnection",
        "ConnectionInfo",
        "Data",
        "EarlyData",
        "ExtractedSecrets",
        "HandshakeDone",
        "HelloSeen",
        "PeerAuthenticated",
        "PeerClosed",
        "ServerConfig",
        "ServerConnection",
        "UnverifiedPeer",
        "VerifiedPeer",
    ),
    "handfast.errors": (
        "ApiMisuse",
        "BadMessage",
        "CertificateRejected",
        "ConfigError",
        "ConnectionLost",
        "HandfastError",
        "LocalFailure",
        "PeerIncompatible",
        "PeerMisbehaved",
        "PeerRejected",
    ),
    "handfast.events": ("Observer", "SecretSink"),
    "handfast.fleet.redis_fleet": ("RedisFleet",),
    "handfast.handshake.needs": ("Need",),
    "handfast.io.lookup": ("info",),
    "handfast.io.sockets": ("Listener", "TLSSocket", "connect", "listen"),
    "handfast.io.sslcontext.context": ("SSLContext",),
    "handfast.io.sslcontext.defaults": ("create_default_context",),
    "handfast.keyholder.holder": ("KeyHolder",),
    "handfast.keyholder.held_keys": ("HeldKey",),
    "handfast.keyholder.signer": ("RemoteSigner",),
    "handfast.passive.reading": ("decode",),
    "handfast.reload.handles": ("Reloading", "ReloadingCredentials", "ReloadingVerifier"),
    "handfast.reload.watcher": ("FileWatcher",),
    "handfast.sessions.cache": ("SessionCache", "Sessions"),
    "handfast.sessions.replay": ("MemoryReplayGuard", "ReplayGuard"),
    "handfast.sessions.tickets": ("SealedTickets", "SessionIds", "StoredTickets", "Tickets"),
    "handfast.trust.combined": ("AllOf", "DangerouslyAcceptAnyone", "WithTimeout"),
    "handfast.credentials.credentials": ("Credentials",),
    "handfast.credentials.pkcs11": ("Pkcs11Signer",),
    "handfast.trust.presented": ("PresentedChain",),
    "handfast.trust.revocation.crl_store": ("Crls",),
    "handfast.trust.roots": ("Roots",),
    "handfast.credentials.signers": ("DEFERRED", "LocalSigner", "Signer", "ThreadSigner"),
    "handfast.trust.first_use": ("FirstUse",),
    "handfast.trust.pins": ("Pinned", "key_pin"),
    "handfast.trust.spiffe": ("SpiffeVerifier",),
    "handfast.verdict": ("Verdict", "accept", "refuse"),
    "handfast.trust.verifiers": ("PathVerifier", "Verifier"),
}
_MODULES = {name: module for module, names in _HOME.items() for name in names}
# Modules of public names of their own.
_ROOMS = ("aio", "errors", "events", "lens", "lint", "passive", "pki", "registry")

__all__ = [
    "DEFERRED",
    "AllOf",
    "ApiMisuse",
    "BadMessage",
    "ByName",
    "CertificateRejected",
    "CertificateWanted",
    "ClientAuth",
    "ClientConfig",
    "ClientConnection",
    "ConfigError",
    "ConnectionInfo",
    "ConnectionLost",
    "Credentials",
    "Crls",
    "DangerouslyAcceptAnyone",
    "Data",
    "EarlyData",
    "ExtractedSecrets",
    "FileWatcher",
    "FirstUse",
    "HandfastError",
    "HandshakeDone",
    "HeldKey",
    "HelloSeen",
    "KeyHolder",
    "Listener",
    "LocalFailure",
    "LocalSigner",
    "MemoryReplayGuard",
    "Need",
    "Observer",
    "PathVerifier",
    "PeerAuthenticated",
    "PeerClosed",
    "PeerIncompatible",
    "PeerMisbehaved",
    "PeerRejected",
    "Pinned",
    "Pkcs11Signer",
    "PresentedChain",
    "RedisFleet",
    "Reloading",
    "ReloadingCredentials",
    "ReloadingVerifier",
    "RemoteSigner",
    "ReplayGuard",
    "Roots",
    "SSLContext",
    "SealedTickets",
    "SecretSink",
    "ServerConfig",
    "ServerConnection",
    "SessionCache",
    "SessionIds",
    "Sessions",
    "Signer",
    "SpiffeVerifier",
    "StoredTickets",
    "TLSSocket",
    "ThreadSigner",
    "Tickets",
    "UnverifiedPeer",
    "Verdict",
    "VerifiedPeer",
    "Verifier",
    "WithTimeout",
    "accept",
    "aio",
    "connect",
    "create_default_context",
    "decode",
    "errors",
    "events",
    "info",
    "key_pin",
    "lens",
    "lint",
    "listen",
    "passive",
    "pki",
    "refuse",
    "registry",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES and name not in _ROOMS:
        raise AttributeError(f"module 'handfast' has no attribute {name!r}")
    from importlib import import_module

    if name in _ROOMS:
        value: Any = import_module(f"handfast.{name}")
    else:
        value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
