"""Alerts and the ends of a connection: what becomes of an alert, of the transport's end, and of an error.

Code raises where it notices something, and an alert is chosen here alone: ``_escaped`` turns what left an entry into
the connection's end, and ``_fail`` sends the alert that the catalogue of ``errors`` has for it, under the keys that are
on. RFC 9846 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handfast import limits
from handfast.crypto.library import is_panic
from handfast.engine import telling
from handfast.engine.failures import diagnosis_of, log_bug
from handfast.engine.results import PeerClosed
from handfast.errors import ApiMisuse, ConnectionLost, HandfastError, LocalFailure, PeerMisbehaved, PeerRejected
from handfast.handshake.context import Expect, HandshakeContext
from handfast.handshake.needs import Need
from handfast.registry import AlertDescription, AlertLevel
from handfast.roles import Role
from handfast.wire.alerts import Alert
from handfast.wire.frames import ALERT

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from handfast.connection_info import ConnectionInfo
    from handfast.engine.results import Result
    from handfast.events import EventDispatcher
    from handfast.handshake.context import Step
    from handfast.handshake.post_auth import PostHandshakeAuthentication
    from handfast.handshake.post_handshake import PostHandshake
    from handfast.handshake.tls12.post_handshake import PostHandshake12
    from handfast.record.layer import Record, RecordLayer

CLOSE_NOTIFY = int(AlertDescription.close_notify)
USER_CANCELED = int(AlertDescription.user_canceled)
NO_RENEGOTIATION = int(AlertDescription.no_renegotiation)


class Ends:
    """How a connection ends. ``Driver`` drives what it ends, and ``Connection`` is the face of both."""

    info: ConnectionInfo
    error: HandfastError | None = None
    _watch: EventDispatcher
    _records: RecordLayer
    _handshake: HandshakeContext
    _results: list[Result]
    # The generator that runs, of the handshake or of an exchange after it, and what it waits for.
    _machine: Generator[Step, Any, Any] | None = None
    _step: Step | None = None
    _post: PostHandshake | PostHandshake12 | None = None
    _later: PostHandshakeAuthentication | None = None
    # Bytes of application data that were received, for the error of a transport that ends too early.
    _received = 0
    _user_canceled = 0
    _warnings = 0
    _transport_ended = False
    _read_closed = False
    _write_closed = False
    # Opens a record that came by itself, as long as nothing else is under way and no observer can call back in.
    _open_one: Callable[[bytes | bytearray | memoryview], bytes | bytearray] | None = None

    @property
    def waiting_for(self) -> str:
        """What the handshake waits for, in words."""
        if isinstance(self._step, Expect):
            return f"the {self.info.role.peer}'s {self._step.names}"
        return "nothing" if self._step is None else self._step.who

    def _take_alert(self, record: Record) -> None:
        if len(record.content) != 2:
            raise PeerMisbehaved("bad_alert", length=len(record.content))
        level, description = record.content
        if not record.protected and self._records.read_protection is not None:
            self._refuse_plaintext_alert(level, description)
        warning = level == AlertLevel.warning and self._handshake.takes_warnings
        if self._watch.active:
            sender = self.info.role.peer.sends
            self._watch.alert(sender, level, description, authenticated=record.protected, ends=not warning)
        if description == CLOSE_NOTIFY:
            self._take_close_notify()
        elif warning:
            self._warnings += 1
            if self._warnings > limits.MAX_WARNINGS:
                raise PeerMisbehaved("too_many_warnings", limit=limits.MAX_WARNINGS)
        elif description == USER_CANCELED:
            self._user_canceled += 1
            if self._user_canceled > limits.MAX_USER_CANCELED:
                raise PeerMisbehaved("too_many_user_canceled", limit=limits.MAX_USER_CANCELED)
        else:
            name = AlertDescription.describe(description)
            code = name if name in PeerRejected.catalogue else "unknown_alert"
            stage = "" if self._post is not None else f" while we waited for {self.waiting_for}"
            raise PeerRejected(code, alert=f"{name} ({description})", stage=stage)

    def _refuse_plaintext_alert(self, level: int, description: int) -> None:
        """An alert in plaintext after keys are on is an error, and may at least be believed a little.

        OpenSSL clients refuse a server certificate with one. It is named only while nothing was decrypted from that
        peer, because anyone on the path can forge it.
        """
        if self._watch.active:
            self._watch.alert(self.info.role.peer.sends, level, description, authenticated=False)
        if self._records.opened_any:
            raise PeerMisbehaved("plaintext_after_keys", content_type="alert")
        name = AlertDescription.describe(description)
        if name in PeerRejected.catalogue:
            raise PeerRejected(name, alert=name, stage=" in plaintext (unauthenticated: anyone on the path can)")
        raise PeerMisbehaved("plaintext_alert", alert=name)

    def _take_close_notify(self) -> None:
        self._read_closed = True
        self._open_one = None
        if self._post is None:
            self._write_closed = True
            raise ConnectionLost("eof_in_handshake", stage=f"a close_notify; we waited for {self.waiting_for}")
        self._records.keep_trailing_data()
        self._results.append(PeerClosed())

    def _take_eof(self) -> None:
        """Judge the transport's end, if it has come and all that came before it is read."""
        cut = self._cut_by_eof()
        unread = self._post is None and isinstance(self._step, Need) and self._records.unread
        if not self._transport_ended or self._read_closed or unread:
            return
        self._read_closed = True
        self._end_fast_path()
        self._tell_ended(self.info.role.peer, "eof")
        if self._post is None:
            raise ConnectionLost("eof_in_handshake", stage=f"we had waited for {self.waiting_for}")
        if cut or self._handshake.config.unexpected_eof != "end":
            self._write_closed = True
            where = f" and in the middle of a {cut}" if cut else ""
            raise ConnectionLost("unexpected_eof", received=self._received, cut=bool(cut), where=where)
        self._results.append(PeerClosed(close_notify=False))

    def _cut_by_eof(self) -> str:
        """What an end of the transport would cut now: a record, a message, or "" for nothing."""
        if self._records.buffered:
            return "record"
        answering = self._later is not None and self._later.expected is not None
        return "message" if self._records.in_message or answering else ""

    def _write_alert(self, description: int, error: HandfastError | None) -> None:
        warning = description in (CLOSE_NOTIFY, USER_CANCELED, NO_RENEGOTIATION)
        level = AlertLevel.warning if warning else AlertLevel.fatal
        self._records.write(ALERT, Alert(level, description).encode())
        if self._watch.active:
            protected = self._records.write_protection is not None
            ends = description != NO_RENEGOTIATION
            self._watch.alert(self.info.role.sends, level, description, authenticated=protected, ends=ends, error=error)

    def _write_close_notify(self) -> None:
        self._write_alert(CLOSE_NOTIFY, None)

    def _decline_renegotiation(self) -> None:
        """Answer an attempt to renegotiate by a warning: the peer may go on without. RFC 5246 7.2.2."""
        self._write_alert(NO_RENEGOTIATION, None)

    def _fail(self, error: HandfastError) -> None:
        """The connection is dead: tell the peer what it may know, and keep the error without the frames it passed."""
        error.__traceback__ = error.__context__ = error.__cause__ = None
        self.error, self._machine = error, None
        error.hint_to(server=self.info.role is Role.SERVER)
        if self._handshake.messages is not HandshakeContext.messages:
            error.as_in_tls12()
        error.diagnosis = diagnosis_of(self.info, error)
        self._end_fast_path()
        if self._watch.active:
            telling.tell_rest(self._watch, self._records, self._handshake.messages)
        if error.alert is not None and not self._write_closed:
            self._write_alert(error.alert, error)
            if error.alert == USER_CANCELED:
                # RFC 9846 6.1: it is no end by itself, and its receiver reads on.
                self._write_alert(CLOSE_NOTIFY, None)
        self._write_closed = True
        self._tell_ended(self.info.role, "eof")

    def _end_fast_path(self) -> None:
        """From now on every byte, in both directions, goes the way on which everything is checked."""
        self._open_one = None
        self._records.write_fast_path_until(0)

    def _escaped(self, error: BaseException) -> bool:
        """Turn what left an entry into the connection's end; False for what must go on to the caller as it is."""
        if isinstance(error, ApiMisuse) and error.code != "reentrant":
            return False
        if isinstance(error, HandfastError):
            # A signal's handler that entered again let out what it was told: what it came between is half done.
            self._fail(ConnectionLost("interrupted") if isinstance(error, ApiMisuse) else error)
            return True
        if isinstance(error, Exception) or is_panic(error):
            log_bug(error)
            self._fail(LocalFailure("internal_error", reason=type(error).__name__))
            return True
        # KeyboardInterrupt and its like go on to the caller, and the frames behind them hold secrets.
        error.__traceback__ = error.__context__ = error.__cause__ = None
        self._fail(ConnectionLost("interrupted"))
        return False

    def _tell_ended(self, role: Role, how: str) -> None:
        if self._watch.active:
            self._watch.ended(role.sends, how, self._watch.clock())

    def _take_results(self) -> list[Result]:
        results, self._results = self._results, []
        if not results and self.error is not None:
            self._raise_error()
        return results

    def _raise_error(self) -> None:
        """Raise the error that ended the connection, if one did, without the engine's frames and their secrets."""
        if self.error is not None:
            raise self.error.with_traceback(None)
