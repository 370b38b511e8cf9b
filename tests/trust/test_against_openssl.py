"""The policies "openssl" and "strict" beside the program whose rules they follow."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519

from handfast.pki.faults import FaultNames, Role, build_fault
from handfast.x509.pem import encode
from tests.certificates import require_peer
from tests.waiting import LIMIT

from .crafting import (
    ANY,
    CLIENT,
    NOW,
    SERVER,
    Made,
    client,
    constraints,
    dns,
    eku,
    intermediate,
    judge,
    judge_client,
    make,
    new_key,
    root,
    server,
    usage,
    with_sha1,
)
from .test_faults import _JUDGED, verdicts

if TYPE_CHECKING:
    from pathlib import Path

# TLS 1.3 makes a server sign; OpenSSL notices only when it does.
_STRICTER = {"no-digital-signature"}
# Python 3.13's default context takes partial chains too.
_OPTIONS = {"openssl": [], "strict": ["-x509_strict", "-partial_chain"]}


def openssl_accepts(directory: Path, chain: tuple[bytes, ...], roots: tuple[bytes, ...], *options: str) -> bool:
    for name, certificates in (("leaf", chain[:1]), ("others", chain[1:]), ("roots", roots)):
        (directory / name).write_bytes(b"".join(encode("CERTIFICATE", one) for one in certificates))
    others = ["-untrusted", "others"] if chain[1:] else []
    command = [require_peer("openssl"), "verify", "-CAfile", "roots", "-no-CApath", *others]
    time = ["-attime", str(int(NOW.timestamp())), "-auth_level", "2"]
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
    options = _OPTIONS[policy]
    if fault.role is Role.SERVER:
        by_address = made.host[0].isdigit()
        options = [*options, "-purpose", "sslserver", "-verify_ip" if by_address else "-verify_hostname", made.host]
        chain = made.server.chain
    else:
        options = [*options, "-purpose", "sslclient"]
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
    options = ["-purpose", "sslserver", "-verify_hostname", "localhost", *_OPTIONS[policy]]
    accepted = openssl_accepts(tmp_path, leaf.chain, (trusted.der,), *options)
    # "strict" is strict in form, and for the rest as "handfast".
    expected = accepted and (policy, case) != ("strict", "a CA as leaf")
    assert judge(leaf, trusted, policy=policy).accepted is expected


def _ends() -> dict[str, tuple[tuple[bytes, ...], list[Made]]]:
    """What is sent, and what is trusted: it may be no root, or not the issuer that is meant."""
    found: dict[str, tuple[tuple[bytes, ...], list[Made]]] = {}
    for kind, key in (("", None), (", Ed25519", ed25519.Ed25519PrivateKey.generate())):
        top, other = root(key=key), root("Other")
        middle = intermediate("Middle", top, key=key)
        leaf = server(middle)
        found |= {
            f"an intermediate{kind}": (leaf.chain, [middle]),
            f"an intermediate that was not sent{kind}": (leaf.chain[:1], [middle, other]),
            f"an intermediate that was not sent, and its root{kind}": (leaf.chain[:1], [middle, top]),
            f"an intermediate that was sent, and its root{kind}": (leaf.chain, [middle, top]),
            f"the leaf{kind}": (leaf.chain, [leaf]),
            f"the leaf and the root{kind}": (leaf.chain, [leaf, top]),
            f"the leaf and the intermediate{kind}": (leaf.chain, [leaf, middle]),
        }
        # A new key of the CA under its old one is issued by its own name, and is no root.
        old = root("CA", key=key)
        ca = constraints(True), (usage("key_cert_sign", "crl_sign"), True)
        new = make("CA", old, *ca, key=None if key is None else ed25519.Ed25519PrivateKey.generate())
        expired = root("CA", key=old.key, not_after=NOW - timedelta(days=1))
        below = server(new).chain[:1]
        found |= {
            f"a key that was rolled over{kind}": (below, [new]),
            f"a key that was rolled over, and the old root{kind}": (below, [new, old]),
            f"a key that was rolled over, and the old root that has expired{kind}": (below, [new, expired]),
        }
        # Two CAs that certified each other, and a root above.
        first = root("A", key=key)
        second = root("B", key=key and ed25519.Ed25519PrivateKey.generate())
        crossed = [make("A", second, *ca, key=first.key), make("B", first, *ca, key=second.key)]
        # OpenSSL goes in a circle where it sees no difference, and takes one that is valid now before one that is not.
        above = make("A", top, *ca, key=first.key)
        over = make("A", second, *ca, key=first.key, not_after=NOW - timedelta(days=1))
        found |= {
            f"CAs that certified each other, below a root{kind}": (
                server(first).chain[:1],
                [over, crossed[1], above, top],
            ),
            f"CAs that certified each other alone{kind}": (server(first).chain[:1], crossed),
        }
    itself = server(None)
    return found | {"a leaf of itself": (itself.chain, [itself])}


def _identifiers() -> dict[str, tuple[tuple[bytes, ...], list[Made]]]:
    """Leaves whose authorityKeyIdentifier is right, or is not."""
    trusted = root()
    own = x509.SubjectKeyIdentifier.from_public_key(trusted.key.public_key()).digest
    name, serial = [x509.DirectoryName(trusted.certificate.subject)], trusted.certificate.serial_number
    other = [x509.DirectoryName(root("Other").certificate.subject)]
    fields = {
        "right": (own, None, None),
        "right in all": (own, name, serial),
        "of no key": (None, name, serial),
        "of another key": (b"x" * 20, None, None),
        "of another serial number": (own, name, serial + 1),
        "of another issuer": (own, other, serial),
    }
    right = _leaf(trusted, x509.AuthorityKeyIdentifier(own, None, None))
    found = {
        what: (_leaf(trusted, x509.AuthorityKeyIdentifier(*given)).chain, [trusted]) for what, given in fields.items()
    }
    # The same CA, its certificate made anew with another identifier.
    ca = constraints(True), (usage("key_cert_sign"), True)
    old = root("Root", *ca, (x509.SubjectKeyIdentifier(b"old"), False), key=trusted.key, identifiers=False)
    bare = root("Root", *ca, key=trusted.key, identifiers=False)
    return found | {
        "of the older certificate": (right.chain, [old]),
        "of one of two": (right.chain, [old, trusted]),
        "of one that has none": (right.chain, [bare]),
    }


def _leaf(issuer: Made, identifier: x509.AuthorityKeyIdentifier) -> Made:
    own = constraints(False), (usage("digital_signature"), True), eku(SERVER), dns("localhost")
    key = new_key()
    subject = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return server(issuer, *own, (identifier, False), (subject, False), key=key, identifiers=False)


@pytest.mark.parametrize("policy", ["openssl", "strict"])
@pytest.mark.parametrize("case", [*_ends(), *_identifiers()])
def test_where_a_path_may_end_and_which_issuer_is_meant(case: str, policy: str, tmp_path) -> None:
    chain, trusted = (_ends() | _identifiers())[case]
    options = ["-purpose", "sslserver", "-verify_hostname", "localhost", *_OPTIONS[policy]]
    accepted = openssl_accepts(tmp_path, chain, tuple(one.der for one in trusted), *options)
    verdict = judge(chain, *trusted, policy=policy)
    assert verdict.accepted is accepted, verdict
    assert len(set(verdict.path)) == len(verdict.path)
    assert verdict.code in (
        "",
        "unknown_issuer",
        "not_a_root",
        "other_issuer_named",
        "missing_required_extension",
        "expired",
    )


def test_a_root_that_was_made_anew_with_the_same_key(tmp_path: Path) -> None:
    """The old one, which was sent, does not stand in the way of the one that is trusted."""
    old = root("Root")
    new = root("Root", key=old.key)
    chain = (server(old).der, old.der)
    assert openssl_accepts(tmp_path, chain, (new.der,), "-purpose", "sslserver", "-verify_hostname", "localhost")
    for policy in ("openssl", "strict", "handfast"):
        assert judge(chain, new, policy=policy), policy


def test_a_self_signed_leaf_that_was_made_anew_with_the_same_key(tmp_path: Path) -> None:
    """As `openssl req -x509` makes them, with CA:TRUE. OpenSSL wants the very certificate; docs/trust.md says so."""
    old = root("localhost", constraints(True), dns("localhost"))
    new = root("localhost", constraints(True), dns("localhost"), key=old.key)
    options = ("-purpose", "sslserver", "-verify_hostname", "localhost")
    assert openssl_accepts(tmp_path, (old.der,), (old.der,), *options)
    assert not openssl_accepts(tmp_path, (old.der,), (new.der,), *options)
    assert judge((old.der,), new, policy="openssl")
    for policy in ("strict", "handfast"):
        assert not judge((old.der,), new, policy=policy), policy


def test_of_an_intermediate_in_the_store_it_is_said_that_its_signature_is_weak() -> None:
    """It is not damaged: the library does not check such a signature at all."""
    top = root(key=new_key("rsa"))
    middle = with_sha1(intermediate("Middle", top), top.key)
    assert judge((server(middle).der,), middle, top, policy="openssl").code == "weak_signature_hash"


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("*.com", "a.com"),
        ("*.a_b.example", "x.a_b.example"),
        ("localhost.", "localhost"),
        ("localhost", "localhost."),
    ],
)
def test_names_that_are_taken_more_kindly_as_docs_trust_says(name: str, host: str, tmp_path: Path) -> None:
    trusted = root()
    leaf = server(trusted, constraints(False), (usage("digital_signature"), True), eku(SERVER), dns(name))
    assert not openssl_accepts(tmp_path, leaf.chain, (trusted.der,), "-verify_hostname", host)
    assert judge(leaf, trusted, policy="openssl", server_name=host)


@pytest.mark.parametrize("policy", ["openssl", "strict"])
@pytest.mark.parametrize("purpose", ["client", "server"])
@pytest.mark.parametrize("with_eku", [True, False])
@pytest.mark.parametrize("encoded", ["03020780", "03020640", "030206c0", "03020410", "030100", "03020204", "0302003f"])
def test_the_type_that_netscape_gave(encoded: str, with_eku: bool, purpose: str, policy: str, tmp_path: Path) -> None:
    trusted = root()
    kind = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.16.840.1.113730.1.1"), bytes.fromhex(encoded)), False
    role = [eku(CLIENT if purpose == "client" else SERVER)] if with_eku else []
    leaf = server(trusted, constraints(False), (usage("digital_signature"), True), dns("localhost"), kind, *role)
    options = ["-purpose", f"ssl{purpose}", *_OPTIONS[policy]]
    accepted = openssl_accepts(tmp_path, leaf.chain, (trusted.der,), *options)
    judged = judge if purpose == "server" else judge_client
    verdict = judged(leaf, trusted, policy=policy)
    assert verdict.accepted is accepted, verdict
    assert verdict.code == ("" if accepted else "wrong_purpose")
    assert judged(leaf, trusted)


@pytest.mark.parametrize("on", ["a CA", "nothing that parses"])
def test_the_type_of_a_ca_and_one_that_does_not_parse(on: str, tmp_path: Path) -> None:
    trusted, value = root(), bytes.fromhex("03020780" if on == "a CA" else "0400")
    kind = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.16.840.1.113730.1.1"), value), False
    leaf = server(intermediate("Middle", trusted, kind)) if on == "a CA" else server(trusted, kind, dns("localhost"))
    accepted = openssl_accepts(tmp_path, leaf.chain, (trusted.der,), "-purpose", "sslserver")
    assert judge(leaf, trusted, policy="openssl").accepted is accepted is (on == "a CA")


@pytest.mark.parametrize("case", [*_ends(), *_identifiers()])
def test_by_default_neither_matters(case: str) -> None:
    chain, trusted = (_ends() | _identifiers())[case]
    assert judge(chain, *trusted), case


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
