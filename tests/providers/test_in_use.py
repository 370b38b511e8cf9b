"""A connection whose configuration names a provider gets every primitive that there is a choice of from there."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from handfast.config import config as configuration
from handfast.credentials.signers import LocalSigner
from handfast.crypto.provider import CRYPTOGRAPHY
from handfast.engine import ClientAuth, ClientConnection, Connection, Data, ServerConnection
from handfast.errors import ConfigError, LocalFailure
from handfast.handshake.seams import Seams
from handfast.roles import Role
from handfast.sessions.cache import SessionCache
from handfast.sessions.tickets import SealedTickets
from tests import certificates
from tests.protocol.ours import both_roles, client, credentials, server
from tests.protocol.sessions import KnownJudge
from tests.protocol.test_splitting import seams

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.crypto.provider import CryptoProvider

ANY_SIZE = [1, 64, 2048, 2049, 16384, 40_000]
# TLS 1.2 has no hybrids.
SUITES_AND_GROUPS = [
    *product((0x1301, 0x1302, 0x1303), (0x11EC, 0x001D, 0x0017)),
    *product((0xC02B, 0xC02C, 0xCCA9), (0x001D, 0x0017)),
]
PRIMITIVES = ("generate", "encapsulate", "signer", "verify", "verify_12")


def counting(provider: CryptoProvider, counted: Counter[str]) -> CryptoProvider:
    """This provider, which counts what it is asked for."""

    def counts(name: str, primitive: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*given: Any) -> Any:
            counted[name] += 1
            return primitive(*given)

        return asked

    aeads = {number: counts("aead", make) for number, make in provider.aeads.items()}
    others: dict[str, Any] = {name: counts(name, getattr(provider, name)) for name in PRIMITIVES}
    return replace(provider, aeads=aeads, **others)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, aws_lc: CryptoProvider) -> dict[str, Counter[str]]:
    """What the connections of each provider are given, by the provider's name."""
    counted = {"aws-lc": Counter[str](), "cryptography": Counter[str]()}
    mine = counting(aws_lc, counted["aws-lc"])
    monkeypatch.setattr(configuration, "provider_named", lambda name: mine if name == "aws-lc" else CRYPTOGRAPHY)
    return counted


def shake(ours: ClientConnection, theirs: ServerConnection) -> None:
    """Let them speak until neither has anything to say."""
    while (said := ours.outgoing()) or theirs.wants_write:
        theirs.receive(said)
        ours.receive(theirs.outgoing())
    assert ours.connected, ours.error
    assert theirs.connected, theirs.error


def talk(one: Connection, other: Connection) -> None:
    """Data of every size, in both directions, before and after new keys."""
    for sender, receiver in ((one, other), (other, one), (one, other)):
        for size in ANY_SIZE:
            data = (b"%d " % size * size)[:size]
            sender.send(data)
            got = receiver.receive(sender.outgoing())
            assert b"".join(result.data for result in got if isinstance(result, Data)) == data
        if one.info.version == 0x0304:
            sender.update_keys()
            receiver.receive(sender.outgoing())


