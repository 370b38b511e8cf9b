"""The key schedule of TLS 1.3. RFC 9846 7.

               0
               v
    PSK -> HKDF-Extract = EarlySecret       binder_key, client_early_traffic_secret, early_exporter_secret
               v
     Derive-Secret(., "derived", "")
               v
  (EC)DHE -> HKDF-Extract = HandshakeSecret   client_ and server_handshake_traffic_secret
               v
     Derive-Secret(., "derived", "")
               v
      0 -> HKDF-Extract = MainSecret        client_ and server_application_traffic_secret_0, exporter_secret,
                                            resumption_secret

Each stage is a type that has the derivations which the RFC allows there, and no others; the way on is a method too.
Where the RFC's Derive-Secret takes messages, the methods take the transcript hash up to them.

A ``report`` given to the first stage is told of every secret once, in the order of derivation. Without PSK the early
secret and what is derived of it are constants of the hash; ``early_secret_without_psk`` is made once per process.
"""

from __future__ import annotations

from functools import cache
from typing import Protocol

from handfast.crypto.hashes import Hash, HashState, mac, macs
from handfast.crypto.suites import IV_LENGTH, Suite13
from handfast.keys.hkdf import expand_label, extract, label_start


class Report(Protocol):
    """Is told of a derivation; ``label`` is "" for HKDF-Extract and for what came from outside the schedule."""

    def __call__(self, name: str, label: str, inputs: tuple[str, ...], context: bytes, value: bytes, /) -> None: ...


class _Secret:
    """A value that does not show. ``name`` is the RFC's name for it."""

    __slots__ = ("_report", "hash", "name", "value")

    def __init__(self, name: str, hash_: Hash, value: bytes, report: Report | None) -> None:
        self.name = name
        self.hash = hash_
        self.value = value
        self._report = report

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.hash.name}>"

    def _derive(self, name: str, label: bytes, transcript_hash: bytes) -> bytes:
        """Derive-Secret, reported. RFC 9846 7.1."""
        value = expand_label(self.hash, self.value, label, transcript_hash, self.hash.size)
        if self._report is not None:
            self._report(name, label.decode(), (self.name,), transcript_hash, value)
        return value


class _Stage(_Secret):
    """A secret of which several are derived."""

    __slots__ = ("_pads",)

    def __init__(self, name: str, hash_: Hash, value: bytes, report: Report | None) -> None:
        # Not super().__init__, which costs as much as a hash: ten secrets are made for each handshake.
        self.name = name
        self.hash = hash_
        self.value = value
        self._report = report
        self._pads = hash_.pads(value)

    def _derive(self, name: str, label: bytes, transcript_hash: bytes) -> bytes:
        size = self.hash.size
        value = mac(self._pads, label_start(label, size, len(transcript_hash)) + transcript_hash + b"\1")
        if self._report is not None:
            self._report(name, label.decode(), (self.name,), transcript_hash, value)
        return value

    def _derive_each(self, wanted: tuple[tuple[str, bytes], ...], transcript_hash: bytes) -> list[bytes]:
        """``_derive`` for several names and their labels at once."""
        values = macs(self._pads, _starts(wanted, self.hash.size), transcript_hash + b"\1")
        if self._report is not None:
            for (name, label), value in zip(wanted, values, strict=True):
                self._report(name, label.decode(), (self.name,), transcript_hash, value)
        return values


@cache
def _starts(wanted: tuple[tuple[str, bytes], ...], size: int) -> tuple[bytes, ...]:
    """What precedes the transcript hash in what is hashed for each of them."""
    return tuple(label_start(label, size, size) for _, label in wanted)


class _FinishedSecret(_Secret):
    """A secret that authenticates a transcript."""

    __slots__ = ("_pads",)

    def __init__(self, name: str, hash_: Hash, value: bytes, report: Report | None) -> None:
        self.name = name
        self.hash = hash_
        self.value = value
        self._report = report
        self._pads = hash_.pads(value)

    def finished(self, transcript_hash: bytes) -> bytes:
        """verify_data of Finished, or a PSK binder. RFC 9846 4.5.3."""
        hash_ = self.hash
        return hash_.hmac(mac(self._pads, _finished_label(hash_.size)), transcript_hash)


