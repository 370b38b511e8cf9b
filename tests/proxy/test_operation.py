"""The running program: its file, reloads, the end, the admin listener and the log."""

from __future__ import annotations

import signal
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from handfast.proxy.listening import listening
from handfast.proxy.operation.plan import ReloadingPlan
from handfast.proxy.operation.stores import Stores
from handfast.proxy.operation.toml_file import load
from tests.cli.conftest import run
from tests.ports import own_port
from tests.proxy.program import (
    Connection,
    asked,
    backend,
    client_context,
    get,
    lines_of,
    metric,
    proxying,
    write_files,
)
from tests.waiting import LIMIT, until

__all__ = ["run"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_files(tmp_path)


def listener(name: str, port: int = 0, more: str = "") -> str:
    return f"""
[[listeners]]
listen = "127.0.0.1:{port}"
cert = "server.pem"
key = "server.key"
client_ca = "ca.pem"
backend = "{name}"
{more}
"""


def written(folder: Path, *parts: str, **backends: str) -> Path:
    path = folder / "proxy.toml"
    shown = "".join(f'[backends.{name}]\naddress = "{address}"\n' for name, address in backends.items())
    path.write_text("\n".join((*parts[:1], shown, *parts[1:])))
    return path


@pytest.fixture
def free_port() -> Iterator[Callable[[], int]]:
    """Ports that the program may be told to listen at."""
    with ExitStack() as kept:
        yield lambda: kept.enter_context(own_port())


# The file


def test_a_file_is_only_checked(run, folder):
    path = written(folder, "", listener("app"), app="127.0.0.1:3000")
    result = run("proxy", "--config", path, "--check")
    assert (result.status, result.out) == (0, f"{path}: 1 listener, 4 files: good\n")
    path.write_text(path.read_text().replace("client_ca", "cleint_ca"))
    assert run("proxy", "--config", path, "--check").is_error(2, "proxy.toml, line 10", "did you mean client_ca?")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--check"], ("--check", "--config")),
        (["--config", "no.toml"], ("no.toml", "no such file")),
        (["--config", "no.toml", "--from", "127.0.0.1:0"], ("--from", "the file says that")),
        (["--from", "127.0.0.1:0"], ("--to", "--config FILE")),
        (["--to", "127.0.0.1:0"], ("--from", "--config FILE")),
        (["--workers", "0"], ("workers",)),
        (["--workers", "2", "--pcapng", "x.pcapng"], ("--pcapng", "several workers")),
        (["--admin", "0.0.0.0:1"], ("admin", "can be reached from elsewhere")),
        (["--admin", "a..b:1"], ("--admin", "DNS could hold")),
        (["--admin", "unix:"], ("--admin", "unix: names no path")),
        (["--captures", "."], ("captures", "admin")),
        (["--grace", "-1"], ("grace",)),
        (["--connections", "0"], ("connections",)),
        (["--access-log", "."], ("directory",)),
        (["--access-log", "ca.pem"], ("ca.pem", "holds something else")),
    ],
)
def test_what_cannot_be_meant(run, folder, monkeypatch, arguments, words):
    monkeypatch.chdir(folder)
    ends = (
        ()
        if arguments[0] in ("--check", "--config", "--from", "--to")
        else ("--from", "127.0.0.1:0", "--to", "[::1]:1")
    )
    certificate = () if "--config" in arguments else ("--cert", "server.pem", "--key", "server.key")
    assert run("proxy", *certificate, *ends, *arguments).is_error(2, *words)


@pytest.mark.parametrize(
    ("log", "words"), [("ca.pem", "holds something else"), ("no/access.log", "No such file"), (".", "a directory")]
)
def test_a_check_finds_a_place_where_no_log_can_be(run, folder, log, words):
    path = written(folder, f'access_log = "{log}"', listener("app"), app="127.0.0.1:3000")
    assert run("proxy", "--config", path, "--check").is_error(2, words)


def test_a_check_makes_no_log_and_leaves_one_as_it_is(run, folder):
    path = written(folder, 'access_log = "access.log"', listener("app"), app="127.0.0.1:3000")
    log = folder / "access.log"
    assert run("proxy", "--config", path, "--check").status == 0
    assert not log.exists()
    log.touch(0o640)
    assert run("proxy", "--config", path, "--check").status == 0
    assert (log.read_bytes(), stat.S_IMODE(log.stat().st_mode)) == (b"", 0o640)


