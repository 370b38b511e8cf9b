"""Every fault case that certificates or files alone decide gets its own diagnosis, whatever the names in it are."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from handfast.credentials.credentials import Credentials
from handfast.errors import ConfigError
from handfast.pki.faults import FAULTS, FaultNames, Role, build_fault
from handfast.trust.presented import PresentedChain
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from handfast.verdict import Verdict
from handfast.x509.purpose import Purpose

from .crafting import NOW

# Decided by what is configured beside the certificates: whether one was sent, and a revocation list.
_ELSEWHERE = {"certificate_required", "revoked", "revocation_stale"}
_JUDGED = [fault for fault in FAULTS.values() if fault.error is not ConfigError and fault.code not in _ELSEWHERE]
_LOCAL = [fault for fault in FAULTS.values() if fault.error is ConfigError]

# What the other policies say where they differ from ours.
_OPENSSL = {"no-san": "", "no-san-by-address": "name_mismatch", "email-only-san": ""}
_STRICT = {"no-aki": "missing_required_extension"}


def names_of_nothing(seed: int) -> FaultNames:
    """Names that say nothing about their part in a case, and some of them what they are not."""
    words = ["Intermediate", "Root", "Issuing CA", "Lab", "Alpha", "Omega"]
    random.Random(seed).shuffle(words)
    return FaultNames(organization=words[0], ca=words[1], other_ca=words[2], intermediate=words[3], client=words[4])


def verdicts(name: str, names: FaultNames, policy: str) -> dict[Role, Verdict]:
    made = build_fault(name, names, now=NOW)
    known = () if made.intermediate is None else (made.intermediate,)
    verifier = PathVerifier(Roots.from_der(made.roots), policy=policy, known_intermediates=known)
    found = {}
    if made.server is not None:
        server = PresentedChain(chain=made.server.chain, purpose=Purpose.SERVER, server_name=made.host, at=NOW)
        found[Role.SERVER] = verifier.verify(server)
    if made.client is not None:
        client = PresentedChain(chain=made.client.chain, purpose=Purpose.CLIENT, server_name=None, at=NOW)
        found[Role.CLIENT] = verifier.verify(client)
    return found


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("policy", ["handfast", "openssl", "strict"])
@pytest.mark.parametrize("fault", _JUDGED, ids=lambda fault: fault.name)
def test_a_case_gets_its_code_and_the_other_side_is_healthy(fault, policy: str, seed: int) -> None:
    found = verdicts(fault.name, names_of_nothing(seed), policy)
    expected = fault.code or ""
    expected = {"openssl": _OPENSSL, "strict": _STRICT}.get(policy, {}).get(fault.name, expected)
    for role, verdict in found.items():
        assert verdict.code == (expected if role is fault.role else ""), verdict
        if verdict:
            continue
        assert verdict.explanation
        assert verdict.advice
        assert verdict.error().alert is not None


@pytest.mark.parametrize("fault", _LOCAL, ids=lambda fault: fault.name)
def test_files_that_their_own_side_cannot_use(fault, tmp_path) -> None:
    made = build_fault(fault.name, now=NOW)
    for name, content in made.files.items():
        (tmp_path / name).write_bytes(content)
    for role in Role:
        cert, key = tmp_path / f"{role}.pem", tmp_path / f"{role}.key"
        if role is not fault.role:
            assert Credentials.from_files(cert, key).chain
            continue
        with pytest.raises(ConfigError) as caught:
            Credentials.from_files(cert, key)
        assert caught.value.code == fault.code
        assert str(tmp_path) in caught.value.what


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wrong-san", ["'here.example'", "DNS:api.example.com"]),
        ("no-san", ["no subjectAltName", "CN=here.example"]),
        ("expired", ["2 days ago", "on 2026-11-19 12:00 UTC", "the time here is 2026-11-21 12:00 UTC"]),
        ("not-yet-valid", ["in 20 days", "on 2026-12-11 12:00 UTC"]),
        ("client-purpose", ["clientAuth", "serverAuth"]),
        ("wrong-ca", ["CN=Other Root CA,O=lab", "not among the trusted roots", "1 root"]),
        ("same-name-ca", ["CN=Lab Root CA,O=lab", "another key"]),
        ("missing-intermediate", ["CN=Lab Intermediate,O=lab", "not sent", "CN=Lab Root CA,O=lab issued it"]),
        ("self-signed", ["self-signed"]),
        ("rsa-1024", ["1024 bits", "2048"]),
        ("issuer-not-a-ca", ["CN=Lab Intermediate,O=lab", "CA:FALSE"]),
        ("name-constraints", ["only corp.example", "here.example"]),
        ("no-digital-signature", ["digitalSignature"]),
    ],
)
def test_the_explanation_names_cause_and_evidence(name: str, words: list[str]) -> None:
    explanation = verdicts(name, FaultNames(host="here.example"), "handfast")[Role.SERVER].explanation
    for word in words:
        assert word in explanation


def test_without_evidence_a_missing_intermediate_and_a_foreign_ca_look_alike_and_it_says_so() -> None:
    made = build_fault("missing-intermediate", replace(FaultNames(), intermediate="Omega"), now=NOW)
    presented = PresentedChain(chain=made.server.chain, purpose=Purpose.SERVER, server_name=made.host, at=NOW)
    verdict = PathVerifier(Roots.from_der(made.roots)).verify(presented)
    assert verdict.code == "unknown_issuer"
    assert "CN=Omega,O=lab" in verdict.explanation
    assert "an intermediate that should have been sent" in verdict.explanation
