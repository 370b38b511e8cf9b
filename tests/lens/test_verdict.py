"""The verdict line: what it says of every way a connection can go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509

from handfast import limits
from handfast.engine import ClientAuth
from handfast.errors import ConfigError, ConnectionLost
from handfast.events import HandshakeComplete
from handfast.lens import verdict_line as verdict
from handfast.lens.outcome import Outcome
from handfast.registry import CipherSuite, NamedGroup
from handfast.roles import Role
from tests import certificates
from tests.lens.connections import client_config, converse, server_config, verifier

CA = "CN=Test CA,O=handfast"
SERVER = "CN=localhost,O=handfast (issuer CN=Test CA,O=handfast)"
ALICE = "CN=alice,O=handfast (issuer CN=Test CA,O=handfast)"
PARAMETERS = "TLS_AES_128_GCM_SHA256, X25519MLKEM768, ALPN http/1.1"
EVERY_MODE = list(ClientAuth)


def verdicts(client, server, **options):
    return [watched.verdict for watched in converse(client, server, **options)]


@pytest.mark.parametrize("mode", [mode for mode in EVERY_MODE if mode is not ClientAuth.NONE])
def test_mutual(mode):
    client, server = verdicts(client_config(certificates.client()), server_config(mode))
    assert server == f"mutual TLS 1.3 OK: client {ALICE}; {PARAMETERS}"
    assert client == f"mutual TLS 1.3 OK: server {SERVER}; we showed {ALICE} and the server answered; {PARAMETERS}"


def test_nothing_requested():
    client, server = verdicts(client_config(certificates.client()), server_config(ClientAuth.NONE))
    assert server == f"TLS 1.3 OK, one-way: no client certificate was requested; {PARAMETERS}"
    assert client == (
        f"TLS 1.3 OK, one-way: server {SERVER}; it requested no client certificate and answered; {PARAMETERS}"
    )


@pytest.mark.parametrize("mode", [ClientAuth.REQUEST, ClientAuth.VERIFY_IF_GIVEN])
def test_nothing_shown(mode):
    client, server = verdicts(client_config(), server_config(mode))
    assert server == (
        "TLS 1.3 OK, one-way: the client was asked for a certificate and has shown none; "
        f"it was offered 1 CA name; {PARAMETERS}"
    )
    assert "it requested a client certificate, naming 1 CA; we showed none and it answered" in client


@pytest.mark.parametrize("mode", [ClientAuth.REQUIRE_ANY, ClientAuth.REQUIRE_AND_VERIFY])
def test_a_certificate_that_is_missing(mode):
    client, server = verdicts(client_config(), server_config(mode))
    refused = "server refused: certificate_required (116), because the client sent no certificate"
    assert server == f"{refused}; it was offered 1 CA name"
    assert client == f"{refused} (none is configured); it was offered 1 CA name: [{CA}]"


def test_no_ca_names_are_told_from_some():
    _, server = verdicts(client_config(), server_config(ca_names=None))
    assert server.endswith("; it was offered no CA names")


@pytest.mark.parametrize(
    ("settings", "client_says", "server_says"),
    [
        (
            {"client_auth": ClientAuth.NONE},
            "it requested no client certificate and",
            "no client certificate was requested",
        ),
        ({"ca_names": None}, "it requested a client certificate, naming no CAs; we", "it was offered no CA names"),
        ({"ca_names": ()}, "it requested a client certificate, naming no CAs; we", "it was offered no CA names"),
        ({}, "it requested a client certificate, naming 1 CA; we", "it was offered 1 CA name"),
    ],
)
def test_the_three_requests_are_told_apart(settings, client_says, server_says):
    client, server = verdicts(client_config(), server_config(**{"client_auth": ClientAuth.REQUEST, **settings}))
    assert client_says in client
    assert server_says in server


def test_a_client_that_fits_nothing_says_so_in_one_line():
    stranger = certificates.other_ca().client("alice")
    client, _ = verdicts(client_config(stranger, when_no_certificate_matches="send_none"), server_config())
    why = "its issuer is not among the CA names that the server sent"
    assert f"because the client sent no certificate ({why}); it was offered 1 CA name: [{CA}]" in client


@pytest.mark.parametrize("mode", [ClientAuth.REQUEST, ClientAuth.REQUIRE_ANY])
def test_a_client_that_is_not_verified_and_let_in(mode):
    _, server = verdicts(
        client_config(certificates.client()), server_config(mode, verifier=verifier(certificates.other_ca()))
    )
    assert server.startswith(f"TLS 1.3 OK, but the client is NOT verified: {ALICE}: ")
    assert "mutual" not in server


def test_a_client_that_is_refused():
    client, server = verdicts(
        client_config(certificates.client()), server_config(verifier=verifier(certificates.other_ca()))
    )
    assert server.startswith(f"server refused the client's certificate, unknown_ca (48): {ALICE}: ")
    assert client.startswith(f"server refused: unknown_ca (48), after the client showed {ALICE}; its issuer is among ")
    assert client.endswith(f"; it was offered 1 CA name: [{CA}]")


def test_a_server_that_is_refused():
    client, server = verdicts(client_config(), server_config(), server_name="elsewhere.example")
    assert client.startswith(f"client refused the server's certificate, bad_certificate (42): {SERVER}: ")
    assert "elsewhere.example" in client
    assert server == f"client refused: bad_certificate (42), after the server showed {SERVER}"


def test_a_server_that_is_not_verified_and_believed():
    client, _ = verdicts(
        client_config(verifier=verifier(certificates.other_ca()), enforce_verdict=False), server_config(ClientAuth.NONE)
    )
    assert f"server NOT VERIFIED: {SERVER}: " in client
    assert "mutual" not in client


def test_nothing_in_common_says_who_refused_when():
    client, server = verdicts(
        client_config(suites=(CipherSuite.TLS_AES_128_GCM_SHA256,)),
        server_config(suites=(CipherSuite.TLS_AES_256_GCM_SHA384,)),
    )
    assert server.startswith("server refused after ClientHello: handshake_failure (40): no cipher suite in common")
    # Such an alert can also mean a missing certificate, but none was asked for yet.
    assert client.startswith(
        "server refused: handshake_failure (40); we offer TLS 1.3; suites TLS_AES_128_GCM_SHA256; "
    )


def test_a_lost_connection():
    outcome = Outcome(Role.CLIENT)
    error = ConnectionLost("eof_in_handshake", stage="ClientHello")
    assert verdict.line(outcome, error) == f"failed before the first message: {error.what}"
    assert verdict.line(outcome, ValueError("odd\x1b")) == "failed before the first message: ValueError: odd\\x1b"
    assert verdict.line(outcome) == "nothing came of it: the handshake ended before the first message"


def test_a_client_can_only_say_for_how_long_it_was_not_refused():
    client, _ = converse(client_config(certificates.client()), server_config(), talk=False)
    completed = next(event.time for event in client.events if isinstance(event, HandshakeComplete))
    client.now = completed + 0.25
    assert f"we showed {ALICE} and the server has not refused within 250 ms" in client.verdict


def test_a_retry_is_told():
    groups = {"groups": (NamedGroup.x25519, NamedGroup.secp256r1), "key_share_groups": (NamedGroup.x25519,)}
    for said in verdicts(client_config(**groups), server_config(ClientAuth.NONE, groups=(NamedGroup.secp256r1,))):
        assert said.endswith("TLS_AES_128_GCM_SHA256, secp256r1, ALPN http/1.1, after a HelloRetryRequest")


def test_a_verdict_is_one_printable_line():
    evil = certificates.ca().client("eve\x1b[2J\nhandfast: mutual TLS OK")
    for said in verdicts(client_config(evil), server_config(ClientAuth.REQUEST)):
        assert said.isprintable()
        assert "eve\\x1b[2J\\x0ahandfast" in said


def test_a_name_is_shown_only_as_far_as_a_sentence_goes():
    """A certificate of 60 KiB may be one name."""
    names = [x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, f"{number} {'W' * 60}") for number in range(500)]
    template = certificates.ca().client_template("alice")
    long = certificates.ca().issue(replace(template, subject=x509.Name(names)))
    for said in verdicts(client_config(long), server_config(ClientAuth.REQUEST)):
        assert "OU=499 W" in said
        assert len(said) < 4 * limits.MAX_PEER_TEXT


# TLS 1.2, where the server's Finished comes last and is an answer


TLS12: dict[str, Any] = {"versions": (0x0303,)}
PARAMETERS_12 = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, x25519, ALPN http/1.1"


def test_mutual_in_tls_12():
    client, server = verdicts(client_config(certificates.client()), server_config(**TLS12), talk=False)
    assert server == f"mutual TLS 1.2 OK: client {ALICE}; {PARAMETERS_12}"
    assert client == f"mutual TLS 1.2 OK: server {SERVER}; we showed {ALICE} and the server answered; {PARAMETERS_12}"


@pytest.mark.parametrize(
    ("settings", "begins"),
    [
        (TLS12, "the server requires a client certificate and got none"),
        ({**TLS12, "groups": (NamedGroup.secp521r1,)}, "the peer found nothing acceptable"),
    ],
    ids=["no certificate", "no group"],
)
def test_what_a_handshake_failure_hints_at(settings, begins):
    client, _ = converse(client_config(groups=(NamedGroup.secp256r1,)), server_config(**settings))
    assert client.error is not None
    assert client.error.code == "handshake_failure"
    assert client.hint.startswith(begins)


def test_a_certificate_that_is_missing_in_tls_12():
    client, server = verdicts(client_config(), server_config(**TLS12))
    refused = "server refused: handshake_failure (40), because the client sent no certificate"
    assert server == f"{refused}; it was offered 1 CA name"
    assert client == f"{refused} (none is configured); it was offered 1 CA name: [{CA}]"


def test_an_observers_role_is_a_word_or_a_member():
    outcome = Outcome("server")
    assert outcome.role is Role.SERVER
    with pytest.raises(ConfigError, match="'servant' is neither of client and server"):
        Outcome("servant")  # type: ignore[arg-type]
