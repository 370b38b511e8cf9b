"""One TLS connection without any I/O: bytes in, bytes out, results for the application, a need when it waits.

``receive`` takes what the transport brought and returns results; ``outgoing`` gives what the transport must carry; both
hold for every method here: after any call, whatever ``outgoing`` returns must be sent. When ``need`` is not None the
handshake waits for somebody other than the peer, and ``answer`` or ``fail`` lets it go on. Authentication after the
handshake has needs too, one at a time, and holds up nothing but itself.

This is the only place where an error becomes an alert. It is raised once its alert is queued, from then on the
connection is dead and every later call raises it again. Results that came before it in the same bytes are returned
first: ``receive`` then returns them, ``error`` is already set, and the next call raises.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any

from handfast import limits
from handfast.credentials.signers import DEFERRED
from handfast.engine import channel_bindings, telling
from handfast.engine.failures import Guard, answer_without, cut_by_eof, log_bug
from handfast.engine.results import Data, EarlyData, HandshakeDone, PeerAuthenticated, PeerClosed, Result
from handfast.errors import (
    ApiMisuse,
    ConnectionLost,
    HandfastError,
    LocalFailure,
    PeerMisbehaved,
    PeerRejected,
)
from handfast.events import HandshakeComplete, Observer, Resumed, Role, SecretSink, Waiting, Watch
from handfast.handshake import seams as seam
from handfast.handshake.flow import Expect, Handshake, Step, misused
from handfast.handshake.info import ConnectionInfo
from handfast.handshake.needs import Need
from handfast.handshake.post import UPDATE_NOT_REQUESTED, UPDATE_REQUESTED, PostHandshake
from handfast.handshake.post_auth import LaterAuthentication
from handfast.keys.established import Established
from handfast.record.layer import ALERT, HANDSHAKE, Record, RecordLayer
from handfast.registry import AlertDescription, AlertLevel, HandshakeType
from handfast.trust.verdict import Verdict
from handfast.wire.alerts import Alert
from handfast.wire.recall import parse_or_recall

if TYPE_CHECKING:
    from handfast.handshake.config import Config
    from handfast.handshake.post12 import PostHandshake12
    from handfast.handshake.post_auth import Exchange
    from handfast.keys.established import ExtractedSecrets
    from handfast.keys.established12 import Established12

CLOSE_NOTIFY = int(AlertDescription.close_notify)
USER_CANCELED = int(AlertDescription.user_canceled)


class Connection:
    """What both roles share. Make a ``ClientConnection`` or a ``ServerConnection``."""

    # How every connection begins; what changes is set on the connection.
    error: HandfastError | None = None
    _machine: Generator[Step, Any, Any] | None = None
    _step: Step | None = None
    # Whether the handshake waits for an answer, which must come before any more bytes are looked at.
    _paused = False
    _asked_at = 0.0
    _awaitable: Any = None
    _post: PostHandshake | PostHandshake12 | None = None
    _later: LaterAuthentication | None = None
    _established: Established | Established12 | None = None
    _received = 0
    _user_canceled = 0
    _warnings = 0
    _transport_ended = False
    _read_closed = False
    _write_closed = False
    _busy = False
    # Whether bytes that come are most likely application data, of which nobody hears but the application: then runs of
    # records are opened in one go.
    _opens_runs = False
    # Opens a record that came by itself, as long as nothing else is under way and nobody can call back in.
    _open_one: Callable[[bytes | bytearray | memoryview], bytes | bytearray] | None = None
    _answer: object = None

    def __init__(
        self,
        hands: type[Handshake],
        config: Config,
        observers: Iterable[Observer],
        secret_sinks: Iterable[SecretSink],
        seams: seam.Seams,
    ) -> None:
        self.info = ConnectionInfo(hands.role)
        self.deadline = seams.monotonic() + config.handshake_timeout
        self._timeout = config.handshake_timeout
        self._seams = seams
        self._watch = Watch(observers, secret_sinks, seams.clock)
        self._records = RecordLayer(hands.role, self._watch, config.max_fragment)
        self._handshake = hands(config, self._records, self._watch, seams, self.info)
        self._results: list[Result] = []

    def _start(self, machine: Generator[Step, Any, Established | Established12]) -> None:
        self._machine = machine
        self._busy = True
        try:
            self._resume(None)
        except BaseException as error:
            if not self._escaped(error):
                raise
        finally:
            self._busy = False
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
        """Whether the peer's close_notify has come, or what counts as such."""
        return self._read_closed

    @property
    def trailing_data(self) -> bytes:
        """What came behind the peer's close_notify: plaintext, for a protocol that goes on without TLS.

        Raises ApiMisuse trailing_data_lost after more than ``limits.TRAILING_DATA`` bytes.
        """
        return self._records.trailing_data if self._read_closed and self.error is None else b""

    @property
    def heard(self) -> bool:
        """Whether any byte of the peer has come, for the log of a handshake that failed."""
        return self._records.heard

    @property
    def waiting_for(self) -> str:
        """What the handshake waits for, in words."""
        if isinstance(self._step, Expect):
            return f"the {self.info.role.peer}'s {self._step.names}"
        return "nothing" if self._step is None else self._step.who

    def receive(self, data: bytes | bytearray | memoryview) -> list[Result]:
        """Take bytes from the transport. Raises HandfastError once its alert is in ``outgoing``.

        ``data`` may be a buffer that is used again: no reference to it is kept.
        """
        open_one = self._open_one
        if open_one is not None:
            try:
                content = open_one(data)
            except BaseException as error:
                if not self._escaped(error):
                    raise
                return self._take_results()
            if content:
                # No results wait: whatever adds some takes them, too.
                self._received += len(content)
                return [Data(content)]
        # As ``Guard`` does, without one.
        if self._busy:
            raise ApiMisuse("reentrant")
        if self.error is not None:
            self._raise_error()
        self._busy = True
        try:
            if self._read_closed:
                self._records.keep_trailing_data(data)
            elif self._opens_runs:
                self._receive_connected(data)
            else:
                self._records.feed(data)
                self._pump()
        except BaseException as error:
            if not self._escaped(error):
                raise
        finally:
            self._busy = False
        return self._take_results()

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Seal application data of any size. Raises ApiMisuse before the handshake is complete and after ``close``."""
        try:
            # The usual case, in as few calls as can be: ``seal_one`` refuses as long as there is anything else to do.
            records = self._records
            protection = records.write_protection
            if protection is not None and type(data) is bytes and 0 < len(data) <= records.fragment_limit:
                record = protection.seal_one(data)
                if record:
                    records.outgoing.append(record)
                    return
        except BaseException as error:
            if not self._escaped(error):
                raise
        self._raise_error()
        if self._post is None and not self._handshake.may_write_early:
            raise ApiMisuse("not_connected")
        if self._write_closed:
            raise ApiMisuse("closed_for_writing")
        if self._busy:
            raise ApiMisuse("reentrant")
        content = memoryview(data).cast("B")
        if not content:
            return
        # Whoever hears of the records may call back in, between two keys at worst.
        self._busy = self._watch.wants_secrets
        try:
            if self._post is not None and self._post.write_keys_due(len(content)):
                self._post.renew_write_keys()
            self._records.write_application_data(content)
        except BaseException as error:
            if not self._escaped(error):
                raise
        finally:
            self._busy = False
        self._raise_error()

    def outgoing(self) -> bytes:
        """Take the bytes that the transport must carry now."""
        outgoing = self._records.outgoing
        if len(outgoing) == 1:
            return outgoing.pop()
        taken = b"".join(outgoing)
        outgoing.clear()
        return taken

    @property
    def wants_write(self) -> bool:
        """Whether ``outgoing`` has anything to give."""
        return bool(self._records.outgoing)

    def answer(self, need: Need, value: object) -> list[Result]:
        """Answer the pending need. Raises ApiMisuse for a need that is not the pending one."""
        with Guard(self):
            self._check_need(need)
            self._take_answer(value)
        return self._take_results()

    def fail(self, need: Need, error: BaseException) -> list[Result]:
        """Say that the pending need cannot be answered: the handshake ends with internal_error.

        Without a ticket store or a replay guard it goes on, as a full one or without early data.
        """
        with Guard(self):
            self._check_need(need)
            self._take_answer(answer_without(need, error))
        return self._take_results()

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
            self._post.end_writing()

    def eof(self) -> list[Result]:
        """The transport ended. Raises ConnectionLost unless the peer's close_notify came first. RFC 9846 6.1.

        Where the configuration says ``unexpected_eof="end"`` it is a PeerClosed after the handshake, unless it cuts a
        record or a message. While a need holds up the handshake, the end waits behind the bytes that came before it.
        """
        with Guard(self):
            self._transport_ended = True
            self._take_eof()
        return self._take_results()

    def timed_out(self) -> None:
        """The handshake's deadline has passed. Raises ConnectionLost if the handshake is not complete."""
        with Guard(self):
            if self._post is None:
                raise ConnectionLost("handshake_timeout", seconds=self._timeout, waiting=self.waiting_for)
        self._raise_error()

    def lost(self, error: ConnectionLost) -> None:
        """The shell lost the transport: from now on every call raises ``error``, unless one is pending already."""
        if self.error is None:
            self.error = error
            error.hint_to(server=self.info.role is Role.SERVER)
            self._end_plain()
            self._tell_ended(self.info.role.peer, "reset")

    def update_keys(self, *, request: bool = False) -> None:
        """Change our write keys, and with ``request`` ask the peer to change its own. RFC 9846 4.7.3."""
        with Guard(self):
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

    def export_early(self, label: str, context: bytes, length: int) -> bytes:
        """Keying material bound to early data, which a replay of it would share. RFC 9846 7.5.

        Raises ApiMisuse where no early data was sent, or the server did not take it.
        """
        exporter = self._handshake.early_exporter
        if exporter is None or self.error is not None:
            raise ApiMisuse("no_exporter")
        return exporter.export(label, context, length)

    def channel_binding(self, kind: str) -> bytes:
        """``tls-exporter`` (32 bytes, RFC 9266) or ``tls-server-end-point`` (the size of a hash, RFC 5929 4).

        In TLS 1.2 also ``tls-unique`` (12 bytes, RFC 5929 3); all there but the second need the extended main secret.
        Raises ApiMisuse before the handshake is over and where there is no such binding.
        """
        if self._established is None or self.error is not None:
            raise ApiMisuse("no_exporter")
        if kind == channel_bindings.TLS_EXPORTER:
            return self.export(channel_bindings.EXPORTER_LABEL, b"", channel_bindings.EXPORTER_LENGTH)
        return channel_bindings.of(kind, self._established, self.info)

    def extract_secrets(self) -> ExtractedSecrets:
        """Give the traffic keys away, for TLS in the kernel: from now on every call raises ApiMisuse secrets_extracted.

        Their user must count the records, and answer tickets, KeyUpdates and alerts; a second user of the same
        keys would give the plaintext away. Raises ApiMisuse extraction_not_enabled without the configuration's
        ``enable_secret_extraction``, cannot_extract before the handshake is complete, after a close, and while bytes
        wait to be read or sent, or an authentication after the handshake is under way.
        """
        with Guard(self):
            if not self._handshake.config.enable_secret_extraction:
                raise ApiMisuse("extraction_not_enabled")
            if self._post is None or self._read_closed or self._write_closed:
                reason = "the handshake is not complete" if self._post is None else "a side has closed"
                raise ApiMisuse("cannot_extract", reason=reason)
            secrets = self._post.extract()
        self._raise_error()
        self.error = ApiMisuse("secrets_extracted")
        self._end_plain()
        return secrets

    # Driving

    def _take_answer(self, value: object) -> None:
        """Let go on what waited for a need: the handshake, or an exchange after it."""
        self._paused = False
        if self._later is None:
            self._resume(value)
        else:
            self._go_on(self._later, self._leave_line(self._later), value)
        self._pump()
        self._take_eof()

    def _resume(self, value: object) -> None:
        """Let the handshake go on with ``value``, through every need that is answered at once."""
        machine = self._machine
        if machine is None:
            return
        try:
            while True:
                step = self._step = machine.send(value)
                if isinstance(step, Expect) or not self._ask(step):
                    # What was said so far need not wait with us.
                    if self._handshake.flight:
                        self._handshake.flush()
                    return
                value, self._answer = self._answer, None
        except StopIteration as finished:
            self._complete(finished.value)
        except ApiMisuse as error:
            raise misused(error) from None

    def _go_on(self, later: LaterAuthentication, exchange: Exchange, value: object) -> None:
        """Let an exchange after the handshake go on, then those in line, as far as they are answered at once."""
        while not (self._write_closed and self.info.role is Role.CLIENT):
            answered = later.go_on(exchange, value)
            if answered is not None:
                self._results.append(PeerAuthenticated(*answered))
            if self._step is not None or not later.line:
                return
            self._machine, self._step = later.line[0]
            if not self._ask(self._step):
                return
            value, self._answer = self._answer, None
            exchange = self._leave_line(later)

    def _leave_line(self, later: LaterAuthentication) -> Exchange:
        self._machine = self._step = None
        return later.line.pop(0)[0]

    def _ask(self, need: Need) -> bool:
        """Put the need to its handler. False if the answer comes later, by ``answer``."""
        if self._watch.active:
            self._asked_at = self._seams.monotonic()
        # After the handshake too nobody may call back in.
        before, self._busy = self._busy, True
        try:
            answer = need.ask()
        except Exception as error:  # noqa: BLE001 (whatever a signer or verifier raises, the peer must not wait for it)
            answer = answer_without(need, error)
        finally:
            self._busy = before
        if isinstance(answer, (bytes, Verdict)) or (answer is not DEFERRED and not inspect.isawaitable(answer)):
            self._answer = answer
            return True
        self._awaitable = None if answer is DEFERRED else answer
        self._paused = self._post is None
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
        if self._handshake.flight:
            self._handshake.flush()
        self._machine = self._step = None
        self._established = established
        if isinstance(established, Established):
            post = self._post = PostHandshake(self.info.role, self._records, established)
            if self.info.post_handshake_auth:
                self._later = post.authentication = LaterAuthentication(self._handshake, post.secrets)
        else:
            from handfast.handshake.post12 import PostHandshake12

            self._post = PostHandshake12(self.info.role, self._records)
        self._records.joiner.handshake_over()
        self.info.complete = True
        if self._later is not None:
            self._end_plain()
        # What a client gets first are most often tickets, and a run would be tried in vain.
        if self.info.role is Role.SERVER:
            self._expect_data()
        self._results.append(HandshakeDone(self.info))
        if self._watch.active:
            self._watch.emit(HandshakeComplete(self._watch.clock(), self.info))

    def _expect_data(self) -> None:
        """From now on what comes is most likely application data."""
        self._opens_runs = not self._watch.active
        plain = self._later is None and not self._watch.wants_secrets and not self._read_closed
        self._open_one = self._records.open_one if plain else None

    def _pump(self) -> None:
        """Work through what is buffered, until bytes or an answer are missing."""
        records = self._records
        if records.joiner.buffer:
            self._take_messages()
        while not (self._read_closed or self._paused):
            record = records.read()
            if record is None:
                return
            if record.content_type == HANDSHAKE:
                self._take_messages()
            else:
                self._take_record(record)

    def _take_messages(self) -> None:
        """Take the messages that are there whole, until an answer is missing.

        One that may not come now is refused before it is parsed.
        """
        joiner, watch = self._records.joiner, self._watch
        while joiner.buffer:
            post = self._post
            step = self._step if post is None else post.expects
            if not isinstance(step, Expect):
                return
            raw = joiner.next()
            if raw is None:
                return
            if raw[0] not in step.types:
                if watch.active:
                    telling.tell_if_it_decodes(self, raw)
                name = HandshakeType.describe(raw[0])
                raise PeerMisbehaved("unexpected_message", message=name, expected=step.names)
            message = parse_or_recall(raw, self._handshake.messages)
            if watch.active:
                telling.tell_message(self, raw)
            if post is None:
                self._resume(message)
            elif (exchange := post.receive(message)) is not None and self._later is not None:
                self._go_on(self._later, exchange, message)

    def _take_record(self, record: Record) -> None:
        if record.content_type == ALERT:
            self._take_alert(record)
        elif self._post is None:
            self._take_early_data(record.content)
        elif record.content:
            self._take_data(record.content)

    def _take_early_data(self, content: bytes) -> None:
        left = self._handshake.early_data_left
        if left is None:
            raise PeerMisbehaved("early_application_data")
        if len(content) > left:
            raise PeerMisbehaved("too_much_early_data")
        self._handshake.early_data_left = left - len(content)
        if content:
            self._results.append(EarlyData(content))

    def _take_data(self, content: bytes | bytearray) -> None:
        self._received += len(content)
        if self._later is not None:
            self._later.refuse_data()
        if not self._opens_runs:
            self._expect_data()
        self._results.append(Data(content))

    def _receive_connected(self, data: bytes | bytearray | memoryview) -> None:
        """The connected side without observers: runs of application data are opened in one go."""
        while True:
            content, other = self._records.read_application_data(data)
            if content:
                self._take_data(content)
            if other is None:
                # A run may end for want of room, and go on.
                if not content or not self._records.buffered:
                    break
                data = b""
                continue
            content_type, rest, _ = other
            record = self._records.opened(content_type, rest)
            if content_type != HANDSHAKE:
                self._take_record(record)
            self._take_messages()
            if self._read_closed:
                return
            data = b""
        if self._records.buffered:
            self._pump()
        self._expect_data()

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
        self._open_one = None
        if self._post is None:
            self._write_closed = True
            raise ConnectionLost("eof_in_handshake", stage=f"a close_notify; we waited for {self.waiting_for}")
        self._records.keep_trailing_data()
        self._results.append(PeerClosed())

    def _take_eof(self) -> None:
        """Judge the transport's end, if it has come and all that came before it is read."""
        cut = cut_by_eof(self._records, self._later)
        unread = self._post is None and isinstance(self._step, Need) and self._records.unread
        if not self._transport_ended or self._read_closed or unread:
            return
        self._read_closed = True
        self._end_plain()
        self._tell_ended(self.info.role.peer, "eof")
        if self._post is None:
            raise ConnectionLost("eof_in_handshake", stage=f"we had waited for {self.waiting_for}")
        if cut or self._handshake.config.unexpected_eof != "end":
            self._write_closed = True
            where = f" and in the middle of a {cut}" if cut else ""
            raise ConnectionLost("unexpected_eof", received=self._received, cut=bool(cut), where=where)
        self._results.append(PeerClosed(close_notify=False))

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
        self.error, self._machine = error, None
        error.hint_to(server=self.info.role is Role.SERVER)
        if self._handshake.messages is not Handshake.messages:
            error.cite_tls12()
        self._end_plain()
        if self._watch.active:
            telling.tell_rest(self)
        if error.alert is not None and not self._write_closed:
            self._write_alert(error.alert, error)
            if error.alert == USER_CANCELED:
                # RFC 9846 6.1: it is no end by itself, and its receiver reads on.
                self._write_alert(CLOSE_NOTIFY, None)
        self._write_closed = True
        self._tell_ended(self.info.role, "eof")

    def _end_plain(self) -> None:
        """From now on every byte, in both directions, goes the way on which everything is checked."""
        self._open_one = None
        self._records.write_plain_until(0)

    def _escaped(self, error: BaseException) -> bool:
        """Turn what left an entry into the connection's end; False for what must go on to the caller as it is."""
        if isinstance(error, ApiMisuse):
            return False
        if isinstance(error, HandfastError):
            self._fail(error)
            return True
        # PanicException of cryptography's Rust core is a BaseException, and no reason to leave a peer waiting.
        log_bug(error)
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
        if not results and self.error is not None:
            self._raise_error()
        return results

    def _raise_error(self) -> None:
        """Raise the error that ended the connection, if one did, without the engine's frames and their secrets."""
        if self.error is not None:
            raise self.error.with_traceback(None)
