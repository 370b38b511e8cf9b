"""A program that hands over the wrong object is told so at once, and not when a peer waits for it."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from functools import partial
from threading import Thread
from typing import Any

import pytest

import handfast
from handfast import ServerConfig, aio
from handfast.errors import ApiMisuse, CertificateRejected, ConfigError, HandfastError
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
APPROVING: Any = Approving()
ROOTS: Any = handfast.Roots.from_der([certificates.ca().certificate_der])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"credentials": None}, "credentials: None is not credentials"),
        ({"credentials": "client.pem"}, "credentials: a str is not credentials"),
        ({"credentials": ["client.pem"]}, "credentials: a str is not credentials"),
        ({"credentials": handfast.Credentials}, "credentials: the class Credentials is not credentials"),
        ({"verifier": Approving}, "verifier: the class Approving has no method verify to call"),
        ({"verifier": "ca.pem"}, "verifier: a str has no method verify to call"),
        ({"verifier": ROOTS}, "verifier: a Roots has no method verify to call"),
        ({"sessions": True}, "sessions: a bool has no method take to call"),
        ({"groups": ["x25518"]}, "groups: 'x25518' is no name that handfast knows"),
        ({"groups": ["ffdhe2048"]}, "groups: handfast does not speak ffdhe2048"),
        ({"groups": [None]}, "groups: None is neither a name nor a number"),
        ({"groups": {"x25519"}}, "groups: a set is no list"),
        ({"groups": []}, "groups: is empty"),
        ({"groups": ["x25519", "curve25519"]}, "groups: names a value twice"),
        ({"key_share_groups": ["P-256"], "groups": ["x25519"]}, "key_share_groups: secp256r1 is not in groups"),
        ({"versions": "1.3"}, "versions: '1.3' is no list"),
        ({"versions": [1.3]}, "versions: 1.3 is neither a name nor a number"),
        ({"versions": [True]}, "versions: True is neither a name nor a number"),
        ({"versions": ["1.1"]}, "versions: '1.1' is no name that handfast knows"),
        ({"versions": ["TLS 1.1"]}, "versions: handfast does not speak TLS 1.1"),
        ({"suites": ["RC4"]}, "suites: 'RC4' is no name that handfast knows"),
        ({"schemes": ["ecdsa_sha1"]}, "schemes: handfast does not speak ecdsa_sha1"),
        ({"certificate_compression": ["gzip"]}, "certificate_compression: 'gzip' is no name that handfast knows"),
        ({"certificate_compression": None}, "certificate_compression: None is no list"),
        ({"unexpected_eof": "ignore"}, "unexpected_eof: 'ignore' is neither of error and end"),
        ({"unexpected_eof": None}, "unexpected_eof: None is neither of error and end"),
        ({"application_protocols": "h2"}, "application_protocols: 'h2' is one name and no list"),
        ({"application_protocols": [b"h2"]}, "application_protocols: b'h2' is no text"),
    ],
)
def test_what_a_configuration_cannot_use(settings, words):
    with pytest.raises(ConfigError, match=words):
        handfast.ClientConfig(**settings)


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ("versions", 'give a list, as versions=["TLS 1.3"], of: TLS 1.3, TLS 1.2'),
        ("certificate_compression", 'give a list, as certificate_compression=["zlib"], of: zlib, brotli, zstd'),
    ],
)
def test_the_advice_names_what_would_do(option, advice):
    settings: Any = {option: ["nonsense"]}
    with pytest.raises(ConfigError) as caught:
        handfast.ClientConfig(**settings)
    assert caught.value.hint == advice


@pytest.mark.parametrize(
    ("option", "words", "numbers"),
    [
        ("versions", ["1.3", "TLSv1.2"], [0x0304, 0x0303]),
        ("groups", ["x25519", "P-256"], [0x001D, 0x0017]),
        ("key_share_groups", ["x25519"], [0x001D]),
        ("suites", ["TLS_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"], [0x1301, 0xC02B]),
        ("schemes", ["ecdsa_secp256r1_sha256", "RSA-PSS+SHA256"], [0x0403, 0x0804]),
        ("certificate_compression", ["zlib"], [1]),
    ],
)
def test_a_word_is_the_number_that_it_names(option, words, numbers):
    spelled = getattr(handfast.ClientConfig(**{option: words}), option)
    assert spelled == tuple(numbers) == getattr(handfast.ClientConfig(**{option: numbers}), option)
    assert {type(one).__module__ for one in spelled} == {"handfast.registry"}


@pytest.mark.parametrize("mode", list(handfast.ClientAuth))
def test_a_mode_may_be_a_word(mode):
    word: Any = str(mode)
    config = handfast.ServerConfig(credentials=CREDENTIALS, client_auth=word, verifier=APPROVING)
    assert config.client_auth is mode


def test_one_credentials_is_a_list_of_one():
    assert handfast.ServerConfig(credentials=CREDENTIALS).credentials == (CREDENTIALS,)
    assert handfast.ClientConfig(credentials=CREDENTIALS).credentials == (CREDENTIALS,)


def test_a_list_that_is_changed_later_changes_no_configuration():
    groups, ours, protocols = ["x25519"], [CREDENTIALS], ["h2"]
    config = handfast.ClientConfig(groups=groups, credentials=ours, application_protocols=protocols)
    table = handfast.ByName({"localhost": ours}, default=ours)
    handfast.ServerConfig(credentials=table)
    for changed in (groups, ours, protocols):
        changed.clear()
    assert (config.groups, config.credentials, config.application_protocols) == ((0x001D,), (CREDENTIALS,), ("h2",))
    assert list(map(tuple, table.values)) == [(CREDENTIALS,), (CREDENTIALS,)]


def test_words_hold_on_the_wire():
    client = handfast.ClientConnection(
        handfast.ClientConfig(
            versions=["1.3"], groups=["x25519"], suites=["TLS_CHACHA20_POLY1305_SHA256"], verifier=APPROVING
        ),
        server_name="localhost",
    )
    server = handfast.ServerConnection(SERVER)
    while not (client.connected and server.connected):
        server.receive(client.outgoing())
        client.receive(server.outgoing())
    assert (server.info.group, server.info.suite, server.info.version) == (0x001D, 0x1303, 0x0304)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"client_auth": "require"}, "client_auth: 'require' is none of none, request, require_any, verify_if_given, "),
        ({"client_auth": True}, "client_auth: True is none of none, request, "),
        ({"tickets": True}, "tickets: a bool has no method redeem to call"),
        ({"tickets": handfast.SealedTickets}, "tickets: the class SealedTickets has no method redeem to call"),
        ({"replay_guard": True}, "replay_guard: a bool has no method first_use to call"),
    ],
)
def test_what_a_servers_configuration_cannot_use(settings, words):
    with pytest.raises(ConfigError, match=words):
        handfast.ServerConfig(credentials=[CREDENTIALS], **settings)


ONLY_12: Any = {"versions": [0x0303]}


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("name", [one.name for one in fields(ServerConfig) if isinstance(one.default, bool)])
def test_yes_and_no_are_not_words(role, name):
    """Text that says no would count as yes."""
    if role == "client" and not hasattr(handfast.ClientConfig, name):
        return
    make: Any = handfast.ClientConfig if role == "client" else partial(ServerConfig, credentials=[CREDENTIALS])
    with pytest.raises(ConfigError, match=f"{name}: 'false' is neither True nor False"):
        make(**{name: "false"})


@pytest.mark.parametrize("name", ["enforce_verdict", "post_handshake_auth"])
def test_a_clients_own_yes_and_no_are_not_words(name):
    settings: Any = {name: "false"}
    with pytest.raises(ConfigError, match=name):
        handfast.ClientConfig(**settings)


def test_a_deadline_is_a_number():
    with pytest.raises(ConfigError, match="handshake_timeout: it is not a number"):
        handfast.ClientConfig(handshake_timeout=float("nan"))
    with pytest.raises(ApiMisuse):
        handfast.WithTimeout(handfast.PathVerifier(ROOTS), float("nan"))


@pytest.mark.parametrize(
    "settings",
    [
        {"post_handshake_auth": True},
        {"ticket_request": (1, 1), "sessions": handfast.SessionCache()},
        {"key_share_groups": (0x001D,)},
        {"ca_names": (b"0\0",)},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_what_a_client_of_tls12_cannot_do(settings):
    handfast.ClientConfig(**settings)
    with pytest.raises(ConfigError, match=f"{next(iter(settings))}: only TLS 1.3 has it"):
        handfast.ClientConfig(**ONLY_12, **settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ask_for_ocsp_response": True}, "ask_for_ocsp_response: only TLS 1.3"),
        ({"ask_for_timestamps": True}, "ask_for_timestamps: only TLS 1.3"),
        (
            {
                "max_early_data": 1,
                "tickets": handfast.SealedTickets(),
                "replay_guard": handfast.MemoryReplayGuard(),
            },
            "max_early_data: only TLS 1.3",
        ),
        (
            {
                "client_auth": handfast.ClientAuth.REQUIRE_AND_VERIFY,
                "verifier": handfast.PathVerifier(ROOTS, ocsp="require"),
            },
            "verifier: it requires an OCSP response",
        ),
    ],
)
def test_what_a_server_of_tls12_cannot_do(settings, words):
    ServerConfig(credentials=[CREDENTIALS], **settings)
    with pytest.raises(ConfigError, match=words):
        ServerConfig(credentials=[CREDENTIALS], **ONLY_12, **settings)


def test_a_server_that_asks_nobody_for_a_certificate_judges_none():
    """In TLS 1.3 it may ask later; in TLS 1.2 the verifier would never be looked at, and its author relies on it."""
    judged: Any = {"credentials": [CREDENTIALS], "verifier": handfast.PathVerifier(ROOTS)}
    with pytest.raises(ConfigError, match=r"verifier: no client is asked for a certificate") as caught:
        ServerConfig(**ONLY_12, **judged)
    assert "client_auth" in caught.value.hint
    assert ServerConfig(**judged).verifier is not None
    assert ServerConfig(**ONLY_12, **judged, client_auth=handfast.ClientAuth.REQUEST).verifier is not None


@pytest.mark.parametrize("name", ["ticket_count", "ticket_lifetime", "session_lifetime"])
def test_what_shapes_tickets_needs_some(name):
    settings: Any = {"credentials": [CREDENTIALS], name: 1}
    with pytest.raises(ConfigError, match=f"{name}: there are no tickets"):
        ServerConfig(**settings)
    assert getattr(ServerConfig(**settings, tickets=handfast.SealedTickets()), name) == 1


def test_a_client_asks_for_no_tickets_that_it_would_not_keep():
    with pytest.raises(ConfigError, match="ticket_request: no ticket is kept without sessions"):
        handfast.ClientConfig(ticket_request=(1, 1))
    assert handfast.ClientConfig(ticket_request=(1, 1), sessions=handfast.SessionCache()).ticket_request == (1, 1)
    # Not to want any is a request, too.
    assert handfast.ClientConfig(ticket_request=(0, 0)).ticket_request == (0, 0)


@pytest.mark.parametrize("keys", [bytes(32), ["a" * 32]])
def test_ticket_keys_are_a_list_of_bytes(keys):
    with pytest.raises(ConfigError, match="a ticket key has 32 bytes"):
        handfast.SealedTickets(keys)


def test_a_configuration_is_shown_without_its_certificates():
    shown = repr(handfast.ServerConfig(credentials=[CREDENTIALS], verifier=handfast.PathVerifier(ROOTS)))
    assert "\\x" not in shown + repr(ROOTS)
    assert "given certificates" in repr(ROOTS)


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


def test_a_failed_handshake_is_in_the_servers_log_and_the_clients_hands(caplog):
    listener = handfast.listen("127.0.0.1", 0, SERVER)
    failures = []

    def serve():
        with listener.accept() as tls:
            try:
                tls.handshake()
            except HandfastError as error:
                failures.append(error)

    thread = Thread(target=serve)
    thread.start()
    config = handfast.ClientConfig(verifier=handfast.Pinned([handfast.key_pin(certificates.client().chain[0])]))
    with caplog.at_level("DEBUG", "handfast"), pytest.raises(CertificateRejected) as caught:
        handfast.connect("127.0.0.1", listener.address[1], config)
    thread.join()
    listener.close()
    assert caught.value.code == "pin_mismatch"
    (line,) = (record.getMessage() for record in caplog.records if record.name == "handfast")
    # The words of the verdict, which names what the server showed.
    assert "client refused: bad_certificate (42), after the server showed CN=localhost" in line


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ocsp": "always"}, 'ocsp is "ignore", "check" or "require", not \'always\''),
        ({"crl_scope": None}, 'crl_scope is "leaf" or "chain", not None'),
        ({"policy": "lax"}, 'policy is "handfast", "openssl" or "strict", or a PathPolicy, not \'lax\''),
    ],
)
def test_what_a_path_verifier_cannot_use(settings, words):
    with pytest.raises(ApiMisuse, match=words):
        handfast.PathVerifier(ROOTS, **settings)


def test_a_path_verifier_needs_roots_and_not_their_file():
    with pytest.raises(ApiMisuse, match=r"Roots\.from_file"):
        handfast.PathVerifier(PATH)
