"""What a report leaves out: the folders of paths, and nothing else of what a log says."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from handfast.cli import main
from handfast.doctor.presentation import without_folders
from handfast.pki.faults import write_fault

if TYPE_CHECKING:
    from pathlib import Path

# What has slashes and is no path.
WHOLE = (
    '2026/11/30 09:09:19 *1 client SSL certificate verify error: (10:certificate has expired), "GET / HTTP/1.1"',
    'request: "GET /alice/accounts HTTP/1.1", upstream: "https://127.0.0.1:21081/a/b", client: 10.0.0.0/8',
    'Post "https://a.example/api/v1/items": remote error: tls: bad certificate',
    "upstream connect error or disconnect/reset before headers",
    "TLS/SSL connection has been closed (EOF)",
    "curl: (35) OpenSSL/3.0.22: error:0A00010B:SSL routines::wrong version number",
    "subject: /C=DE/O=lab/CN=alice",
    "spiffe://lab.example/ns/default/sa/alice",
    "<134>Nov 30 haproxy[1]: 127.0.0.1:39204 [30/Nov/2026:09:01:32.407] f/1: SSL handshake failure 0/0/-1/-1/3",
)
CUT = {
    "/export/alice/pki/client.pem: holds no certificate": "client.pem: holds no certificate",
    'certificate file "/export/a/.postgresql/root.crt" does not exist': 'certificate file "root.crt" does not exist',
    'cannot load certificate key "/etc/nginx/s.key": PEM_read': 'cannot load certificate key "s.key": PEM_read',
    "~/pki/client.pem and ~alice/x": "client.pem and x",
    "../pki/client.key, ./a/b": "client.key, b",
    "C:/alice/client.pfx": "client.pfx",
    "accepted by corp/pki/ca.pem (1 root)": "accepted by ca.pem (1 root)",
    "sslcert=/export/alice/client.pem": "sslcert=client.pem",
}


@pytest.mark.parametrize("line", WHOLE)
def test_what_is_no_path_is_left_as_it_is(line: str) -> None:
    assert without_folders(line) == line


@pytest.mark.parametrize("line", CUT)
def test_folders_are_cut(line: str) -> None:
    assert without_folders(line) == CUT[line]


def test_a_path_that_was_given_is_cut_whatever_it_looks_like() -> None:
    names = {"cert": "'my secret folder/alice'", "host": "localhost"}
    assert without_folders("my secret folder/alice: of localhost", names) == "alice: of localhost"


def test_a_log_s_line_is_whole_in_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_fault("client-expired", tmp_path)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    shutil.copy(tmp_path / "client.pem", tmp_path / "deep" / "er" / "mine")
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "--cert", "deep/er/mine", "--client-ca", "ca.pem", "--log", WHOLE[0], "--report"]) == 1
    report = capsys.readouterr().out
    assert WHOLE[0][:100] in report
    assert "HTTP/1.1" in report
    assert "deep" not in report
    assert "mine" in report


def test_a_report_and_json_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--log", WHOLE[0], "--report", "--json"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("handfast: error: --report: ")
