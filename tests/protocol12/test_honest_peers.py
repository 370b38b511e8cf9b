"""Handshakes of TLS 1.2 that go well: with an honest peer, and between two of ours."""

from __future__ import annotations

from typing import Any

import pytest

from handfast.credentials.credentials import Credentials
from handfast.crypto import signatures
from handfast.crypto.groups import CLASSICAL_GROUPS
from handfast.crypto.suites12 import RSA, SUITES_12
from handfast.engine import ClientAuth, Data, PeerClosed, VerifiedPeer
from handfast.errors import ApiMisuse, ConfigError
from handfast.events import Event, KeysChanged, Negotiated, Secret
from handfast.registry import NamedGroup, SignatureScheme
from handfast.roles import Role
from handfast.verdict import refuse
from handfast.wire import extensions as ext
from handfast.wire.messages import ClientHello
from handfast.wire.messages12 import Certificate, CertificateRequest, ServerHello
from tests import certificates
from tests.lies import APPLICATION_DATA, Record
from tests.peer import Client, Server
from tests.peer12 import Client12, Server12
from tests.protocol.ours import Judge, both_roles, client, credentials, server
from tests.protocol12.ours12 import BOTH, ONLY, TLS12, TLS13, every_suite, meet12

SCHEMES = {
    "ecdsa_secp256r1_sha256": "ecdsa-p256",
    "ecdsa_secp384r1_sha384": "ecdsa-p384",
    "ecdsa_secp521r1_sha512": "ecdsa-p521",
    "ed25519": "ed25519",
    "ed448": "ed448",
    "rsa_pss_rsae_sha256": "rsa-2048",
    "rsa_pss_rsae_sha512": "rsa-2048",
    "rsa_pkcs1_sha256": "rsa-2048",
    "rsa_pkcs1_sha384": "rsa-2048",
    "rsa_pkcs1_sha512": "rsa-2048",
}
# In TLS 1.2 a scheme says nothing of the curve.
CROSSED = {"ecdsa_secp384r1_sha384": "ecdsa-p256", "ecdsa_secp256r1_sha256": "ecdsa-p384"}


def talks(peer):
    """Whether data goes through in both directions, and both can close."""
    peer.say(Record(APPLICATION_DATA, b"from the peer"))
    peer.connection.send(b"from us" * 10_000)
    peer.listen()
    got = [bytes(result.data) for result in peer.results if isinstance(result, Data)]
    peer.say(Record(21, b"\1\0"))
    peer.connection.close()
    peer.listen()
    closed = any(isinstance(result, PeerClosed) for result in peer.results)
    return (got, bytes(peer.data), closed) == ([b"from the peer"], b"from us" * 10_000, True)


@every_suite
@both_roles
def test_every_suite(role, suite):
    key = "rsa-2048" if suite.authentication == RSA else "ecdsa-p256"
    issued = certificates.server(key)
    if role is Role.CLIENT:
        peer = meet12(role, identity=issued, chosen_suite=suite.id)
    else:
        peer = meet12(role, {"credentials": (credentials(issued),)}, suites=(suite.id,))
    peer.run()
    assert peer.complete, peer.connection.error
    info = peer.connection.info
    assert (info.version, info.suite, info.group) == (TLS12, suite.id, NamedGroup.x25519)
    assert talks(peer)


@pytest.mark.parametrize("group", CLASSICAL_GROUPS, ids=NamedGroup.describe)
@both_roles
def test_every_group(role, group):
    ours = {"groups": (*CLASSICAL_GROUPS, NamedGroup.X25519MLKEM768)}
    groups = (group, NamedGroup.secp256r1) if group != NamedGroup.secp256r1 else (group,)
    if role is Role.CLIENT:
        peer = meet12(role, ours, group=group)
    else:
        peer = meet12(role, {"groups": (group,)}, groups=groups)
    peer.run()
    assert peer.complete, peer.connection.error
    assert peer.connection.info.group == group


