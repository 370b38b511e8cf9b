"""A proxy's TOML file: what it comes to, and that every complaint names file, line and key."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from handfast import limits
from handfast.config.by_name import ByName
from handfast.config.config import ClientAuth
from handfast.errors import ConfigError
from handfast.proxy.operation.stores import Stores
from handfast.proxy.operation.toml_file import load
from handfast.proxy.settings import IdentityForm, Mode, ProxyProtocol
from handfast.trust.pins import key_pin
from handfast.trust.revocation.crl_store import Crls
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier, policy_id
from tests import certificates
from tests.peers.base import require_module

EXAMPLE = Path(__file__).parents[2] / "examples" / "proxy.toml"
MINIMAL = """
[backends.app]
address = "127.0.0.1:3000"
[[listeners]]
listen = "127.0.0.1:8443"
cert = "server.pem"
key = "server.key"
client_ca = "ca.pem"
backend = "app"
"""


@pytest.fixture
def folder(tmp_path):
    issued = certificates.server()
    (tmp_path / "server.pem").write_bytes(issued.cert_pem)
    (tmp_path / "server.key").write_bytes(issued.key_pem)
    (tmp_path / "ca.pem").write_bytes(certificates.ca().certificate_pem)
    (tmp_path / "allow.txt").write_text("cn: alice\n")
    return tmp_path


def plan(folder, content):
    path = folder / "proxy.toml"
    path.write_text(content)
    return load(path, Stores())


def test_the_example(folder):
    shutil.copy(EXAMPLE, folder / "proxy.toml")
    found = load(folder / "proxy.toml", Stores())
    http, tcp = found.listeners
    assert (http.address, tcp.address) == (("127.0.0.1", 8443), ("127.0.0.1", 6432))
    assert isinstance(http.service, ByName)
    named, default = http.services
    assert (default.mode, default.identity) == (Mode.HTTP, (IdentityForm.RFC9440,))
    assert default.routes[0].prefix == "/reports"
    assert default.routes[0].backend is not None
    assert default.routes[0].backend.address == str(folder / "reports.sock")
    assert (named.backend.address, tcp.services[0].mode) == (("127.0.0.1", 3000), Mode.TCP)
    assert tcp.services[0].backend.proxy_protocol is ProxyProtocol.TLS
    assert http.tls is not None
    assert http.tls.choose_config is not None
    assert http.tls.client_auth is ClientAuth.REQUIRE_AND_VERIFY
    open_config, _ = http.tls.choose_config.values  # type: ignore[attr-defined]
    assert open_config.client_auth is ClientAuth.VERIFY_IF_GIVEN
    assert (found.ceilings.connections, found.ceilings.per_second) == (2000, 50.0)
    assert found.operation.access_log == folder / "access.log"
    assert found.operation.admin == ("127.0.0.1", 9180)
    followed = {path.name for path in found.paths}
    assert followed == {"proxy.toml", "server.pem", "server.key", "ca.pem", "allow.txt"}


def test_the_least(folder):
    found = plan(folder, MINIMAL)
    assert len(found.listeners) == 1
    assert (found.operation.grace, found.operation.workers) == (limits.PROXY_GRACE, 1)
    assert found.listeners[0].tls is not None
    assert found.listeners[0].tls.tickets is None


def test_tickets_are_the_same_after_a_reload(folder):
    path = folder / "proxy.toml"
    path.write_text(MINIMAL + "resume = true\n")
    stores = Stores()
    one, other = (load(path, stores).listeners[0].tls for _ in range(2))
    assert one is not None
    assert other is not None
    assert one.tickets is other.tickets
    assert policy_id(one.verifier) == policy_id(other.verifier)


def test_how_a_backend_is_judged(folder):
    (folder / "ca.crl").write_bytes(certificates.ca().crl())
    pin = key_pin(certificates.server().chain[0])
    found = plan(
        folder,
        MINIMAL
        + '[backends.b]\naddress = "127.0.0.1:1"\ntls = true\ncacert = "ca.pem"\ncrl = "ca.crl"\nocsp = "require"\n'
        + f'policy = "strict"\npins = ["{pin}"]\n[[listeners]]\nlisten = "127.0.0.1:2"\nbackend = "b"\n',
    )
    tls = found.listeners[1].services[0].backend.tls
    assert tls is not None
    path, pinned = tls.verifier.verifiers
    assert pin in repr(pinned)
    roots, lists = Roots.from_path(folder / "ca.pem"), Crls.from_path(folder / "ca.crl")
    assert policy_id(path) == policy_id(PathVerifier(roots, policy="strict", crls=lists, ocsp="require"))
    assert {folder / "ca.pem", folder / "ca.crl"} <= set(found.paths)


def test_who_computes(folder):
    content = MINIMAL.replace("3000", '3000"\ntls = true\ncacert = "ca.pem').replace('"app"\n', '"app"\nnames.x = {}\n')
    found = plan(folder, 'crypto_provider = "aws-lc"\n' + content)
    (listener,) = found.listeners
    configs = [service.backend.tls for service in listener.services] + list(listener.tls.choose_config.values)
    assert [config.crypto_provider for config in configs] == ["aws-lc"] * 4


def test_only_names(folder):
    content = MINIMAL.replace('backend = "app"\n', "") + '[listeners.names."a.example"]\nbackend = "app"\n'
    listener = plan(folder, content).listeners[0]
    assert isinstance(listener.service, ByName)
    assert listener.service.find("b.example") is None
    assert listener.service.find("a.example") is not None


def test_sockets_that_were_handed_over(folder):
    path = folder / "proxy.toml"
    path.write_text(MINIMAL.replace('"127.0.0.1:8443"', '"systemd:web"'))
    assert load(path, Stores(), {"web": ("127.0.0.1", 4321)}).listeners[0].address == ("127.0.0.1", 4321)
    with pytest.raises(ConfigError, match="no socket of that name"):
        load(path, Stores())


def added(line):
    return MINIMAL + line + "\n"


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("", None, ("listeners", "say where clients come in")),
        ("x = [", None, ("no TOML",)),
        ("\xff", None, ("no TOML",)),
        ("grace = -1\n" + MINIMAL, None, ("grace",)),
        ("workers = 0\n" + MINIMAL, None, ("workers",)),
        ('crypto_provider = "openssl"\n' + MINIMAL, 1, ("neither of cryptography and aws-lc",)),
        ("wokers = 2\n" + MINIMAL, 1, ("wokers", "did you mean workers?")),
        ("workers = true\n" + MINIMAL, 1, ("workers", "whole number")),
        ("access_log = 1\n" + MINIMAL, 1, ("string",)),
        (MINIMAL.replace("backend =", "# one\nbakend ="), 4, ("there is no backend",)),
        (added('bakend = "app"'), 10, ("listeners[0].bakend", "did you mean backend?")),
        (MINIMAL.replace('= "app"', '= "ap"'), 9, ("no backend of that name", "there are: app", "[backends.ap]")),
        (MINIMAL.replace("server.key", "missing.key"), 7, ("missing.key", "no such file")),
        (MINIMAL.replace("server.key", "ca.pem"), 7, ("key",)),
        (MINIMAL.replace("server.key", "~no-such-user/a"), 7, ("~no-such-user/a", "no such file")),
        (MINIMAL.replace("server.key", "a\\u0000b"), 7, ("zero byte",)),
        (MINIMAL.replace('"ca.pem"', '"server.key"'), 8, ("certificate",)),
        (MINIMAL.replace("8443", "84430"), 5, ("listeners[0].listen", "no address")),
        (MINIMAL.replace("127.0.0.1:3000", "192.0.2.1:3000"), 2, ("backends.app", "not on this machine")),
        (MINIMAL.replace("127.0.0.1:3000", "::1:3000"), 3, ("no address",)),
        (added('mode = "udp"'), 10, ("'udp' is none of tcp, http",)),
        (added('mode = "tcp"\nidentity = ["xfcc"]'), 4, ("identity headers",)),
        (added('identity = ["xfc"]'), 10, ("rfc9440",)),
        (added('tls = ["1.4"]'), 10, ("1.4",)),
        (added('alpn = ["spdy"]'), 10, ("spdy",)),
        (added("early_data = true"), 10, ("only a resumed session",)),
        (added('client_auth = "none"'), 8, ("asks for no certificate",)),
        (added('client_auth = "request"\nallow.cn = ["a"]'), 11, ("may come in without",)),
        (added('policy = "lax"'), 10, ("strict",)),
        (added('allow.cn = ["a*"]'), 10, ("whole segment",)),
        (added('allow.file = ["a\\u0000b"]'), 10, ("zero byte",)),
        (added("allow.cn = []"), 10, ("this list is empty",)),
        (added('[backends.b]\naddress = "127.0.0.1:1"\ntls = true\npins = []'), 13, ("this list is empty",)),
        # U+0085 and U+2028 end a line for Python, and none for TOML.
        ("# \xc2\x85 \xe2\x80\xa8\n" + added("allow = {}"), 11, ("let no peer in",)),
        (added("allow = {}"), 10, ("let no peer in",)),
        (added('allow.file = ["ca.pem"]'), 10, ("ca.pem, line 1",)),
        (added('allow.if = "nothing:x"'), 10, ("nothing",)),
        (added('[[listeners.routes]]\nprefix = "x"'), 10, ("begin it with /",)),
        (added('[[listeners.routes]]\nprefix = "/x"\nbackend = "no"'), 12, ("no backend of that name",)),
        (added('[listeners.names."a b"]'), None, ("a b",)),
        (added('[listeners.names."a.example"]\nkey = 3'), 11, ("no cert",)),
        (added('[listeners.names."a.example"]\nclient_ca = "ca.pem"\ncrl = "no"'), 12, ("no such file",)),
        (added('[[listeners]]\nlisten = "127.0.0.1:8443"\nbackend = "app"'), 11, ("is there twice",)),
        (added('[[listeners]]\nlisten = "0.0.0.0:80"\nbackend = "app"'), 10, ("can be reached from elsewhere",)),
        (added('[[listeners]]\nlisten = "127.0.0.1:1"\nbackend = "app"\nresume = true'), 13, ("no cert",)),
        (added('[admin]\nlisten = "0.0.0.0:1"'), 11, ("reached from elsewhere",)),
        (added('[admin]\nlisten = "127.0.0.1:1"\nnames = ["a:1"]'), 12, ("names", "no name of a host")),
        (added('[admin]\nlisten = "127.0.0.1:1"\ncaptures = "no"'), None, ("captures", "no directory")),
        (added("[limits]\nconnections = 0"), 10, ("no client in",)),
        (added('[backends.b]\naddress = "127.0.0.1:1"\ncacert = "ca.pem"'), 12, ("tls = true",)),
        (added('[backends.b]\naddress = "127.0.0.1:1"\npins = ["x"]'), 12, ("tls = true",)),
        (added('[backends.b]\naddress = "127.0.0.1:1"\ntls = true\npins = ["sha256//x"]'), 13, ("44 characters",)),
        (added('[backends.b]\naddress = "127.0.0.1:1"\ntls = true\npolicy = "lax"'), 13, ("strict",)),
        (added('[backends.b]\naddress = "127.0.0.1:1"\ntls = true\ncacert = "ca.pem"\ncrl = "no"'), 14, ("no such",)),
        (added("[backends.b]"), 10, ("there is no address",)),
        ("workers = 2\n" + added("resume = true\nearly_data = true"), 12, ("each worker",)),
        (added('[redis]\nurl = "redis://127.0.0.1:1/0"'), 10, ("must be sealed", "openssl rand")),
        (added('[redis]\nurl = "redis://127.0.0.1:1/0"\nkey = "no"'), 10, ("no such file",)),
        (added('starttls = "postgres"'), 4, ("HTTP has none",)),
        ("#" * (limits.PROXY_CONFIG_BYTES + 1), None, ("1048576",)),
        ("grace = " + "9" * 5000 + "\n" + MINIMAL, None, ("no TOML",)),
        ("x = " + "[" * 10_000 + "\n" + MINIMAL, None, ("no TOML",)),
        (MINIMAL.replace("8443", "9" * 5000), 5, ("no address",)),
        (MINIMAL.replace("8443", "\\u0664"), 5, ("no address",)),
        (MINIMAL.replace("3000", "0"), 3, ("port 0",)),
        *(
            (MINIMAL.replace(whole, host + port), line, ("DNS could hold",))
            for host in ("a..b", ".a", "a" * 64)
            for whole, port, line in (("127.0.0.1:3000", ":3000", 3), ("127.0.0.1:8443", ":8443", 5))
        ),
        (MINIMAL.replace("127.0.0.1:8443", "\\u00e4..b:1"), 5, ("listeners[0].listen", "xn--")),
    ],
)
def test_what_is_wrong_is_told_with_its_place(folder, content, line, words):
    path = folder / "proxy.toml"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        load(path, Stores())
    said = f"{caught.value.what} {caught.value.hint}"
    assert "proxy.toml" in said
    assert line is None or f"proxy.toml, line {line}: " in said, said
    for word in words:
        assert word in said


# Where a number may stand, and which of them are seconds or a rate, of which there are fractions.
COUNTS = (
    "workers = {}\n" + MINIMAL,
    *(added(f"[limits]\n{key} = {{}}") for key in ("connections", "per_client", "handshakes")),
)
FRACTIONS = (
    "grace = {}\n" + MINIMAL,
    added("idle_timeout = {}"),
    added("[limits]\nper_second = {}"),
    added('[backends.b]\naddress = "127.0.0.1:1"\nconnect_timeout = {}'),
)


@pytest.mark.parametrize("content", [*COUNTS, *FRACTIONS])
@pytest.mark.parametrize(
    "number", ["nan", "-nan", "inf", "-inf", "1e400", "-1", "1e300", "9" * 400, str(2**63), "9007199254740993"]
)
def test_what_is_no_number_to_reckon_with_is_refused(folder, content, number):
    with pytest.raises(ConfigError, match=r"proxy\.toml"):
        plan(folder, content.replace("{}", number))


@pytest.mark.parametrize(
    ("content", "most"),
    [
        (COUNTS[0], limits.PROXY_WORKERS),
        *((content, limits.PROXY_MOST) for content in (*COUNTS[1:], FRACTIONS[2])),
        *((content, int(limits.PROXY_SECONDS)) for content in FRACTIONS if "per_second" not in content),
    ],
)
def test_the_largest_numbers_that_can_be(folder, content, most):
    plan(folder, content.replace("{}", str(most)))
    with pytest.raises(ConfigError):
        plan(folder, content.replace("{}", str(most + 1)))


def test_texts_of_several_lines_are_no_keys(folder):
    content = "[backends.app]\naddress = \"\"\"\\\n  127.0.0.1:3000\"\"\"\nname = '''\n[[listeners]]\nx = 1'''\n"
    with pytest.raises(ConfigError, match=r"line 1: backends\.app"):
        plan(folder, content)


def test_too_many_listeners(folder):
    one = '[[listeners]]\nlisten = "127.0.0.1:%d"\nbackend = "app"\n'
    many = "".join(one % port for port in range(1, limits.PROXY_LISTENERS + 1))
    with pytest.raises(ConfigError, match=str(limits.PROXY_LISTENERS)):
        plan(folder, MINIMAL + many)


def test_too_many_workers(folder):
    with pytest.raises(ConfigError, match="workers"):
        plan(folder, f"workers = {limits.PROXY_WORKERS + 1}\n" + MINIMAL)


def test_a_file_that_is_refused_leaves_what_is_shared_as_it_is(folder):
    """Whatever it says of Redis: configurations that are in use go on with theirs."""
    require_module("redis")
    (folder / "fleet.key").write_text("00" * 32)

    def shared(name):
        return f'[redis]\nurl = "unix://{folder}/{name}.sock"\nkey = "fleet.key"\n{MINIMAL}'

    with closing(Stores()) as stores:

        def loaded(content):
            path = folder / "proxy.toml"
            path.write_text(content)
            config = load(path, stores).listeners[0].tls
            assert config is not None
            return config.tickets

        tickets, fleet = loaded(shared("one")), stores.fleet
        assert fleet is not None
        assert tickets is fleet.tickets
        for wrong in (shared("other"), MINIMAL):
            with pytest.raises(ConfigError, match="unknown"):
                loaded(f"{wrong}\nunknown = 1")
            assert fleet.trouble != "it is closed"
        assert loaded(shared("one")) is tickets
    assert fleet.trouble == "it is closed"
