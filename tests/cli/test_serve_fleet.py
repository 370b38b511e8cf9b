"""``serve --redis``: servers in several processes that resume each other's sessions."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from handfast.cli import fleet_options
from handfast.x509 import loading
from tests.cli.serving import serving
from tests.fleet.support import KEY, Redis, fleet
from tests.peers.base import require_module
from tests.waiting import until


@pytest.fixture
def redis(tmp_path):
    with Redis(tmp_path) as server:
        yield server


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "fleet.key"
    path.write_text(KEY.hex())
    return path


def test_a_session_of_one_server_is_resumed_by_another(run, pki, tmp_path, redis, key):
    options = (*pki.server, "--redis", redis.url, "--redis-key", key)
    connect = ("connect", *pki.trust, "--session", tmp_path / "sessions")
    with serving(*options) as one, serving(*options) as other:
        # Both by one name: sessions are kept by the address that was asked for.
        for server, resumed in ((one, False), (other, True), (one, True)):
            to = ("--connect-to", f"localhost:1337:127.0.0.1:{server.port}")
            result = run(*connect, "https://localhost:1337/", *to)
            assert result.status == 0
            assert result.complaints[-1].endswith("resumed") is resumed


def test_early_data_goes_to_another_server(run, pki, tmp_path, redis, key):
    request = tmp_path / "request.txt"
    request.write_bytes(b"GET / HTTP/1.0\r\n\r\n")
    with serving(*pki.server, "--redis", redis.url, "--redis-key", key, "--early-data") as server:
        result = run("connect", "--early-data", request, f"localhost:{server.port}", *pki.trust)
    assert result.status == 0
    assert "early data: accepted" in result.err
    assert redis.client.zcard("handfast:hellos") == 3


def test_without_redis_there_are_full_handshakes_and_the_log_says_why(run, pki, tmp_path, key):
    require_module("redis")
    url = f"unix://{tmp_path}/nothing.sock"
    with serving(*pki.server, "--redis", url, "--redis-key", key) as server:
        line = server.hears("cannot be used")
        assert line.startswith(f"handfast: warning: Redis at {tmp_path}/nothing.sock cannot be used: ")
        assert run("connect", f"https://localhost:{server.port}/", *pki.trust).status == 0


def sealed_with(redis, node, key) -> bool:
    """Whether a node seals with this key of the fleet."""
    ticket: Any = node.stored_tickets.issue(b"state", bytes(32), 100)
    with fleet(redis, [key], ready=False) as other:
        # It may open no ticket key that is there, but sessions that were sealed with its own.
        assert until(lambda: other.replay_guard.scope)
        return other.stored_tickets.redeem(ticket, bytes(32)) == b"state"


def test_with_reload_the_key_file_is_followed(redis, pki, key):
    new = bytes(reversed(KEY))
    with fleet(redis, key) as node:
        [handle] = fleet_options.key_file(node, key)
        key.write_text(f"{new.hex()}\n{KEY.hex()}\n")
        assert handle.reload()
        assert sealed_with(redis, node, new)
        key.write_text("half a line")
        assert not handle.reload()
        assert node.stored_tickets.issue(b"state", bytes(32), 100)
    assert fleet_options.key_file(None, None) == ()


def test_a_key_file_that_cannot_be_used_changes_nothing(redis, key, caplog):
    new = bytes(reversed(KEY))
    bad = {"": "holds no key", new.hex()[:-1]: "line 1 of", f"{new.hex()}\n" * 5: "more than 4 keys"}
    with fleet(redis, key) as node:
        [handle] = fleet_options.key_file(node, key)
        for content, words in bad.items():
            key.write_text(content)
            assert not handle.check()
            assert words in caplog.messages[-1]
        key.unlink()
        assert not handle.check()
        assert caplog.messages[-1].startswith("not reloaded, what was loaded before stays in use: ")
        assert "no such file" in caplog.messages[-1]
        assert sealed_with(redis, node, KEY)
        key.write_text(new.hex())
        assert handle.check()
        assert sealed_with(redis, node, new)


def test_keys_of_a_file_that_changes_while_it_is_read_are_never_used(redis, key, caplog, monkeypatch):
    read = loading.read
    written: list[bytes] = []

    def read_before_the_next_write(path):
        content = read(path)
        written.append(bytes([len(written)]) * 32)
        path.write_text(written[-1].hex())
        return content

    with fleet(redis, key) as node:
        [handle] = fleet_options.key_file(node, key)
        with monkeypatch.context() as patched:
            patched.setattr(loading, "read", read_before_the_next_write)
            assert not handle.reload()
        assert len(written) == 3
        assert "changes while it is read" in caplog.messages[-1]
        assert sealed_with(redis, node, KEY)
        assert handle.check()
        assert sealed_with(redis, node, written[-1])


def test_a_signal_has_the_key_file_read(redis, pki, key):
    with serving(*pki.server, "--redis", redis.url, "--redis-key", key, "--reload") as server:
        key.write_text("half a line")
        server.process.send_signal(signal.SIGHUP)
        assert "fleet.key is no key of 64 hexadecimal digits" in server.hears("not reloaded")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--redis", "unix:///redis.sock"), "--redis: what is kept there must be sealed"),
        (("--redis-key", "fleet.key"), "--redis-key: there is no --redis"),
        (("--redis", "redis.example", "--redis-key", "KEY"), "--redis: it begins with none of rediss://"),
        (("--redis", "redis://:a/b@127.0.0.1", "--redis-key", "KEY"), "a password has its / ? # @"),
        (("--redis", "unix:///redis.sock?db=x", "--redis-key", "KEY"), "--redis: its database is no number"),
        (("--redis", "redis://redis.example", "--redis-key", "KEY"), "--redis: redis.example:6379 is another machine"),
        (("--redis", "unix:///redis.sock", "--redis-key", "missing.key"), "missing.key: no such file"),
        (("--redis", "unix:///redis.sock", "--redis-key", "EMPTY"), "--redis-key: "),
        (("--redis", "rediss://localhost?ssl_ca_certs=missing.pem", "--redis-key", "KEY"), "missing.pem: no such file"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_served(run, pki, tmp_path, key, options, words):
    require_module("redis")
    (tmp_path / "empty.key").write_text("# nothing\n")
    files = {"KEY": str(key), "EMPTY": str(tmp_path / "empty.key")}
    result = run("serve", *pki.server, *(files.get(option, option) for option in options))
    assert result.is_error(2, words)


def test_the_key_is_never_served(run, pki, tmp_path):
    require_module("redis")
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "fleet.key").write_text(KEY.hex())
    options = ("--redis", f"unix://{tmp_path}/nothing.sock", "--redis-key", folder / "fleet.key", "--www", folder)
    result = run("serve", *pki.server, *options)
    assert result.status == 2
    assert "www/fleet.key is in it, for all to read" in result.err
