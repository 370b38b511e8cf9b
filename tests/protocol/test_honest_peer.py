"""The scripted peer tells the truth: what the tests of lies stand on, and both of our roles when nothing is wrong."""

from __future__ import annotations

import pytest

from handfast.crypto.groups import ALL_GROUPS
from handfast.crypto.signatures import CERTIFICATE_ONLY, SUPPORTED_SCHEMES, schemes_for
from handfast.crypto.suites import SUITES_13
from handfast.engine import ClientAuth, Data, HandshakeDone, PeerClosed, UnverifiedPeer, VerifiedPeer
from handfast.registry import CipherSuite, NamedGroup, SignatureScheme
from handfast.roles import Role
from handfast.wire.extensions import CertificateAuthorities, Cookie, ProtocolNameList, SignatureSchemeList
from handfast.wire.messages import CertificateRequest, ClientHello, EncryptedExtensions
from tests import certificates
from tests.lies import APPLICATION_DATA, Record, alert, extended
from tests.peer import Client, Server
from tests.protocol.ours import SECP256R1, X25519, both_roles, client, credentials, meet, server

every_suite = pytest.mark.parametrize("suite", SUITES_13, ids=CipherSuite.describe)
every_group = pytest.mark.parametrize("group", ALL_GROUPS, ids=NamedGroup.describe)

KEYS = ("ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", "ed448", "rsa-2048", "rsa-pss")
PAIRS = [
    (key, scheme)
    for key, kinds in {
        "ecdsa-p256": ["ecdsa_secp256r1_sha256"],
        "ecdsa-p384": ["ecdsa_secp384r1_sha384"],
        "ecdsa-p521": ["ecdsa_secp521r1_sha512"],
        "ed25519": ["ed25519"],
        "ed448": ["ed448"],
        "rsa-2048": ["rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512"],
        "rsa-pss": ["rsa_pss_pss_sha256", "rsa_pss_pss_sha384", "rsa_pss_pss_sha512"],
    }.items()
    for scheme in map(SignatureScheme.parse, kinds)
]
every_scheme = pytest.mark.parametrize(("key", "scheme"), PAIRS, ids=[SignatureScheme(one).name for _, one in PAIRS])


def identity(key, role):
    if key == "rsa-pss":
        return certificates.rsa_pss(purpose=f"{role}Auth")
    return (certificates.client if role is Role.CLIENT else certificates.server)(key)


def data(content):
    return Record(APPLICATION_DATA, content)


def assert_they_understand_each_other(peer):
    """The handshake is complete on both sides; data, key updates, exporters and the end work in both directions."""
    assert peer.complete, peer.connection.error
    ours = peer.connection
    assert [type(result) for result in peer.results] == [HandshakeDone]
    ours.send(b"from ours")
    peer.results.clear()
    peer.say(data(b"from the peer")).update_keys(1).say(data(b"with new keys"))
    ours.send(b", with new keys")
    peer.say(alert(0, 1)).listen()
    assert b"".join(one.data for one in peer.results if isinstance(one, Data)) == b"from the peerwith new keys"
    assert isinstance(peer.results[-1], PeerClosed)
    assert bytes(peer.data) == b"from ours, with new keys"
    assert ours.export("EXPORTER-test", b"context", 40) == peer.exporter.export("EXPORTER-test", b"context", 40)
    ours.close()
    assert [one.description for one in peer.listen().alerts] == ["close_notify"]


def test_the_pairs_of_keys_and_schemes_are_all_there_are():
    usable = set(SUPPORTED_SCHEMES) - CERTIFICATE_ONLY
    assert {scheme for _, scheme in PAIRS} == usable
    for key in KEYS[:-1]:
        public_key = credentials(certificates.server(key)).public_key
        assert set(schemes_for(public_key)) == {scheme for one, scheme in PAIRS if one == key}


@both_roles
@every_suite
def test_every_suite(role, suite):
    options = {"chosen_suite": suite} if role is Role.CLIENT else {"suites": (suite,)}
    peer = meet(role, **options).run()
    assert_they_understand_each_other(peer)
    assert peer.connection.info.suite == suite


@both_roles
@every_group
def test_every_group(role, group):
    options = {"group": group} if role is Role.CLIENT else {"groups": (group,)}
    peer = meet(role, {"groups": (group,)}, **options).run()
    assert_they_understand_each_other(peer)
    assert peer.connection.info.group == group


@both_roles
@every_suite
def test_every_suite_after_a_retry(role, suite):
    options = (
        {"chosen_suite": suite, "group": SECP256R1}
        if role is Role.CLIENT
        else {"suites": (suite,), "shared_groups": ()}
    )
    peer = meet(role, **options).run()
    assert_they_understand_each_other(peer)
    assert peer.connection.info.retried
    assert peer.connection.info.group == (SECP256R1 if role is Role.CLIENT else X25519)


def test_our_client_returns_a_cookie_and_keeps_its_shares():
    peer = Server(client(), cookie=b"crumbs").run()
    assert_they_understand_each_other(peer)
    first, second = (message for message in peer.messages if isinstance(message, ClientHello))
    assert first.find(Cookie) is None
    assert second.extensions == {**first.extensions, Cookie.EXTENSION_TYPE: Cookie(b"crumbs")}


def test_our_client_shares_the_group_that_a_retry_asks_for_and_returns_its_cookie():
    peer = Server(client(), cookie=b"crumbs", group=SECP256R1).run()
    assert_they_understand_each_other(peer)
    assert peer.connection.info.group == SECP256R1


