"""One TLS connection without any I/O: bytes in, bytes out, results for the application, a need when it waits.

``receive`` takes what the transport brought and returns results; ``outgoing`` gives what the transport must carry; both
hold for every method here: after any call, whatever ``outgoing`` returns must be sent. When ``need`` is not None the
handshake waits for somebody other than the peer, and ``answer`` or ``fail`` lets it go on.

This is the only place where an error becomes an alert. It is raised once its alert is queued, from then on the
connection is dead and every later call raises it again. Results that came before it in the same bytes are returned
first: ``receive`` then returns them, ``error`` is already set, and the next call raises.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any

from handfast import limits
from handfast.engine.results import Data, HandshakeDone, PeerClosed, Result
from handfast.errors import (
    ApiMisuse,
    BadMessage,
    ConnectionLost,
    HandfastError,
    LocalFailure,
    PeerMisbehaved,
    PeerRejected,
)
from handfast.events import (
    HandshakeComplete,
    MessageSeen,
    Observer,
    Resumed,
    Role,
    SecretSink,
    Waiting,
    Watch,
)
from handfast.handshake import seams as seam
from handfast.handshake.flow import Expect, Handshake, Need, Sign, Step
from handfast.handshake.info import ConnectionInfo
from handfast.handshake.post import UPDATE_NOT_REQUESTED, UPDATE_REQUESTED, PostHandshake
from handfast.keys.established import Established
from handfast.record.layer import ALERT, HANDSHAKE, Record, RecordLayer
from handfast.registry import AlertDescription, AlertLevel, HandshakeType
from handfast.trust.signers import DEFERRED
from handfast.wire.alerts import Alert
from handfast.wire.messages import HandshakeMessage, parse_handshake

if TYPE_CHECKING:
    from handfast.handshake.config import Config
    from handfast.handshake.post12 import PostHandshake12
    from handfast.keys.established12 import Established12

CLOSE_NOTIFY = int(AlertDescription.close_notify)
USER_CANCELED = int(AlertDescription.user_canceled)


class Connection:
    """What both roles share. Make a ``ClientConnection`` or a ``ServerConnection``."""

    def __init__(
        self,
        role: Role,
        config: Config,
        observers: Iterable[Observer],
        secret_sinks: Iterable[SecretSink],
        seams: seam.Seams,
    ) -> None:
        self.info = ConnectionInfo(role)
        self.error: HandfastError | None = None
        self.deadline = seams.monotonic() + config.handshake_timeout
        self._config = config
        self._seams = seams
        self._watch = Watch(observers, secret_sinks, seams.clock)
        self._records = RecordLayer(role, self._watch)
        self._records.fragment_limit = config.max_fragment
        self._handshake = Handshake(role, self._records, self._watch, seams, self.info)
        self._machine: Generator[Step, Any, Established | Established12] | None = None
        self._step: Step | None = None
        self._asked_at = 0.0
        self._awaitable: Any = None
        self._post: PostHandshake | PostHandshake12 | None = None
        self._established: Established | Established12 | None = None
        self._results: list[Result] = []
        self._received = 0
        self._user_canceled = 0
        self._warnings = 0
        self._read_closed = False
        self._write_closed = False
        self._busy = False
        # Whether bytes that come are most likely application data, of which nobody hears but the application: then
        # there is nobody who could call back in, and no need to look out for it.
        self._plain_reading = False
        self._answer: object = None

    def _start(self, machine: Generator[Step, Any, Established | Established12]) -> None:
        self._machine = machine
        with _Guard(self):
            self._resume(None)
        self._raise_error()

    # What the application sees

    @property
    def connected(self) -> bool:
        """Whether the handshake is complete on this side, and nothing has failed."""
        return self._post is not None and self.error is None

    @property
    def need(self) -> Need | None:
        """What the handshake waits for, other than bytes of the peer."""
        return self._step if isinstance(self._step, Need) and self.error is None else None

    @property
    def awaitable(self) -> Any:
        """The awaitable that the signer or verifier of ``need`` returned, or None if it deferred."""
        return self._awaitable

    @property
    def peer_closed(self) -> bool:
        """Whether the peer's close_notify has come."""
        return self._read_closed

    @property
    def waiting_for(self) -> str:
        """What the handshake waits for, in words."""
        if isinstance(self._step, Expect):
            return f"the {self.info.role.peer}'s {self._step.names}"
        return "nothing" if self._step is None else f"our own {type(self._step).__name__.lower()} step"

    def receive(self, data: bytes | bytearray | memoryview) -> list[Result]:
        """Take bytes from the transport. Raises HandfastError once its alert is in ``outgoing``.

        ``data`` may be a buffer that is used again: no reference to it is kept.
        """
        if self._plain_reading:
            try:
                self._receive_connected(data)
            except BaseException as error:
                if not self._escaped(error):
                    raise
            return self._take_results()
        with _Guard(self):
            unwatched = self._post is not None and not self._watch.active
            if unwatched and not self._read_closed:
                self._receive_connected(data)
            elif not self._read_closed:
                self._records.feed(data)
                self._pump()
        return self._take_results()

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Seal application data of any size. Raises ApiMisuse before the handshake is complete and after ``close``."""
        self._raise_error()
        if self._post is None:
            raise ApiMisuse("not_connected")
        if self._write_closed:
            raise ApiMisuse("closed_for_writing")
        if self._busy:
            raise ApiMisuse("reentrant")
        size = len(data)
        if not size:
            return
        # Whoever hears of the records may call back in, between two keys at worst.
        self._busy = self._watch.wants_secrets
        try:
            if self._post.write_keys_due(size):
                self._post.renew_write_keys()
            self._records.write_application_data(data)
        except BaseException as error:
            if not self._escaped(error):
                raise
        finally:
            self._busy = False
        self._raise_error()

    def outgoing(self) -> bytes:
        """Take the bytes that the transport must carry now."""
        return self._records.take_outgoing()

    @property
    def wants_write(self) -> bool:
        """Whether ``outgoing`` has anything to give."""
        return self._records.wants_write

    def answer(self, need: Need, value: object) -> list[Result]:
        """Answer the pending need. Raises ApiMisuse for a need that is not the pending one."""
        with _Guard(self):
            self._check_need(need)
            self._resume(value)
            self._pump()
        return self._take_results()

    def fail(self, need: Need, error: BaseException) -> None:
        """Say that the pending need cannot be answered: the handshake ends with internal_error."""
        with _Guard(self):
            self._check_need(need)
            raise _need_failed(need, error)
        self._raise_error()

    def close(self) -> None:
        """Send close_notify: no more is written; what the peer still sends can be read. RFC 9846 6.1.

        Before the handshake is complete it ends it: every later call raises ConnectionLost given_up.
        """
        if self.error is not None or self._write_closed:
            return
        if self._post is None:
            self._fail(ConnectionLost("given_up", waiting=self.waiting_for))
        else:
            self._write_alert(CLOSE_NOTIFY, None)
            self._write_closed = True

    def eof(self) -> None:
        """The transport ended. Raises ConnectionLost unless the peer's close_notify came first. RFC 9846 6.1."""
        with _Guard(self):
            if not self._read_closed:
                self._read_closed = self._write_closed = True
                self._plain_reading = False
                self._tell_ended(self.info.role.peer, "eof")
                raise self._unexpected_eof()
        self._raise_error()

    def timed_out(self) -> None:
        """The handshake's deadline has passed. Raises ConnectionLost if the handshake is not complete."""
        with _Guard(self):
            if self._post is None:
                seconds = self._config.handshake_timeout
                raise ConnectionLost("handshake_timeout", seconds=seconds, waiting=self.waiting_for)
        self._raise_error()

    def lost(self, error: ConnectionLost) -> None:
        """The shell lost the transport: from now on every call raises ``error``, unless one is pending already."""
        if self.error is None:
            self.error = error
            self._plain_reading = False
            self._tell_ended(self.info.role.peer, "reset")

    def update_keys(self, *, request: bool = False) -> None:
        """Change our write keys, and with ``request`` ask the peer to change its own. RFC 9846 4.7.3."""
        with _Guard(self):
            if self._post is None or self._write_closed:
                raise ApiMisuse("not_connected" if self._post is None else "closed_for_writing")
            self._post.update_write_keys(UPDATE_REQUESTED if request else UPDATE_NOT_REQUESTED)
        self._raise_error()

    def export(self, label: str, context: bytes | None, length: int) -> bytes:
        """Exported keying material of ``length`` bytes. RFC 9846 7.5. Raises ApiMisuse before the handshake is over.

        No context, None, is the same as an empty one in TLS 1.3, and is not in TLS 1.2 (RFC 5705 4), which exports
        nothing without the extended main secret.
        """
        if self._established is None or self.error is not None:
            raise ApiMisuse("no_exporter")
        if isinstance(self._established, Established):
            return self._established.exporter.export(label, context or b"", length)
        return self._established.exporter.export(label, context, length)

    # Driving

    def _resume(self, value: object) -> None:
        """Let the handshake go on with ``value``, through every need that is answered at once."""
        machine = self._machine
        if machine is None:
            return
        try:
            while True:
                self._step = machine.send(value)
                if isinstance(self._step, Expect) or not self._ask(self._step):
                    # What was said so far need not wait with us.
                    self._handshake.flush()
                    return
                value, self._answer = self._answer, None
        except StopIteration as finished:
            self._complete(finished.value)

    def _ask(self, need: Need) -> bool:
        """Put the need to whoever answers it. False if the answer comes later, by ``answer``."""
        self._asked_at = self._seams.monotonic()
        try:
            answer = need.ask()
        except Exception as error:  # noqa: BLE001 (whatever a signer or verifier raises, the peer must not wait for it)
            raise _need_failed(need, error) from None
        if answer is not DEFERRED and not inspect.isawaitable(answer):
            self._answer = answer
            return True
        self._awaitable = None if answer is DEFERRED else answer
        if self._watch.active:
            where = getattr(self._machine, "gi_frame", None)
            line = "" if where is None else f"{where.f_code.co_name}:{where.f_lineno}"
            self._watch.emit(Waiting(self._watch.clock(), type(need).__name__, line))
        return False

    def _check_need(self, need: Need) -> None:
        if self.need is None:
            raise ApiMisuse("no_need")
        if need is not self._step:
            raise ApiMisuse("foreign_need")
        self._awaitable = None
        if self._watch.active:
            seconds = self._seams.monotonic() - self._asked_at
            self._watch.emit(Resumed(self._watch.clock(), type(need).__name__, seconds))

    def _complete(self, established: Established | Established12) -> None:
        self._handshake.flush()
        self._machine = None
        self._step = None
        self._established = established
        self._post = _post_handshake(self.info.role, self._records, established)
        self._records.joiner.handshake_over()
        self.info.complete = True
        self._plain_reading = not self._watch.wants_secrets
        self._results.append(HandshakeDone(self.info))
        if self._watch.active:
            self._watch.emit(HandshakeComplete(self._watch.clock(), self.info))

    def _pump(self) -> None:
        """Work through what is buffered, until bytes or an answer are missing."""
        while not self._read_closed:
            if self.need is not None:
                return
            if self._take_message():
                continue
            record = self._records.read()
            if record is None:
                return
            self._take_record(record)

    def _take_message(self) -> bool:
        joined = self._records.joiner.next()
        if joined is None:
            return False
        raw, record_indexes = joined
        message = self._parse(raw, record_indexes)
        if self._post is not None:
            self._post.receive(message)
        else:
            self._resume(message)
        return True

    def _parse(self, raw: bytes, record_indexes: tuple[int, ...]) -> HandshakeMessage:
        """Parse a message that may come now; one that may not is refused before its body is looked at."""
        step = self._step if self._post is None else self._post.expects
        if isinstance(step, Expect) and all(raw[0] != kind.HANDSHAKE_TYPE for kind in step.kinds):
            if self._watch.active:
                self._tell_if_it_decodes(raw, record_indexes)
            name = HandshakeType.describe(raw[0])
            raise PeerMisbehaved("unexpected_message", message=name, expected=step.names)
        message = parse_handshake(raw, self._handshake.messages)
        if self._watch.active:
            self._tell_message(message, raw, record_indexes)
        return message

    def _tell_message(self, message: HandshakeMessage, raw: bytes, record_indexes: tuple[int, ...]) -> None:
        now, direction = self._watch.time, self.info.role.peer.sends
        self._watch.emit(MessageSeen(now, direction, self._records.read_epoch, message, raw, record_indexes))

    def _tell_if_it_decodes(self, raw: bytes, record_indexes: tuple[int, ...]) -> None:
        try:
            self._tell_message(parse_handshake(raw, self._handshake.messages), raw, record_indexes)
        except (BadMessage, PeerMisbehaved):
            return

    def _tell_rest(self) -> None:
        """Tell of the messages behind the one that ended the connection: they came in the same record."""
        try:
            while (joined := self._records.joiner.next()) is not None:
                self._tell_if_it_decodes(*joined)
        except PeerMisbehaved:
            # What comes next is larger than any message may be.
            return

    def _take_record(self, record: Record) -> None:
        if record.content_type == HANDSHAKE:
            return
        if record.content_type == ALERT:
            self._take_alert(record)
        elif self._post is None:
            raise PeerMisbehaved("early_application_data")
        elif record.content:
            self._take_data(record.content)

    def _take_data(self, content: bytes | bytearray) -> None:
        self._received += len(content)
        if self._post is not None:
            self._post.application_data_came()
        self._results.append(Data(content))

    def _receive_connected(self, data: bytes | bytearray | memoryview) -> None:
        """The connected side that nobody watches: runs of application data are opened in one go."""
        while True:
            content, other = self._records.read_application_data(data)
            if content:
                self._take_data(content)
            if other is None:
                break
            self._take_record(other)
            while self._take_message():
                pass
            if self._read_closed:
                return
            data = b""
        self._pump()

    # Alerts and ends

    def _take_alert(self, record: Record) -> None:
        if len(record.content) != 2:
            raise PeerMisbehaved("bad_alert", length=len(record.content))
        level, description = record.content
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

    def _take_close_notify(self) -> None:
        self._read_closed = True
        self._plain_reading = False
        if self._post is None:
            self._write_closed = True
            raise ConnectionLost("eof_in_handshake", stage=f"a close_notify; we waited for {self.waiting_for}")
        self._results.append(PeerClosed())

    def _unexpected_eof(self) -> ConnectionLost:
        if self._post is None:
            return ConnectionLost("eof_in_handshake", stage=f"we had waited for {self.waiting_for}")
        cut = " and in the middle of a record" if self._records.buffered else ""
        return ConnectionLost("unexpected_eof", received=self._received, cut=cut)

    def _write_alert(self, description: int, error: HandfastError | None) -> None:
        warning = description in (CLOSE_NOTIFY, USER_CANCELED)
        level = AlertLevel.warning if warning else AlertLevel.fatal
        self._records.write(ALERT, Alert(level, description).encode())
        if self._watch.active:
            protected = self._records.write_protection is not None
            self._watch.alert(self.info.role.sends, level, description, authenticated=protected, error=error)

    def _fail(self, error: HandfastError) -> None:
        """The connection is dead: tell the peer what it may know, and keep the error without the frames it passed."""
        error.__traceback__ = error.__context__ = error.__cause__ = None
        self.error = error
        self._plain_reading = False
        self._machine = None
        if self._watch.active:
            self._tell_rest()
        if error.alert is not None and not self._write_closed:
            self._write_alert(error.alert, error)
            if error.alert == USER_CANCELED:
                # RFC 9846 6.1: it is no end by itself, and its receiver reads on.
                self._write_alert(CLOSE_NOTIFY, None)
        self._write_closed = True
        self._tell_ended(self.info.role, "eof")

    def _escaped(self, error: BaseException) -> bool:
        """Turn what left an entry into the connection's end; False for what must go on to the caller as it is."""
        if isinstance(error, ApiMisuse):
            return False
        if isinstance(error, HandfastError):
            self._fail(error)
            return True
        # PanicException of cryptography's Rust core is a BaseException, and no reason to leave a peer waiting.
        _log_bug(error)
        self._fail(LocalFailure("internal_error", reason=type(error).__name__))
        if not isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
            return True
        # It goes on to the caller, and the frames behind it hold secrets.
        error.__traceback__ = error.__context__ = error.__cause__ = None
        return False

    def _tell_ended(self, role: Role, how: str) -> None:
        if self._watch.active:
            self._watch.ended(role.sends, how, self._watch.clock())

    def _take_results(self) -> list[Result]:
        results, self._results = self._results, []
        if not results:
            self._raise_error()
        return results

    def _raise_error(self) -> None:
        """Raise the error that ended the connection, if one did, without the engine's frames and their secrets."""
        if self.error is not None:
            raise self.error.with_traceback(None)