@pytest.mark.parametrize(("scheme", "key"), [*SCHEMES.items(), *CROSSED.items()])
@both_roles
def test_every_scheme(role, scheme, key):
    number = SignatureScheme.parse(scheme)
    groups: dict[str, Any] = {"groups": CLASSICAL_GROUPS}
    mine, theirs = certificates.server(key), certificates.client(key)
    if role is Role.CLIENT:
        ours = {"credentials": (credentials(theirs),), "schemes": (number,), **groups}
        peer = meet12(role, ours, identity=mine, scheme=number, requests_certificate=True, requested_schemes=(number,))
    else:
        ours = {**groups, "credentials": (credentials(mine),), "client_auth": ClientAuth.REQUIRE_AND_VERIFY}
        peer = meet12(role, ours, identity=theirs, scheme=number, schemes=(number,), **groups)
    peer.run()
    assert peer.complete, peer.connection.error
    assert (peer.connection.info.own_scheme, peer.connection.info.peer_scheme) == (number, number)


def test_an_rsassa_pss_key_signs():
    issued = certificates.rsa_pss()
    number = SignatureScheme.rsa_pss_pss_sha256
    assert meet12(Role.CLIENT, identity=issued, scheme=number, chosen_suite=0xC02F).run().complete
    peer = meet12(Role.SERVER, {"credentials": (Credentials.from_key(issued.chain, issued.key),)}).run()
    assert peer.complete
    assert peer.connection.info.own_scheme == number


@both_roles
@pytest.mark.parametrize("versions", [BOTH, ONLY], ids=["both", "1.2 only"])
@pytest.mark.parametrize("fragment", [1, 7, 2**14])
@pytest.mark.parametrize("merged", [True, False])
def test_however_it_is_cut(role, versions, fragment, merged):
    peer = meet12(role, versions, fragment=fragment, merged=merged, chunk=3).run()
    assert peer.complete
    assert talks(peer)


def test_what_a_client_that_speaks_both_offers():
    peer = meet12(Role.CLIENT).run()
    hello = peer.got(ClientHello)
    versions = hello.find(ext.SupportedVersionsClientHello)
    assert versions is not None
    assert versions.versions == (TLS13, TLS12)
    assert len(hello.legacy_session_id) == 32
    assert hello.find(ext.KeyShareClientHello) is not None
    assert hello.cipher_suites[:3] == (0x1301, 0x1302, 0x1303)
    assert set(SUITES_12) < set(hello.cipher_suites)
    assert hello.find(ext.ExtendedMainSecret) is not None
    assert hello.find(ext.RenegotiationInfo) == ext.RenegotiationInfo(b"")
    assert hello.find(ext.ECPointFormatList) == ext.ECPointFormatList((0,))


def test_what_a_client_that_speaks_1_2_offers():
    peer = meet12(Role.CLIENT, {**ONLY, "groups": (NamedGroup.X25519MLKEM768, NamedGroup.x25519)}).run()
    assert peer.complete
    hello = peer.got(ClientHello)
    assert hello.find(ext.SupportedVersionsClientHello) is None
    assert hello.find(ext.KeyShareClientHello) is None
    assert hello.legacy_session_id == b""
    assert hello.cipher_suites == tuple(SUITES_12)
    assert hello.find(ext.NamedGroupList) == ext.NamedGroupList((NamedGroup.x25519,))


def test_a_client_that_speaks_1_3_offers_nothing_of_1_2():
    peer = Server(client(versions=(TLS13,))).run()
    assert peer.complete
    hello = peer.got(ClientHello)
    assert hello.cipher_suites == (0x1301, 0x1302, 0x1303)
    assert hello.find(ext.ExtendedMainSecret) is None
    assert hello.find(ext.RenegotiationInfo) is None


def test_both_speak_1_3_if_they_can():
    assert Server(client(**BOTH)).run().connection.info.version == TLS13
    assert Client(server(**BOTH)).run().connection.info.version == TLS13


def test_a_version_without_a_suite_or_a_group_is_not_spoken():
    hello = Server(client(**BOTH, suites=(0x1302,))).run().got(ClientHello)
    assert hello.find(ext.SupportedVersionsClientHello) == ext.SupportedVersionsClientHello((TLS13,))
    hello = meet12(Role.CLIENT, {"suites": (0xC02B,)}).run().got(ClientHello)
    assert hello.find(ext.SupportedVersionsClientHello) is None
    hello = Server(client(**BOTH, groups=(NamedGroup.X25519MLKEM768,))).run().got(ClientHello)
    assert hello.find(ext.SupportedVersionsClientHello) == ext.SupportedVersionsClientHello((TLS13,))


