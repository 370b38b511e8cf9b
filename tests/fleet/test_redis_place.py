"""Where Redis is: what URLs mean, what is refused, and TLS to it with certificates on both sides."""

from __future__ import annotations

import gc
import re
import socketserver
import subprocess
import sys
import threading
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

import handfast
from handfast import RedisFleet, limits
from handfast.errors import ConfigError
from tests import certificates
from tests.fleet.support import KEY, Redis, fleet, verifier
from tests.peers.base import require_module
from tests.ports import own_port
from tests.sslcontext.pairs import Files
from tests.test_number_options import COUNTS, SECONDS, check_refused
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, files: Files) -> Iterator[str]:
    """The address of a Redis that asks for client certificates and for a password."""
    with own_port() as port:
        tls: dict[str, Any] = {"tls-port": port, "tls-auth-clients": "yes", "tls-ca-cert-file": files.ca}
        own = {"tls-cert-file": files.server, "tls-key-file": files.server_key, "bind": "127.0.0.1"}
        with Redis(tmp_path_factory.mktemp("redis"), **tls, **own) as redis:
            redis.client.config_set("requirepass", "open sesame")
            yield f"localhost:{port}"


def names(**files: str) -> str:
    return "?" + "&".join(f"ssl_{name}={path}" for name, path in files.items())


def test_tls_with_certificates_and_a_password_from_the_url(secured: str, files: Files) -> None:
    url = f"rediss://:open%20sesame@{secured}/3"
    with fleet(url + names(ca_certs=files.ca, certfile=files.client, keyfile=files.client_key)) as node:
        ticket: Any = node.stored_tickets.issue(b"state", bytes(32), 100, b"")
        assert node.stored_tickets.redeem(ticket, bytes(32)) == b"state"
        assert repr(node) == f"RedisFleet({secured})"


