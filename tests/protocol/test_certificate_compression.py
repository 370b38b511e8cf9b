"""Certificates that come compressed, and ours that go compressed: both roles, all algorithms, every way to lie."""

from __future__ import annotations

import tracemalloc
import zlib
from dataclasses import replace

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from handfast.engine import ClientAuth, ClientConfig
from handfast.errors import BadMessage, ConfigError, PeerMisbehaved
from handfast.events import MessageSeen
from handfast.handshake.identity import certificate_message, encoded_certificate
from handfast.handshake.negotiate import CertificateForm
from handfast.limits import MAX_HANDSHAKE_MESSAGE, MAX_ZSTD_WINDOW
from handfast.registry import CertificateCompressionAlgorithm, ExtensionType
from handfast.roles import Direction, Role
from handfast.wire import compression
from handfast.wire.codec import encode
from handfast.wire.compression import ALGORITHMS, certificate_in, compress, decompress
from handfast.wire.extensions import CertificateCompressionAlgorithms, CertificateStatus, Extensions
from handfast.wire.messages import (
    HANDSHAKE_HEADER,
    Certificate,
    CertificateEntry,
    CertificateRequest,
    ClientHello,
    CompressedCertificate,
)
from tests import certificates
from tests.lens.connections import client_config, converse, credentials, server_config
from tests.lies import compressed
from tests.peer import Client, Server
from tests.protocol.ours import APPLICATION_KEYS, HANDSHAKE_KEYS, Row, client, meet, server, table

ZLIB, BROTLI, ZSTD = CertificateCompressionAlgorithm
ALL = (BROTLI, ZSTD, ZLIB)
# What another program would inflate it with.
INFLATED_BY = {ZLIB: zlib.decompress, BROTLI: brotli.decompress, ZSTD: zstandard.decompress}
all_algorithms = pytest.mark.parametrize("algorithm", ALL, ids=lambda algorithm: algorithm.name)
# Of a certificate alone brotli makes nothing smaller once in a thousand, and then it goes plain.
server_with_intermediate = certificates.server_below_intermediate
C2S, S2C = Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT


def seen(watched, kind, direction):
    return [
        event.message
        for event in watched.events
        if isinstance(event, MessageSeen) and event.direction is direction and isinstance(event.message, kind)
    ]


# Our two ends


@all_algorithms
def test_both_certificates_go_compressed(algorithm):
    alice, localhost = certificates.client_below_intermediate(), server_with_intermediate()
    told = converse(
        client_config(alice, certificate_compression=(algorithm,)),
        server_config(credentials=credentials(localhost), certificate_compression=ALL),
    )
    assert [watched.error for watched in told] == [None, None]
    for watched, (direction, chain) in zip(told, ((S2C, localhost.chain), (C2S, alice.chain)), strict=True):
        assert watched.info.peer_chain == chain
        assert seen(watched, Certificate, direction) == []
        (message,) = seen(watched, CompressedCertificate, direction)
        plain = Certificate(b"", tuple(map(CertificateEntry, chain))).encode()
        assert message.algorithm == algorithm
        assert INFLATED_BY[algorithm](message.compressed_certificate_message) == plain[HANDSHAKE_HEADER:]
        assert message.uncompressed_length == len(plain) - HANDSHAKE_HEADER
        assert len(message.encode()) < len(plain)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [((), (ZLIB,)), ((ZLIB,), ()), ((BROTLI,), (ZLIB, ZSTD))],
    ids=["not ours", "not theirs", "none"],
)
def test_without_a_common_algorithm_certificates_go_plain(ours, theirs):
    told = converse(
        client_config(certificates.client(), certificate_compression=ours),
        server_config(certificate_compression=theirs),
    )
    for watched in told:
        assert watched.error is None
        for direction in Direction:
            assert len(seen(watched, Certificate, direction)) == 1
            assert seen(watched, CompressedCertificate, direction) == []


def test_the_senders_preference_decides():
    told, _ = converse(
        client_config(certificates.client(), certificate_compression=(ZLIB, BROTLI)),
        server_config(credentials=credentials(server_with_intermediate()), certificate_compression=(BROTLI, ZLIB)),
    )
    assert [seen(told, CompressedCertificate, direction)[0].algorithm for direction in (S2C, C2S)] == [BROTLI, ZLIB]


def test_after_a_retry():
    told, _ = converse(
        client_config(groups=(29, 23), certificate_compression=(ZLIB,)),
        server_config(ClientAuth.NONE, groups=(23,), certificate_compression=(ZLIB,)),
    )
    assert told.error is None
    assert len(seen(told, CompressedCertificate, S2C)) == 1


