"""A certificate authority of one's own: roots, intermediates, server and client certificates, revocation lists,
OCSP responses.

What it makes passes `openssl verify -x509_strict`, Python 3.13's strict mode and the default policy of `cryptography`:
critical basicConstraints and keyUsage, key identifiers on both ends, one purpose per leaf. A server certificate is for
serverAuth alone and a client certificate for clientAuth alone, so neither can stand in for the other when it is stolen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from handfast import file_contents
from handfast.crypto import new_keys
from handfast.crypto.private_keys import load_private_key
from handfast.errors import ApiMisuse, ConfigError, bad_option
from handfast.pki.general_names import dns_name, general_name
from handfast.pki.template import CLIENT_AUTH, OCSP_SIGNING, SERVER_AUTH, Template, sign, subject_name, whole_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handfast.crypto.signatures import PrivateKey

OcspStatus: TypeAlias = Literal["good", "revoked", "unknown"]

# A private CA gets into trust stores and is forgotten there: a year bounds that, and outlives four rounds of leaves.
CA_DAYS = 365
# What the large ACME issuers made usual: a project is not disturbed weekly, and renewal does not become an emergency
# whose handling was forgotten. There is little use in more, as a leaf is remade with one command.
LEAF_DAYS = 90
# A list that is not renewed soon stops all clients, so it lives a little longer than a holiday.
CRL_DAYS = 30
# The peer's clock may be behind ours; ACME issuers backdate by the same hour.
BACKDATE = timedelta(hours=1)
# What large CAs made usual.
OCSP_DAYS = 7

DEFAULT_KEY = "ecdsa-p256"
LEAF_USAGE = frozenset({"digital_signature"})
CA_USAGE = frozenset({"key_cert_sign", "crl_sign"})


@dataclass(frozen=True, slots=True, repr=False)
class Issued:
    """A certificate with its key: ``chain`` is DER, leaf first, then the intermediates, without the root."""

    chain: tuple[bytes, ...]
    key: PrivateKey

    def __repr__(self) -> str:
        return f"<Issued {self.certificate.subject.rfc4514_string()}>"

    @property
    def certificate(self) -> x509.Certificate:
        """The leaf, parsed."""
        return x509.load_der_x509_certificate(self.chain[0])

    @property
    def cert_pem(self) -> bytes:
        """The chain as PEM, leaf first."""
        return b"".join(certificate_pem(x509.load_der_x509_certificate(der)) for der in self.chain)

    @property
    def key_pem(self) -> bytes:
        """The key as PKCS#8 PEM, not encrypted."""
        return new_keys.private_key_pem(self.key)

    def encrypted_key_pem(self, password: bytes) -> bytes:
        """The key as PKCS#8 PEM, encrypted with the password."""
        return new_keys.private_key_pem(self.key, password)


