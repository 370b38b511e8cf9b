"""A certificate authority of one's own: roots, intermediates, server and client certificates, revocation lists,
OCSP responses.

What it makes passes `openssl verify -x509_strict`, Python 3.13's strict mode and the default policy of `cryptography`:
critical basicConstraints and keyUsage, key identifiers on both ends, one purpose per leaf. A server certificate is for
serverAuth alone and a client certificate for clientAuth alone, so neither can stand in for the other when it is stolen.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import NameOID

from handfast import file_contents
from handfast.crypto import new_keys
from handfast.crypto.new_keys import DEFAULT_KEY, new_key
from handfast.crypto.private_keys import load_signing_key
from handfast.errors import ApiMisuse, ConfigError, bad_option
from handfast.pki import constraints, requests, revocation
from handfast.pki.general_names import general_name, name_if_possible
from handfast.pki.issued import CertificateChain, Issued, certificate_der, certificate_pem
from handfast.pki.revocation import CRL_DAYS, OCSP_DAYS, OcspStatus, Revocable
from handfast.pki.subject import common_name, parse_subject, require_common_name, with_common_name
from handfast.pki.template import (
    BACKDATE,
    CLIENT_AUTH,
    LEAF_USAGE,
    OCSP_SIGNING,
    SERVER_AUTH,
    Template,
    sign,
    subject_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handfast.crypto.private_keys import Password
    from handfast.crypto.signatures import PrivateKey

__all__ = ["BACKDATE", "CA_DAYS", "DEFAULT_KEY", "LEAF_DAYS", "CertificateAuthority", "CertificateChain", "Issued"]
__all__ += ["Purpose", "certificate_der", "certificate_pem"]

Purpose: TypeAlias = Literal["server", "client", "ca"]

# A private CA gets into trust stores and is forgotten there: a year bounds that, and outlives four rounds of leaves.
CA_DAYS = 365
# What the large ACME issuers made usual: a project is not disturbed weekly, and renewal does not become an emergency
# whose handling was forgotten. There is little use in more, as a leaf is remade with one command.
LEAF_DAYS = 90

CA_USAGE = frozenset({"key_cert_sign", "crl_sign"})


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
        name: str | None = None,
        *,
        organization: str = "handfast",
        subject: str | None = None,
        key: str = DEFAULT_KEY,
        days: float = CA_DAYS,
        until: datetime | None = None,
        path_length: int | None = None,
        constrain: tuple[str, ...] = (),
        now: datetime | None = None,
    ) -> Self:
        """A new root. Without a ``name`` it gets one that no other has: "handfast CA" and a random number.

        ``subject``, as in "O=Example,OU=Payments", stands in place of ``organization``. ``constrain`` are the names
        that certificates below it may have, and no others: see `constraints.name_constraints`.
        """
        private_key = new_key(key)
        not_before, not_after = _validity(now, days, until)
        name = name or f"handfast CA {secrets.token_hex(3)}"
        template = Template(
            subject=subject_name(organization, name) if subject is None else _subject(subject, name),
            key=private_key,
            not_before=not_before,
            not_after=not_after,
            key_usage=CA_USAGE,
            is_ca=True,
            path_length=path_length,
            name_constraints=constraints.name_constraints(constrain),
            authority_key_identifier=False,
        )
        require_common_name(template.subject, name)
        return cls(sign(template, template.subject, private_key), private_key, now=now)

    @classmethod
    def load(
        cls,
        certificates: bytes,
        key: bytes,
        *,
        path: str,
        key_path: str,
        password: Password | None = None,
        now: datetime | None = None,
    ) -> Self:
        """A CA from PEM: its certificate, for an intermediate followed by those above it, and its key.

        ``path`` and ``key_path`` are what errors call the two: ConfigError no_certificate, bad_certificate,
        key_mismatch, not_a_ca and those of `load_signing_key`. ``now`` is as for the class.
        """
        try:
            chain = tuple(x509.load_pem_x509_certificates(certificates))
        except ValueError as error:
            if b"BEGIN CERTIFICATE-----" in certificates:
                raise ConfigError("bad_certificate", path=path, reason=error) from None
            found = file_contents.instead_of_certificate(certificates, path)
            raise ConfigError("no_certificate", path=path, found=found.what, advice=found.advice) from None
        private_key = load_signing_key(key, path=key_path, password=password)
        if private_key.public_key() != chain[0].public_key():
            raise ConfigError("key_mismatch", cert=path, key=key_path)
        if not _may_sign_certificates(chain[0]):
            raise ConfigError("not_a_ca", path=path)
        return cls(chain[0], private_key, chain=tuple(ca for ca in chain if ca.subject != ca.issuer), now=now)

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
        until: datetime | None = None,
        subject: str | None = None,
        path_length: int | None = 0,
        constrain: tuple[str, ...] = (),
    ) -> CertificateAuthority:
        """A CA below this one. ``path_length`` 0: it signs leaves and no further CAs."""
        template = self._as_ca(self._template(name, new_key(key), days, until, subject), path_length)
        require_common_name(template.subject, name)
        # Those of the CA above hold anyway; repeated, they are known to who has this certificate alone.
        bounds = constraints.name_constraints(constrain) or constraints.of(self.certificate)
        template = replace(template, name_constraints=bounds)
        certificate = self.sign(template)
        chain = (certificate, *self.chain)
        return CertificateAuthority(certificate, template.private_key, chain=chain, now=self._now)

    def server(
        self,
        *names: str,
        key: str = DEFAULT_KEY,
        days: float = LEAF_DAYS,
        until: datetime | None = None,
        subject: str | None = None,
    ) -> Issued:
        """A server certificate for these names: DNS names (wildcards too), IP addresses, URIs, e-mail addresses.

        It ends in ``days``, or at ``until`` if that is given, and no later than its CA. ``subject``, as in
        "O=Example,OU=Payments", stands in place of the CA's organization; without a CN in it the first name is the CN.
        """
        if not names:
            raise ApiMisuse("bad_argument", reason="a server certificate needs at least one name")
        return self.issue(self.server_template(*names, key=key, days=days, until=until, subject=subject))

    def client(
        self,
        name: str,
        *names: str,
        key: str = DEFAULT_KEY,
        days: float = LEAF_DAYS,
        until: datetime | None = None,
        subject: str | None = None,
    ) -> Issued:
        """A client certificate: ``name`` is the CN, ``names`` go into subjectAltName; without any, ``name`` does if it
        is a name such an extension can hold ("alice" or "alice@example.com"; not "Alice Smith") and the CA's
        constraints permit it. The rest is as in `server`."""
        return self.issue(self.client_template(name, *names, key=key, days=days, until=until, subject=subject))

    def server_template(
        self,
        *names: str,
        key: str = DEFAULT_KEY,
        days: float = LEAF_DAYS,
        until: datetime | None = None,
        subject: str | None = None,
    ) -> Template:
        """What `server` signs, for who wants to change something in it first."""
        general_names = tuple(map(general_name, names))
        # Where no DNS name is in subjectAltName, OpenSSL holds the constraints against a CN that reads like one.
        spoken = constraints.violated((self.certificate, *self.chain), constraints.host_in_cn(names[0])) is None
        template = self._template(names[0] if spoken else "", new_key(key), days, until, subject)
        return _for_server(replace(template, names=general_names))

    def client_template(
        self,
        name: str,
        *names: str,
        key: str = DEFAULT_KEY,
        days: float = LEAF_DAYS,
        until: datetime | None = None,
        subject: str | None = None,
    ) -> Template:
        """What `client` signs, for who wants to change something in it first."""
        general_names = tuple(map(general_name, names)) or self._permitted(name_if_possible(name))
        template = self._template(name, new_key(key), days, until, subject)
        if names or not general_names:
            require_common_name(template.subject, name)
        return replace(template, names=general_names, extended_key_usage=(CLIENT_AUTH,))

    def sign_request(
        self,
        request: bytes,
        *names: str,
        purpose: Purpose | None = None,
        days: float | None = None,
        until: datetime | None = None,
        subject: str | None = None,
        path: str = "the request",
    ) -> CertificateChain:
        """The certificate that a request, PKCS#10 in PEM or DER, asks for.

        Subject and subjectAltName are the request's unless ``subject`` or ``names`` are given. ``purpose`` is the
        request's too unless it is given; for a CA it must be. Of what else is asked for, nothing is granted. ``path``
        is what errors call the request: ConfigError bad_request, weak_key, unsupported_key, bad_option.
        """
        wanted = requests.load_request(request, path=path)
        asked = requests.requested_purpose(wanted)
        role = purpose or asked
        if role is None or (role == "ca" and purpose is None):
            raise ConfigError(
                "bad_request",
                path=path,
                reason="it asks for the certificate of a CA" if role else "it does not say what for",
                advice="say as what the certificate is wanted: server, client or ca",
            )
        template = self._requested(wanted, names, subject, CA_DAYS if role == "ca" else LEAF_DAYS, days, until)
        if role == "ca":
            template = replace(self._as_ca(template, 0), names=())
        else:
            template = (
                _for_server(template) if role == "server" else replace(template, extended_key_usage=(CLIENT_AUTH,))
            )
        if role == "server" and not template.names:
            advice = "give the names that clients will connect to"
            raise ConfigError("bad_request", path=path, reason="a server's has no name in it", advice=advice)
        return CertificateChain(tuple(map(certificate_der, (self.sign(template), *self.chain))))

    def _requested(
        self,
        wanted: x509.CertificateSigningRequest,
        names: tuple[str, ...],
        subject: str | None,
        usual_days: float,
        days: float | None,
        until: datetime | None,
    ) -> Template:
        not_before, not_after = _validity(self._now, usual_days if days is None else days, until)
        general_names = tuple(map(general_name, names)) or requests.requested_names(wanted)
        granted = wanted.subject if subject is None else parse_subject(subject)
        self.check_names(general_names, granted)
        return Template(
            subject=granted,
            public_key=wanted.public_key(),
            not_before=not_before,
            not_after=min(not_after, self.certificate.not_valid_after_utc),
            key_usage=LEAF_USAGE,
            names=general_names,
        )

    def check_names(self, names: tuple[x509.GeneralName, ...], subject: x509.Name | None = None) -> None:
        """ConfigError(bad_option) if a name is not within the constraints of this CA and of those above it.

        A CN of the ``subject`` that reads like a host name counts where no DNS name is among the others.
        """
        if subject is not None and not any(isinstance(name, x509.DNSName) for name in names):
            names = (*names, *constraints.host_in_cn(common_name(subject)))
        wrong = constraints.violated((self.certificate, *self.chain), names)
        if wrong is not None:
            advice = "use a name within the constraints of this CA, or another CA"
            reason = f"{common_name(self.certificate.subject)} may not vouch for it"
            raise bad_option(f"name {wrong.value}", reason, advice)

    def _permitted(self, names: tuple[x509.GeneralName, ...]) -> tuple[x509.GeneralName, ...]:
        return names if constraints.violated((self.certificate, *self.chain), names) is None else ()

    def _as_ca(self, template: Template, path_length: int | None) -> Template:
        return replace(template, key_usage=CA_USAGE, is_ca=True, path_length=self._path_length_below(path_length))

    def issue(self, template: Template) -> Issued:
        """The template's certificate, signed by this CA, with the chain that belongs to it."""
        return Issued(tuple(map(certificate_der, (self.sign(template), *self.chain))), template.private_key)

    def sign(self, template: Template) -> x509.Certificate:
        """The template's certificate alone."""
        return sign(template, self.certificate.subject, self.key)

    def crl(
        self,
        revoked: Iterable[Revocable] = (),
        *,
        days: float = CRL_DAYS,
        next_update: datetime | None = None,
        last_update: datetime | None = None,
        previous: bytes | None = None,
        reason: x509.ReasonFlags | None = None,
    ) -> bytes:
        """A revocation list as PEM. ``revoked``: certificates or serial numbers, revoked as of now for the ``reason``;
        the entries of the ``previous`` list (PEM) stay on it, and its number grows. It is valid from ``last_update``
        (now, a little backdated) to ``next_update`` (in ``days``)."""
        now = self._now or datetime.now(UTC)
        return revocation.sign_crl(
            self.certificate.subject,
            self.key,
            revoked,
            previous=None if previous is None else x509.load_pem_x509_crl(previous),
            last_update=last_update or now - BACKDATE,
            next_update=next_update or now + timedelta(days=days),
            now=now,
            reason=reason,
        ).public_bytes(new_keys.PEM)

    def ocsp_responder(
        self, name: str = "OCSP responder", *, key: str = DEFAULT_KEY, days: float = LEAF_DAYS
    ) -> Issued:
        """A certificate that may sign OCSP responses in this CA's stead; itself it need not be looked up."""
        template = self._template(name, new_key(key), days)
        return self.issue(replace(template, extended_key_usage=(OCSP_SIGNING,), ocsp_no_check=True))

    def ocsp_response(
        self,
        issued: CertificateChain | x509.Certificate,
        status: OcspStatus = "good",
        *,
        days: float = OCSP_DAYS,
        this_update: datetime | None = None,
        next_update: datetime | None = None,
        reason: x509.ReasonFlags | None = None,
        revocation_time: datetime | None = None,
        responder: Issued | None = None,
    ) -> bytes:
        """What this CA says of a certificate, as a DER OCSP response for `Credentials.ocsp_response`. RFC 6960.

        It is valid from ``this_update`` (now, a little backdated; also the date of a revocation without
        ``revocation_time``) to ``next_update`` (in ``days``). A ``responder``, as from `ocsp_responder`, signs it with
        its key instead of this CA's.
        """
        return revocation.sign_ocsp_response(
            issued,
            self.certificate,
            self.key,
            status,
            this_update=this_update,
            next_update=next_update,
            days=days,
            now=self._now,
            reason=reason,
            revocation_time=revocation_time,
            responder=responder,
        )

    def _template(
        self, name: str, key: PrivateKey, days: float, until: datetime | None = None, subject: str | None = None
    ) -> Template:
        """A leaf without names and purpose. It does not outlive its CA, as no verifier would accept that time."""
        not_before, not_after = _validity(self._now, days, until)
        organization = self.certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        inherited = subject_name(str(organization[0].value) if organization else "handfast", name)
        return Template(
            subject=inherited if subject is None else _subject(subject, name),
            key=key,
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


def _subject(text: str, name: str) -> x509.Name:
    return with_common_name(parse_subject(text), name)


def _for_server(template: Template) -> Template:
    """NSS wants keyEncipherment of a server's RSA key, though nothing is encrypted to it since TLS 1.3."""
    usage = LEAF_USAGE | {"key_encipherment"} if isinstance(template.certified_key, RSAPublicKey) else LEAF_USAGE
    return replace(template, key_usage=usage, extended_key_usage=(SERVER_AUTH,))


def _may_sign_certificates(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound):
        return False


def _validity(now: datetime | None, days: float, until: datetime | None) -> tuple[datetime, datetime]:
    now = now or datetime.now(UTC)
    return now - BACKDATE, until or now + timedelta(days=days)