def test_a_client_that_declines_sends_its_empty_message_plain():
    peer = Server(client(certificate_compression=ALL), requests_certificate=True).run()
    assert peer.complete
    assert peer.got(Certificate).certificate_list == ()


# What is offered


def test_nothing_is_offered_unless_configured():
    assert ExtensionType.compress_certificate not in Server(client()).run().got(ClientHello).extensions
    peer = Client(server(client_auth=ClientAuth.REQUEST)).run()
    assert ExtensionType.compress_certificate not in peer.got(CertificateRequest).extensions


def test_what_is_configured_is_offered_in_its_order():
    hello = Server(client(certificate_compression=ALL)).run().got(ClientHello)
    request = Client(server(client_auth=ClientAuth.REQUEST, certificate_compression=ALL)).run().got(CertificateRequest)
    for message in (hello, request):
        assert message.find(CertificateCompressionAlgorithms) == CertificateCompressionAlgorithms(ALL)


@pytest.mark.parametrize("wrong", [(4,), (ZLIB, ZLIB), (0,)])
def test_a_configuration_that_names(wrong):
    with pytest.raises(ConfigError) as caught:
        ClientConfig(certificate_compression=wrong)
    assert caught.value.code == "bad_option"


def test_an_algorithm_whose_package_is_not_installed(monkeypatch):
    monkeypatch.setattr(compression, "find_spec", lambda name: None if name == "brotli" else name)
    assert ClientConfig(certificate_compression=(ZSTD, ZLIB)).certificate_compression == (ZSTD, ZLIB)
    with pytest.raises(ConfigError, match="brotli is not installed") as caught:
        ClientConfig(certificate_compression=(ZLIB, BROTLI))
    assert "handfast[brotli]" in caught.value.hint
    message = compress(Certificate(b"", (CertificateEntry(bytes(100)),)), BROTLI)
    assert certificate_in(message) is None


# What is kept


def test_the_compressed_form_is_made_once_for_each_form(monkeypatch):
    (mine,) = credentials(server_with_intermediate())
    made = []

    def counted(certificate, algorithm):
        made.append(algorithm)
        return compress(certificate, algorithm)

    monkeypatch.setattr("handfast.handshake.identity.compress", counted)
    forms = [CertificateForm(algorithm, ocsp, False) for algorithm in ALL for ocsp in (False, True)]
    first = [encoded_certificate(mine, b"", form) for form in forms]
    assert [encoded_certificate(mine, b"", form) for form in forms] == first
    assert len(made) == len(forms)
    # One that answers a request with a context is like no other.
    for context in (b"1", b"1", b"2"):
        message = certificate_message(mine, context, forms[0])
        assert isinstance(message, CompressedCertificate)
        assert decompress(message).certificate_request_context == context
    assert len(made) == len(forms) + 3
    assert encoded_certificate(mine, b"", forms[0]) is first[0]


@all_algorithms
def test_what_would_not_be_smaller_goes_plain(algorithm):
    (mine,) = credentials(certificates.server())
    random = certificates.Careless((zlib.compress(bytes(range(256)) * 3, 9)[:40],), mine.signer)
    form = CertificateForm(algorithm, False, False)
    for _ in range(2):
        assert isinstance(certificate_message(random, b"", form), Certificate)
    assert compress(Certificate(b"", ()), algorithm) is None


# What is refused


def remade(change, algorithm=ZLIB):
    """The CompressedCertificate with other compressed data."""

    def lie(certificate):
        message = compressed(algorithm)(certificate)
        return replace(message, compressed_certificate_message=change(message.compressed_certificate_message))

    return lie


def holding(**fields):
    """What a Certificate with other fields compresses to."""
    return lambda certificate: compressed()(replace(certificate, **fields))


def unknown(certificate):
    return replace(compressed()(certificate), algorithm=0x2A2A)


def of_bytes(body):
    """A CompressedCertificate that is right in itself and holds these bytes."""
    return CompressedCertificate(ZLIB, len(body), zlib.compress(body))


def longer_by(extra):
    return lambda certificate: compressed(uncompressed_length=len(certificate.encode()) - HANDSHAKE_HEADER + extra)(
        certificate
    )


def stapled(certificate):
    leaf, *others = certificate.certificate_list
    leaf = replace(leaf, extensions=Extensions.of(CertificateStatus(1, b"response")))
    return compressed()(replace(certificate, certificate_list=(leaf, *others)))


BAD = ("bad_compression", "bad_certificate")
TOO_LARGE = ("compressed_too_large", "bad_certificate")
NOT_OFFERED = ("compression_not_offered", "illegal_parameter")
LIMIT = MAX_HANDSHAKE_MESSAGE - HANDSHAKE_HEADER


