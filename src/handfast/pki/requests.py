"""Certificate requests, PKCS#10 (RFC 2986): made here for somebody else's CA, and read here for ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from handfast import file_contents
from handfast.crypto import new_keys
from handfast.crypto.signatures import UnusableKey, describe_public_key
from handfast.errors import ApiMisuse, ConfigError
from handfast.limits import MIN_RSA_BITS
from handfast.pki.general_names import general_name, name_if_possible
from handfast.pki.subject import require_common_name, with_common_name
from handfast.pki.template import CLIENT_AUTH, LEAF_USAGE, SERVER_AUTH, key_usage, subject_name
from handfast.text import escape

if TYPE_CHECKING:
    from handfast.crypto.signatures import PrivateKey

_BEGIN = b"-----BEGIN "
_LABELS = (b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST")
_AGAIN = "make it again, as with openssl req -new"


@dataclass(frozen=True, slots=True, repr=False)
class CertificateRequest:
    """A request with the key that it was made with, which stays here."""

    request: x509.CertificateSigningRequest
    key: PrivateKey

    def __repr__(self) -> str:
        return f"<CertificateRequest {self.request.subject.rfc4514_string()}>"

    @property
    def csr_pem(self) -> bytes:
        """The request as PEM."""
        return self.request.public_bytes(new_keys.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key as PKCS#8 PEM, not encrypted."""
        return new_keys.private_key_pem(self.key)

    def encrypted_key_pem(self, password: bytes) -> bytes:
        """The key as PKCS#8 PEM, encrypted with the password."""
        return new_keys.private_key_pem(self.key, password)


def server_request(
    *names: str, key: str = new_keys.DEFAULT_KEY, subject: x509.Name | None = None
) -> CertificateRequest:
    """A request for a server's certificate for these names, with a new key; see `CertificateAuthority.server`."""
    if not names:
        raise ApiMisuse("bad_argument", reason="a server certificate needs at least one name")
    return _request(names[0], tuple(map(general_name, names)), SERVER_AUTH, key, subject)


def client_request(
    name: str, *names: str, key: str = new_keys.DEFAULT_KEY, subject: x509.Name | None = None
) -> CertificateRequest:
    """A request for a client's certificate, with a new key; see `CertificateAuthority.client`."""
    general_names = tuple(map(general_name, names)) or name_if_possible(name)
    made = _request(name, general_names, CLIENT_AUTH, key, subject)
    if names or not general_names:
        require_common_name(made.request.subject, name)
    return made


def _request(
    name: str,
    names: tuple[x509.GeneralName, ...],
    purpose: x509.ObjectIdentifier,
    kind: str,
    subject: x509.Name | None,
) -> CertificateRequest:
    key = new_keys.new_key(kind)
    builder = x509.CertificateSigningRequestBuilder(
        with_common_name(subject, name) if subject is not None else subject_name("", name)
    )
    builder = builder.add_extension(key_usage(LEAF_USAGE), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return CertificateRequest(builder.sign(key, new_keys.signature_hash(key)), key)


def load_request(data: bytes, *, path: str) -> x509.CertificateSigningRequest:
    """The request in ``data``, PEM or DER, the contents of the file ``path``, if its key signed it.

    Raises ConfigError bad_request, unsupported_key, weak_key.
    """
    parse = x509.load_pem_x509_csr if _BEGIN in data else x509.load_der_x509_csr
    if _BEGIN in data and not any(_BEGIN + label in data for label in _LABELS):
        found = file_contents.instead_of_request(data, path)
        raise ConfigError("bad_request", path=path, reason=found.what, advice=found.advice)
    try:
        request = parse(data)
        key = request.public_key()
        signed = request.is_signature_valid
        names = requested_names(request)
    except UnsupportedAlgorithm:
        raise ConfigError("unsupported_key", path=path, reason="the request's key is of an unknown kind") from None
    except Exception:  # noqa: BLE001 (the parser raises errors of many kinds)
        found = file_contents.instead_of_request(data, path)
        raise ConfigError("bad_request", path=path, reason=found.what, advice=found.advice) from None
    if not signed:
        raise ConfigError("bad_request", path=path, reason="its key did not sign it", advice=_AGAIN)
    for name in names:
        if not _is_known(name):
            reason = f"it asks for the name {escape(str(name.value))}"
            advice = "have it ask for DNS names, IP addresses, URIs and e-mail addresses, or give the names here"
            raise ConfigError("bad_request", path=path, reason=reason, advice=advice)
    _check_key(key, path)
    return request


def _is_known(name: x509.GeneralName) -> bool:
    try:
        return type(general_name(str(name.value))) is type(name)
    except ConfigError:
        return False


def _check_key(key: object, path: str) -> None:
    if new_keys.is_ml_dsa(key):
        return
    try:
        public = describe_public_key(key)
    except UnusableKey as error:
        raise ConfigError("unsupported_key", path=path, reason=str(error)) from None
    if public.kind == "RSA" and public.bits < MIN_RSA_BITS:
        raise ConfigError("weak_key", path=path, reason=f"{public.name} is too small to be safe")


def requested_names(request: x509.CertificateSigningRequest) -> tuple[x509.GeneralName, ...]:
    """The subjectAltName that is asked for."""
    try:
        return tuple(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return ()


def requested_purpose(request: x509.CertificateSigningRequest) -> str | None:
    """What the certificate is to be for: "ca", "server" or "client"; None if the request leaves that open.

    Its extendedKeyUsage says it if one of the two is in there. Otherwise a host name or an address is a server's, and a
    URI or an e-mail address a client's.
    """
    extensions = request.extensions
    try:
        if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return "ca"
    except x509.ExtensionNotFound:
        pass
    try:
        asked = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) & {SERVER_AUTH, CLIENT_AUTH}
    except x509.ExtensionNotFound:
        asked = set()
    if asked:
        return None if len(asked) == 2 else "server" if SERVER_AUTH in asked else "client"
    names = requested_names(request)
    if any(isinstance(name, (x509.DNSName, x509.IPAddress)) for name in names):
        return "server"
    return "client" if names else None
