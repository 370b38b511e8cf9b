"""OCSP with OpenSSL: its server staples to our client, our server to its client, and it believes what `pki` makes."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from handfast.engine import ClientAuth
from handfast.registry import AlertDescription as Alert
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from tests import certificates
from tests.interop.columns import COLUMNS
from tests.interop.meeting import Meeting, credentials, heard, refused, said, trusting
from tests.peers.base import require_peer
from tests.peers.openssl import OpenSSLClient, OpenSSLServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Files


def meeting(peer: Any, files: Files) -> Meeting:
    (column,) = (one for one in COLUMNS if one.peer is peer)
    return Meeting(column, files)


def requiring() -> PathVerifier:
    return PathVerifier(Roots.from_der([certificates.ca().certificate_der]), ocsp="require")


def responses() -> dict[str, bytes]:
    ca, server = certificates.ca(), certificates.server()
    return {
        "good": ca.ocsp_response(server),
        "delegated": ca.ocsp_response(server, responder=ca.ocsp_responder()),
        "revoked": ca.ocsp_response(server, "revoked"),
        "another's": ca.ocsp_response(certificates.client()),
    }


@pytest.mark.parametrize(
    ("which", "code", "alert"),
    [
        ("good", None, None),
        ("delegated", None, None),
        ("revoked", "revoked", Alert.certificate_revoked),
        ("another's", "ocsp_bad", Alert.bad_certificate_status_response),
    ],
)
def test_openssl_staples(files: Files, which: str, code: str | None, alert: Alert | None) -> None:
    status = files.write(responses()[which], ".ocsp")
    mine, theirs = meeting(OpenSSLServer, files)(
        ours={"verifier": requiring()}, theirs={"extra": ("-status_file", str(status))}
    )
    if code is None or alert is None:
        assert mine.ok, mine
        assert mine.peer_verified
        assert theirs.ok, theirs
    else:
        assert refused(mine, code, alert)
        # OpenSSL does not call this one of the two an alert.
        assert heard(theirs, alert) or said(theirs, alert.name.replace("_", " "))


def test_openssl_does_not_staple(files: Files) -> None:
    mine, theirs = meeting(OpenSSLServer, files)(ours={"verifier": requiring()})
    assert refused(mine, "ocsp_missing", Alert.bad_certificate_status_response)
    assert said(theirs, "bad certificate status response")


@pytest.mark.parametrize("which", ["good", "delegated", "revoked"])
def test_openssl_reads_what_we_staple(files: Files, which: str) -> None:
    ours = replace(credentials(certificates.server()), ocsp_response=responses()[which])
    mine, theirs = meeting(OpenSSLClient, files)(ours={"credentials": (ours,)}, theirs={"extra": ("-status",)})
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert "OCSP Response Status: successful" in theirs.text
    assert f"Cert Status: {'revoked' if which == 'revoked' else 'good'}" in theirs.text


# The openssl command


@pytest.mark.parametrize("key", ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "ed25519"])
@pytest.mark.parametrize(("status", "delegated"), [("good", True), ("revoked", False), ("unknown", False)])
def test_openssl_believes_what_a_ca_says(tmp_path: Path, key: str, status: Any, delegated: bool) -> None:
    ca = certificates.ca(key)
    issued = ca.server("localhost")
    response = ca.ocsp_response(issued, status, responder=ca.ocsp_responder(key=key) if delegated else None)
    for name, content in (("root", ca.certificate_pem), ("leaf", issued.cert_pem), ("response", response)):
        (tmp_path / name).write_bytes(content)
    command = "ocsp -respin response -issuer root -cert leaf -CAfile root -no_nonce"
    done = subprocess.run(
        [require_peer("openssl"), *command.split()], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "Response verify OK" in done.stderr, done.stderr
    assert f"leaf: {status}" in done.stdout


def test_a_server_may_ask_openssls_client_which_has_nothing_to_say(files: Files) -> None:
    ours = {"client_auth": ClientAuth.REQUIRE_AND_VERIFY, "verifier": trusting(), "ask_for_ocsp_response": True}
    theirs = files.identity(certificates.client())
    mine, _ = meeting(OpenSSLClient, files)(ours=ours, theirs=theirs)
    assert mine.ok, mine
    assert mine.peer_verified
    mine, _ = meeting(OpenSSLClient, files)(ours={**ours, "verifier": requiring()}, theirs=theirs)
    assert refused(mine, "ocsp_missing", Alert.bad_certificate_status_response)
