"""The trace: what it says of a connection, what it must not say, and that it says all of it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfast.cli.verdict_words import DESCRIBER
from handfast.crypto import hashes
from handfast.engine import ClientAuth
from handfast.events import AlertSeen, Checked, Epoch, MessageSeen, RecordSeen, SecretDerived
from handfast.keys.secret_names import SECRETS
from handfast.lens.trace import Trace
from handfast.registry import ContentType, NamedGroup
from handfast.roles import Direction
from handfast.wire.extensions import CertificateAuthorities, Extensions, OfferedPsks, PskIdentity, SignatureSchemeList
from handfast.wire.messages import CertificateRequest, ClientHello, NewSessionTicket
from tests import certificates
from tests.lens.connections import REQUEST, RESPONSE, client_config, converse, server_config
from tests.wire.strategies import any_message

DETAILS = ("names", "fields", "bytes")
C2S, S2C = Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT
HEADING = re.compile(r"1 (\d+|  )\s*\d+\.\d{4} \(\d+\.\d{4}\)  (C>S|S>C)  \S.*")
ROW = re.compile(r" {8}([0-9a-f]{4})  ((?:[0-9a-f]{2} ?)*)(?:\s|$)")


def mutual(detail="names", secrets="none"):
    return converse(client_config(certificates.client()), server_config(), detail=detail, secrets=secrets)


def show(*events, detail="bytes", secrets="none"):
    lines: list[str] = []
    trace = Trace(lines.append, detail=detail, secrets=secrets, describer=DESCRIBER)
    for event in events:
        trace(event)
    return lines


def seen(message, direction=S2C):
    raw = message.encode()
    return [
        RecordSeen(
            time=0.0,
            direction=direction,
            index=0,
            epoch=Epoch.PLAINTEXT,
            header=b"\x16\x03\x03\0\0",
            body=raw,
            content_type=ContentType.handshake,
            content=raw,
        ),
        MessageSeen(time=0.0, direction=direction, epoch=Epoch.PLAINTEXT, message=message, raw=raw, records=(0,)),
    ]


# What stands there


def test_the_headings_are_ssldumps():
    client, _ = mutual()
    headings = [line for line in client.lines if not line.startswith(" ")]
    assert [line for line in headings if not HEADING.fullmatch(line)] == []
    numbers = [int(line.split()[1]) for line in headings if "closed" not in line]
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_message_has_its_line_in_order():
    client, _ = mutual()
    words = [line.split(",")[0].strip() for line in client.lines if line.startswith("      ")]
    messages = [word for word in words if word.isalpha()]
    assert messages == [
        "ClientHello", "ServerHello", "EncryptedExtensions", "CertificateRequest", "Certificate", "CertificateVerify",
        "Finished", "Certificate", "CertificateVerify", "Finished",
    ]  # fmt: skip


def test_the_facts_that_matter_are_in_names():
    text = mutual()[0].text
    for fact in (
        "TLS 1.3", "TLS_AES_128_GCM_SHA256", "X25519MLKEM768", "SNI localhost", "ALPN h2, http/1.1", "ALPN http/1.1",
        "1 CA name: [CN=Test CA,O=handfast]", "CN=localhost,O=handfast (issuer CN=Test CA,O=handfast)",
        "CN=alice,O=handfast (issuer CN=Test CA,O=handfast)", "ecdsa_secp256r1_sha256", "[verdict] server",
        "[choice] the client shows CN=alice", "[keys] C>S is protected by handshake keys", "warning close_notify (0)",
        "closed: close_notify",
    ):  # fmt: skip
        assert fact in text


def test_both_sides_tell_the_same_messages():
    client, server = mutual()

    def messages(lines):
        return [line for line in lines if re.match(r" {6}[A-Z]", line)]

    assert messages(client.lines) == messages(server.lines)


def test_a_split_message_names_its_records():
    client, _ = converse(client_config(max_fragment=512), server_config(ClientAuth.NONE))
    assert re.search(r"ClientHello, \d+ bytes, in records 1 to 3:", client.text)


def test_fields_has_every_value_and_describes_certificates():
    text = mutual("fields")[0].text
    for line in (
        "host_name: localhost", "cipher_suite: TLS_AES_128_GCM_SHA256", "legacy_compression_method: 0",
        "group: X25519MLKEM768", "subject: CN=alice,O=handfast", "purposes: clientAuth", "CN=Test CA,O=handfast",
        "names: DNS:localhost, DNS:server.example.com, IP:127.0.0.1, IP:::1",
        "verify_data: ", "[check] S>C CertificateVerify is right",
        "[check] S>C Finished is right",
    ):  # fmt: skip
        assert line in text


@settings(max_examples=60)
@given(any_message())
def test_bytes_has_every_byte_once(message):
    lines = show(*seen(message, C2S), secrets="all")
    at = 0
    found = bytearray()
    for line in lines:
        row = ROW.match(line)
        if row:
            assert int(row[1], 16) == at
            found += bytes.fromhex(row[2])
            at = len(found)
    assert bytes(found) == message.encode()


@settings(max_examples=100)
@given(any_message(), st.sampled_from(DETAILS))
def test_nothing_of_a_peer_commands_the_terminal(message, detail):
    for line in show(*seen(message), detail=detail, secrets="all"):
        assert line.isprintable()


def test_an_undecodable_message_is_shown_with_the_alert_that_it_causes():
    raw = b"\x02\0\0\x05\x03\x03abc"
    record = RecordSeen(
        time=0.0,
        direction=S2C,
        index=0,
        epoch=Epoch.PLAINTEXT,
        header=b"\x16\x03\x03\0\x09",
        body=raw,
        content_type=ContentType.handshake,
        content=raw,
    )
    alert = AlertSeen(time=0.0, direction=C2S, level=2, description=50, authenticated=False)
    lines = show(record, alert)
    assert any("9 handshake bytes that are not a whole, valid message" in line for line in lines)
    assert any("61 62 63" in line and "undecoded" in line for line in lines)
    assert any("fatal decode_error (50), not authenticated" in line for line in lines)


# CA names: three cases that must not look alike


def request(*names):
    extensions = [SignatureSchemeList((0x0403,))] + ([CertificateAuthorities(names)] if names else [])
    return CertificateRequest(b"", Extensions.of(*extensions))


def test_not_requested_is_said():
    client, _ = converse(client_config(), server_config(ClientAuth.NONE))
    assert "(no CertificateRequest: no client certificate requested)" in client.text
    assert "CA name" not in client.text


def test_requested_without_names_is_said():
    client, _ = converse(client_config(), server_config(ClientAuth.REQUEST, ca_names=None))
    assert "CertificateRequest, 41 bytes: client certificate requested, without CA names" in client.text
    assert "no client certificate requested" not in client.text


def test_requested_with_names_is_said_and_many_are_cut():
    name = certificates.ca().certificate.subject.public_bytes()
    (line,) = [line for line in show(*seen(request(*[name] * 6)), detail="names") if "CertificateRequest" in line]
    assert line.endswith(f"with 6 CA names: {', '.join(['[CN=Test CA,O=handfast]'] * 4)}, 2 more; "
                         "schemes ecdsa_secp256r1_sha256")  # fmt: skip
    listed = [
        line for line in show(*seen(request(*[name] * 6)), detail="fields") if line.endswith(" CN=Test CA,O=handfast")
    ]
    assert len(listed) == 6


def test_an_empty_client_certificate_is_a_client_that_declined():
    client, _ = converse(client_config(), server_config(ClientAuth.REQUEST))
    assert "Certificate (empty: the client declined), 8 bytes" in client.text
    assert "[choice] the client shows no certificate: none is configured" in client.text


# Secrets


@pytest.mark.parametrize("detail", DETAILS)
def test_no_secret_shows_unless_asked_for(detail):
    for watched in mutual(detail):
        shown = watched.text.replace(" ", "")
        assert len(watched.revealed) > 10
        assert [secret.name for secret in watched.revealed if secret.value.hex() in shown] == []
        for data in (REQUEST, RESPONSE):
            assert data.hex() not in shown
            assert data.decode().split()[-1] not in watched.text
        assert f'{len(REQUEST)} bytes of application data (hidden: secrets="traffic" shows them)' in watched.text


def test_secrets_shows_those_of_traffic_and_the_data():
    client, _ = mutual("bytes", "traffic")
    levels = {secret.name: secret.value.hex() in client.text for secret in client.revealed}
    assert levels == {name: SECRETS[name][1] == "traffic" for name in levels}
    assert RESPONSE[:16].hex(" ") in client.text
    assert "the answer nobod" in client.text
    hidden = [line for line in client.lines if "hidden" in line]
    assert hidden
    assert all('(hidden: secrets="all" shows it)' in line for line in hidden)


def test_all_secrets_shows_every_step_of_the_key_schedule():
    client, _ = mutual("bytes", "all")
    values = {secret.name: secret.value.hex() for secret in client.revealed}
    steps = re.findall(r"\[secret\] (\w+) = (.*)(?:\n +(?:transcript hash|hash of nothing): (\w+))?\n +value: (\w+)",
                       client.text)  # fmt: skip
    assert {name: value for name, _, _, value in steps} == values
    assert [name for name, *_ in steps] == [
        "early_secret", "derived_from_early_secret", "shared_secret", "handshake_secret",
        "client_handshake_traffic_secret", "server_handshake_traffic_secret", "derived_from_handshake_secret",
        "main_secret", "client_application_traffic_secret_0", "server_application_traffic_secret_0",
        "exporter_secret", "resumption_secret",
    ]  # fmt: skip
    how = {name: how for name, how, *_ in steps}
    assert how["handshake_secret"] == "HKDF-Extract(derived_from_early_secret, shared_secret)"
    assert how["client_handshake_traffic_secret"] == 'Derive-Secret(handshake_secret, "c hs traffic", transcript hash)'
    assert how["shared_secret"] == "an input of the key schedule"


def test_the_transcript_hash_of_a_secret_can_be_recomputed_from_the_dump():
    client, _ = mutual("bytes", "none")
    messages = [event.raw for event in client.events if isinstance(event, MessageSeen)]
    expected = hashes.SHA256.digest(messages[0] + messages[1]).hex()
    derived = client.lines.index('      [secret] client_handshake_traffic_secret = Derive-Secret(handshake_secret, '
                                 '"c hs traffic", transcript hash)')  # fmt: skip
    assert client.lines[derived + 1].strip() == f"transcript hash: {expected}"
    assert client.lines[derived + 2].strip() == 'value: (hidden: secrets="traffic" shows it)'


def test_proofs_show_what_was_signed_and_compared():
    client, _ = mutual("bytes")
    checks = [event for event in client.events if isinstance(event, Checked) and event.direction is S2C]
    assert [check.what for check in checks] == ["CertificateVerify", "Finished"]
    signed, finished = checks
    assert "TLS 1.3, server CertificateVerify" in signed.content.decode("latin-1")
    rows = "".join(
        match[1] for match in re.finditer(r"^ {10}[0-9a-f]{4}  ((?:[0-9a-f]{2} ?)+)", client.text, re.MULTILINE)
    )
    dumped = rows.replace(" ", "")
    assert signed.content.hex() in dumped
    assert finished.expected.hex() + finished.received.hex() in dumped
    assert finished.expected == finished.received


def test_a_wrong_proof_is_told_at_every_level():
    event = Checked(
        time=0.0, direction=S2C, what="Finished", content=b"over", expected=b"expected", received=b"received", ok=False
    )
    for detail in DETAILS:
        assert show(event, detail=detail)[0] == "      [check] S>C Finished is WRONG"


@pytest.mark.parametrize("detail", ["fields", "bytes"])
def test_tickets_show_with_the_resumption_secrets_only(detail):
    ticket = NewSessionTicket(300, 5, b"\1", b"opaque-ticket", Extensions())
    hello = ClientHello(0x0303, bytes(32), b"", (0x1301,), b"\0",
                        Extensions.of(OfferedPsks((PskIdentity(b"opaque-ticket", 7),), (bytes(32),))))  # fmt: skip
    for message in (ticket, hello):
        for secrets, expected in (("none", False), ("traffic", False), ("all", True)):
            text = "".join(show(*seen(message), detail=detail, secrets=secrets)).replace(" ", "")
            assert (b"opaque-ticket".hex() in text) is expected
            assert ('hidden:secrets="all"' in text) is not expected


def test_a_malformed_ticket_is_not_dumped_either():
    raw = b"\x04\0\0\x20" + b"opaque-ticket"
    record = RecordSeen(
        time=0.0,
        direction=S2C,
        index=0,
        epoch=Epoch.APPLICATION,
        header=b"\x17\x03\x03\0\x09",
        body=raw,
        content_type=ContentType.handshake,
        content=raw,
    )
    alert = AlertSeen(time=0.0, direction=C2S, level=2, description=50, authenticated=True)
    assert b"icket".hex() not in "".join(show(record, alert)).replace(" ", "")
    assert b"icket".hex() in "".join(show(record, alert, secrets="all")).replace(" ", "")


def test_names_says_nothing_of_secrets_unless_asked_to():
    event = SecretDerived(
        time=0.0, name="main_secret", label="", inputs=("derived_from_handshake_secret", "0"), context=b""
    )
    assert show(event, detail="names") == []
    assert len(show(event, detail="names", secrets="traffic")) == 2


def test_a_refusal_is_explained():
    client, server = converse(client_config(), server_config(ClientAuth.REQUIRE_AND_VERIFY))
    assert "fatal certificate_required (116)" in client.text
    assert "because the client sent no certificate" in server.text


def test_grease_is_one_word():
    hello = ClientHello(0x0303, bytes(32), b"", (0x0A0A, 0x1301, 0x1A1A), b"\0", Extensions())
    (line,) = [line for line in show(*seen(hello, C2S), detail="names") if "ClientHello" in line]
    assert line.endswith("TLS 1.2; suites TLS_AES_128_GCM_SHA256, GREASE")


def test_a_retry_is_told():
    client, _ = converse(
        client_config(groups=(NamedGroup.x25519, NamedGroup.secp256r1), key_share_groups=(NamedGroup.x25519,)),
        server_config(groups=(NamedGroup.secp256r1,)),
    )
    assert "HelloRetryRequest" in client.text
    assert "wants a key share for secp256r1" in client.text
    assert "after a HelloRetryRequest" in client.text


# TLS 1.2


def test_a_handshake_of_tls_12_in_names():
    client, server = converse(client_config(certificates.client()), server_config(versions=(0x0303,)))
    for watched in (client, server):
        for line in (
            " bytes: TLS 1.2; TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256; ALPN http/1.1",
            "ServerKeyExchange, ",
            ": x25519; ecdsa_secp256r1_sha256, signature of ",
            "client certificate requested, with 1 CA name: [CN=Test CA,O=handfast]",
            "Certificate, ",
            ": CN=alice,O=handfast",
            "ClientKeyExchange, 37 bytes",
            "CertificateVerify, ",
            "Finished, 16 bytes: verify_data of 12 bytes",
            "[negotiated] TLS 1.2, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, x25519, SNI localhost, ALPN http/1.1",
            "[keys] C>S is protected by application keys from here on",
        ):
            assert line in watched.text, line


def test_a_handshake_of_tls_12_in_fields_and_secrets():
    _, server = converse(
        client_config(), server_config(ClientAuth.NONE, versions=(0x0303,)), detail="bytes", secrets="traffic"
    )
    for line in (
        '[secret] main_secret = PRF(shared_secret, "extended master secret", transcript hash)',
        '[secret] key_block = PRF(main_secret, "key expansion", server random + client random)',
        "curve_type: named_curve",
        "named_curve: x25519",
        "extended_main_secret",
        "renegotiated_connection",
    ):
        assert line in server.text, line
    (secret,) = (secret for secret in server.revealed if secret.name == "main_secret")
    assert f"value: {secret.value.hex()}" in server.text
    assert "undecoded" not in server.text


def test_certificates_have_names_without_a_describer():
    watched, _server = mutual()
    lines: list[str] = []
    trace = Trace(lines.append)
    for event in watched.events:
        trace(event)
    assert any("CN=alice" in line for line in lines)
    assert lines == show(*watched.events, detail="names")