@cache
def _finished_label(size: int) -> bytes:
    return label_start(b"finished", size, 0) + b"\1"


class BinderKey(_FinishedSecret):
    """Proves possession of a PSK over the start of ClientHello. RFC 9846 4.3.11.2."""

    __slots__ = ()


class TrafficSecret(_FinishedSecret):
    """Protects one direction in one epoch. ``generation`` counts the key updates, from 0."""

    __slots__ = ("generation",)

    def __init__(self, name: str, hash_: Hash, value: bytes, report: Report | None = None, generation: int = 0) -> None:
        self.name = name
        self.hash = hash_
        self.value = value
        self._report = report
        self._pads = hash_.pads(value)
        self.generation = generation

    def key_and_iv(self, suite: Suite13) -> tuple[bytes, bytes]:
        """Traffic key and IV (12 bytes). RFC 9846 7.3."""
        length = suite.key_length
        key, iv = macs(self._pads, _key_and_iv_starts(length), b"\1")
        return key[:length], iv[:IV_LENGTH]

    def updated(self) -> TrafficSecret:
        """The next generation, after KeyUpdate. RFC 9846 7.2."""
        generation = self.generation + 1
        name = f"{self.name.rpartition('_')[0]}_{generation}"
        return TrafficSecret(name, self.hash, self._derive(name, b"traffic upd", b""), self._report, generation)


@cache
def _key_and_iv_starts(key_length: int) -> tuple[bytes, bytes]:
    return label_start(b"key", key_length, 0), label_start(b"iv", IV_LENGTH, 0)


class ExporterSecret(_Secret):
    """Keying material for the application. RFC 9846 7.5."""

    __slots__ = ()

    def export(self, label: str, context: bytes, length: int) -> bytes:
        """TLS-Exporter. RFC 9846 7.5. Raises ApiMisuse for a label or length that HKDF-Expand-Label cannot take."""
        hash_ = self.hash
        secret = expand_label(hash_, self.value, label.encode(), hash_.empty, hash_.size)
        return expand_label(hash_, secret, b"exporter", hash_.digest(context), length)


class ResumptionSecret(_Secret):
    """What tickets are made of. RFC 9846 4.7.1."""

    __slots__ = ()

    def psk(self, ticket_nonce: bytes) -> bytes:
        """The PSK of the ticket with this nonce (0 to 255 bytes). RFC 9846 4.7.1."""
        value = expand_label(self.hash, self.value, b"resumption", ticket_nonce, self.hash.size)
        if self._report is not None:
            self._report("resumption_psk", "resumption", (self.name,), ticket_nonce, value)
        return value


# What a stage derives of one transcript hash: the names of the secrets and their labels, in their order.
_HANDSHAKE = ("client_handshake_traffic_secret", b"c hs traffic"), ("server_handshake_traffic_secret", b"s hs traffic")
_APPLICATION = (
    ("client_application_traffic_secret_0", b"c ap traffic"),
    ("server_application_traffic_secret_0", b"s ap traffic"),
    ("exporter_secret", b"exp master"),
)


class MainSecret(_Stage):
    """The third stage; made by HandshakeSecret."""

    __slots__ = ()

    def application_secrets(self, transcript_hash: bytes) -> tuple[TrafficSecret, TrafficSecret, ExporterSecret]:
        """The client's and the server's, of generation 0; the transcript goes up to the server's Finished."""
        client, server, exporter = self._derive_each(_APPLICATION, transcript_hash)
        hash_, report = self.hash, self._report
        return (
            TrafficSecret("client_application_traffic_secret_0", hash_, client, report),
            TrafficSecret("server_application_traffic_secret_0", hash_, server, report),
            ExporterSecret("exporter_secret", hash_, exporter, report),
        )

    def resumption_secret(self, transcript_hash: bytes) -> ResumptionSecret:
        """The transcript goes up to the client's Finished."""
        value = self._derive("resumption_secret", b"res master", transcript_hash)
        return ResumptionSecret("resumption_secret", self.hash, value, self._report)


