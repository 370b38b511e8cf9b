"""The cast of the fault cases: CAs, and healthy leaves to change one thing in, as the table in `faults` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from handfast.crypto import new_keys
from handfast.pki.authority import CertificateAuthority
from handfast.pki.directory import issued_files
from handfast.pki.general_names import general_name
from handfast.pki.issued import Issued, certificate_der, certificate_pem
from handfast.pki.template import CLIENT_AUTH, LEAF_USAGE, SERVER_AUTH, Template, sign, subject_name

if TYPE_CHECKING:
    from cryptography import x509

    from handfast.crypto.signatures import PrivateKey

_DAY = timedelta(days=1)
_CA_DAYS = 455


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultNames:
    """The names in the certificates. They must differ from each other, and ``host`` be outside ``permitted_domain``."""

    organization: str = "lab"
    ca: str = "Lab Root CA"
    other_ca: str = "Other Root CA"
    intermediate: str = "Lab Intermediate"
    host: str = "localhost"
    address: str = "127.0.0.1"
    other_host: str = "api.example.com"
    permitted_domain: str = "corp.example"
    client: str = "alice"
    client_uri: str = "spiffe://lab.example/alice"
    email: str = "alice@lab.example"
    key_password: bytes = field(default=b"correct horse", repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultSet:
    """All that is needed to try a case.

    Attributes:
        host: what the client connects to.
        roots: what both sides trust, DER.
        intermediate: the CA that a side failed to send, DER, for who may know it otherwise; None where none is missing.
        server, client: what each side has; ``client`` is None if it has nothing. Where files are what is broken, these
            are what the files were made from.
        crl: the list that the server checks clients against, PEM, or None when it checks none.
        files: the same as files, broken ones included: ca.pem, server.pem, server.key, client.pem, client.key, crl.pem.
    """

    host: str
    roots: tuple[bytes, ...]
    intermediate: bytes | None
    server: Issued
    client: Issued | None
    crl: bytes | None
    files: Mapping[str, bytes] = field(repr=False)


class Scene:
    """The cast of one case: its CAs, and healthy leaves with whatever a row changes in them."""

    def __init__(self, names: FaultNames, now: datetime) -> None:
        self.names = names
        self.now = now

    def root(self, name: str) -> CertificateAuthority:
        # Older and younger than every leaf here, so that only a leaf's dates can be at fault.
        start = self.now - 90 * _DAY
        return CertificateAuthority.create(name, organization=self.names.organization, days=_CA_DAYS, now=start)

    @cached_property
    def ca(self) -> CertificateAuthority:
        return self.root(self.names.ca)

    @cached_property
    def intermediate(self) -> CertificateAuthority:
        return self.ca.intermediate(self.names.intermediate, days=_CA_DAYS)

    def other_ca(self) -> CertificateAuthority:
        return self.root(self.names.other_ca)

    def twin_ca(self) -> CertificateAuthority:
        """A root with the name of the trusted one and a key of its own."""
        return self.root(self.names.ca)

    def constrained_ca(self) -> CertificateAuthority:
        return self.ca.intermediate(self.names.intermediate, days=_CA_DAYS, constrain=(self.names.permitted_domain,))

    def leaf_as_ca(self) -> CertificateAuthority:
        """Somebody with a good leaf certificate who signs with it as if it were a CA's."""
        template = self.leaf(self.names.intermediate)
        certificate = self.ca.sign(template)
        return CertificateAuthority(certificate, template.private_key, chain=(certificate,))

    def leaf(self, common_name: str) -> Template:
        return Template(
            subject=subject_name(self.names.organization, common_name),
            key=new_keys.generate_private_key("ecdsa-p256"),
            not_before=self.now - 30 * _DAY,
            not_after=self.now + 300 * _DAY,
            key_usage=LEAF_USAGE,
        )

    def server_template(self) -> Template:
        names = general_names(self.names.host, self.names.address)
        return replace(self.leaf(self.names.host), names=names, extended_key_usage=(SERVER_AUTH,))

    def client_template(self) -> Template:
        # Without subjectAltName, like most client certificates of private CAs.
        return replace(self.leaf(self.names.client), extended_key_usage=(CLIENT_AUTH,))

    def server(self, issuer: CertificateAuthority | None = None, **changes: Any) -> Issued:
        return (issuer or self.ca).issue(replace(self.server_template(), **changes))

    def client(self, issuer: CertificateAuthority | None = None, **changes: Any) -> Issued:
        return (issuer or self.ca).issue(replace(self.client_template(), **changes))

    def expired(self) -> dict[str, Any]:
        return {"not_before": self.now - 60 * _DAY, "not_after": self.now - 2 * _DAY}

    def future(self) -> dict[str, Any]:
        return {"not_before": self.now + 20 * _DAY}

    def crl(self, *revoked: Issued) -> bytes:
        last_update, next_update = self.now - _DAY, self.now + 30 * _DAY
        return self.ca.crl(revoked, last_update=last_update, next_update=next_update)

    def stale_crl(self) -> bytes:
        return self.ca.crl(last_update=self.now - 20 * _DAY, next_update=self.now - _DAY)

    def case(
        self,
        *,
        host: str | None = None,
        server: Issued | None = None,
        client: Issued | None = None,
        without_client: bool = False,
        crl: bytes | None = None,
        with_intermediate: bool = False,
        files: Mapping[str, bytes] | None = None,
    ) -> FaultSet:
        """A healthy pair where nothing else is given; ``files`` replace those that belong to it."""
        server = server or self.server()
        client = None if without_client else client or self.client()
        intermediate = self.intermediate.certificate if with_intermediate else None
        contents = {"ca.pem": self.ca.certificate_pem} | issued_files("server", server)
        contents |= issued_files("client", client) if client else {}
        contents |= {"crl.pem": crl} if crl else {}
        contents |= {"intermediate.pem": certificate_pem(intermediate)} if intermediate else {}
        return FaultSet(
            host=host or self.names.host,
            roots=(self.ca.certificate_der,),
            intermediate=certificate_der(intermediate) if intermediate else None,
            server=server,
            client=client,
            crl=crl,
            files=MappingProxyType(contents | dict(files or {})),
        )


def general_names(*names: str) -> tuple[x509.GeneralName, ...]:
    """The subjectAltName entries for these strings."""
    return tuple(map(general_name, names))


def weak_key() -> PrivateKey:
    """An RSA key of 1024 bits."""
    return new_keys.generate_private_key("rsa-1024")


def self_signed(template: Template) -> Issued:
    """A leaf that signs itself."""
    key = template.private_key
    return Issued((certificate_der(sign(template, template.subject, key)),), key)


def leaf_only(issued: Issued) -> Issued:
    """The certificate without its intermediates."""
    return Issued(issued.chain[:1], issued.key)


def wrong_order(issued: Issued) -> Issued:
    """The chain with the leaf last."""
    return Issued(issued.chain[::-1], issued.key)


def with_other_key(issued: Issued) -> Issued:
    """The certificate with a key that is not its own."""
    return Issued(issued.chain, new_keys.generate_private_key("ecdsa-p256"))
