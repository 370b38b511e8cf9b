"""A recorded TLS 1.3 handshake: which keys its messages put on, out of what a key log holds.

Two rules keep this in step with a side that refuses. Keys go on only if the key log has them, and a side that gave up
had derived no more. And a wrong proof has no effect; if the records go on all the same, they open with the next keys,
which are tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from handfast.crypto.suites import SUITES_13, Suite13
from handfast.events import (
    Epoch,
    EventDispatcher,
    KeysChanged,
    Negotiated,
    Secret,
    SecretDerived,
)
from handfast.keys import secret_names as keylog
from handfast.keys.schedule import TrafficSecret
from handfast.passive.selected import selected_protocol
from handfast.record.protection import Protection13
from handfast.registry import ProtocolVersion
from handfast.roles import Direction, Role
from handfast.wire.extensions import EarlyDataIndication, KeyShareServerHello
from handfast.wire.messages import (
    ClientHello,
    EncryptedExtensions,
    EndOfEarlyData,
    Finished,
    HandshakeMessage,
    HelloRetryRequest,
    KeyUpdate,
    ServerHello,
)

if TYPE_CHECKING:
    from handfast.passive.proofs import Proofs
    from handfast.passive.side import Keys, Side
    from handfast.record.protection import Opened

C2S, S2C = Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT
_SENDER = {role.sends: role for role in Role}
_VERSION = int(ProtocolVersion.TLS13)

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


class Handshake13:
    """One handshake. ``sides`` are those of the connection, and ``proofs`` its transcript."""

    def __init__(self, watch: EventDispatcher, sides: Mapping[Direction, Side], proofs: Proofs) -> None:
        self._watch = watch
        self._sides = sides
        self._proofs = proofs
        self._hello: ClientHello | None = None
        self._server_hello: ServerHello | None = None
        self._secrets: Mapping[str, tuple[bytes, ...]] = {}
        self._client_random = b""
        self._application_secrets_told = False
        # From the moment in which the suite is known until they are on: application keys; and the client's handshake
        # keys, while early data is still being sent.
        self._upcoming: dict[Direction, Keys] = {}
        self._after_early: Keys | None = None
        # False from a wrong proof on, until records come under other keys all the same.
        self._believed = dict.fromkeys(Direction, True)
        # Whether what a client sends may be early data whose keys are not known: False until it is known that the
        # server took it, None once it cannot be any more.
        self._early_unread: bool | None = None
        self.suite: Suite13 | None = None

    def client_hello(self, hello: ClientHello, raw: bytes, secrets: Mapping[str, tuple[bytes, ...]]) -> None:
        """The client's hello, and what is known of its connection."""
        self._hello = hello
        self._client_random = hello.random
        self._secrets = secrets
        if hello.find(EarlyDataIndication) is not None:
            self._expect_early_data(hello, raw)

    def take(self, direction: Direction, message: HandshakeMessage, raw: bytes) -> None:
        """Check and do what a message causes, which has been told itself."""
        side = self._sides[direction]
        if self._believed[direction]:
            self._believed[direction] = self._proofs.check(_SENDER[direction], message, side.secret, side.epoch)
        self._proofs.add(raw, side.epoch)
        if self._believed[direction]:
            self._act(direction, side, message)

    def _act(self, direction: Direction, side: Side, message: HandshakeMessage) -> None:
        match message:
            case HelloRetryRequest() if direction is S2C and message.cipher_suite in SUITES_13:
                self._proofs.start_over(SUITES_13[message.cipher_suite].hash)
                self._end_refused_early_data()
            case EncryptedExtensions() if direction is S2C:
                self._answer_early_data(message)
                self._tell_negotiated(message)
            case EndOfEarlyData() if direction is C2S and self._after_early:
                self._put_on(direction, side, Epoch.HANDSHAKE, self._after_early)
            case Finished() if side.epoch is Epoch.HANDSHAKE:
                if direction is S2C:
                    self._tell_application_secrets()
                self._put_on_application_keys(direction, side)
            case KeyUpdate() if side.secret is not None and side.epoch is Epoch.APPLICATION:
                self._put_on(direction, side, Epoch.APPLICATION, self._keys([side.secret.updated()]))

    # Records

    def try_upcoming(self, direction: Direction, side: Side, header: bytes, body: bytes) -> Opened | None:
        """Open a record with the application keys, if the current ones do not fit; then those are on."""
        for keys in self._upcoming.get(direction, ()):
            opened = side.try_numbers(keys[0], header, body)
            if opened is not None:
                self._upcoming[direction] = [keys]
                self._tell_application_secrets()
                self._put_on_application_keys(direction, side)
                side.lost = 0
                return opened
        return None

    def tell_other_value(self, secret: TrafficSecret | None) -> None:
        """A record was opened by another value of a secret than the one that was told first."""
        if secret is not None and secret.name in _DERIVATIONS:
            label, origin = _DERIVATIONS[secret.name]
            self._report(secret.name, label, (origin,), b"", secret.value)

    def unread(self, direction: Direction, side: Side) -> None:
        """A record stays closed: what it held is missing from the transcript, unless it was application data."""
        data = side.epoch is Epoch.APPLICATION or (direction is C2S and self._early_unread is not None)
        self._proofs.whole = self._proofs.whole and data

    def read(self, direction: Direction, side: Side) -> None:
        """A record was opened."""
        if direction is C2S and side.epoch is not Epoch.EARLY:
            self._early_unread = None

    # ServerHello

    def server_hello(self, hello: ServerHello, suite: Suite13) -> None:
        """The ServerHello, whose suite is known."""
        self._server_hello = hello
        self.suite = suite
        self._proofs.start(suite.hash)
        handshake = {direction: self._secret(_HANDSHAKE_SECRETS[direction]) for direction in Direction}
        self._tell_secrets(*_HANDSHAKE_SECRETS.values())
        for direction in (S2C, C2S):
            side, keys = self._sides[direction], self._keys(handshake[direction])
            self._upcoming[direction] = self._keys(self._secret(_APPLICATION_SECRETS[direction]))
            if side.epoch is Epoch.EARLY:
                self._after_early = keys
            elif not keys:
                side.epoch = Epoch.UNKNOWN
                side.missing = _not_known(_HANDSHAKE_SECRETS[direction])
            else:
                self._put_on(direction, side, Epoch.HANDSHAKE, keys)

    def _tell_negotiated(self, message: EncryptedExtensions) -> None:
        hello, client_hello, suite = self._server_hello, self._hello, self.suite
        if hello is None or client_hello is None or suite is None:
            return
        share = hello.find(KeyShareServerHello)
        protocol = selected_protocol(message)
        group = None if share is None else share.server_share.group
        retried, now = self._proofs.retried, self._watch.time
        self._watch.emit(
            Negotiated(
                time=now,
                version=_VERSION,
                suite=suite.id,
                group=group,
                retried=retried,
                server_name=client_hello.sni_name,
                application_protocol=protocol,
            )
        )

    # Early data

    def _expect_early_data(self, hello: ClientHello, raw: bytes) -> None:
        """The hello announces early data. Its suite is that of a session which is not known here: the first that fits.

        RFC 9846 4.3.10.
        """
        value = (*self._secrets.get(keylog.about(_EARLY_SECRET)[0], ()), b"")[0]
        fitting = [SUITES_13[one] for one in hello.cipher_suites if one in SUITES_13]
        suite = next((one for one in fitting if one.hash.size == len(value)), None)
        if suite is None:
            self._early_unread = False
            return
        hello_hash = suite.hash.digest(raw)
        for name in (_EARLY_SECRET, "early_exporter_secret"):
            for known in self._secrets.get(keylog.about(name)[0], ())[:1]:
                if len(known) == suite.hash.size:
                    self._report(name, _DERIVATIONS[name][0], ("early_secret",), hello_hash, known)
        secret = TrafficSecret(_EARLY_SECRET, suite.hash, value, self._report)
        self._sides[C2S].put_on([(Protection13(suite, secret), secret)], Epoch.EARLY)
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
        elif side.epoch is Epoch.EARLY and self._after_early:
            self._put_on(C2S, side, Epoch.HANDSHAKE, self._after_early)

    # Keys

    def _put_on_application_keys(self, direction: Direction, side: Side) -> None:
        side.joiner.handshake_over()
        self._believed[direction] = True
        if self._upcoming.get(direction):
            self._put_on(direction, side, Epoch.APPLICATION, self._upcoming.pop(direction))
            return
        side.epoch, side.protection, side.secret = Epoch.APPLICATION, None, None
        side.missing = _not_known(_APPLICATION_SECRETS[direction])

    def _put_on(self, direction: Direction, side: Side, epoch: Epoch, keys: Keys) -> None:
        if self.suite is not None and keys:
            side.put_on(keys, epoch)
            self._watch.emit(KeysChanged(time=self._watch.time, direction=direction, epoch=epoch, suite=self.suite.id))

    def _keys(self, secrets: list[TrafficSecret]) -> Keys:
        suite = self.suite
        return [] if suite is None else [(Protection13(suite, secret), secret) for secret in secrets]

    def _secret(self, name: str) -> list[TrafficSecret]:
        suite = self.suite
        if suite is None:
            return []
        return [TrafficSecret(name, suite.hash, value, self._report) for value in self._values(name)]

    def _values(self, name: str) -> list[bytes]:
        """The values of the secret of this name that have the right size."""
        values = self._secrets.get(keylog.about(name)[0], ())
        return [value for value in values if self.suite is not None and len(value) == self.suite.hash.size]

    def _tell_application_secrets(self) -> None:
        if not self._application_secrets_told:
            self._application_secrets_told = True
            self._tell_secrets(*_APPLICATION_SECRETS.values(), "exporter_secret")

    def _tell_secrets(self, *names: str) -> None:
        """Tell of those of these secrets that the key log has; of several values of one, the first."""
        transcript_hash = self._proofs.transcript_hash
        for name in names:
            label, origin = _DERIVATIONS[name]
            for value in self._values(name)[:1]:
                self._report(name, label, (origin,), transcript_hash, value)

    def _report(self, name: str, label: str, inputs: tuple[str, ...], context: bytes, value: bytes) -> None:
        keylog_label, level = keylog.about(name)
        self._watch.reveal(
            Secret(name=name, level=level, keylog_label=keylog_label, client_random=self._client_random, value=value)
        )
        self._watch.emit(SecretDerived(time=self._watch.time, name=name, label=label, inputs=inputs, context=context))


def _not_known(name: str) -> str:
    return f"{keylog.about(name)[0]} is not known"
