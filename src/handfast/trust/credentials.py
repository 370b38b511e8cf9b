"""Credentials: a certificate chain and the signer that holds the leaf's key.

Loading them reads PEM and a little DER by hand, so that a server starts without ``cryptography.x509``. What is wrong
with the files is found here, by name, before any peer can refuse them with an alert that says less.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from handfast.crypto import private_keys, signatures
from handfast.errors import ConfigError
from handfast.text import escape
from handfast.trust import der, files, pem
from handfast.trust.signers import LocalSigner, Signer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from handfast.crypto.signatures import PrivateKey, PublicKey
    from handfast.wire.messages import CompressedCertificate


class CredentialsHandle(Protocol):
    """Credentials, or what holds them now and may hold others later. A handshake asks once, when it chooses."""

    @property
    def current(self) -> Credentials: ...


@dataclass(frozen=True)
class Credentials:
    """Who we are.

    Attributes:
        chain: certificates as DER, leaf first, each issued by the next; the root may be left out.
        signer: makes signatures with the leaf's private key.
        ocsp_response: what a CA said of the leaf, DER, for peers that ask for it; b"" for none. RFC 9846 4.5.1.1.
        sct_list: signed certificate timestamps of the leaf, each as RFC 6962 3.2 has it, for peers that ask for them.

    Those made from files have neither of the last two: ``dataclasses.replace(credentials, ocsp_response=...)``.
    """

    chain: tuple[bytes, ...]
    signer: Signer
    ocsp_response: bytes = field(default=b"", repr=False)
    sct_list: tuple[bytes, ...] = field(default=(), repr=False)
    # The chain as CompressedCertificate, in each form that was wanted so far; None where that is not smaller.
    compressed: dict[object, CompressedCertificate | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        size = sum(2 + len(timestamp) for timestamp in self.sct_list)
        if size >= 2**16 or not all(self.sct_list):
            reason, advice = "empty, or more than fits", "give each timestamp without the lengths around it"
            raise ConfigError("bad_option", option="sct_list", reason=reason, advice=advice)

    @classmethod
    def from_files(
        cls,
        cert: str | PathLike[str],
        key: str | PathLike[str] | None = None,
        password: bytes | None = None,
    ) -> Credentials:
        """Credentials from a PEM chain and a key (PEM or DER); without ``key`` the chain's file holds the key too.

        Raises ConfigError, which names the file: file_missing, file_unreadable, no_certificate, bad_certificate,
        der_as_pem, no_key, bad_key, password_needed, password_wrong, unsupported_key, weak_key, swapped, chain_order,
        key_mismatch.
        """
        key_path = cert if key is None else key
        cert_data = files.read(cert)
        key_data = cert_data if key is None else files.read(key)
        return cls.from_pem(cert_data, key_data, password, cert_name=escape(str(cert)), key_name=escape(str(key_path)))

    @classmethod
    def from_pem(
        cls,
        cert: bytes,
        key: bytes | None = None,
        password: bytes | None = None,
        *,
        cert_name: str = "the certificate",
        key_name: str = "the key",
    ) -> Credentials:
        """As ``from_files``, from the files' contents; the names are what errors call them."""
        key_data = cert if key is None else key
        if _lacks_certificate(cert) and _holds_certificate(key_data):
            raise ConfigError("swapped", cert=cert_name, key=key_name)
        chain = files.certificates(cert, cert_name)
        if not chain and pem.looks_like_der(cert):
            raise ConfigError("der_as_pem", path=cert_name, command="x509")
        if not chain:
            raise ConfigError("no_certificate", path=cert_name)
        private_key = private_keys.load_private_key(key_data, path=key_name, password=password)
        return cls.from_key(chain, private_key, cert_name=cert_name, key_name=key_name)

    @classmethod
    def from_key(
        cls,
        chain: Iterable[bytes],
        private_key: PrivateKey,
        *,
        cert_name: str = "the certificate",
        key_name: str = "the key",
    ) -> Credentials:
        """Credentials from DER certificates and a private key object of ``cryptography``.

        Raises ConfigError no_certificate, bad_certificate, unsupported_key, chain_order, key_mismatch.
        """
        certificates = files.checked(chain, cert_name)
        if not certificates:
            raise ConfigError("no_certificate", path=cert_name)
        leaf_key = _leaf_key(certificates[0], cert_name)
        own = private_keys.public_key_of(private_key)
        if not signatures.same_public_key(own, leaf_key):
            position = _position(own, certificates)
            if position is None:
                raise ConfigError("key_mismatch", cert=cert_name, key=key_name)
            raise ConfigError("chain_order", cert=cert_name, position=position)
        return cls(certificates, LocalSigner(private_key, leaf_key))

    @property
    def current(self) -> Credentials:
        """These: where credentials may stand, a handle may that holds others later."""
        return self

    @cached_property
    def public_key(self) -> PublicKey:
        """The leaf's public key."""
        return signatures.certificate_public_key(self.chain[0])

    @property
    def key_description(self) -> str:
        """The leaf's key in words: "ECDSA P-256"."""
        return self.public_key.name

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The leaf's subjectAltName entries as "DNS:localhost", "URI:spiffe://...", escaped."""
        from handfast.trust.describe import describe

        return describe(self.chain[0]).names

    @cached_property
    def issuer_names(self) -> tuple[bytes, ...]:
        """The DER names of the CAs that issued the chain, from the leaf's issuer upwards."""
        return tuple(der.certificate_fields(certificate).issuer for certificate in self.chain)

    def issued_by_any(self, ca_names: Iterable[bytes]) -> bool:
        """Whether one of these CAs (DER names) issued a certificate of the chain. RFC 9846 4.3.4."""
        return not set(ca_names).isdisjoint(self.issuer_names)


def _leaf_key(certificate: bytes, name: str) -> PublicKey:
    try:
        return signatures.certificate_public_key(certificate)
    except signatures.UnusableKey as error:
        code = "unsupported_key" if error.code == "unsupported_key" else "bad_certificate"
        raise ConfigError(code, path=name, reason=str(error)) from None


def _position(own: PublicKey, certificates: tuple[bytes, ...]) -> int | None:
    """Which certificate, counted from 1, has this key."""
    for position, certificate in enumerate(certificates, 1):
        try:
            if signatures.same_public_key(own, signatures.certificate_public_key(certificate)):
                return position
        except signatures.UnusableKey:
            continue
    return None


def _lacks_certificate(data: bytes) -> bool:
    """Whether the file is a private key and nothing else."""
    found = pem.blocks(data)
    return any(block.is_private_key for block in found) and not any(block.is_certificate for block in found)


def _holds_certificate(data: bytes) -> bool:
    return any(block.is_certificate for block in pem.blocks(data))
