"""What two stacks must agree on, one parameter at a time, with handfast in either role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from handfast.engine import ClientAuth
from handfast.registry import AlertDescription as Alert
from handfast.registry import CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme
from tests import certificates
from tests.interop import ways
from tests.interop.features import GROUPS, SCHEMES, SCHEMES_12, SUITES, SUITES_12
from tests.interop.meeting import (
    cannot,
    credentials,
    heard,
    refused,
    signing_with,
    they_refused,
    trusting,
)
from tests.peers import ClientAuth as TheirClientAuth
from tests.peers import DenoClient

if TYPE_CHECKING:
    from handfast.pki.authority import Issued

# The kind of key that makes a scheme's signatures; RSASSA-PSS keys are the openssl command's.
KEYS = {
    "ecdsa_secp256r1_sha256": "ecdsa-p256",
    "ecdsa_secp384r1_sha384": "ecdsa-p384",
    "ecdsa_secp521r1_sha512": "ecdsa-p521",
    "ed25519": "ed25519",
    "ed448": "ed448",
    "rsa_pss_rsae": "rsa-2048",
    "rsa_pkcs1": "rsa-2048",
}
# No stack offers it unless told to.
OFFERED_BY_NOBODY = "SecP384r1MLKEM1024"
# Nobody tells them which scheme of two, and in TLS 1.2 either fits an ECDSA key.
LEFT_TO_CHOOSE = {"python", "pyopenssl", "nss", "node", "haproxy"}
NSS_AND_RSA = "tstclnt refuses a server's RSA key that may sign and not encrypt"
OFFERING_LITTLE = {"curl_cffi", "node"}
# What signed all the certificates here.
CA_SCHEME = SignatureScheme.ecdsa_secp256r1_sha256


def with_server_key(meet, key):
    """What our configuration and their options need for the server's key to be of this kind."""
    issued = certificates.server(key)
    if meet.column.is_client:
        return {"credentials": (credentials(issued),)}, {}
    return {}, meet.files.identity(issued)


@pytest.mark.feature("{suite}")
@pytest.mark.parametrize("suite", [*SUITES, *SUITES_12])
def test_suite(meet, suite):
    if meet.column.name == "nss client" and "_RSA_" in suite:
        cannot(NSS_AND_RSA)
    ours, their_options = with_server_key(meet, "rsa-2048" if "_RSA_" in suite else "ecdsa-p256")
    mine, theirs = meet(ours={"suites": (CipherSuite.parse(suite),), **ours}, theirs=their_options)
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.negotiated.suite == suite
    assert theirs.suite in {suite, None}


@pytest.mark.feature("{group}")
@pytest.mark.parametrize("group", GROUPS)
def test_group(meet, group):
    if reason := meet.column.lacks_group(group):
        cannot(reason)
    ours: dict[str, Any] = {"groups": (NamedGroup.parse(group),)}
    their_options: dict[str, Any] = {}
    if meet.column.name == "nss client":
        # It takes no RSA key of ours; with a preference of ours the curve of an ECDSA key may follow.
        ours["groups"] = tuple(dict.fromkeys((*ours["groups"], NamedGroup.secp256r1)))
    elif meet.tls12:
        # The curve of an ECDSA key must be offered too: RFC 8422 5.1.
        for_key, their_options = with_server_key(meet, "rsa-2048")
        ours |= for_key
    if group == OFFERED_BY_NOBODY or meet.column.peer.name in OFFERING_LITTLE:
        their_options["groups"] = (group,)
    mine, theirs = meet(ours=ours, theirs=their_options)
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.negotiated.group == group
    assert theirs.group in {group, None}


def identity_for(scheme: str, role: str) -> tuple[Issued, bytes]:
    """A certificate for a role whose key makes signatures of this scheme, and the key as PEM."""
    if scheme.startswith("rsa_pss_pss"):
        purpose = f"{role}Auth"
        return certificates.rsa_pss(purpose=purpose), certificates.rsa_pss_key_pem(purpose=purpose)
    key = KEYS[scheme.rpartition("_sha")[0] if scheme.startswith("rsa") else scheme]
    issued = certificates.server(key) if role == "server" else certificates.client(key)
    return issued, issued.key_pem


