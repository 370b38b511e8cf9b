"""What three scanners find at ``handfast serve --client-auth none --resume``: no weakness, and no remark but these.

They run only by `make scan`. Their hellos are those of old clients, without the extended main secret: to them all of
TLS 1.2 shows only with ``--old-main-secret``. No name is looked up and nothing but 127.0.0.1 is connected to.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests import certificates
from tests.cli.conftest import finish, start
from tests.waiting import TEST_LIMIT

pytestmark = pytest.mark.skipif("HANDFAST_SCAN" not in os.environ, reason="slow: `make scan` runs it")

ROOT = Path(__file__).parent.parent.parent
SSLYZE = ROOT / ".venv" / "sslyze" / "bin" / "python"
"""Seconds for one scan; the longest takes 80 on an idle machine."""

KEYS = {"ecdsa-p256": "ECDSA", "rsa-2048": "RSA"}
PROTOCOLS = {
    **dict.fromkeys([("ssl", "2"), ("ssl", "3"), ("tls", "1.0"), ("tls", "1.1")], False),
    **dict.fromkeys([("tls", "1.2"), ("tls", "1.3")], True),
}
SUITES_13 = {0x1301, 0x1302, 0x1303}
SUITES_12 = {"ECDSA": {0xC02B, 0xC02C, 0xCCA9}, "RSA": {0xC02F, 0xC030, 0xCCA8}}
# What sslyze looks for besides what it needs for Mozilla's configuration.
SCANS = (
    "reneg",
    "resum",
    "early_data",
    "ems",
    "fallback",
    "elliptic_curves",
    "heartbleed",
    "openssl_ccs",
    "robot",
    "compression",
)
CURVES = {"X25519", "X448", "secp256r1", "secp384r1", "secp521r1"}

# What testssl.sh may say beside "OK" and "INFO": how serious it finds it, and why it stays.
REMARKS = {
    "engine_problem": ("WARN", "of the openssl command on this machine: it has no GOST"),
    "cert_chain_of_trust": ("CRITICAL", "the CA is the test's own: no trust store has it"),
    "cert_revocation": ("HIGH", "that CA publishes neither a CRL nor an OCSP responder"),
    "HSTS": ("LOW", "of websites: it would be remembered for localhost, whatever runs there next"),
    "security_headers": ("MEDIUM", "of websites that browsers show; this one says who its client is"),
    # Only now and then: s_client, with no input, ends when the handshake is done, and a TLS 1.3 ticket comes after it.
    "sessionresumption_ticket": ("WARN", "of its s_client: had one a ticket, it asks the next for it. sslyze resumes"),
}
# What must be found, word for word: that something was not looked for would be no news.
FINDINGS = {
    **dict.fromkeys(["SSLv2", "SSLv3", "TLS1", "TLS1_1"], "not offered"),
    "TLS1_2": "offered",
    "TLS1_3": "offered with final",
    **dict.fromkeys(["cipherlist_NULL", "cipherlist_aNULL", "cipherlist_EXPORT", "cipherlist_LOW"], "not offered"),
    **dict.fromkeys(["cipherlist_3DES_IDEA", "cipherlist_AVERAGE"], "not offered"),
    "secure_renego": "supported",
    "secure_client_renego": "not vulnerable",
    "CRIME_TLS": "not vulnerable",
    "heartbleed": "not vulnerable, no heartbeat extension",
    "CCS": "not vulnerable",
    "LUCKY13": "not vulnerable",
    "TLS_timestamp": "random",
    "cipher_order": "server",
    "ticketbleed": "not vulnerable",
}
# How we differ from Mozilla's "intermediate" configuration, as sslyze says: these two curves are weak in nothing, and
# come last.
MOZILLA = {"tls_curves": {"X448", "secp521r1"}}


@contextlib.contextmanager
def served(tmp_path, key):
    """The port of the program, serving with a certificate of this kind."""
    issued = certificates.server(key)
    (tmp_path / "server.pem").write_bytes(issued.cert_pem)
    (tmp_path / "server.key").write_bytes(issued.key_pem)
    (tmp_path / "ca.pem").write_bytes(certificates.ca().certificate_pem)
    identity = ("--cert", tmp_path / "server.pem", "--key", tmp_path / "server.key")
    options = ("--listen", "127.0.0.1:0", "--client-auth", "none", "--old-main-secret", "--resume")
    with (tmp_path / "log").open("w") as log:
        process = start("serve", *identity, *options, stderr=log)
        try:
            assert process.stdout is not None
            found = re.search(r":(\d+)/", process.stdout.readline())
            assert found is not None
            yield int(found[1])
            assert process.poll() is None
        finally:
            process.terminate()
            finish(process)
    assert "Traceback" not in (tmp_path / "log").read_text()


def run(tmp_path, *command):
    return subprocess.run(
        list(map(str, command)),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TEST_LIMIT,
    )


@pytest.mark.parametrize("key", KEYS)
def test_sslscan(tmp_path, key):
    program = certificates.require_peer("sslscan")
    with served(tmp_path, key) as port:
        said = run(tmp_path, program, "--no-colour", "--xml=found.xml", f"localhost:{port}").stdout
    (found,) = ElementTree.parse(tmp_path / "found.xml").getroot()
    protocols = {(one.get("type"), one.get("version")): one.get("enabled") == "1" for one in found.iter("protocol")}
    assert protocols == PROTOCOLS
    ciphers = [(one.get("sslversion"), int(one.get("id", ""), 16)) for one in found.iter("cipher")]
    wanted = [("TLSv1.2", one) for one in SUITES_12[KEYS[key]]] + [("TLSv1.3", one) for one in SUITES_13]
    assert sorted(ciphers) == sorted(wanted)
    assert {one.get("strength") for one in found.iter("cipher")} <= {"acceptable", "strong"}
    assert [one.attrib for one in found.iter("renegotiation")] == [{"supported": "0", "secure": "0"}]
    assert {one.get("vulnerable") for one in found.iter("heartbleed")} == {"0"}
    assert {one.get("error") for one in found.iter("pk")} == {"false"}
    # The XML leaves this out.
    assert "Server supports TLS Fallback SCSV" in said


@pytest.mark.parametrize("key", KEYS)
def test_sslyze(tmp_path, key):
    if not SSLYZE.exists():
        pytest.fail("there is no sslyze: `make scan` installs it")
    with served(tmp_path, key) as port:
        said = run(
            tmp_path, SSLYZE, "-m", "sslyze", "--json_out", "found.json", "--mozilla_config", "intermediate",
            "--certinfo_ca_file", "ca.pem", *map("--{}".format, SCANS), f"localhost:{port}",
        ).stdout  # fmt: skip
    (server,) = json.loads((tmp_path / "found.json").read_text())["server_scan_results"]
    found = {name: one["result"] for name, one in server["scan_result"].items() if one["status"] == "COMPLETED"}
    for version in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"):
        assert found[f"{version}_cipher_suites"]["accepted_cipher_suites"] == []
        assert found[f"{version}_cipher_suites"]["rejected_cipher_suites"]
    accepted = {
        one["cipher_suite"]["openssl_name"]
        for version in ("1_2", "1_3")
        for one in found[f"tls_{version}_cipher_suites"]["accepted_cipher_suites"]
    }
    sealed = ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    of_13 = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
    assert accepted == {f"ECDHE-{KEYS[key]}-{one}" for one in sealed} | of_13
    renegotiation = found["session_renegotiation"]
    assert (renegotiation["supports_secure_renegotiation"], renegotiation["client_renegotiations_success_count"]) == (
        True, 0,
    )  # fmt: skip
    assert not renegotiation["is_vulnerable_to_client_renegotiation_dos"]
    assert found["tls_extended_master_secret"] == {"supports_ems_extension": True}
    assert found["tls_fallback_scsv"] == {"supports_fallback_scsv": True}
    assert found["tls_compression"] == {"supports_compression": False}
    assert found["tls_1_3_early_data"] == {"supports_early_data": False}
    assert found["heartbleed"] == {"is_vulnerable_to_heartbleed": False}
    assert found["openssl_ccs_injection"] == {"is_vulnerable_to_ccs_injection": False}
    sessions = found["session_resumption"]
    assert sessions["tls_ticket_successful_resumptions_count"] == sessions["tls_ticket_attempted_resumptions_count"] > 0
    assert sessions["session_id_successful_resumptions_count"] == 0
    assert found["robot"] == {"robot_result": "NOT_VULNERABLE_RSA_NOT_SUPPORTED"}
    assert {one["name"] for one in found["elliptic_curves"]["supported_curves"]} == CURVES
    _, compliance = said.split("COMPLIANCE AGAINST TLS CONFIGURATION")
    remarks = re.findall(r"^ +\* (\w+): (.*)$", compliance, re.MULTILINE)
    assert [(what, set(re.findall("'([^']*)'", sentence))) for what, sentence in remarks] == list(MOZILLA.items())


@pytest.mark.parametrize("key", KEYS)
def test_testssl(tmp_path, key):
    program = certificates.require_peer("testssl")
    quiet = ("--quiet", "--color", "0", "--warnings", "off", "--nodns", "none")
    with served(tmp_path, key) as port:
        run(tmp_path, program, *quiet, "--jsonfile", "found.json", f"localhost:{port}")
    findings = json.loads((tmp_path / "found.json").read_text())
    told = {one["id"]: one["finding"].strip() for one in findings}
    serious = {one["id"]: one["severity"] for one in findings if one["severity"] not in ("OK", "INFO")}
    assert {name: told[name] for name in serious if name not in REMARKS} == {}
    assert {name: REMARKS[name][0] for name in serious} == serious
    assert {name: told.get(name) for name in FINDINGS} == FINDINGS
    suites = {int(name.removeprefix("cipher_x"), 16) for name in told if name.startswith("cipher_x")}
    assert suites == SUITES_13 | SUITES_12[KEYS[key]]
    assert told["scanTime"].isdigit()
