"""Channel bindings: the same at both ends, and what OpenSSL says they are."""

from __future__ import annotations

import hashlib
import socket
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from handfast.engine import ClientConfig
from handfast.engine.channel_bindings import server_end_point
from handfast.errors import ApiMisuse
from handfast.io import sockets
from handfast.pki.authority import CertificateAuthority
from tests import certificates
from tests.peer import Client, Server
from tests.protocol.ours import Judge, client, credentials, server
from tests.protocol.theirs import client_end, server_end, shake_hands

KINDS = ("tls-exporter", "tls-server-end-point")


def connected(issued=None):
    """Both of our ends."""
    ends = client(), server(credentials=(credentials(issued or certificates.server()),))
    while not all(end.connected for end in ends):
        ends[1].receive(ends[0].outgoing())
        ends[0].receive(ends[1].outgoing())
    return ends


def self_signed(key, algorithm, **options):
    """A certificate with this signature."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    return builder.sign(key, algorithm, **options).public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("kind", KINDS)
def test_both_ends_have_the_same(kind):
    first, second = (connected() for _ in range(2))
    assert first[0].channel_binding(kind) == first[1].channel_binding(kind)
    assert len(first[0].channel_binding(kind)) == 32
    # One is of the connection, the other of the certificate.
    same = first[0].channel_binding(kind) == second[0].channel_binding(kind)
    assert same == (kind == "tls-server-end-point")


def test_the_exporter_is_what_rfc_9266_says():
    for end in connected():
        assert end.channel_binding("tls-exporter") == end.export("EXPORTER-Channel-Binding", b"", 32)


@pytest.mark.parametrize("ours", ["client", "server"])
def test_openssl_has_the_same_exporter(ours):
    mine, theirs = (client(), server_end()) if ours == "client" else (server(), client_end())
    shake_hands(mine, theirs)
    for context in (None, b""):
        assert mine.channel_binding("tls-exporter") == theirs.export_keying_material(
            b"EXPORTER-Channel-Binding", 32, context
        )


def test_the_client_has_the_hash_of_the_certificate_that_openssl_showed():
    issued = certificates.ca("ecdsa-p384").server("localhost")
    ours, theirs = client(), server_end(issued=issued)
    shake_hands(ours, theirs)
    certificate = theirs.get_certificate()
    assert certificate is not None
    digest = certificate.digest("sha384").replace(b":", b"").lower().decode()
    assert ours.channel_binding("tls-server-end-point").hex() == digest


def test_over_sockets():
    one, other = socket.socketpair()
    tls = sockets.TLSSocket(other, server())
    thread = threading.Thread(target=tls.handshake)
    thread.start()
    config = ClientConfig(verifier=Judge())
    with sockets.client(one, config, server_name="localhost") as ours, tls:
        thread.join()
        for kind in KINDS:
            assert ours.channel_binding(kind) == tls.channel_binding(kind)


EC_KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        (hashes.SHA256(), hashlib.sha256),
        (hashes.SHA384(), hashlib.sha384),
        (hashes.SHA512(), hashlib.sha512),
        (hashes.SHA3_256(), hashlib.sha3_256),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_hash_is_that_of_the_certificates_signature(signature, expected):
    certificate = self_signed(EC_KEY, signature)
    assert server_end_point(certificate) == expected(certificate).digest()


@pytest.mark.parametrize("name", ["MD5", "SHA-1"])
def test_sha_256_stands_for_the_hashes_that_are_broken(name):
    """The library signs with neither any more: the signature's algorithm is written over, of the same length."""
    certificate = self_signed(rsa.generate_private_key(65537, 2048), hashes.SHA256())
    pkcs1 = bytes.fromhex("06092a864886f70d0101")
    sha256, other = pkcs1 + b"\x0b", pkcs1 + {"MD5": b"\x04", "SHA-1": b"\x05"}[name]
    assert certificate.count(sha256) == 2
    old = certificate.replace(sha256, other)
    found = x509.load_der_x509_certificate(old).signature_hash_algorithm
    assert found is not None
    assert found.name == name.lower().replace("-", "")
    assert server_end_point(old) == hashlib.sha256(old).digest()


def test_rsa_pss_names_its_hash():
    pss = padding.PSS(padding.MGF1(hashes.SHA384()), 48)
    certificate = self_signed(rsa.generate_private_key(65537, 2048), hashes.SHA384(), rsa_padding=pss)
    assert server_end_point(certificate) == hashlib.sha384(certificate).digest()


def test_a_signature_without_a_hash_has_none():
    for end in connected(CertificateAuthority.create("Edwards", key="ed25519").server("localhost")):
        with pytest.raises(ApiMisuse, match="tls-server-end-point") as caught:
            end.channel_binding("tls-server-end-point")
        assert caught.value.code == "no_channel_binding"
        # It is an answer, not the end.
        assert end.connected
        assert len(end.channel_binding("tls-exporter")) == 32


@pytest.mark.parametrize("kind", ["tls-unique", "", "TLS-EXPORTER"])
def test_there_is_no_other(kind):
    for end in connected():
        with pytest.raises(ApiMisuse) as caught:
            end.channel_binding(kind)
        assert caught.value.code == "no_channel_binding"


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_none_before_the_handshake_and_after_an_error(kind):
    early = client()
    failed = Server(client(), lies={"Finished": b""}).run().connection
    refused = Client(server(), lies={"Finished": b"\x14\0\0\x20" + bytes(32)}).run().connection
    assert refused.error is not None
    for end in (early, failed, refused):
        with pytest.raises(ApiMisuse) as caught:
            end.channel_binding(kind)
        assert caught.value.code == "no_exporter"


def test_the_servers_certificate_binds_though_the_client_shows_one_too():
    ours = client(credentials=(credentials(certificates.client()),))
    assert Server(ours, requests_certificate=True).run().complete
    assert ours.channel_binding("tls-server-end-point") == hashlib.sha256(certificates.server().chain[0]).digest()


def test_both_ends_have_the_servers_certificate_in_tls_1_2():
    ends = client(versions=(0x0303,)), server(versions=(0x0303,))
    for _ in range(3):
        for end, other in (ends, ends[::-1]):
            end.receive(other.outgoing())
    own = hashlib.sha256(certificates.server().chain[0]).digest()
    assert [end.channel_binding("tls-server-end-point") for end in ends] == [own, own]
