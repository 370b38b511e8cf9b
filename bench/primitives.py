"""The floor: what the cryptography of an operation costs by itself, each primitive as often as the operation needs it.

No implementation on the `cryptography` package can do better on this machine, so the floor's ratio to ssl is the best
that handfast could reach. It has no messages, no records and no transcript.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509 import DNSName, load_der_x509_certificate
from cryptography.x509.verification import PolicyBuilder, Store

from bench.sides import NAME, Pki
from handfast.crypto import groups, signatures
from handfast.crypto.suites import SUITES_13
from handfast.keys.schedule import EarlySecret, TrafficSecret
from handfast.pki.authority import certificate_der
from handfast.registry import CipherSuite, NamedGroup, SignatureScheme

SUITE = SUITES_13[CipherSuite.TLS_AES_128_GCM_SHA256]
SCHEME = int(SignatureScheme.ecdsa_secp256r1_sha256)
CONTENT = bytes(130)
DIGEST = bytes(32)
RECORD = 16 * 1024

Step = Callable[[], object]


class Floor:
    """What one side of a handshake computes."""

    def __init__(self, pki: Pki) -> None:
        self.key = pki.server.key
        self.public = signatures.describe_public_key(self.key.public_key())
        self.signature = signatures.sign(self.key, SCHEME, CONTENT)
        self.share = groups.generate(NamedGroup.x25519)
        self.answer, _ = groups.encapsulate(NamedGroup.x25519, self.share.public)
        self.store = Store([pki.ca.certificate])
        self.server_leaf = certificate_der(pki.server.certificate)
        self.client_leaf = certificate_der(pki.client.certificate)

    def steps(self, kind: str) -> dict[str, Step]:
        """The client's and the server's steps of a ``full``, ``mutual`` or ``resumed`` handshake."""
        resumed = kind == "resumed"
        client: list[Step] = [self.client_share, partial(self.keys, resumed=resumed)]
        server: list[Step] = [self.server_share, partial(self.keys, resumed=resumed)]
        if not resumed:
            client += [self.verify, self.verify_server]
            server += [self.sign]
        if kind == "mutual":
            client += [self.sign]
            server += [self.verify, self.verify_client]
        return {"client": partial(run, client), "server": partial(run, server)}

    def client_share(self) -> None:
        groups.generate(NamedGroup.x25519)
        self.share.shared_secret(self.answer)

    def server_share(self) -> None:
        groups.encapsulate(NamedGroup.x25519, self.share.public)

    def sign(self) -> None:
        signatures.sign(self.key, SCHEME, CONTENT)

    def verify(self) -> None:
        signatures.verify(self.public, SCHEME, self.signature, CONTENT)

    def verify_server(self) -> None:
        verifier = PolicyBuilder().store(self.store).build_server_verifier(DNSName(NAME))
        verifier.verify(load_der_x509_certificate(self.server_leaf), [])

    def verify_client(self) -> None:
        PolicyBuilder().store(self.store).build_client_verifier().verify(
            load_der_x509_certificate(self.client_leaf), []
        )

    def keys(self, *, resumed: bool) -> None:
        """The key schedule, the AEADs of both directions in both epochs, and both Finished."""
        early = EarlySecret(SUITE.hash, DIGEST if resumed else None)
        if resumed:
            early.binder_key().finished(DIGEST)
        handshake = early.handshake_secret(DIGEST)
        main = handshake.main_secret()
        ends = [*handshake.traffic_secrets(DIGEST)]
        for secret in ends:
            secret.finished(DIGEST)
        ends += main.application_secrets(DIGEST)[:2]
        for secret in ends:
            protect(secret)


def protect(secret: TrafficSecret) -> None:
    key, _ = secret.key_and_iv(SUITE)
    SUITE.aead(key)


def run(steps: list[Step]) -> None:
    for step in steps:
        step()


def aes_gcm(size: int) -> tuple[Step, Step]:
    """Encrypting and decrypting ``size`` bytes in records of at most 16 KiB."""
    aead, nonce, header = AESGCM(bytes(16)), bytes(12), bytes(5)
    count, content = max(1, size // RECORD), min(size, RECORD) + 1
    plain, sealed = bytearray(content), bytearray(content + 16)
    aead.encrypt_into(nonce, plain, header, sealed)

    def encrypt() -> None:
        for _ in range(count):
            aead.encrypt_into(nonce, plain, header, sealed)

    def decrypt() -> None:
        for _ in range(count):
            aead.decrypt_into(nonce, sealed, header, plain)

    return encrypt, decrypt
