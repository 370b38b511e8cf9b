"""One TLS connection without any I/O: bytes in, bytes out, results for the application, a need when it waits.

``receive`` takes what the transport brought and returns results; ``outgoing`` gives what the transport must carry; both
hold for every method here: after any call, whatever ``outgoing`` returns must be sent. When ``need`` is not None the
handshake waits for somebody other than the peer, and ``answer`` or ``fail`` lets it go on. Authentication after the
handshake has needs too, one at a time, and holds up nothing but itself.

An error is raised once its alert is queued (``alerts.py``); from then on the connection is dead and every later call
raises it again. Results that came before it in the same bytes are returned
first: ``receive`` then returns them, ``error`` is already set, and the next call raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handfast.connection_info import ConnectionInfo
from handfast.engine import channel_bindings
from handfast.engine.driver import Driver, EntryGuard
from handfast.engine.failures import answer_without, diagnosis_of
from handfast.engine.in_short import in_short
from handfast.engine.results import Data
from handfast.errors import ApiMisuse, ConnectionLost
from handfast.events import EventDispatcher
from handfast.handshake.post_handshake import UPDATE_NOT_REQUESTED, UPDATE_REQUESTED
from handfast.keys.established import Established
from handfast.record.layer import RecordLayer
from handfast.roles import Role

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handfast.config.config import Config
    from handfast.engine.results import Result
    from handfast.events import Observer, SecretSink
    from handfast.handshake import seams as seam
    from handfast.handshake.context import HandshakeContext
    from handfast.handshake.needs import Need
    from handfast.keys.established import ExtractedSecrets

# By whether our side has closed, and whether the peer's has.
_CLOSED_BY = {
    (False, False): "",
    (True, False): ", closed by this side",
    (False, True): ", closed by the peer",
    (True, True): ", closed by both sides",
}

# ``Data(content)`` calls an ``__init__`` in Python, which takes as long as a tenth of the decryption of a small record.
_new = object.__new__


class Connection(Driver):
    """What both roles share. Make a ``ClientConnection`` or a ``ServerConnection``."""

    def __init__(
        self,
        hands: type[HandshakeContext],
        config: Config,
        observers: Iterable[Observer],
        secret_sinks: Iterable[SecretSink],
        seams: seam.Seams,
    ) -> None:
        self.info = ConnectionInfo(hands.role)
        self._timeout = config.handshake_timeout
        self.deadline = seams.monotonic() + self._timeout
        self._seams = seams
        unheard = observers == () and secret_sinks == ()
        clock = seams.clock
        self._watch = EventDispatcher.unheard(clock) if unheard else EventDispatcher(observers, secret_sinks, clock)
        self._records = RecordLayer(hands.role, self._watch, config.max_fragment)
        self._handshake = hands(config, self._records, self._watch, seams, self.info)
        self._results = []

    # What the application sees

    @property
    def connected(self) -> bool:
        """Whether the handshake is complete on this side, and nothing has failed."""
        return self._post is not None and self.error is None

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
    def held(self) -> int:
        """Bytes that came and are not read yet: a part of a record, or all that came since the handshake waits.

        While a need holds up the handshake they are at most ``limits.UNJUDGED_BYTES``, or what one ``receive`` brought.
        """
        return self._records.buffered

    def receive(self, data: bytes | bytearray | memoryview) -> list[Result]:
        """Take bytes from the transport. Raises HandfastError once its alert is in ``outgoing``.

        Raises ApiMisuse unjudged_bytes, and takes none of ``data``, where the handshake waits for an answer and more
        than ``limits.UNJUDGED_BYTES`` would wait with it. They may come again after the answer.
        ``data`` may be a buffer that is used again: no reference to it is kept.
        """
        # As ``EntryGuard`` does, without one.
        if self.busy:
            raise ApiMisuse("reentrant")
        self.busy = True
        try:
            open_one = self._open_one
            if open_one is not None:
                content = open_one(data)
                if content:
                    # No results wait: whatever adds some takes them, too.
                    self._received += len(content)
                    result = _new(Data)
                    result.data = content
                    return [result]
            if self.error is None:
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
            self.busy = False
        return self._take_results()

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Seal application data of any size. Raises ApiMisuse before the handshake is complete and after ``close``."""
        # The usual case, in as few calls as can be: ``seal_one`` refuses as long as there is anything else to do.
        if type(data) is bytes and data and not self.busy:
            self.busy = True
            try:
                records = self._records
                record = records.seal_one(data)
                if record:
                    records.outgoing.append(record)
                    return
            except BaseException as error:
                if not self._escaped(error):
                    raise
            finally:
                self.busy = False
        self._raise_error()
        if self._post is None and not self._handshake.may_write_early:
            raise ApiMisuse("not_connected")
        if self._write_closed:
            raise ApiMisuse("closed_for_writing")
        if self.busy:
            raise ApiMisuse("reentrant")
        content = memoryview(data).cast("B")
        if not content:
            return
        self.busy = True
        try:
            if self._post is not None and self._post.write_keys_due(len(content)):
                self._post.renew_write_keys()
            self._records.write_application_data(content)
        except BaseException as error:
            if not self._escaped(error):
                raise
        finally:
            self.busy = False
        self._raise_error()

    def outgoing(self) -> bytes:
        """Take the bytes that the transport must carry now."""
        # In one step, so that a signal's handler finds only what was not taken.
        records = self._records
        taken, records.outgoing = records.outgoing, []
        # Joining only one copies nothing.
        return b"".join(taken)

    @property
    def wants_write(self) -> bool:
        """Whether ``outgoing`` has anything to give."""
        return bool(self._records.outgoing)

    def answer(self, need: Need, value: object) -> list[Result]:
        """Answer the pending need. Raises ApiMisuse for a need that is not the pending one."""
        with EntryGuard(self):
            self._check_need(need)
            self._take_answer(value)
        return self._take_results()

    def fail(self, need: Need, error: BaseException) -> list[Result]:
        """Say that the pending need cannot be answered: the handshake ends with internal_error.

        Without a ticket store or a replay guard it goes on, as a full one or without early data.
        """
        with EntryGuard(self):
            self._check_need(need)
            self._take_answer(answer_without(need, error))
        return self._take_results()

    def close(self) -> None:
        """Send close_notify: no more is written; what the peer still sends can be read. RFC 9846 6.1.

        Before the handshake is complete it ends it: every later call raises ConnectionLost given_up. Raises ApiMisuse
        reentrant.
        """
        if self.error is not None or self._write_closed:
            return
        with EntryGuard(self):
            if self._post is None:
                self._fail(ConnectionLost("given_up", waiting=self.waiting_for))
            else:
                self._write_closed = True
                self._write_close_notify()
                self._post.end_writing()

    def eof(self) -> list[Result]:
        """The transport ended. Raises ConnectionLost unless the peer's close_notify came first. RFC 9846 6.1.

        Where the configuration says ``unexpected_eof="end"`` it is a PeerClosed after the handshake, unless it cuts a
        record or a message. While a need holds up the handshake, the end waits behind the bytes that came before it.
        """
        with EntryGuard(self):
            self._transport_ended = True
            self._take_eof()
        return self._take_results()

    def timed_out(self) -> None:
        """The handshake's deadline has passed. Raises ConnectionLost if the handshake is not complete."""
        with EntryGuard(self):
            if self._post is None:
                raise ConnectionLost("handshake_timeout", seconds=self._timeout, waiting=self.waiting_for)
        self._raise_error()

    def lost(self, error: ConnectionLost) -> None:
        """The shell lost the transport: from now on every call raises ``error``, unless one is pending already."""
        if self.error is None:
            self.error = error
            error.hint_to(server=self.info.role is Role.SERVER)
            error.diagnosis = diagnosis_of(self.info, error)
            self._end_fast_path()
            self._tell_ended(self.info.role.peer, "reset")

    def update_keys(self, *, request: bool = False) -> None:
        """Change our write keys, and with ``request`` ask the peer to change its own. RFC 9846 4.7.3."""
        with EntryGuard(self):
            if self._post is None or self._write_closed:
                raise ApiMisuse("not_connected" if self._post is None else "closed_for_writing")
            self._post.update_write_keys(UPDATE_REQUESTED if request else UPDATE_NOT_REQUESTED)
        self._raise_error()

    def export(self, label: str, context: bytes | None, length: int) -> bytes:
        """Exported keying material of ``length`` bytes. RFC 9846 7.5. Raises ApiMisuse before the handshake is over.

        No context, None, is the same as an empty one in TLS 1.3, and is not in TLS 1.2 (RFC 5705 4), which exports
        nothing without the extended main secret. ApiMisuse bad_argument for what is no label, context or length.
        """
        if self._established is None or self.error is not None:
            raise ApiMisuse("no_exporter")
        _check_export(label, context, length)
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
        _check_export(label, context, length)
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
        with EntryGuard(self):
            if not self._handshake.config.enable_secret_extraction:
                raise ApiMisuse("extraction_not_enabled")
            if self._post is None or self._read_closed or self._write_closed:
                reason = "the handshake is not complete" if self._post is None else "a side has closed"
                raise ApiMisuse("cannot_extract", reason=reason)
            secrets = self._post.extract()
        self._raise_error()
        self.error = ApiMisuse("secrets_extracted")
        self._end_fast_path()
        return secrets

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.state}>"

    @property
    def state(self) -> str:
        """The connection in one line, for people: how far it is, what was negotiated, who the peer is."""
        known = in_short(self.info)
        if self.error is not None:
            state = f"ended, {self.error.code}"
        elif self._post is None:
            need = self.need
            state = "in its handshake" if need is None else f"in its handshake, waiting for {need.who}"
        else:
            state = f"connected{_CLOSED_BY[self._write_closed, self._read_closed]}"
        return f"{state}, {known}" if known else state


def _check_export(label: object, context: object, length: object) -> None:
    """ApiMisuse bad_argument for what is not of the kind that ``export`` takes."""
    if not isinstance(label, str):
        raise ApiMisuse("bad_argument", reason=f"a label is text, not {type(label).__name__}")
    if not isinstance(context, bytes | bytearray | memoryview | None):
        raise ApiMisuse("bad_argument", reason=f"a context is bytes, not {type(context).__name__}")
    if not isinstance(length, int):
        raise ApiMisuse("bad_argument", reason=f"a length is a number of bytes, not {length!r}")
