"""Deliberately broken certificates: one table of what goes wrong with mutual TLS in practice.

Each case is a healthy pair of server and client with one thing changed. The table says which side is at fault, what is
wrong, and the code of the error that must come of it: a certificate that the other side refuses (CertificateRejected),
files that their own side cannot use (ConfigError), or none, for what other stacks refuse and we have no reason to. The
names in the certificates are the caller's, so that no case is recognised by its labels.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from handfast.errors import CertificateRejected, ConfigError, HandfastError, bad_option
from handfast.pki.directory import write_files
from handfast.pki.fault_scene import (
    FaultNames,
    FaultSet,
    Scene,
    general_names,
    leaf_only,
    self_signed,
    weak_key,
    with_other_key,
    wrong_order,
)
from handfast.pki.issued import certificate_der
from handfast.pki.template import CLIENT_AUTH, SERVER_AUTH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from os import PathLike
    from pathlib import Path

    from handfast.registry import AlertDescription

__all__ = ["FAULTS", "Fault", "FaultNames", "FaultSet", "Role", "build_fault", "write_fault"]

_ENCIPHERMENT_ONLY = frozenset({"key_encipherment"})


class Role(StrEnum):
    """The side whose certificate or files are at fault; the client's in a case without a fault."""

    SERVER = "server"
    CLIENT = "client"


class Fault(NamedTuple):
    """One row: ``code`` is the code of an ``error``; both are None when the case must be accepted."""

    name: str
    role: Role
    what: str
    error: type[HandfastError] | None
    code: str | None
    build: Callable[[Scene], FaultSet]

    @property
    def alert(self) -> AlertDescription | None:
        """What the side that refuses tells the other one, None if it tells nothing."""
        return self.error.catalogue[self.code].alert if self.error and self.code else None


def build_fault(name: str, names: FaultNames | None = None, *, now: datetime | None = None) -> FaultSet:
    """The case of this name, newly made, as it is at the time ``now``; ConfigError(bad_option) for an unknown name."""
    fault = FAULTS.get(name)
    if fault is None:
        raise bad_option(f"fault {name!r}", "there is no such case", f"use {', '.join(FAULTS)}")
    return fault.build(Scene(names or FaultNames(), now or datetime.now(UTC)))


def write_fault(
    name: str, directory: str | PathLike[str], names: FaultNames | None = None, *, replace: bool = False
) -> tuple[FaultSet, tuple[Path, ...]]:
    """Build a case and write its files, all or none; raises what `build_fault` and `write_files` raise."""
    made = build_fault(name, names)
    return made, write_files(directory, made.files, replace=replace)


def _healthy() -> Iterable[Fault]:
    def case(name: str, what: str, build: Callable[[Scene], FaultSet]) -> Fault:
        return Fault(name, Role.CLIENT, what, None, None, build)

    yield case("good", "nothing", lambda s: s.case())
    yield case(
        "good-intermediate",
        "nothing; both chains have an intermediate",
        lambda s: s.case(server=s.server(s.intermediate), client=s.client(s.intermediate)),
    )
    yield case(
        "good-client-uri",
        "nothing; the client's name is a URI",
        lambda s: s.case(client=s.client(names=general_names(s.names.client_uri))),
    )
    yield case(
        "good-crl",
        "nothing; the revocation list holds another certificate",
        lambda s: s.case(crl=s.crl(s.client())),
    )


def _server_case(name: str, code: str | None, what: str, build: Callable[[Scene], FaultSet]) -> Fault:
    return Fault(name, Role.SERVER, what, CertificateRejected if code else None, code, build)


def _server_names_and_dates() -> Iterable[Fault]:
    """Refused by the client for what the certificate itself says."""
    case = _server_case
    yield case(
        "wrong-san",
        "name_mismatch",
        "subjectAltName holds another host only",
        lambda s: s.case(server=s.server(names=general_names(s.names.other_host))),
    )
    yield case(
        "no-san",
        "no_subject_alternative_name",
        "there is no subjectAltName, the host is in the CN only",
        lambda s: s.case(server=s.server(names=())),
    )
    yield case(
        "no-san-by-address",
        "no_subject_alternative_name",
        "there is no subjectAltName, and the client goes to the address",
        lambda s: s.case(server=s.server(names=()), host=s.names.address),
    )
    yield case(
        "email-only-san",
        "name_mismatch",
        "subjectAltName holds an e-mail address only",
        lambda s: s.case(server=s.server(names=general_names(s.names.email))),
    )
    yield case(
        "address-not-in-san",
        "name_mismatch",
        "subjectAltName holds the host, and the client goes to the address",
        lambda s: s.case(server=s.server(names=general_names(s.names.host)), host=s.names.address),
    )
    yield case("expired", "expired", "it expired 2 days ago", lambda s: s.case(server=s.server(**s.expired())))
    yield case(
        "not-yet-valid", "not_yet_valid", "it is valid in 20 days", lambda s: s.case(server=s.server(**s.future()))
    )
    yield case(
        "client-purpose",
        "wrong_purpose",
        "extendedKeyUsage says clientAuth only",
        lambda s: s.case(server=s.server(extended_key_usage=(CLIENT_AUTH,))),
    )


