"""The key log: the lines of RFC 9850, and nothing that is not of them."""

from __future__ import annotations

import re

import pytest

from handfast import limits
from handfast.errors import ConfigError
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


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"# a remark\n",
        b"CLIENT_RANDOM " + 32 * b"0A" + b" " + 48 * b"ff" + b"\n\nSERVER_TRAFFIC_SECRET_0 00 01\r\n",
        b"RSA Session-ID:0011 Master-Key:0022\n",
        # The disk was full.
        b"CLIENT_TRAFFIC_SECRET_0 00 01\nCLIENT_TRAFFIC_SECRET_0 00",
        b"CLIENT_TRAFFIC_SECRET_0 00 01\nCLIENT_TR",
        b"CLIENT_TRAFFIC_SECRET_0 00 0CLIENT_RANDOM 00 1\nCLIENT_TRCLIENT_RANDOM 00 1\n",
        # An editor was here.
        b"\xef\xbb\xbf  # a remark\n \t\nCLIENT_RANDOM  00 1 \r\n",
        b"CLIENT_RANDOM 00 1\n" * (limits.APPENDED_TO_BYTES // 10),
    ],
)
def test_lines_are_appended_to_a_key_log(tmp_path, content):
    path = tmp_path / "keys.log"
    path.write_bytes(content)
    path.chmod(0o644)
    with KeyLog.to_file(path) as log:
        log(Secret(name="a", level=SecretLevel.TRAFFIC, keylog_label="A", client_random=bytes(32), value=bytes(32)))
    assert path.read_bytes().startswith(content)
    assert path.read_bytes()[len(content) :].lstrip(b"\n") == b"A " + 32 * b"00" + b" " + 32 * b"00" + b"\n"
    assert path.read_bytes().endswith(b"\nA " + 32 * b"00" + b" " + 32 * b"00" + b"\n") or not content
    KeyLog.to_file(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content",
    [b"#!/bin/sh\nexit\n", b"\n\nmy notes\n", b"hello", b"-----BEGIN X-----\n", b"\x0a\x0d\x0d\x0a\x00", b"A x y\n"],
)
def test_a_file_that_is_no_key_log_stays_as_it_is(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match=r"notes.txt: holds something else") as caught:
        KeyLog.to_file(path)
    assert caught.value.code == "other_contents"
    assert path.read_bytes() == content
    assert path.stat().st_mode & 0o777 == 0o644
