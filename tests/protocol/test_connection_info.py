"""What ``info`` says of a connection: members of the registries, in both roles and versions, which print as names."""

from __future__ import annotations

import pytest

from handfast.connection_info import ConnectionInfo
from handfast.credentials.credentials import Credentials
from handfast.crypto import signatures
from handfast.engine import ClientAuth, ClientConfig, ServerConfig
from handfast.registry import CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme
from handfast.roles import Role
from tests import certificates
from tests.passive.recorded import Pair
from tests.protocol.ours import Judge, credentials

NUMBERS = {"suites": (0x1301, 0xC02B), "groups": (0x0017,), "schemes": (0x0403,)}
MEMBERS = {
    "suites": (CipherSuite.TLS_AES_128_GCM_SHA256, CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    "groups": (NamedGroup.secp256r1,),
    "schemes": (SignatureScheme.ecdsa_secp256r1_sha256,),
}
SUITES = {
    ProtocolVersion.TLS12: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    ProtocolVersion.TLS13: "TLS_AES_128_GCM_SHA256",
}


class ForeignSigner:
    """A signer that names its scheme by number."""

    schemes = (0x0403,)

    def __init__(self, key):
        self._key = key

    def sign(self, scheme, message):
        return signatures.sign(self._key, scheme, message)


def foreign(issued):
    return Credentials(issued.chain, ForeignSigner(issued.key))


@pytest.mark.parametrize("version", SUITES, ids=str)
@pytest.mark.parametrize(("options", "own"), [(MEMBERS, credentials), (NUMBERS, foreign)], ids=["members", "numbers"])
def test_what_was_negotiated_are_members_that_print_as_names(version, options, own):
    settings = {"versions": (int(version),), "verifier": Judge(), **options}
    pair = Pair(
        ClientConfig(credentials=(own(certificates.client()),), **settings),
        ServerConfig(credentials=(own(certificates.server()),), client_auth=ClientAuth.REQUIRE_AND_VERIFY, **settings),
    )
    pair.settle()
    for end in (pair.client, pair.server):
        info = end.info
        assert info.complete
        said = (info.version, info.suite, info.group, info.peer_scheme, info.own_scheme)
        kinds = (ProtocolVersion, CipherSuite, NamedGroup, SignatureScheme, SignatureScheme)
        assert tuple(map(type, said)) == kinds
        names = (str(version), SUITES[version], "secp256r1", "ecdsa_secp256r1_sha256", "ecdsa_secp256r1_sha256")
        assert tuple(map(str, said)) == names
        assert f"version={version}, suite={SUITES[version]}, group=secp256r1" in repr(info)
        # They equal what stands on the wire.
        assert said[2:] == (0x0017, 0x0403, 0x0403)
        assert info.version == (0x0304 if version is ProtocolVersion.TLS13 else 0x0303)


@pytest.mark.parametrize("role", Role)
def test_nothing_is_said_of_what_was_not_negotiated(role):
    info = ConnectionInfo(role)
    assert (info.version, info.suite, info.group, info.peer_scheme, info.own_scheme) == (None,) * 5
