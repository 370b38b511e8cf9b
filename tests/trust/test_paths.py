"""Which chains a path verifier accepts, and that each check it makes is made."""

from __future__ import annotations

import ipaddress
import sys
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from handfast.limits import MAX_PATH_SIGNATURES, MAX_PRESENTED_CERTIFICATES
from handfast.trust.path import paths
from handfast.trust.presented import PresentedChain
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathPolicy, PathVerifier
from handfast.x509.certificates import Parsed
from handfast.x509.describe import describe
from handfast.x509.purpose import Purpose

from .crafting import (
    ANY,
    CLIENT,
    DAY,
    NOW,
    SERVER,
    Made,
    as_version_1,
    client,
    constraints,
    dns,
    eku,
    intermediate,
    judge,
    judge_client,
    make,
    name,
    new_key,
    root,
    san,
    server,
    usage,
    with_sha1,
)  # fmt: skip

KEYS = ("p256", "p384", "p521", "ed25519", "ed448", "rsa")
POLICIES = ("handfast", "openssl", "strict")
BOTH = (Purpose.SERVER, Purpose.CLIENT)


def leaf_for(purpose: Purpose, issuer: Made, **options: Any) -> Made:
    return server(issuer, **options) if purpose is Purpose.SERVER else client(issuer, **options)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("purpose", BOTH)
@pytest.mark.parametrize("kind", KEYS)
def test_a_chain_of_one_kind_of_key_is_accepted(kind: str, purpose: Purpose, policy: str) -> None:
    trusted = root(key=new_key(kind))
    middle = intermediate("Middle", trusted, key=new_key(kind))
    leaf = leaf_for(purpose, middle, key=new_key(kind))

    verdict = judge(leaf, trusted, purpose=purpose, policy=policy)

    assert verdict.accepted, verdict
    assert verdict.path == (leaf.der, middle.der, trusted.der)
    assert (verdict.code, verdict.reasons) == ("", ())


@pytest.mark.parametrize("leaf_kind", KEYS)
@pytest.mark.parametrize("ca_kind", KEYS)
def test_leaf_and_root_may_have_keys_of_different_kinds(ca_kind: str, leaf_kind: str) -> None:
    trusted = root(key=new_key(ca_kind))
    assert judge(server(trusted, key=new_key(leaf_kind)), trusted)


@pytest.mark.parametrize("kinds", [("p256", "ed25519"), ("ed25519", "p256"), ("rsa", "ed448")])
def test_an_edwards_key_anywhere_in_the_chain(kinds: tuple[str, str]) -> None:
    trusted = root(key=new_key(kinds[0]))
    leaf = server(intermediate("Middle", trusted, key=new_key(kinds[1])))
    assert judge(leaf, trusted)


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_the_root_may_be_presented_too(kind: str) -> None:
    trusted = root(key=new_key(kind))
    middle = intermediate("Middle", trusted)
    leaf = server(middle).with_above(middle, trusted)
    assert judge(leaf, trusted).path == (leaf.der, middle.der, trusted.der)


def test_intermediates_may_come_in_any_order_and_with_strangers_among_them() -> None:
    trusted = root()
    upper = intermediate("Upper", trusted)
    lower = intermediate("Lower", upper)
    leaf = server(lower).with_above(root("Stranger"), upper, lower)
    assert judge(leaf, trusted).path == (leaf.der, lower.der, upper.der, trusted.der)


@pytest.mark.parametrize("kind", ["p256", "ed25519", "ed448"])
def test_order_duplicates_and_extras_matter_to_no_kind_of_key(kind: str) -> None:
    """RFC 9846 4.5.1."""
    trusted = root(key=new_key(kind))
    upper = intermediate("Upper", trusted, key=new_key(kind))
    lower = intermediate("Lower", upper, key=new_key(kind))
    leaf, path = server(lower), (lower.der, upper.der, trusted.der)
    stranger = intermediate("Stranger", root("Elsewhere", key=new_key(kind)))
    for above in (
        [lower, upper],
        [upper, lower],
        [trusted, upper, lower],
        [lower, lower, upper, upper, lower],
        [stranger, lower, root("Another", key=new_key(kind)), upper],
        [leaf, lower, upper, trusted],
    ):
        assert judge(leaf.with_above(*above), trusted).path == (leaf.der, *path)


