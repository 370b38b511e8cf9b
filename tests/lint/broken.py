"""A certificate for each rule, wrong in that one thing, with the files that belong to it."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from handfast.x509.pem import encode
from tests.trust import crafting
from tests.trust.crafting import (
    ANY,
    CLIENT,
    DAY,
    SERVER,
    Made,
    as_version_1,
    constraints,
    dns,
    eku,
    new_key,
    rsa_key,
    san,
    usage,
    with_sha1,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# Other programs judge by the clock of this machine.
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
VALID = {"not_before": NOW - 30 * DAY, "not_after": NOW + 300 * DAY}
LEAF = constraints(False)
SIGNS = (usage("digital_signature"), True)
ISSUES = (usage("key_cert_sign", "crl_sign"), True)

NAMELESS = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "lab")])
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\5\0"), True


_numbers = itertools.count()


@dataclass(frozen=True)
class Broken:
    """Certificates as they would be used.

    ``sent`` is what a server sends, leaf first, ``trusted`` the root, ``host`` what a client connects to. ``files`` are
    looked at together; without any, ``sent`` in one file and the root in another are. ``key`` is the leaf's private
    key. ``purpose`` is given to the look.
    """

    sent: tuple[bytes, ...]
    trusted: bytes
    host: str = "localhost"
    key: Any = None
    files: tuple[bytes, ...] = ()
    purpose: str | None = None

    @property
    def contents(self) -> tuple[bytes, ...]:
        return self.files or (pem(*self.sent), pem(self.trusted))


def make(subject: Any, issuer: Made | None, *extensions: crafting.Extension, **options: Any) -> Made:
    return crafting.make(subject, issuer, *extensions, **(VALID | options))


def root(subject: str, *extensions: crafting.Extension, **options: Any) -> Made:
    return crafting.root(subject, *extensions, **(VALID | options))


def intermediate(subject: str, issuer: Made) -> Made:
    return crafting.intermediate(subject, issuer, **VALID)


def server(issuer: Made | None, *extensions: crafting.Extension, **options: Any) -> Made:
    return crafting.server(issuer, *extensions, **(VALID | options))


def pem(*certificates: bytes) -> bytes:
    return b"".join(encode("CERTIFICATE", one) for one in certificates)


def key_pem(key: Any) -> bytes:
    encoded: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return encoded


@functools.cache
def ca() -> Made:
    return root("Root")


@functools.cache
def rsa_ca() -> Made:
    return root("RSA Root", key=rsa_key())


def leaf(*extensions: crafting.Extension, issuer: Made | None = None, **options: Any) -> Broken:
    above = issuer or ca()
    return of(server(above, *extensions, **options), above)


def of(made: Made, trusted: Made | None = None, **more: Any) -> Broken:
    return replace(Broken(made.chain, (trusted or made).der, key=made.key), **more)


def signing(*bits: str) -> Broken:
    """A healthy server's certificate but for its keyUsage."""
    return leaf(LEAF, (usage(*bits), True), eku(SERVER), dns("localhost"))


def made_for(*purposes: x509.ObjectIdentifier) -> Broken:
    """A healthy server's certificate but for its extendedKeyUsage."""
    return leaf(LEAF, SIGNS, eku(*purposes), dns("localhost"))


def named(*extensions: crafting.Extension, **options: Any) -> Broken:
    """A healthy server's certificate but for its names."""
    return leaf(LEAF, SIGNS, eku(SERVER), *extensions, **options)


def below(*extensions: crafting.Extension, **options: Any) -> Broken:
    """A healthy leaf below a root with these extensions."""
    return leaf(issuer=root(f"Odd Root {next(_numbers)}", *extensions, **options))


def healthy() -> Broken:
    return leaf()


def healthy_intermediate() -> Broken:
    return of(server(intermediate("Middle", ca())), ca())


def with_key(own: bool) -> Broken:
    made = server(ca())
    return of(made, ca(), files=(pem(*made.chain), key_pem(made.key if own else new_key())))


def _missing_intermediate() -> Broken:
    middle = intermediate("Middle", ca())
    made = server(middle)
    alone = pem(made.der), pem(middle.der), pem(ca().der)
    return Broken((made.der,), ca().der, key=made.key, files=alone)


def _order(*positions: int) -> Broken:
    made = server(intermediate("Lower", intermediate("Upper", ca())))
    return Broken(tuple(made.chain[position] for position in positions), ca().der, key=made.key)


def _root_sent() -> Broken:
    made = server(ca())
    return Broken((made.der, ca().der), ca().der, key=made.key)


def _twin() -> Broken:
    made = server(root("Root"))
    return of(made, ca())


def _not_a_ca() -> Broken:
    middle = make("Middle", ca(), LEAF, SIGNS, eku(CLIENT))
    return of(server(middle), ca())


