"""What programs write when TLS fails, as a table, and what is made of the lines of a log."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from importlib import resources
from typing import TYPE_CHECKING

import pytest

from handfast import limits
from handfast.cli import main
from handfast.doctor.catalogue import causes
from handfast.doctor.inputs import Input
from handfast.doctor.log_lines import Log, parse
from handfast.doctor.log_texts import KnownText, alike, programs, texts
from tests.doctor.matrix import ask
from tests.doctor.troubleshooting_page import PAGE, troubleshooting_page

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType
    from typing import Any

SIDES = ("client", "server", "")
# Each stands in a log of its own: what is around it is what these programs write.
LINES = {
    'http: TLS handshake error from 10.0.0.7:51888: remote error: tls: expired certificate': {
        "server_expired", "server_crl_stale", "server_not_yet_valid",
    },
    'Get "https://a.example/": remote error: tls: expired certificate': {
        "client_expired", "client_crl_stale", "client_not_yet_valid",
    },
    "SSL_do_handshake() failed (SSL: error:0A000418:SSL routines::tlsv1 alert access denied) while SSL handshaking to "
    "upstream, client: 10.0.0.7": {"client_not_allowed"},
    "*2 client SSL certificate verify error: (23:certificate revoked) while reading client request headers": {
        "client_revoked"
    },
    "curl: (60) SSL certificate problem: certificate has expired": {"server_expired"},
    "ssl.SSLError: [SSL: SSLV3_ALERT_CERTIFICATE_REVOKED] sslv3 alert certificate revoked (_ssl.c:2580)": {
        "client_revoked", "server_revoked",
    },
    "upstream connect error or disconnect/reset before headers. reset reason: connection failure, transport failure "
    "reason: TLS error: 268435581:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER": {
        "plain_text", "plain_http", "starttls_port",
    },
    "received fatal alert: CertificateRequired": {"no_certificate", "certificate_withheld"},
    "The remote certificate is invalid because of errors in the certificate chain: NotTimeValid": {
        "client_expired", "client_not_yet_valid", "server_expired", "server_not_yet_valid",
    },
    "connect ECONNREFUSED 127.0.0.1:8443": {"unreachable"},
    "psycopg.OperationalError: connection timed out": {"silent", "large_hello", "unreachable"},
}  # fmt: skip


@pytest.mark.parametrize("text", texts(), ids=lambda text: text.shown)
def test_a_text_is_whole(text: KnownText) -> None:
    assert all(text.parts)
    assert text.program.title
    assert text.source or text.program.seen, "the tests make no program write it, and it has no source"
    for side in SIDES:
        reading = text.readings[side]
        assert set(reading.causes) <= causes().keys()
        assert (reading.tells == Input.NOTHING) is (len(reading.causes) < 2)
        assert reading.causes or text.note
    (line,) = parse(text.shown).lines
    assert line.text in text.shown
    assert not line.causes or set(line.causes) <= set(text.readings[""].causes)


def test_no_text_stands_in_the_table_twice_and_every_source_and_meaning_is_used() -> None:
    assert len({(text.program.title, text.parts) for text in texts()}) == len(texts())
    declared, meanings = (
        tomllib.loads(resources.files("handfast.doctor").joinpath(name).read_text())
        for name in ("log_texts.toml", "meanings.toml")
    )
    rows = [row for name in programs() for row in declared[name]["texts"]]
    assert {row[1] for row in rows} == meanings.keys() - {"faults"}
    assert {source for row in rows for source in row[2:]} == declared["sources"].keys()


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_read_from_the_mouth_of_the_side_that_speaks(line: str) -> None:
    assert set(parse(line).lines[0].causes) == LINES[line]


def test_what_both_sides_say_is_decided_by_the_other_lines_of_the_log() -> None:
    said = "verify error:num=10:certificate has expired\n"
    server = (
        "error:0A000086:SSL routines:tls_process_client_certificate:certificate verify failed:../ssl/statem.c:3530:"
    )
    client = (
        "error:0A000086:SSL routines:tls_post_process_server_certificate:certificate verify failed:../ssl/s.c:1889:"
    )
    assert ask("--log", said).findings == (("server_expired", "client_expired"),)
    assert ask("--log", said).document["findings"][0]["separates"] == Input.WHOSE_LOG
    assert ask("--log", said + server).findings == (("client_expired",),)
    assert ask("--log", said + client).findings == (("server_expired",),)


def test_go_s_bad_record_mac_is_told_for_what_it_is() -> None:
    line = "2026/11/30 01:45:39 http: TLS handshake error from 127.0.0.1:40276: local error: tls: bad record MAC"
    answer = ask("--log", line)
    ((first, *others),) = answer.findings
    assert {"server_wrong_ca", "server_expired", "server_no_san"} <= {first, *others}
    assert all(code.startswith("server_") for code in (first, *others))
    (finding,) = answer.document["findings"]
    assert any("the client refused the server's certificate" in sentence for sentence in finding["evidence"])
    assert finding["separates"] == Input.CLIENT_LOG


def test_a_whole_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Times and addresses make no difference; what is not known is counted, and what is no failure is remarked."""
    refused = "[info] 7#7: *{} client SSL certificate verify error: (10:certificate has expired) while reading"
    lines = [
        '2026/11/30 01:45:37 [notice] 7#7: using the "epoll" event method',
        "2026/11/30 01:45:37 [info] 7#7: *1 client closed connection while SSL handshaking, client: 127.0.0.1",
        *(f"2026/11/30 01:45:{number} {refused.format(number)}" for number in range(10, 60)),
        "",
    ]
    path = tmp_path / "error.log"
    path.write_text("\n".join(lines))
    assert main(["doctor", "--log", str(path), "--json"]) == 1
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert [[cause["code"] for cause in finding["causes"]] for finding in document["findings"]] == [["client_expired"]]
    assert len(document["log"]) == 2
    assert "of the log 51 lines known here, 1 not" in said.err
    assert any("health checks" in remark for remark in document["remarks"])


