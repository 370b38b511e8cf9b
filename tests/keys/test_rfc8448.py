"""RFC 8448 section 3, recomputed: the key schedule and every protected record of the trace."""

from __future__ import annotations

import math

import pytest

from handfast.crypto.hashes import SHA256
from handfast.crypto.signatures import certificate_public_key, verify
from handfast.crypto.suites import SUITES_13
from handfast.keys.schedule import EarlySecret, TrafficSecret
from handfast.record.protection import Protection13
from handfast.registry import CipherSuite, ContentType, SignatureScheme
from tests.vectors import rfc8448_simple as rfc

SUITE = SUITES_13[CipherSuite.TLS_AES_128_GCM_SHA256]
SERVER_FLIGHT = rfc.ENCRYPTED_EXTENSIONS + rfc.CERTIFICATE + rfc.CERTIFICATE_VERIFY + rfc.SERVER_FINISHED


def test_the_vectors_have_the_lengths_that_the_rfc_states():
    lengths = {
        "CLIENT_HELLO": 196,
        "SERVER_HELLO": 90,
        "ENCRYPTED_EXTENSIONS": 40,
        "CERTIFICATE": 445,
        "CERTIFICATE_VERIFY": 136,
        "SERVER_FINISHED": 36,
        "CLIENT_FINISHED": 36,
        "NEW_SESSION_TICKET": 205,
        "CLIENT_HELLO_RECORD": 201,
        "SERVER_HELLO_RECORD": 95,
        "SERVER_FLIGHT_RECORD": 679,
        "CLIENT_FINISHED_RECORD": 58,
        "NEW_SESSION_TICKET_RECORD": 227,
        "CLIENT_APPLICATION_DATA_RECORD": 72,
        "SERVER_APPLICATION_DATA_RECORD": 72,
        "CLIENT_ALERT_RECORD": 24,
        "SERVER_ALERT_RECORD": 24,
    }
    assert {name: len(getattr(rfc, name)) for name in lengths} == lengths


def test_the_rsa_key_is_that_of_the_certificate():
    assert rfc.RSA_PRIME1 * rfc.RSA_PRIME2 == rfc.RSA_MODULUS
    order = math.lcm(rfc.RSA_PRIME1 - 1, rfc.RSA_PRIME2 - 1)
    assert rfc.RSA_PRIVATE_EXPONENT * rfc.RSA_PUBLIC_EXPONENT % order == 1
    assert rfc.RSA_MODULUS.to_bytes(128, "big") in rfc.CERTIFICATE


def test_key_schedule():
    early = EarlySecret(SHA256)
    assert early.value == rfc.EARLY_SECRET
    handshake = early.handshake_secret(rfc.SHARED_SECRET)
    assert handshake.value == rfc.HANDSHAKE_SECRET

    transcript_hash = SHA256.digest(rfc.CLIENT_HELLO + rfc.SERVER_HELLO)
    assert transcript_hash == rfc.HASH_TO_SERVER_HELLO
    client, server = handshake.traffic_secrets(transcript_hash)
    assert client.value == rfc.CLIENT_HANDSHAKE_TRAFFIC_SECRET
    assert server.value == rfc.SERVER_HANDSHAKE_TRAFFIC_SECRET
    assert client.key_and_iv(SUITE) == (rfc.CLIENT_HANDSHAKE_KEY, rfc.CLIENT_HANDSHAKE_IV)
    assert server.key_and_iv(SUITE) == (rfc.SERVER_HANDSHAKE_KEY, rfc.SERVER_HANDSHAKE_IV)

    transcript = rfc.CLIENT_HELLO + rfc.SERVER_HELLO + SERVER_FLIGHT
    before_finished = SHA256.digest(transcript[: -len(rfc.SERVER_FINISHED)])
    assert server.finished(before_finished) == rfc.SERVER_FINISHED[4:]
    assert SHA256.hmac(rfc.SERVER_FINISHED_KEY, before_finished) == rfc.SERVER_FINISHED[4:]
    assert SHA256.digest(transcript) == rfc.HASH_TO_SERVER_FINISHED
    assert client.finished(rfc.HASH_TO_SERVER_FINISHED) == rfc.CLIENT_FINISHED[4:]
    assert SHA256.hmac(rfc.CLIENT_FINISHED_KEY, rfc.HASH_TO_SERVER_FINISHED) == rfc.CLIENT_FINISHED[4:]

    main = handshake.main_secret()
    assert main.value == rfc.MAIN_SECRET
    client, server, exporter = main.application_secrets(rfc.HASH_TO_SERVER_FINISHED)
    assert client.value == rfc.CLIENT_APPLICATION_TRAFFIC_SECRET
    assert server.value == rfc.SERVER_APPLICATION_TRAFFIC_SECRET
    assert client.key_and_iv(SUITE) == (rfc.CLIENT_APPLICATION_KEY, rfc.CLIENT_APPLICATION_IV)
    assert server.key_and_iv(SUITE) == (rfc.SERVER_APPLICATION_KEY, rfc.SERVER_APPLICATION_IV)
    assert exporter.value == rfc.EXPORTER_SECRET

    assert SHA256.digest(transcript + rfc.CLIENT_FINISHED) == rfc.HASH_TO_CLIENT_FINISHED
    resumption = main.resumption_secret(rfc.HASH_TO_CLIENT_FINISHED)
    assert resumption.value == rfc.RESUMPTION_SECRET
    assert resumption.psk(rfc.TICKET_NONCE) == rfc.RESUMPTION_PSK


