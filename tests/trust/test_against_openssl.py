"""The policies "openssl" and "strict" beside the program whose rules they follow."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from handfast.pki.faults import FaultNames, Role, build_fault
from handfast.x509.pem import encode
from tests.certificates import require_peer
from tests.waiting import LIMIT

from .crafting import (
    ANY,
    CLIENT,
    NOW,
    Made,
    client,
    constraints,
    dns,
    eku,
    intermediate,
    judge,
    judge_client,
    make,
    root,
    server,
    usage,
)
from .test_faults import _JUDGED, verdicts

if TYPE_CHECKING:
    from pathlib import Path

# TLS 1.3 makes a server sign; OpenSSL notices only when it does.
_STRICTER = {"no-digital-signature"}


def openssl_accepts(directory: Path, chain: tuple[bytes, ...], roots: tuple[bytes, ...], *options: str) -> bool:
    for name, certificates in (("leaf", chain[:1]), ("others", chain[1:]), ("roots", roots)):
        (directory / name).write_bytes(b"".join(encode("CERTIFICATE", one) for one in certificates))
    others = ["-untrusted", "others"] if chain[1:] else []
    command = [require_peer("openssl"), "verify", "-CAfile", "roots", "-no-CApath", *others]
    time = ["-attime", str(int(NOW.timestamp())), "-auth_level", "2", "-partial_chain"]
    done = subprocess.run([*command, *time, *options, "leaf"], cwd=directory, capture_output=True, timeout=LIMIT)
    return done.returncode == 0


@pytest.mark.parametrize("policy", ["openssl", "strict"])
@pytest.mark.parametrize("fault", _JUDGED, ids=lambda fault: fault.name)
def test_the_fault_cases_are_judged_as_openssl_does(fault, policy: str, tmp_path) -> None:
    if policy == "strict" and fault.name in ("no-san", "email-only-san"):
        pytest.skip("strict in form, and names as handfast matches them")
    made = build_fault(fault.name, now=NOW)
    verdict = verdicts(fault.name, FaultNames(), policy)[fault.role]
    # Judged anew: `verdicts` made its own certificates of the same kind.
    options = ["-x509_strict"] if policy == "strict" else []
    if fault.role is Role.SERVER:
        by_address = made.host[0].isdigit()
        options += ["-purpose", "sslserver", "-verify_ip" if by_address else "-verify_hostname", made.host]
        chain = made.server.chain
    else:
        options += ["-purpose", "sslclient"]
        chain = made.client.chain if made.client else ()
    accepted = openssl_accepts(tmp_path, chain, made.roots, *options)
    assert verdict.accepted is (accepted and fault.name not in _STRICTER), verdict


def _cases() -> dict[str, tuple[Made, Made]]:
    """Chains on which implementations differ, each with its root."""
    trusted = root()
    unmarked = root("Unmarked", constraints(True, critical=False), (usage("key_cert_sign"), True))
    bare = root("Bare", constraints(True))
    nameless = root("Nameless", identifiers=False)
    critical = (x509.SubjectKeyIdentifier(b"x"), True)
    return {
        "a CA as leaf": (make("localhost", trusted, constraints(True), dns("localhost")), trusted),
        "any purpose": (server(trusted, eku(ANY), dns("localhost")), trusted),
        "no extensions but a name": (server(trusted, dns("localhost")), trusted),
        "basicConstraints not critical": (server(unmarked), unmarked),
        "a CA without keyUsage": (server(bare), bare),
        "a CA without identifiers": (server(nameless), nameless),
        "a critical identifier": (server(trusted, dns("localhost"), critical, identifiers=False), trusted),
        "keyCertSign without CA": (
            server(trusted, dns("localhost"), (usage("digital_signature", "key_cert_sign"), True)),
            trusted,
        ),
        "a CA for clients": (server(intermediate("Middle", trusted, eku(CLIENT))), trusted),
        "a self-signed CA as server": (itself := make("localhost", None, constraints(True), dns("localhost")), itself),
    }


@pytest.mark.parametrize("policy", ["openssl", "strict"])
@pytest.mark.parametrize("case", list(_cases()))
def test_chains_on_which_implementations_differ(case: str, policy: str, tmp_path) -> None:
    leaf, trusted = _cases()[case]
    options = ["-purpose", "sslserver", "-verify_hostname", "localhost", *(["-x509_strict"] * (policy == "strict"))]
    accepted = openssl_accepts(tmp_path, leaf.chain, (trusted.der,), *options)
    # "strict" is strict in form, and for the rest as "handfast".
    expected = accepted and (policy, case) != ("strict", "a CA as leaf")
    assert judge(leaf, trusted, policy=policy).accepted is expected


@pytest.mark.parametrize(
    ("address", "permitted", "excluded"),
    [
        ("bob@corp.example", "corp.example", None),
        ("bob@Corp.Example", "corp.example", None),
        ("bob@a.corp.example", "corp.example", None),
        ("bob@a.corp.example", ".corp.example", None),
        ("bob@corp.example", ".corp.example", None),
        ("bob@evil.example", "corp.example", None),
        ("bob@corp.example", "bob@corp.example", None),
        ("Bob@corp.example", "bob@corp.example", None),
        ("bob@evil.example", None, "evil.example"),
        ("bob@corp.example", None, "evil.example"),
        ("no mailbox", None, "evil.example"),
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_email_constraints_on_a_subject(
    address: str, permitted: str | None, excluded: str | None, named: bool, tmp_path: Path
) -> None:
    trees = [None if base is None else [x509.RFC822Name(base)] for base in (permitted, excluded)]
    trusted = root()
    issuer = intermediate("Constrained", trusted, (x509.NameConstraints(*trees), True))
    extensions = (constraints(False), eku(CLIENT), *([dns("corp.example")] * named))
    subject = x509.Name([x509.NameAttribute(x509.NameOID.EMAIL_ADDRESS, address)])
    leaf = client(issuer, *extensions, subject=subject)
    accepted = openssl_accepts(tmp_path, leaf.chain, (trusted.der,), "-purpose", "sslclient")
    verdict = judge_client(leaf, trusted, policy="openssl")
    assert verdict.accepted is accepted, verdict
    assert verdict.code == ("" if accepted else "name_constraint")