def _server_chains_and_keys() -> Iterable[Fault]:
    """Refused by the client for who issued the certificate and with what key, with one exception."""
    case = _server_case
    yield case("wrong-ca", "unknown_issuer", "another root issued it", lambda s: s.case(server=s.server(s.other_ca())))
    yield case(
        "same-name-ca",
        "same_name_other_key",
        "a root with the name of the trusted one and another key issued it",
        lambda s: s.case(server=s.server(s.twin_ca())),
    )
    yield case(
        "missing-intermediate",
        "missing_intermediate",
        "the intermediate that issued it is not sent",
        lambda s: s.case(server=leaf_only(s.server(s.intermediate)), with_intermediate=True),
    )
    yield case(
        "self-signed", "self_signed", "it signs itself", lambda s: s.case(server=self_signed(s.server_template()))
    )
    yield case("rsa-1024", "weak_key", "an RSA key of 1024 bits", lambda s: s.case(server=s.server(key=weak_key())))
    yield case(
        "issuer-not-a-ca",
        "issuer_not_a_ca",
        "a certificate that is no CA's issued it",
        lambda s: s.case(server=s.server(s.leaf_as_ca())),
    )
    yield case(
        "name-constraints",
        "name_constraint",
        "its CA may issue for another domain only",
        lambda s: s.case(server=s.server(s.constrained_ca())),
    )
    yield case(
        "no-aki",
        None,
        "there is no authorityKeyIdentifier, which strict verifiers want",
        lambda s: s.case(server=s.server(authority_key_identifier=False)),
    )
    yield case(
        "no-digital-signature",
        "key_may_not_sign",
        "keyUsage says keyEncipherment only",
        lambda s: s.case(server=s.server(key_usage=_ENCIPHERMENT_ONLY)),
    )


def _client_certificates() -> Iterable[Fault]:
    """Refused by the server."""

    def case(name: str, code: str, what: str, build: Callable[[Scene], FaultSet]) -> Fault:
        return Fault(f"client-{name}", Role.CLIENT, what, CertificateRejected, code, build)

    yield case("none", "certificate_required", "the client has none", lambda s: s.case(without_client=True))
    yield case("wrong-ca", "unknown_issuer", "another root issued it", lambda s: s.case(client=s.client(s.other_ca())))
    yield case(
        "same-name-ca",
        "same_name_other_key",
        "a root with the name of the trusted one and another key issued it",
        lambda s: s.case(client=s.client(s.twin_ca())),
    )
    yield case("expired", "expired", "it expired 2 days ago", lambda s: s.case(client=s.client(**s.expired())))
    yield case(
        "not-yet-valid", "not_yet_valid", "it is valid in 20 days", lambda s: s.case(client=s.client(**s.future()))
    )
    yield case(
        "server-purpose",
        "wrong_purpose",
        "extendedKeyUsage says serverAuth only",
        lambda s: s.case(client=s.client(extended_key_usage=(SERVER_AUTH,))),
    )
    yield case(
        "missing-intermediate",
        "missing_intermediate",
        "the intermediate that issued it is not sent",
        lambda s: s.case(client=leaf_only(s.client(s.intermediate)), with_intermediate=True),
    )
    yield case(
        "self-signed", "self_signed", "it signs itself", lambda s: s.case(client=self_signed(s.client_template()))
    )
    yield case("revoked", "revoked", "the server's revocation list holds it", _revoked)
    yield case(
        "stale-crl",
        "revocation_stale",
        "it is good, and the server's revocation list ended yesterday",
        lambda s: s.case(crl=s.stale_crl()),
    )
    yield case(
        "no-digital-signature",
        "key_may_not_sign",
        "keyUsage says keyEncipherment only",
        lambda s: s.case(client=s.client(key_usage=_ENCIPHERMENT_ONLY)),
    )
    yield case(
        "issuer-not-a-ca",
        "issuer_not_a_ca",
        "a certificate that is no CA's issued it",
        lambda s: s.case(client=s.client(s.leaf_as_ca())),
    )
    yield case("rsa-1024", "weak_key", "an RSA key of 1024 bits", lambda s: s.case(client=s.client(key=weak_key())))


def _files() -> Iterable[Fault]:
    """Refused by their own side, before it connects to anybody."""

    def case(name: str, role: Role, code: str, what: str, build: Callable[[Scene], FaultSet]) -> Fault:
        return Fault(name, role, what, ConfigError, code, build)

    yield case(
        "key-mismatch",
        Role.SERVER,
        "key_mismatch",
        "the key belongs to another certificate",
        lambda s: s.case(server=with_other_key(s.server())),
    )
    yield case(
        "client-key-mismatch",
        Role.CLIENT,
        "key_mismatch",
        "the key belongs to another certificate",
        lambda s: s.case(client=with_other_key(s.client())),
    )
    yield case("client-key-encrypted", Role.CLIENT, "password_needed", "the key has a password", _encrypted)
    yield case(
        "client-chain-order",
        Role.CLIENT,
        "chain_order",
        "the intermediate comes first and the leaf second",
        lambda s: s.case(client=wrong_order(s.client(s.intermediate))),
    )
    yield case("client-der", Role.CLIENT, "der_as_pem", "the certificate file is DER", _der)
    yield case("client-swapped", Role.CLIENT, "swapped", "certificate and key file are exchanged", _swapped)


def _revoked(scene: Scene) -> FaultSet:
    client = scene.client()
    return scene.case(client=client, crl=scene.crl(client))


def _encrypted(scene: Scene) -> FaultSet:
    client = scene.client()
    return scene.case(client=client, files={"client.key": client.encrypted_key_pem(scene.names.key_password)})


def _der(scene: Scene) -> FaultSet:
    client = scene.client()
    return scene.case(client=client, files={"client.pem": certificate_der(client.certificate)})


def _swapped(scene: Scene) -> FaultSet:
    client = scene.client()
    return scene.case(client=client, files={"client.pem": client.key_pem, "client.key": client.cert_pem})


_GROUPS = (_healthy, _server_names_and_dates, _server_chains_and_keys, _client_certificates, _files)
FAULTS = MappingProxyType({fault.name: fault for group in _GROUPS for fault in group()})