def test_what_our_own_check_refuses_it_says_in_words() -> None:
    trusted = root(key=new_key("ed25519"))
    upper = intermediate("Upper", trusted, key=new_key("ed25519"))
    leaf = server(upper)
    for above, words in (([], "was not sent"), ([root("Upper", key=new_key("ed25519"))], "another key")):
        verdict = judge(leaf.with_above(*above), trusted)
        assert not verdict
        assert words in verdict.explanation
        assert "PhantomData" not in str(verdict)


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_the_library_s_own_structures_are_not_for_people(kind: str) -> None:
    """It does not take this curve for issuing, and prints how it stores what it does not take."""
    trusted = root(key=new_key(kind))
    odd = intermediate("Odd", trusted, key=ec.generate_private_key(ec.SECP256K1()))
    verdict = judge(server(odd), trusted)
    assert not verdict
    assert not set("{}()") & set(verdict.explanation.partition("refuses it")[2])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_a_fault_of_one_certificate_of_a_ca_is_no_fault_of_another(kind: str, order: tuple[int, int]) -> None:
    """What the library leaves out is looked for on every path, not on the first alone."""
    trusted = root(key=new_key(kind))
    good = intermediate("Middle", trusted, key=new_key(kind))
    elsewhere = [x509.DNSName("corp.example")]
    for extensions in (
        [constraints(True), (x509.NameConstraints(elsewhere, None), True)],
        [constraints(True), (x509.NameConstraints([x509.DirectoryName(name("x"))], None), True)],
        [constraints(True), eku(SERVER)],
        [constraints(True, 0)],
        [constraints(False)],
        [constraints(True), (usage("crl_sign"), True)],
        [constraints(True), (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True)],
    ):
        for not_after in (NOW + DAY, NOW - DAY):
            useless = make("Middle", trusted, *extensions, key=good.key, not_after=not_after)
            both = [(good, useless)[position] for position in order]
            lower = intermediate("Lower", good, key=new_key(kind))
            leaf = client(lower, subject="admin.other.example").with_above(lower, *both)
            assert judge_client(leaf, trusted).path == (leaf.der, lower.der, good.der, trusted.der)
            alone = leaf.with_above(lower, useless)
            assert not judge_client(alone, trusted)


def test_every_way_is_tried_within_the_budget() -> None:
    """Three CAs with two certificates each, of which the second alone is usable."""
    elsewhere = (x509.NameConstraints([x509.DirectoryName(name("x"))], None), True)
    issuer = trusted = root()
    above: list[Made] = []
    path: list[bytes] = []
    for number in range(3):
        good = intermediate(str(number), issuer)
        above += [make(str(number), issuer, constraints(True), elsewhere, key=good.key), good]
        path.insert(0, good.der)
        issuer = good
    leaf = server(issuer)
    assert judge(leaf.with_above(*above), trusted).path == (leaf.der, *path, trusted.der)


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_the_signatures_that_are_tried_are_counted(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bool] = []
    check = paths.issued

    def counted(certificate: Parsed, issuer: Parsed, *, trusted: bool = False) -> bool:
        tried.append(certificate.issuer == issuer.subject)
        return check(certificate, issuer, trusted=trusted)

    monkeypatch.setattr(paths, "issued", counted)
    issuer = trusted = root(key=new_key(kind))
    above: list[Made] = []
    for number in range(3):
        key = new_key(kind)
        alike = [make(str(number), issuer, constraints(True, 0), key=key) for _ in range(3)]
        above += alike
        issuer = alike[0]
    chain = server(issuer).with_above(*above)
    assert judge(chain, trusted).code == "path_too_long"
    assert tried.count(True) == MAX_PATH_SIGNATURES
    tried.clear()
    monkeypatch.setattr(paths, "MAX_PATH_SIGNATURES", sys.maxsize)
    judge(chain, trusted)
    assert tried.count(True) > MAX_PATH_SIGNATURES, "the limit is what ended it"


