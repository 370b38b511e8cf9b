"""One recorded connection: the bytes of both directions -> the events that a live side would have told.

There is no handshake machine here, because what was recorded may be broken, and then it is looked at most. Every
message that decodes is told and acted upon, wherever it stands. What the key log has is used; what it lacks is named
where it is missed, and from there on the records of that direction are told unopened. Which keys a message puts on is
``handshake13``'s and ``handshake12``'s. What only a recording has (missing bytes, messages that do not decode, hellos
in the framing of SSLv2) is told by ``Noted``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from handfast.crypto.suites import SUITES_13
from handfast.errors import BadMessage, HandfastError, PeerMisbehaved
from handfast.events import (
    Epoch,
    EventDispatcher,
    MessageSeen,
    Noted,
    RecordSeen,
    Secret,
    SecretDerived,
)
from handfast.keys import secret_names as keylog
from handfast.passive import sslv2
from handfast.passive.binders import check_binders
from handfast.passive.handshake12 import KEYLOG_LABEL, Handshake12
from handfast.passive.handshake13 import Handshake13
from handfast.passive.inflating import Inflater
from handfast.passive.keylog_reader import KeyLogSecrets
from handfast.passive.legacy import suite_for
from handfast.passive.proofs import Proofs
from handfast.passive.records import RecordStream
from handfast.passive.side import Side
from handfast.record.protection import Opened
from handfast.registry import AlertLevel, CipherSuite, HandshakeType, ProtocolVersion
from handfast.roles import Direction, Role
from handfast.text import escape
from handfast.wire import messages12
from handfast.wire.extensions import SupportedVersionsServerHello
from handfast.wire.frames import ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, HEARTBEAT, Frame
from handfast.wire.messages import (
    HANDSHAKE_HEADER,
    MESSAGES,
    ClientHello,
    HandshakeMessage,
    HelloRetryRequest,
    ServerHello,
)
from handfast.wire.messages_old import messages_of
from handfast.wire.parsing import parse_handshake

C2S, S2C = Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT
_TLS10, _TLS12 = int(ProtocolVersion.TLS10), int(ProtocolVersion.TLS12)
_TLS13 = int(ProtocolVersion.TLS13)
_SENDER = {role.sends: role for role in Role}
_HELLOS = frozenset({HandshakeType.client_hello, HandshakeType.server_hello})
_TYPES = frozenset(int(one) for one in HandshakeType)
_NO_HELLO = "the ServerHello, which would say how it is protected, is missing"


class Decoder:
    """Both directions of one connection. ``watch`` is told; ``secrets`` are what is known of all connections.

    ``streams`` may hold bytes already.
    """

    def __init__(
        self, watch: EventDispatcher, secrets: KeyLogSecrets, streams: Mapping[Direction, RecordStream] | None = None
    ) -> None:
        self._watch = watch
        self._known = secrets
        self._streams = streams or {direction: RecordStream() for direction in Direction}
        self._sides = {direction: Side(self._streams[direction]) for direction in Direction}
        self._proofs = Proofs(watch)
        self._hello: ClientHello | None = None
        self._server_hello: ServerHello | messages12.ServerHello | None = None
        # Why nothing can be read once keys are on, where it is known that nothing can be.
        self._foreign = ""
        # How records are compressed, 0 if they are not.
        self._compression = 0
        self._known_messages = MESSAGES
        self._handshake_13 = Handshake13(watch, self._sides, self._proofs)
        self._handshake_12: Handshake12 | None = None

    def feed(self, direction: Direction, data: bytes) -> None:
        """The next bytes of one direction; ``watch.clock`` says when they came."""
        self._streams[direction].feed(data)
        self.advance(direction)

    def advance(self, direction: Direction) -> None:
        """Tell the whole records that are there."""
        side = self._sides[direction]
        try:
            while not side.over and (frame := side.stream.next()) is not None:
                self._record(direction, side, frame)
        except ValueError:
            self.end(direction, "not_tls", self._watch.clock())

    def end(self, direction: Direction, how: str, time: float) -> None:
        """The direction's transport ended: ``how`` is as in ``Closed``."""
        self._watch.ended(direction, how, time)
        self._sides[direction].over = True

    def gap(self, direction: Direction, missing: int) -> None:
        """So many bytes of a direction were never recorded."""
        side = self._sides[direction]
        if side.over:
            return
        self._watch.tick()
        self._note(direction, "gap", f"{missing} bytes are missing from the recording here")
        side.stream.lose()
        side.start_over()
        side.skipped = 0
        side.lost += missing
        if side.inflater is not None:
            side.inflater.lose()
        self._not_whole()

    def changed(self, direction: Direction, count: int) -> None:
        """So many bytes of a direction were sent again with another content; the first one counts."""
        self._watch.tick()
        text = f"{count} bytes came again with another content; the first one is read"
        self._note(direction, "changed_retransmission", text)

    def _note(self, direction: Direction, code: str, text: str) -> None:
        self._watch.emit(Noted(time=self._watch.time, direction=direction, code=code, text=text))

    def _not_whole(self) -> None:
        self._proofs.whole = False
        if self._handshake_12 is not None:
            self._handshake_12.lost()

    # Records

    def _record(self, direction: Direction, side: Side, frame: Frame) -> None:
        index = side.records
        side.records += 1
        kind = frame.header[0]
        if len(frame.header) == sslv2.HEADER:
            self._sslv2_hello(direction, side, index, frame)
        elif self._is_protected(side, kind, frame):
            self._protected(direction, side, index, frame)
        elif kind == CHANGE_CIPHER_SPEC:
            self._tell_record(direction, index, Epoch.PLAINTEXT, frame, (kind, frame.body, 0))
            self._change_cipher_spec(direction, side)
        elif self._is_mysterious(side, kind, frame):
            side.epoch, side.missing = Epoch.UNKNOWN, _NO_HELLO
            self._protected(direction, side, index, frame)
        else:
            self._tell_record(direction, index, Epoch.PLAINTEXT, frame, (kind, frame.body, 0))
            # A plaintext message after keys are on is no part of the handshake; an alert may still tell something.
            if kind == ALERT or side.epoch is Epoch.PLAINTEXT:
                self._content(direction, side, index, kind, frame.body, protected=False)

    def _is_protected(self, side: Side, kind: int, frame: Frame) -> bool:
        older = self._handshake_12 is not None or bool(self._foreign) or self._before_13
        if kind == CHANGE_CIPHER_SPEC:
            return older and side.epoch is not Epoch.PLAINTEXT and frame.body != b"\1"
        return kind == APPLICATION_DATA or (older and side.epoch is not Epoch.PLAINTEXT)

    @property
    def _before_13(self) -> bool:
        return self._known_messages is not MESSAGES

    def _is_mysterious(self, side: Side, kind: int, frame: Frame) -> bool:
        """Whether a record that says it is a plain one cannot be, and nothing said that keys are on.

        In TLS 1.3 hellos come behind a change_cipher_spec too.
        """
        if self._handshake_13.suite is not None or side.epoch is not Epoch.PLAINTEXT:
            return False
        if kind == ALERT:
            return side.changed_cipher_spec and len(frame.body) != 2
        if kind != HANDSHAKE or not side.joiner.empty or side.skipped or not frame.body:
            return False
        if side.changed_cipher_spec:
            length = int.from_bytes(frame.body[1:HANDSHAKE_HEADER])
            return frame.body[0] not in _HELLOS or HANDSHAKE_HEADER + length != len(frame.body)
        if frame.body[0] in _HELLOS:
            return False
        at = 0
        while at < len(frame.body) and frame.body[at] in _TYPES:
            at += HANDSHAKE_HEADER + int.from_bytes(frame.body[at + 1 : at + HANDSHAKE_HEADER])
        return at < len(frame.body)

    def _protected(self, direction: Direction, side: Side, index: int, frame: Frame) -> None:
        opened, unread = self._open(direction, side, frame)
        kind = frame.header[0]
        self._tell_record(direction, index, side.epoch, frame, opened, unread)
        if unread:
            self._handshake_13.unread(direction, side)
            if self._handshake_12 is not None and kind == HANDSHAKE:
                self._handshake_12.lost()
            if kind == CHANGE_CIPHER_SPEC:
                self._note(direction, "renegotiation", "a second handshake goes on under the keys of the first")
        elif opened[0] == CHANGE_CIPHER_SPEC:
            self._change_cipher_spec(direction, side)
        else:
            self._handshake_13.read(direction, side)
            self._content(direction, side, index, opened[0], opened[1], protected=True)

    def _open(self, direction: Direction, side: Side, frame: Frame) -> tuple[Opened, str]:
        """Type, content and padding; or, if the record stays closed, its outer type and the reason."""
        unread = side.missing
        if side.protection is not None:
            before = side.protection
            try:
                opened = side.open(frame.header, frame.body)
            except PeerMisbehaved as error:
                unread = error.what
            else:
                if side.protection is not before:
                    self._handshake_13.tell_other_value(side.secret)
                return _inflated(side, opened)
        if side.inflater is not None:
            side.inflater.lose()
        later = self._handshake_13.try_upcoming(direction, side, frame.header, frame.body)
        return (later, "") if later is not None else ((frame.header[0], b"", 0), unread)

    def _tell_record(
        self, direction: Direction, index: int, epoch: Epoch, frame: Frame, opened: Opened, unread: str = ""
    ) -> None:
        now = self._watch.tick()
        self._watch.emit(
            RecordSeen(
                time=now,
                direction=direction,
                index=index,
                epoch=epoch,
                header=frame.header,
                body=frame.body,
                content_type=opened[0],
                content=opened[1],
                padding=opened[2],
                unreadable_reason=unread,
            )
        )

    def _content(
        self, direction: Direction, side: Side, index: int, kind: int, content: bytes, *, protected: bool
    ) -> None:
        if kind == ALERT and len(content) == 2:
            ends = (self._handshake_12 is None and not self._before_13) or content[0] != AlertLevel.warning
            self._watch.alert(direction, content[0], content[1], authenticated=protected, ends=ends)
        elif kind == HANDSHAKE:
            skipped = min(side.skipped, len(content))
            side.skipped -= skipped
            if len(content) > skipped:
                side.joiner.add(content[skipped:], index)
                self._messages(direction, side)
        elif kind == HEARTBEAT and content[:1] == b"\1" and len(content) < 3 + int.from_bytes(content[1:3]):
            asked = int.from_bytes(content[1:3])
            self._note(direction, "heartbleed", f"a heartbeat asks for {asked} bytes and holds {len(content) - 3}")

    def _sslv2_hello(self, direction: Direction, side: Side, index: int, frame: Frame) -> None:
        """A ClientHello in the framing of SSLv2, told as the one that it stands for. RFC 5246 E.2."""
        self._tell_record(direction, index, Epoch.PLAINTEXT, frame, (HANDSHAKE, frame.body, 0))
        self._note(direction, "sslv2_hello", "the hello comes in the framing of SSL 2.0")
        hello = sslv2.as_client_hello(frame.body)
        self._watch.emit(
            MessageSeen(
                time=self._watch.time,
                direction=direction,
                epoch=side.epoch,
                message=hello,
                raw=hello.raw,
                records=(index,),
            )
        )
        self._take_client_hello(direction, hello, frame.body)

    # Messages

    def _messages(self, direction: Direction, side: Side) -> None:
        try:
            while (raw := side.joiner.next()) is not None:
                self._message(direction, side, raw, side.joiner.records)
        except PeerMisbehaved as error:
            self._skip(direction, side, error)

    def _skip(self, direction: Direction, side: Side, error: HandfastError) -> None:
        """A message that is too large to be kept: what follows it may be read again, what proves it cannot."""
        rest = side.joiner.rest()
        length = HANDSHAKE_HEADER + int.from_bytes(rest[1:HANDSHAKE_HEADER])
        name = HandshakeType.describe(rest[0])
        self._note(direction, "message_not_kept", f"{name} of {length} bytes: {escape(error.what)}")
        self._not_whole()
        side.start_over()
        side.skipped = max(0, length - len(rest))
        if len(rest) > length:
            side.joiner.add(rest[length:], side.records - 1)
            self._messages(direction, side)

    def _message(self, direction: Direction, side: Side, raw: bytes, records: tuple[int, ...]) -> None:
        if side.epoch is Epoch.PLAINTEXT and raw[0] not in _HELLOS and not self._before_13:
            # Only before TLS 1.3 anything else comes in plaintext.
            self._known_messages = messages12.MESSAGES_12
        try:
            message = parse_handshake(raw, self._known_messages)
        except (BadMessage, PeerMisbehaved) as error:
            self._undecoded(direction, side, raw, error)
            return
        self._watch.emit(
            MessageSeen(
                time=self._watch.time, direction=direction, epoch=side.epoch, message=message, raw=raw, records=records
            )
        )
        if isinstance(message, ClientHello) and direction is C2S:
            self._take_client_hello(direction, message, raw)
        elif isinstance(message, messages12.ServerHello) and self._server_hello is None and direction is S2C:
            self._proofs.add(raw, Epoch.PLAINTEXT)
            self._take_server_hello_12(direction, message)
        elif self._handshake_12 is not None:
            self._handshake_12.take(_SENDER[direction], message)
        elif self._before_13:
            self._proofs.add(raw, side.epoch)
        else:
            self._take_13(direction, side, message, raw)

    def _undecoded(self, direction: Direction, side: Side, raw: bytes, error: HandfastError) -> None:
        self._note(direction, "undecoded", f"{HandshakeType.describe(raw[0])} of {len(raw)} bytes: {error.what}")
        if self._handshake_12 is not None:
            self._handshake_12.undecoded(_SENDER[direction], raw)
        else:
            self._proofs.add(raw, side.epoch)

    def _take_13(self, direction: Direction, side: Side, message: HandshakeMessage, raw: bytes) -> None:
        self._handshake_13.take(direction, message, raw)
        if isinstance(message, HelloRetryRequest):
            return
        if isinstance(message, ServerHello) and direction is S2C and self._server_hello is None:
            self._take_server_hello(message)

    def _take_client_hello(self, direction: Direction, message: ClientHello, raw: bytes) -> None:
        if direction is C2S and self._server_hello is not None and self._before_13:
            self._note(direction, "renegotiation", "a second handshake begins under the keys of the first")
            self._proofs = Proofs(self._watch)
            self._server_hello = None
        elif direction is C2S and self._server_hello is not None:
            self._proofs.add(raw, self._sides[direction].epoch)
            return
        derived = check_binders(self._watch, message, raw, self._proofs.hash_with, self._known)
        self._proofs.add(raw, Epoch.PLAINTEXT)
        self._hello = message
        if not self._before_13:
            self._handshake_13.client_hello(message, raw, {**derived, **self._known.of(message.random)})

    def _take_server_hello(self, hello: ServerHello) -> None:
        self._server_hello = hello
        version = hello.find(SupportedVersionsServerHello)
        selected = hello.legacy_version if version is None else version.selected_version
        suite = SUITES_13.get(hello.cipher_suite)
        if selected != _TLS13:
            self._foreign = f"{ProtocolVersion.describe(selected)} is not decoded"
        elif suite is None:
            self._foreign = f"{CipherSuite.describe(hello.cipher_suite)} is not decoded"
        if suite is None or self._foreign:
            self._follow_no_further()
            return
        self._handshake_13.server_hello(hello, suite)

    def _take_server_hello_12(self, direction: Direction, hello: messages12.ServerHello) -> None:
        self._server_hello = hello
        self._known_messages = messages_of(hello.server_version)
        suite = suite_for(hello.cipher_suite, hello.server_version)
        self._foreign = ""
        if not _TLS10 <= hello.server_version <= _TLS12:
            self._foreign = f"{ProtocolVersion.describe(hello.server_version)} is not decoded"
        elif suite is None:
            self._foreign = f"{CipherSuite.describe(hello.cipher_suite)} is not decoded"
        self._compression = hello.compression_method
        if self._compression:
            self._note(direction, "compressed", f"records are compressed (method {hello.compression_method})")
        if suite is None or self._foreign:
            self._follow_no_further()
            return
        client_random = b"" if self._hello is None else self._hello.random
        secrets = self._known.of(client_random).get(KEYLOG_LABEL, ())
        report = partial(self._report, client_random)
        hellos = self._hello, hello
        self._handshake_12 = Handshake12(self._watch, report, hellos, suite, secrets, self._proofs.messages)

    def _follow_no_further(self) -> None:
        self._handshake_12 = None
        for side in self._sides.values():
            side.missing = self._foreign

    def _change_cipher_spec(self, direction: Direction, side: Side) -> None:
        """Where TLS 1.2 puts keys on; in TLS 1.3 it means nothing."""
        side.changed_cipher_spec = True
        side.inflater = Inflater(self._compression) if self._compression else None
        if self._foreign:
            side.epoch = Epoch.UNKNOWN
        if self._handshake_12 is None:
            if self._before_13 and side.epoch is Epoch.PLAINTEXT:
                side.epoch, side.missing = Epoch.UNKNOWN, _NO_HELLO
            return
        keys = self._handshake_12.change_cipher_spec(_SENDER[direction])
        side.missing = f"{KEYLOG_LABEL} is not known"
        if keys:
            side.put_on(keys, Epoch.APPLICATION)
        else:
            side.epoch, side.protection, side.alternatives = Epoch.UNKNOWN, None, []
        side.joiner.handshake_over()

    def _report(
        self, client_random: bytes, name: str, label: str, inputs: tuple[str, ...], context: bytes, value: bytes
    ) -> None:
        keylog_label, level = keylog.about(name, keylog.SECRETS_12)
        self._watch.reveal(
            Secret(name=name, level=level, keylog_label=keylog_label, client_random=client_random, value=value)
        )
        self._watch.emit(SecretDerived(time=self._watch.time, name=name, label=label, inputs=inputs, context=context))


def _inflated(side: Side, opened: Opened) -> tuple[Opened, str]:
    """What was opened, without its compression; or, if that cannot be undone, its type and the reason."""
    if side.inflater is None:
        return opened, ""
    kind, content, padding = opened
    content = side.inflater.inflate(content)
    return (kind, content, padding if content else 0), side.inflater.obstacle
