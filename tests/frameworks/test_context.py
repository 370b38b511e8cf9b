"""``handfast.SSLContext`` under servers of others: what they tell applications, and what reaches their workers."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import pickle
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import Any

import pytest

import handfast
from handfast.contrib import ServerFiles
from handfast.contrib.asgi import TLSExtensionMiddleware
from handfast.errors import ConfigError
from handfast.pki.fault_scene import self_signed
from tests import certificates
from tests.aio.support import identity
from tests.frameworks.support import (
    EXAMPLES,
    ROOT,
    ask,
    ask_http2,
    connection,
    example_app,
    get,
    hypercorn_on_trio,
    hypercorn_server,
    listening_socket,
    program,
    tell,
    uvicorn_server,
    websocket_text,
    write_files,
)
from tests.waiting import LIMIT

if importlib.util.find_spec("handfast.io.sslcontext") is None:
    pytest.skip("handfast has no SSLContext", allow_module_level=True)

ALICE, BOB = "CN=alice,O=handfast", "CN=bob,O=handfast"
BOBS: dict[str, Any] = {"credentials": [identity(certificates.client(name="bob"))]}
MALLORY: dict[str, Any] = {"credentials": [identity(self_signed(certificates.ca().client_template("alice")))]}
LOOPS = ["asyncio", pytest.param("uvloop", marks=pytest.mark.needs("uvloop"))]
HTTP = ["h11", pytest.param("httptools", marks=pytest.mark.needs("httptools"))]
WEBSOCKETS = [
    pytest.param("websockets-sansio", marks=pytest.mark.needs("websockets")),
    pytest.param("wsproto", marks=pytest.mark.needs("wsproto")),
]
uvicorn, hypercorn = pytest.mark.needs("uvicorn"), pytest.mark.needs("hypercorn")
gunicorn, cheroot = pytest.mark.needs("gunicorn"), pytest.mark.needs("cheroot")


@pytest.fixture
def anybody(tmp_path):
    """A server's files, to which every client comes in."""
    return write_files(tmp_path, "request")


def factory(tls):
    from handfast.contrib.uvicorn import factory

    return factory(tls)


# uvicorn


def test_what_clients_are_asked_is_a_word_and_an_unknown_one_is_named():
    assert ServerFiles(certificate="c", client_auth="require_any").mode is handfast.ClientAuth.REQUIRE_ANY
    with pytest.raises(ConfigError, match="'require' is none of none, request"):
        _ = ServerFiles(certificate="c", client_auth="require").mode


@uvicorn
@pytest.mark.parametrize("http", HTTP)
@pytest.mark.parametrize("loop", LOOPS)
def test_uvicorn_tells_who_the_peer_is(server_files, http, loop):
    with uvicorn_server(tell, ssl_context_factory=factory(server_files), http=http, loop=loop) as port:
        with connection(port) as tls:
            told, info = ask(tls).json, tls.info
        assert get(port, **BOBS).json["tls"]["client_cert_name"] == BOB
    assert told["scheme"] == "https"
    assert told["tls"] == {
        "server_cert": certificates.server().cert_pem.decode(),
        "client_cert_chain": [certificates.client().cert_pem.decode()],
        "client_cert_name": ALICE,
        "client_cert_error": None,
        "tls_version": info.version,
        "cipher_suite": info.suite,
    }


@uvicorn
@pytest.mark.parametrize("ws", WEBSOCKETS)
@pytest.mark.parametrize("http", HTTP)
def test_uvicorn_tells_websockets(server_files, http, ws):
    with uvicorn_server(tell, ssl_context_factory=factory(server_files), http=http, ws=ws) as port:
        told = json.loads(websocket_text(port))
    assert (told["scheme"], told["tls"]["client_cert_name"]) == ("wss", ALICE)


@uvicorn
def test_uvicorn_and_clients_that_are_not_verified(anybody):
    with uvicorn_server(tell, ssl_context_factory=factory(anybody)) as port:
        mallory = get(port, **MALLORY).json["tls"]
        nobody = get(port, anonymous=True).json["tls"]
    assert (mallory["client_cert_name"], bool(mallory["client_cert_error"])) == (ALICE, True)
    assert (nobody["client_cert_chain"], nobody["client_cert_error"]) == ([], None)


