"""One recorded connection: the bytes of both directions -> the events that a live side would have told.

There is no handshake machine here, because what was recorded may be broken, and then it is looked at most. Every
message that decodes is told and acted upon, wherever it stands: a ServerHello puts handshake keys on, a Finished
application keys, a KeyUpdate the next ones; TLS 1.2 is ``handshake12``'s. What the key log has is used; what it lacks
is named where it is missed, and from there on the records of that direction are told unopened.

Two rules keep this in step with a side that refuses. Keys go on only if the key log has them, and a side that gave up
had derived no more. And a wrong proof has no effect; if the records go on all the same, they open with the next keys,
which are tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from handfast.crypto.suites import SUITES_13, Suite13
from handfast.crypto.suites12 import SUITES_12
from handfast.errors import BadMessage, PeerMisbehaved
from handfast.events import (
    Epoch,
    EventDispatcher,
    KeysChanged,
    MessageSeen,
    Negotiated,
    RecordSeen,
    Secret,
    SecretDerived,
)
from handfast.keys import secret_names as keylog
from handfast.keys.schedule import TrafficSecret
from handfast.limits import MAX_CIPHERTEXT_12, RECORD_HEADER
from handfast.passive.handshake12 import KEYLOG_LABEL, Handshake12, selected_protocol
from handfast.passive.keylog_reader import KeyLogSecrets
from handfast.passive.proofs import Proofs
from handfast.record.layer import ALERT, APPLICATION_DATA, BEFORE_KEYS, CHANGE_CIPHER_SPEC, HANDSHAKE
from handfast.record.protection import Opened, Protection13
from handfast.record.protection12 import Protection12
from handfast.registry import AlertLevel, CipherSuite, ContentType, ProtocolVersion
from handfast.roles import Direction, Role
from handfast.wire import messages12
from handfast.wire.extensions import (
    EarlyDataIndication,
    KeyShareServerHello,
    SupportedVersionsServerHello,
)
from handfast.wire.joiner import HandshakeJoiner
from handfast.wire.messages import (
    MESSAGES,
    ClientHello,
    EncryptedExtensions,
    EndOfEarlyData,
    Finished,
    HandshakeMessage,
    HelloRetryRequest,
    KeyUpdate,
    ServerHello,
)
from handfast.wire.parsing import parse_handshake

C2S, S2C = Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT
_TLS12, _TLS13 = ProtocolVersion.TLS12, ProtocolVersion.TLS13
_SENDER = {role.sends: role for role in Role}

# What a key log holds of the schedule -> its HKDF label and the secret that it is derived from. RFC 9846 7.1.
_DERIVATIONS = {
    "client_early_traffic_secret": ("c e traffic", "early_secret"),
    "early_exporter_secret": ("e exp master", "early_secret"),
    "client_handshake_traffic_secret": ("c hs traffic", "handshake_secret"),
    "server_handshake_traffic_secret": ("s hs traffic", "handshake_secret"),
    "client_application_traffic_secret_0": ("c ap traffic", "main_secret"),
    "server_application_traffic_secret_0": ("s ap traffic", "main_secret"),
    "exporter_secret": ("exp master", "main_secret"),
}
_EARLY_SECRET = "client_early_traffic_secret"
_HANDSHAKE_SECRETS = {C2S: "client_handshake_traffic_secret", S2C: "server_handshake_traffic_secret"}
_APPLICATION_SECRETS = {C2S: "client_application_traffic_secret_0", S2C: "server_application_traffic_secret_0"}


class _Side:
    """What one direction's sender has said so far, and the keys to it."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.joiner = HandshakeJoiner(tracking=True)
        self.records = 0
        self.epoch = Epoch.PLAINTEXT
        self.protection: Protection13 | Protection12 | None = None
        # Why there is no protection, if there is none.
        self.missing = BEFORE_KEYS
        self.secret: TrafficSecret | None = None
        # The handshake keys, while early data is still being sent.
        self.after_early: TrafficSecret | None = None
        # The application keys, from the moment in which the suite is known until they are on.
        self.upcoming: tuple[TrafficSecret, Protection13] | None = None
        # False from a wrong proof on, until records come under other keys all the same.
        self.believed = True
        self.over = False


