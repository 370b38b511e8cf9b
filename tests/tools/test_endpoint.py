"""The scriptable endpoint, driven by its flags: two of them on one connection, and what each says of it."""

from __future__ import annotations

import json
import socket
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from handfast.engine import ServerConfig
from handfast.errors import ApiMisuse, CertificateRejected, ConfigError
from handfast.tools.endpoint import Options, Outcome, run, run_each
from handfast.tools.endpoint.__main__ import DONE, FAILED, USAGE, main
from handfast.tools.endpoint.flags import parse
from tests import certificates
from tests.listening import ANY_PORT, LOCALHOST, Listening
from tests.ports import own_port
from tests.waiting import LIMIT, OUR_LIMIT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Files


class Scene:
    """Flags for healthy sides."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.trust = ["--trust", str(files.roots(certificates.ca()))]
        self.server_identity = self.identity(certificates.server())
        self.client_identity = self.identity(certificates.client())
        self.server = ["--role", "server", *self.server_identity]
        self.client = ["--role", "client", *self.trust, "--server-name", "localhost"]

    def identity(self, issued: Any) -> list[str]:
        """--cert and --key."""
        paths = self.files.identity(issued)
        return ["--cert", str(paths["certificate"]), "--key", str(paths["key"])]

    def both(self, server: list[str], client: list[str]) -> tuple[Outcome, Outcome]:
        """What a server and a client with these flags, besides the healthy ones, say of their connection."""
        return self.meet([*self.server, *server], [*self.client, *client])

    def meet(self, waiting: list[str], coming: list[str]) -> tuple[Outcome, Outcome]:
        """What two endpoints say, the first of which listens."""
        limit = ["--timeout", str(OUR_LIMIT)]
        with Listening(parse([*limit, *waiting, "--listen", f"{LOCALHOST}:0"])) as listening:
            outcome = run(parse([*limit, *coming, "--connect", f"{LOCALHOST}:{listening.port}"]))
            return listening.outcome(), outcome


@pytest.fixture
def scene(files: Files) -> Scene:
    return Scene(files)


def test_healthy(scene):
    mutual = [*scene.trust, "--client-auth", "require_and_verify", "--alpn", "h2,http/1.1"]
    server, client = scene.both(
        [*mutual, "--expect-bytes", "5", "--send", "answer"],
        [*scene.client_identity, "--alpn", "http/1.1", "--send", "hello", "--expect-bytes", "6"],
    )
    for outcome in (server, client):
        assert outcome.ok, outcome
        assert outcome.handshake_complete
        assert outcome.peer_verified
        assert outcome.verdict.accepted
        assert outcome.alert is None
        assert outcome.close_notify_sent
        assert outcome.close_notify_received
        assert outcome.negotiated.version == "TLS 1.3"
        assert outcome.negotiated.suite == "TLS_AES_128_GCM_SHA256"
        assert outcome.negotiated.group == "X25519MLKEM768"
        assert outcome.negotiated.own_scheme == outcome.negotiated.peer_scheme == "ecdsa_secp256r1_sha256"
        assert outcome.negotiated.application_protocol == "http/1.1"
        assert outcome.negotiated.server_name == "localhost"
        assert outcome.negotiated.ca_names == ("CN=Test CA,O=handfast",)
        assert not outcome.negotiated.retried
    assert server.received == b"hello"
    assert client.received == b"answer"
    assert (server.bytes_sent, server.bytes_received) == (6, 5) == (client.bytes_received, client.bytes_sent)
    assert server.chain[0].subject == "CN=alice,O=handfast"
    assert client.chain[0].pem.encode() in certificates.server().cert_pem


@pytest.mark.parametrize("waiting", ["server", "client"])
def test_who_listens_is_independent_of_the_role(scene, waiting):
    sides = {"server": [*scene.server, "--echo-xor"], "client": [*scene.client, "--send", "a", "--expect-bytes", "1"]}
    coming = "client" if waiting == "server" else "server"
    first, second = scene.meet(sides[waiting], sides[coming])
    assert (first.role, second.role) == (waiting, coming)
    assert first.ok, first
    assert second.ok, second


def test_echo_xor(scene):
    server, client = scene.both(["--echo-xor"], ["--send", "\x00\x0fAz", "--expect-bytes", "4"])
    assert server.ok
    assert client.received == bytes([0xFF, 0xF0, 0xBE, 0x85])


def test_send_file(scene):
    data = bytes(range(256)) * 300
    server, client = scene.both(
        ["--expect-bytes", str(len(data))], ["--send-file", str(scene.files.write(data, ".data"))]
    )
    assert client.ok
    assert server.received == data


@pytest.mark.parametrize(
    ("flags", "field", "value"),
    [
        (["--suites", "TLS_CHACHA20_POLY1305_SHA256"], "suite", "TLS_CHACHA20_POLY1305_SHA256"),
        (["--groups", "x448"], "group", "x448"),
        (["--groups", "x25519,secp521r1", "--key-shares", "secp521r1"], "group", "secp521r1"),
        (["--key-shares", "none"], "retried", True),
        (["--server-name", "none", "--verdict", "accept"], "server_name", None),
        (["--server-name", "server.example.com"], "server_name", "server.example.com"),
        (["--alpn", "b,a"], "application_protocol", "a"),
        (["--version", "1.3"], "version", "TLS 1.3"),
    ],
)
def test_parameters(scene, flags, field, value):
    if "--verdict" in flags:
        client = ["--role", "client", *flags]
    else:
        client = [*scene.client, *flags]
    server, outcome = scene.meet([*scene.server, "--alpn", "a"], client)
    assert outcome.ok, outcome
    assert getattr(server.negotiated, field) == getattr(outcome.negotiated, field) == value


def test_schemes_choose_among_several_credentials(scene):
    several = scene.identity(certificates.server("ed25519"))
    schemes = "ed25519,rsa_pss_rsae_sha256,ecdsa_secp384r1_sha384"
    _, client = scene.both(several, ["--schemes", schemes])
    assert client.negotiated.peer_scheme == "ed25519"


def test_small_records(scene):
    server, client = scene.both(
        ["--max-fragment", "64", "--send", "x" * 1000], ["--max-fragment", "100", "--expect-bytes", "1000"]
    )
    assert server.ok
    assert client.ok


def test_exporters_agree(scene):
    exports = ["--export", "EXPORTER-a::16", "--export", "EXPORTER-b:with:colons:0a0B:100"]
    server, client = scene.both(exports, exports)
    assert server.exported == client.exported
    assert [(one.label, one.context, len(one.value)) for one in server.exported] == [
        ("EXPORTER-a", "", 32),
        ("EXPORTER-b:with:colons", "0a0b", 200),
    ]
    assert server.exported[0].value not in repr(server)
    assert server.exported[0].value in server.to_json()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_no_context_is_an_empty_one_in_tls_13_alone(scene, version):
    exports = ["--tls", version, "--export", "EXPORTER-a::16", "--export", "EXPORTER-a:none:16"]
    server, client = scene.both(exports, exports)
    assert server.exported == client.exported
    empty, none = server.exported
    assert (empty.context, none.context) == ("", "none")
    assert (empty.value == none.value) == (version == "1.3")


@pytest.mark.parametrize(("flag", "counts"), [([], (0, 0)), (["send"], (1, 0)), (["request"], (1, 1))])
def test_key_update(scene, flag, counts):
    update = ["--key-update", *flag] if flag else []
    server, client = scene.both(["--echo-xor"], [*update, "--send", "x", "--expect-bytes", "1"])
    assert (client.key_updates_sent, client.key_updates_received) == counts
    assert (server.key_updates_received, server.key_updates_sent) == counts


def test_key_update_alone_asks_for_none(scene):
    _, client = scene.both(["--echo-xor"], ["--key-update", "--send", "x", "--expect-bytes", "1"])
    assert (client.key_updates_sent, client.key_updates_received) == (1, 0)


# Who the peer is


@pytest.mark.parametrize("code", CertificateRejected.catalogue)
@pytest.mark.parametrize("judge", ["server", "client"])
def test_forced_refusal(scene, code, judge):
    forced = ["--verdict", f"refuse:{code}"]
    if judge == "server":
        client = [*scene.client, *scene.client_identity, "--expect-bytes", "1"]
        server = [*scene.server, *forced, "--client-auth", "require_and_verify"]
    else:
        client, server = ["--role", "client", *forced], scene.server
    there, here = scene.meet(server, client)
    refuser, refused = (there, here) if judge == "server" else (here, there)
    alert = CertificateRejected.catalogue[code].alert
    assert alert is not None
    assert refuser.code == refuser.verdict.code == code
    assert (refuser.alert.name, refuser.alert.direction) == (alert.name, "sent")
    assert (refused.alert.number, refused.alert.direction) == (int(alert), "received")
    assert refused.code == alert.name
    assert refuser.chain
    assert not refuser.peer_verified


def test_forced_acceptance(scene):
    stranger = scene.identity(certificates.other_ca().client("mallory"))
    accept = ["--verdict", "accept", "--client-auth", "require_and_verify"]
    server, client = scene.both(accept, stranger)
    assert server.ok
    assert client.ok
    assert server.peer_verified
    assert server.chain[0].subject == "CN=mallory,O=handfast"


@pytest.mark.parametrize("judge", ["server", "client"])
def test_revocation_lists(scene, judge):
    revoked = [certificates.server(), certificates.client()]
    for lists, code in ((certificates.ca().crl(), None), (certificates.ca().crl(revoked), "revoked")):
        flags = {judge: ["--crl", str(scene.files.write(lists))]}
        server, client = scene.both(
            [*scene.trust, "--client-auth", "require_and_verify", "--expect-bytes", "1", *flags.get("server", [])],
            [*scene.client_identity, "--send", "a", *flags.get("client", [])],
        )
        assert (server if judge == "server" else client).code == code


def test_no_trust_reports_the_verdict_and_goes_on(scene):
    other = ["--role", "client", "--trust", str(scene.files.roots(certificates.other_ca())), "--no-trust"]
    server, client = scene.meet(scene.server, other)
    assert server.ok
    assert client.ok
    assert not client.peer_verified
    assert not client.verdict.accepted
    assert client.verdict.code == "unknown_issuer"
    assert "unknown_issuer" in client.verdict.reasons


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        ("none", None),
        ("request", None),
        ("require_any", "certificate_required"),
        ("verify_if_given", None),
        ("require_and_verify", "certificate_required"),
    ],
)
def test_client_auth_and_a_client_without_certificate(scene, mode, code):
    server, client = scene.both([*scene.trust, "--client-auth", mode], ["--expect-bytes", "0"])
    assert server.code == client.code == code
    assert client.negotiated.client_auth_requested is (mode != "none")


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ([], ("CN=Test CA,O=handfast",)),
        (["--ca-names", "none"], ()),
        (["--ca-names", "OTHER"], ("CN=Other CA,O=handfast",)),
    ],
)
def test_ca_names(scene, flags, names):
    other = str(scene.files.roots(certificates.other_ca()))
    flags = [other if flag == "OTHER" else flag for flag in flags]
    server, client = scene.both([*scene.trust, "--client-auth", "request", *flags], [])
    assert server.ok
    assert client.negotiated.ca_names == names


@pytest.mark.parametrize("signer", ["sync", "async", "deferred"])
@pytest.mark.parametrize("verifier", ["sync", "async", "deferred"])
def test_answers_that_come_later(scene, signer, verifier):
    later = ["--signer", signer, "--verifier", verifier]
    server, client = scene.both(
        [*scene.trust, *later, "--client-auth", "require_and_verify"], [*scene.client_identity, *later]
    )
    assert server.ok, server
    assert client.ok, client
    assert server.peer_verified
    assert client.peer_verified


@pytest.mark.parametrize("answering", ["async", "deferred"])
def test_a_verdict_that_comes_later_can_refuse(scene, answering):
    later = ["--verdict", "refuse:revoked", "--verifier", answering]
    server, client = scene.meet(scene.server, ["--role", "client", *later])
    assert client.code == "revoked"
    assert server.code == "certificate_revoked"


# Ends


@pytest.mark.parametrize(
    ("shutdown", "code"),
    [("wait", None), ("close_notify", None), ("none", "unexpected_eof"), ("reset", "reset")],
)
def test_shutdown(scene, shutdown, code):
    server, client = scene.both(
        ["--send", "x", "--shutdown", "follow"], ["--expect-bytes", "1", "--shutdown", shutdown]
    )
    assert client.ok, client
    assert client.close_notify_sent is (code is None)
    assert client.close_notify_received is (shutdown == "wait")
    assert server.code == code
    assert server.close_notify_received is (code is None)


def test_less_data_than_expected(scene):
    server, client = scene.both(["--expect-bytes", "10"], ["--send", "short"])
    assert server.code == "closed_early"
    assert "5 bytes" in server.error.text
    assert server.received == b"short"
    assert client.code == "unexpected_eof"


def test_a_peer_that_never_comes(scene):
    outcome = run(parse([*scene.server, "--listen", f"{LOCALHOST}:0", "--timeout", "0.01"]))
    assert outcome.code == "timeout"
    assert outcome.peer_address is None


def test_a_peer_that_says_nothing(scene):
    with socket.create_server((LOCALHOST, 0)) as silent:
        address = f"{LOCALHOST}:{silent.getsockname()[1]}"
        outcome = run(parse([*scene.client, "--connect", address, "--timeout", "0.05"]))
    assert outcome.code == "handshake_timeout"
    assert outcome.alert is not None
    assert (outcome.alert.name, outcome.alert.direction) == ("user_canceled", "sent")


@pytest.mark.parametrize("host", ["label." + "x" * 64, ".."], ids=["too long a label", "empty labels"])
def test_a_host_that_cannot_be_a_name(scene, host):
    outcome = run(parse([*scene.client, "--connect", f"{host}:443"]))
    assert outcome.error is not None
    assert outcome.code == "connect_failed"
    assert host in outcome.error.text


def test_nobody_listens(scene, capsys):
    with own_port() as port:
        status = main([*scene.client, "--connect", f"{LOCALHOST}:{port}"])
    line = json.loads(capsys.readouterr().out)
    assert status == FAILED
    assert line["outcome"] == "error"
    assert line["error"]["code"] == "connect_failed"
    assert line["error"]["kind"] == "ConnectionLost"


# Seen from outside


def test_the_program(scene):
    command = [sys.executable, "-m", "handfast.tools.endpoint", *scene.server, "--listen", f"{LOCALHOST}:0"]
    with subprocess.Popen([*command, "--count", "2", "--echo-xor"], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        address = json.loads(program.stdout.readline())["listening"]
        clients = [*scene.client, "--connect", address, "--count", "2", "--send", "x", "--expect-bytes", "1"]
        outcomes = list(run_each(parse(clients)))
        lines = [json.loads(line) for line in program.stdout]
        assert program.wait(LIMIT) == DONE
    assert [outcome.ok for outcome in outcomes] == [True, True]
    assert [line["outcome"] for line in lines] == ["ok", "ok"]
    assert lines[0]["role"] == "server"
    assert lines[0]["negotiated"]["suite"] == "TLS_AES_128_GCM_SHA256"
    assert lines[0]["peer_address"] != lines[1]["peer_address"]
    assert "received" not in lines[0]


def test_status_and_line_of_a_failure(scene, capsys):
    server = parse([*scene.server, "--listen", f"{LOCALHOST}:0"])
    with Listening(server) as listening:
        address = f"{LOCALHOST}:{listening.port}"
        status = main(["--role", "client", "--connect", address, "--verdict", "refuse:expired"])
    captured = capsys.readouterr()
    line = json.loads(captured.out)
    assert status == FAILED
    assert line["error"]["code"] == "expired"
    assert line["error"]["fault"] == "the peer's fault"
    assert line["alert"] == {
        "name": "certificate_expired",
        "number": 45,
        "direction": "sent",
        "level": "fatal",
        "encrypted": True,
    }
    assert line["chain"][0]["pem"].startswith("-----BEGIN CERTIFICATE-----\n")
    assert len(line["chain"][0]["sha256"]) == 64


def test_unwatched_tells_what_the_error_tells(scene):
    client = ["--role", "client", "--verdict", "refuse:expired", "--unwatched"]
    server, outcome = scene.meet([*scene.server, "--unwatched"], client)
    assert (outcome.alert.name, outcome.alert.direction) == ("certificate_expired", "sent")
    assert (server.alert.name, server.alert.direction) == ("certificate_expired", "received")
    for side in (server, outcome):
        assert side.alert.encrypted is None
        assert side.key_updates_sent is None


def test_unwatched_data(scene):
    server, client = scene.both(
        ["--echo-xor", "--unwatched"], ["--unwatched", "--send", "y" * 100_000, "--expect-bytes", "100000"]
    )
    assert server.ok, server
    assert client.received == bytes([ord("y") ^ 0xFF]) * 100_000


def test_keylog(scene, tmp_path: Path):
    keylog = tmp_path / "keys.log"
    scene.both(["--keylog", str(keylog)], [])
    labels = [line.split()[0] for line in keylog.read_text().splitlines()]
    assert "SERVER_TRAFFIC_SECRET_0" in labels
    assert "EXPORTER_SECRET" in labels
    assert stat.S_IMODE(keylog.stat().st_mode) == 0o600


# Usage


USAGE_ERRORS = {
    "neither listens nor connects": ["--role", "client"],
    "no role": ["--connect", "h:1"],
    "listens and connects": ["--role", "client", "--listen", "h:1", "--connect", "h:1"],
    "address without port": ["--role", "client", "--connect", "host"],
    "port too large": ["--role", "client", "--connect", "host:65536"],
    "unknown flag": ["--role", "client", "--connect", "h:1", "--bogus"],
    "abbreviated flag": ["--role", "client", "--connect", "h:1", "--suite", "TLS_AES_128_GCM_SHA256"],
    "unknown suite": ["--role", "client", "--connect", "h:1", "--suites", "TLS_NULL"],
    "suite of nobody": ["--role", "client", "--connect", "h:1", "--suites", "TLS_RSA_WITH_AES_128_CBC_SHA"],
    "unknown group": ["--role", "client", "--connect", "h:1", "--groups", "secp999"],
    "share outside groups": ["--role", "client", "--connect", "h:1", "--groups", "x448", "--key-shares", "x25519"],
    "unknown version": ["--role", "client", "--connect", "h:1", "--version", "1.1"],
    "version of nobody": ["--role", "client", "--connect", "h:1", "--tls", "2.0"],
    "verdict without a code": ["--role", "client", "--connect", "h:1", "--verdict", "refuse"],
    "unknown code": ["--role", "client", "--connect", "h:1", "--verdict", "refuse:bad_luck"],
    "verdict and trust": ["--role", "client", "--connect", "h:1", "--verdict", "accept", "--trust", "f"],
    "lists and no trust": ["--role", "server", "--listen", "h:1", "--crl", "f"],
    "lists and a verdict": ["--role", "client", "--connect", "h:1", "--verdict", "accept", "--crl", "f"],
    "missing lists": ["--role", "client", "--connect", "h:1", "--crl", "/nonexistent"],
    "missing trust file": ["--role", "client", "--connect", "h:1", "--trust", "/nonexistent"],
    "client auth of a client": ["--role", "client", "--connect", "h:1", "--client-auth", "request"],
    "bad export": ["--role", "client", "--connect", "h:1", "--export", "label:0:1"],
    "echo and send": ["--role", "client", "--connect", "h:1", "--echo-xor", "--send", "x"],
    "negative count": ["--role", "client", "--connect", "h:1", "--count", "-1"],
    "timeout that is no number": ["--role", "client", "--connect", "h:1", "--timeout", "soon"],
    "endless timeout": ["--role", "client", "--connect", "h:1", "--timeout", "inf"],
    "fragment too small": ["--role", "client", "--connect", "h:1", "--max-fragment", "1"],
    "server without certificate": ["--role", "server", "--listen", "127.0.0.1:0"],
    "certificate without key": ["--role", "server", "--listen", "127.0.0.1:0", "--cert", "f"],
    "missing certificate": ["--role", "server", "--listen", "127.0.0.1:0", "--cert", "/nonexistent", "--key", "f"],
    "missing file to send": ["--role", "client", "--connect", "h:1", "--send-file", "/nonexistent"],
}


@pytest.mark.parametrize("arguments", USAGE_ERRORS.values(), ids=USAGE_ERRORS)
def test_usage_error_is_two_lines(arguments, capsys):
    assert main(arguments) == USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    error, hint = captured.err.splitlines()
    assert error.startswith("handfast: error: ")
    assert hint.startswith("handfast: hint: ")


@pytest.mark.parametrize(
    "flags",
    [
        ["--no-trust"],
        ["--key-shares", "x25519"],
        ["--server-name", "localhost"],
        ["--verifier", "async"],
        ["--client-auth", "require_and_verify"],
        ["--listen", "192.0.2.1:0"],
        ["--listen", "..:0"],
    ],
    ids=" ".join,
)
def test_usage_errors_of_a_server(scene, flags, capsys):
    assert main([*scene.server, "--listen", f"{LOCALHOST}:0", *flags]) == USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 2


def test_options_that_contradict_themselves():
    config = ServerConfig(credentials=lambda _hello: None)
    with pytest.raises(ApiMisuse):
        Options(config=config)
    with pytest.raises(ApiMisuse):
        Options(config=config, listen=ANY_PORT, server_name="localhost")
    with pytest.raises(ApiMisuse):
        Options(config=config, listen=ANY_PORT, count=0)


# Who the client is, after the handshake


@pytest.mark.parametrize("signer", ["sync", "async", "deferred"])
@pytest.mark.parametrize("verifier", ["sync", "async", "deferred"])
def test_a_certificate_that_is_asked_for_later(scene, signer, verifier):
    server, client = scene.both(
        [*scene.trust, "--require-later", "--verifier", verifier, "--key-update", "request", "--echo-xor"],
        [*scene.client_identity, "--post-handshake-auth", "--signer", signer, "--send", "a", "--expect-bytes", "1"],
    )
    assert server.ok, server
    assert client.ok, client
    assert server.peer_verified
    assert server.chain[0].subject == "CN=alice,O=handfast"
    assert client.negotiated.certificate_sent
    assert client.negotiated.ca_names == ("CN=Test CA,O=handfast",)


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        ("request", None),
        ("require_any", "certificate_required"),
        ("verify_if_given", None),
        ("require_and_verify", "certificate_required"),
    ],
)
def test_a_client_that_declines_later(scene, mode, code):
    server, client = scene.both(
        [*scene.trust, "--require-later", "--client-auth", mode, "--send", "a"],
        ["--post-handshake-auth", "--expect-bytes", "1"],
    )
    assert server.code == client.code == code
    assert server.handshake_complete


def test_a_client_that_cannot_be_asked_later(scene):
    server, _ = scene.both([*scene.trust, "--require-later"], ["--expect-bytes", "1"])
    assert server.code == "cannot_request"
    assert "did not offer it" in server.error.text


@pytest.mark.parametrize(
    ("role", "flags", "words"),
    [
        ("client", ["--require-later"], "--require-later: a client asks"),
        ("server", ["--post-handshake-auth"], "--post-handshake-auth: it is for clients"),
        ("server", ["--require-later", "--client-auth", "none"], "--require-later: --client-auth none"),
    ],
)
def test_flags_of_later_authentication_that_make_no_sense(scene, role, flags, words):
    sides = {"client": scene.client, "server": scene.server}
    with pytest.raises(ConfigError, match=words):
        parse([*sides[role], "--listen", "127.0.0.1:0", *flags])
