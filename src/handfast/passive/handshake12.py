"""A recorded TLS 1.2 handshake, from the ServerHello on: its proofs, and the keys that one secret of a key log gives.

As in ``decoder``, a proof can be checked only if all messages before it were recorded and opened; and once one was
wrong, nothing more is told of what a side that refuses it has not derived.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

from handfast.crypto import signatures
from handfast.events import Checked, Epoch, EventDispatcher, KeysChanged, Negotiated
from handfast.keys.schedule12 import MAIN_SECRET_LENGTH, MainSecret12
from handfast.record.protection12 import Protection12
from handfast.registry import ProtocolVersion
from handfast.roles import Role
from handfast.wire.codec import encode
from handfast.wire.extensions import ExtendedMainSecret, ProtocolNameList
from handfast.wire.messages import CertificateVerify, ClientHello, EncryptedExtensions, Finished
from handfast.wire.messages12 import Certificate, ClientKeyExchange, ServerHello, ServerKeyExchange

if TYPE_CHECKING:
    from handfast.crypto.suites12 import Suite12
    from handfast.keys.schedule import Report
    from handfast.wire.messages import HandshakeMessage

KEYLOG_LABEL = "CLIENT_RANDOM"


def selected_protocol(answer: ServerHello | EncryptedExtensions) -> str | None:
    """The ALPN protocol that the server selected, in whatever version."""
    selected = answer.find(ProtocolNameList)
    names = () if selected is None else selected.protocol_name_list
    return names[0].decode("utf-8", "backslashreplace") if len(names) == 1 else None


class Handshake12:
    """``secret`` is what the key log has of this connection, or b""; ``messages`` are those so far, if all came."""

    def __init__(
        self,
        watch: EventDispatcher,
        report: Report,
        hellos: tuple[ClientHello, ServerHello],
        suite: Suite12,
        secret: bytes,
        messages: bytes | None,
    ) -> None:
        self._watch = watch
        self._report = report
        self._client_hello, self._server_hello = hellos
        self._randoms = hellos[0].random, hellos[1].random
        self._suite = suite
        self._known = secret if len(secret) == MAIN_SECRET_LENGTH else b""
        self._messages = messages
        self._leaves: dict[Role, bytes] = {}
        self._main_secret: MainSecret12 | None = None
        self._protections: dict[Role, Protection12] = {}
        self._believed = True
        if hellos[1].session_id and hellos[1].session_id == hellos[0].legacy_session_id:
            self._resume()

    def _resume(self) -> None:
        """The server resumes a session: nothing is exchanged any more, and the secret is the session's."""
        self._tell_negotiated(None)
        if self._known:
            self._put_on(MainSecret12.restored(self._suite, self._known, self._randoms, self._report))

    def _put_on(self, main_secret: MainSecret12) -> None:
        self._main_secret = main_secret
        self._protections = {role: Protection12(self._suite, keys) for role, keys in main_secret.keys().items()}

    def lost(self) -> None:
        """A message is missing from the transcript, or could not be read."""
        self._messages = None

    def add(self, raw: bytes) -> None:
        """A message that was told nothing of otherwise."""
        if self._messages is not None:
            self._messages += raw

    def take(self, sender: Role, message: HandshakeMessage) -> None:
        """Tell what a message causes, which has been told itself."""
        before = self._messages
        self.add(message.raw)
        if not self._believed:
            return
        match message:
            case Certificate() if message.certificate_list:
                self._leaves[sender] = message.certificate_list[0]
            case ServerKeyExchange() if sender is Role.SERVER:
                self._check_signature(sender, message, b"".join(self._randoms) + encode(message.params))
                if self._believed:
                    self._tell_negotiated(message.params.named_curve)
            case ClientKeyExchange() if sender is Role.CLIENT:
                self._derive()
            case CertificateVerify() if before is not None:
                self._check_signature(sender, message, before)
            case Finished() if before is not None and self._main_secret is not None:
                transcript_hash = self._suite.hash.digest(before)
                self._check_finished(sender, message, transcript_hash, self._main_secret)

    def change_cipher_spec(self, sender: Role) -> Protection12 | None:
        """What protects this side's records from here on, told; None if it is not known."""
        protection = self._protections.get(sender)
        if protection is not None:
            self._watch.emit(
                KeysChanged(
                    time=self._watch.time, direction=sender.sends, epoch=Epoch.APPLICATION, suite=self._suite.id
                )
            )
        return protection

    def _derive(self) -> None:
        extended = all(hello.find(ExtendedMainSecret) for hello in (self._client_hello, self._server_hello))
        if not self._known:
            return
        seed = b"".join(self._randoms)
        if extended:
            seed = b"" if self._messages is None else self._suite.hash.digest(self._messages)
        label = "extended master secret" if extended else "master secret"
        self._report("main_secret", label, ("shared_secret",), seed, self._known)
        self._put_on(MainSecret12(self._suite, self._known, self._randoms, self._report, extended=extended))

    def _tell_negotiated(self, group: int | None) -> None:
        hello, answer = self._client_hello, self._server_hello
        self._watch.emit(
            Negotiated(
                time=self._watch.time,
                version=ProtocolVersion.TLS12,
                suite=self._suite.id,
                group=group,
                retried=False,
                server_name=hello.sni_name,
                application_protocol=selected_protocol(answer),
            )
        )

    def _check_finished(
        self, sender: Role, finished: Finished, transcript_hash: bytes, main_secret: MainSecret12
    ) -> None:
        expected, received = main_secret.finished_key(sender).finished(transcript_hash), finished.verify_data
        self._believed = compare_digest(expected, received)
        # One of another length is malformed, and compared with nothing.
        if len(received) == len(expected):
            self._tell(sender, "Finished", transcript_hash, expected, received)

    def _check_signature(self, sender: Role, proof: ServerKeyExchange | CertificateVerify, content: bytes) -> None:
        try:
            key = signatures.certificate_public_key(self._leaves.get(sender, b""))
        except signatures.UnusableKey:
            return
        if not signatures.scheme_fits_12(key, proof.algorithm):
            return
        self._believed = signatures.verify_12(key, proof.algorithm, proof.signature, content)
        self._tell(sender, type(proof).__name__, content, b"", proof.signature)

    def _tell(self, sender: Role, what: str, content: bytes, expected: bytes, received: bytes) -> None:
        self._watch.emit(
            Checked(
                time=self._watch.time,
                direction=sender.sends,
                what=what,
                content=content,
                expected=expected,
                received=received,
                ok=self._believed,
            )
        )
