"""Revocation lists: what they do to a verified path, and whose fault it is when they cannot say."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from handfast.errors import ApiMisuse, Fault
from handfast.limits import MAX_CRL_ISSUER_KEYS
from handfast.pki.faults import build_fault
from handfast.registry import AlertDescription
from handfast.trust.presented import PresentedChain
from handfast.trust.revocation.crl_store import Crls
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from handfast.verdict import Verdict
from handfast.x509 import pem
from handfast.x509.purpose import Purpose
from tests.certificates import require_peer
from tests.waiting import LIMIT

from .crafting import (
    DAY,
    NOW,
    Extension,
    Made,
    client,
    constraints,
    judge,
    judge_client,
    make,
    name,
    new_key,
    root,
    server,
    usage,
)
from .crl_crafting import UNKNOWN, crl, entry, reason, scope

if TYPE_CHECKING:
    from pathlib import Path

URL = x509.UniformResourceIdentifier("http://ca.example/1.crl")
OTHER_URL = x509.UniformResourceIdentifier("http://ca.example/2.crl")
CA_USAGE = (usage("key_cert_sign", "crl_sign"), True)


def judged(leaf: Made, trusted: Made, *lists: bytes, **options: Any) -> Verdict:
    return judge_client(leaf, trusted, crls=Crls.from_der(lists), **options)


@dataclass
class Scene:
    """A root and a client of it."""

    kind: str = "p256"

    @cached_property
    def root(self) -> Made:
        return root(key=new_key(self.kind))

    @cached_property
    def client(self) -> Made:
        return client(self.root)

    def judged(self, *lists: bytes, **options: Any) -> Verdict:
        return judged(self.client, self.root, *lists, **options)


@pytest.fixture
def scene() -> Scene:
    return Scene()


# What a list says


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa", "ed25519", "ed448"])
def test_revoked_and_not(kind: str) -> None:
    scene = Scene(kind)
    assert scene.judged(crl(scene.root))
    assert scene.judged(crl(scene.root, entry(client(scene.root))))
    verdict = scene.judged(crl(scene.root, entry(client(scene.root)), entry(scene.client)))
    assert verdict.code == "revoked"
    assert verdict.reasons[0].certificate_index == 0
    assert verdict.path == ()


@pytest.mark.parametrize(
    ("extensions", "words"),
    [
        ((), "was revoked on 2026-11-19 12:00 UTC (no reason is given)"),
        ((reason(x509.ReasonFlags.key_compromise),), "was revoked on 2026-11-19 12:00 UTC (keyCompromise)"),
        ((reason(x509.ReasonFlags.certificate_hold),), "is on hold since 2026-11-19 12:00 UTC (certificateHold)"),
        (
            (reason(x509.ReasonFlags.superseded), (x509.InvalidityDate(NOW - 9 * DAY), False)),
            "was revoked on 2026-11-19 12:00 UTC (superseded)",
        ),
    ],
)
def test_a_revoked_certificate_in_words(scene: Scene, extensions: tuple[Extension, ...], words: str) -> None:
    verdict = scene.judged(crl(scene.root, entry(scene.client, *extensions)))
    assert verdict.code == "revoked"
    source = "says the revocation list of CN=Root,O=lab in given lists (1 revocation list), of 2026-11-20 12:00 UTC"
    assert verdict.explanation == f"the certificate CN=alice,O=lab {words}, {source}"
    assert "new certificate" in verdict.advice
    assert verdict.error().alert is AlertDescription.certificate_revoked
    assert verdict.error().fault is Fault.PEER


def test_a_revocation_of_the_future_counts(scene: Scene) -> None:
    assert scene.judged(crl(scene.root, entry(scene.client, on=NOW + DAY))).code == "revoked"


def test_an_entry_that_only_a_delta_list_may_have_is_our_own_fault(scene: Scene) -> None:
    removed = entry(scene.client, reason(x509.ReasonFlags.remove_from_crl))
    verdict = scene.judged(crl(scene.root, removed))
    assert verdict.code == "revocation_unusable"
    assert "removeFromCRL" in verdict.explanation
    assert scene.judged(crl(scene.root, entry(client(scene.root), reason(x509.ReasonFlags.remove_from_crl))))


# Dates


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (NOW + 3 * DAY, "ended 2 days ago, on 2026-11-22 12:00 UTC; the time here is 2026-11-24 12:00 UTC"),
        (NOW - DAY - timedelta(hours=3), "begins only in 3 hours; the time here is 2026-11-20 09:00 UTC"),
    ],
)
def test_a_list_that_is_not_current_is_our_own_fault(scene: Scene, at: datetime, words: str) -> None:
    verdict = scene.judged(crl(scene.root), at=at)
    assert verdict.code == "revocation_stale"
    assert words in verdict.explanation
    assert "whether the certificate CN=alice,O=lab is revoked cannot be told" in verdict.explanation
    assert "no fault of the peer's" in verdict.explanation
    assert verdict.error().alert is AlertDescription.internal_error
    assert verdict.error().fault is Fault.OURS


def test_the_last_second_counts(scene: Scene) -> None:
    assert scene.judged(crl(scene.root), at=NOW + DAY)
    assert scene.judged(crl(scene.root), at=NOW + DAY + timedelta(seconds=1)).code == "revocation_stale"
    assert scene.judged(crl(scene.root), at=NOW - DAY)
    assert scene.judged(crl(scene.root), at=NOW - DAY - timedelta(seconds=1)).code == "revocation_stale"


def test_an_outdated_list_still_says_revoked(scene: Scene) -> None:
    verdict = scene.judged(crl(scene.root, entry(scene.client)), at=NOW + 3 * DAY)
    assert [one.code for one in verdict.reasons] == ["revoked", "revocation_stale"]


def test_the_newest_list_counts_whatever_the_order(scene: Scene) -> None:
    old = crl(scene.root, this_update=NOW - 5 * DAY)
    new = crl(scene.root, entry(scene.client))
    future = crl(scene.root, this_update=NOW + timedelta(hours=1))
    for lists in ((old, new, future), (future, new, old)):
        assert scene.judged(*lists).code == "revoked"
    now = crl(scene.root, this_update=NOW)
    assert scene.judged(new, now)
    lifted = crl(scene.root)
    held = crl(scene.root, entry(scene.client), this_update=NOW - 5 * DAY)
    assert scene.judged(held, lifted)
    assert scene.judged(lifted, held)


def test_of_two_lists_of_one_moment_the_number_decides(scene: Scene) -> None:
    first, second = crl(scene.root, number=255), crl(scene.root, entry(scene.client), number=256)
    assert scene.judged(first, second).code == scene.judged(second, first).code == "revoked"


# Whose list it is


def test_no_list_of_the_issuer(scene: Scene) -> None:
    other = root("Other")
    verdict = scene.judged(crl(other))
    assert verdict.code == "revocation_unknown"
    assert "no revocation list of CN=Root,O=lab is in given lists (1 revocation list)" in verdict.explanation
    assert verdict.error().alert is AlertDescription.certificate_unknown
    assert scene.judged().code == "revocation_unknown"
    assert scene.judged(crl(other), crl_unknown="allow")
    assert scene.judged(crl_unknown="allow")


def test_the_list_of_a_ca_of_the_same_name_says_nothing(scene: Scene) -> None:
    twin = root()
    verdict = scene.judged(crl(twin, entry(scene.client)))
    assert verdict.code == "revocation_unknown"
    assert "with another key" in verdict.explanation
    assert scene.judged(crl(twin, entry(scene.client)), crl_unknown="allow")
    assert scene.judged(crl(twin, entry(scene.client)), crl(scene.root))
    assert scene.judged(crl(twin), crl(scene.root, entry(scene.client))).code == "revoked"


def test_a_signature_that_does_not_verify_is_never_allowed(scene: Scene) -> None:
    good = crl(scene.root)
    damaged = good[:-1] + bytes([good[-1] ^ 1])
    anonymous = crl(scene.root, key=new_key(), identifier=False)
    other_kind = crl(scene.root, key=new_key("ed25519"), identifier=False)
    for bad in (damaged, anonymous, other_kind):
        verdict = scene.judged(bad, crl_unknown="allow")
        assert verdict.code == "revocation_unusable"
        assert "damaged" in verdict.explanation
        assert verdict.error().alert is AlertDescription.internal_error
    assert scene.judged(damaged, good)


def test_a_ca_without_a_key_identifier_has_no_namesakes() -> None:
    trusted = root("Root", constraints(True), CA_USAGE, identifiers=False)
    leaf = client(trusted)
    assert judged(leaf, trusted, crl(trusted))
    assert judged(leaf, trusted, crl(trusted, key=new_key())).code == "revocation_unusable"


def test_a_signature_of_an_unknown_kind(scene: Scene) -> None:
    ecdsa_with_sha256 = bytes.fromhex("06082a8648ce3d040302")
    unknown = crl(scene.root).replace(ecdsa_with_sha256, ecdsa_with_sha256[:-1] + b"\x0f")
    assert scene.judged(unknown).code == "revocation_unusable"


def test_a_changed_entry_does_not_verify(scene: Scene) -> None:
    """The serial number of a revoked certificate replaced by another of the same length."""
    serial = scene.client.certificate.serial_number
    good = crl(scene.root, entry(scene.client))
    encoded = serial.to_bytes((serial.bit_length() + 8) // 8, "big")
    assert good.count(encoded) == 1
    changed = good.replace(encoded, encoded[:-1] + bytes([encoded[-1] ^ 1]))
    assert scene.judged(changed).code == "revocation_unusable"


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_a_ca_whose_key_usage_is_not_for_lists(kind: str) -> None:
    trusted = root("Root", constraints(True), (usage("key_cert_sign"), True), key=new_key(kind))
    leaf = client(trusted)
    for crl_unknown in ("refuse", "allow"):
        verdict = judged(leaf, trusted, crl(trusted), crl_unknown=crl_unknown)
        assert verdict.code == "revocation_unusable"
        assert "cRLSign" in verdict.explanation
    without = root("Root", constraints(True), key=new_key(kind))
    assert judged(client(without), without, crl(without))


# Which certificates are looked up


@pytest.fixture
def tall() -> tuple[Made, Made, Made]:
    """A client, its intermediate, the root."""
    top = root()
    middle = make("Middle", top, constraints(True), CA_USAGE)
    return client(middle), middle, top


def test_the_whole_chain_is_looked_up_unless_told_otherwise(tall: tuple[Made, Made, Made]) -> None:
    leaf, middle, top = tall
    assert judged(leaf, top, crl(middle), crl(top))
    verdict = judged(leaf, top, crl(middle), crl(top, entry(middle)))
    assert (verdict.code, verdict.reasons[0].certificate_index) == ("revoked", 1)
    assert "certificate no. 2 (CN=Middle,O=lab) was revoked" in verdict.explanation
    assert judged(leaf, top, crl(middle), crl(top, entry(middle)), crl_scope="leaf")
    assert judged(leaf, top, crl(middle, entry(leaf)), crl(top), crl_scope="leaf").code == "revoked"


def test_a_list_that_is_missing_for_the_intermediate(tall: tuple[Made, Made, Made]) -> None:
    leaf, middle, top = tall
    verdict = judged(leaf, top, crl(middle))
    assert (verdict.code, verdict.reasons[0].certificate_index) == ("revocation_unknown", 1)
    assert "check the leaf alone" in verdict.advice
    assert judged(leaf, top, crl(middle), crl_scope="leaf")
    assert judged(leaf, top, crl(middle), crl_unknown="allow")
    # The intermediate's own list is not looked into for the intermediate, nor the root's for the leaf.
    assert judged(leaf, top, crl(middle, entry(middle)), crl(top, entry(leaf)))


def test_every_reason_is_reported(tall: tuple[Made, Made, Made]) -> None:
    leaf, middle, top = tall
    verdict = judged(leaf, top, crl(middle, entry(leaf)), crl(top, entry(middle)))
    assert [(one.code, one.certificate_index) for one in verdict.reasons] == [("revoked", 0), ("revoked", 1)]


def test_a_certificate_that_is_trusted_itself_is_not_looked_up(scene: Scene) -> None:
    itself = client(None, constraints(False))
    assert judged(itself, itself)
    assert scene.judged(crl(scene.root, entry(scene.root)))


def test_servers_are_looked_up_too() -> None:
    trusted = root()
    service = server(trusted)
    assert judge(service, trusted, crls=Crls.from_der([crl(trusted)]))
    assert judge(service, trusted, crls=Crls.from_der([crl(trusted, entry(service))])).code == "revoked"


def test_a_chain_that_is_refused_anyway_is_not_looked_up(scene: Scene) -> None:
    verdict = judged(scene.client, root("Other"), crl(scene.root, entry(scene.client)))
    assert [one.code for one in verdict.reasons] == ["unknown_issuer"]
    service = server(scene.root)
    crls = Crls.from_der([crl(scene.root, entry(service))])
    misnamed = judge(service, scene.root, server_name="elsewhere.example", crls=crls)
    assert [one.code for one in misnamed.reasons] == ["name_mismatch"]


@pytest.mark.parametrize("policy", ["handfast", "openssl", "strict"])
def test_lists_count_under_every_policy(scene: Scene, policy: str) -> None:
    assert scene.judged(crl(scene.root), policy=policy)
    assert scene.judged(crl(scene.root, entry(scene.client)), policy=policy).code == "revoked"


def test_what_is_not_critical_may_be_unknown(scene: Scene) -> None:
    freshest = x509.FreshestCRL([x509.DistributionPoint([URL], None, None, None)])
    other = entry(client(scene.root), (UNKNOWN, False))
    assert scene.judged(crl(scene.root, other, extensions=((UNKNOWN, False), (freshest, False))))


# Lists about a part of the certificates


def test_lists_for_leaves_or_cas_only(tall: tuple[Made, Made, Made]) -> None:
    leaf, middle, top = tall
    for_leaves, for_cas = scope(only_contains_user_certs=True), scope(only_contains_ca_certs=True)
    assert judged(leaf, top, crl(middle, extensions=(for_leaves,)), crl(top, extensions=(for_cas,)))
    wrong = judged(leaf, top, crl(middle, extensions=(for_cas,)), crl(top, extensions=(for_leaves,)))
    assert [(one.code, one.certificate_index) for one in wrong.reasons] == [
        ("revocation_unknown", 0),
        ("revocation_unknown", 1),
    ]
    assert "about other certificates of it" in wrong.explanation


def _with_point(trusted: Made, *points: x509.DistributionPoint) -> Made:
    return client(trusted, constraints(False), (x509.CRLDistributionPoints(points), False))


def test_a_list_for_one_distribution_point(scene: Scene) -> None:
    for_point = scope(full_name=[URL])
    here = _with_point(scene.root, x509.DistributionPoint([OTHER_URL, URL], None, None, None))
    elsewhere = _with_point(scene.root, x509.DistributionPoint([OTHER_URL], None, None, None))
    partly = _with_point(
        scene.root, x509.DistributionPoint([URL], None, frozenset([x509.ReasonFlags.key_compromise]), None)
    )
    other = [x509.DirectoryName(name("Other"))]
    indirect = _with_point(scene.root, x509.DistributionPoint([URL], None, None, other))
    assert judged(here, scene.root, crl(scene.root, extensions=(for_point,)))
    assert judged(here, scene.root, crl(scene.root, entry(here), extensions=(for_point,))).code == "revoked"
    for leaf in (elsewhere, partly, indirect, scene.client):
        assert judged(leaf, scene.root, crl(scene.root, extensions=(for_point,))).code == "revocation_unknown"
    # A list that is about the certificate counts, however new another one is.
    newer = crl(scene.root, extensions=(for_point,), this_update=NOW)
    assert judged(elsewhere, scene.root, newer, crl(scene.root, entry(elsewhere))).code == "revoked"


# The knobs, and how much is done


@pytest.mark.parametrize("knob", [{"crl_scope": "leaves"}, {"crl_unknown": "maybe"}])
def test_a_knob_that_there_is_not(scene: Scene, knob: dict[str, str]) -> None:
    with pytest.raises(ApiMisuse, match=next(iter(knob.values()))):
        scene.judged(**knob)


def test_lists_are_replaced_in_a_verifier_at_work(scene: Scene) -> None:
    verifier = PathVerifier(Roots.from_der([scene.root.der]), crls=Crls.from_der([crl(scene.root)]))
    presented = PresentedChain(chain=scene.client.chain, purpose=Purpose.CLIENT, server_name=None, at=NOW)
    assert verifier.verify(presented)
    verifier.crls = Crls.from_der([crl(scene.root, entry(scene.client))])
    assert verifier.verify(presented).code == "revoked"


def test_a_signature_is_verified_once_for_each_key(scene: Scene) -> None:
    class Counting:
        """A list of the library's that counts."""

        def __init__(self, parsed: x509.CertificateRevocationList) -> None:
            self.parsed = parsed
            self.verified = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self.parsed, name)

        def is_signature_valid(self, key: Any) -> bool:
            self.verified += 1
            return self.parsed.is_signature_valid(key)

    (one,) = Crls.from_der([crl(scene.root)]).lists
    counting = Counting(one.parsed)
    crls = Crls((replace(one, parsed=counting),), "counted")  # type: ignore[arg-type]
    twin = root()
    for _ in range(3):
        assert judge_client(scene.client, scene.root, crls=crls)
        assert judge_client(client(twin), twin, crls=crls).code == "revocation_unknown"
    assert counting.verified == 2


