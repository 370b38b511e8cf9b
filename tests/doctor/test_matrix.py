"""Every row of the fault tables at servers that people run: the truth is in the answer, and alone where it can be.

HANDFAST_DOCTOR=1 (`make doctor-matrix`) takes all servers and both versions; without it some of them are met.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.doctor import table
from tests.doctor.matrix import CLIENTS, HEALTHY, SERVER_CASES, Answer, Case, Cast, ServerCase, ask, target
from tests.doctor.servers import SERVERS, WITH_LISTS, Running
from tests.faults.meeting import new_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from handfast.pki.authority import Issued

WIDE = os.environ.get("HANDFAST_DOCTOR") == "1"
MET = [(name, version) for name in SERVERS for version in ("1.2", "1.3")]
if not WIDE:
    MET = [("nginx", "1.3"), ("s_server", "1.2"), ("python", "1.3"), ("go", "1.3"), ("handfast", "1.2")]


AT_SERVERS = [pytest.param(*one, id="-".join(one)) for one in MET]
AT_SERVERS_WITH_LISTS = [pytest.param(*one, id="-".join(one)) for one in MET if one[0] in WITH_LISTS]


class Met:
    """A running server with its cast."""

    def __init__(self, name: str, version: str, cast: Cast, running: Running) -> None:
        self.name = name
        self.version = version
        self.cast = cast
        self.running = running

    def ask(self, issued: Issued | None, *more: object) -> Answer:
        """The doctor about this server, with this client's files and what the client trusts."""
        files: tuple[object, ...] = ()
        if issued is not None:
            certificate, key = self.cast.identity("client", issued)
            files = ("--cert", certificate, "--key", key)
        return ask(*target(self.running), "--cacert", self.cast.ca, *files, *more)


@pytest.fixture(scope="module", params=MET, ids="-".join)
def met(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Met]:
    name, version = request.param
    cast = Cast(tmp_path_factory.mktemp(name), new_seed())
    with SERVERS[name](cast.setting(version, crl=cast.crl if name in WITH_LISTS else None)) as running:
        yield Met(name, version, cast, running)


@pytest.mark.parametrize("case", CLIENTS, ids=lambda case: case.name)
def test_a_client_s_certificate(met: Met, case: Case) -> None:
    if case.lists and met.name not in WITH_LISTS:
        pytest.skip(f"{met.name} looks at no revocation list")
    issued = case.client(met.cast)
    answer = met.ask(issued)
    assert answer.status == 1
    assert case.cause in answer.causes, answer.document
    known = ("--client-ca", met.cast.ca, "--issuer", met.cast.issuer)
    lists = ("--crl", met.cast.crl) if met.name in WITH_LISTS else ()
    both = met.ask(issued, *known, *lists)
    if case.name == "wrong-ca":
        # Whether its CA is a root or an intermediate is known to none of these files.
        assert case.cause in both.causes
    else:
        assert both.decides(case.cause), both.document["findings"]


@pytest.mark.parametrize(("name", "client"), HEALTHY, ids=[name for name, _ in HEALTHY])
def test_what_is_healthy(met: Met, name: str, client: Callable[[Cast], Issued]) -> None:
    answer = met.ask(client(met.cast), "--client-ca", met.cast.ca)
    assert answer.findings == (), answer.document
    assert answer.status == 0


@pytest.mark.parametrize(("name", "version"), AT_SERVERS_WITH_LISTS)
def test_a_stale_revocation_list(name: str, version: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    cast = Cast(tmp_path_factory.mktemp(name), new_seed())
    with SERVERS[name](cast.setting(version, crl=cast.stale_crl)) as running:
        met = Met(name, version, cast, running)
        alone = met.ask(cast.good)
        assert "client_crl_stale" in alone.causes, alone.document
        both = met.ask(cast.good, "--client-ca", cast.ca, "--crl", cast.stale_crl)
    assert both.decides("client_crl_stale"), both.document["findings"]


@pytest.mark.parametrize("case", SERVER_CASES, ids=lambda case: case.name)
@pytest.mark.parametrize(("name", "version"), AT_SERVERS)
def test_a_server_s_certificate(
    name: str, version: str, case: ServerCase, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if name in case.refused_by:
        pytest.skip(f"{name} does not work with it")
    cast = Cast(tmp_path_factory.mktemp(name), new_seed())
    setting = cast.setting(version, cast.identity("other", case.server(cast.scene)))
    with SERVERS[name](setting) as running:
        certificate, key = cast.identity("client", cast.good)
        files = ("--cacert", cast.ca, "--cert", certificate, "--key", key)
        alone = ask(*target(running, case.host), *files)
        own = ("--issuer", cast.issuer, "--server-cert", setting.certificate)
        both = ask(*target(running, case.host), *files, *own)
    assert case.cause in alone.causes, alone.document
    if case.name != "wrong-ca":
        assert case.cause in both.causes
        assert all(len(finding) == 1 for finding in both.findings), both.findings


@pytest.mark.parametrize(("name", "version"), AT_SERVERS)
def test_a_server_that_never_asks(name: str, version: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    cast = Cast(tmp_path_factory.mktemp(name), new_seed())
    setting = cast.setting(version)
    with SERVERS[name](type(setting)(setting.directory, *cast.server, None, None, version)) as running:
        answer = Met(name, version, cast, running).ask(cast.good)
    assert answer.findings == (("not_requested",),), answer.document


@pytest.mark.skipif(not WIDE, reason="make doctor-matrix writes the page's tables once more")
def test_the_page_says_what_is_so() -> None:
    page, today = table.PAGE.read_text(), table.written()
    assert table.judgements(page) == table.judgements(today)
    # Another Python or another requests says the same in other words, or refuses more.
    assert table.of_requests(page) == (table.of_requests(today) if table.requests_title() in page else {})