class HandshakeSecret(_Stage):
    """The second stage; made by EarlySecret."""

    __slots__ = ()

    def traffic_secrets(self, transcript_hash: bytes) -> tuple[TrafficSecret, TrafficSecret]:
        """The client's and the server's; the transcript goes up to ServerHello."""
        client, server = self._derive_each(_HANDSHAKE, transcript_hash)
        return (
            TrafficSecret("client_handshake_traffic_secret", self.hash, client, self._report),
            TrafficSecret("server_handshake_traffic_secret", self.hash, server, self._report),
        )

    def main_secret(self) -> MainSecret:
        """On to the last stage."""
        hash_ = self.hash
        salt = self._derive("derived_from_handshake_secret", b"derived", hash_.empty)
        value = extract(hash_, salt, bytes(hash_.size))
        if self._report is not None:
            self._report("main_secret", "", ("derived_from_handshake_secret", "0"), b"", value)
        return MainSecret("main_secret", hash_, value, self._report)


class EarlySecret(_Stage):
    """The first stage, of a PSK or of none."""

    __slots__ = ("_with_psk",)

    def __init__(self, hash_: Hash, psk: bytes | None = None, report: Report | None = None) -> None:
        self._with_psk = psk is not None
        if psk is None:
            psk = bytes(hash_.size)
        super().__init__("early_secret", hash_, mac(_zero_pads(hash_), psk), report)
        if report is not None:
            if self._with_psk:
                report("psk", "", (), b"", psk)
            report("early_secret", "", ("0", "psk" if self._with_psk else "0"), b"", self.value)

    def binder_key(self, *, external: bool = False) -> BinderKey:
        """For a PSK of a ticket, or one from outside TLS."""
        label = b"ext binder" if external else b"res binder"
        return BinderKey("binder_key", self.hash, self._derive("binder_key", label, self.hash.empty), self._report)

    def client_early_traffic_secret(self, transcript_hash: bytes) -> TrafficSecret:
        """The transcript is ClientHello."""
        name = "client_early_traffic_secret"
        return TrafficSecret(name, self.hash, self._derive(name, b"c e traffic", transcript_hash), self._report)

    def early_exporter_secret(self, transcript_hash: bytes) -> ExporterSecret:
        """The transcript is ClientHello."""
        value = self._derive("early_exporter_secret", b"e exp master", transcript_hash)
        return ExporterSecret("early_exporter_secret", self.hash, value, self._report)

    def handshake_secret(self, shared_secret: bytes | None) -> HandshakeSecret:
        """On to the second stage with the (EC)DHE shared secret, or None under psk_ke."""
        hash_, report = self.hash, self._report
        salt_pads = self._salt_pads() if self._with_psk or report is not None else _salt_pads_without_psk(hash_)
        value = mac(salt_pads, bytes(hash_.size) if shared_secret is None else shared_secret)
        if report is not None:
            if shared_secret is not None:
                report("shared_secret", "", (), b"", shared_secret)
            inputs = "derived_from_early_secret", "0" if shared_secret is None else "shared_secret"
            report("handshake_secret", "", inputs, b"", value)
        return HandshakeSecret("handshake_secret", hash_, value, report)

    def _salt_pads(self) -> tuple[HashState, HashState]:
        """The pads of the salt of the next stage."""
        return self.hash.pads(self._derive("derived_from_early_secret", b"derived", self.hash.empty))


@cache
def _zero_pads(hash_: Hash) -> tuple[HashState, HashState]:
    """Those of a salt that is absent. RFC 5869 2.2."""
    return hash_.pads(bytes(hash_.size))


@cache
def early_secret_without_psk(hash_: Hash) -> EarlySecret:
    """The Early Secret of a handshake without PSK: a constant of the hash, shared by connections without observers."""
    return EarlySecret(hash_)


@cache
def _salt_pads_without_psk(hash_: Hash) -> tuple[HashState, HashState]:
    return early_secret_without_psk(hash_)._salt_pads()
