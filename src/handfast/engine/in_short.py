"""What is known of a connection in one line, for the repr of what carries it: no data, no secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.connection_info import VerifiedPeer
from handfast.limits import MAX_PEER_TEXT
from handfast.text import escape

if TYPE_CHECKING:
    from handfast.connection_info import ConnectionInfo, UnverifiedPeer


def in_short(info: ConnectionInfo) -> str:
    """ "TLS 1.3, TLS_AES_128_GCM_SHA256, x25519, http/1.1, resumed, peer CN=alice"; "" before a version is chosen."""
    if info.version is None:
        return ""
    parts = [str(one) for one in (info.version, info.suite, info.group) if one is not None]
    if info.application_protocol is not None:
        parts.append(escape(info.application_protocol))
    if info.resumed:
        parts.append("resumed")
    if info.complete:
        parts.append(who(info.peer))
    return ", ".join(parts)


def who(peer: VerifiedPeer | UnverifiedPeer | None) -> str:
    """ "peer CN=alice", "unverified peer CN=mallory", "no peer certificate"."""
    if peer is None:
        return "no peer certificate"
    name = peer.verdict.subject or ", ".join(peer.verdict.names) or "without a name"
    return f"{'' if isinstance(peer, VerifiedPeer) else 'unverified '}peer {escape(name, MAX_PEER_TEXT)}"
