"""With what a trace prints, and nothing else, each record can be decrypted and each Finished computed by hand."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from handfast.engine import ClientAuth, ClientConnection, ServerConnection
from handfast.events import Checked, Epoch, MessageSeen, RecordSeen
from handfast.registry import CipherSuite, NamedGroup
from handfast.roles import Direction, Role
from tests import certificates
from tests.lens.connections import RESPONSE, Watched, client_config, converse, server_config

C2S, S2C = Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT
SUITES_13 = {
    CipherSuite.TLS_AES_128_GCM_SHA256: (AESGCM, "sha256"),
    CipherSuite.TLS_AES_256_GCM_SHA384: (AESGCM, "sha384"),
    CipherSuite.TLS_CHACHA20_POLY1305_SHA256: (ChaCha20Poly1305, "sha256"),
}
SUITES_12 = {
    CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: AESGCM,
    CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: AESGCM,
    CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: ChaCha20Poly1305,
}


def printed(watched: Watched) -> list[dict[str, Any]]:
    """For each protected record that the trace shows: direction, key, nonce and additional data, as printed."""
    found: list[dict[str, Any]] = []
    keys: dict[str, str] = {}
    direction = changing = ""
    for line in watched.lines:
        if heading := re.match(r"1 \d+ .*  ([CS]>[CS])  ", line):
            direction = heading[1]
        elif change := re.match(r" +\[keys\] ([CS]>[CS]) ", line):
            changing = change[1]
        elif key := re.match(r" +\w*write_key = .*: ([0-9a-f]+)$", line):
            keys[changing] = key[1]
        elif nonce := re.match(r" +nonce: ([0-9a-f]{24}) ", line):
            found.append({"direction": direction, "key": keys[direction], "nonce": nonce[1]})
        elif data := re.match(r" +additional data: ([0-9a-f]+) ", line):
            found[-1]["data"] = data[1]
    return found


def protected(watched: Watched) -> list[RecordSeen]:
    return [one for one in watched.events if isinstance(one, RecordSeen) and one.epoch is not Epoch.PLAINTEXT]


def opened(watched: Watched, aead: Any, explicit: int = 0) -> list[bytes]:
    """The contents of all protected records, decrypted with what was printed."""
    contents = []
    by_hand, records = printed(watched), protected(watched)
    assert len(by_hand) == len(records) > 3
    for shown, record in zip(by_hand, records, strict=True):
        assert shown["direction"] == record.direction
        key, nonce, data = (bytes.fromhex(shown[name]) for name in ("key", "nonce", "data"))
        contents.append(aead(key).decrypt(nonce, record.body[explicit:], data))
    return contents


@pytest.mark.parametrize("suite", SUITES_13, ids=lambda suite: suite.name)
@pytest.mark.parametrize("side", [0, 1], ids=["client", "server"])
def test_each_record_of_tls_13_decrypts_by_hand(suite, side):
    ends = converse(
        client_config(certificates.client(), suites=(suite,)), server_config(), detail="bytes", secrets="traffic"
    )
    contents = opened(ends[side], SUITES_13[suite][0])
    assert contents == [one.content + bytes((one.content_type,)) for one in protected(ends[side])]
    assert RESPONSE + b"\x17" in contents


@pytest.mark.parametrize("suite", SUITES_12, ids=lambda suite: suite.name)
def test_each_record_of_tls_12_decrypts_by_hand(suite):
    settings: dict[str, Any] = {"versions": (0x0303,), "suites": (suite,)}
    for watched in converse(
        client_config(certificates.client()), server_config(**settings), detail="bytes", secrets="traffic"
    ):
        contents = opened(watched, SUITES_12[suite], 8 if SUITES_12[suite] is AESGCM else 0)
        assert contents == [one.content for one in protected(watched)]
        assert RESPONSE in contents


def test_the_generation_after_a_key_update_is_told_and_decrypts():
    client, server = Watched(Role.CLIENT, "bytes", "traffic"), Watched(Role.SERVER, "bytes", "traffic")
    ours = ClientConnection(client_config(), server_name="localhost", **client.lenses)
    theirs = ServerConnection(server_config(ClientAuth.NONE), **server.lenses)

    def carry():
        for _ in range(4):
            theirs.receive(ours.outgoing())
            ours.receive(theirs.outgoing())

    carry()
    for _ in range(3):
        ours.update_keys(request=True)
        carry()
    theirs.send(RESPONSE)
    carry()
    for watched in (client, server):
        assert RESPONSE + b"\x17" in opened(watched, AESGCM)
        for generation in range(4):
            assert f"generation {generation} of this direction's application traffic secrets" in watched.text
        upd = 'HKDF-Expand-Label(client_application_traffic_secret_2, "traffic upd", "", hash length)'
        assert f"client_application_traffic_secret_3 = {upd}" in watched.text
        assert 'HKDF-Expand-Label(client_application_traffic_secret_3, "key", "", 16)' in watched.text


@pytest.mark.parametrize("suite", SUITES_13, ids=lambda suite: suite.name)
def test_each_finished_can_be_computed(suite):
    client, _ = converse(
        client_config(certificates.client(), suites=(suite,)), server_config(), detail="bytes", secrets="traffic"
    )
    keys = [bytes.fromhex(one) for one in re.findall(r"finished_key = HKDF.*: ([0-9a-f]+)\n", client.text)]
    checks = [one for one in client.events if isinstance(one, Checked) and one.what == "Finished"]
    assert len(keys) == len(checks) == 2
    for key, check in zip(keys, checks, strict=True):
        assert hmac.digest(key, check.content, SUITES_13[suite][1]) == check.expected


def test_a_transcript_hash_names_its_messages():
    client, _ = converse(client_config(certificates.client()), server_config(), detail="bytes", secrets="all")
    messages = [one for one in client.events if isinstance(one, MessageSeen)]
    hashes = re.findall(r"transcript hash: ([0-9a-f]+)\n +value: \w+\n +a hash of: (.*)\n", client.text)
    assert [names.count(",") + 1 for _, names in hashes] == [2, 2, 7, 7, 7, 10]
    for digest, names in hashes:
        covered = names.split(", ")
        assert covered == [type(one.message).__name__ for one in messages[: len(covered)]]
        assert hashlib.sha256(b"".join(one.raw for one in messages[: len(covered)])).hexdigest() == digest
    proofs = re.findall(r"\[check\] .* (\w+) is right\n(?: +\w+ = .*\n)* +a hash of: (.*)\n", client.text)
    assert [(what, names.count(",") + 1) for what, names in proofs] == [
        ("CertificateVerify", 5),
        ("Finished", 6),
        ("CertificateVerify", 8),
        ("Finished", 9),
    ]


def test_a_transcript_with_a_retry_names_the_hash_of_the_first_hello():
    client, _ = converse(
        client_config(groups=(NamedGroup.x25519, NamedGroup.secp256r1), key_share_groups=(NamedGroup.x25519,)),
        server_config(ClientAuth.NONE, groups=(NamedGroup.secp256r1,)),
        detail="bytes",
        secrets="traffic",
    )
    assert "a hash of: message_hash of ClientHello, HelloRetryRequest, ClientHello, ServerHello\n" in client.text


@pytest.mark.parametrize(
    ("group", "parts"),
    [
        (NamedGroup.X25519MLKEM768, ["ML-KEM-768", "X25519"]),
        (NamedGroup.SecP256r1MLKEM768, ["ECDH over P-256", "ML-KEM-768"]),
        (NamedGroup.SecP384r1MLKEM1024, ["ECDH over P-384", "ML-KEM-1024"]),
    ],
)
def test_how_a_hybrid_secret_is_joined(group, parts):
    client, _ = converse(
        client_config(groups=(group,)),
        server_config(ClientAuth.NONE, groups=(group,)),
        detail="bytes",
        secrets="traffic",
    )
    lines = [line.strip() for line in client.lines]
    at = next(index for index, line in enumerate(lines) if line.startswith("joined of"))
    assert [line.partition(": ")[0] for line in lines[at + 1 : at + 3]] == parts
    whole = next(one.value.hex() for one in client.revealed if one.name == "shared_secret")
    assert "".join(line.partition(": ")[2] for line in lines[at + 1 : at + 3]) == whole


def test_nothing_of_it_shows_unless_asked_for():
    open_, _ = converse(client_config(), server_config(ClientAuth.NONE), detail="bytes", secrets="none")
    assert "write_key = HKDF-Expand-Label(server_handshake_traffic_secret" in open_.text
    assert not re.search(r"write_(key|iv) = .*: [0-9a-f]+$", open_.text, re.MULTILINE)
    assert "nonce: " not in open_.text
    assert not re.search(r"finished_key = .*: [0-9a-f]+$", open_.text, re.MULTILINE)
    names, _ = converse(client_config(), server_config(ClientAuth.NONE), detail="fields", secrets="traffic")
    assert "write_key" not in names.text
