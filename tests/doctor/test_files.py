"""Files alone: both sides' own, broken ones included, without a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from handfast.cli import main
from handfast.pki.faults import FAULTS, write_fault
from tests.doctor.matrix import ask, names
from tests.faults.meeting import new_seed

if TYPE_CHECKING:
    from pathlib import Path

# What files that their own side cannot use are called.
OF_FILES = {
    "key-mismatch": "server_key_mismatch",
    "client-key-mismatch": "client_key_mismatch",
    "client-key-encrypted": "client_key_encrypted",
    "client-chain-order": "client_chain_order",
    "client-der": "client_der_as_pem",
    "client-swapped": "client_files_swapped",
}
# What a side's certificate is called that the other side refuses.
OF_CERTIFICATES = {
    "wrong-san": "server_wrong_name",
    "no-san": "server_no_san",
    "no-san-by-address": "server_no_san",
    "email-only-san": "server_wrong_name",
    "address-not-in-san": "server_wrong_name",
    "expired": "server_expired",
    "not-yet-valid": "server_not_yet_valid",
    "client-purpose": "server_wrong_purpose",
    "same-name-ca": "server_twin_ca",
    "missing-intermediate": "server_missing_intermediate",
    "self-signed": "server_self_signed",
    "issuer-not-a-ca": "server_issuer_not_a_ca",
    "name-constraints": "server_name_constraint",
    "no-aki": "server_form",
    "no-digital-signature": "server_key_may_not_sign",
    "rsa-1024": "server_weak_key",
    "client-same-name-ca": "client_twin_ca",
    "client-expired": "client_expired",
    "client-not-yet-valid": "client_not_yet_valid",
    "client-server-purpose": "client_wrong_purpose",
    "client-missing-intermediate": "client_missing_intermediate",
    "client-self-signed": "client_self_signed",
    "client-revoked": "client_revoked",
    "client-stale-crl": "client_crl_stale",
    "client-no-digital-signature": "client_key_may_not_sign",
    "client-issuer-not-a-ca": "client_issuer_not_a_ca",
    "client-rsa-1024": "client_weak_key",
}
OF_CLIENTS = [(name, cause) for name, cause in OF_CERTIFICATES.items() if cause.startswith("client_")]
BY_BOTH = [*OF_FILES.items(), *OF_CERTIFICATES.items()]
HEALTHY = ("good", "good-intermediate", "good-client-uri", "good-crl")
# What the files of both sides leave open: whether an unknown CA is a root or an intermediate.
OPEN = {"wrong-ca": "server_wrong_ca", "client-wrong-ca": "client_wrong_ca"}


def both_sides(name: str, directory: Path) -> tuple[object, ...]:
    """The arguments that name all the files of a case."""
    made, _ = write_fault(name, directory, names(new_seed()))
    arguments: list[object] = ["--cacert", directory / "ca.pem", "--client-ca", directory / "ca.pem"]
    arguments += ["--server-cert", directory / "server.pem", "--server-key", directory / "server.key"]
    arguments += ["--servername", made.host]
    if made.client is not None:
        arguments += ["--cert", directory / "client.pem", "--key", directory / "client.key"]
    if made.crl is not None:
        arguments += ["--crl", directory / "crl.pem"]
    if made.intermediate is not None:
        arguments += ["--issuer", directory / "intermediate.pem"]
    return tuple(arguments)


def test_every_case_of_the_table_is_here() -> None:
    assert FAULTS.keys() == {*OF_FILES, *OF_CERTIFICATES, *HEALTHY, *OPEN, "client-none"}


@pytest.mark.parametrize(("name", "cause"), BY_BOTH, ids=[name for name, _ in BY_BOTH])
def test_both_sides_files_decide(name: str, cause: str, tmp_path: Path) -> None:
    answer = ask(*both_sides(name, tmp_path))
    assert answer.findings == ((cause,),), answer.document["findings"]
    assert answer.status == 1


@pytest.mark.parametrize(("name", "cause"), OPEN.items(), ids=OPEN)
def test_what_they_leave_open_is_said_with_what_would_tell(name: str, cause: str, tmp_path: Path) -> None:
    side = FAULTS[name].role
    answer = ask(*both_sides(name, tmp_path))
    assert answer.findings == ((cause, f"{side}_missing_intermediate"),)
    assert "the certificate of the CA that issued" in answer.document["findings"][0]["separates"]


@pytest.mark.parametrize("name", HEALTHY)
def test_what_is_healthy_has_no_finding(name: str, tmp_path: Path) -> None:
    answer = ask(*both_sides(name, tmp_path))
    assert answer.findings == ()
    assert answer.status == 0


@pytest.mark.parametrize(("name", "cause"), OF_CLIENTS, ids=[name for name, _ in OF_CLIENTS])
def test_the_client_s_own_files_against_the_ca(name: str, cause: str, tmp_path: Path) -> None:
    """``--cert --key --cacert``: without a connection the CA is the one that both sides trust."""
    write_fault(name, tmp_path, names(new_seed()))
    answer = ask("--cert", tmp_path / "client.pem", "--key", tmp_path / "client.key", "--cacert", tmp_path / "ca.pem")
    if cause in ("client_revoked", "client_crl_stale"):
        # No list was given.
        assert answer.findings == ()
    elif cause == "client_missing_intermediate":
        assert answer.findings == (("client_wrong_ca", cause),)
    else:
        assert answer.findings == ((cause,),), answer.document["findings"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing to look at"),
        (("--cert", "missing.pem", "--key", "missing.key"), "no such file"),
        (("--server-key", "server.key", "--cert", "client.pem"), "no --server-cert"),
        (("--keylog", "keys.log", "--cert", "client.pem"), "no --capture"),
        (("--crl", "crl.pem", "--cert", "client.pem"), "--client-ca"),
        (("--starttls", "smtp", "--cert", "client.pem"), "--starttls: without TARGET no connection is made"),
        (("--crypto-provider", "aws-lc", "--log", "a line"), "--crypto-provider: without TARGET"),
        (("--tls", "1.2", "--cert", "client.pem"), "--tls: without TARGET"),
        (("-6", "--cert", "client.pem"), "--ipv6: without TARGET"),
        (("-k", "--capture", "one.pcap"), "--insecure: without TARGET"),
        (("--starttls", "smtp", "https://localhost/"), "TLS starts at once"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", *arguments]) == 2
    complaint = capsys.readouterr().err
    assert words in complaint
    assert complaint.count("\n") == 2
