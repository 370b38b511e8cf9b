"""A server that is another for each name: whom a client meets there, and which client is turned away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from handfast.credentials.signers import DEFERRED
from handfast.engine import ByName, ClientAuth, ServerConfig, ServerConnection
from handfast.errors import ApiMisuse, ConfigError, Fault
from handfast.events import CertificateChosen
from handfast.handshake.needs import Resolve
from handfast.registry import ExtensionType, SignatureScheme
from handfast.wire.messages import Certificate, CertificateRequest
from tests import certificates
from tests.lies import without
from tests.peer import Client
from tests.protocol.ours import PLAINTEXT, X25519, Judge, client, credentials, server
from tests.protocol.sessions import World
from tests.protocol.test_ticket_stores import External

A = certificates.server(names=("a.example",))
B = certificates.server(names=("*.b.example",))
A_RSA = certificates.server("rsa-2048", names=("a.example",))
DEFAULT = certificates.server()
UNKNOWN = ("unknown_server_name", "unrecognized_name", PLAINTEXT)
NAMELESS = {"ClientHello": without(ExtensionType.server_name)}


def config(issued, **options):
    settings = {"groups": (X25519,), "verifier": Judge(), "credentials": [credentials(issued)], **options}
    return ServerConfig(**settings)


CONFIG_A = config(A, client_auth=ClientAuth.REQUIRE_AND_VERIFY)
CONFIG_B = config(B)
CONFIG_DEFAULT = config(DEFAULT)
CONFIGS = {"a.example": CONFIG_A, "*.b.example": CONFIG_B}


def meet(settings, name="a.example", **options):
    if name is None:
        options["lies"] = NAMELESS
    else:
        options["server_name"] = name.encode()
    return Client(ServerConnection(settings), **options).run()


def shown(peer):
    return peer.got(Certificate).certificate_list[0].cert_data


# The table


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("a.example", 1), ("A.Example", 1), ("a.example.", 1), ("x.b.example", 2), ("y.b.example", 3),
        ("Y.B.EXAMPLE", 3), ("b.example", 0), ("x.y.b.example", 0), ("x.a.example", 0), ("*.b.example", 3),
        ("127.0.0.1", 0), (None, 0), ("b\u00fccher.example", 0), ("xn--bcher-kva.example", 4),
        ("", 0), (".b.example", 3),
    ],
)  # fmt: skip
def test_which_name_is_found(asked, found):
    table = {"A.example.": 1, "x.b.example": 2, "*.B.example": 3, "b\u00fccher.example": 4}
    assert ByName(table).find(asked) == (found or None)
    assert ByName(table, default=9).find(asked) == (found or 9)


@pytest.mark.parametrize("name", ["", "*", "*.", "*.*.example", "a.*.example", "a*.example", "127.0.0.1", "::1", "a b"])
def test_what_is_no_name(name):
    with pytest.raises(ConfigError, match="server name"):
        ByName({name: 1})


def test_a_name_stands_once():
    with pytest.raises(ConfigError, match="twice"):
        ByName({"a.example": 1, "A.example.": 2})
    with pytest.raises(ConfigError, match="by_name: is empty"):
        ServerConfig.by_name({})


# Configurations


@pytest.mark.parametrize(
    ("name", "certificate", "asks"),
    [("a.example", A, True), ("x.b.example", B, False), ("c.example", DEFAULT, False), (None, DEFAULT, False)],
)
def test_each_name_has_its_certificate_and_its_policy(name, certificate, asks):
    settings = ServerConfig.by_name(CONFIGS, default=CONFIG_DEFAULT)
    peer = meet(settings, name, identity=certificates.client())
    assert peer.complete
    assert shown(peer) == certificate.chain[0]
    assert any(isinstance(message, CertificateRequest) for message in peer.messages) == asks
    assert (peer.connection.info.verified_peer is not None) == asks


def test_without_a_default_other_names_are_refused():
    settings = ServerConfig.by_name(CONFIGS)
    assert meet(settings, "c.example").refusal == UNKNOWN
    nameless = meet(settings, None)
    assert nameless.refusal == ("no_server_name", "missing_extension", PLAINTEXT)
    # A client that comes by address has no name to send: nobody's fault, and for us to change.
    assert nameless.connection.error.fault == Fault.NOBODY
    assert "by address" in nameless.connection.error.hint
    assert "a default" in nameless.connection.error.hint


def test_what_the_client_asked_for_is_escaped():
    error = meet(ServerConfig.by_name(CONFIGS), "c!\\.example").connection.error
    assert error.what.isprintable()
    assert "c!" in error.what


def test_a_function_may_say_that_there_is_no_such_name():
    assert meet(config(DEFAULT, choose_config=lambda _: None)).refusal == UNKNOWN
    nonsense = meet(config(DEFAULT, choose_config=lambda _: "a.example"))
    assert nonsense.refusal == ("need_failed", "internal_error", PLAINTEXT)


# Credentials alone


@pytest.mark.parametrize(("name", "certificate"), [("a.example", A), ("x.b.example", B), (None, DEFAULT)])
def test_credentials_by_name(name, certificate):
    table = {"a.example": [credentials(A_RSA), credentials(A)], "*.b.example": credentials(B)}
    settings = config(DEFAULT, credentials=ByName(table, default=[credentials(DEFAULT)]))
    ecdsa = (SignatureScheme.ecdsa_secp256r1_sha256,)
    assert shown(meet(settings, name, schemes=ecdsa)) == certificate.chain[0]


def test_several_kinds_of_key_for_one_name():
    settings = config(DEFAULT, credentials=ByName({"a.example": [credentials(A), credentials(A_RSA)]}))
    assert shown(meet(settings, schemes=(SignatureScheme.rsa_pss_rsae_sha256,))) == A_RSA.chain[0]
    assert shown(meet(settings)) == A.chain[0]
    refusal = ("no_common_scheme", "handshake_failure", PLAINTEXT)
    assert meet(settings, schemes=(SignatureScheme.ed25519,)).refusal == refusal


def test_credentials_of_a_function():
    asked = []

    def source(hello):
        asked.append(hello.server_name)
        return credentials(A)

    assert shown(meet(config(DEFAULT, credentials=source))) == A.chain[0]
    assert asked == ["a.example"]


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        (None, UNKNOWN),
        ([], UNKNOWN),
        (b"what", ("need_failed", "internal_error", PLAINTEXT)),
        (["what"], ("need_failed", "internal_error", PLAINTEXT)),
    ],
)
def test_a_function_that_gives_no_credentials(answer, refusal):
    assert meet(config(DEFAULT, credentials=lambda _: answer)).refusal == refusal


def test_a_function_that_raises():
    def source(hello):
        raise LookupError(hello.server_name)

    peer = meet(config(DEFAULT, credentials=source))
    assert peer.refusal == ("need_failed", "internal_error", PLAINTEXT)


@pytest.mark.parametrize("version", [0x0304, 0x0303])
def test_a_session_of_a_name_that_there_is_no_more_is_not_resumed(version):
    world = World(client={"versions": (version,)})
    both = {"credentials": ByName({"a.example": credentials(A), "x.b.example": credentials(B)})}
    one = {"credentials": ByName({"x.b.example": credentials(B)})}
    for name in ("a.example", "x.b.example"):
        assert [world.meet(name=name, server=both).resumed for _ in range(2)] == [False, True]
    assert world.meet(name="x.b.example", server=one).resumed
    gone = world.meet(name="a.example", server=one)
    codes = [end.error.code for end in (gone.client, gone.server) if end.error is not None]
    assert codes == ["unrecognized_name", "unknown_server_name"]


def test_an_external_psk_needs_no_certificate_of_that_name():
    ours = server(credentials=ByName({"a.example": credentials(A)}), tickets=External())
    peer = Client(ours, psks=(External.PSK,), lies=NAMELESS).run()
    assert peer.connection.info.external_psk


def test_credentials_that_come_later():
    ours, theirs = server(credentials=lambda _: DEFERRED), client()
    ours.receive(theirs.outgoing())
    assert isinstance(ours.need, Resolve)
    assert ours.outgoing() == b""
    ours.answer(ours.need, credentials(A))
    theirs.receive(ours.outgoing())
    assert theirs.connected
    assert theirs.info.peer_chain == A.chain


# Of a plain sequence


@pytest.mark.parametrize(
    ("name", "certificate", "reason"),
    [
        ("a.example", A, "it is the first for a.example"),
        ("A.EXAMPLE", A, "it is the first for A.EXAMPLE"),
        ("x.b.example", B, "it is the first for *.b.example"),
        ("c.example", DEFAULT, "it is the first whose key the client accepts"),
    ],
)
def test_names_in_the_certificates_decide_and_the_trace_says_so(name, certificate, reason):
    events: list[Any] = []
    ours = server(credentials=[credentials(one) for one in (DEFAULT, B, A, A_RSA)], observers=[events.append])
    peer = Client(ours, server_name=name.encode(), schemes=(SignatureScheme.ecdsa_secp256r1_sha256,)).run()
    assert shown(peer) == certificate.chain[0]
    (chosen,) = [event for event in events if isinstance(event, CertificateChosen)]
    assert chosen.reason == reason
    assert [one.shown for one in chosen.considered] == [one is certificate for one in (DEFAULT, B, A, A_RSA)]
    assert "no scheme of its RSA 2048 key" in chosen.considered[3].why


# A request for another host than the hello's


@pytest.mark.parametrize(
    ("asked", "host", "answer"),
    [
        ("a.example", "a.example", True), ("a.example", "A.example:443", True), ("a.example", "a.example.", True),
        ("a.example", "x.b.example", False), ("a.example", "c.example", False), ("a.example", "127.0.0.1:8443", False),
        ("a.example", "", False), ("a.example", "a.example:https", False), ("a.example", "a.example/", False),
        ("x.b.example", "y.b.example", True), ("x.b.example", "a.example", False), ("x.b.example", "b.example", False),
        ("c.example", "d.example", True), ("c.example", "[::1]:443", True), ("c.example", "::1", False),
        ("c.example", "a.example", False), ("c.example", "[::1]x", False), ("c.example", "x[::1]", False),
        (None, "127.0.0.1", True), (None, "a.example", False), (None, "[x]", False),
    ],
)  # fmt: skip
def test_which_hosts_have_the_policy_of_the_connection(asked, host, answer):
    settings = ServerConfig.by_name(CONFIGS, default=CONFIG_DEFAULT)
    assert meet(settings, asked, identity=certificates.client()).connection.info.serves(host) is answer


def test_one_policy_serves_every_host():
    assert meet(config(DEFAULT)).connection.info.serves("whatever.example")


def test_credentials_by_name_serve_the_names_that_there_are():
    table = ByName({"a.example": credentials(A), "b.example": credentials(B)})
    info = meet(config(DEFAULT, credentials=table)).connection.info
    assert [info.serves(host) for host in ("a.example", "b.example", "c.example")] == [True, True, False]


def test_of_a_function_nobody_knows_what_it_says_of_other_names():
    info = meet(config(DEFAULT, choose_config=lambda _: CONFIG_B)).connection.info
    assert [info.serves(host) for host in ("a.example", "A.example:1", "b.example", "::1")] == [
        True,
        True,
        False,
        False,
    ]


def test_a_client_serves_no_host():
    with pytest.raises(ApiMisuse):
        client().info.serves("localhost")


# What a table or a chooser says is asked, or it is refused


def strict():
    return config(A, client_auth=ClientAuth.REQUIRE_AND_VERIFY)


@pytest.mark.parametrize("as_default", [True, False])
def test_a_table_inside_a_table_is_refused_when_it_is_made(as_default):
    inner = ServerConfig.by_name({"strict.example": strict(), "lax.example": config(B)})
    table = {"a.example": config(B)} if as_default else {"a.example": config(B), "*.example": inner}
    with pytest.raises(ConfigError, match="would not be asked"):
        ServerConfig.by_name(table, default=inner if as_default else None)
    with pytest.raises(ConfigError, match="would not be asked"):
        replace(config(B), choose_config=ByName({"*.example": inner}))


def test_a_table_that_a_function_returns_is_not_used_as_its_first_entry():
    inner = ServerConfig.by_name({"lax.example": config(B), "strict.example": strict()})
    settings = replace(config(B), choose_config=lambda hello: inner)
    peer = meet(settings, "strict.example")
    assert peer.refusal == ("need_failed", "internal_error", PLAINTEXT)
    assert "would not be asked" in peer.connection.error.what


def test_a_configuration_made_from_the_one_that_chose_it_was_chosen():
    settings: Any = replace(config(B), choose_config=lambda hello: replace(settings, application_protocols=("x",)))
    assert meet(settings, protocols=(b"x",)).connection.info.application_protocol == "x"


def test_what_holds_before_a_configuration_is_chosen_is_the_same_in_all():
    with pytest.raises(ConfigError, match="handshake_timeout"):
        ServerConfig.by_name({"a.example": config(A), "b.example": config(B, handshake_timeout=5.0)})
    settings = replace(config(B), choose_config=lambda hello: config(B, handshake_timeout=5.0))
    assert meet(settings).refusal.code == "need_failed"


def test_the_fragments_are_those_of_the_chosen_configuration():
    settings = replace(config(B), choose_config=lambda hello: config(A, max_fragment=64))
    ours = meet(settings).connection
    ours.send(bytes(640))
    assert len(ours.outgoing()) == 10 * (64 + 22)


@pytest.mark.parametrize("value", [1, "config", config(B), [], [config(B)], lambda hello: None])
def test_a_name_stands_for_what_can_be_used(value):
    with pytest.raises(ConfigError, match="stands for"):
        replace(config(B), credentials=ByName({"a.example": value}))
    if not isinstance(value, ServerConfig):
        with pytest.raises(ConfigError, match="stands for"):
            replace(config(B), choose_config=ByName({"a.example": value}))


def test_a_name_may_stand_for_credentials_that_are_loaded_anew():
    class Handle:
        current = credentials(A)

    settings = replace(config(B), credentials=ByName({"a.example": Handle(), "b.example": [Handle()]}))
    assert shown(meet(settings, "a.example")) == shown(meet(settings, "b.example")) == A.chain[0]