def test_tls_as_a_configuration(secured: str) -> None:
    issued = certificates.client()
    credentials = handfast.Credentials.from_pem(issued.cert_pem, issued.key_pem)
    tls = handfast.ClientConfig(verifier=verifier(), credentials=credentials)
    with fleet(f"rediss://default:open%20sesame@{secured}", tls=tls) as node:
        assert node.stored_tickets.issue(b"state", bytes(32), 100, b"")


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("no certificate", "certificate"),
        ("another CA", "not among the trusted roots"),
        ("another password", "invalid username-password"),
        ("none", "Authentication required"),
    ],
)
def test_why_redis_lets_nobody_in(
    secured: str, files: Files, case: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    own = {} if case == "no certificate" else {"certfile": files.client, "keyfile": files.client_key}
    password = {"another password": ":guessed@", "none": ""}.get(case, ":open%20sesame@")
    ca = files.other_ca if case == "another CA" else files.ca
    with fleet(f"rediss://{password}{secured}{names(ca_certs=ca, **own)}", ready=False) as node:
        assert until(lambda: node.trouble)
        assert words.lower() in node.trouble.lower(), node.trouble
        assert not node.wait(0.0)
        assert "sesame" not in caplog.text
        assert "guessed" not in caplog.text


@pytest.mark.parametrize("password", ["Qzj7 8Xvk", "Qzj7'8Xvk" + "x" * 500])
def test_a_redis_that_quotes_the_password_is_not_quoted(
    tmp_path: Path, password: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It knows no AUTH, and tells what came with a command that it does not know."""
    more = tmp_path / "more.conf"
    more.write_text('rename-command AUTH ""\n')
    with (
        Redis(tmp_path, include=more) as redis,
        fleet(f"unix://:{quote(password)}@{redis.socket}", ready=False) as node,
    ):
        assert until(lambda: node.trouble)
        told = node.trouble + caplog.text
    assert "unknown command 'AUTH'" in told
    assert not [part for part in ("Qzj7", "8Xvk", "xxx") if part in told]


class Gossip(socketserver.BaseRequestHandler):
    """Tells a password that it was told."""

    def handle(self) -> None:
        self.request.recv(1000)
        self.request.sendall(b"-ERR nobody has the password Qzj78Xvk\r\n")


def test_a_peer_that_says_the_password_in_its_own_words_is_not_quoted(tmp_path: Path) -> None:
    path = str(tmp_path / "other.sock")
    with socketserver.ThreadingUnixStreamServer(path, Gossip) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            with fleet(f"unix://:Qzj78Xvk@{path}", ready=False) as node:
                assert until(lambda: node.trouble)
                assert node.trouble == "nobody has the password ***"
        finally:
            server.shutdown()


def test_a_connection_to_a_redis_that_does_not_let_go_is_closed_with_the_fleet(files: Files) -> None:
    """One that has refused the password, and then waits for nothing."""
    require_module("redis")
    ended, over = threading.Event(), threading.Event()
    config = handfast.ServerConfig(credentials=handfast.Credentials.from_files(files.server, files.server_key))

    def serve(listener: handfast.Listener) -> None:
        with listener.accept() as tls:
            tls.recv(1000)
            tls.sendall(b"-WRONGPASS it is another one\r\n")
            while tls.recv(1000):
                pass
            ended.set()
            over.wait(LIMIT)

    with warnings.catch_warnings(record=True) as left_open, handfast.listen("127.0.0.1", 0, config) as listener:
        warnings.simplefilter("always", ResourceWarning)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            url = f"rediss://:word@localhost:{listener.address[1]}{names(ca_certs=files.ca)}"
            with fleet(url, ready=False):
                assert ended.wait(LIMIT)
            gc.collect()
        finally:
            over.set()
            thread.join(LIMIT)
    assert [str(one.message) for one in left_open if "socket" in str(one.message).lower()] == []


def test_the_rights_that_the_page_names_are_enough(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "scale.md").read_text()
    found = re.search(r"Its user needs(.*?) and commands on sorted sets", page, re.DOTALL)
    assert found is not None
    named = re.findall(r"`([A-Z]+)`", found[1])
    with own_port() as port, Redis(tmp_path, port=port, bind="127.0.0.1") as redis:
        rights = ["+@sortedset", *(f"+{command.lower()}" for command in named)]
        redis.client.execute_command("ACL", "SETUSER", "node", "on", ">word", "~handfast:*", *rights)
        with fleet(f"redis://node:word@127.0.0.1:{port}") as node:
            assert node.replay_guard.first_use(node.replay_guard.scope + b"a", 20) is True
            assert node.tickets.issue(b"state", bytes(32), 100)
            ticket: Any = node.stored_tickets.issue(b"state", bytes(32), 100, b"")
            assert node.stored_tickets.find(ticket, bytes(32)) == b"state"
            assert node.stored_tickets.redeem(ticket, bytes(32)) == b"state"


def test_plain_tcp_on_this_machine(tmp_path: Path) -> None:
    with own_port() as port, Redis(tmp_path, port=port, bind="127.0.0.1"):
        for host in ("127.0.0.1", "localhost"):
            with fleet(f"redis://{host}:{port}/1") as node:
                assert node.replay_guard.scope


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("redis://redis.example", {}, "redis.example:6379 is another machine"),
        ("redis://192.0.2.1:7000", {}, "192.0.2.1:7000 is another machine"),
        ("redis://localhost?ssl_ca_certs=ca.pem", {}, "only rediss:// speaks TLS"),
        ("redis://localhost", {"tls": handfast.ClientConfig(verifier=verifier())}, "only rediss:// speaks TLS"),
        ("unix:///run/redis.sock", {"tls": handfast.ClientConfig(verifier=verifier())}, "only rediss:// speaks TLS"),
        ("REDISS://localhost?ssl_ca_certs=/nowhere/ca.pem", {}, "no such file"),
        ("redis://localhost%0a.example", {}, "its host is neither a name nor an address"),
        ("rediss://localhost?ssl_cert_reqs=none", {}, "url: behind its ? may stand db, username"),
        ("rediss://localhost?ssl_keyfile=client.key", {}, "no ssl_certfile that ssl_keyfile could belong to"),
        (
            "rediss://localhost?ssl_ca_certs=ca.pem",
            {"tls": handfast.ClientConfig(verifier=verifier())},
            "says what tls says in another way",
        ),
        ("rediss://localhost?ssl_ca_certs=/nowhere/ca.pem", {}, "no such file"),
        ("rediss://localhost", {"tls": "ca.pem"}, "tls: it is no ClientConfig"),
        ("redis://redis.example", {"plaintext": "no"}, "plaintext: 'no' is neither True nor False"),
        ("redis://localhost", {"name": ""}, "1 to 64 characters"),
        ("redis://localhost", {"name": "caf\u00e9"}, "1 to 64 characters"),
        ("redis://localhost", {"name": 7}, "1 to 64 characters"),
    ],
)
def test_what_is_refused_when_it_is_given(url: str, options: dict[str, Any], words: str) -> None:
    require_module("redis")
    with pytest.raises(ConfigError) as caught:
        RedisFleet(url, [KEY], **options)
    assert words in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("option", "values", "words"),
    [
        ("timeout", [*SECONDS, 0.0009, 60.1], "is no number of seconds from 0.001 to 60"),
        ("rotation", [*SECONDS, 1, 59.9, 604_801], "is no number of seconds from 60 to 604800"),
        ("sessions", COUNTS, "is no whole number from 1 to 4294967295"),
        ("hellos", COUNTS, "is no whole number from 1 to 4294967295"),
    ],
)
def test_numbers_have_bounds(option: str, values: list[Any], words: str) -> None:
    require_module("redis")
    for value in values:
        check_refused(partial(RedisFleet, "redis://localhost", [KEY]), option, value, words)


def test_the_bounds_themselves_are_taken(tmp_path: Path) -> None:
    require_module("redis")
    least = (limits.FLEET_TIMEOUT_LEAST, limits.TICKET_KEY_ROTATION_LEAST, 1)
    most = (limits.FLEET_TIMEOUT_MOST, limits.TICKET_KEY_ROTATION_MOST, limits.KEPT_MOST)
    for timeout, rotation, count in (least, most):
        numbers: dict[str, Any] = {"timeout": timeout, "rotation": rotation, "sessions": count, "hellos": count}
        with RedisFleet(f"unix://{tmp_path}/nothing.sock", [KEY], **numbers) as node:
            assert not node.wait(0.0)


def test_another_machine_in_plaintext_by_request(tmp_path: Path) -> None:
    require_module("redis")
    with RedisFleet("redis://redis.example", [KEY], plaintext=True) as node:
        assert repr(node) == "RedisFleet(redis.example:6379)"


def test_without_redis_py_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "redis" or name.endswith(".redis_place")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigError, match="redis-py is not installed") as caught:
        RedisFleet("redis://localhost", [KEY])
    assert "handfast[redis]" in caught.value.hint


def test_nothing_loads_redis_py_before_a_fleet_is_made() -> None:
    code = "import handfast, sys; handfast.RedisFleet; assert 'redis' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], timeout=LIMIT).returncode == 0
