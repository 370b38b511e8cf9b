"""A program that hands over the wrong object is told so at once, and not when a peer waits for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import handfast
from handfast import aio
from handfast.errors import ApiMisuse, ConfigError
from tests import certificates


class Approving:
    def verify(self, presented):
        return handfast.accept()


ISSUED = certificates.server()
CREDENTIALS = handfast.Credentials.from_pem(ISSUED.cert_pem, ISSUED.key_pem)
# A type checker would have seen these mistakes; not everybody has one.
SERVER: Any = handfast.ServerConfig(credentials=[CREDENTIALS])
CLIENT: Any = handfast.ClientConfig()
NOTHING: Any = None
PATH: Any = "ca.pem"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"credentials": None}, "credentials: NoneType is no list of credentials"),
        ({"credentials": CREDENTIALS}, "credentials: Credentials is no list of credentials"),
        ({"credentials": ["client.pem"]}, "credentials: list is no list of credentials"),
        ({"verifier": Approving}, "has no method verify to call"),
        ({"verifier": "ca.pem"}, "verifier: 'ca.pem' has no method verify to call"),
    ],
)
def test_what_a_configuration_cannot_use(settings, words):
    with pytest.raises(ConfigError, match=words):
        handfast.ClientConfig(**settings)


@pytest.mark.parametrize(
    "call",
    [
        lambda: handfast.connect("localhost", 1, SERVER),
        lambda: handfast.ClientConnection(SERVER, server_name="localhost"),
        lambda: asyncio.run(aio.open_connection("localhost", 1, NOTHING)),
    ],
)
def test_a_client_needs_a_clients_configuration(call):
    with pytest.raises(ApiMisuse, match=r"a ClientConfig is needed, not (ServerConfig|NoneType)"):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: handfast.listen("localhost", 0, CLIENT),
        lambda: handfast.ServerConnection(CLIENT),
        lambda: asyncio.run(aio.start_server(lambda reader, writer: None, "localhost", 0, CLIENT)),
    ],
)
def test_a_server_needs_a_servers_configuration(call):
    with pytest.raises(ApiMisuse, match="a ServerConfig is needed, not ClientConfig"):
        call()


def test_a_path_verifier_needs_roots_and_not_their_file():
    with pytest.raises(ApiMisuse, match=r"Roots\.from_file"):
        handfast.PathVerifier(PATH)