def test_a_cross_signed_intermediate_leads_to_either_root() -> None:
    old, new = root("Old"), root("New")
    middle = intermediate("Middle", old)
    cross = intermediate("Middle", new, key=middle.key)
    leaf = server(middle).with_above(middle, cross)
    assert judge(leaf, old).path[-1] == old.der
    assert judge(leaf, new).path[-1] == new.der


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_certificates_of_one_ca_the_usable_one_is_found(order: tuple[int, int]) -> None:
    trusted = root()
    good = intermediate("Middle", trusted)
    signing = (usage("key_cert_sign"), True)
    for extensions in (
        [constraints(True), signing, eku(CLIENT)],
        [constraints(False)],
        [constraints(True), (usage("crl_sign"), True)],
    ):
        useless = make("Middle", trusted, *extensions, key=good.key)
        both = [(good, useless)[position] for position in order]
        assert judge(server(good).with_above(*both), trusted).path[1] == good.der


def test_an_intermediate_may_itself_be_the_trusted_one() -> None:
    middle = intermediate("Middle", root())
    assert judge(server(middle), middle)


@pytest.mark.parametrize("kind", ["p256", "ed25519", "rsa"])
@pytest.mark.parametrize("is_ca", [True, False])
def test_a_self_signed_certificate_that_is_itself_trusted(kind: str, is_ca: bool) -> None:
    itself = make("localhost", None, constraints(is_ca), dns("localhost"), key=new_key(kind))
    assert judge(itself, itself)
    assert judge(itself, itself, server_name="other.example").code == "name_mismatch"
    assert judge(itself, itself, at=NOW + 400 * DAY).code == "expired"
    assert judge(itself, root()).code == "self_signed"


def test_a_trusted_leaf_issues_nothing() -> None:
    trusted = server(root())
    assert judge(server(trusted).with_above(), trusted).code == "issuer_not_a_ca"


# Extended key usage: the two traps, and the rest.


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("critical", [False, True])
@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_a_client_certificate_is_no_server_certificate(kind: str, critical: bool, policy: str) -> None:
    trusted = root(key=new_key(kind))
    leaf = server(trusted, constraints(False), eku(CLIENT, critical=critical), dns("localhost"))
    assert judge(leaf, trusted, policy=policy).code == "wrong_purpose"


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("critical", [False, True])
@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_a_server_certificate_is_no_client_certificate(kind: str, critical: bool, policy: str) -> None:
    trusted = root(key=new_key(kind))
    leaf = client(trusted, constraints(False), eku(SERVER, critical=critical))
    assert judge_client(leaf, trusted, policy=policy).code == "wrong_purpose"


@pytest.mark.parametrize("purposes", [(SERVER, CLIENT), (CLIENT, SERVER), ()])
def test_both_purposes_or_no_extension_fit_either_role(purposes: tuple[x509.ObjectIdentifier, ...]) -> None:
    trusted = root()
    extensions = [constraints(False), dns("localhost")] + ([eku(*purposes)] if purposes else [])
    assert judge(server(trusted, *extensions), trusted)
    assert judge_client(client(trusted, *extensions), trusted)


def test_any_extended_key_usage_on_a_leaf_is_a_knob() -> None:
    trusted = root()
    leaf = server(trusted, constraints(False), eku(ANY), dns("localhost"))
    assert judge(leaf, trusted)
    assert judge(leaf, trusted, policy="openssl").code == "wrong_purpose"
    assert judge(leaf, trusted, policy=PathPolicy(any_purpose=False)).code == "wrong_purpose"


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_a_ca_for_clients_issues_no_server_certificates(kind: str) -> None:
    trusted = root(key=new_key(kind))
    middle = intermediate("Middle", trusted, eku(CLIENT), key=new_key(kind))
    assert judge(server(middle), trusted).code == "wrong_purpose"
    assert judge_client(client(middle), trusted)
    assert judge(server(intermediate("Middle", trusted, eku(ANY))), trusted)


# Keys, hashes, usages: over all that is presented.


