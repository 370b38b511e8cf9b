"""uvicorn over handfast's own transport: every protocol of uvicorn's gets the ``tls`` extension and its scheme."""

from __future__ import annotations

import json
import pickle
from contextlib import ExitStack, contextmanager

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

import handfast
from handfast.contrib import ServerFiles
from handfast.contrib.asgi import WithPeer
from handfast.contrib.sources import config_of
from handfast.errors import ConfigError
from handfast.registry import ProtocolVersion
from handfast.x509 import pem
from tests import certificates
from tests.aio.support import identity, server_config
from tests.frameworks.support import (
    Lazy,
    ask,
    ask_http2,
    connection,
    get,
    program,
    tell,
    uvicorn_server,
    websocket_text,
    write_files,
)

pytestmark = pytest.mark.needs("uvicorn")

ALICE = "CN=alice,O=handfast"
REQUEST, MUTUAL = handfast.ClientAuth.REQUEST, handfast.ClientAuth.REQUIRE_AND_VERIFY
INSIDE = ["h11", pytest.param("httptools", marks=pytest.mark.needs("httptools"))]
WEBSOCKETS = [
    pytest.param("websockets-sansio", marks=pytest.mark.needs("websockets")),
    pytest.param("wsproto", marks=pytest.mark.needs("wsproto")),
]


def protocol(tls, **options):
    from handfast.contrib.uvicorn import Protocol

    return Protocol(tls, **options)


def pems(chain):
    return [pem.encode(pem.CERTIFICATE, certificate).decode() for certificate in chain]


@contextmanager
def served(client_auth=MUTUAL, *, app=tell, http="auto", settings=None, **options):
    """uvicorn with TLS by our transport; its port."""
    config = server_config(client_auth=client_auth, **(settings or {}))
    with uvicorn_server(app, http=protocol(config, http=http), **options) as port:
        yield port


@pytest.mark.parametrize("http", INSIDE)
@pytest.mark.parametrize("version", [ProtocolVersion.TLS13, ProtocolVersion.TLS12])
def test_the_six_entries(http, version):
    leaf = certificates.client_below_intermediate()
    with served(http=http) as port, connection(port, versions=[version], credentials=[identity(leaf)]) as tls:
        told, info = ask(tls).json, tls.info
    assert (told["scheme"], told["type"]) == ("https", "http")
    assert told["tls"] == {
        "server_cert": pems(info.peer_chain)[0],
        "client_cert_chain": pems(leaf.chain),
        "client_cert_name": ALICE,
        "client_cert_error": None,
        "tls_version": version,
        "cipher_suite": info.suite,
    }


@pytest.mark.parametrize("ws", WEBSOCKETS)
@pytest.mark.parametrize("http", INSIDE)
def test_websockets_know_the_peer(http, ws):
    with served(http=http, ws=ws) as port:
        told = json.loads(websocket_text(port))
    assert (told["scheme"], told["type"]) == ("wss", "websocket")
    assert told["tls"]["client_cert_name"] == ALICE


@pytest.mark.needs("zttp", "h2")
@pytest.mark.parametrize("alpn", ["h2", "http/1.1"])
def test_http2_knows_the_peer(alpn):
    settings = {"application_protocols": ("h2", "http/1.1")}
    http = "uvicorn.protocols.http.auto_zttp_impl:AutoZttpProtocol"
    with served(http=http, settings=settings) as port, connection(port, application_protocols=[alpn]) as tls:
        assert tls.info.application_protocol == alpn
        told = (ask_http2 if alpn == "h2" else ask)(tls).json
    assert (told["scheme"], told["tls"]["client_cert_name"]) == ("https", ALICE)


def test_a_protocol_that_nobody_inside_speaks_is_refused_at_once():
    config = server_config(application_protocols=("h2", "http/1.1"))
    with pytest.raises(ConfigError, match="does not speak HTTP/2") as caught:
        protocol(config, http="h11")
    assert "AutoZttpProtocol" in caught.value.hint


def test_a_client_without_a_certificate():
    with served(REQUEST) as port:
        told = get(port, anonymous=True).json["tls"]
    assert (told["client_cert_chain"], told["client_cert_name"], told["client_cert_error"]) == ([], None, None)
    assert told["server_cert"]


def test_an_unverified_client_always_has_an_error():
    mallory = certificates.other_ca().client("mallory")
    with served(REQUEST) as port:
        told = get(port, credentials=[identity(mallory)]).json["tls"]
    assert told["client_cert_chain"] == pems(mallory.chain)
    assert told["client_cert_name"] == "CN=mallory,O=handfast"
    assert "Other CA" in told["client_cert_error"]


def test_two_clients_are_never_mixed_up():
    others = [certificates.client(name=name) for name in ("bob", "carol")]
    with served() as port, ExitStack() as stack:
        open_ones = [(certificates.CLIENT_NAME, stack.enter_context(connection(port)))]
        for name, issued in zip(("bob", "carol"), others, strict=True):
            open_ones.append((name, stack.enter_context(connection(port, credentials=[identity(issued)]))))
        for _ in range(20):
            for name, tls in open_ones:
                assert ask(tls).json["tls"]["client_cert_name"] == f"CN={name},O=handfast"


def test_a_worker_started_in_one_clients_request_never_reports_another_as_it():
    bob = [identity(certificates.client(name="bob"))]
    with served(app=Lazy(tell)) as port, connection(port) as first, connection(port, credentials=bob) as second:
        for _ in range(3):
            assert ask(first).json["tls"]["client_cert_name"] == ALICE
            assert ask(second).json["tls"]["client_cert_name"] == "CN=bob,O=handfast"