@pytest.mark.feature("{scheme}")
@pytest.mark.parametrize("scheme", [*SCHEMES, *SCHEMES_12])
def test_signature_scheme_of_both_sides(meet, scheme):
    if reason := meet.column.lacks_scheme(scheme):
        cannot(reason)
    if meet.column.name == "nss client" and scheme.startswith("rsa"):
        cannot(NSS_AND_RSA)
    if meet.tls12 and scheme == "ecdsa_secp521r1_sha512" and (reason := meet.column.lacks_group("secp521r1")):
        cannot(reason)
    number = SignatureScheme.parse(scheme)
    my_identity, _ = identity_for(scheme, "server" if meet.column.is_client else "client")
    their_identity, their_key = identity_for(scheme, "client" if meet.column.is_client else "server")
    ours = {
        "credentials": (signing_with(my_identity, number),),
        "schemes": tuple({number: None, CA_SCHEME: None}),
        "verifier": trusting(),
    }
    theirs = {
        "trust": meet.files.roots(certificates.ca()),
        "certificate": meet.files.write(their_identity.cert_pem),
        "key": meet.files.write(their_key, ".key"),
    }
    if meet.column.peer.name == "curl_cffi":  # which offers little by itself
        theirs["schemes"] = tuple({scheme: None, CA_SCHEME.name: None})
        theirs["groups"] = ("x25519", "secp256r1", "secp384r1", "secp521r1")
    if scheme in SCHEMES_12:
        # A server that cannot sign in TLS 1.3 must not speak it.
        ours["versions"] = (ProtocolVersion.TLS12,)
    if meet.column.is_client:
        ours["client_auth"] = ClientAuth.REQUIRE_AND_VERIFY
    else:
        theirs["client_auth"] = TheirClientAuth.REQUIRE
    mine, their_outcome = meet(ours, theirs)
    assert mine.ok, (mine, their_outcome)
    assert their_outcome.ok, their_outcome
    assert mine.negotiated.own_scheme == scheme
    if meet.tls12 and meet.column.peer.name in LEFT_TO_CHOOSE and scheme.startswith("ecdsa"):
        assert mine.negotiated.peer_scheme in {scheme, "ecdsa_secp256r1_sha256"}
    else:
        assert mine.negotiated.peer_scheme == scheme
    assert mine.peer_verified


@pytest.mark.feature("HelloRetryRequest")
def test_our_retry(meet_client):
    # Where all connections share a memory of groups by names, this is one that is new to it or had another.
    theirs = {"server_name": "server.example.com"} if meet_client.column.peer is DenoClient else {}
    mine, theirs = meet_client({"groups": (NamedGroup.secp384r1,)}, theirs)
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.negotiated.retried


@pytest.mark.feature("HelloRetryRequest")
def test_their_retry(meet_server):
    mine, theirs = meet_server(ours={"key_share_groups": ()})
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.negotiated.retried


@pytest.mark.feature("ALPN")
def test_application_protocol(meet):
    mine, theirs = meet(
        ours={"application_protocols": ("h2", "http/1.1") if not meet.column.is_client else ("http/1.1",)},
        theirs={"application_protocols": ("http/1.1",) if not meet.column.is_client else ("h2", "http/1.1")},
    )
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.negotiated.application_protocol == "http/1.1"
    if meet.column.peer.name not in {"nss", "pyreqwest", "uv", "granian"}:  # which do not tell
        assert theirs.application_protocol == "http/1.1"


@pytest.mark.feature("no common ALPN protocol")
def test_no_application_protocol_in_common_at_our_server(meet_client):
    mine, theirs = meet_client(
        ours={"application_protocols": ("ours",)}, theirs={"application_protocols": ("h2", "http/1.1")}
    )
    assert refused(mine, "no_common_application_protocol", Alert.no_application_protocol)
    assert heard(theirs, Alert.no_application_protocol)


@pytest.mark.feature("no common ALPN protocol")
def test_no_application_protocol_in_common_at_their_server(meet_server):
    mine, theirs = meet_server(
        ours={"application_protocols": ("ours",)}, theirs={"application_protocols": ("http/1.1",)}
    )
    if meet_server.column.peer.name in {"openssl", "nss", "go", "node", "deno", "jsse", "nginx", "granian"}:
        they_refused(meet_server, mine, theirs, ways.NO_COMMON_APPLICATION_PROTOCOL)
    else:  # the others go on without one
        assert mine.ok, mine
        assert theirs.ok, theirs
        assert mine.negotiated.application_protocol is None
        assert theirs.application_protocol is None


@pytest.mark.feature("server name (SNI)")
def test_server_name_that_they_ask_for(meet_client):
    mine, theirs = meet_client(theirs={"server_name": "server.example.com"})
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.negotiated.server_name == "server.example.com"