@pytest.mark.parametrize("position", ["leaf", "intermediate", "stranger"])
def test_a_small_rsa_key_anywhere_in_the_chain(position: str) -> None:
    trusted = root()
    small = new_key("rsa-1024")
    middle = intermediate("Middle", trusted, key=small if position == "intermediate" else None)
    leaf = server(middle, key=small if position == "leaf" else None)
    if position == "stranger":
        leaf = leaf.with_above(middle, root("Stranger", key=small))
    verdict = judge(leaf, trusted)
    assert verdict.code == "weak_key"
    assert "1024 bits" in verdict.explanation
    assert verdict.reasons[0].certificate_index == {"leaf": 0, "intermediate": 1, "stranger": 2}[position]


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_a_small_rsa_key_in_the_root_itself(kind: str) -> None:
    trusted = root(key=new_key("rsa-1024"))
    leaf = server(intermediate("Middle", trusted, key=new_key(kind)))
    assert judge(leaf, trusted).code == "weak_key"


def test_huge_rsa_keys_and_exponents_are_refused_before_they_are_used() -> None:
    trusted = root()
    huge = rsa.RSAPublicNumbers(65537, (1 << 8192) + 1).public_key()
    odd = rsa.RSAPublicNumbers((1 << 33) + 1, (1 << 2047) + 1).public_key()
    for public_key in (huge, odd):
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name("localhost"))
            .issuer_name(trusted.certificate.subject)
            .public_key(public_key)
            .serial_number(1)
            .not_valid_before(NOW - DAY)
            .not_valid_after(NOW + DAY)
            .add_extension(*dns("localhost"))
            .sign(trusted.key, hashes.SHA256())
        )
        assert judge((certificate.public_bytes(serialization.Encoding.DER),), trusted).code == "weak_key"


@pytest.mark.parametrize("action", ["error", "always"])
@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_roots_that_the_parser_warns_of_are_trusted_and_nobody_hears_of_it(
    kind: str, action: Literal["error", "always"]
) -> None:
    """Roots that all systems trust have the serial number 0."""
    one = root(key=new_key(kind), serial_number=1)
    version = bytes.fromhex("a003020102")
    zero = one.der.replace(version + bytes.fromhex("020101"), version + bytes.fromhex("020100"))
    assert zero != one.der
    leaf = server(one)

    def presented(chain: tuple[bytes, ...]) -> PresentedChain:
        return PresentedChain(chain=chain, purpose=Purpose.SERVER, server_name="localhost", at=NOW)

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter(action)
        verifier = PathVerifier(Roots.from_der([zero]))
        assert describe(zero).serial_number == "0"
        for chain in (leaf.chain, (leaf.der, zero)):
            assert verifier.verify(presented(chain)).accepted
    assert heard == []