def test_keys_that_are_remembered_are_bounded(scene: Scene) -> None:
    crls = Crls.from_der([crl(scene.root)])
    for _ in range(MAX_CRL_ISSUER_KEYS + 2):
        twin = root()
        assert judge_client(client(twin), twin, crls=crls).code == "revocation_unknown"
    assert len(crls.lists[0]._signed_by) <= MAX_CRL_ISSUER_KEYS
    assert judge_client(scene.client, scene.root, crls=crls)


def test_a_long_list_costs_a_handshake_little(scene: Scene) -> None:
    many = [
        x509.RevokedCertificateBuilder().serial_number(2**150 + number).revocation_date(NOW).build()
        for number in range(20_000)
    ]
    crls = Crls.from_der([crl(scene.root, *many, entry(scene.client))])
    other = client(scene.root)
    assert judge_client(other, scene.root, crls=crls)
    start = time.process_time()
    for _ in range(20):
        assert judge_client(other, scene.root, crls=crls)
    assert (time.process_time() - start) / 20 < 0.05
    assert judge_client(scene.client, scene.root, crls=crls).code == "revoked"


# Second opinions


def pem_key(key: Any) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def openssl(directory: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([require_peer("openssl"), *arguments], cwd=directory, capture_output=True, timeout=LIMIT)


@dataclass
class OpenSSLCA:
    """A CA that openssl's `ca` command runs."""

    directory: Path
    certificate: Made

    def __post_init__(self) -> None:
        (self.directory / "ca.pem").write_bytes(pem.encode("CERTIFICATE", self.certificate.der))
        (self.directory / "ca.key").write_bytes(pem_key(self.certificate.key))
        (self.directory / "index").write_text("")
        (self.directory / "number").write_text("01\n")
        (self.directory / "config").write_text(
            "[ca]\ndefault_ca = here\n[here]\ndatabase = index\ncrlnumber = number\ndefault_md = default\n"
            "certificate = ca.pem\nprivate_key = ca.key\ncrl_extensions = extensions\n"
            "[extensions]\nauthorityKeyIdentifier = keyid:always\n"
        )

    def run(self, *arguments: str) -> None:
        done = openssl(self.directory, "ca", "-config", "config", *arguments)
        assert done.returncode == 0, done.stderr

    def revoke(self, made: Made, *how: str) -> None:
        (self.directory / "revoked").write_bytes(pem.encode("CERTIFICATE", made.der))
        self.run("-revoke", "revoked", *how)

    def crl(self, *times: str) -> Crls:
        self.run("-gencrl", "-out", "crl.pem", *(times or ("-crldays", "30")))
        return Crls.from_file(self.directory / "crl.pem")


@pytest.mark.parametrize("kind", ["p256", "rsa", "ed25519", "ed448"])
def test_a_list_that_openssl_made(kind: str, tmp_path: Path) -> None:
    now = datetime.now(NOW.tzinfo)
    trusted = root(key=new_key(kind))
    ca = OpenSSLCA(tmp_path, trusted)
    alice, bob, carol = (client(trusted, subject=name) for name in ("alice", "bob", "carol"))
    ca.revoke(alice, "-crl_reason", "keyCompromise")
    ca.revoke(bob, "-crl_hold", "holdInstructionReject")
    made = ca.crl()
    at = {"at": max(now, NOW - 20 * DAY) + timedelta(minutes=1), "crls": made}
    assert judge_client(carol, trusted, **at)
    verdict = judge_client(alice, trusted, **at)
    assert verdict.code == "revoked"
    assert "(keyCompromise)" in verdict.explanation
    assert "certificateHold" in judge_client(bob, trusted, **at).explanation


@pytest.mark.parametrize(
    "name", ["good-crl", "client-revoked", "client-stale-crl", "client-expired", "client-wrong-ca"]
)
@pytest.mark.parametrize("strict", [False, True], ids=["openssl", "strict"])
def test_openssl_verify_agrees(name: str, strict: bool, tmp_path: Path) -> None:
    made = build_fault(name, now=NOW)
    assert made.client is not None
    crl_pem = made.crl or build_fault("good-crl", now=NOW).crl or b""
    for file, content in {"roots": made.files["ca.pem"], "leaf": made.client.cert_pem, "crl": crl_pem}.items():
        (tmp_path / file).write_bytes(content)
    options = ["-crl_check", "-CRLfile", "crl", "-CAfile", "roots", "-no-CApath", "-purpose", "sslclient"]
    options += ["-attime", str(int(NOW.timestamp())), *(["-x509_strict"] * strict)]
    accepted = openssl(tmp_path, "verify", *options, "leaf").returncode == 0
    verifier = PathVerifier(
        Roots.from_der(made.roots), policy="strict" if strict else "openssl", crls=Crls.from_pem(crl_pem)
    )
    presented = PresentedChain(chain=made.client.chain, purpose=Purpose.CLIENT, server_name=None, at=NOW)
    verdict = verifier.verify(presented)
    assert verdict.accepted is accepted is (name == "good-crl"), verdict
