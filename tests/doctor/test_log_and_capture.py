"""Logs and captures: alone, and beside what else is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from handfast.cli import main
from tests.doctor.matrix import CLIENTS, Cast, ask, target
from tests.doctor.servers import SERVERS
from tests.doctor.written import logged

if TYPE_CHECKING:
    pass

BY_NAME = {case.name: case for case in CLIENTS}
IN_CAPTURES = ("none", "wrong-ca", "same-name-ca", "expired", "server-purpose", "missing-intermediate", "self-signed")


def files_of(cast: Cast, name: str) -> tuple[object, ...]:
    issued = BY_NAME[name].client(cast)
    if issued is None:
        return ()
    certificate, key = cast.identity("client", issued)
    return "--cert", certificate, "--key", key


@pytest.mark.parametrize("server", ["nginx", "python"])
def test_the_server_s_log_tells_a_revoked_certificate(server: str, cast: Cast) -> None:
    """nginx answers HTTP 400 to all that it refuses."""
    files = files_of(cast, "revoked")
    with SERVERS[server](cast.setting("1.3", crl=cast.crl)) as running:
        ask(*target(running), "--cacert", cast.ca, *files)
        alone = ask(*target(running), "--cacert", cast.ca, *files)
        log = cast.write("the.log", logged(running, "client_revoked").encode())
        both = ask(*target(running), "--cacert", cast.ca, *files, "--log", log)
    if server == "nginx":
        assert len(alone.findings[0]) > 1
        assert "log" in alone.document["findings"][0]["separates"]
    assert ("client_revoked",) in both.findings, both.document


@pytest.mark.parametrize("name", IN_CAPTURES)
@pytest.mark.parametrize(("server", "version"), [("nginx", "1.3"), ("s_server", "1.3"), ("python", "1.2")])
def test_a_capture_of_a_failed_connection(server: str, version: str, name: str, cast: Cast) -> None:
    files = files_of(cast, name)
    capture = cast.directory / "failed.pcapng"
    with SERVERS[server](cast.setting(version)) as running:
        main([*map(str, ("connect", "-s", *target(running), "--cacert", cast.ca, *files, "--pcapng", capture))])
    own = files if name == "none" else files[:2]
    answer = ask("--capture", capture, "--cacert", cast.ca, "--client-ca", cast.ca, "--issuer", cast.issuer, *own)
    cause = BY_NAME[name].cause
    assert cause in answer.causes, answer.document
    if name not in ("none", "wrong-ca"):
        assert all(len(finding) == 1 for finding in answer.findings), answer.findings


def test_a_capture_alone_leaves_open_why_no_certificate_came(cast: Cast) -> None:
    capture = cast.directory / "failed.pcapng"
    with SERVERS["s_server"](cast.setting("1.3")) as running:
        main([*map(str, ("connect", "-s", *target(running), "--cacert", cast.ca, "--pcapng", capture))])
    alone = ask("--capture", capture)
    assert alone.findings == (("no_certificate", "certificate_withheld"),), alone.document
    assert alone.document["findings"][0]["separates"] == "the client's certificate"
    other = cast.scene.client(cast.scene.other_ca())
    certificate, _ = cast.identity("other", other)
    assert ask("--capture", capture, "--cert", certificate).findings == (("certificate_withheld",),)


def test_a_capture_of_a_healthy_connection(cast: Cast) -> None:
    capture = cast.directory / "good.pcapng"
    certificate, key = cast.identity("client", cast.good)
    with SERVERS["s_server"](cast.setting("1.3")) as running:
        files = ("--cacert", cast.ca, "--cert", certificate, "--key", key)
        main([*map(str, ("connect", "-s", *target(running), *files, "--pcapng", capture))])
    assert ask("--capture", capture, "--cacert", cast.ca).findings == ()


def test_a_capture_without_its_keys_says_that_it_could_not_be_read(cast: Cast) -> None:
    capture, bare = cast.directory / "failed.pcapng", cast.directory / "bare.pcapng"
    with SERVERS["s_server"](cast.setting("1.3")) as running:
        main([*map(str, ("connect", "-s", *target(running), "--cacert", cast.ca, "--pcapng", capture))])
    assert main(["decode", str(capture), "--write", str(bare), "--no-secrets"]) == 0
    answer = ask("--capture", bare)
    assert answer.findings == ()
    assert "not all of it could be read" in answer.document["remarks"][0]


def test_a_capture_in_which_the_client_refuses_the_server(cast: Cast) -> None:
    capture = cast.directory / "failed.pcapng"
    twin = cast.identity("twin", cast.scene.server(cast.scene.twin_ca()))
    with SERVERS["s_server"](cast.setting("1.2", twin)) as running:
        main([*map(str, ("connect", "-s", *target(running), "--cacert", cast.ca, "--pcapng", capture))])
    assert "server_twin_ca" in ask("--capture", capture).causes
    assert ask("--capture", capture, "--cacert", cast.ca).findings == (("server_twin_ca",),)


def test_a_log_from_standard_input_and_a_line_that_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--log", "all is well"]) == 2
    said = capsys.readouterr()
    assert "nothing in the log is known" in said.err
    assert main(["doctor", "--log", "tls: client didn't provide a certificate"]) == 1
    assert "no_certificate" in capsys.readouterr().out
