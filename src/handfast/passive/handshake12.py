"""A recorded handshake of TLS 1.2, 1.1 or 1.0, from the ServerHello on: its proofs, and the keys that a key log gives.

As in ``decoder``, a proof can be checked only if all messages before it were recorded and opened; and once one was
wrong, nothing more is told of what a side that refuses it has not derived.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

from handfast.crypto import signatures
from handfast.events import Checked, Epoch, EventDispatcher, KeysChanged, Negotiated
from handfast.keys.schedule12 import MAIN_SECRET_LENGTH, DirectionKeys
from handfast.limits import MAX_HANDSHAKE_BYTES
from handfast.passive.legacy import main_secret, protection
from handfast.passive.legacy_keys import LegacyKeys
from handfast.passive.selected import selected_protocol
from handfast.registry import HandshakeType
from handfast.roles import Role
from handfast.wire import messages_old as old
from handfast.wire.codec import encode
from handfast.wire.extensions import EncryptThenMac, ExtendedMainSecret
from handfast.wire.messages import CertificateVerify, ClientHello, Finished
from handfast.wire.messages12 import Certificate, ClientKeyExchange, ServerHello, ServerHelloDone, ServerKeyExchange

if TYPE_CHECKING:
    from handfast.keys.schedule import Report
    from handfast.passive.legacy import OldMainSecret, OldSuite
    from handfast.passive.side import Keys, Protection
    from handfast.wire.messages import HandshakeMessage

KEYLOG_LABEL = "CLIENT_RANDOM"


class Handshake12:
    """``secrets`` are the values that the key log has for it; ``messages`` are those so far, if all came.

    Without the ClientHello there are no keys, and nothing is checked.
    """

    def __init__(
        self,
        watch: EventDispatcher,
        report: Report,
        hellos: tuple[ClientHello | None, ServerHello],
        suite: OldSuite,
        secrets: tuple[bytes, ...],
        messages: bytes | None,
    ) -> None:
        self._watch = watch
        self._report = report
        self._client_hello, self._server_hello = hellos
        self._randoms = b"" if hellos[0] is None else hellos[0].random, hellos[1].random
        self._suite = suite
        known = [secret for secret in secrets if len(secret) == MAIN_SECRET_LENGTH]
        self._known = known if hellos[0] is not None else []
        # All messages so far; None once some are missing, or there are more than one handshake may have.
        self._messages = None if messages is None or hellos[0] is None else [messages]
        self._size = 0 if messages is None else len(messages)
        self._leaves: dict[Role, bytes] = {}
        self._main_secret: OldMainSecret | None = None
        self._keys: dict[Role, Keys] = {}
        self._believed = True
        self._negotiated = False
        # Whose flights are over: a proof covers those before it.
        self._hello_done = self._exchanged = False
        self._finished: set[Role] = set()
        self._resumed = bool(
            hellos[0] is not None and hellos[1].session_id and hellos[1].session_id == hellos[0].legacy_session_id
        )
        if self._resumed:
            self._resume()

    def _resume(self) -> None:
        """The server resumes a session: nothing is exchanged any more, and the secret is the session's."""
        self._resumed = True
        self._tell_negotiated(None)
        for one in self._known[:1]:
            self._report("main_secret", "", (), b"", one)
        self._put_on(extended=True)

    def _first(self, secret: bytes) -> Report | None:
        """Who is told of a secret: of several values for one, only the first is."""
        return self._report if secret == self._known[0] else None

    def _put_on(self, *, extended: bool) -> None:
        known = [(one, self._first(one)) for one in self._known]
        main_secrets = [main_secret(self._suite, one, self._randoms, told, extended=extended) for one, told in known]
        if not main_secrets:
            return
        self._main_secret = main_secrets[0]
        self._keys = {role: [] for role in Role}
        for one in main_secrets:
            for role, keys in one.keys().items():
                self._keys[role].append((self._protection(keys), None))

    def _protection(self, keys: DirectionKeys | LegacyKeys) -> Protection:
        hellos = (self._client_hello, self._server_hello)
        both = all(hello is not None and hello.find(EncryptThenMac) is not None for hello in hellos)
        return protection(self._suite, keys, self._server_hello, encrypt_then_mac=both)

    def lost(self) -> None:
        """A message is missing from the transcript, or could not be read."""
        self._messages = None

    def undecoded(self, sender: Role, raw: bytes) -> None:
        """A message whose shape is not known, as that of other key exchanges."""
        self._add(raw)
        if sender is Role.CLIENT and raw[0] == HandshakeType.client_key_exchange:
            self._derive()

    def _add(self, raw: bytes) -> None:
        if self._messages is None:
            return
        self._messages.append(raw)
        self._size += len(raw)
        # Of both directions. What comes behind the second Finished belongs to no proof of this handshake.
        if len(self._finished) == len(Role) or self._size > 2 * MAX_HANDSHAKE_BYTES:
            self._messages = None

    @property
    def _transcript(self) -> bytes | None:
        return None if self._messages is None else b"".join(self._messages)

    def take(self, sender: Role, message: HandshakeMessage) -> None:
        """Tell what a message causes, which has been told itself."""
        proof = self._believed and isinstance(message, CertificateVerify | old.CertificateVerify | Finished)
        before = self._transcript if proof and self._is_due(sender) else None
        self._add(message.raw)
        if not self._believed:
            return
        match message:
            case Certificate() if message.certificate_list:
                self._leaves[sender] = message.certificate_list[0]
            case ServerKeyExchange() | old.ServerKeyExchange() if sender is Role.SERVER:
                if self._client_hello is not None:
                    self._check_signature(sender, message, b"".join(self._randoms) + encode(message.params))
                if self._believed:
                    self._tell_negotiated(message.params.named_curve)
            case ServerHelloDone() if sender is Role.SERVER:
                self._hello_done = True
                if not self._negotiated and "ECDHE" not in self._suite.name:
                    self._tell_negotiated(None)
            case ClientKeyExchange() if sender is Role.CLIENT:
                self._derive()
            case CertificateVerify() | old.CertificateVerify() if before is not None:
                self._check_signature(sender, message, before)
            case Finished() if before is not None and self._main_secret is not None:
                transcript_hash = self._suite.hash.digest(before)
                self._check_finished(sender, message, transcript_hash, self._main_secret)
        if isinstance(message, Finished):
            self._finished.add(sender)

    def _is_due(self, sender: Role) -> bool:
        """Whether all that a proof of this side covers has come from the other, as far as flights tell."""
        if sender is Role.CLIENT:
            return self._hello_done or Role.SERVER in self._finished
        return self._resumed or (self._hello_done and Role.CLIENT in self._finished)

    def change_cipher_spec(self, sender: Role) -> Keys:
        """What protects this side's records from here on, told; nothing if it is not known."""
        if sender is Role.SERVER and not (self._resumed or self._hello_done or self._leaves or self._exchanged):
            # A ticket without a session id (RFC 5077 3.4): only what does not come shows that a session is resumed.
            self._resume()
        keys = self._keys.get(sender, [])
        if keys:
            self._watch.emit(
                KeysChanged(
                    time=self._watch.time, direction=sender.sends, epoch=Epoch.APPLICATION, suite=self._suite.id
                )
            )
        return keys

    def _derive(self) -> None:
        self._exchanged = True
        hellos = (self._client_hello, self._server_hello)
        extended = all(hello is not None and hello.find(ExtendedMainSecret) is not None for hello in hellos)
        if not self._known:
            return
        seed = b"".join(self._randoms)
        if extended:
            transcript = self._transcript
            seed = b"" if transcript is None else self._suite.hash.digest(transcript)
        label = "extended master secret" if extended else "master secret"
        self._report("main_secret", label, ("shared_secret",), seed, self._known[0])
        self._put_on(extended=extended)

    def _tell_negotiated(self, group: int | None) -> None:
        self._negotiated = True
        name = None if self._client_hello is None else self._client_hello.sni_name
        answer = self._server_hello
        version, now, protocol = answer.server_version, self._watch.time, selected_protocol(answer)
        self._watch.emit(
            Negotiated(
                time=now,
                version=version,
                suite=self._suite.id,
                group=group,
                retried=False,
                server_name=name,
                application_protocol=protocol,
            )
        )

    def _check_finished(self, sender: Role, finished: Finished, transcript_hash: bytes, secret: OldMainSecret) -> None:
        expected, received = secret.finished_key(sender).finished(transcript_hash), finished.verify_data
        self._believed = compare_digest(expected, received)
        # One of another length is malformed, and compared with nothing.
        if len(received) == len(expected):
            self._tell(sender, "Finished", transcript_hash, expected, received)

    def _check_signature(
        self,
        sender: Role,
        proof: ServerKeyExchange | CertificateVerify | old.ServerKeyExchange | old.CertificateVerify,
        content: bytes,
    ) -> None:
        try:
            key = signatures.certificate_public_key(self._leaves.get(sender, b""))
        except signatures.UnusableKey:
            return
        if isinstance(proof, old.ServerKeyExchange | old.CertificateVerify):
            right = signatures.verify_before_12(key, proof.signature, content)
        elif signatures.scheme_fits_12(key, proof.algorithm):
            right = signatures.verify_12(key, proof.algorithm, proof.signature, content)
        else:
            return
        if right is not None:
            self._believed = right
            self._tell(sender, type(proof).__name__, content, b"", proof.signature)

    def _tell(self, sender: Role, what: str, content: bytes, expected: bytes, received: bytes) -> None:
        now = self._watch.time
        self._watch.emit(
            Checked(
                time=now,
                direction=sender.sends,
                what=what,
                content=content,
                expected=expected,
                received=received,
                ok=self._believed,
            )
        )
