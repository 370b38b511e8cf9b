"""Roots: the certificates that trust starts from, and where they came from."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from handfast import der
from handfast.crypto.pkcs12 import is_pkcs12
from handfast.errors import ConfigError
from handfast.files import setuid
from handfast.text import escape
from handfast.x509 import loading as files
from handfast.x509 import pem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SYSTEM = "the system's store"
# Where Linux distributions and the BSDs keep all their roots in one file, should OpenSSL's own paths be empty.
_SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True)
class RootsSource:
    """One place that roots came from.

    Attributes:
        name: what named it: "$SSL_CERT_FILE" or another variable, "the system's store", "" for the calling program.
        path: the file or directory as it was named; "" where the roots are of no file.
        count: how many different roots it held.
    """

    name: str
    path: str
    count: int


@dataclass(frozen=True)
class Roots:
    """Trusted certificates. Whatever is in here is trusted to issue for any name and purpose.

    Attributes:
        certificates: each as DER, without repetitions, in the order found.
        origin: where they came from, for people: a path, a variable with its path, "the system's store".
        files: the file of each that came from one of several.
        sources: the same places as data, in the order in which they were read.
    """

    certificates: tuple[bytes, ...] = field(repr=False)
    origin: str
    files: Mapping[bytes, str] = field(default_factory=dict, repr=False, compare=False)
    sources: tuple[RootsSource, ...] = field(default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.sources:
            object.__setattr__(self, "sources", (RootsSource("", "", len(self)),))

    @classmethod
    def from_der(cls, certificates: Iterable[bytes], origin: str = "given certificates") -> Roots:
        """Roots from DER certificates; ConfigError bad_certificate when one has not the shape of a certificate."""
        return cls(tuple(dict.fromkeys(files.checked(certificates, origin))), origin)

    @classmethod
    def from_pem(cls, data: bytes, origin: str = "given PEM") -> Roots:
        """Roots from PEM text; ConfigError no_certificate, bad_certificate, der_as_pem."""
        found = files.certificates(data, origin)
        if not found and is_pkcs12(data):
            advice = f"take the certificates out of it: openssl pkcs12 -in {origin} -nokeys -out NEW.pem"
            raise ConfigError("no_certificate", path=origin, found="it is PKCS#12, not PEM", advice=advice)
        if not found and pem.looks_like_der(data):
            raise ConfigError("der_as_pem", path=origin, command="x509")
        if not found:
            raise files.no_certificate(data, origin)
        return cls(tuple(dict.fromkeys(found)), origin)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], origin: str = "") -> Roots:
        """Roots from a PEM file; ConfigError as in ``from_pem``, and file_missing, file_unreadable."""
        shown = origin or escape(str(path))
        return cls.from_pem(files.read(path, shown), shown)._from("", path)

    @classmethod
    def from_directory(cls, path: str | os.PathLike[str], origin: str = "") -> Roots:
        """Roots from every file of a directory that holds PEM certificates; other files are passed over.

        ConfigError file_missing, file_unreadable, bad_certificate, and no_certificate when no file holds any.
        """
        shown = origin or escape(str(path))
        named = ((files.read(entry), escape(str(entry))) for entry in files.entries(path, shown))
        found: dict[bytes, str] = {}
        for data, name in named:
            for certificate in files.certificates(data, name):
                found.setdefault(certificate, name)
        if not found:
            advice = "put CA certificates in PEM into it"
            raise ConfigError("no_certificate", path=shown, found="no file of this directory does", advice=advice)
        return cls(tuple(found), shown, found)._from("", path)

    @classmethod
    def from_path(cls, path: str | os.PathLike[str], origin: str = "") -> Roots:
        """Roots from a PEM file or from a directory of them, whichever ``path`` is."""
        return cls.from_directory(path, origin) if Path(path).is_dir() else cls.from_file(path, origin)

    def _from(self, name: str, path: str | os.PathLike[str]) -> Roots:
        return replace(self, sources=(RootsSource(name, os.fspath(path), len(self)),))

    @classmethod
    def system(cls) -> Roots:
        """The system's store; empty when it cannot be found, and then nothing verifies."""
        for path in _system_paths():
            try:
                return cls.from_path(path, f"{_SYSTEM} {path}")._from(_SYSTEM, path)
            except ConfigError:
                continue
        return cls(_windows_roots(), _SYSTEM)._from(_SYSTEM, "")

    @classmethod
    def default(cls, environ: Mapping[str, str] | None = None) -> Roots:
        """The roots to use when none are named: from the environment, else the system's.

        The first that is set wins: $SSL_CERT_FILE and $SSL_CERT_DIR (together), $REQUESTS_CA_BUNDLE, $CURL_CA_BUNDLE. A
        variable that names an unusable file is a ConfigError, never passed over. Without ``environ`` the process's own
        counts, unless that has another user's rights.
        """
        if environ is None:
            environ = {} if setuid() else os.environ
        named = [("SSL_CERT_FILE", environ.get("SSL_CERT_FILE", ""))]
        directories = environ.get("SSL_CERT_DIR", "").split(os.pathsep)
        named += [("SSL_CERT_DIR", directory) for directory in directories]
        if parts := [cls._named(variable, path) for variable, path in named if path]:
            found = {one: part.file_of(one) for part in reversed(parts) for one in part.certificates}
            certificates = dict.fromkeys(one for part in parts for one in part.certificates)
            sources = tuple(one for part in parts for one in part.sources)
            return cls(tuple(certificates), " and ".join(part.origin for part in parts), found, sources)
        for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            if path := environ.get(variable, ""):
                return cls._named(variable, path)
        return cls.system()

    @classmethod
    def _named(cls, variable: str, path: str) -> Roots:
        return cls.from_path(path, f"${variable}={escape(path)}")._from(f"${variable}", path)

    def __len__(self) -> int:
        return len(self.certificates)

    @property
    def source(self) -> str:
        """Where the roots came from and how many there are: "ca.pem (1 root)"."""
        return f"{self.origin} ({len(self)} root{'' if len(self) == 1 else 's'})"

    def file_of(self, certificate: bytes) -> str:
        """Where one of them came from, as narrowly as is known."""
        return self.files.get(certificate, self.origin)

    def names(self) -> tuple[bytes, ...]:
        """The subject names as DER, each once, for CertificateRequest. RFC 9846 4.3.4."""
        return tuple(dict.fromkeys(der.certificate_fields(one).subject for one in self.certificates))


def _system_paths() -> list[str]:
    """Bundles before directories: one file read instead of some hundred."""
    import ssl

    paths = ssl.get_default_verify_paths()
    candidates = (paths.openssl_cafile, *_SYSTEM_BUNDLES, paths.openssl_capath)
    return [path for path in candidates if path and Path(path).exists()]


def _windows_roots() -> tuple[bytes, ...]:
    import ssl

    entries = getattr(ssl, "enum_certificates", lambda _: ())("ROOT")
    return tuple(dict.fromkeys(data for data, encoding, _ in entries if encoding == "x509_asn"))
