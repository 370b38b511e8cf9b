"""What decides nothing: logs of unknown lines, paths that are none, lines that the doctor itself leaves."""

from __future__ import annotations

import json
import os
import struct
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from handfast.cli import main
from handfast.doctor import log_lines
from handfast.doctor.diagnosis import diagnose
from handfast.doctor.evidence import NAMING_HTTP_2, Asked, Attempt, Evidence, Identity
from handfast.doctor.inputs import Input
from handfast.roles import Role
from tests.doctor.matrix import Cast, ask, target
from tests.doctor.servers import SERVERS

if TYPE_CHECKING:
    from pathlib import Path

UNKNOWN = "1796029285: all is well\nand so is this"
NO_CERTIFICATE = "error:0A0000C7:SSL routines::peer did not return a certificate"


def test_of_an_unknown_log_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--log", UNKNOWN]) == 2
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "nothing can be said: the log has no line that is known here; 2 lines read"
    assert said[1].startswith("  what would tell: a connection to the server (TARGET)")
    assert len(said) == 2


def test_an_unknown_log_in_the_other_forms(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--log", UNKNOWN, "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["healthy"] is None
    assert document["unknown_log_lines"] == 2
    assert document["findings"] == []
    assert main(["doctor", "--log", UNKNOWN, "--report"]) == 2
    report = capsys.readouterr().out
    assert "nothing can be said: the log has no line that is known here" in report
    assert "nothing is wrong" not in report


def test_bytes_that_are_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "random"
    path.write_bytes(bytes(range(256)) * 8)
    assert main(["doctor", "--log", str(path)]) == 2
    assert "nothing can be said" in capsys.readouterr().out


def test_beside_certificates_an_unknown_log_changes_nothing(cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
    certificate, key = cast.identity("client", cast.good)
    files = ("--cert", certificate, "--key", key, "--client-ca", cast.ca)
    assert main(["doctor", *map(str, files), "--log", UNKNOWN]) == 0
    said = capsys.readouterr()
    assert said.out == "nothing is wrong, as far as the certificates can tell\n"
    assert "nothing in the log is known here" in said.err


def test_of_a_capture_without_tls_nothing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture = tmp_path / "empty.pcap"
    # A header of pcap, in order of bytes of this machine, and no packet.
    capture.write_bytes(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
    assert main(["doctor", "--capture", str(capture)]) == 2
    assert "nothing can be said: there is no TLS connection in the capture" in capsys.readouterr().out


def test_what_is_known_and_no_fault_is_not_called_health(capsys: pytest.CaptureFixture[str]) -> None:
    line = "2026/11/30 [info] 7#7: *1 client closed connection while SSL handshaking, client: 127.0.0.1"
    assert main(["doctor", "--log", line]) == 0
    assert capsys.readouterr().out == "nothing in the log is a fault of TLS by itself\n"


@pytest.mark.parametrize(
    "name", ["nosuch.log", "./nosuch", "logs/error.txt", "/nowhere/error", "my server.log", "nosuch"]
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_path_that_is_not_there_is_no_line(
    name: str, form: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--log", name, *form]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    error, hint = said.err.splitlines()
    assert error.startswith(f"handfast: error: --log: there is no file {name}")
    assert hint.startswith("handfast: hint: check the path")


@pytest.mark.parametrize("line", ["SSL_ERROR_UNKNOWN_CA_ALERT", "ERR_SSL/UNABLE_TO_GET_CRL"])
def test_a_word_that_is_known_is_a_line(line: str) -> None:
    assert ask("--log", line).status == 1


def test_a_folder_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--log", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_pipe_is_read(tmp_path: Path) -> None:
    """As shells make one of <(journalctl -u nginx)."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("x509: certificate has expired or is not yet valid\n",))
    writer.start()
    answer = ask("--log", pipe)
    writer.join()
    assert answer.status == 1


@pytest.mark.parametrize("line", [NO_CERTIFICATE, "f/1: SSL handshake failure"])
def test_the_doctor_s_own_line_is_no_cause_beside_the_certificate_that_it_shows(cast: Cast, line: str) -> None:
    certificate, key = cast.identity("client", cast.good)
    with SERVERS["python"](cast.setting("1.3")) as running:
        files = (*target(running), "--cacert", cast.ca, "--cert", certificate, "--key", key)
        healthy = ask(*files, "--log", line)
        certificate, key = cast.identity("expired", cast.scene.client(**cast.scene.expired()))
        expired = ask(*files[:-3], certificate, "--key", key, "--log", line)
    assert healthy.findings == ()
    assert any("such as the doctor's first" in remark for remark in healthy.document["remarks"])
    assert expired.findings == (("client_expired",),), expired.document
    assert any("such as the doctor's first" in remark for remark in expired.document["remarks"])


@pytest.mark.parametrize(
    "line",
    [
        "tlsClientError ERR_SSL_NO_APPLICATION_PROTOCOL 80:error:0A0000EB:SSL routines:tls_handle_alpn",
        'http: TLS handshake error from 127.0.0.1:1: tls: client requested unsupported application protocols ("h2")',
    ],
)
def test_the_doctor_s_own_line_of_http_2_is_no_cause(line: str) -> None:
    (said,) = log_lines.parse(line).lines
    refused = Attempt(title="with the certificate", complete=True, spoke=True, asked=Asked.NEVER, error="reset")
    named = replace(refused, title=f"{refused.title}, {NAMING_HTTP_2}", complete=False, error="no_common_protocol")
    without = diagnose(Evidence(attempts=(refused,), log=(said,)))
    assert ("no_common_alpn",) in [finding.causes for finding in without.findings]
    found = diagnose(Evidence(attempts=(refused, named), log=(said,)))
    assert ("no_common_alpn",) not in [finding.causes for finding in found.findings]
    assert any("such as the doctor's last" in remark for remark in found.remarks)


def test_what_was_given_is_not_asked_for() -> None:
    (said,) = log_lines.parse(NO_CERTIFICATE).lines
    client = Identity(side=Role.CLIENT, source="client.pem")
    (finding,) = diagnose(Evidence(client=client, log=(said,))).findings
    assert finding.separates is Input.NOTHING
    (finding,) = diagnose(Evidence(log=(said,))).findings
    assert finding.separates is Input.CLIENT_CERTIFICATE


def test_without_the_certificate_that_line_is_a_cause() -> None:
    assert ask("--log", NO_CERTIFICATE).findings == (("no_certificate", "certificate_withheld"),)