# Secret, then the records of that secret in their order: content type, content, record.
PROTECTED = {
    "server handshake": (
        rfc.SERVER_HANDSHAKE_TRAFFIC_SECRET,
        [(ContentType.handshake, SERVER_FLIGHT, rfc.SERVER_FLIGHT_RECORD)],
    ),
    "client handshake": (
        rfc.CLIENT_HANDSHAKE_TRAFFIC_SECRET,
        [(ContentType.handshake, rfc.CLIENT_FINISHED, rfc.CLIENT_FINISHED_RECORD)],
    ),
    "server application": (
        rfc.SERVER_APPLICATION_TRAFFIC_SECRET,
        [
            (ContentType.handshake, rfc.NEW_SESSION_TICKET, rfc.NEW_SESSION_TICKET_RECORD),
            (ContentType.application_data, rfc.APPLICATION_DATA, rfc.SERVER_APPLICATION_DATA_RECORD),
            (ContentType.alert, rfc.CLOSE_NOTIFY, rfc.SERVER_ALERT_RECORD),
        ],
    ),
    "client application": (
        rfc.CLIENT_APPLICATION_TRAFFIC_SECRET,
        [
            (ContentType.application_data, rfc.APPLICATION_DATA, rfc.CLIENT_APPLICATION_DATA_RECORD),
            (ContentType.alert, rfc.CLOSE_NOTIFY, rfc.CLIENT_ALERT_RECORD),
        ],
    ),
}


@pytest.mark.parametrize(("secret", "records"), PROTECTED.values(), ids=PROTECTED)
def test_records(secret, records):
    sender = Protection13(SUITE, TrafficSecret("a traffic secret", SHA256, secret))
    receiver = Protection13(SUITE, TrafficSecret("a traffic secret", SHA256, secret))
    for content_type, content, record in records:
        assert sender.seal(content_type, content) == record
        assert receiver.open(record[:5], record[5:]) == (content_type, content, 0)


def test_certificate_verify_checks():
    """The 1024-bit key is too small for our own use; the signature over the transcript is sound all the same."""
    certificate = rfc.CERTIFICATE[11:-2]
    content = (
        b" " * 64
        + b"TLS 1.3, server CertificateVerify\0"
        + SHA256.digest(rfc.CLIENT_HELLO + rfc.SERVER_HELLO + rfc.ENCRYPTED_EXTENSIONS + rfc.CERTIFICATE)
    )
    key = certificate_public_key(certificate)
    assert key.name == "RSA 1024"
    assert verify(key, SignatureScheme.rsa_pss_rsae_sha256, rfc.CERTIFICATE_VERIFY[8:], content)
    assert not verify(key, SignatureScheme.rsa_pss_rsae_sha256, rfc.CERTIFICATE_VERIFY[8:], content + b"\0")