@pytest.mark.parametrize("name", ["a..b", "\u00e4..b", ".a", "a" * 64])
def test_names_that_dns_cannot_hold(run, folder, monkeypatch, name):
    monkeypatch.chdir(folder)
    identity = ("--cert", "server.pem", "--key", "server.key")
    words = "DNS could hold" if name.isascii() else "xn--"
    assert run("proxy", *identity, "--from", f"{name}:0", "--to", "127.0.0.1:1").is_error(2, "--from", words)
    assert run("proxy", *identity, "--from", "127.0.0.1:0", "--to", f"{name}:1").is_error(2, "--to", words)
    assert run("serve", *identity, "--listen", f"{name}:0").is_error(2, "--listen", words)


EXAMPLE = Path(__file__).parents[2] / "examples" / "proxy.toml"


def test_the_command_of_the_example(run, folder, monkeypatch):
    """It stands in the first line, and takes the file as it is."""
    monkeypatch.chdir(folder)
    Path("allow.txt").write_text("cn: alice\n")
    Path("proxy.toml").write_text(EXAMPLE.read_text())
    _, program, *arguments = EXAMPLE.read_text().splitlines()[0].split()
    result = run(*arguments, "--check")
    assert (program, result.status, result.out) == ("handfast", 0, "proxy.toml: 2 listeners, 5 files: good\n")


def test_an_address_that_is_taken(run, folder):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        taken = sock.getsockname()[1]
        path = written(folder, "", listener("app", taken), app="127.0.0.1:3000")
        assert run("proxy", "--config", path).is_error(2, f"127.0.0.1:{taken}", "in use")
        path = written(folder, f'[admin]\nlisten = "127.0.0.1:{taken}"', listener("app"), app="127.0.0.1:3000")
        assert run("proxy", "--config", path).is_error(2, f"127.0.0.1:{taken}", "in use")


# Reload


def test_a_reload_changes_what_is_new_and_keeps_the_rest(folder, free_port):
    one, other = free_port(), free_port()
    with backend("first") as first, backend("second") as second:
        path = written(folder, "", listener("a", one), a=first.at, b=second.at)
        with proxying("--config", path) as proxy:
            old = Connection(folder, one)
            assert old.get("/x") == "first /x"
            written(folder, "", listener("b", one), listener("a", other), a=first.at, b=second.at)
            proxy.signals(signal.SIGHUP)
            assert until(lambda: _answers(folder, other) == "first /")
            assert get(folder, one) == "second /"
            # What was there goes on as it was.
            assert old.get("/y") == "first /y"
            written(folder, "", listener("b", other), a=first.at, b=second.at)
            proxy.signals(signal.SIGHUP)
            assert until(lambda: _answers(folder, one) == "")
            assert until(lambda: _answers(folder, other) == "second /")
            old.close()
            assert proxy.ends().status == 0


def _answers(folder: Path, port: int) -> str:
    try:
        return get(folder, port)
    except OSError:
        return ""


def test_what_cannot_be_used_changes_nothing_and_is_told(folder, free_port):
    admin = free_port()
    with backend() as app, socket.create_server(("127.0.0.1", 0)) as sock:
        taken = sock.getsockname()[1]
        top = f'[admin]\nlisten = "127.0.0.1:{admin}"'
        path = written(folder, top, listener("app", more="resume = true"), app=app.at)
        with proxying("--config", path) as proxy:
            for content, words in (
                (path.read_text() + "x = ", "this is no TOML"),
                (path.read_text().replace("resume", "resmue"), "line 13: listeners[0].resmue: there is no such key"),
                (path.read_text().replace("server.key", "ca.pem"), "line 10: listeners[0].key"),
                (path.read_text() + listener("app", taken), f"127.0.0.1:{taken}"),
            ):
                good = path.read_text()
                path.write_text(content)
                proxy.signals(signal.SIGHUP)
                line = proxy.hears("not reloaded, what was loaded before stays in use: ")
                assert words in line
                assert get(folder, proxy.ports[0]) == "app /"
                path.write_text(good)
            assert metric(admin, "handfast_reload_failures_total") == 4
            assert metric(admin, "handfast_reload_generation") == 1


