"""What drives a connection: bytes become messages, messages move the handshake, and needs are put to the program.

``_pump`` works through what is buffered; ``_resume`` lets the handshake's generator go on; ``_ask`` puts a need to the
program that answers it. ``EntryGuard`` stands around every entry of ``Connection``.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

from handfast import limits
from handfast.credentials.signers import DEFERRED
from handfast.crypto.suites import TAG_LENGTH
from handfast.engine import telling
from handfast.engine.alerts import Ends
from handfast.engine.failures import answer_without
from handfast.engine.results import Data, EarlyData, HandshakeDone, PeerAuthenticated
from handfast.errors import ApiMisuse, PeerMisbehaved
from handfast.events import HandshakeComplete, NeedAnswered, NeedAsked
from handfast.handshake.context import Expect, misused
from handfast.handshake.needs import Need
from handfast.handshake.post_handshake import PostHandshake
from handfast.keys.established import Established
from handfast.registry import HandshakeType
from handfast.roles import Role
from handfast.verdict import Verdict
from handfast.wire.frames import ALERT
from handfast.wire.recall import parse_or_recall

if TYPE_CHECKING:
    from handfast.handshake import seams as seam
    from handfast.handshake.context import Step
    from handfast.handshake.post_auth import Exchange, PostHandshakeAuthentication
    from handfast.keys.established12 import Established12
    from handfast.record.layer import Record

# The longest record of an alert: header, explicit nonce of TLS 1.2, the alert and its tag. RFC 5288 3.
_ALERT_RECORD = limits.RECORD_HEADER + 8 + 2 + TAG_LENGTH


class EntryGuard:
    """Around every entry: refuses re-entry, repeats the error of a dead connection, and turns what escapes into one.

    An error that is the caller's own fault leaves the connection as it was.
    """

    __slots__ = ("_driver",)

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def __enter__(self) -> None:
        driver = self._driver
        if driver.busy:
            raise ApiMisuse("reentrant")
        driver._raise_error()
        driver.busy = True

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        self._driver.busy = False
        return error is not None and self._driver._escaped(error)


class Driver(Ends):
    """Drives one connection of either role. How each begins stands on the class; what changes is set on the object."""

    _seams: seam.Seams
    # Whether the handshake waits for an answer, which must come before any more bytes are looked at.
    _paused = False
    _asked_at = 0.0
    _awaitable: Any = None
    _answer: object = None
    _established: Established | Established12 | None = None
    # Whether a call is under way: who comes in between, a callback or a signal's handler, gets ApiMisuse reentrant.
    busy = False
    # Whether bytes that come are most likely application data, which no observer hears of: then runs of records are
    # opened in one go.
    _opens_runs = False

    def _start(self, machine: Generator[Step, Any, Established | Established12]) -> None:
        self._machine = machine
        self.busy = True
        try:
            self._resume(None)
        except BaseException as error:
            if not self._escaped(error):
                raise
        finally:
            self.busy = False
        if self.error is not None:
            self._raise_error()

    @property
    def need(self) -> Need | None:
        """What the handshake waits for, other than bytes of the peer."""
        return self._step if isinstance(self._step, Need) and self.error is None else None

    def _take_answer(self, value: object) -> None:
        """Let go on what waited for a need: the handshake, or an exchange after it."""
        if self._paused:
            self._paused, self._open_one = False, None
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

    def _go_on(self, later: PostHandshakeAuthentication, exchange: Exchange, value: object) -> None:
        """Let an exchange after the handshake go on, then those in line, as far as they are answered at once."""
        while not (self._write_closed and self.info.role is Role.CLIENT):
            answered = later.go_on(exchange, value)
            if answered is not None:
                self._results.append(PeerAuthenticated(*answered))
            if self._step is not None or not later.queue:
                return
            self._machine, self._step = later.queue[0]
            if not self._ask(self._step):
                return
            value, self._answer = self._answer, None
            exchange = self._leave_line(later)

    def _leave_line(self, later: PostHandshakeAuthentication) -> Exchange:
        self._machine = self._step = None
        return later.queue.pop(0)[0]

    def _ask(self, need: Need) -> bool:
        """Put the need to its handler. False if the answer comes later, by ``answer``."""
        if self._watch.active:
            self._asked_at = self._seams.monotonic()
        # After the handshake too no callback may enter again.
        before, self.busy = self.busy, True
        try:
            answer = need.ask()
        except Exception as error:  # noqa: BLE001 (whatever a signer or verifier raises, the peer must not wait for it)
            answer = answer_without(need, error)
        finally:
            self.busy = before
        if isinstance(answer, (bytes, Verdict)) or (answer is not DEFERRED and not inspect.isawaitable(answer)):
            self._answer = answer
            return True
        self._awaitable = None if answer is DEFERRED else answer
        self._paused = self._post is None
        if self._paused:
            # What ``receive`` asks first, so that it asks nothing where the handshake does not wait.
            self._open_one = self._check_room
        if self._watch.active:
            where = getattr(self._machine, "gi_frame", None)
            line = "" if where is None else f"{where.f_code.co_name}:{where.f_lineno}"
            self._watch.emit(NeedAsked(time=self._watch.clock(), what=type(need).__name__, where=line))
        return False

    def _check_room(self, data: bytes | bytearray | memoryview) -> bytes:
        """Open nothing, as ``open_one`` may; ApiMisuse unjudged_bytes where too much would wait for the answer."""
        if self._records.buffered + len(data) > limits.UNJUDGED_BYTES:
            raise ApiMisuse("unjudged_bytes", limit=limits.UNJUDGED_BYTES)
        return b""

    def _check_need(self, need: Need) -> None:
        if self.need is None:
            raise ApiMisuse("no_need")
        if need is not self._step:
            raise ApiMisuse("foreign_need")
        self._awaitable = None
        if self._watch.active:
            seconds = self._seams.monotonic() - self._asked_at
            self._watch.emit(NeedAnswered(time=self._watch.clock(), what=type(need).__name__, seconds=seconds))

    def _complete(self, established: Established | Established12) -> None:
        if self._handshake.flight:
            self._handshake.flush()
        self._machine = self._step = None
        self._established = established
        if isinstance(established, Established):
            post = self._post = PostHandshake(self.info.role, self._records, established)
            if self.info.post_handshake_auth:
                from handfast.handshake.post_auth import PostHandshakeAuthentication

                self._later = post.authentication = PostHandshakeAuthentication(self._handshake, post.secrets)
        else:
            from handfast.handshake.tls12.post_handshake import PostHandshake12

            # Weak, or the two would keep each other alive until the garbage collector comes.
            decline = WeakMethod(self._decline_renegotiation)
            self._post = PostHandshake12(self.info.role, self._records, decline)
        self._records.handshake_over()
        self.info.complete = True
        if self._later is not None:
            self._end_fast_path()
        # What a client gets first are most often tickets, and a run would be tried in vain.
        if self.info.role is Role.SERVER:
            self._expect_data()
        self._results.append(HandshakeDone(self.info))
        if self._watch.active:
            self._watch.emit(HandshakeComplete(time=self._watch.clock(), info=self.info))

    def _expect_data(self) -> None:
        """From now on what comes is most likely application data."""
        self._opens_runs = not self._watch.active
        plain = self._later is None and not self._watch.wants_secrets and not self._read_closed
        self._open_one = self._records.open_one if plain else None

    def _pump(self) -> None:
        """Work through what is buffered, until bytes or an answer are missing."""
        records = self._records
        while not (self._read_closed or self._paused):
            found = records.next()
            if found is None:
                return
            if isinstance(found, bytes):
                self._take_message(found)
            else:
                self._take_record(found)

    def _take_message(self, raw: bytes) -> None:
        """Take a message. One that may not come now is refused before it is parsed."""
        post, watch = self._post, self._watch
        expected = self._step if post is None else post.expects
        if expected is None or raw[0] not in expected.types:
            if watch.active:
                telling.tell_if_it_decodes(watch, self._records, self._handshake.messages, raw)
            names = expected.names if isinstance(expected, Expect) else self.waiting_for
            raise PeerMisbehaved("unexpected_message", message=HandshakeType.describe(raw[0]), expected=names)
        message = parse_or_recall(raw, self._handshake.messages)
        if watch.active:
            telling.tell_message(watch, self._records, self._handshake.messages, raw)
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
        if len(data) <= _ALERT_RECORD:
            # Most often a close_notify, for which a run would be tried in vain.
            self._records.feed(data)
            self._pump()
            self._expect_data()
            return
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
            if record is not None:
                self._take_record(record)
            while (message := self._records.next_message()) is not None:
                self._take_message(message)
            if self._read_closed:
                return
            data = b""
        if self._records.buffered:
            self._pump()
        self._expect_data()
