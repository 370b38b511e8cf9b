"""``proxy --redis``: proxies in several processes that resume each other's sessions."""

from __future__ import annotations

import signal

import pytest

from tests.fleet.support import KEY, Redis
from tests.peers.base import require_module
from tests.proxy.program import backend, proxying, write_files
from tests.proxy.test_operation import listener, written
from tests.waiting import until


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "fleet.key").write_text(KEY.hex())
    return write_files(tmp_path)


@pytest.fixture
def redis(tmp_path):
    with Redis(tmp_path) as server:
        yield server


def options(folder, at):
    ours = ("--cert", folder / "server.pem", "--key", folder / "server.key", "--client-ca", folder / "ca.pem")
    return ("--from", "127.0.0.1:0", "--to", f"http://{at}", *ours)


def connected(run, folder, port):
    """What a client says that keeps its session by one name, whichever proxy it reaches."""
    keeps = ("--session", folder / "sessions", "--connect-to", f"localhost:7853:127.0.0.1:{port}")
    who = ("--cert", folder / "client.pem", "--key", folder / "client.key", "--cacert", folder / "ca.pem")
    result = run("connect", "https://localhost:7853/", *who, *keeps)
    assert (result.status, result.out) == (0, "app /")
    return result.complaints[-1]


def test_a_session_of_one_proxy_is_resumed_by_another(run, folder, redis):
    shared = ("--redis", redis.url, "--redis-key", folder / "fleet.key")
    with (
        backend("app") as app,
        proxying(*options(folder, app.at), *shared) as one,
        proxying(*options(folder, app.at), *shared) as other,
    ):
        said = [connected(run, folder, proxy.ports[0]) for proxy in (one, other, one)]
    assert [line.endswith("resumed") for line in said] == [False, True, True]


def test_proxies_of_a_file_with_workers_are_one_fleet(run, folder, redis):
    """A worker asks Redis for the keys, and takes none of its parent's; early data is one memory's."""
    shared = ("--redis", redis.url, "--redis-key", folder / "fleet.key")
    with backend("app") as app:
        told = f'[redis]\nurl = "{redis.url}"\nkey = "fleet.key"'
        more = "resume = true\nearly_data = true"
        path = written(folder, "workers = 2", told, listener("app", more=more), app=app.at)
        with (
            proxying("--config", path) as many,
            proxying(*options(folder, app.at), *shared) as other,
        ):
            said = [connected(run, folder, proxy.ports[0]) for proxy in (many, other, many)]
    assert [line.endswith("resumed") for line in said] == [False, True, True]


@pytest.mark.parametrize("workers", [1, 2])
def test_new_keys_hold_with_the_configuration_that_names_them(run, folder, redis, workers):
    """One that is refused for another reason leaves the keys as they were, however good theirs are."""
    told = f'workers = {workers}\n[redis]\nurl = "{redis.url}"\nkey = "fleet.key"'
    with backend("app") as app:
        path = written(folder, told, listener("app", more="resume = true"), app=app.at)
        with proxying("--config", path) as proxy:
            port = proxy.ports[0]
            assert [connected(run, folder, port).endswith("resumed") for _ in range(2)] == [False, True]
            (folder / "fleet.key").write_text(bytes(32).hex())
            good = path.read_text()
            path.write_text(f"unknown = 1\n{good}")
            proxy.signals(signal.SIGHUP)
            assert "unknown" in proxy.hears("not reloaded")
            assert [connected(run, folder, port).endswith("resumed") for _ in range(4)] == [True] * 4
            path.write_text(good)
            proxy.signals(signal.SIGHUP)
            assert until(lambda: not connected(run, folder, port).endswith("resumed"))


def test_with_workers_every_process_follows_the_key_file(folder, redis):
    """The first one too: it is a node of the fleet, and would make ticket keys under a key that others have no more."""
    shared = ("--redis", redis.url, "--redis-key", folder / "fleet.key", "--workers", 2, "--reload")
    with backend("app") as app, proxying(*options(folder, app.at), *shared) as proxy:
        half = folder / "half.key"
        half.write_text("half a line")
        half.rename(folder / "fleet.key")
        for _ in range(3):
            assert "fleet.key is no key" in proxy.hears("not reloaded")


def test_without_redis_there_are_full_handshakes(run, folder):
    require_module("redis")
    url = f"unix://{folder}/nothing.sock"
    with (
        backend("app") as app,
        proxying(*options(folder, app.at), "--redis", url, "--redis-key", folder / "fleet.key") as it,
    ):
        assert "cannot be used" in it.hears("Redis at")
        said = [connected(run, folder, it.ports[0]) for _ in range(2)]
    assert not any(line.endswith("resumed") for line in said)


def test_a_fleet_is_for_clients_that_come_by_tls(run, folder):
    require_module("redis")
    shared = ("--redis", f"unix://{folder}/nothing.sock", "--redis-key", folder / "fleet.key")
    result = run("proxy", "--from", "127.0.0.1:0", "--to", "tls://localhost:1", *shared)
    assert result.is_error(2, "--redis: clients come without TLS")
