"""Certificates with whatever is wanted in them, healthy or not: a few lines over the X.509 builder."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from handfast import der
from handfast.trust.presented import PresentedChain
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from handfast.verdict import Verdict
from handfast.x509.purpose import Purpose

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE

Extension = tuple[x509.ExtensionType, bool]


@functools.cache
def rsa_key(bits: int = 2048, exponent: int = 65537) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(exponent, bits)


def new_key(kind: str = "p256") -> Any:
    makers: dict[str, Callable[[], Any]] = {
        "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "ed448": ed448.Ed448PrivateKey.generate,
        "rsa": rsa_key,
        "rsa-1024": lambda: rsa_key(1024),
    }
    return makers[kind]()


@dataclass(frozen=True)
class Made:
    """A certificate and its key; ``above`` are the certificates to send after it."""

    certificate: x509.Certificate
    key: Any
    above: tuple[bytes, ...] = ()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def chain(self) -> tuple[bytes, ...]:
        return (self.der, *self.above)

    def with_above(self, *above: Made) -> Made:
        return Made(self.certificate, self.key, tuple(one.der for one in above))


def name(common_name: str | None, organization: str = "lab") -> x509.Name:
    if common_name is None:
        return x509.Name([])
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def usage(*set_bits: str) -> x509.KeyUsage:
    bits = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(**(bits | dict.fromkeys(set_bits, True)))


def constraints(ca: bool, path_length: int | None = None, *, critical: bool = True) -> Extension:
    return x509.BasicConstraints(ca, path_length), critical


def san(*names: x509.GeneralName, critical: bool = False) -> Extension:
    return x509.SubjectAlternativeName(names), critical


def dns(*names: str) -> Extension:
    return san(*map(x509.DNSName, names))


def eku(*purposes: x509.ObjectIdentifier, critical: bool = False) -> Extension:
    return x509.ExtendedKeyUsage(purposes), critical


def make(
    subject: str | x509.Name | None,
    issuer: Made | None,
    *extensions: Extension,
    key: Any = None,
    not_before: datetime = NOW - 30 * DAY,
    not_after: datetime = NOW + 300 * DAY,
    identifiers: bool = True,
    algorithm: Any = None,
    issuer_name: x509.Name | None = None,
    serial_number: int | None = None,
) -> Made:
    """A certificate signed by the issuer, or by itself; key identifiers are added unless told otherwise."""
    own_key = key or new_key()
    signing_key = own_key if issuer is None else issuer.key
    own_name = subject if isinstance(subject, x509.Name) else name(subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(own_name)
        .issuer_name(issuer_name or (own_name if issuer is None else issuer.certificate.subject))
        .public_key(own_key.public_key())
        .serial_number(serial_number or x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    if identifiers:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(own_key.public_key()), False)
        if issuer is not None:
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key())
            builder = builder.add_extension(identifier, False)
    edwards = isinstance(signing_key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
    chosen = algorithm or (None if edwards else hashes.SHA256())
    above = () if issuer is None or issuer.certificate.issuer == issuer.certificate.subject else issuer.chain
    return Made(builder.sign(signing_key, chosen), own_key, above)


def root(subject: str = "Root", *extensions: Extension, **options: Any) -> Made:
    given = extensions or (constraints(True), (usage("key_cert_sign", "crl_sign"), True))
    return make(subject, None, *given, **options)


def intermediate(subject: str, issuer: Made, *extensions: Extension, **options: Any) -> Made:
    return make(subject, issuer, constraints(True), (usage("key_cert_sign"), True), *extensions, **options)


def with_sha1(made: Made, issuer_key: rsa.RSAPrivateKey) -> Made:
    """The same certificate signed again with SHA-1, which the builder refuses to do."""
    signed = with_sha1_instead(made.certificate.tbs_certificate_bytes)
    signature = issuer_key.sign(signed, padding.PKCS1v15(), hashes.SHA1())
    encoded = with_sha1_instead(made.der).replace(made.certificate.signature, signature)
    return Made(x509.load_der_x509_certificate(encoded), made.key, made.above)


def with_sha1_instead(encoded: bytes) -> bytes:
    """DER that says sha1WithRSAEncryption wherever it said sha256WithRSAEncryption."""
    sha256, sha1 = (bytes.fromhex(f"06092a864886f70d0101{last}") for last in ("0b", "05"))
    return encoded.replace(sha256, sha1)


def as_version_1(made: Made, issuer: Made) -> Made:
    """The same certificate without its extensions, as X.509 version 1, signed again; for P-256 and Ed25519 issuers."""
    fields = list(der.elements(der.element(made.certificate.tbs_certificate_bytes).content))
    signed = sequence(*(field.encoded for field in fields if field.tag not in (0xA0, 0xA3)))
    parameters = () if isinstance(issuer.key, ed25519.Ed25519PrivateKey) else (ec.ECDSA(hashes.SHA256()),)
    signature = b"\0" + issuer.key.sign(signed, *parameters)
    algorithm = list(der.elements(der.element(made.der).content))[1].encoded
    encoded = sequence(signed, algorithm, b"\x03" + bytes([len(signature)]) + signature)
    return Made(x509.load_der_x509_certificate(encoded), made.key, made.above)


def sequence(*parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    length = size if len(content) < 0x80 else bytes([0x80 | len(size)]) + size
    return b"\x30" + length + content


def server(issuer: Made | None, *extensions: Extension, subject: str | None = "localhost", **options: Any) -> Made:
    given = extensions or (constraints(False), (usage("digital_signature"), True), eku(SERVER), dns("localhost"))
    return make(subject, issuer, *given, **options)


def client(
    issuer: Made | None, *extensions: Extension, subject: str | x509.Name | None = "alice", **options: Any
) -> Made:
    given = extensions or (constraints(False), (usage("digital_signature"), True), eku(CLIENT))
    return make(subject, issuer, *given, **options)


def judge(
    chain: Made | tuple[bytes, ...],
    *roots: Made,
    purpose: Purpose = Purpose.SERVER,
    server_name: str | None = "localhost",
    at: datetime = NOW,
    **options: Any,
) -> Verdict:
    """The verdict of a path verifier that trusts these roots; ``server_name`` counts for servers only."""
    presented = PresentedChain(
        chain=chain.chain if isinstance(chain, Made) else chain,
        purpose=purpose,
        server_name=server_name if purpose is Purpose.SERVER else None,
        at=at,
    )
    return PathVerifier(Roots.from_der(one.der for one in roots), **options).verify(presented)


def judge_client(chain: Made | tuple[bytes, ...], *roots: Made, **options: Any) -> Verdict:
    return judge(chain, *roots, purpose=Purpose.CLIENT, **options)