@uvicorn
def test_uvicorn_with_a_live_context_and_with_a_function(server_files):
    for tls in (server_files.ssl_context(), server_files.ssl_context):
        with uvicorn_server(tell, ssl_context_factory=factory(tls)) as port:
            assert get(port).json["tls"]["client_cert_name"] == ALICE


def test_a_live_context_reaches_no_worker(server_files):
    with pytest.raises(ConfigError, match="a live SSLContext holds keys") as caught:
        pickle.dumps(factory(server_files.ssl_context()))
    assert "ServerFiles" in caught.value.hint


WORKERS = """
import socket
import sys
from pathlib import Path
import uvicorn
from uvicorn.supervisors import Multiprocess
from handfast.contrib import ServerFiles
from handfast.contrib.uvicorn import factory

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    files = ServerFiles(certificate=folder / "server.pem", key=folder / "server.key", client_ca=folder / "ca.pem")
    config = uvicorn.Config(
        "tests.frameworks.support:tell", ssl_context_factory=factory(files), workers=2, log_config=None
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        Multiprocess(config, sockets=[listening]).run()
"""


@uvicorn
def test_uvicorns_workers(server_files):
    with program(WORKERS, server_files.certificate.parent) as port:
        assert get(port).json["tls"]["client_cert_name"] == ALICE


# hypercorn


def hypercorn_config(tls):
    from handfast.contrib.hypercorn import Config

    config = Config()
    config.tls = tls
    return config


def new_loop(loop):
    if loop == "asyncio":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop


@hypercorn
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("alpn", ["h2", "http/1.1"])
def test_hypercorn_tells_who_the_peer_is(server_files, loop, alpn):
    app, config = TLSExtensionMiddleware(tell), hypercorn_config(server_files)
    with hypercorn_server(app, config, new_loop(loop)) as port:
        answers = []
        for options in ({}, BOBS):
            with connection(port, application_protocols=[alpn], **options) as tls:
                assert tls.info.application_protocol == alpn
                answers.append((ask_http2 if alpn == "h2" else ask)(tls).json)
    assert [told["tls"]["client_cert_name"] for told in answers] == [ALICE, BOB]
    assert answers[0]["tls"]["server_cert"] == certificates.server().cert_pem.decode()


@hypercorn
@pytest.mark.parametrize("loop", LOOPS)
def test_hypercorn_tells_websockets(server_files, loop):
    with hypercorn_server(TLSExtensionMiddleware(tell), hypercorn_config(server_files), new_loop(loop)) as port:
        assert ALICE in websocket_text(port, application_protocols=["http/1.1"])


@hypercorn
@pytest.mark.needs("trio")
def test_hypercorn_on_trio(server_files):
    with hypercorn_on_trio(TLSExtensionMiddleware(tell), hypercorn_config(server_files)) as port:
        assert ALICE in websocket_text(port, application_protocols=["http/1.1"])
        names = []
        for options in ({}, BOBS):
            with connection(port, application_protocols=["h2"], **options) as tls:
                names += [ask_http2(tls).json["tls"]["client_cert_name"]]
    assert names == [ALICE, BOB]


@hypercorn
def test_what_reaches_hypercorns_workers(server_files):
    assert pickle.loads(pickle.dumps(hypercorn_config(server_files))).tls == server_files
    with pytest.raises(ConfigError, match="a live SSLContext holds keys"):
        pickle.dumps(hypercorn_config(server_files.ssl_context()))


# gunicorn


GUNICORN = [sys.executable, "-m", "gunicorn", "--no-control-socket"]
GUNICORN_CONFIG = """
from handfast.contrib import ServerFiles
from handfast.contrib.gunicorn import factory

workers, worker_class, preload_app = 1, "{worker}", False
certfile, keyfile = "server.pem", "server.key"
ssl_context = factory(
    ServerFiles(certificate=certfile, key=keyfile, client_ca="ca.pem", client_auth="{client_auth}")
)
"""


@contextmanager
def gunicorn_server(folder, app, worker, client_auth="require_and_verify"):
    """gunicorn in a process of its own; its port."""
    write_files(folder)
    (folder / "gunicorn.conf.py").write_text(GUNICORN_CONFIG.format(worker=worker, client_auth=client_auth))
    with listening_socket() as listening:
        command = [*GUNICORN, "--bind", f"fd://{listening.fileno()}", app]
        with gunicorn_process(command, folder, listening):
            yield listening.getsockname()[1]


