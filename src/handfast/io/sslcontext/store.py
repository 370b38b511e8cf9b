"""A context's trust store: whose certificates it accepts, and the revocation lists that it was given."""

from __future__ import annotations

import errno
import os
import ssl
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from handfast import der, limits
from handfast.errors import ConfigError
from handfast.files import setuid
from handfast.io.sslcontext.directories import Directories, Found, blocks
from handfast.io.sslcontext.errors import explained, pem_lib, ssl_error
from handfast.io.sslcontext.peercert import decoded
from handfast.trust.revocation.crl_store import Crls
from handfast.trust.roots import Roots

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handfast.credentials.credentials import Credentials


class Trusted(NamedTuple):
    """What a store held at one moment: certificates and revocation lists, and directories of both."""

    certificates: dict[bytes, str]
    lists: tuple[bytes, ...]
    directories: Directories

    def roots(self, found: tuple[Found, ...]) -> Roots:
        """All that is trusted where this was found in the directories."""
        files = dict(self.certificates)
        for one in found:
            if one.certificate:
                files.setdefault(one.encoded, one.file)
        return Roots(tuple(files), "the context's store", files)

    def crls(self, found: tuple[Found, ...]) -> Crls:
        """All revocation lists, likewise; ConfigError bad_crl."""
        lists = dict.fromkeys((*self.lists, *(one.encoded for one in found if not one.certificate)))
        return Crls.from_der(lists, "the context's store")


class Store:
    """Certificates as DER in the order in which they came, and what is looked for in directories."""

    def __init__(self) -> None:
        self.frozen = False
        self.generation = 0
        self._certificates: dict[bytes, str] = {}
        self._crls: dict[bytes, str] = {}
        self._directories = Directories()
        self._seen_in_directories: set[bytes] = set()

    def load(self, cafile: object, capath: object, cadata: object) -> None:
        """As ``load_verify_locations``."""
        if cafile is None and capath is None and cadata is None:
            raise TypeError("cafile, capath and cadata cannot be all omitted")
        file = None if cafile is None else _path(cafile, "cafile")
        directory = None if capath is None else _path(capath, "capath")
        given = () if cadata is None else _from_data(cadata)
        blocks = [] if file is None else _from_file(file)
        self._change()
        self._certificates.update(dict.fromkeys(given, "cadata"))
        for certificate, encoded in blocks:
            (self._certificates if certificate else self._crls).setdefault(encoded, str(file))
        if directory is not None:
            self._directories = Directories((*self._directories.names, directory))

    def add(self, roots: Roots) -> None:
        """Trust all of ``roots``."""
        self._change()
        for certificate in roots.certificates:
            self._certificates.setdefault(certificate, roots.file_of(certificate))

    def load_defaults(self) -> None:
        """As ``set_default_verify_paths``: $SSL_CERT_FILE and $SSL_CERT_DIR, which do not count when setuid, else the
        system's store."""
        self._change()
        environ = {} if setuid() else os.environ
        file, directories = environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR")
        if directories:
            self._directories = Directories((*self._directories.names, *directories.split(os.pathsep)))
        try:
            if file:
                self.add(Roots.from_file(file))
            elif not directories:
                self.add(Roots.system())
        except ConfigError:
            return

    def _change(self) -> None:
        """ValueError where trust is frozen."""
        if self.frozen:
            raise ValueError(
                "the trust of this context is frozen: somebody, often a library, adds roots to it after freeze_trust()"
            )
        self.generation += 1

    def trusted(self) -> Trusted:
        """All that is trusted, as it is now."""
        return Trusted(dict(self._certificates), tuple(self._crls), self._directories)

    def completed(self, loaded: Iterable[Credentials]) -> tuple[Credentials, ...]:
        """Credentials whose chain is a leaf alone get the issuers that the store holds, as OpenSSL sends them."""
        issuers = {der.certificate_fields(one).subject: one for one in self._certificates}
        return tuple(_with_issuers(one, issuers) for one in loaded)

    def note_path(self, path: tuple[bytes, ...]) -> None:
        """Remember which certificates of directories were needed: OpenSSL's store holds those it looked up."""
        if self._directories.names:
            self._seen_in_directories.update(one for one in path if one not in self._certificates)

    def _shown(self) -> list[bytes]:
        if not self._seen_in_directories:
            return list(self._certificates)
        found = [one.encoded for one in self._directories.found() if one.certificate]
        return [*self._certificates, *(one for one in dict.fromkeys(found) if one in self._seen_in_directories)]

    def ca_certs(self, binary_form: bool) -> list[Any]:
        """As ``get_ca_certs``."""
        cas = [one for one in self._shown() if is_ca(one)]
        return cas if binary_form else [decoded(one) for one in cas]

    def stats(self) -> dict[str, int]:
        """As ``cert_store_stats``."""
        shown = self._shown()
        return {"x509": len(shown), "crl": len(self._crls), "x509_ca": sum(map(is_ca, shown))}


def _with_issuers(credentials: Credentials, issuers: dict[bytes, bytes]) -> Credentials:
    chain = list(credentials.chain)
    while len(credentials.chain) == 1 and len(chain) < limits.MAX_PRESENTED_CERTIFICATES:
        above = issuers.get(der.certificate_fields(chain[-1]).issuer)
        if above is None or above in chain:
            break
        chain.append(above)
    return credentials if len(chain) == len(credentials.chain) else replace(credentials, chain=tuple(chain))


def is_ca(encoded: bytes) -> bool:
    """Whether a certificate is a CA's, as OpenSSL counts them: one of version 1 that signs itself is one too."""
    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(encoded)
        extensions = certificate.extensions
    except ValueError:
        return False
    try:
        return bool(extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return certificate.version is x509.Version.v1 and certificate.subject == certificate.issuer


def _path(value: object, name: str) -> str:
    try:
        return os.fsdecode(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} should be a valid filesystem path") from None


def _from_file(path: str) -> list[tuple[bool, bytes]]:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror) from None
    try:
        found = blocks(data)
    except ValueError:
        raise pem_lib() from None
    if not found:
        raise ssl_error("NO_CERTIFICATE_OR_CRL_FOUND", library="X509", number=136)
    return found


def _from_data(cadata: object) -> tuple[bytes, ...]:
    """The certificates of ``cadata``: PEM in text, or DER in bytes, one after the other."""
    if isinstance(cadata, str):
        try:
            encoded = cadata.encode("ascii")
        except UnicodeEncodeError:
            raise TypeError("cadata should be an ASCII string or a bytes-like object") from None
        try:
            found = tuple(one for certificate, one in blocks(encoded) if certificate)
        except ValueError:
            raise ssl.SSLError(0, "no start line: cadata does not contain a certificate") from None
        if not found:
            raise ssl.SSLError(0, "no start line: cadata does not contain a certificate")
        return found
    if not isinstance(cadata, bytes | bytearray | memoryview):
        raise TypeError("cadata should be an ASCII string or a bytes-like object")
    data = bytes(cadata)
    if not data:
        raise ValueError("Empty certificate data")
    try:
        roots = Roots.from_der([one.encoded for one in der.elements(data)], "cadata")
    except ValueError:
        raise ssl.SSLError(0, "not enough data: cadata does not contain a certificate") from None
    except ConfigError as error:
        raise explained(ssl.SSLError(0, "not enough data: cadata does not contain a certificate"), error) from error
    return roots.certificates
