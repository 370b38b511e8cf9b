"""The examples with frameworks: who comes in, and who does not."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest

import handfast
from handfast.pki.fault_scene import self_signed
from tests import certificates
from tests.aio.support import identity, server_config
from tests.frameworks.support import Refused, example_app, get, uvicorn_server, websocket_text

BOB: dict[str, Any] = {"credentials": [identity(certificates.client(name="bob"))]}
NOBODY: dict[str, Any] = {"anonymous": True}
MALLORY: dict[str, Any] = {"credentials": [identity(certificates.other_ca().client("alice"))]}


@contextmanager
def example(name, attribute, client_auth):
    """The example's application, over our own transport; its port."""
    from handfast.contrib.uvicorn import Protocol

    app = example_app(name, attribute)
    with uvicorn_server(app, http=Protocol(server_config(client_auth=handfast.ClientAuth(client_auth)))) as port:
        yield port


@pytest.mark.needs("uvicorn", "starlette", "websockets")
def test_starlette():
    with example("starlette_app", "app", "require_and_verify") as port:
        assert get(port).body == b"hello, CN=alice,O=handfast, over TLS 0x0304\n"
        assert websocket_text(port, "/greet") == "hello, CN=alice,O=handfast"
        assert get(port, **BOB).status == 403
        with pytest.raises(Refused, match="403"):
            websocket_text(port, "/greet", **BOB)
        with pytest.raises(handfast.HandfastError, match="certificate_required"):
            get(port, **NOBODY)


@pytest.mark.needs("uvicorn", "fastapi", "websockets")
def test_fastapi():
    with example("fastapi_app", "app", "verify_if_given") as port:
        assert get(port, "/accounts").json == {"accounts of": "CN=alice,O=handfast"}
        assert get(port, "/accounts", **BOB).json == {"accounts of": "CN=bob,O=handfast"}
        assert get(port, "/admin").json == {"administrator": "CN=alice,O=handfast"}
        assert get(port, "/admin", **BOB).status == 403
        assert (get(port, "/accounts", **NOBODY).status, get(port, "/health", **NOBODY).json) == (401, "fine")
        assert websocket_text(port, "/events", **BOB) == "events of CN=bob,O=handfast"
        with pytest.raises(Refused, match="403"):
            websocket_text(port, "/events", **NOBODY)
        with pytest.raises(handfast.HandfastError, match="unknown_ca"):
            get(port, "/health", **MALLORY)


@pytest.mark.needs("uvicorn", "fastapi")
def test_fastapi_where_everybody_comes_in():
    """Under ``request`` an unverified certificate opens nothing either, whatever name it claims."""
    with example("fastapi_app", "app", "request") as port:
        assert get(port, "/admin").status == 200
        assert get(port, "/admin", **MALLORY).status == 401


@pytest.mark.needs("uvicorn", "django")
def test_django():
    with example("django_app", "application", "verify_if_given") as port:
        assert get(port).body == b"hello, CN=alice,O=handfast\n"
        assert get(port, "/staff").body == b"the keys are under the mat\n"
        assert get(port, **BOB).body == b"hello, CN=bob,O=handfast\n"
        assert get(port, "/staff", **BOB).status == 403
        assert get(port, **NOBODY).status == 403


@pytest.mark.needs("uvicorn")
def test_self_signed():
    me = self_signed(certificates.ca().client_template("me"))
    pin = handfast.key_pin(me.chain[0])
    with example("self_signed_app", "app", "request") as port:
        mine: dict[str, Any] = {"credentials": [identity(me)]}
        first, second = (get(port, **mine).body.decode() for _ in range(2))
        stranger = get(port, **NOBODY).body
    assert "#(peer certs) = 1\n" in first
    assert f"you hold the key {pin} and call yourself CN=me,O=handfast\n" in first
    assert "no CA says so: " in first
    assert me.cert_pem.decode() in first
    assert ("visit no. 1\n" in first, "visit no. 2\n" in second) == (True, True)
    assert stranger == b"#(peer certs) = 0\n"