@contextmanager
def gunicorn_process(command, folder, listening):
    paths = [str(EXAMPLES), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    process = subprocess.Popen(command, cwd=folder, env=environment, pass_fds=[listening.fileno()])
    try:
        yield
    finally:
        process.terminate()
        process.wait(LIMIT)


@gunicorn
@pytest.mark.needs("flask")
@pytest.mark.parametrize("worker", ["sync", "gthread"])
def test_flask_under_gunicorn(tmp_path, worker):
    with gunicorn_server(tmp_path, "flask_app:app", worker, "request") as port:
        assert get(port).body == b"hello, CN=alice,O=handfast\n"
        assert get(port, "/staff").body == b"the keys are under the mat\n"
        assert get(port, **BOBS).body == b"hello, CN=bob,O=handfast\n"
        assert get(port, "/staff", **BOBS).status == 403
        for nobody in ({"anonymous": True}, MALLORY):
            assert get(port, **nobody).status == 403


@gunicorn
@pytest.mark.needs("flask")
def test_flask_under_gunicorn_as_its_example_says(tmp_path):
    (tmp_path / "pki").mkdir()
    write_files(tmp_path / "pki")
    with listening_socket() as listening:
        bind = ["--bind", f"fd://{listening.fileno()}"]
        command = [*GUNICORN, "--config", str(EXAMPLES / "flask_gunicorn.py"), *bind, "flask_app:app"]
        with gunicorn_process(command, tmp_path, listening):
            port = listening.getsockname()[1]
            assert get(port).body == b"hello, CN=alice,O=handfast\n"
            with pytest.raises(handfast.HandfastError, match="certificate_required"):
                get(port, anonymous=True)


ASGI = "tests.frameworks.test_context:wrapped"
wrapped = TLSExtensionMiddleware(tell)


@gunicorn
def test_gunicorns_asgi_worker(tmp_path):
    with gunicorn_server(tmp_path, ASGI, "asgi") as port:
        assert get(port).json["tls"]["client_cert_name"] == ALICE
        assert get(port, **BOBS).json["tls"]["client_cert_name"] == BOB


# werkzeug and cheroot


@pytest.mark.needs("flask")
@pytest.mark.parametrize("threaded", [False, True])
def test_flask_under_werkzeug(anybody, threaded):
    from werkzeug.serving import make_server

    app = example_app("flask_app", "app")
    server = make_server("127.0.0.1", 0, app, threaded=threaded, ssl_context=anybody.ssl_context())
    with serving(server.serve_forever, server.shutdown):
        port = server.socket.getsockname()[1]
        assert get(port).body == b"hello, CN=alice,O=handfast\n"
        for nobody in ({"anonymous": True}, MALLORY):
            assert get(port, **nobody).status == 403
    server.server_close()


@contextmanager
def serving(run, stop):
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join()


def environ_app(environ, start_response):
    """A WSGI application that answers with what it is told of TLS."""
    told = json.dumps({key: value for key, value in environ.items() if key.startswith(("SSL_", "HTTPS"))}).encode()
    start_response("200 OK", [("Content-Length", str(len(told)))])
    return [told]


@cheroot
def test_cheroot(anybody):
    from cheroot.wsgi import Server

    from handfast.contrib.cheroot import Adapter

    server = Server(("127.0.0.1", 0), environ_app)
    server.ssl_adapter = Adapter(anybody)
    server.prepare()
    with serving(server.serve, server.stop):
        port = server.bind_addr[1]
        alice, nobody, mallory = (get(port, **who).json for who in ({}, {"anonymous": True}, MALLORY))
    assert (alice["SSL_CLIENT_VERIFY"], alice["SSL_CLIENT_S_DN"], alice["HTTPS"]) == ("SUCCESS", ALICE, "on")
    for told in (nobody, mallory):
        assert told["SSL_CLIENT_VERIFY"] != "SUCCESS"
        assert "SSL_CLIENT_S_DN" not in told
        assert "SSL_CLIENT_CERT" not in told


def test_what_is_no_context_is_said():
    from handfast.contrib.sources import context_of

    with pytest.raises(ConfigError, match="int is no SSLContext"):
        context_of(lambda: 3)  # type: ignore[arg-type, return-value]


def test_the_context_of_files(anybody):
    assert isinstance(anybody, ServerFiles)
    context: Any = anybody.ssl_context()
    assert context.client_auth == handfast.ClientAuth.REQUEST
