"""Credentials: a certificate chain and the signer that holds the leaf's key.

Loading them reads PEM and a little DER by hand, so that a server starts without ``cryptography.x509``. What is wrong
with the files is found here, by name, before any peer can refuse them with an alert that says less.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from handfast import der
from handfast.credentials.passwords import asked_once
from handfast.credentials.pkcs11_uri import PKCS11
from handfast.credentials.signers import LocalSigner, Signer, ThreadSigner
from handfast.crypto import private_keys, signatures
from handfast.crypto.pkcs12 import is_pkcs12, load_pkcs12
from handfast.errors import ConfigError, bad_option
from handfast.text import escape
from handfast.x509 import loading as files
from handfast.x509 import pem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from os import PathLike

    from handfast.credentials.passwords import Password
    from handfast.crypto.pkcs12 import Bundle
    from handfast.crypto.signatures import PrivateKey, PublicKey


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

    Raises ConfigError no_certificate, bad_option, and of a ``LocalSigner``, whose signatures are not verified,
    key_mismatch. Those made from files have neither of the last two attributes:
    ``dataclasses.replace(credentials, ocsp_response=...)``.
    """

    chain: tuple[bytes, ...] = field(repr=False)
    signer: Signer
    ocsp_response: bytes = field(default=b"", repr=False)
    sct_list: tuple[bytes, ...] = field(default=(), repr=False)
    # The chain as an encoded Certificate, or CompressedCertificate, in each form that was wanted so far.
    encoded: dict[object, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.chain:
            advice = "give at least the certificate of the key, DER"
            raise ConfigError("no_certificate", path="the chain", found="it is empty", advice=advice)
        # Of all other signers each signature is verified before it is sent. See ``must_be_checked``.
        if type(self.signer) is LocalSigner:
            _check_local_key(self.signer.public_key, self.chain[0])
        size = sum(2 + len(timestamp) for timestamp in self.sct_list)
        if size >= 2**16 or not all(self.sct_list):
            advice = "give each timestamp without the lengths around it"
            raise bad_option("sct_list", "empty, or more than fits", advice)

    @classmethod
    def from_files(
        cls,
        cert: str | PathLike[str],
        key: str | PathLike[str] | None = None,
        password: Password | None = None,
        *,
        legacy_client_signatures: bool = False,
    ) -> Credentials:
        """Credentials from files; without ``key`` the chain's file holds the key too.

        A chain is PEM, one certificate in DER, or PKCS#12; a key is PKCS#8, PKCS#1 or SEC1, in PEM or DER, encrypted or
        not, or PKCS#12. What a file holds counts and not its name, but for DER in a file whose name ends in .pem, which
        is refused: the next reader believes the name. ``password`` is bytes, text, a ``pathlib.Path`` to a file
        that holds it, or a callable that is asked if something is encrypted. ``key`` may be a PKCS#11 URI, as a string,
        and ``password`` the token's PIN: see ``Pkcs11Signer``, its errors and its ``legacy_client_signatures``.

        Raises ConfigError, which names the file: file_missing, file_unreadable, no_certificate, bad_certificate,
        der_as_pem, no_key, bad_key, bad_pkcs12, password_needed, password_wrong, unsupported_key, weak_key, swapped,
        chain_order, issuer_order, key_mismatch.
        """
        cert_name, key_name = escape(str(cert)), escape(str(cert if key is None else key))
        cert_data = files.read(cert)
        if isinstance(key, str) and key[: len(PKCS11)].lower() == PKCS11:
            return cls._with_token(cert_data, cert_name, key, password, legacy_client_signatures)
        key_data = None if key is None else files.read(key)
        for name, data, command in ((cert_name, cert_data, "x509"), (key_name, key_data, "pkey")):
            if data is not None and name.lower().endswith(".pem"):
                _require_pem(data, name, command)
        return cls.from_bytes(cert_data, key_data, password, cert_name=cert_name, key_name=key_name)

    @classmethod
    def _with_token(cls, cert: bytes, cert_name: str, uri: str, pin: Password | None, legacy: bool) -> Credentials:
        from handfast.credentials.pkcs11 import Pkcs11Signer

        if is_pkcs12(cert):
            reason = "with a key in a token the certificates come as PEM or DER"
            raise bad_option(cert_name, reason, "export them: openssl pkcs12")
        chain = files.checked(_certificates(cert, cert_name), cert_name)
        if not chain:
            raise files.no_certificate(cert, cert_name)
        check_issuer_order(chain, cert_name)
        signer = Pkcs11Signer(uri, chain[0], pin, cert_name=cert_name, legacy_client_signatures=legacy)
        return cls(chain, ThreadSigner(signer))

    @classmethod
    def from_pem(
        cls,
        cert: bytes,
        key: bytes | None = None,
        password: Password | None = None,
        *,
        cert_name: str = "the certificate",
        key_name: str = "the key",
    ) -> Credentials:
        """As ``from_bytes``, but both are PEM; ConfigError der_as_pem where they are not."""
        _require_pem(cert, cert_name, "x509")
        _require_pem(key or b"", key_name, "pkey")
        return cls.from_bytes(cert, key, password, cert_name=cert_name, key_name=key_name)

    @classmethod
    def from_bytes(
        cls,
        cert: bytes,
        key: bytes | None = None,
        password: Password | None = None,
        *,
        cert_name: str = "the certificate",
        key_name: str = "the key",
    ) -> Credentials:
        """As ``from_files``, from the files' contents in any format; the names are what errors call them."""
        key_data = cert if key is None else key
        if _holds(cert) is Contents.KEY and _holds(key_data) is Contents.CERTIFICATE:
            raise ConfigError("swapped", cert=cert_name, key=key_name)
        secret = asked_once(password)
        bundle = _bundle(cert, cert_name, secret)
        other = bundle if key_data == cert else _bundle(key_data, key_name, secret)
        chain = _certificates(cert, cert_name) if bundle is None else bundle.certificates
        if not chain and bundle is not None:
            advice = "export it again, with the certificate"
            raise ConfigError("no_certificate", path=cert_name, found="it is PKCS#12 with a key only", advice=advice)
        if not chain:
            raise files.no_certificate(cert, cert_name)
        if other is None:
            private_key = _private_key(key_data, key_name, secret)
        elif other.key is None:
            advice = "export it again, with the key"
            raise ConfigError("no_key", path=key_name, found="it is PKCS#12 with certificates only", advice=advice)
        else:
            private_key = other.key
        if bundle is not None:
            chain = _sorted(chain, private_keys.public_key_of(private_key))
        made = cls.from_key(chain, private_key, cert_name=cert_name, key_name=key_name)
        check_issuer_order(made.chain, cert_name)
        return made

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
            advice = "give at least the leaf"
            raise ConfigError("no_certificate", path=cert_name, found="the chain is empty", advice=advice)
        leaf_key = files.public_key(certificates[0], cert_name)
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
        from handfast.x509.describe import describe

        return describe(self.chain[0]).names

    @cached_property
    def issuer_names(self) -> tuple[bytes, ...]:
        """The DER names of the CAs that issued the chain, from the leaf's issuer upwards."""
        return tuple(der.certificate_fields(certificate).issuer for certificate in self.chain)

    def issued_by_any(self, ca_names: Iterable[bytes]) -> bool:
        """Whether one of these CAs (DER names) issued a certificate of the chain. RFC 9846 4.3.4."""
        return not set(ca_names).isdisjoint(self.issuer_names)


def _check_local_key(own: PublicKey, leaf: bytes) -> None:
    """ConfigError unless this is the key of the leaf, and known as what the leaf says that it is."""
    certified = files.public_key(leaf, "the chain")
    if not signatures.same_public_key(own, certified):
        raise ConfigError("key_mismatch", cert="the chain", key="the signer")
    if own != certified:
        reason = f"it takes its key for {own.kind}, and the certificate says {certified.kind}"
        raise bad_option("signer", reason, "use Credentials.from_key(chain, private_key)")


def _position(own: PublicKey, certificates: tuple[bytes, ...]) -> int | None:
    """Which certificate, counted from 1, has this key."""
    for position, certificate in enumerate(certificates, 1):
        try:
            if signatures.same_public_key(own, signatures.certificate_public_key(certificate)):
                return position
        except signatures.UnusableKey:
            continue
    return None


class Contents(Enum):
    """What a file mainly holds."""

    CERTIFICATE = "certificate"
    KEY = "key"
    OTHER = "other"


def _holds(data: bytes) -> Contents:
    """A PEM file that holds certificates too counts as one of certificates."""
    found = pem.blocks(data)
    if any(block.is_certificate for block in found) or is_der_certificate(data):
        return Contents.CERTIFICATE
    if any(block.is_private_key for block in found):
        return Contents.KEY
    return Contents.KEY if pem.looks_like_der(data) and not is_pkcs12(data) else Contents.OTHER


def is_der_certificate(data: bytes) -> bool:
    """Whether ``data`` is one certificate in DER."""
    try:
        der.certificate_fields(data)
    except ValueError:
        return False
    return True


def _require_pem(data: bytes, name: str, command: str) -> None:
    if pem.looks_like_der(data) and not is_pkcs12(data):
        raise ConfigError("der_as_pem", path=name, command=command)


def _certificates(data: bytes, name: str) -> tuple[bytes, ...]:
    return (data,) if is_der_certificate(data) else files.certificates(data, name)


def _bundle(data: bytes, name: str, secret: Callable[[], bytes | None]) -> Bundle | None:
    return load_pkcs12(data, path=name, password=secret) if is_pkcs12(data) else None


def _private_key(data: bytes, name: str, secret: Callable[[], bytes | None]) -> PrivateKey:
    if is_der_certificate(data):
        advice = "give the key's own file as the key"
        raise ConfigError("no_key", path=name, found="it is a certificate", advice=advice)
    return private_keys.load_private_key(data, path=name, password=secret)


def _sorted(certificates: tuple[bytes, ...], own: PublicKey) -> tuple[bytes, ...]:
    """The chain of the certificate that has this key, out of a PKCS#12 file, which has no order.

    What does not belong to that chain is left out: keystores bring whatever they once trusted.
    """
    position = _position(own, certificates)
    if position is None:
        return certificates
    return upwards(certificates[position - 1], certificates)


def upwards(leaf: bytes, certificates: Iterable[bytes]) -> tuple[bytes, ...]:
    """The leaf and, each behind what it issued, those of the certificates that are above it by their names. DER."""
    subjects = {der.certificate_fields(one).subject: one for one in reversed(tuple(certificates))}
    chain = [leaf]
    while (above := subjects.get(der.certificate_fields(chain[-1]).issuer)) is not None and above not in chain:
        chain.append(above)
    return tuple(chain)


def check_issuer_order(chain: Sequence[bytes], name: str) -> None:
    """ConfigError issuer_order where a certificate's issuer stands somewhere else than right after it.

    Only where it does stand elsewhere: an issuer may be left out, and names may be written differently.
    """
    fields = [der.certificate_fields(one) for one in chain]
    for below, (one, following) in enumerate(pairwise(fields), 1):
        if one.issuer in (following.subject, one.subject):
            continue
        for above, other in enumerate(fields[below + 1 :], below + 2):
            if other.subject == one.issuer:
                raise ConfigError("issuer_order", cert=name, position=above, below=below)
