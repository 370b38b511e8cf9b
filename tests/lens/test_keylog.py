"""The key log: the lines of RFC 9850, and nothing that is not of them."""

from __future__ import annotations

import re

from handfast.events import Secret, SecretLevel
from handfast.lens.keylog import KeyLog
from tests import certificates
from tests.lens.connections import client_config, converse, server_config


def logged(secrets):
    lines: list[str] = []
    log = KeyLog(lines.append)
    for secret in secrets:
        log(secret)
    return lines


def test_both_sides_log_the_same_five_secrets():
    client, server = converse(client_config(certificates.client()), server_config())
    lines = logged(client.revealed)
    assert [line for line in lines if not re.fullmatch(r"[A-Z_0-9]+ [0-9a-f]{64} [0-9a-f]{64}\n", line)] == []
    assert sorted(lines) == sorted(logged(server.revealed))
    assert {line.split()[0] for line in lines} == {
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "SERVER_TRAFFIC_SECRET_0",
        "EXPORTER_SECRET",
    }
    assert len({line.split()[1] for line in lines}) == 1


def test_a_secret_without_a_label_is_not_written():
    assert (
        logged(
            [
                Secret(
                    name="main_secret", level=SecretLevel.ALL, keylog_label="", client_random=bytes(32), value=bytes(32)
                )
            ]
        )
        == []
    )


def test_a_refused_handshake_is_logged_as_far_as_it_came():
    client, server = converse(client_config(), server_config())
    assert client.error is not None
    assert server.error is not None
    assert len(logged(client.revealed)) == len(logged(server.revealed)) == 5


def test_a_log_to_a_file_is_its_owners_alone(tmp_path):
    client, _server = converse(client_config(certificates.client()), server_config())
    path = tmp_path / "keys.log"
    for _ in range(2):
        with KeyLog.to_file(path) as log:
            for secret in client.revealed:
                log(secret)
    assert path.read_text() == 2 * "".join(logged(client.revealed))
    assert path.stat().st_mode & 0o777 == 0o600
