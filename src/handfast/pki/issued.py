"""What a certificate authority gives out: a chain, and the key where the authority made it too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from handfast.crypto import new_keys
from handfast.errors import bad_option

if TYPE_CHECKING:
    from handfast.crypto.signatures import PrivateKey


@dataclass(frozen=True, slots=True, repr=False)
class CertificateChain:
    """A certificate whose key is elsewhere: ``chain`` is DER, leaf first, then the intermediates, without the root."""

    chain: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.certificate.subject.rfc4514_string()}>"

    @property
    def certificate(self) -> x509.Certificate:
        """The leaf, parsed."""
        return x509.load_der_x509_certificate(self.chain[0])

    @property
    def cert_pem(self) -> bytes:
        """The chain as PEM, leaf first."""
        return b"".join(certificate_pem(x509.load_der_x509_certificate(der)) for der in self.chain)


@dataclass(frozen=True, slots=True, repr=False)
class Issued(CertificateChain):
    """A certificate with its key: ``chain`` is DER, leaf first, then the intermediates, without the root."""

    key: PrivateKey

    @property
    def key_pem(self) -> bytes:
        """The key as PKCS#8 PEM, not encrypted."""
        return new_keys.private_key_pem(self.key)

    def encrypted_key_pem(self, password: bytes) -> bytes:
        """The key as PKCS#8 PEM, encrypted with the password."""
        return new_keys.private_key_pem(self.key, password)

    def pkcs12(self, password: bytes, name: str = "") -> bytes:
        """Chain and key as PKCS#12 (RFC 7292), with AES-256 and a MAC of SHA-256; ``name`` is the friendlyName.

        The root is not in it: this says who one is, and not whom to trust. Raises ConfigError(bad_option) for an ML-DSA
        key, which ``cryptography`` puts into no PKCS#12.
        """
        if new_keys.is_ml_dsa(self.key):
            advice = "take certificate and key as they are (PEM), or another kind of key"
            raise bad_option("PKCS#12", "the cryptography that is installed writes none with an ML-DSA key", advice)
        leaf, *others = [x509.load_der_x509_certificate(der) for der in self.chain]
        encryption = serialization.BestAvailableEncryption(password)
        return pkcs12.serialize_key_and_certificates(name.encode() or None, self.key, leaf, others or None, encryption)


def certificate_der(certificate: x509.Certificate) -> bytes:
    """The certificate as DER."""
    return certificate.public_bytes(new_keys.DER)


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """The certificate as PEM."""
    return certificate.public_bytes(new_keys.PEM)