def crl(made: Made, *, until: int = 30, revoked: tuple[Made, ...] = ()) -> bytes:
    """A list of the CA ``made`` in PEM."""
    from cryptography.hazmat.primitives import hashes

    builder = x509.CertificateRevocationListBuilder().issuer_name(made.certificate.subject)
    builder = builder.last_update(NOW - 20 * DAY).next_update(NOW + until * DAY)
    for one in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number)
        builder = builder.add_revoked_certificate(entry.revocation_date(NOW - DAY).build())
    return builder.sign(made.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _with_list(*, until: int, revoke: bool) -> Broken:
    made = server(ca())
    return of(made, ca(), files=(pem(made.der), crl(ca(), until=until, revoked=(made,) if revoke else ())))


def healthy_list() -> Broken:
    return _with_list(until=30, revoke=False)


def _ca_as_leaf() -> Broken:
    both = usage("digital_signature", "key_cert_sign"), True
    made = server(ca(), constraints(True), both, eku(SERVER), dns("localhost"))
    return of(made, ca(), files=(pem(made.der),), purpose="server")


def _malformed() -> Broken:
    good = server(ca())
    # A second subjectAltName: the parser refuses what comes twice.
    encoded = good.der.replace(bytes.fromhex("551d25"), bytes.fromhex("551d11"))
    return Broken((encoded,), ca().der, key=good.key)


def _critical_identifier() -> Broken:
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca().key.public_key())
    own = server(ca(), LEAF, SIGNS, eku(SERVER), dns("localhost"), (identifier, True), identifiers=False)
    return of(own, ca())


BROKEN: dict[str, Callable[[], Broken]] = {
    "expired": lambda: leaf(not_before=NOW - 60 * DAY, not_after=NOW - 2 * DAY),
    "expired_root": lambda: below(not_before=NOW - 60 * DAY, not_after=NOW - 2 * DAY),
    "not_yet_valid": lambda: leaf(not_before=NOW + 20 * DAY),
    "long_lifetime": lambda: leaf(not_after=NOW + 830 * DAY),
    "no_names": lambda: named(subject=NAMELESS),
    "no_subject_alternative_name": named,
    "no_host_in_subject_alternative_name": lambda: named(san(x509.RFC822Name("a@lab.example"))),
    "address_as_dns_name": lambda: replace(named(dns("127.0.0.1")), host="127.0.0.1"),
    "wildcard_alone": lambda: named(dns("*")),
    "empty_subject": lambda: leaf(subject=None),
    "weak_key": lambda: leaf(key=new_key("rsa-1024")),
    "unsupported_key": lambda: leaf(key=ec.generate_private_key(ec.SECP256K1())),
    "ed25519_key": lambda: leaf(key=new_key("ed25519")),
    "ed448_key": lambda: leaf(key=new_key("ed448")),
    "p521_key": lambda: leaf(key=new_key("p521")),
    "weak_signature_hash": lambda: of(with_sha1(server(rsa_ca()), rsa_key()), rsa_ca()),
    "wrong_purpose": lambda: made_for(ExtendedKeyUsageOID.CODE_SIGNING),
    "any_purpose_only": lambda: made_for(ANY),
    "key_may_not_sign": lambda: signing("key_encipherment"),
    "ca_as_leaf": _ca_as_leaf,
    "self_signed_leaf": lambda: of(server(None)),
    "no_authority_key_identifier": lambda: named(dns("localhost"), identifiers=False),
    "no_subject_key_identifier": lambda: below(constraints(True), ISSUES, identifiers=False),
    "ca_without_key_usage": lambda: below(constraints(True)),
    "basic_constraints_not_critical": lambda: below(constraints(True, critical=False), ISSUES),
    "path_length_without_key_cert_sign": lambda: below(constraints(True, 0)),
    "key_cert_sign_without_ca": lambda: signing("digital_signature", "key_cert_sign"),
    "ca_without_key_cert_sign": lambda: below(constraints(True), (usage("crl_sign"), True)),
    "critical_key_identifier": _critical_identifier,
    "unknown_critical_extension": lambda: named(dns("localhost"), UNKNOWN),
    "version_1": lambda: of(as_version_1(server(ca()), ca()), ca()),
    "malformed": _malformed,
    "leaf_not_first": lambda: _order(1, 0),
    "issuer_order": lambda: _order(0, 2, 1),
    "missing_intermediate": _missing_intermediate,
    "issuer_not_a_ca": _not_a_ca,
    "same_name_other_key": _twin,
    "key_mismatch": lambda: with_key(own=False),
    "revoked": lambda: _with_list(until=30, revoke=True),
    "revocation_list_expired": lambda: _with_list(until=-2, revoke=False),
    "root_sent": _root_sent,
    "lifetime_of_browsers": lambda: leaf(not_after=NOW + 390 * DAY),
}  # fmt: skip

# What cannot be had alone.
BESIDE = {
    "version_1": {"no_subject_alternative_name"},
    "path_length_without_key_cert_sign": {"ca_without_key_usage"},
}
HEALTHY: dict[str, Callable[[], Broken]] = {
    "a server's": healthy,
    "below an intermediate": healthy_intermediate,
    "for an address": lambda: leaf(LEAF, SIGNS, eku(SERVER), san(x509.IPAddress(ip_address("127.0.0.1")))),
    "a client's without names": lambda: of(make("alice", ca(), LEAF, SIGNS, eku(CLIENT)), ca()),
    "with its key": lambda: with_key(own=True),
    "with a list": healthy_list,
    "for both roles": lambda: leaf(LEAF, SIGNS, eku(SERVER, CLIENT), dns("localhost")),
    "an RSA key": lambda: leaf(key=rsa_key()),
    "a P-384 key": lambda: leaf(key=new_key("p384")),
    "an empty subject and critical names": lambda: leaf(
        LEAF, SIGNS, eku(SERVER), san(x509.DNSName("localhost"), critical=True), subject=None
    ),
}