def test_a_resumed_session_knows_the_client_and_no_certificate_of_ours():
    sessions = handfast.SessionCache()
    with served(settings={"tickets": handfast.SealedTickets()}) as port:
        first, second = (get(port, sessions=sessions).json["tls"] for _ in range(2))
    assert first["server_cert"]
    assert second == first | {"server_cert": None}


def test_a_filled_scope_stays_as_it_is():
    filled = {"server_cert": "theirs"}

    async def before(scope, receive, send):
        await WithPeer(tell, lambda: pytest.fail("nobody asks"))(
            {**scope, "extensions": {"tls": filled}}, receive, send
        )

    with served(app=before) as port:
        assert get(port).json["tls"] == filled


def test_what_an_application_does_to_its_scope_is_not_seen_by_the_next_request():
    async def careless(scope, receive, send):
        if scope["type"] != "lifespan":
            told = scope["extensions"]["tls"]
            assert told["client_cert_name"] == ALICE
            told["client_cert_name"] = "CN=admin"
        await tell(scope, receive, send)

    with served(app=careless) as port, connection(port) as tls:
        for _ in range(2):
            assert ask(tls).json["tls"]["client_cert_name"] == "CN=admin"


def test_proxy_headers_change_no_identity():
    headers = "X-Forwarded-For: 10.1.2.3\r\nX-Forwarded-Proto: http\r\n"
    with served(proxy_headers=True, forwarded_allow_ips="*") as port, connection(port) as tls:
        told = ask(tls, headers=headers).json
    assert (told["scheme"], told["tls"]["client_cert_name"]) == ("http", ALICE)


def test_a_client_that_is_refused_learns_why_and_others_are_served(caplog):
    mallory = certificates.other_ca().client("mallory")
    with served() as port:
        with pytest.raises(handfast.HandfastError) as caught:
            get(port, credentials=[identity(mallory)])
        assert get(port).json["tls"]["client_cert_name"] == ALICE
    assert caught.value.code == "unknown_ca"
    assert "Other CA" in caplog.text


def test_a_large_answer_arrives_whole():
    body = bytes(3_000_000)

    async def large(scope, receive, send):
        if scope["type"] == "lifespan":
            await tell(scope, receive, send)
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})

    with served(app=large) as port:
        assert get(port).body == body


# Files, and workers


def test_a_file_that_is_missing_ends_uvicorn_when_it_starts(server_files):
    import uvicorn

    server_files.key.unlink()
    config = uvicorn.Config(tell, http=protocol(server_files), log_config=None)
    with pytest.raises(ConfigError, match=r"server\.key: no such file"):
        config.load()


def test_files(server_files):
    with uvicorn_server(tell, http=protocol(server_files)) as port:
        assert get(port).json["tls"]["client_cert_name"] == ALICE


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        ({}, handfast.ClientAuth.NONE),
        ({"client_ca": "ca.pem"}, MUTUAL),
        ({"client_ca": "ca.pem", "client_auth": "request"}, REQUEST),
        ({"client_auth": "request"}, REQUEST),
    ],
)
def test_what_files_ask_of_clients(tmp_path, given, mode):
    write_files(tmp_path)
    given |= {"client_ca": tmp_path / given["client_ca"]} if "client_ca" in given else {}
    files = ServerFiles(certificate=tmp_path / "server.pem", key=tmp_path / "server.key", **given)
    config = files.server_config()
    assert (files.mode, config.client_auth, config.verifier is not None) == (mode, mode, "client_ca" in given)


def test_a_password_file_opens_the_key(tmp_path):
    write_files(tmp_path)
    sealed = certificates.server().key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame")
    )
    (tmp_path / "server.key").write_bytes(sealed)
    (tmp_path / "password").write_text("open sesame\n")
    files = ServerFiles(
        certificate=tmp_path / "server.pem", key=tmp_path / "server.key", password_file=str(tmp_path / "password")
    )
    assert files.server_config().credentials


def make_config():
    return server_config(client_auth=MUTUAL)


def test_what_reaches_a_worker(server_files):
    for tls in (server_files, make_config):
        assert pickle.loads(pickle.dumps(protocol(tls)))._tls == tls


def test_a_live_configuration_reaches_no_worker():
    with pytest.raises(ConfigError, match="a live ServerConfig holds keys") as caught:
        pickle.dumps(protocol(make_config()))
    assert "ServerFiles" in caught.value.hint


def test_what_is_no_configuration_is_said():
    with pytest.raises(ConfigError, match="int is no ServerConfig"):
        config_of(lambda: 3)  # type: ignore[arg-type, return-value]


WORKERS = """
import socket
import sys
from pathlib import Path
import uvicorn
from uvicorn.supervisors import Multiprocess
from handfast.contrib import ServerFiles
from handfast.contrib.uvicorn import Protocol

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    files = ServerFiles(certificate=folder / "server.pem", key=folder / "server.key", client_ca=folder / "ca.pem")
    config = uvicorn.Config("tests.frameworks.support:tell", http=Protocol(files), workers=2, log_config=None)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        Multiprocess(config, sockets=[listening]).run()
"""


def test_workers_serve(server_files):
    with program(WORKERS, server_files.certificate.parent) as port:
        assert get(port).json["tls"]["client_cert_name"] == ALICE