@pytest.mark.parametrize("role", list(Role), ids=lambda role: f"our {role}")
@table(
    Row("an algorithm that was not offered", compressed(BROTLI), *NOT_OFFERED),
    Row("an algorithm that nobody knows", unknown, *NOT_OFFERED),
    Row("a length over the limit", compressed(uncompressed_length=LIMIT + 1), *TOO_LARGE),
    Row("the largest length", compressed(uncompressed_length=2**24 - 1), *TOO_LARGE),
    Row("a length that is too long", longer_by(1), *BAD),
    Row("a length that is too short", longer_by(-1), *BAD),
    Row("a length of nothing", compressed(uncompressed_length=0), *BAD),
    Row("bytes after the stream", remade(lambda data: data + b"\0"), *BAD),
    Row("a second stream", remade(lambda data: data + data), *BAD),
    Row("a stream that is cut off", remade(lambda data: data[:-1]), *BAD),
    Row("a stream that is cut off early", remade(lambda data: data[:20]), *BAD),
    Row("a wrong checksum", remade(lambda data: data[:-1] + bytes((data[-1] ^ 1,))), *BAD),
    Row("no stream", remade(lambda data: b"certificate"), *BAD),
    Row("a bomb", remade(lambda data: zlib.compress(bytes(10**7))), *BAD),
    Row(
        "half a Certificate",
        of_bytes(b"\0\0\0\x0a1234"),
        "truncated",
        "decode_error",
    ),
    Row("a Certificate and more", of_bytes(b"\0\0\0\0\0"), "trailing_bytes", "decode_error"),
    Row("no Certificate", of_bytes(b""), "truncated", "decode_error"),
    Row("a context", holding(certificate_request_context=b"1"), "certificate_context", "illegal_parameter"),
    Row("an OCSP response that nobody asked for", stapled, "unrequested_extension", "unsupported_extension"),
)
def test_our_side_refuses(role, row):
    under = HANDSHAKE_KEYS if role is Role.CLIENT else APPLICATION_KEYS
    peer = {} if role is Role.CLIENT else {"identity": certificates.client()}
    ours = {"certificate_compression": (ZLIB,)} | (
        {} if role is Role.CLIENT else {"client_auth": ClientAuth.REQUIRE_AND_VERIFY}
    )
    row.check(role, "Certificate", under=under, peer=peer, ours=ours)


def test_our_client_refuses_an_empty_one():
    row = Row("", holding(certificate_list=()), "empty_server_certificate", "decode_error", HANDSHAKE_KEYS)
    row.check(Role.CLIENT, "Certificate", ours={"certificate_compression": (ZLIB,)})


def test_a_proof_by_another_key():
    mallory = replace(certificates.client(), key=certificates.client(name="mallory").key)
    row = Row("", compressed(), "bad_signature", "decrypt_error", APPLICATION_KEYS)
    ours = {"certificate_compression": (ZLIB,), "client_auth": ClientAuth.REQUIRE_AND_VERIFY}
    row.check(Role.SERVER, "Certificate", peer={"identity": mallory}, ours=ours)


@all_algorithms
@pytest.mark.parametrize("role", list(Role), ids=lambda role: f"our {role}")
def test_a_foreign_compression_is_accepted(role, algorithm):
    ours = {"certificate_compression": ALL, "client_auth": ClientAuth.REQUIRE_AND_VERIFY}
    if role is Role.CLIENT:
        del ours["client_auth"]
    identity = certificates.server() if role is Role.CLIENT else certificates.client()
    peer = meet(role, ours, lies={"Certificate": compressed(algorithm)}, identity=identity).run()
    assert peer.complete, peer.connection.error
    assert peer.connection.info.peer_chain == identity.chain


def test_the_largest_certificate_that_may_be_compressed():
    """It is refused for what it holds, not for its size."""
    largest = Certificate(b"", (CertificateEntry(bytes(LIMIT - 4 - 5)),))
    assert len(largest.encode()) == MAX_HANDSHAKE_MESSAGE
    row = Row("", compressed()(largest), "malformed", "bad_certificate", HANDSHAKE_KEYS)
    row.check(Role.CLIENT, "Certificate", ours={"certificate_compression": (ZLIB,)})


# Each algorithm by itself


def damaged(algorithm, change):
    body = encode(Certificate(b"", tuple(map(CertificateEntry, certificates.server().chain))))
    return CompressedCertificate(algorithm, len(body), change(ALGORITHMS[algorithm].deflate(body)))


