"""set_server_sigalgs and set_client_sigalgs: what servers and clients sign with, and what the other end accepts."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import handfast
from handfast.events import MessageSeen
from handfast.registry import SignatureScheme
from handfast.wire.extensions import SignatureSchemeList
from handfast.wire.messages import ClientHello
from tests import certificates
from tests.sslcontext.pairs import OURS, Files, Pair, client_context, server_context

RSA_256, RSA_384 = SignatureScheme.rsa_pss_rsae_sha256, SignatureScheme.rsa_pss_rsae_sha384
ECDSA = SignatureScheme.ecdsa_secp256r1_sha256
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture(params=VERSIONS)
def contexts(request, files: Files) -> tuple[Any, Any]:
    """A server and a client whose keys are RSA and P-256, each asking for the other's certificate."""
    server = server_context(OURS, files, verify=ssl.CERT_REQUIRED)
    client = client_context(OURS, files, certificate=True)
    for context, issued in ((server, certificates.server("rsa-2048")), (client, certificates.client("rsa-2048"))):
        context.load_cert_chain(issued.cert_pem, issued.key_pem)
        context.maximum_version = context.minimum_version = request.param
    return server, client


def outcome(server: Any, client: Any) -> Any:
    """The pair, or both ends' errors."""
    pair = Pair(server, client)
    errors: list[ssl.SSLError] = []
    for _ in range(4):
        for one in (pair.client, pair.server):
            try:
                one.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as error:
                errors.append(error)
    if not errors:
        pair.server.write(b"x")
        with suppress(ssl.SSLWantReadError):
            pair.client.read()
    return errors or pair


def offered_by(client: Any) -> list[int]:
    """The schemes in its ClientHello."""
    seen: list[Any] = []
    client.observe = lambda _: ((seen.append,), ())
    with suppress(ssl.SSLWantReadError):
        client.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost").do_handshake()
    messages = [event.message for event in seen if isinstance(event, MessageSeen)]
    [offered] = [one.find(SignatureSchemeList) for one in messages if isinstance(one, ClientHello)]
    return [] if offered is None else list(offered.supported_signature_algorithms)


def test_a_server_signs_with_what_it_was_told(contexts) -> None:
    server, client = contexts
    for name, scheme in (("RSA-PSS+SHA384", RSA_384), ("ECDSA+SHA256", ECDSA), ("rsa_pss_rsae_sha256", RSA_256)):
        server.set_server_sigalgs(name)
        server.set_client_sigalgs("ECDSA+SHA256:RSA-PSS+SHA256")
        assert handfast.info(outcome(server, client).server).own_scheme == scheme


def test_a_client_offers_and_accepts_what_servers_sign_with(contexts) -> None:
    server, client = contexts
    client.set_server_sigalgs("rsa_pss_rsae_sha384")
    assert offered_by(client) == [RSA_384]
    client.observe = None
    assert handfast.info(outcome(server, client).server).own_scheme == RSA_384
    server.set_server_sigalgs("ECDSA+SHA256")
    assert "signature" in str(outcome(server, client)[-1])


def test_a_server_names_what_clients_sign_with(contexts) -> None:
    server, client = contexts
    for name, scheme in (("rsa_pss_rsae_sha384", RSA_384), ("ecdsa_secp256r1_sha256", ECDSA)):
        server.set_client_sigalgs(name)
        assert handfast.info(outcome(server, client).client).own_scheme == scheme


def test_a_client_signs_with_what_it_was_told(contexts) -> None:
    server, client = contexts
    client.set_client_sigalgs("rsa_pss_rsae_sha384")
    assert len(offered_by(client)) > 1
    client.observe = None
    assert handfast.info(outcome(server, client).client).own_scheme == RSA_384


def test_a_client_whose_keys_make_none_of_them_shows_no_certificate(contexts) -> None:
    server, client = contexts
    client.set_client_sigalgs("ed25519")
    assert {error.reason for error in outcome(server, client)} & {"PEER_DID_NOT_RETURN_A_CERTIFICATE"}
    server.verify_mode = ssl.CERT_OPTIONAL
    assert outcome(server, client).server.getpeercert() is None


def test_what_servers_sign_with_holds_for_clients_where_nothing_else_is_set(contexts) -> None:
    server, client = contexts
    for one in contexts:
        one.set_server_sigalgs("rsa_pss_rsae_sha384")
    pair = outcome(server, client)
    assert handfast.info(pair.client).own_scheme == handfast.info(pair.server).own_scheme == RSA_384


def test_a_server_whose_keys_make_none_of_them_says_so_when_it_is_wrapped(files: Files) -> None:
    server = server_context(OURS, files)
    server.set_server_sigalgs("ed25519")
    with pytest.raises(ssl.SSLError) as error:
        server.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
    assert "our keys sign with none of these in TLS 1.3, but with ecdsa_secp256r1_sha256" in str(error.value.__cause__)
