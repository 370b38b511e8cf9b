"""What ``handfast proxy`` says of each connection and request, in a line on standard error."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from handfast.cli import ui
from handfast.limits import MAX_LOG_LINE, MAX_PEER_TEXT
from handfast.logs import warn
from handfast.proxy.journal import ConnectionEnded, ConnectionRefused, RequestEnded
from handfast.text import counted, escape

if TYPE_CHECKING:
    from handfast.connection_info import ConnectionInfo
    from handfast.proxy.journal import Entry


def tell_entry(entry: Entry) -> None:
    """One line. Refused clients, who may be anyone, are held back where they are many."""
    match entry:
        case ConnectionRefused():
            warn("refused clients", lambda: _refused(entry))
        case ConnectionEnded(backend=backend) if backend:
            ui.note(_ended(entry))
        case ConnectionEnded() if entry.code:
            ui.note(_ended(entry))
        case RequestEnded():
            ui.note(_request(entry))


def _refused(entry: ConnectionRefused) -> str:
    return escape(f"{entry.client}: refused ({entry.code}): {entry.why}", MAX_LOG_LINE)


def _ended(entry: ConnectionEnded) -> str:
    moved = f"{counted(entry.received, 'byte')} in, {entry.sent} out, {entry.seconds:.3f} s"
    where = f" to {entry.backend}" if entry.backend else ""
    return f"{_begin(entry.client)} {moved}{where} {_who(entry.info)}{_why(entry.code, entry.why)}"


def _request(entry: RequestEnded) -> str:
    asked = " ".join(escape(text, MAX_PEER_TEXT) for text in (entry.method, entry.target))
    return f"{_begin(entry.client)} {asked} {entry.status} {_who(entry.info)}{_why(entry.code, entry.why)}"


def _begin(client: str) -> str:
    return f"{client}: {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _who(info: ConnectionInfo | None) -> str:
    """Of a verified client its subject, or its first name where it has none; "-" of others, who may be anyone."""
    peer = None if info is None else info.verified_peer
    if peer is None:
        return "-"
    # What the verdict says already: a certificate is not read anew for each line.
    return escape(peer.verdict.subject or next(iter(peer.verdict.names), "-"), MAX_PEER_TEXT)


def _why(code: str, why: str) -> str:
    return f" ({code}: {escape(why, MAX_PEER_TEXT)})" if code else ""
