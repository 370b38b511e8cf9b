"""Lines as programs print them: what each means, whose words they are, and what to do where the line itself tells."""

from __future__ import annotations

import pytest

from handfast.cli import main
from handfast.doctor.log_lines import parse
from tests.doctor.matrix import Answer, Cast, ask, target
from tests.doctor.servers import SERVERS

_PSQL = 'psql: error: connection to server at "localhost" (127.0.0.1), port 5432 failed: FATAL:  '
_NO_LINE = f'{_PSQL}no pg_hba.conf entry for host "127.0.0.1", user "alice", database "postgres", '
_REDIS = "7:M 30 Nov 2026 09:01:19.487 # Error accepting a client connection: "
_VERIFY = (
    "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate (_ssl.c:1006)"
)
_NGINX = "2026/11/30 09:05:00 [info] 7#7: *2 "

# Causes, and words of what to do.
ADVISED = {
    f"{_NO_LINE}SSL encryption": ("client_not_allowed", "add a line that fits to pg_hba.conf"),
    "LOG:  provided user name (alice) and authenticated user name (alice.smith) do not match": (
        "client_not_allowed",
        "USERMAP CN USER in pg_ident.conf",
    ),
    _NGINX + r'broken header: "\x16\x03\x01 while reading PROXY protocol, client: 127.0.0.1, server: 127.0.0.1:21102': (
        "closed_in_handshake",
        "send-proxy",
    ),
    _NGINX + 'client sent invalid request while reading client request line, client: 127.0.0.1, server: , request: '
    '"PROXY TCP4 127.0.0.1 127.0.0.1 45048 21103"': ("plain_http", "write proxy_protocol into the listen line"),
    "curl: (58) could not parse PKCS12 file, check password, OpenSSL error error:0308010C:digital envelope "
    "routines::unsupported": ("client_files_unusable", "openssl pkcs12 -legacy"),
}  # fmt: skip
# What is no fault of TLS.
REMARKED = {
    f"{_NO_LINE}no encryption": "without TLS",
    f'{_PSQL}password authentication failed for user "bob"': "no matter of TLS",
    f"{_NGINX}client attempted to request the server name different from the one that was negotiated": "421",
    "1796029283: Client <unknown> disconnected: Protocol error.": "OpenSSL before",
}
CREDITED = {
    f"{_REDIS}error:0A0000C7:SSL routines::peer did not return a certificate": "Redis, as a server",
    f"{_REDIS}error:0A000086:SSL routines::certificate verify failed": "Redis, as a server",
    "error:0A0000C7:SSL routines::peer did not return a certificate": "OpenSSL",
    "ssl.SSLError: [SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca (_ssl.c:2580)": "OpenSSL",
    "TLS_error:|268435581:SSL routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE:TLS_error_end": "Envoy",
    "Error: Unsupported PKCS12 PFX data": "Node",
}
MOSQUITTO = """\
1796029283: New connection from 127.0.0.1:50050 on port 21071.
1796029283: OpenSSL Error[0]: error:0A000086:SSL routines::certificate verify failed
1796029283: Client <unknown> disconnected: Protocol error.
"""


def fixes(answer: Answer) -> list[str]:
    (finding,) = answer.document["findings"]
    (cause,) = finding["causes"]
    return [fix["does"] for fix in cause["fixes"]]


@pytest.mark.parametrize("line", ADVISED)
def test_what_the_line_itself_tells_is_the_fix(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    cause, words = ADVISED[line]
    answer = ask("--log", line)
    assert answer.findings == ((cause,),)
    (fix,) = fixes(answer)
    assert words in fix
    assert main(["doctor", "--log", line]) == 1
    (shown,) = [said for said in capsys.readouterr().out.splitlines() if said.startswith("  fix")]
    assert shown == f"  fix: {fix}"


@pytest.mark.parametrize("line", REMARKED)
def test_what_is_no_fault_of_tls_is_said_to_be_none(line: str) -> None:
    answer = ask("--log", line)
    assert (answer.status, answer.findings) == (0, ())
    (remark,) = answer.document["remarks"]
    assert REMARKED[line] in remark


@pytest.mark.parametrize("line", CREDITED)
def test_a_line_is_credited_to_the_program_that_wrote_it(line: str) -> None:
    assert parse(line).lines[0].program == CREDITED[line]


def test_two_lines_that_are_mended_in_two_ways_are_two_findings() -> None:
    ident = "LOG:  provided user name (alice) and authenticated user name (alice.smith) do not match"
    assert ask("--log", f"{_NO_LINE}SSL encryption\n{ident}").findings == (("client_not_allowed",),) * 2


def test_mosquitto_s_log_is_a_server_s() -> None:
    ((first, *others),) = ask("--log", MOSQUITTO).findings
    assert all(code.startswith("client_") for code in (first, *others))


def test_tls_at_mosquitto_s_listener_without_it() -> None:
    line = "1796029285: Client <unknown> disconnected due to protocol error."
    assert ask("--log", line).findings == (("plain_text", "closed_in_handshake"),)


def test_python_s_error_of_verification_is_a_client_s() -> None:
    line = f"ssl.SSLCertVerificationError: {_VERIFY}"
    answer = ask("--log", line)
    ((first, *others),) = answer.findings
    assert first == "server_wrong_ca"
    assert all(code.startswith("server_") for code in others)
    (finding,) = answer.document["findings"]
    assert "Python (ssl, requests, httpx, aiohttp), as a client" in finding["evidence"][0]
    assert finding["separates"] == "the certificate of the CA that issued the server's certificate"


def test_without_the_name_of_the_error_python_s_line_is_either_side_s() -> None:
    """As servers log the error's text."""
    ((*causes,),) = ask("--log", _VERIFY).findings
    assert {"server_wrong_ca", "client_wrong_ca"} <= set(causes)


def test_python_s_error_is_a_server_s_where_the_rest_shows_it(cast: Cast) -> None:
    line = f"ssl.SSLCertVerificationError: {_VERIFY}"
    files = cast.identity("client", cast.scene.client(cast.scene.other_ca()))
    own = ("--cert", files[0], "--key", files[1])
    with SERVERS["python"](cast.setting("1.3")) as running:
        answer = ask(*target(running), "--cacert", cast.ca, *own, "--client-ca", cast.ca, "--log", line)
    assert all(code.startswith("client_") for finding in answer.findings for code in finding), answer.document
    assert "the log says" in str(answer.document["findings"])