@pytest.mark.parametrize("top", ["", "workers = 2"])
def test_a_name_that_dns_cannot_hold_ends_nothing(folder, top, free_port):
    with backend() as app:
        path = written(folder, top, listener("app"), app=app.at)
        good = path.read_text()
        with proxying("--config", path) as proxy:
            path.write_text(good + listener("app").replace("127.0.0.1:0", "a..b:0"))
            proxy.signals(signal.SIGHUP)
            assert "DNS could hold" in proxy.hears("not reloaded, what was loaded before stays in use: ")
            assert get(folder, proxy.ports[0]) == "app /"
            port = free_port()
            path.write_text(good + listener("app", port))
            proxy.signals(signal.SIGHUP)
            assert until(lambda: _answers(folder, port) == "app /")


def test_what_fails_in_any_way_as_it_is_applied_ends_nothing(folder):
    path = written(folder, "", listener("app"), app="127.0.0.1:3000")
    handle = ReloadingPlan(lambda: load(path, Stores()), path)

    def changed(_plan: object) -> None:
        raise ValueError("of no known kind")

    handle.changed = changed
    path.write_text("grace = 1\n" + path.read_text())
    assert not handle.reload()
    assert handle.failures == 1


def test_an_address_that_dns_cannot_hold_is_an_oserror():
    with pytest.raises(OSError, match="DNS could hold"):
        listening(("a..b", 0))


def test_files_are_watched(folder):
    pytest.importorskip("watchfiles")
    with backend("first") as first, backend("second") as second:
        path = written(folder, "", listener("a"), a=first.at, b=second.at)
        with proxying("--config", path, "--reload") as proxy:
            assert get(folder, proxy.ports[0]) == "first /"
            written(folder, "", listener("b"), a=first.at, b=second.at)
            assert until(lambda: get(folder, proxy.ports[0]) == "second /")
            assert proxy.ends().status == 0


def test_who_may_changes_with_its_file(folder):
    (folder / "allow.txt").write_text("cn: bob\n")
    with backend() as app:
        path = written(folder, "", listener("app", more='allow.file = ["allow.txt"]'), app=app.at)
        with proxying("--config", path) as proxy:
            assert _answers(folder, proxy.ports[0]) == ""
            assert "not let in" in proxy.hears("access_denied")
            (folder / "allow.txt").write_text("cn: alice\n")
            proxy.signals(signal.SIGHUP)
            assert until(lambda: _answers(folder, proxy.ports[0]) == "app /")


def test_many_reloads_under_load_lose_nothing(folder):
    with backend("first") as first, backend("second") as second:
        path = written(folder, "", listener("a"), a=first.at, b=second.at)
        with proxying("--config", path) as proxy:
            port, over = proxy.ports[0], threading.Event()
            failed: list[object] = []
            counts = [0] * 4

            def load(number: int) -> None:
                try:
                    while not over.is_set():
                        connection = Connection(folder, port)
                        for turn in range(5):
                            target = f"/{number}/{counts[number]}/{turn}"
                            answer = connection.get(target)
                            if answer.split(" ", 1)[1] != target:
                                failed.append((target, answer))
                            counts[number] += 1
                        connection.close()
                except BaseException as error:
                    failed.append(error)

            threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for turn in range(20):
                written(folder, "", listener("ab"[turn % 2], more=f"# {turn}"), a=first.at, b=second.at)
                enough = sum(counts) + 10
                proxy.signals(signal.SIGHUP)
                assert until(partial(_some, counts, failed, enough))
            over.set()
            for thread in threads:
                thread.join(LIMIT)
            assert failed == []
            assert min(counts) > 0
            assert proxy.ends().status == 0


def _some(counts: list[int], failed: list[object], enough: int) -> bool:
    return bool(failed) or sum(counts) > enough


# The end