def test_what_is_no_failure_by_itself_is_no_cause() -> None:
    line = "2026/11/30 [info] 7#7: *1 client closed connection while SSL handshaking, client: 127.0.0.1"
    assert ask("--log", line).status == 0


def test_a_reset_that_nobody_explains_is_told_in_a_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--log", "Connection reset by peer"]) == 1
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  - ")]
    assert len(said) < 10
    assert sum(line.endswith("[client_*]") for line in said) == 1
    document = ask("--log", "Connection reset by peer").document
    assert len(document["findings"][0]["causes"]) > 20


@pytest.mark.parametrize("number", ["40", "42", "46", "48", "70", "116", "120"])
def test_an_alert_by_its_number_alone_is_known(number: str) -> None:
    assert ask("--log", f"SSL alert number {number}").status == 1


def test_a_line_of_a_log_in_place_of_a_target_is_told_where_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "connection reset by peer"]) == 2
    assert "--log" in capsys.readouterr().err


def test_hostile_lines_are_escaped_and_shortened() -> None:
    line = "\x1b[2J\u202e" + "a" * 5000 + "\x1b]0;x\x07 remote error: tls: bad certificate \x1b[1m" + "b" * 9000
    (only,) = parse(line).lines
    assert "bad certificate" in only.text
    assert only.text.isprintable()
    assert len(only.text) < 3 * limits.MAX_PEER_TEXT


def test_a_log_is_bounded_in_lines_and_a_line_in_length(capsys: pytest.CaptureFixture[str]) -> None:
    known = "x509: certificate signed by unknown authority\n"
    log = parse("a\n" * limits.MAX_LOG_LINES + known)
    assert log == Log(lines=(), known=0, unknown=limits.MAX_LOG_LINES, beyond=True)
    assert parse("a" * limits.MAX_LOG_LINE + known).lines == ()
    assert main(["doctor", "--log", "a\n" * (limits.MAX_LOG_LINES + 1)]) == 2
    assert "only the first" in capsys.readouterr().err


@pytest.mark.parametrize("before", ["a" * 300, "a" * 5000, "\0"])
def test_a_line_that_can_be_no_file_s_name_is_text(before: str) -> None:
    assert ask("--log", f"{before} remote error: tls: revoked certificate").status == 1


def steps(line: str) -> int:
    """How many bytecodes it takes to read a log of one line."""
    counted = 0

    def count(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal counted
        frame.f_trace_opcodes = True
        counted += event == "opcode"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        parse(line)
    finally:
        sys.settrace(before)
    return counted


@pytest.mark.parametrize(
    "piece", ["curl: (35) ", "error:", "x509: certificate is valid for ", "ssl routines ", "[", " "]
)
def test_reading_takes_no_longer_for_what_nearly_fits(piece: str) -> None:
    """Nothing is tried again: a text is searched once, and a longer line costs its length in the search alone."""
    parse(piece)
    short, long = (piece * (size // len(piece)) for size in (1000, limits.MAX_LOG_LINE))
    assert abs(steps(long) - steps(short)) < 50


def test_words_and_the_names_made_of_them_are_alike() -> None:
    assert alike("SSLV3_ALERT_BAD_CERTIFICATE") == alike("sslv3 alert bad certificate")
    assert alike("self-signed") == alike("SELF_SIGNED")


def test_the_page_of_what_errors_mean_is_current_and_has_every_text() -> None:
    page = PAGE.read_text()
    assert page == troubleshooting_page(), "write it anew: python -m tests.doctor.troubleshooting_page"
    assert all(f"`{text.shown}`" in page for text in texts())
    assert set(re.findall(r"`((?:client|server)_[a-z_]+)`", page)) <= causes().keys()
