"""How ``handfast serve`` begins and ends: addresses, plain HTTP, --once and --naccept, Ctrl-C, slow clients."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import threading
from contextlib import contextmanager

import pytest

from handfast import limits
from handfast.cli.http import plain_http_answer
from handfast.cli.lenses import Lenses
from handfast.cli.server import Server, listener_for
from handfast.engine import ClientAuth
from handfast.roles import Role
from tests.cli.serving import serving
from tests.lens.connections import server_config
from tests.waiting import LIMIT


@contextmanager
def connected(pki, port, host="127.0.0.1", alpn=("http/1.1",)):
    context = ssl.create_default_context(cafile=pki.ca)
    context.set_alpn_protocols(alpn)
    sock = socket.create_connection((host, port), timeout=LIMIT)
    # An end without close_notify is an error.
    with context.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False) as tls:
        yield tls


def everything(sock):
    return b"".join(iter(lambda: sock.recv(65536), b""))


GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def test_once(pki):
    with serving(*pki.server, "--once") as server, connected(pki, server.port) as tls:
        tls.sendall(GET)
        assert everything(tls).startswith(b"HTTP/1.1 200")
        ended = server.ends()
    assert ended.status == 0
    assert "GET / 200 -" in ended.err


def test_once_and_a_client_that_is_refused(run, pki):
    with serving(*pki.server, "--client-ca", pki.ca, "--once") as server:
        assert "certificate_required" in run("connect", f"https://localhost:{server.port}/", *pki.trust).err
        ended = server.ends()
    assert ended.status == 1
    assert "sent no certificate" in ended.err


def test_events_as_json_with_each_outcome(run, pki, tmp_path):
    path = tmp_path / "events"
    arguments = ("--client-ca", pki.ca, "--policy", "strict", "--json", path, "--naccept", "2")
    with serving(*pki.server, *arguments) as server:
        assert run("connect", f"https://localhost:{server.port}/", *pki.alice).status == 0
        assert run("connect", f"https://localhost:{server.port}/", *pki.trust).status == 1
        server.ends()
    events = [json.loads(line) for line in path.read_text().splitlines()]
    good, refused = [event for event in events if event["event"] == "outcome"]
    assert (good["connection"], good["failed"], good["client_verified"]) == (1, False, True)
    assert good["client"].startswith("CN=")
    assert (refused["connection"], refused["failed"]) == (2, True)
    assert "certificate_required" in refused["verdict"]
    assert [event["event"] for event in events if event["connection"] == 1][-1] == "outcome"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--policy", "strict"), "without --client-ca nothing is verified"),
        (("--json", "-", "--chat"), "standard output is the chat's"),
        (("--json", "events", "--app", "main:app"), "no outcome is told"),
    ],
)
def test_options_that_do_not_go_together(run, pki, arguments, said):
    assert run("serve", *pki.server, *arguments).is_error(2, said)


def test_once_and_a_client_that_is_refused_later(run, pki):
    with serving(*pki.server, "--client-ca", pki.ca, "--require-later", "--once") as server:
        refused = run("connect", f"https://localhost:{server.port}/", *pki.trust, "--post-handshake-auth")
        assert "certificate_required" in refused.err
        assert server.ends().status == 1


def test_so_many_connections(pki):
    with serving(*pki.server, "--naccept", "3") as server:
        for _ in range(3):
            with connected(pki, server.port) as tls:
                tls.sendall(GET)
                assert everything(tls).startswith(b"HTTP/1.1 200")
        assert server.ends().status == 0
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", server.port))


def test_the_last_connection_is_seen_through(pki):
    with serving(*pki.server, "--naccept", "2") as server, connected(pki, server.port) as first:
        with connected(pki, server.port) as second:
            second.sendall(GET)
            everything(second)
        first.sendall(GET)
        assert everything(first).startswith(b"HTTP/1.1 200")
        assert server.ends().status == 0


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_no_number_of_connections(run, pki, value):
    assert run("serve", *pki.server, "--naccept", value).is_error(2, "--naccept")


@pytest.mark.parametrize("option", [["--once"], ["--naccept", "2"], ["--www", "."], ["--key-update"]])
def test_what_does_not_go_with_an_application(run, pki, option):
    assert run("serve", *pki.server, "--app", "a:b", *option).is_error(2, option[0])


def test_ctrl_c_ends_connections_in_order(pki):
    with serving(*pki.server) as server, connected(pki, server.port) as tls:
        tls.sendall(GET.replace(b"close", b"keep-alive"))
        server.hears("GET / 200")
        assert tls.recv(65536).startswith(b"HTTP/1.1 200")
        server.process.send_signal(signal.SIGINT)
        assert everything(tls) == b""
        ended = server.ends()
    assert ended.status == 130
    assert "Traceback" not in ended.err


def test_ipv6(run, pki):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving(*pki.server, "--once", listen="[::1]:0") as server:
        with connected(pki, server.port, "::1") as tls:
            tls.sendall(GET)
            assert everything(tls).startswith(b"HTTP/1.1 200")
        server.hears("[::1]:")
        assert server.ends().status == 0


def test_plain_http_is_told_the_right_address(pki):
    with serving(*pki.server, "--once") as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: evil\x1b\r\n\r\n")
            answer = everything(plain)
        head, _, rest = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        length = int(head.rpartition(b"Content-Length: ")[2].split()[0])
        body = rest[:length].decode()
        assert body.endswith(f"ask https://127.0.0.1:{server.port}/\n")
        # Behind it comes the alert, for whoever reads on: it did leave, as the trace says.
        assert rest[length:] == b"\x15\x03\x03\x00\x02\x02\x0a"
        ended = server.ends()
    assert ended.status == 1
    assert "plain HTTP" in ended.err


@pytest.mark.parametrize(
    ("address", "where"),
    [
        (("127.0.0.1", 1337), "https://127.0.0.1:1337/"),
        (("::1", 1337, 0, 0), "https://[::1]:1337/"),
        (("0.0.0.0", 1337), "https:// at port 1337"),
        (("::", 1337, 0, 0), "https:// at port 1337"),
    ],
)
def test_an_address_that_is_every_address_is_not_told(address, where):
    assert plain_http_answer(address).endswith(f": ask {where}\n".encode())


# Slow clients


@contextmanager
def listening():
    said: list[str] = []
    server = Server(Lenses(Role.SERVER, None, None, None), say=said.append, access=said.append)
    with listener_for("127.0.0.1", 0, server_config(ClientAuth.NONE), server) as listener:
        running = threading.Thread(target=server.run, args=(listener,))
        running.start()
        yield listener.address[1], said
        listener.close()
        running.join()


def dribbles(tls, data):
    """Sends a byte at a time until the server has had enough of it, and says what came."""

    def drip():
        try:
            while not done.is_set():
                tls.sendall(data)
                done.wait(0.002)
        except OSError:
            return

    done = threading.Event()
    thread = threading.Thread(target=drip)
    thread.start()
    try:
        return everything(tls)
    except OSError:
        # A reset: bytes were still coming when the server closed.
        return b""
    finally:
        done.set()
        thread.join()


def test_a_head_that_comes_slowly(pki, monkeypatch):
    monkeypatch.setattr(limits, "HTTP_IDLE_TIMEOUT", 0.2)
    with listening() as (port, said), connected(pki, port) as tls:
        tls.sendall(b"GET / HTTP/1.1\r\nX: ")
        assert dribbles(tls, b"x") == b""
    assert not any("GET" in line for line in said)


def test_a_body_that_comes_slowly(pki, monkeypatch):
    monkeypatch.setattr(limits, "HTTP_BODY_TIMEOUT", 0.2)
    with listening() as (port, said), connected(pki, port) as tls:
        tls.sendall(b"POST /print HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        assert dribbles(tls, b"x") == b""
    assert not any("POST" in line for line in said)


def test_a_head_that_is_too_large(pki):
    with listening() as (port, said), connected(pki, port) as tls:
        tls.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * limits.HTTP_HEAD)
        assert everything(tls).startswith(b"HTTP/1.1 431 ")
    assert any("- - 431" in line for line in said)
