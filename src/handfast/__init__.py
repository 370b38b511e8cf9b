"""handfast: TLS you can see through. A TLS 1.3 engine and the mutual-TLS toolkit on top of it.

The public names are listed in docs/api.md. Each is loaded when it is first used, so that ``import handfast`` is quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handfast import aio
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
    from handfast.errors import HandfastError
    from handfast.io.lookup import info
    from handfast.io.sockets import Listener, TLSSocket, connect, listen
    from handfast.keyholder.holder import KeyHolder
    from handfast.keyholder.keys import HeldKey
    from handfast.keyholder.signer import RemoteSigner
    from handfast.passive.reading import decode
    from handfast.reload.handles import Reloading, ReloadingCredentials, ReloadingVerifier
    from handfast.reload.watcher import FileWatcher
    from handfast.sessions.cache import SessionCache
    from handfast.sessions.replay import MemoryReplayGuard
    from handfast.sessions.tickets import SealedTickets, StoredTickets
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
    "handfast.aio": ("aio",),
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
    "handfast.errors": ("HandfastError",),
    "handfast.io.lookup": ("info",),
    "handfast.io.sockets": ("Listener", "TLSSocket", "connect", "listen"),
    "handfast.keyholder.holder": ("KeyHolder",),
    "handfast.keyholder.keys": ("HeldKey",),
    "handfast.keyholder.signer": ("RemoteSigner",),
    "handfast.passive.reading": ("decode",),
    "handfast.reload.watcher": ("FileWatcher",),
    "handfast.sessions.cache": ("SessionCache",),
    "handfast.sessions.replay": ("MemoryReplayGuard",),
    "handfast.sessions.tickets": ("SealedTickets", "StoredTickets"),
    "handfast.trust.combined": ("AllOf", "DangerouslyAcceptAnyone", "WithTimeout"),
    "handfast.credentials.credentials": ("Credentials",),
    "handfast.credentials.pkcs11": ("Pkcs11Signer",),
    "handfast.trust.presented": ("PresentedChain",),
    "handfast.trust.revocation.crl_store": ("Crls",),
    "handfast.trust.roots": ("Roots",),
    "handfast.credentials.signers": ("DEFERRED", "LocalSigner", "Signer", "ThreadSigner"),
    "handfast.trust.first_use": ("FirstUse",),
    "handfast.trust.pins": ("Pinned", "key_pin"),
    "handfast.reload.handles": ("Reloading", "ReloadingCredentials", "ReloadingVerifier"),
    "handfast.trust.spiffe": ("SpiffeVerifier",),
    "handfast.verdict": ("Verdict", "accept", "refuse"),
    "handfast.trust.verifiers": ("PathVerifier", "Verifier"),
}
_MODULES = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "DEFERRED",
    "AllOf",
    "ByName",
    "CertificateWanted",
    "ClientAuth",
    "ClientConfig",
    "ClientConnection",
    "ConnectionInfo",
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
    "LocalSigner",
    "MemoryReplayGuard",
    "PathVerifier",
    "PeerAuthenticated",
    "PeerClosed",
    "Pinned",
    "Pkcs11Signer",
    "PresentedChain",
    "Reloading",
    "ReloadingCredentials",
    "ReloadingVerifier",
    "RemoteSigner",
    "Roots",
    "SealedTickets",
    "ServerConfig",
    "ServerConnection",
    "SessionCache",
    "Signer",
    "SpiffeVerifier",
    "StoredTickets",
    "TLSSocket",
    "ThreadSigner",
    "UnverifiedPeer",
    "Verdict",
    "VerifiedPeer",
    "Verifier",
    "WithTimeout",
    "accept",
    "aio",
    "connect",
    "decode",
    "info",
    "key_pin",
    "listen",
    "refuse",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'handfast' has no attribute {name!r}")
    from importlib import import_module

    module = import_module(_MODULES[name])
    value = module if name == "aio" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