def test_a_request_under_way_is_answered(folder):
    with backend() as app:
        path = written(folder, "", listener("app"), app=app.at)
        with proxying("--config", path) as proxy:
            answers: list[str] = []
            idle = Connection(folder, proxy.ports[0])
            assert idle.get("/idle") == "app /idle"
            thread = threading.Thread(target=lambda: answers.append(get(folder, proxy.ports[0], "/wait")))
            thread.start()
            assert app.waiting.wait(LIMIT)
            proxy.signals(signal.SIGTERM)
            proxy.hears("ending: ")
            assert until(lambda: _answers(folder, proxy.ports[0]) == "")
            app.go_on.set()
            thread.join(LIMIT)
            assert answers == ["app /wait"]
            assert idle.sock.recv(1) == b""
            idle.close()
            assert proxy.ends(None).status == 0


def tcp_client(folder: Path, port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), LIMIT)
    return client_context(folder).wrap_socket(sock, server_hostname="localhost")


@pytest.mark.parametrize(
    ("grace", "signals", "status"),
    [
        ("0.01", [signal.SIGTERM], 0),
        ("0.01", [signal.SIGINT], 130),
        ("1000", [signal.SIGTERM, signal.SIGTERM], 1),
        ("1000", [signal.SIGINT, signal.SIGINT], 130),
        ("1000", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], 1),
    ],
)
def test_what_does_not_end_is_cut(folder, grace, signals, status):
    with backend() as app:
        path = written(folder, f"grace = {grace}", listener("app", more='mode = "tcp"'), app=app.at)
        with proxying("--config", path) as proxy, tcp_client(folder, proxy.ports[0]) as client:
            client.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
            first, *rest = signals
            proxy.signals(first)
            proxy.hears("ending: 1 connection may take")
            for number in rest:
                proxy.signals(number)
            assert proxy.ends(None).status == status


def test_the_file_of_a_unix_socket_goes_with_it(folder):
    with backend() as app:
        content = '[[listeners]]\nlisten = "unix:in.sock"\nbackend = "app"\n'
        path = written(folder, "", content, app=app.at)
        with proxying("--config", path, cwd=folder) as proxy:
            assert (folder / "in.sock").is_socket()
            assert proxy.ends().status == 0
        assert not (folder / "in.sock").exists()


# Admin and log


def test_metrics_and_health(folder, free_port):
    admin = free_port()
    with backend() as app, own_port() as closed:
        top = f'access_log = "access.log"\n[admin]\nlisten = "127.0.0.1:{admin}"\n[limits]\nper_client = 2'
        ports = free_port(), free_port()
        listeners = listener("app", ports[0]), listener("gone", ports[1])
        path = written(folder, top, *listeners, app=app.at, gone=f"127.0.0.1:{closed}")
        with proxying("--config", path, listeners=2) as proxy:
            assert get(folder, proxy.ports[0], "/x") == "app /x"
            assert asked(admin, "/health") == (200, "ok\n")
            status, body = asked(admin, "/health?backends=1")
            assert (status, body) == (503, f"backend_refused: 127.0.0.1:{closed}: Connection refused\n")
            labels = f'{{listener="127.0.0.1:{ports[0]}",status="2xx"}}'
            assert metric(admin, f"handfast_requests_total{labels}") == 1
            found = asked(admin, "/metrics")[1]
            expiry = f'certificate_expiry_timestamp_seconds{{listener="127.0.0.1:{ports[0]}",certificate="CN=localhost'
            assert expiry in found
            assert asked(admin, "/capture", "POST")[0] == 404
            two = [tcp_client(folder, proxy.ports[0]) for _ in range(2)]
            assert _answers(folder, proxy.ports[0]) == ""
            for one in two:
                one.close()
            assert until(lambda: metric(admin, "handfast_connections_open") == 0)
            name = f'handfast_connections_total{{listener="127.0.0.1:{ports[0]}",code="too_many_of_client"}}'
            assert metric(admin, name) == 1
            assert proxy.ends().status == 0
        entries = lines_of(folder / "access.log")
        assert [entry["target"] for entry in entries if entry["event"] == "request"] == ["/x"]
        assert "too_many_of_client" in [entry["code"] for entry in entries]