class CertificateAuthority:
    """A CA that holds its key in memory. ``now`` fixes the time of all it makes; without it, each gets the time it is
    made at."""

    def __init__(
        self,
        certificate: x509.Certificate,
        key: PrivateKey,
        *,
        chain: tuple[x509.Certificate, ...] = (),
        now: datetime | None = None,
    ) -> None:
        """``chain``: for an intermediate, itself and the CAs above it, without the root; empty for a root."""
        self.certificate = certificate
        self.chain = chain
        self._key: PrivateKey | None = key
        self._now = now

    @classmethod
    def create(
        cls,
        name: str = "handfast CA",
        *,
        organization: str = "handfast",
        key: str = DEFAULT_KEY,
        days: float = CA_DAYS,
        path_length: int | None = None,
        permitted_dns: tuple[str, ...] = (),
        now: datetime | None = None,
    ) -> Self:
        """A new root. ``permitted_dns`` restricts it to these domains and what is below them (RFC 5280 4.2.1.10)."""
        private_key = new_key(key)
        not_before, not_after = _validity(now, days)
        template = Template(
            subject=subject_name(organization, name),
            key=private_key,
            not_before=not_before,
            not_after=not_after,
            key_usage=CA_USAGE,
            is_ca=True,
            path_length=path_length,
            permitted_dns=tuple(map(dns_name, permitted_dns)),
            authority_key_identifier=False,
        )
        return cls(sign(template, template.subject, private_key), private_key, now=now)

    @classmethod
    def load(cls, certificates: bytes, key: bytes, *, path: str, key_path: str, password: bytes | None = None) -> Self:
        """A CA from PEM: its certificate, for an intermediate followed by those above it, and its key.

        ``path`` and ``key_path`` are what errors call the two: ConfigError no_certificate, bad_certificate,
        key_mismatch, not_a_ca and those of `load_private_key`.
        """
        try:
            chain = tuple(x509.load_pem_x509_certificates(certificates))
        except ValueError as error:
            if b"BEGIN CERTIFICATE-----" in certificates:
                raise ConfigError("bad_certificate", path=path, reason=error) from None
            found = file_contents.instead_of_certificate(certificates, path)
            raise ConfigError("no_certificate", path=path, found=found.what, advice=found.advice) from None
        private_key = load_private_key(key, path=key_path, password=password)
        if private_key.public_key() != chain[0].public_key():
            raise ConfigError("key_mismatch", cert=path, key=key_path)
        if not _may_sign_certificates(chain[0]):
            raise ConfigError("not_a_ca", path=path)
        return cls(chain[0], private_key, chain=tuple(ca for ca in chain if ca.subject != ca.issuer))

    @property
    def key(self) -> PrivateKey:
        """The private key; ApiMisuse after `destroy_key`."""
        if self._key is None:
            raise ApiMisuse("bad_argument", reason="this CA's key was destroyed, it can sign nothing more")
        return self._key

    @property
    def certificate_pem(self) -> bytes:
        """The CA's own certificate as PEM."""
        return certificate_pem(self.certificate)

    @property
    def certificate_der(self) -> bytes:
        """The CA's own certificate as DER."""
        return certificate_der(self.certificate)

    def key_pem(self, password: bytes | None = None) -> bytes:
        """The CA's key as PKCS#8 PEM, encrypted if a password is given."""
        return new_keys.private_key_pem(self.key, password)

    def destroy_key(self) -> None:
        """Forget the key: this CA signs nothing more. Python cannot erase the memory that held it."""
        self._key = None

    def intermediate(
        self,
        name: str,
        *,
        key: str = DEFAULT_KEY,
        days: float = CA_DAYS,
        path_length: int | None = 0,
        permitted_dns: tuple[str, ...] = (),
    ) -> CertificateAuthority:
        """A CA below this one. ``path_length`` 0: it signs leaves and no further CAs."""
        template = replace(
            self._template(name, key, days),
            key_usage=CA_USAGE,
            is_ca=True,
            path_length=self._path_length_below(path_length),
            permitted_dns=tuple(map(dns_name, permitted_dns)),
        )
        certificate = self.sign(template)
        return CertificateAuthority(certificate, template.key, chain=(certificate, *self.chain), now=self._now)

    def server(self, *names: str, key: str = DEFAULT_KEY, days: float = LEAF_DAYS) -> Issued:
        """A server certificate for these names: DNS names (wildcards too), IP addresses, URIs, e-mail addresses."""
        if not names:
            raise ApiMisuse("bad_argument", reason="a server certificate needs at least one name")
        return self.issue(self.server_template(*names, key=key, days=days))

    def client(self, name: str, *names: str, key: str = DEFAULT_KEY, days: float = LEAF_DAYS) -> Issued:
        """A client certificate: ``name`` is the CN, ``names`` go into subjectAltName; without any, ``name`` does if it
        is a name such an extension can hold ("alice" or "alice@example.com"; not "Alice Smith")."""
        return self.issue(self.client_template(name, *names, key=key, days=days))

    def server_template(self, *names: str, key: str = DEFAULT_KEY, days: float = LEAF_DAYS) -> Template:
        """What `server` signs, for who wants to change something in it first."""
        template = self._template(names[0], key, days)
        general_names = tuple(map(general_name, names))
        return replace(template, names=general_names, extended_key_usage=(SERVER_AUTH,))

    def client_template(self, name: str, *names: str, key: str = DEFAULT_KEY, days: float = LEAF_DAYS) -> Template:
        """What `client` signs, for who wants to change something in it first."""
        template = self._template(name, key, days)
        general_names = tuple(map(general_name, names)) or _name_if_possible(name)
        return replace(template, names=general_names, extended_key_usage=(CLIENT_AUTH,))

    def issue(self, template: Template) -> Issued:
        """The template's certificate, signed by this CA, with the chain that belongs to it."""
        return Issued(tuple(map(certificate_der, (self.sign(template), *self.chain))), template.key)

    def sign(self, template: Template) -> x509.Certificate:
        """The template's certificate alone."""
        return sign(template, self.certificate.subject, self.key)

    def crl(
        self,
        revoked: Iterable[Issued | x509.Certificate | int] = (),
        *,
        days: float = CRL_DAYS,
        next_update: datetime | None = None,
        last_update: datetime | None = None,
        previous: bytes | None = None,
    ) -> bytes:
        """A revocation list as PEM. ``revoked``: certificates or serial numbers, revoked as of now; the entries of the
        ``previous`` list (PEM) stay on it. It is valid from ``last_update`` (now, a little backdated) to
        ``next_update`` (in ``days``)."""
        now = self._now or datetime.now(UTC)
        last_update = whole_seconds(last_update or now - BACKDATE)
        known = () if previous is None else x509.load_pem_x509_crl(previous)
        entries = {entry.serial_number: entry for entry in known}
        for item in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(_serial_number(item)).revocation_date(last_update)
            entries.setdefault(_serial_number(item), entry.build())
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(last_update)
            .next_update(whole_seconds(next_update or now + timedelta(days=days)))
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False)
            # RFC 5280 5.2.3 wants a number that only grows; the time does, without a memory.
            .add_extension(x509.CRLNumber(int(now.timestamp())), False)
        )
        for revocation in entries.values():
            builder = builder.add_revoked_certificate(revocation)
        return builder.sign(self.key, new_keys.signature_hash(self.key)).public_bytes(new_keys.PEM)

    def ocsp_responder(
        self, name: str = "OCSP responder", *, key: str = DEFAULT_KEY, days: float = LEAF_DAYS
    ) -> Issued:
        """A certificate that may sign OCSP responses in this CA's stead; itself it need not be looked up."""
        template = replace(self._template(name, key, days), extended_key_usage=(OCSP_SIGNING,), ocsp_no_check=True)
        return self.issue(template)

    def ocsp_response(
        self,
        issued: Issued | x509.Certificate,
        status: OcspStatus = "good",
        *,
        days: float = OCSP_DAYS,
        this_update: datetime | None = None,
        next_update: datetime | None = None,
        reason: x509.ReasonFlags | None = None,
        responder: Issued | None = None,
    ) -> bytes:
        """What this CA says of a certificate, as a DER OCSP response for `Credentials.ocsp_response`. RFC 6960.

        It is valid from ``this_update`` (now, a little backdated; also the date of a revocation) to ``next_update`` (in
        ``days``). A ``responder``, as from `ocsp_responder`, signs it with its key instead of this CA's.
        """
        from cryptography.x509 import ocsp

        now = self._now or datetime.now(UTC)
        this_update = whole_seconds(this_update or now - BACKDATE)
        signer, key = (self.certificate, self.key) if responder is None else (responder.certificate, responder.key)
        revoked = status == "revoked"
        builder = (
            ocsp.OCSPResponseBuilder()
            .add_response(
                cert=issued.certificate if isinstance(issued, Issued) else issued,
                issuer=self.certificate,
                # It only names the issuer; RFC 5019 2.1.1 wants this one.
                algorithm=hashes.SHA1(),
                cert_status=ocsp.OCSPCertStatus[status.upper()],
                this_update=this_update,
                next_update=whole_seconds(next_update or now + timedelta(days=days)),
                revocation_time=this_update if revoked else None,
                revocation_reason=reason if revoked else None,
            )
            .responder_id(ocsp.OCSPResponderEncoding.HASH, signer)
        )
        if responder is not None:
            builder = builder.certificates([signer])
        return builder.sign(key, new_keys.signature_hash(key)).public_bytes(new_keys.DER)

    def _template(self, common_name: str, key: str, days: float) -> Template:
        """A leaf without names and purpose. It does not outlive its CA, as no verifier would accept that time."""
        not_before, not_after = _validity(self._now, days)
        organization = self.certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        return Template(
            subject=subject_name(str(organization[0].value) if organization else "handfast", common_name),
            key=new_key(key),
            not_before=not_before,
            not_after=min(not_after, self.certificate.not_valid_after_utc),
            key_usage=LEAF_USAGE,
        )

    def _path_length_below(self, wanted: int | None) -> int | None:
        own = self.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
        if own is None:
            return wanted
        if own == 0:
            raise ApiMisuse("bad_argument", reason="this CA's path length is 0, it may sign no further CA")
        return own - 1 if wanted is None else min(wanted, own - 1)


def new_key(kind: str) -> PrivateKey:
    """A new private key; ConfigError(bad_option) for a kind that is not one of `new_keys.KEY_KINDS`."""
    if kind not in new_keys.KEY_KINDS:
        raise bad_option(f"key kind {kind!r}", "unknown", f"use {', '.join(new_keys.KEY_KINDS)}")
    return new_keys.generate_private_key(kind)


def certificate_der(certificate: x509.Certificate) -> bytes:
    """The certificate as DER."""
    return certificate.public_bytes(new_keys.DER)


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """The certificate as PEM."""
    return certificate.public_bytes(new_keys.PEM)


def _may_sign_certificates(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound):
        return False


def _validity(now: datetime | None, days: float) -> tuple[datetime, datetime]:
    now = now or datetime.now(UTC)
    return now - BACKDATE, now + timedelta(days=days)


def _name_if_possible(text: str) -> tuple[x509.GeneralName, ...]:
    try:
        return (general_name(text),)
    except ConfigError:
        return ()


def _serial_number(item: Issued | x509.Certificate | int) -> int:
    if isinstance(item, int):
        return item
    return item.certificate.serial_number if isinstance(item, Issued) else item.serial_number