def test_sha1_is_refused_in_all_but_a_trusted_roots_own_signature() -> None:
    key = new_key("rsa")
    trusted = with_sha1(root(key=key), key)
    leaf = server(trusted)
    assert judge(leaf, trusted)
    assert judge(leaf.with_above(trusted), trusted)
    assert judge(leaf.with_above(with_sha1(root("Stranger", key=key), key)), trusted).code == "weak_signature_hash"
    assert judge(with_sha1(server(trusted), key), trusted).code == "weak_signature_hash"
    middle = with_sha1(intermediate("Middle", trusted), key)
    assert judge(server(middle), trusted).reasons[0].certificate_index == 1


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_key_usage(kind: str) -> None:
    trusted = root(key=new_key(kind))
    enciphering = server(trusted, (usage("key_encipherment"), True), dns("localhost"))
    assert judge(enciphering, trusted).code == "key_may_not_sign"
    listing = make("Middle", trusted, constraints(True), (usage("crl_sign"), True), key=new_key(kind))
    assert judge(server(listing), trusted).code == "issuer_not_a_ca"
    silent = make("Middle", trusted, constraints(True), key=new_key(kind))
    assert judge(server(silent), trusted)


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_an_issuer_must_be_a_ca(kind: str) -> None:
    trusted = root(key=new_key(kind))
    for extensions in ([constraints(False)], []):
        impostor = make("Middle", trusted, *extensions, key=new_key(kind))
        verdict = judge(server(impostor), trusted)
        assert (verdict.code, verdict.reasons[0].certificate_index) == ("issuer_not_a_ca", 1)


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_path_length(kind: str) -> None:
    trusted = root("Root", constraints(True, 0), (usage("key_cert_sign"), True), key=new_key(kind))
    assert judge(server(trusted), trusted)
    assert judge(server(intermediate("Middle", trusted, key=new_key(kind))), trusted).code == "path_too_long"


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
@pytest.mark.parametrize("position", ["leaf", "intermediate", "root"])
def test_dates_along_the_whole_path(position: str, kind: str) -> None:
    short: dict[str, Any] = {"not_before": NOW - 3 * DAY, "not_after": NOW - 2 * DAY}
    late: dict[str, Any] = {"not_before": NOW + 20 * DAY}
    for dates, code, words in ((short, "expired", "2 days ago"), (late, "not_yet_valid", "in 20 days")):
        trusted = root(key=new_key(kind), **(dates if position == "root" else {}))
        middle = intermediate("Middle", trusted, key=new_key(kind), **(dates if position == "intermediate" else {}))
        verdict = judge(server(middle, **(dates if position == "leaf" else {})), trusted)
        assert verdict.code == code
        assert words in verdict.explanation
        assert verdict.reasons[0].certificate_index == {"leaf": 0, "intermediate": 1, "root": None}[position]


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_an_unknown_critical_extension(kind: str) -> None:
    trusted = root(key=new_key(kind))
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    assert judge(server(trusted, dns("localhost"), (unknown, False)), trusted)
    assert judge(server(trusted, dns("localhost"), (unknown, True)), trusted).code == "unsupported_extension"


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_a_forged_signature_is_refused(kind: str) -> None:
    trusted = root(key=new_key(kind))
    leaf = server(trusted)
    forged = leaf.der[:-1] + bytes([leaf.der[-1] ^ 1])
    verdict = judge((forged,), trusted)
    assert verdict.code == "bad_signature"


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_a_version_1_certificate_is_refused(kind: str) -> None:
    trusted = root(key=new_key(kind))
    leaf = client(trusted)
    assert judge_client(leaf, trusted)
    old_leaf = judge_client(as_version_1(leaf, trusted), trusted)
    assert old_leaf.code == "policy"
    assert "is of X.509 version 1" in old_leaf.explanation
    old_root = as_version_1(trusted, trusted)
    verdict = judge_client(client(old_root), old_root)
    assert verdict.code == "issuer_not_a_ca"
    assert "version 1" in verdict.explanation


def test_a_straight_line_has_no_algorithm_that_the_library_would_refuse() -> None:
    trusted = root(key=new_key("rsa"))
    middle = intermediate("Middle", trusted, key=new_key("ed25519"), algorithm=hashes.SHA224())
    assert judge(server(middle), trusted).code == "unsupported_key"


def test_more_certificates_than_allowed() -> None:
    trusted = root()
    middle = intermediate("Middle", trusted)
    fits = server(middle).with_above(middle, *[root(f"R{n}") for n in range(MAX_PRESENTED_CERTIFICATES - 2)])
    assert judge(fits, trusted)
    assert judge((*fits.chain, middle.der), trusted).code == "too_many_certificates"


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_a_cas_own_certificate_as_leaf_is_a_knob(kind: str) -> None:
    trusted = root(key=new_key(kind))
    leaf = server(trusted, constraints(True), (usage("digital_signature", "key_cert_sign"), True), dns("localhost"))
    assert judge(leaf, trusted).code == "policy"
    assert judge(leaf, trusted, policy="openssl")
    assert judge(leaf, trusted, policy=PathPolicy(leaf_may_be_ca=True))