@pytest.mark.parametrize(
    "options",
    [
        {**ONLY, "suites": (0x1301,)},
        {**ONLY, "groups": (NamedGroup.X25519MLKEM768,)},
        {"versions": ()},
        {"versions": (0x0302,)},
    ],
)
def test_a_configuration_that_speaks_nothing(options):
    with pytest.raises(ConfigError) as caught:
        client(**options)
    assert caught.value.code == "bad_option"


# What is answered


def test_the_servers_random_says_that_it_could_do_better():
    assert meet12(Role.SERVER).run().got(ServerHello).random.endswith(b"DOWNGRD\1")
    assert b"DOWNGRD" not in meet12(Role.SERVER, ONLY).run().got(ServerHello).random


def test_the_server_answers_what_was_asked_and_no_more():
    ours = {"application_protocols": ("h2",)}
    answer = meet12(Role.SERVER, ours, protocols=(b"h2",)).run().got(ServerHello)
    assert set(answer.extensions) == {0, 11, 16, 23, 0xFF01}
    assert answer.session_id == b""
    bare = {
        "ClientHello": lambda hello: ClientHello(
            TLS12, hello.random, b"", (0xC02B, 0x00FF), b"\0",
            ext.Extensions.of(
                ext.NamedGroupList((29, 23)), ext.SignatureSchemeList((0x0403,)), ext.ExtendedMainSecret()
            ),
        )
    }  # fmt: skip
    assert set(meet12(Role.SERVER, lies=bare).run().got(ServerHello).extensions) == {23, 0xFF01}


@both_roles
def test_application_protocol_and_server_name(role):
    ours = {"application_protocols": ("h2", "http/1.1")}
    options = {"protocol": b"http/1.1"} if role is Role.CLIENT else {"protocols": (b"http/1.1", b"x")}
    peer = meet12(role, ours, **options).run()
    assert peer.complete
    assert peer.connection.info.application_protocol == "http/1.1"
    assert peer.connection.info.server_name == "localhost"


def test_a_client_that_names_no_groups_gets_ours():
    lies = {"ClientHello": lambda hello: ClientHello(
        TLS12, hello.random, b"", hello.cipher_suites, b"\0",
        ext.Extensions({number: body for number, body in hello.extensions.items() if number != 10}),
    )}  # fmt: skip
    assert meet12(Role.SERVER, lies=lies).run().complete


def test_the_certificate_decides_the_suite():
    both = (credentials(certificates.server("rsa-2048")), credentials(certificates.server()))
    peer = meet12(Role.SERVER, {"credentials": both}).run()
    assert peer.connection.info.suite == 0xC02B
    assert peer.got(Certificate).certificate_list == certificates.server().chain
    peer = meet12(Role.SERVER, {"credentials": both}, schemes=(SignatureScheme.rsa_pkcs1_sha256,)).run()
    assert peer.connection.info.suite == 0xC02F
    peer = meet12(Role.SERVER, {"credentials": both}, groups=(29,)).run()
    assert peer.connection.info.suite == 0xC02F


def test_the_certificate_for_the_name_comes_first():
    named = certificates.server(names=("here.example.com",))
    both = (credentials(certificates.server()), credentials(named))
    peer = meet12(Role.SERVER, {"credentials": both}, server_name=b"here.example.com").run()
    assert peer.got(Certificate).certificate_list == named.chain


# The extended main secret


@both_roles
def test_without_the_extended_main_secret_if_told_so(role):
    peer = meet12(role, {"require_extended_main_secret": False}, extended=False).run()
    assert peer.complete
    assert talks(peer)
    with pytest.raises(ApiMisuse) as caught:
        peer.connection.export("label", b"", 16)
    assert caught.value.code == "no_exporter_12"


@both_roles
def test_the_extended_main_secret_is_used_where_it_need_not_be(role):
    assert meet12(role, {"require_extended_main_secret": False}).run().complete