@pytest.mark.feature("server name (SNI)")
def test_server_name_that_we_ask_for(meet_server):
    mine, theirs = meet_server(server_name="server.example.com")
    assert mine.ok, mine
    assert theirs.ok, theirs
    if meet_server.column.peer.name in {"nss", "granian"}:
        cannot("it does not tell which name it was asked for")
    assert theirs.server_name == "server.example.com"


def one_version_each(meet):
    """Ours and theirs."""
    return (ProtocolVersion.TLS12, "1.3") if meet.tls12 else (ProtocolVersion.TLS13, "1.2")


@pytest.mark.feature("refused: no common version")
def test_their_client_speaks_another_version_only(meet_client):
    ours, their_version = one_version_each(meet_client)
    mine, theirs = meet_client(ours={"versions": (ours,)}, theirs={"version": their_version})
    assert refused(mine, "no_common_version", Alert.protocol_version, f"TLS {their_version}", encrypted=False)
    assert heard(theirs, Alert.protocol_version)


@pytest.mark.feature("refused: no common version")
def test_their_server_speaks_another_version_only(meet_server):
    ours, their_version = one_version_each(meet_server)
    mine, theirs = meet_server(ours={"versions": (ours,)}, theirs={"version": their_version})
    they_refused(meet_server, mine, theirs, ways.NO_COMMON_VERSION)


def different_suites(meet):
    """Ours and theirs."""
    if meet.tls12:
        return CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    return CipherSuite.TLS_AES_256_GCM_SHA384, "TLS_AES_128_GCM_SHA256"


@pytest.mark.feature("refused: no common suite")
def test_no_suite_in_common_at_our_server(meet_client):
    ours, their_suite = different_suites(meet_client)
    mine, theirs = meet_client(ours={"suites": (ours,)}, theirs={"suites": (their_suite,)})
    assert refused(mine, "no_common_suite", Alert.handshake_failure, their_suite)
    assert heard(theirs, Alert.handshake_failure)


@pytest.mark.feature("refused: no common suite")
def test_no_suite_in_common_at_their_server(meet_server):
    ours, their_suite = different_suites(meet_server)
    mine, theirs = meet_server(ours={"suites": (ours,)}, theirs={"suites": (their_suite,)})
    they_refused(meet_server, mine, theirs, ways.NO_COMMON_SUITE)


def different_groups(meet):
    """Our configuration and their options."""
    if meet.column.peer.name in {"pyopenssl", "deno", "jsse", "pyreqwest", "uv", "granian"}:  # which cannot choose
        if meet.tls12:
            cannot("it cannot choose groups, and has all that TLS 1.2 has here")
        return {"groups": (NamedGroup.parse(OFFERED_BY_NOBODY),)}, {}
    return {"groups": (NamedGroup.secp521r1,)}, {"groups": ("secp256r1",)}


@pytest.mark.feature("refused: no common group")
def test_no_group_in_common_at_our_server(meet_client):
    mine, theirs = meet_client(*different_groups(meet_client))
    assert refused(mine, "no_common_group", Alert.handshake_failure)
    assert heard(theirs, Alert.handshake_failure)


@pytest.mark.feature("refused: no common group")
def test_no_group_in_common_at_their_server(meet_server):
    mine, theirs = meet_server(*different_groups(meet_server))
    they_refused(meet_server, mine, theirs, ways.NO_COMMON_GROUP)


@pytest.mark.feature("refused: no common signature scheme")
def test_no_signature_scheme_in_common_at_our_server(meet_client):
    mine, theirs = meet_client(
        ours={"credentials": (credentials(certificates.server("ed25519")),)},
        theirs={"schemes": ("ecdsa_secp256r1_sha256", "rsa_pss_rsae_sha256")},
    )
    assert refused(mine, "no_common_scheme", Alert.handshake_failure, "rsa_pss_rsae_sha256")
    assert heard(theirs, Alert.handshake_failure)


@pytest.mark.feature("refused: no common signature scheme")
def test_no_signature_scheme_in_common_at_their_server(meet_server):
    mine, theirs = meet_server(
        ours={"schemes": (SignatureScheme.ecdsa_secp256r1_sha256,)},
        theirs=meet_server.files.identity(certificates.server("ed25519")),
    )
    they_refused(meet_server, mine, theirs, ways.NO_COMMON_SCHEME)