def mutual(**options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a client and a server need to show certificates to each other."""
    return (
        {"credentials": (credentials(certificates.client()),), **options},
        {"client_auth": ClientAuth.REQUIRE_AND_VERIFY, **options},
    )


@pytest.mark.parametrize("group", [0x11EC, 0x001D, 0x0017, 0x0018])
def test_every_primitive_of_a_handshake(asked: dict[str, Counter[str]], group: int) -> None:
    for_client, for_server = mutual(groups=(group,))
    ours, theirs = client(**for_client), server(**for_server)
    shake(ours, theirs)
    assert asked["aws-lc"] == {"generate": 1, "encapsulate": 1, "signer": 2, "verify": 2, "aead": 8}
    talk(ours, theirs)
    assert asked["aws-lc"]["aead"] == 8 + 2 * 3


@pytest.mark.parametrize("suite", [0xC02B, 0xC02C, 0xCCA9])
def test_every_primitive_in_tls_1_2(asked: dict[str, Counter[str]], suite: int) -> None:
    for_client, for_server = mutual(versions=(0x0303,), suites=(suite,))
    ours, theirs = client(**for_client), server(**for_server)
    shake(ours, theirs)
    talk(ours, theirs)
    assert asked["aws-lc"] == {"generate": 2, "signer": 2, "verify_12": 2, "aead": 4}


@both_roles
@pytest.mark.parametrize(("suite", "group"), SUITES_AND_GROUPS)
def test_with_a_peer_of_the_default_provider(role: Role, suite: int, group: int) -> None:
    # In TLS 1.2 the groups speak of certificates, too.
    groups = tuple(dict.fromkeys((group, 0x0017)))
    for_client, for_server = mutual(suites=(suite,), groups=groups, versions=(0x0304, 0x0303))
    (for_server if role is Role.CLIENT else for_client)["crypto_provider"] = "cryptography"
    ours, theirs = client(**for_client), server(**for_server)
    shake(ours, theirs)
    assert (ours.info.suite, ours.info.group) == (suite, group)
    talk(ours, theirs)


@both_roles
def test_a_resumed_session_may_be_another_providers(role: Role) -> None:
    sessions, tickets = SessionCache(), SealedTickets()
    for_client, for_server = mutual()
    for_client["sessions"], for_server["tickets"] = sessions, tickets
    changing = for_client if role is Role.CLIENT else for_server
    for_client["verifier"] = for_server["verifier"] = KnownJudge()
    for number, name in enumerate(("aws-lc", "cryptography", "aws-lc")):
        changing["crypto_provider"] = name
        ours, theirs = client(**for_client), server(**for_server)
        shake(ours, theirs)
        assert ours.info.resumed == theirs.info.resumed == (number > 0)
        talk(ours, theirs)


@pytest.mark.parametrize(("first", "chosen"), [("cryptography", "aws-lc"), ("aws-lc", "cryptography")])
def test_the_chosen_configuration_says_who(asked: dict[str, Counter[str]], first: str, chosen: str) -> None:
    _, for_server = mutual(crypto_provider=chosen)
    config = server(**for_server)._handshake.config
    for_client, _ = mutual(crypto_provider="cryptography")
    ours, theirs = client(**for_client), server(choose_config=lambda hello: config, crypto_provider=first)
    shake(ours, theirs)
    talk(ours, theirs)
    expected = {"encapsulate": 1, "signer": 1, "verify": 1, "aead": 4 + 3}
    assert asked["aws-lc"] == (expected if chosen == "aws-lc" else {})


def test_authentication_after_the_handshake(asked: dict[str, Counter[str]]) -> None:
    for_client, for_server = mutual()
    ours, theirs = (
        client(post_handshake_auth=True, **for_client),
        server(**{**for_server, "client_auth": ClientAuth.NONE}),
    )
    shake(ours, theirs)
    before = asked["aws-lc"].copy()
    theirs.request_client_certificate(client_auth=ClientAuth.REQUIRE_AND_VERIFY)
    shake(ours, theirs)
    assert asked["aws-lc"] - before == {"signer": 1, "verify": 1}


def failing(*_: Any) -> Any:
    raise RuntimeError("a primitive that fails")


@pytest.mark.parametrize("primitive", ["generate", "encapsulate", "signer", "verify", "aeads"])
def test_what_fails_is_an_error_and_not_the_default_providers(
    monkeypatch: pytest.MonkeyPatch, aws_lc: CryptoProvider, primitive: str
) -> None:
    value: Any = dict.fromkeys(aws_lc.aeads, failing) if primitive == "aeads" else failing
    broken = replace(aws_lc, **{primitive: value})
    monkeypatch.setattr(configuration, "provider_named", lambda name: broken)
    for_client, for_server = mutual()
    with pytest.raises(LocalFailure) as caught:
        shake(client(**for_client), server(**for_server))
    assert caught.value.code in {"internal_error", "signing_failed"}
    assert "cause" not in vars(caught.value)


def test_signers_of_others_sign_by_themselves(asked: dict[str, Counter[str]]) -> None:
    class Own(LocalSigner):
        """Somebody's code."""

    issued = certificates.server()
    mine = replace(credentials(issued), signer=Own(issued.key))
    shake(client(), server(credentials=(mine,)))
    assert asked["aws-lc"]["signer"] == 0


@both_roles
def test_keys_in_the_seams_are_the_default_providers(role: Role) -> None:
    with pytest.raises(ConfigError) as caught:
        (client if role is Role.CLIENT else server)(seams=seams())
    assert caught.value.code == "bad_option"
    assert "seams" in str(caught.value)
    (client if role is Role.CLIENT else server)(seams=seams(), crypto_provider="cryptography")


def test_other_seams_are_nobodys_concern(asked: dict[str, Counter[str]]) -> None:
    for_client, for_server = mutual()
    clocks: Any = {"seams": Seams(clock=lambda: 1_800_000_000.0)}
    shake(client(**clocks, **for_client), server(**clocks, **for_server))
    assert asked["aws-lc"]["encapsulate"] == 1


def test_keys_in_the_seams_of_a_chosen_configuration() -> None:
    config = server()._handshake.config
    ours = client(crypto_provider="cryptography", groups=(0x001D,))
    theirs = server(choose_config=lambda hello: config, crypto_provider="cryptography", seams=seams())
    with pytest.raises(ConfigError):
        theirs.receive(ours.outgoing())
    assert theirs.error is not None