@all_algorithms
@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"\0",
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data[:1],
        lambda data: b"no stream of any kind",
    ],
    ids=["bytes after it", "a byte too few", "half of it", "its first byte", "garbage"],
)
def test_a_stream_with(algorithm, change):
    with pytest.raises(PeerMisbehaved) as caught:
        decompress(damaged(algorithm, change))
    assert caught.value.code == "bad_compression"


@pytest.mark.parametrize(
    ("algorithm", "bomb"),
    [
        (ZLIB, zlib.compress(bytes(10**8), 9)),
        (BROTLI, brotli.compress(bytes(10**8), quality=5)),
        (ZSTD, zstandard.compress(bytes(10**8))),
        (ZSTD, zstandard.ZstdCompressor(write_content_size=False).compress(bytes(10**8))),
    ],
    ids=["zlib", "brotli", "zstd", "zstd that announces nothing"],
)
@pytest.mark.parametrize("announced", [0, 100, LIMIT])
def test_a_bomb_costs_no_more_than_was_announced(algorithm, bomb, announced):
    ALGORITHMS[algorithm].deflate(b"import it first")
    message = CompressedCertificate(algorithm, announced, bomb)
    tracemalloc.start()
    try:
        with pytest.raises(PeerMisbehaved) as caught:
            decompress(message)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.code == "bad_compression"
    assert peak < 2**19


def test_a_zstd_window_that_is_too_large():
    body = encode(Certificate(b"", (CertificateEntry(bytes(1000)),)))
    for window, accepted in ((MAX_ZSTD_WINDOW, True), (2 * MAX_ZSTD_WINDOW, False)):
        parameters = zstandard.ZstdCompressionParameters(
            window_log=window.bit_length() - 1, write_content_size=False, compression_level=1
        )
        stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        message = CompressedCertificate(ZSTD, len(body), stream.compress(body) + stream.flush())
        assert (certificate_in(message) is not None) == accepted


def test_a_length_over_the_limit_is_refused_before_anything_is_inflated(monkeypatch):
    def inflate(data, length):
        pytest.fail("it was inflated")

    monkeypatch.setattr(compression, "ALGORITHMS", {ZLIB: ALGORITHMS[ZLIB]._replace(inflate=inflate)})
    with pytest.raises(PeerMisbehaved) as caught:
        decompress(CompressedCertificate(ZLIB, LIMIT + 1, zlib.compress(bytes(LIMIT + 1))))
    assert caught.value.code == "compressed_too_large"


@settings(max_examples=50)
@given(st.sampled_from(ALL), st.binary(max_size=255), st.lists(st.binary(min_size=1, max_size=300), max_size=5))
def test_what_is_compressed_comes_back(algorithm, context, chain):
    certificate = Certificate(context, tuple(map(CertificateEntry, chain)))
    body = encode(certificate)
    message = CompressedCertificate(algorithm, len(body), ALGORITHMS[algorithm].deflate(body))
    found = decompress(message)
    assert found == certificate
    assert found.raw == certificate.encode()
    made = compress(certificate, algorithm)
    assert made == (message if len(message.encode()) < len(certificate.encode()) else None)


@settings(max_examples=100)
@given(st.integers(0, 5), st.integers(0, 2**24 - 1) | st.integers(0, 300), st.binary(min_size=1, max_size=300))
def test_nothing_else_comes_of_any_bytes(algorithm, length, data):
    message = CompressedCertificate(algorithm, length, data)
    assert certificate_in(message) is None
    if algorithm in ALGORITHMS:
        with pytest.raises((PeerMisbehaved, BadMessage)):
            decompress(message)


# What is shown


@pytest.mark.parametrize("detail", ["names", "fields", "bytes"])
def test_the_trace_shows_what_was_inside(detail):
    alice = certificates.client_below_intermediate()
    (told, _), (plain, _) = (
        converse(
            client_config(alice, certificate_compression=algorithms),
            server_config(certificate_compression=algorithms),
            detail=detail,
        )
        for algorithms in ((ZLIB,), ())
    )
    (line,) = [line for line in told.lines if "CompressedCertificate" in line and "alice" in line]
    assert "zlib" in line
    assert "bytes uncompressed; CN=alice" in line
    assert line.endswith("and 1 certificate above it")
    assert "we showed CN=alice" in told.verdict
    text = told.text
    if detail == "names":
        assert "inside" not in text
    else:
        assert text.count("inside, once it is inflated:") == 2
        # Whatever a plain Certificate shows of itself stands there too.
        (start,) = [at for at, line in enumerate(plain.lines) if " Certificate, " in line and "alice" in line]
        shown = [line.strip() for line in plain.lines[start + 1 : start + 8]]
        lines = [line.strip() for line in told.lines]
        assert shown == lines[(first := lines.index(shown[0], lines.index(line.strip()))) : first + len(shown)]
