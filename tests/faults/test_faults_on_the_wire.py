"""Every fault case between two of our connections: who notices, what it says, and what it tells the other side.

The names in the certificates are others in every run. Each case is met in the role that its row names, and its kind
also in the other role: ``TWINS`` are rows that are each other's mirror image, ``MIRRORED`` makes those that have none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from handfast.credentials.credentials import Credentials
from handfast.credentials.signers import LocalSigner
from handfast.errors import ConfigError, PeerMisbehaved, PeerRejected
from handfast.pki.fault_scene import Scene, general_names, with_other_key, wrong_order
from handfast.pki.faults import FAULTS, Fault, FaultNames, FaultSet, Role, build_fault, write_fault
from handfast.registry import AlertDescription
from handfast.x509 import pem
from tests import certificates

from .meeting import Settings, new_seed, other, random_names

if TYPE_CHECKING:
    from pathlib import Path

    from handfast.pki.authority import Issued

ON_THE_WIRE = [fault for fault in FAULTS.values() if fault.error is not ConfigError]
IN_FILES = [fault for fault in FAULTS.values() if fault.error is ConfigError]


@pytest.fixture
def names() -> FaultNames:
    return random_names(new_seed())


@pytest.mark.parametrize("fault", ON_THE_WIRE, ids=lambda fault: fault.name)
def test_a_case_on_the_wire(fault: Fault, names: FaultNames) -> None:
    made = build_fault(fault.name, names)
    meeting = Settings(made).meet()
    if fault.code is None or fault.alert is None:
        meeting.assert_complete()
        return
    meeting.assert_refused(fault.role, fault.code, fault.alert)
    culprit = made.server if fault.role is Role.SERVER else made.client
    info = meeting.sides[other(fault.role)].info
    assert info.peer_chain == (() if culprit is None else culprit.chain)
    if culprit is not None:
        assert info.peer is not None
        assert info.peer.verdict.code == fault.code
        assert info.peer.verdict.path == ()


@pytest.mark.parametrize("role", Role)
def test_our_own_side_does_not_load_a_weak_key(role: Role, names: FaultNames, tmp_path: Path) -> None:
    name = "rsa-1024" if role is Role.SERVER else "client-rsa-1024"
    write_fault(name, tmp_path, names)
    with pytest.raises(ConfigError) as caught:
        Credentials.from_files(tmp_path / f"{role}.pem", tmp_path / f"{role}.key")
    assert caught.value.code == "weak_key"


# The other role

TWINS = {
    "wrong-ca": "client-wrong-ca",
    "same-name-ca": "client-same-name-ca",
    "expired": "client-expired",
    "not-yet-valid": "client-not-yet-valid",
    "client-purpose": "client-server-purpose",
    "missing-intermediate": "client-missing-intermediate",
    "self-signed": "client-self-signed",
    "rsa-1024": "client-rsa-1024",
    "issuer-not-a-ca": "client-issuer-not-a-ca",
    "no-digital-signature": "client-no-digital-signature",
    "key-mismatch": "client-key-mismatch",
}
# Both sides have it already, or there is nothing to mirror: files know no role, and a server without a certificate
# cannot be configured.
SYMMETRIC = {"good", "good-intermediate", "good-crl"}
ROLELESS = {"client-key-encrypted", "client-chain-order", "client-der", "client-swapped", "client-none"}


class Mirrored(NamedTuple):
    """A case with the fault on the other side; ``code`` is None where that side's certificate is no fault."""

    role: Role
    code: str | None
    build: Callable[[Scene], FaultSet]


def _client(**changes: Any) -> Callable[[Scene], FaultSet]:
    return lambda scene: scene.case(client=scene.client(**changes))


def _client_named(which: str) -> Callable[[Scene], FaultSet]:
    return lambda scene: scene.case(client=scene.client(names=general_names(getattr(scene.names, which))))


def _constrained(scene: Scene) -> FaultSet:
    names = general_names(scene.names.host)
    return scene.case(client=scene.client(scene.constrained_ca(), names=names))


def _named_by_uri_too(scene: Scene) -> FaultSet:
    return scene.case(server=scene.server(names=general_names(scene.names.client_uri, scene.names.host)))


def _revoked(scene: Scene) -> FaultSet:
    server = scene.server()
    return scene.case(server=server, crl=scene.crl(server))


# What a client is called is for the application to judge, so no name of a client's is wrong in itself.
MIRRORED = {
    "wrong-san": Mirrored(Role.CLIENT, None, _client_named("other_host")),
    "no-san": Mirrored(Role.CLIENT, None, _client(names=())),
    "no-san-by-address": Mirrored(Role.CLIENT, None, _client(names=())),
    "email-only-san": Mirrored(Role.CLIENT, None, _client_named("email")),
    "address-not-in-san": Mirrored(Role.CLIENT, None, _client_named("host")),
    "name-constraints": Mirrored(Role.CLIENT, "name_constraint", _constrained),
    "no-aki": Mirrored(Role.CLIENT, None, _client(authority_key_identifier=False)),
    "good-client-uri": Mirrored(Role.SERVER, None, _named_by_uri_too),
    "client-revoked": Mirrored(Role.SERVER, "revoked", _revoked),
    "client-stale-crl": Mirrored(Role.SERVER, "revocation_stale", lambda scene: scene.case(crl=scene.stale_crl())),
}
ALERTS = {
    "name_constraint": AlertDescription.bad_certificate,
    "revoked": AlertDescription.certificate_revoked,
    "revocation_stale": AlertDescription.internal_error,
}