def test_health_says_when_it_ends(folder, free_port):
    admin = free_port()
    with backend() as app:
        path = written(folder, f'[admin]\nlisten = "127.0.0.1:{admin}"', listener("app"), app=app.at)
        with proxying("--config", path) as proxy:
            thread = threading.Thread(target=get, args=(folder, proxy.ports[0], "/wait"))
            thread.start()
            assert app.waiting.wait(LIMIT)
            proxy.signals(signal.SIGTERM)
            proxy.hears("ending: ")
            assert until(lambda: asked(admin, "/health") == (503, "draining\n"))
            app.go_on.set()
            thread.join(LIMIT)
            assert proxy.ends(None).status == 0


def test_a_log_that_is_rotated(folder):
    with backend() as app:
        path = written(folder, 'access_log = "access.log"', listener("app"), app=app.at)
        with proxying("--config", path) as proxy:
            log, rotated = folder / "access.log", folder / "access.log.1"
            assert get(folder, proxy.ports[0], "/one") == "app /one"
            assert until(lambda: any(entry.get("target") == "/one" for entry in lines_of(log)))
            log.rename(rotated)
            proxy.signals(signal.SIGHUP)
            assert until(log.exists)
            assert get(folder, proxy.ports[0], "/two") == "app /two"
            assert proxy.ends().status == 0
        assert "/two" in [entry.get("target") for entry in lines_of(log)]
        assert "/two" not in [entry.get("target") for entry in lines_of(rotated)]


# Captures


def test_a_capture_of_one_client(run, folder, free_port):
    admin, captures = free_port(), folder / "captures"
    captures.mkdir()
    with backend() as app:
        top = f'[admin]\nlisten = "127.0.0.1:{admin}"\ncaptures = "captures"'
        path = written(folder, top, listener("app"), app=app.at)
        with proxying("--config", path) as proxy:
            status, said = asked(admin, "/capture?client=127.0.0.1&to=alice", "POST")
            assert (status, "the file shows all that is said" in said) == (202, True)
            assert get(folder, proxy.ports[0], "/secret") == "app /secret"
            assert get(folder, proxy.ports[0], "/other") == "app /other"
            assert asked(admin, "/capture?client=127.0.0.1&to=alice", "POST")[0] == 400
            assert asked(admin, "/capture?client=127.0.0.1&to=..%2Fx", "POST")[0] == 400
            assert asked(admin, "/capture?client=alice&to=x", "POST")[0] == 400
            assert asked(admin, "/capture?client=127.0.0.1&to=x")[0] == 405
            assert proxy.ends().status == 0
    (file,) = captures.iterdir()
    assert (file.name, stat.S_IMODE(file.stat().st_mode)) == ("alice.pcapng", 0o600)
    decoded = run("decode", "-x", "--secrets", file).out
    assert "/secret" in decoded
    assert "/other" not in decoded


# Names and routes


def _asked(folder: Path, port: int, name: str, path: str) -> bytes:
    """The answer to a client that asks for this name."""
    sock = socket.create_connection(("127.0.0.1", port), LIMIT)
    with client_context(folder).wrap_socket(sock, server_hostname=name) as tls:
        tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while data := tls.recv(1000):
            answer += data
    return answer


def test_names_and_routes(folder):
    more = """
        [[listeners.routes]]
        prefix = "/bobs"
        allow.cn = ["bob"]
        [[listeners.routes]]
        prefix = "/alices"
        backend = "b"
        allow.cn = ["alice"]
        [listeners.names."server.example.com"]
        backend = "b"
        routes = []
    """
    with backend("first") as first, backend("second") as second:
        path = written(folder, 'access_log = "access.log"', listener("a", more=more), a=first.at, b=second.at)
        with proxying("--config", path) as proxy:
            (port,) = proxy.ports
            assert _asked(folder, port, "localhost", "/x").endswith(b"first /x")
            assert _asked(folder, port, "localhost", "/alices/x").endswith(b"second /alices/x")
            assert _asked(folder, port, "localhost", "/bobs/x").startswith(b"HTTP/1.1 403 ")
            assert _asked(folder, port, "server.example.com", "/bobs/x").endswith(b"second /bobs/x")
            assert proxy.ends().status == 0
        (refused,) = [entry for entry in lines_of(folder / "access.log") if entry.get("status") == 403]
        assert "let in are: CN=bob" in refused["why"]
