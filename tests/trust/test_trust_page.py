"""docs/trust.md: its codes, knobs and sentences are the program's."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from handfast.errors import CertificateRejected, ConfigError
from handfast.pki.authority import Issued
from handfast.pki.faults import Role, build_fault
from handfast.registry import AlertDescription
from handfast.trust.path.policy import POLICIES, PathPolicy
from handfast.trust.presented import PresentedChain
from handfast.trust.revocation.crl_store import Crls, CrlScope, CrlUnknown, OcspPolicy
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from handfast.verdict import Verdict, as_verdict
from handfast.x509.purpose import Purpose
from tests import certificates

from .crafting import NOW

PAGE = (Path(__file__).parents[2] / "docs" / "trust.md").read_text()


def table(*header: str) -> list[list[str]]:
    """The cells of the rows below the table's header; tables with the same header are joined."""
    start = r"\|".join(f" {re.escape(cell)} " for cell in header)
    found = re.findall(rf"^\|{start}\|\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert found, header
    rows = "".join(found).splitlines()
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def codes(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def test_policies_and_their_knobs() -> None:
    rows = table("knob", "`handfast`", "`openssl`", "`strict`", "what")
    assert [codes(row[0]) for row in rows] == [[field.name] for field in fields(PathPolicy)]
    for knob, *cells in rows:
        for policy, cell in zip(("handfast", "openssl", "strict"), cells, strict=False):
            assert getattr(POLICIES[policy], knob.strip("`")) is (cell == "yes"), (knob, policy)


def test_the_list_of_those_who_may_come_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = re.search(r"```python\n(import handfast\n\n\nclass OnTheList:.*?)```", PAGE, re.DOTALL)
    assert program is not None
    (tmp_path / "ca.pem").write_bytes(certificates.ca().certificate_pem)
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    exec(program[1], scope)
    verifier: Any = scope["verifier"]
    alice, mallory = (certificates.ca().client(name) for name in ("alice", "mallory"))
    at = datetime.now(UTC)

    def judged(issued: Issued) -> Verdict:
        asked = PresentedChain(chain=issued.chain, purpose=Purpose.CLIENT, server_name=None, at=at)
        return as_verdict(verifier.verify(asked))

    assert judged(alice).accepted
    assert judged(mallory).code == "access_denied"
    assert CertificateRejected.catalogue["access_denied"].alert is AlertDescription.access_denied
    assert judged(certificates.other_ca().client("alice")).code == "unknown_issuer"


def test_the_knobs_for_revocation() -> None:
    rows = table("knob", "values", "what")
    parameters = inspect.signature(PathVerifier).parameters
    for (knob, values, _), kind in zip(rows, (CrlScope, CrlUnknown, OcspPolicy), strict=True):
        assert set(codes(values)) == set(kind)
        # The default is named first.
        assert parameters[knob.strip("`")].default == codes(values)[0]


def test_codes() -> None:
    refused = [code for first, _ in table("code", "what") for code in codes(first)]
    assert len(refused) > 10
    assert set(refused) <= set(CertificateRejected.catalogue)
    sections = set(re.findall(r"^`(\w+)`:", PAGE, re.MULTILINE))
    assert sections | {"missing_intermediate", "self_signed"} <= set(CertificateRejected.catalogue)
    for code, alert, _ in table("code", "alert", "when"):
        entry = CertificateRejected.catalogue[code.strip("`")]
        assert entry.alert is not None
        assert entry.alert.name == alert
    assert {"no_crl", "bad_crl"} <= set(ConfigError.catalogue)


QUOTES = [re.sub(r"\s*\n?> ", " ", quote).strip() for quote in re.findall(r"(?:^> .*\n)+", PAGE, re.MULTILINE)]


@pytest.mark.parametrize(
    "name", ["wrong-ca", "missing-intermediate", "same-name-ca", "issuer-not-a-ca", "client-stale-crl"]
)
def test_sentences(name: str) -> None:
    made = build_fault(name, now=NOW)
    verifier = PathVerifier(
        Roots.from_pem(made.files["ca.pem"], "ca.pem"),
        known_intermediates=() if made.intermediate is None else (made.intermediate,),
        crls=None if made.crl is None else Crls.from_pem(made.crl, "crl.pem"),
    )
    role = Role.CLIENT if name.startswith("client") else Role.SERVER
    issued = made.client if role is Role.CLIENT else made.server
    assert issued is not None
    presented = PresentedChain(
        chain=issued.chain,
        purpose=Purpose(role.value),
        server_name=made.host if role is Role.SERVER else None,
        at=NOW,
    )
    assert verifier.verify(presented).explanation in QUOTES


def test_every_sentence_was_looked_at() -> None:
    assert len(QUOTES) == 5
