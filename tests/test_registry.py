"""Names of numbers: those that are registered, and those that people know them by."""

from __future__ import annotations

import json
import ssl
from typing import Any

import pytest

from handfast.cli import options
from handfast.crypto.groups import ALL_GROUPS
from handfast.crypto.signatures import LEGACY_CLIENT_SCHEMES, SUPPORTED_SCHEMES
from handfast.engine import ServerConfig
from handfast.errors import ConfigError
from handfast.registry import _ALIASES, CipherSuite, NamedGroup, ProtocolVersion, Registry, SignatureScheme
from handfast.tools.endpoint import flags

SPOKEN: dict[type[Registry], tuple[int, ...]] = {
    ProtocolVersion: tuple(ServerConfig.versions),
    CipherSuite: tuple(ServerConfig.suites),
    NamedGroup: ALL_GROUPS,
    SignatureScheme: (*SUPPORTED_SCHEMES, *LEGACY_CLIENT_SCHEMES),
}
NAMES = [(registry, number, registry.describe(number)) for registry in SPOKEN for number in SPOKEN[registry]]
NAMES += [
    (registry, number, name)
    for registry in SPOKEN
    for number, names in _ALIASES[registry.__name__].items()
    for name in names.split()
]
FLAGS: dict[type[Registry], str] = {
    ProtocolVersion: "--tls",
    CipherSuite: "--suites",
    NamedGroup: "--groups",
    SignatureScheme: "--schemes",
}


@pytest.mark.parametrize(("registry", "number", "name"), NAMES, ids=[name for _, _, name in NAMES])
def test_every_name_and_alias_is_taken_wherever_names_are_given(
    registry: type[Registry], number: int, name: str
) -> None:
    for spelled in (name, name.lower(), name.upper(), name.replace("-", "_")):
        assert registry.parse(spelled) == number
    given = flags.parser().parse_args(["--role", "client", "--connect", "host:1", FLAGS[registry], name])
    assert tuple(vars(given)[FLAGS[registry][2:]]) == (number,)
    asked: dict[type[Registry], Any] = {
        ProtocolVersion: ((name,), None, None, None),
        CipherSuite: ((), name, None, None),
        NamedGroup: ((), None, name, None),
    }
    if registry in asked:
        assert list(options.parameters(*asked[registry]).values()) == [(number,)]


@pytest.mark.parametrize("registry", SPOKEN, ids=lambda registry: registry.__name__)
def test_no_name_means_two_numbers(registry: type[Registry]) -> None:
    for member in registry:
        assert registry.parse(member.name) is member
        assert registry.parse(registry.describe(member)) is member
    taken = [name for names in _ALIASES[registry.__name__].values() for name in names.split()]
    assert len(set(taken)) == len(taken)


@pytest.mark.parametrize("registry", SPOKEN, ids=lambda registry: registry.__name__)
def test_members_print_as_their_names_and_equal_their_numbers(registry: type[Registry]) -> None:
    for member in registry:
        assert str(member) == repr(member) == f"{member}" == registry.describe(int(member))
        assert f"{member:#06x}" == f"{int(member):#06x}"
        assert json.dumps(member) == str(int(member))


def test_many_names() -> None:
    assert NamedGroup.describe_all(()) == "nothing"
    assert NamedGroup.describe_all((0x0A0A, 29, 0x1A1A, 23)) == "x25519, secp256r1, GREASE"
    assert NamedGroup.describe_all([29, 23, 24], most=1) == "x25519 and 2 more"
    assert len(NamedGroup.describe_all(range(2**16))) < 1000


def test_openssls_names_of_suites_are_known() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    for suite in context.get_ciphers():
        assert CipherSuite.parse(suite["name"]) == suite["id"] & 0xFFFF


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (((), None, "P-255", None), "unknown name 'P-255'"),
        (((), None, "ffdhe2048", None), "does not speak ffdhe2048"),
        (((), "ECDHE-RSA-AES128-SHA", None, None), "unknown name"),
        ((("1.1",), None, None, None), "does not speak '1.1'"),
        ((("SSLv3",), None, None, None), "does not speak 'SSLv3'"),
    ],
)
def test_what_is_not_spoken_is_refused_by_name(given: tuple[Any, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        options.parameters(*given)