def test_our_server_prefers_a_group_with_a_share_to_one_that_costs_a_retry():
    peer = Client(server(), groups=(SECP256R1, X25519), shared_groups=(SECP256R1,)).run()
    assert_they_understand_each_other(peer)
    assert (peer.connection.info.group, peer.connection.info.retried) == (SECP256R1, False)


@every_scheme
def test_our_client_accepts_a_proof_with_every_scheme(key, scheme):
    peer = Server(client(), identity=identity(key, Role.SERVER), scheme=scheme).run()
    assert_they_understand_each_other(peer)
    assert peer.connection.info.peer_scheme == scheme


@every_scheme
def test_our_server_accepts_a_proof_with_every_scheme(key, scheme):
    ours = server(client_auth=ClientAuth.REQUIRE_AND_VERIFY)
    peer = Client(ours, identity=identity(key, Role.CLIENT), scheme=scheme).run()
    assert_they_understand_each_other(peer)
    assert (ours.info.peer_scheme, type(ours.info.peer)) == (scheme, VerifiedPeer)


@every_scheme
def test_our_server_proves_itself_with_every_scheme(key, scheme):
    ours = server(credentials=(credentials(identity(key, Role.SERVER)),))
    peer = Client(ours, schemes=(scheme,)).run()
    assert_they_understand_each_other(peer)
    assert ours.info.own_scheme == scheme


@every_scheme
def test_our_client_proves_itself_with_every_scheme(key, scheme):
    ours = client(credentials=(credentials(identity(key, Role.CLIENT)),))
    lies = {"CertificateRequest": extended(SignatureSchemeList((scheme,)))}
    peer = Server(ours, requests_certificate=True, lies=lies).run()
    assert_they_understand_each_other(peer)
    assert ours.info.own_scheme == scheme


@both_roles
def test_no_client_certificate(role):
    if role is Role.CLIENT:
        peer = meet(role, requests_certificate=True).run()
    else:
        peer = meet(role, {"client_auth": ClientAuth.REQUEST}).run()
    assert_they_understand_each_other(peer)
    info = peer.connection.info
    assert info.client_auth_requested
    assert (info.certificate_sent, type(info.peer)) == (
        (False, VerifiedPeer) if role is Role.CLIENT else (True, type(None))
    )


@both_roles
def test_a_certificate_below_an_intermediate(role):
    issued, ours = certificates.server_below_intermediate(), {}
    if role is Role.SERVER:
        issued, ours = certificates.client_below_intermediate(), {"client_auth": ClientAuth.REQUEST}
    peer = meet(role, ours, identity=issued).run()
    assert_they_understand_each_other(peer)
    known = peer.connection.info.peer
    assert isinstance(known, VerifiedPeer | UnverifiedPeer)
    assert known.chain == issued.chain
    assert len(known.chain) == 2


def test_ca_names_reach_the_client():
    names = (
        certificates.ca().certificate.subject.public_bytes(),
        certificates.other_ca().certificate.subject.public_bytes(),
    )
    peer = Client(server(client_auth=ClientAuth.REQUEST, ca_names=names)).run()
    request = next(message for message in peer.messages if isinstance(message, CertificateRequest))
    assert request.find(CertificateAuthorities) == CertificateAuthorities(names)
    peer2 = Server(client(), requests_certificate=True, ca_names=names).run()
    assert peer2.connection.info.ca_names == names


@pytest.mark.parametrize("ca_names", [None, ()])
def test_an_empty_list_of_ca_names_is_left_out(ca_names):
    peer = Client(server(client_auth=ClientAuth.REQUEST, ca_names=ca_names)).run()
    request = next(message for message in peer.messages if isinstance(message, CertificateRequest))
    assert request.find(CertificateAuthorities) is None


def test_application_protocols_in_both_roles():
    peer = Server(client(application_protocols=("h2", "http/1.1")), protocol=b"http/1.1").run()
    assert_they_understand_each_other(peer)
    assert peer.connection.info.application_protocol == "http/1.1"
    asked = Client(server(application_protocols=("h2", "http/1.1")), protocols=(b"http/1.1", b"h2")).run()
    assert_they_understand_each_other(asked)
    answer = next(message for message in asked.messages if isinstance(message, EncryptedExtensions))
    assert answer.find(ProtocolNameList) == ProtocolNameList((b"h2",))


@both_roles
@pytest.mark.parametrize("fragment", [1, 7, 2**14])
@pytest.mark.parametrize("merged", [True, False], ids=["joined", "apart"])
def test_every_way_to_put_messages_into_records(role, fragment, merged):
    issued = certificates.server() if role is Role.CLIENT else certificates.client()
    ours = {} if role is Role.CLIENT else {"client_auth": ClientAuth.REQUIRE_AND_VERIFY}
    peer = meet(role, ours, identity=issued, fragment=fragment, merged=merged).run()
    assert_they_understand_each_other(peer)


@both_roles
@pytest.mark.parametrize("size", [64, 1000, 2**14])
def test_our_records_are_no_larger_than_configured(role, size):
    peer = meet(role, {"max_fragment": size}).run()
    assert peer.complete
    peer.connection.send(b"x" * 3000)
    peer.listen()
    assert bytes(peer.data) == b"x" * 3000
    assert max(len(record.content) for record in peer.records) == min(size, 3000)
