"""What a failed connection tells by itself: the codes of causes, in its error, in the log, in decode, JSON and page."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from handfast.cli import main
from handfast.doctor.catalogue import causes
from handfast.errors import CertificateRejected
from handfast.io.failure_log import failure_line
from handfast.outcome import diagnosed
from handfast.pki.faults import FAULTS, Role, build_fault
from handfast.trust.roots import Roots
from tests.doctor.matrix import Cast, target
from tests.doctor.servers import SERVERS
from tests.doctor.test_files import OF_CERTIFICATES, OPEN
from tests.faults.meeting import Meeting, Settings, new_seed, random_names

if TYPE_CHECKING:
    from pathlib import Path

ON_THE_WIRE = {**OF_CERTIFICATES, **OPEN, "client-none": "no_certificate"}
del ON_THE_WIRE["no-aki"]


def test_every_code_is_in_the_catalogue() -> None:
    tables = (diagnosed.BY_SERVER_ALERT, diagnosed.BY_CLIENT_ALERT, diagnosed.BY_ALERT_TO_A_HELLO, diagnosed.BY_ERROR)
    codes = {code for table in tables for found in table.values() for code in found}
    codes |= set(diagnosed.ANY_REFUSAL)
    for reason in CertificateRejected.catalogue:
        sides = ("server",) if reason in ("name_mismatch", "no_subject_alternative_name") else ("client", "server")
        if reason != "certificate_required":
            codes |= {f"{side}_{cause}" for side in sides for cause in diagnosed.causes_of_verdict(reason)}
    assert codes - causes().keys() == set()


@pytest.mark.parametrize(("name", "cause"), ON_THE_WIRE.items())
def test_both_sides_errors_carry_it(name: str, cause: str) -> None:
    made = build_fault(name, random_names(new_seed()))
    meeting = Settings(made).meet()
    judge = Role.SERVER if FAULTS[name].role is Role.CLIENT else Role.CLIENT
    refusal, told = meeting.error(judge), meeting.error(FAULTS[name].role)
    assert refusal is not None
    assert told is not None
    assert cause in refusal.diagnosis
    assert refusal.explain().endswith(f"diagnosis: {' or '.join(refusal.diagnosis)}")
    # An alert that may mean anything tells nothing; what is told is true.
    assert cause in told.diagnosis or told.diagnosis == ()
    line = failure_line("192.0.2.7", "", refusal, meeting.sides[judge].info)
    assert line.endswith(f"diagnosis: {' or '.join(refusal.diagnosis)}")


def test_a_client_without_a_certificate_and_one_that_withholds_it() -> None:
    names = random_names(new_seed())
    made = build_fault("client-wrong-ca", names)
    for config, diagnosis in (
        (replace(Settings(made).client, credentials=()), "no_certificate"),
        (replace(Settings(made).client, when_no_certificate_matches="send_none"), "certificate_withheld"),
    ):
        server = replace(Settings(made).server, ca_names=Roots.from_der(made.roots).names())
        error = Meeting(config, server, made.host).error(Role.CLIENT)
        assert error is not None
        assert error.diagnosis == (diagnosis,)


def test_decode_json_and_page_say_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cast = Cast(tmp_path, new_seed())
    capture, events, page = (tmp_path / name for name in ("failed.pcapng", "events.json", "page.html"))
    certificate, key = cast.identity("client", cast.scene.client(**cast.scene.expired()))
    with SERVERS["s_server"](cast.setting("1.3")) as running:
        files = ("--cacert", cast.ca, "--cert", certificate, "--key", key)
        written = ("--pcapng", capture, "--json", events, "--html", page)
        assert main([*map(str, ("connect", *target(running), *files, *written))]) == 1
    outcome = json.loads(events.read_text().splitlines()[-1])
    assert outcome["diagnosis"] == ["client_expired"]
    assert "diagnosis: client_expired" in page.read_text()
    capsys.readouterr()
    assert main(["decode", str(capture)]) == 0
    # An alert alone says less.
    assert "diagnosis: client_crl_stale or clock or client_expired or client_not_yet_valid" in capsys.readouterr().out