# Names.


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_the_name_must_match_and_there_must_be_one(kind: str) -> None:
    trusted = root(key=new_key(kind))
    leaf = server(trusted, dns("localhost", "*.example.com"))
    assert judge(leaf, trusted, server_name="a.example.com")
    verdict = judge(leaf, trusted, server_name="example.com")
    assert verdict.code == "name_mismatch"
    assert "DNS:localhost, DNS:*.example.com" in verdict.explanation
    assert judge(leaf, trusted, server_name=None).code == "name_mismatch"
    assert judge(leaf, trusted, server_name="not a name").code == "name_mismatch"
    assert judge(leaf, trusted, server_name=None, check_name=False)


def test_a_clients_certificate_needs_no_name_at_all() -> None:
    trusted = root()
    assert judge_client(client(trusted), trusted, policy="strict")


def test_the_common_name_counts_only_where_a_policy_says_so() -> None:
    trusted = root()
    bare = server(trusted, constraints(False))
    mail = server(trusted, constraints(False), san(x509.RFC822Name("move@example.com")))
    other = server(trusted, constraints(False), dns("other.example"))
    assert judge(bare, trusted).code == "no_subject_alternative_name"
    assert judge(bare, trusted, policy="openssl")
    assert judge(mail, trusted).code == "name_mismatch"
    assert judge(mail, trusted, policy="openssl")
    assert judge(other, trusted, policy="openssl").code == "name_mismatch"
    address = server(trusted, constraints(False), subject="127.0.0.1")
    assert not judge(address, trusted, policy="openssl", server_name="127.0.0.1")


def test_underscores_and_addresses() -> None:
    trusted = root()
    leaf = server(trusted, san(x509.DNSName("my_service"), x509.IPAddress(ipaddress.ip_address("::1"))))
    assert judge(leaf, trusted, server_name="my_service")
    assert judge(leaf, trusted, server_name="[::1]")
    assert judge(leaf, trusted, server_name="127.0.0.1").code == "name_mismatch"
    network = server(trusted, san(x509.IPAddress(ipaddress.ip_network("127.0.0.0/8"))))
    assert judge(network, trusted, server_name="127.0.0.1").code == "name_mismatch"


# Name constraints.


def constrained(
    trusted: Made,
    permitted: Sequence[x509.GeneralName] | None,
    excluded: Sequence[x509.GeneralName] | None,
    **options: Any,
) -> Made:
    return intermediate("Constrained", trusted, (x509.NameConstraints(permitted, excluded), True), **options)


CORP = [x509.DNSName("corp.example")]


@pytest.mark.parametrize(
    ("names", "common_name", "accepted"),
    [
        (("a.corp.example",), "x", True),
        (("corp.example",), "x", True),
        (("a.corp.example", "other.example"), "x", False),
        (("xcorp.example",), "x", False),
        ((), "a.corp.example", True),
        ((), "admin.other.example", False),
        ((), "alice", True),
    ],
)
def test_permitted_dns_names_also_in_a_common_name(names: tuple[str, ...], common_name: str, accepted: bool) -> None:
    trusted = root()
    extensions = [constraints(False), eku(CLIENT), *([dns(*names)] if names else [])]
    leaf = client(constrained(trusted, CORP, None), *extensions, subject=common_name)
    verdict = judge_client(leaf, trusted)
    assert verdict.accepted is accepted, verdict
    assert verdict.code == ("" if accepted else "name_constraint")


@pytest.mark.parametrize(
    ("common_name", "accepted"), [("a.corp.example", False), ("*.example", False), ("b.example", True)]
)
def test_excluded_dns_names_also_in_a_common_name(common_name: str, accepted: bool) -> None:
    trusted = root()
    leaf = client(constrained(trusted, None, CORP), subject=common_name)
    assert judge_client(leaf, trusted).accepted is accepted


def test_a_servers_single_label_common_name_is_constrained_where_it_counts() -> None:
    trusted = root()
    leaf = server(constrained(trusted, CORP, None), constraints(False))
    assert judge(leaf, trusted, policy="openssl").code == "name_constraint"