class _Guard:
    """Around every entry: refuses re-entry, repeats the error of a dead connection, and turns what escapes into one.

    An error that is the caller's own fault leaves the connection as it was.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        connection = self._connection
        if connection._busy:
            raise ApiMisuse("reentrant")
        connection._raise_error()
        connection._busy = True

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        self._connection._busy = False
        return error is not None and self._connection._escaped(error)


def _post_handshake(
    role: Role, records: RecordLayer, established: Established | Established12
) -> PostHandshake | PostHandshake12:
    if isinstance(established, Established):
        return PostHandshake(role, records, established)
    from handfast.handshake.post12 import PostHandshake12

    return PostHandshake12(role, records)


def _log_bug(error: BaseException) -> None:
    """The traceback as text: a log handler that captures locals must not get at ours."""
    import logging
    import traceback

    logging.getLogger("handfast").error("internal error:\n%s", "".join(traceback.format_exception(error)))


def _need_failed(need: Need, error: BaseException) -> HandfastError:
    if isinstance(error, HandfastError) and not isinstance(error, ApiMisuse):
        return error
    reason = f"{type(error).__name__}: {error}"[: limits.MAX_PEER_TEXT]
    if isinstance(need, Sign):
        return LocalFailure("signing_failed", reason=reason)
    return LocalFailure("need_failed", need=type(need).__name__.lower(), reason=reason)