def test_every_case_is_met_in_both_roles() -> None:
    assert FAULTS.keys() == {*TWINS, *TWINS.values(), *MIRRORED, *SYMMETRIC, *ROLELESS}
    for server, client in TWINS.items():
        assert FAULTS[server].code == FAULTS[client].code
        assert (FAULTS[server].role, FAULTS[client].role) == (Role.SERVER, Role.CLIENT)


@pytest.mark.parametrize("name", MIRRORED)
def test_a_case_in_the_other_role(name: str, names: FaultNames) -> None:
    mirrored = MIRRORED[name]
    made = mirrored.build(Scene(names, datetime.now(UTC)))
    meeting = Settings(made, crl_at=other(mirrored.role)).meet()
    if mirrored.code is None:
        meeting.assert_complete()
    else:
        meeting.assert_refused(mirrored.role, mirrored.code, ALERTS[mirrored.code])


def test_a_list_that_is_good_at_the_client(names: FaultNames) -> None:
    Settings(build_fault("good-crl", names), crl_at=Role.CLIENT).meet().assert_complete()


def test_a_server_without_a_certificate_cannot_be_configured(names: FaultNames) -> None:
    settings = Settings(build_fault("good", names))
    with pytest.raises(ConfigError) as caught:
        replace(settings.server, credentials=())
    assert caught.value.code == "no_credentials"


# Files


def _with_password(fault: Fault, made: FaultSet, names: FaultNames, directory: Path) -> Credentials:
    return Credentials.from_files(*_paths(directory, fault.role), names.key_password)


def _swapped_back(fault: Fault, made: FaultSet, names: FaultNames, directory: Path) -> Credentials:
    cert, key = _paths(directory, fault.role)
    return Credentials.from_files(key, cert)


def _converted(fault: Fault, made: FaultSet, names: FaultNames, directory: Path) -> Credentials:
    cert, key = _paths(directory, fault.role)
    return Credentials.from_pem(pem.encode("CERTIFICATE", cert.read_bytes()), key.read_bytes())


def _reordered(fault: Fault, made: FaultSet, names: FaultNames, directory: Path) -> Credentials:
    cert, key = _paths(directory, fault.role)
    first, second = (block.encoded for block in pem.blocks(cert.read_bytes()))
    return Credentials.from_pem(second + b"\n" + first, key.read_bytes())


# What the error's hint says. A key that is lost cannot be put right.
REPAIRS: dict[str, Callable[[Fault, FaultSet, FaultNames, Path], Credentials]] = {
    "password_needed": _with_password,
    "swapped": _swapped_back,
    "der_as_pem": _converted,
    "chain_order": _reordered,
}


def _paths(directory: Path, role: Role) -> tuple[Path, Path]:
    return directory / f"{role}.pem", directory / f"{role}.key"


@pytest.mark.parametrize("fault", IN_FILES, ids=lambda fault: fault.name)
def test_files_at_fault_stop_their_own_side(fault: Fault, names: FaultNames, tmp_path: Path) -> None:
    """And nothing else is wrong with the case: once the files are put right, both sides are content."""
    made, _ = write_fault(fault.name, tmp_path, names)
    with pytest.raises(ConfigError) as caught:
        Credentials.from_files(*_paths(tmp_path, fault.role))
    assert caught.value.code == fault.code
    assert str(tmp_path) in caught.value.what
    assert caught.value.hint
    assert caught.value.alert is None
    healthy = Credentials.from_files(*_paths(tmp_path, other(fault.role)))
    if fault.code not in REPAIRS:
        assert fault.code == "key_mismatch"
        return
    repaired = REPAIRS[fault.code](fault, made, names, tmp_path)
    Settings(made, instead={fault.role: repaired, other(fault.role): healthy}).meet().assert_complete()


def _with_other_key(scene: Scene, role: Role) -> Issued:
    return with_other_key(scene.server() if role is Role.SERVER else scene.client())


def _in_wrong_order(scene: Scene, role: Role) -> Issued:
    issuer = scene.intermediate
    return wrong_order(scene.server(issuer) if role is Role.SERVER else scene.client(issuer))


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("build", [_with_other_key, _in_wrong_order])
def test_a_stack_that_does_not_look_at_its_files(
    build: Callable[[Scene, Role], Issued], role: Role, names: FaultNames
) -> None:
    """It shows a certificate whose key it does not have: that is no matter of trust any more."""
    scene = Scene(names, datetime.now(UTC))
    culprit = build(scene, role)
    careless = certificates.Careless(culprit.chain, LocalSigner(culprit.key))
    meeting = Settings(scene.case(), instead={role: careless}).meet()
    refusal, told = meeting.error(other(role)), meeting.error(role)
    assert isinstance(refusal, PeerMisbehaved)
    assert refusal.code == "bad_signature"
    assert "do not belong together" in refusal.hint
    assert isinstance(told, PeerRejected)
    assert told.code == AlertDescription.decrypt_error.name
    assert meeting.heard[other(role)] == b""