def test_constraints_on_addresses_are_the_librarys() -> None:
    trusted = root()
    network = [x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))]
    leaf = server(constrained(trusted, network, None), san(x509.IPAddress(ipaddress.ip_address("192.0.2.1"))))
    assert judge(leaf, trusted, server_name="192.0.2.1").code == "name_constraint"
    stranger = root("Stranger", key=new_key("ed25519"))
    beside = Made(leaf.certificate, leaf.key, (*leaf.above, stranger.der))
    assert judge(beside, trusted, server_name="192.0.2.1").code == "name_constraint"


def test_constraints_on_directory_names_are_refused_and_said() -> None:
    trusted = root()
    directory = [x509.DirectoryName(name("x"))]
    verdict = judge(server(constrained(trusted, directory, None)), trusted)
    assert verdict.code == "unsupported_extension"
    assert "directory names" in verdict.explanation


def test_a_straight_line_has_no_name_constraints() -> None:
    trusted = root(key=new_key("ed25519"))
    verdict = judge(server(constrained(trusted, [x509.DNSName("localhost")], None)), trusted)
    assert verdict.code == "unsupported_extension"


# The strict form.


@pytest.mark.parametrize(
    ("ca", "leaf", "code"),
    [
        ({}, {"identifiers": False}, "missing_required_extension"),
        ({"identifiers": False}, {}, "missing_required_extension"),
        ({"extensions": (constraints(True),)}, {}, "missing_required_extension"),
        ({"extensions": (constraints(True, critical=False), (usage("key_cert_sign"), True))}, {}, "policy"),
        ({}, {"extensions": (dns("localhost"), (usage("digital_signature", "key_cert_sign"), True))}, "policy"),
    ],
)
def test_what_strict_demands_and_the_other_policies_do_not(ca: dict[str, Any], leaf: dict[str, Any], code: str) -> None:
    trusted = root("Root", *ca.pop("extensions", ()), **ca)
    certificate = server(trusted, *leaf.pop("extensions", ()), **leaf)
    assert judge(certificate, trusted)
    assert judge(certificate, trusted, policy="openssl")
    assert judge(certificate, trusted, policy="strict").code == code


def test_an_empty_subject_is_strict_with_critical_names_only() -> None:
    trusted = root()
    for critical in (True, False):
        leaf = server(trusted, san(x509.DNSName("localhost"), critical=critical), subject=None)
        assert judge(leaf, trusted)
        assert judge(leaf, trusted, policy="strict").accepted is critical


# Nothing to judge by.


def test_no_certificate_no_roots_and_junk() -> None:
    trusted = root()
    assert judge((), trusted).code == "certificate_required"
    assert judge(server(trusted)).code == "no_roots"
    for junk in (b"", b"\x30\x00", b"junk", server(trusted).der[:-5]):
        assert judge((junk,), trusted).code == "malformed"
        assert judge((server(trusted).der, junk), trusted).reasons[0].certificate_index == 1


@pytest.mark.parametrize("policy", ["handfast", "openssl"])
def test_a_trusted_ca_of_a_curve_that_tls_does_not_use_for_issuing_is_named(policy: str) -> None:
    odd = root("Odd", key=ec.generate_private_key(ec.SECP256K1()))
    top = root()
    stored = intermediate("Odd", top, key=ec.generate_private_key(ec.SECP256K1()))
    for leaf, trusted in ((server(odd), (odd,)), (server(stored), (stored, top))):
        verdict = judge((leaf.der,), *trusted, policy=policy)
        assert (verdict.code, verdict.explanation) == (
            "unsupported_key",
            "CN=Odd,O=lab has a key of a kind that issues no certificates for TLS",
        )


@pytest.mark.parametrize("curve", [ec.SECP256K1(), ec.BrainpoolP384R1()], ids=lambda curve: curve.name)
def test_nothing_is_verified_with_a_strangers_key_of_an_unusual_kind(curve: Any) -> None:
    trusted, key = root(), ec.generate_private_key(curve)
    leaf = server(intermediate("Middle", trusted, key=key))
    verdict = judge(leaf, trusted)
    assert verdict.code == "unsupported_key"
    assert "a key of a kind that is not computed with" in verdict.explanation
    assert judge_client(client(intermediate("Middle", root("Else"), key=key)), trusted).code == "unsupported_key"