class Decoder:
    """Both directions of one connection. ``watch`` is told; ``secrets`` are what is known of all connections."""

    def __init__(self, watch: EventDispatcher, secrets: KeyLogSecrets) -> None:
        self._watch = watch
        self._known = secrets
        self._secrets: Mapping[str, bytes] = {}
        self._sides = {direction: _Side() for direction in Direction}
        self._proofs = Proofs(watch)
        self._hello: ClientHello | None = None
        self._server_hello: ServerHello | messages12.ServerHello | None = None
        self._suite: Suite13 | None = None
        self._client_random = b""
        self._foreign = ""
        self._known_messages = MESSAGES
        self._handshake_12: Handshake12 | None = None
        self._application_secrets_told = False
        # Whether what a client sends may be early data whose keys are not known: False until it is known that the
        # server took it, None once it cannot be any more.
        self._early_unread: bool | None = None

    def feed(self, direction: Direction, data: bytes) -> None:
        """The next bytes of one direction; ``watch.clock`` says when they came."""
        side = self._sides[direction]
        side.buffer += data
        while not side.over and (frame := self._next_frame(direction, side)):
            self._record(direction, side, *frame)

    def end(self, direction: Direction, how: str, time: float) -> None:
        """The direction's transport ended: ``how`` is as in ``Closed``."""
        self._watch.ended(direction, how, time)
        self._sides[direction].over = True

    # Records

    def _next_frame(self, direction: Direction, side: _Side) -> tuple[bytes, bytes] | None:
        buffer = side.buffer
        if len(buffer) < RECORD_HEADER:
            return None
        length = buffer[3] << 8 | buffer[4]
        known = ContentType.change_cipher_spec <= buffer[0] <= ContentType.application_data
        if not known or buffer[1] != 3 or length > MAX_CIPHERTEXT_12:
            self.end(direction, "not_tls", self._watch.clock())
            return None
        end = RECORD_HEADER + length
        if len(buffer) < end:
            return None
        frame = bytes(buffer[:RECORD_HEADER]), bytes(buffer[RECORD_HEADER:end])
        del buffer[:end]
        return frame

    def _record(self, direction: Direction, side: _Side, header: bytes, body: bytes) -> None:
        index = side.records
        side.records += 1
        kind = header[0]
        if kind == CHANGE_CIPHER_SPEC:
            self._tell_record(direction, index, Epoch.PLAINTEXT, header, body, (kind, body, 0))
            self._change_cipher_spec(direction, side)
        elif self._foreign and side.epoch is Epoch.UNKNOWN:
            self._tell_record(direction, index, side.epoch, header, body, (kind, b"", 0), self._foreign)
        elif kind == APPLICATION_DATA or (self._handshake_12 is not None and side.epoch is not Epoch.PLAINTEXT):
            self._protected(direction, side, index, header, body)
        else:
            self._tell_record(direction, index, Epoch.PLAINTEXT, header, body, (kind, body, 0))
            # A plaintext message after keys are on is no part of the handshake; an alert may still tell something.
            if kind == ALERT or side.epoch is Epoch.PLAINTEXT:
                self._content(direction, side, index, kind, body, protected=False)

    def _protected(self, direction: Direction, side: _Side, index: int, header: bytes, body: bytes) -> None:
        opened, sealed = self._open(direction, side, header, body)
        self._tell_record(direction, index, side.epoch, header, body, opened, sealed)
        if sealed:
            # Whatever it held is missing from the transcript; application data would not be in there.
            data = side.epoch is Epoch.APPLICATION or (direction is C2S and self._early_unread is not None)
            self._proofs.whole = self._proofs.whole and data
            if self._handshake_12 is not None and header[0] == HANDSHAKE:
                self._handshake_12.lost()
        else:
            if direction is C2S and side.epoch is not Epoch.EARLY:
                self._early_unread = None
            self._content(direction, side, index, opened[0], opened[1], protected=True)

    def _open(self, direction: Direction, side: _Side, header: bytes, body: bytes) -> tuple[Opened, str]:
        """Type, content and padding; or, if the record stays closed, its outer type and the reason."""
        sealed = side.missing
        if side.protection is not None:
            try:
                return side.protection.open(header, body), ""
            except PeerMisbehaved as error:
                sealed = error.what
        if side.upcoming is not None:
            try:
                opened = side.upcoming[1].open(header, body)
            except PeerMisbehaved:
                return (header[0], b"", 0), sealed
            self._tell_application_secrets()
            self._put_on_application_keys(direction, side)
            return opened, ""
        return (header[0], b"", 0), sealed

    def _tell_record(
        self,
        direction: Direction,
        index: int,
        epoch: Epoch,
        header: bytes,
        body: bytes,
        opened: Opened,
        unreadable_reason: str = "",
    ) -> None:
        content_type, content, padding = opened
        self._watch.emit(
            RecordSeen(
                time=self._watch.tick(),
                direction=direction,
                index=index,
                epoch=epoch,
                header=header,
                body=body,
                content_type=content_type,
                content=content,
                padding=padding,
                unreadable_reason=unreadable_reason,
            )
        )

    def _content(
        self, direction: Direction, side: _Side, index: int, kind: int, content: bytes, *, protected: bool
    ) -> None:
        if kind == ALERT and len(content) == 2:
            ends = self._handshake_12 is None or content[0] != AlertLevel.warning
            self._watch.alert(direction, content[0], content[1], authenticated=protected, ends=ends)
        elif kind == HANDSHAKE and not self._foreign:
            side.joiner.add(content, index)
            self._messages(direction, side)

    # Messages

    def _messages(self, direction: Direction, side: _Side) -> None:
        try:
            while (raw := side.joiner.next()) is not None:
                self._message(direction, side, raw, side.joiner.records)
        except PeerMisbehaved:
            # Too large to be a message. Where the next one starts is unknown; the next record is a good guess.
            self._proofs.whole = False
            if self._handshake_12 is not None:
                self._handshake_12.lost()
            side.joiner = HandshakeJoiner(tracking=True)

    def _message(self, direction: Direction, side: _Side, raw: bytes, records: tuple[int, ...]) -> None:
        try:
            message = parse_handshake(raw, self._known_messages)
        except (BadMessage, PeerMisbehaved):
            self._proofs.add(raw, side.epoch)
            if self._handshake_12 is not None:
                self._handshake_12.add(raw)
            return
        self._watch.emit(
            MessageSeen(
                time=self._watch.time,
                direction=direction,
                epoch=side.epoch,
                message=message,
                raw=raw,
                records=records,
            )
        )
        if self._handshake_12 is not None:
            self._handshake_12.take(_SENDER[direction], message)
            return
        side.believed = side.believed and self._proofs.check(_SENDER[direction], message, side.secret, side.epoch)
        self._proofs.add(raw, side.epoch)
        if side.believed:
            self._act(direction, side, message, raw)

    def _act(self, direction: Direction, side: _Side, message: HandshakeMessage, raw: bytes) -> None:
        match message:
            case ClientHello() if direction is C2S and self._suite is None:
                self._hello = message
                self._client_random = message.random
                self._secrets = self._known.of(message.random)
                if message.find(EarlyDataIndication) is not None:
                    self._expect_early_data(side, message, raw)
            case HelloRetryRequest() if direction is S2C and message.cipher_suite in SUITES_13:
                self._proofs.start_over(SUITES_13[message.cipher_suite].hash)
                self._end_refused_early_data()
            case ServerHello() if direction is S2C and self._server_hello is None:
                self._take_server_hello(message)
            case messages12.ServerHello() if direction is S2C and self._server_hello is None:
                self._take_server_hello_12(message)
            case EncryptedExtensions() if direction is S2C:
                self._answer_early_data(message)
                self._tell_negotiated(message)
            case EndOfEarlyData() if direction is C2S and side.after_early is not None:
                self._put_on(direction, side, Epoch.HANDSHAKE, side.after_early)
            case Finished() if side.epoch is Epoch.HANDSHAKE:
                if direction is S2C:
                    self._tell_application_secrets()
                self._put_on_application_keys(direction, side)
            case KeyUpdate() if side.secret is not None and side.epoch is Epoch.APPLICATION:
                self._put_on(direction, side, Epoch.APPLICATION, side.secret.updated())

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
        self._suite = suite
        self._proofs.start(suite.hash)
        secrets = {direction: self._secret(_HANDSHAKE_SECRETS[direction]) for direction in Direction}
        self._tell_secrets(*_HANDSHAKE_SECRETS.values())
        for direction in (S2C, C2S):
            side, secret = self._sides[direction], secrets[direction]
            upcoming = self._secret(_APPLICATION_SECRETS[direction])
            side.upcoming = None if upcoming is None else (upcoming, Protection13(suite, upcoming))
            if side.epoch is Epoch.EARLY:
                side.after_early = secret
            elif secret is None:
                side.epoch = Epoch.UNKNOWN
                side.missing = _not_known(_HANDSHAKE_SECRETS[direction])
            else:
                self._put_on(direction, side, Epoch.HANDSHAKE, secret)

    # Early data

    def _expect_early_data(self, side: _Side, hello: ClientHello, raw: bytes) -> None:
        """The hello announces early data. Its suite is that of a session which is not known here: the first that fits.

        RFC 9846 4.3.10.
        """
        value = self._secrets.get(keylog.about(_EARLY_SECRET)[0], b"")
        fitting = [SUITES_13[one] for one in hello.cipher_suites if one in SUITES_13]
        suite = next((one for one in fitting if one.hash.size == len(value)), None)
        if suite is None:
            self._early_unread = False
            return
        hello_hash = suite.hash.digest(raw)
        for name in (_EARLY_SECRET, "early_exporter_secret"):
            if (known := self._secrets.get(keylog.about(name)[0], b"")) and len(known) == suite.hash.size:
                self._report(name, _DERIVATIONS[name][0], ("early_secret",), hello_hash, known)
        secret = TrafficSecret(_EARLY_SECRET, suite.hash, value, self._report)
        side.epoch, side.secret, side.protection = Epoch.EARLY, secret, Protection13(suite, secret)
        self._watch.emit(KeysChanged(time=self._watch.time, direction=C2S, epoch=Epoch.EARLY, suite=suite.id))

    def _end_refused_early_data(self) -> None:
        """After a HelloRetryRequest the client goes on without keys."""
        side = self._sides[C2S]
        if side.epoch is Epoch.EARLY:
            side.epoch, side.secret, side.protection = Epoch.PLAINTEXT, None, None
            self._watch.emit(KeysChanged(time=self._watch.time, direction=C2S, epoch=Epoch.PLAINTEXT, suite=0))

    def _answer_early_data(self, answer: EncryptedExtensions) -> None:
        side = self._sides[C2S]
        if answer.find(EarlyDataIndication) is not None:
            # EndOfEarlyData is among what could not be read.
            self._proofs.whole = self._proofs.whole and self._early_unread is None
            self._early_unread = None
        elif side.epoch is Epoch.EARLY and side.after_early is not None:
            self._put_on(C2S, side, Epoch.HANDSHAKE, side.after_early)

    def _take_server_hello_12(self, hello: messages12.ServerHello) -> None:
        self._server_hello = hello
        suite = SUITES_12.get(hello.cipher_suite)
        if hello.server_version != _TLS12:
            self._foreign = f"{ProtocolVersion.describe(hello.server_version)} is not decoded"
        elif suite is None:
            self._foreign = f"{CipherSuite.describe(hello.cipher_suite)} is not decoded"
        if suite is None or self._foreign or self._hello is None:
            self._follow_no_further()
            return
        self._known_messages = messages12.MESSAGES_12
        secret = self._secrets.get(KEYLOG_LABEL, b"")
        report = partial(self._report, names=keylog.SECRETS_12)
        hellos = self._hello, hello
        self._handshake_12 = Handshake12(self._watch, report, hellos, suite, secret, self._proofs.messages)

    def _follow_no_further(self) -> None:
        for side in self._sides.values():
            side.missing = self._foreign

    def _change_cipher_spec(self, direction: Direction, side: _Side) -> None:
        """Where TLS 1.2 puts keys on; in TLS 1.3 it means nothing."""
        if self._foreign:
            side.epoch = Epoch.UNKNOWN
        if self._handshake_12 is None or side.epoch is not Epoch.PLAINTEXT:
            return
        side.protection = self._handshake_12.change_cipher_spec(_SENDER[direction])
        side.epoch = Epoch.UNKNOWN if side.protection is None else Epoch.APPLICATION
        side.missing = f"{KEYLOG_LABEL} is not known"
        side.joiner.handshake_over()

    def _tell_negotiated(self, message: EncryptedExtensions) -> None:
        hello, client_hello, suite = self._server_hello, self._hello, self._suite
        if not isinstance(hello, ServerHello) or client_hello is None or suite is None:
            return
        share = hello.find(KeyShareServerHello)
        self._watch.emit(
            Negotiated(
                time=self._watch.time,
                version=_TLS13,
                suite=suite.id,
                group=None if share is None else share.server_share.group,
                retried=self._proofs.retried,
                server_name=client_hello.sni_name,
                application_protocol=selected_protocol(message),
            )
        )

    # Keys

    def _put_on_application_keys(self, direction: Direction, side: _Side) -> None:
        side.joiner.handshake_over()
        side.believed = True
        if side.upcoming is not None:
            self._put_on(direction, side, Epoch.APPLICATION, side.upcoming[0])
            return
        side.epoch, side.protection, side.secret = Epoch.APPLICATION, None, None
        side.missing = _not_known(_APPLICATION_SECRETS[direction])

    def _put_on(self, direction: Direction, side: _Side, epoch: Epoch, secret: TrafficSecret) -> None:
        if self._suite is None:
            return
        if side.upcoming is not None and side.upcoming[0] is secret:
            # It may have opened a record already.
            side.protection, side.upcoming = side.upcoming[1], None
        else:
            side.protection = Protection13(self._suite, secret)
        side.epoch, side.secret = epoch, secret
        self._watch.emit(KeysChanged(time=self._watch.time, direction=direction, epoch=epoch, suite=self._suite.id))

    def _secret(self, name: str) -> TrafficSecret | None:
        value = self._value(name)
        return None if self._suite is None or not value else TrafficSecret(name, self._suite.hash, value, self._report)

    def _value(self, name: str) -> bytes:
        """The value of the secret of this name, or b"" unless the key log has one of the right size."""
        value = self._secrets.get(keylog.about(name)[0], b"")
        return value if self._suite is not None and len(value) == self._suite.hash.size else b""

    def _tell_application_secrets(self) -> None:
        if not self._application_secrets_told:
            self._application_secrets_told = True
            self._tell_secrets(*_APPLICATION_SECRETS.values(), "exporter_secret")

    def _tell_secrets(self, *names: str) -> None:
        """Tell of those of these secrets that the key log has."""
        transcript_hash = self._proofs.transcript_hash
        for name in names:
            label, origin = _DERIVATIONS[name]
            if value := self._value(name):
                self._report(name, label, (origin,), transcript_hash, value)

    def _report(
        self,
        name: str,
        label: str,
        inputs: tuple[str, ...],
        context: bytes,
        value: bytes,
        names: keylog.SecretNames = keylog.SECRETS,
    ) -> None:
        keylog_label, level = keylog.about(name, names)
        self._watch.reveal(
            Secret(name=name, level=level, keylog_label=keylog_label, client_random=self._client_random, value=value)
        )
        self._watch.emit(SecretDerived(time=self._watch.time, name=name, label=label, inputs=inputs, context=context))


def _not_known(name: str) -> str:
    return f"{keylog.about(name)[0]} is not known"