@both_roles
def test_exported_keying_material(role):
    peer = meet12(role).run()
    theirs = peer.main_secret.exporter()
    ours = peer.connection
    for context in (None, b"", b"context"):
        assert ours.export("EXPERIMENTAL", context, 77) == theirs.export("EXPERIMENTAL", context, 77)
    assert ours.export("EXPERIMENTAL", None, 32) != ours.export("EXPERIMENTAL", b"", 32)
    with pytest.raises(ApiMisuse):
        ours.export("EXPERIMENTAL", bytes(2**16), 32)


# Between two of ours, and what observers hear


@pytest.mark.parametrize("mode", ClientAuth)
def test_two_of_ours(mode):
    events: dict[Role, list[Event]] = {role: [] for role in Role}
    secrets: dict[Role, list[Secret]] = {role: [] for role in Role}
    ours = client(
        **BOTH, credentials=(credentials(certificates.client()),), observers=[events[Role.CLIENT].append],
        sinks=[secrets[Role.CLIENT].append],
    )  # fmt: skip
    theirs = server(
        **ONLY, client_auth=mode, observers=[events[Role.SERVER].append], sinks=[secrets[Role.SERVER].append]
    )
    for _ in range(3):
        theirs.receive(ours.outgoing())
        if answer := theirs.outgoing():
            ours.receive(answer)
    assert ours.connected
    assert theirs.connected
    assert isinstance(theirs.info.peer, VerifiedPeer) == (mode is not ClientAuth.NONE)
    for role in Role:
        assert [event.direction for event in events[role] if isinstance(event, KeysChanged)] == ["C>S", "S>C"]
        (negotiated,) = (event for event in events[role] if isinstance(event, Negotiated))
        assert (negotiated.version, negotiated.server_name) == (TLS12, "localhost")
        assert [secret.name for secret in secrets[role]] == ["shared_secret", "main_secret", "key_block"]
        (logged,) = (secret for secret in secrets[role] if secret.keylog_label)
        assert (logged.name, logged.keylog_label, len(logged.value)) == ("main_secret", "CLIENT_RANDOM", 48)
    values = [[secret.value for secret in secrets[role]] for role in Role]
    assert values[0] == values[1]


def test_names_of_cas():
    name = certificates.ca().certificate.subject.public_bytes()
    peer = meet12(Role.SERVER, {"client_auth": ClientAuth.REQUEST, "ca_names": (name,)}).run()
    request = peer.got(CertificateRequest)
    assert request.certificate_authorities == (name,)
    assert set(request.certificate_types) == {64, 1}
    assert request.supported_signature_algorithms == signatures.SUPPORTED_SCHEMES

    stranger = certificates.other_ca().client("alice")
    mine = (credentials(stranger), credentials(certificates.client()))
    peer = meet12(Role.CLIENT, {"credentials": mine}, requests_certificate=True, ca_names=(name,)).run()
    assert peer.got(Certificate).certificate_list == certificates.client().chain
    assert peer.connection.info.ca_names == (name,)


@pytest.mark.parametrize(
    "request_of", [{"certificate_types": (1,)}, {"requested_schemes": (SignatureScheme.rsa_pkcs1_sha256,)}]
)
def test_a_client_whose_key_does_not_fit_the_request_declines(request_of):
    ours = {"credentials": (credentials(certificates.client()),)}
    peer = meet12(Role.CLIENT, ours, requests_certificate=True, **request_of).run()
    assert peer.complete
    assert peer.got(Certificate).certificate_list == ()
    assert not peer.connection.info.certificate_sent


def test_a_server_may_give_its_session_a_name():
    assert Server12(client(**BOTH), session_id=b"a session").run().complete


def test_a_peer_that_nobody_vouches_for_is_reported():
    judge = Judge(refuse("unknown_issuer", "its CA is unknown"))
    ours = Server12(client(**BOTH, verifier=judge, enforce_verdict=False)).run()
    assert ours.complete
    assert ours.connection.info.verified_peer is None
    peer = Client12(
        server(**BOTH, verifier=judge, client_auth=ClientAuth.REQUEST), identity=certificates.client()
    ).run()
    assert peer.complete
    assert peer.connection.info.client_cert_error == "its CA is unknown"
