"""The clients of the fault table at Java, granian (rustls), an MQTT broker, PostgreSQL, gRPC and Envoy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.doctor.matrix import CLIENTS, Answer, Case, Cast, ask, target
from tests.doctor.more_servers import MORE_SERVERS, OTHER_PROTOCOLS
from tests.faults.meeting import new_seed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from handfast.pki.authority import Issued
    from tests.doctor.servers import Running

pytestmark = pytest.mark.skipif(
    os.environ.get("HANDFAST_DOCTOR") != "1", reason="it takes a minute: make doctor-matrix"
)
AT = [(name, version) for name in MORE_SERVERS for version in ("1.2", "1.3") if (name, version) != ("granian", "1.2")]
WITH_LISTS = {"mosquitto", "postgresql", "envoy"}
# Whether one must come is said in the protocol above TLS.
SAID_LATER = {("postgresql", "none")}


class Met:
    def __init__(self, name: str, version: str, cast: Cast, running: Running) -> None:
        self.name = name
        self.version = version
        self.cast = cast
        self.running = running

    def ask(self, issued: Issued | None, *more: object) -> Answer:
        files: tuple[object, ...] = ()
        if issued is not None:
            certificate, key = self.cast.identity("client", issued)
            files = ("--cert", certificate, "--key", key)
        http = self.name not in OTHER_PROTOCOLS
        where = (*target(self.running, http=http), *OTHER_PROTOCOLS.get(self.name, ()), "--tls", self.version)
        return ask(*where, "--cacert", self.cast.ca, *files, *more)


@pytest.fixture(scope="module", params=AT, ids="-".join)
def met(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Met]:
    name, version = request.param
    cast = Cast(tmp_path_factory.mktemp(name), new_seed())
    with MORE_SERVERS[name](cast.setting(version, crl=cast.crl if name in WITH_LISTS else None)) as running:
        yield Met(name, version, cast, running)


@pytest.mark.parametrize("case", CLIENTS, ids=lambda case: case.name)
def test_a_client_s_certificate(met: Met, case: Case) -> None:
    if case.lists and met.name not in WITH_LISTS:
        pytest.skip(f"{met.name} looks at no revocation list")
    if (met.name, case.name) in SAID_LATER:
        pytest.skip(f"{met.name} says in its own protocol what it wants")
    answer = met.ask(case.client(met.cast))
    assert answer.status == 1
    assert case.cause in answer.causes, answer.document
    lists = ("--crl", met.cast.crl) if met.name in WITH_LISTS else ()
    both = met.ask(case.client(met.cast), "--client-ca", met.cast.ca, "--issuer", met.cast.issuer, *lists)
    if case.name != "wrong-ca":
        assert both.decides(case.cause), both.document["findings"]


def test_what_is_healthy(met: Met) -> None:
    assert met.ask(met.cast.good, "--client-ca", met.cast.ca).findings == ()


def test_a_grpc_server_that_asks_for_no_certificate(tmp_path: Path) -> None:
    """It closes on a client that names no protocol, and refuses nothing else."""
    cast = Cast(tmp_path, new_seed())
    with MORE_SERVERS["grpc"](cast.setting("", asks=False)) as running:
        healthy = ask(*target(running), "--cacert", cast.ca)
        named = ask(*target(running), "--cacert", cast.ca, "--alpn", "http/1.1")
    assert healthy.findings == (), healthy.document
    assert "h2 (ALPN)" in str(healthy.document["remarks"])
    assert named.findings == (("no_common_alpn",),), named.document
