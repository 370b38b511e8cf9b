"""Certificate revocation lists (CRLs): where they come from and how strictly they are applied. RFC 5280 5 and 6.3.

Lists are read whole when they are loaded: one that cannot be used is a matter for who configured it, now, and not for
the first peer that meets it. What is implemented is the complete list that a CA signs itself about its own
certificates, also where it is split by issuingDistributionPoint. ``crl`` says what is refused, ``revoked`` what becomes
of a path.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from handfast import file_contents
from handfast.errors import ConfigError
from handfast.text import escape
from handfast.x509 import loading as files
from handfast.x509 import pem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handfast.trust.revocation.crl import RevocationList

_PEM_LABEL = "X509 CRL"
_SUFFIX = ".crl"


class CrlScope(StrEnum):
    """Which certificates of a verified path are looked up: the peer's own, or also its CAs'. A root never is."""

    LEAF = "leaf"
    CHAIN = "chain"


class CrlUnknown(StrEnum):
    """What becomes of a certificate about which no list speaks."""

    REFUSE = "refuse"
    ALLOW = "allow"


class OcspPolicy(StrEnum):
    """What becomes of the OCSP response beside a leaf: nothing, it must be good if one came, or one must come."""

    IGNORE = "ignore"
    CHECK = "check"
    REQUIRE = "require"


@dataclass(frozen=True)
class Crls:
    """Revocation lists.

    Attributes:
        lists: without repetitions, in the order found.
        origin: where they came from, for people: a path, or "given lists".
    """

    lists: tuple[RevocationList, ...]
    origin: str

    @classmethod
    def from_der(cls, lists: Iterable[bytes], origin: str = "given lists") -> Crls:
        """Lists from DER; ConfigError bad_crl for one that does not parse or that handfast does not implement."""
        return cls(_read((one, origin) for one in lists), origin)

    @classmethod
    def from_pem(cls, data: bytes, origin: str = "given PEM") -> Crls:
        """Lists from PEM text; ConfigError no_crl, bad_crl, der_as_pem."""
        found = _pem_lists(data, origin)
        if not found and pem.looks_like_der(data):
            raise ConfigError("der_as_pem", path=origin, command="crl")
        if not found:
            raise _no_crl(data, origin)
        return cls.from_der(found, origin)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], origin: str = "") -> Crls:
        """Lists from a PEM file, or the one list that a DER file is, as CAs publish them.

        ConfigError no_crl, bad_crl, file_missing, file_unreadable.
        """
        shown = origin or escape(str(path))
        data = files.read(path, shown)
        return cls.from_der([data], shown) if pem.looks_like_der(data) else cls.from_pem(data, shown)

    @classmethod
    def from_directory(cls, path: str | os.PathLike[str], origin: str = "") -> Crls:
        """Lists from every file of a directory that is called ``*.crl`` or holds PEM lists; others are passed over.

        ConfigError as in ``from_file``, and no_crl also when no file holds any.
        """
        shown = origin or escape(str(path))
        found = [pair for entry in files.entries(path, shown) for pair in _lists_of_entry(entry)]
        if not found:
            advice = "put revocation lists in PEM into it"
            raise ConfigError("no_crl", path=shown, found="no file of this directory does", advice=advice)
        return cls(_read(found), shown)

    @classmethod
    def from_path(cls, path: str | os.PathLike[str], origin: str = "") -> Crls:
        """Lists from a file or from a directory, whichever ``path`` is."""
        return cls.from_directory(path, origin) if Path(path).is_dir() else cls.from_file(path, origin)

    def __len__(self) -> int:
        return len(self.lists)

    @property
    def source(self) -> str:
        """Where the lists came from and how many there are: "crl.pem (1 revocation list)"."""
        return f"{self.origin} ({len(self)} revocation list{'' if len(self) == 1 else 's'})"

    def issued_by(self, name: bytes) -> tuple[RevocationList, ...]:
        """The lists whose issuer has this DER name."""
        return self._by_issuer.get(name, ())

    @cached_property
    def _by_issuer(self) -> dict[bytes, tuple[RevocationList, ...]]:
        found: dict[bytes, tuple[RevocationList, ...]] = {}
        for one in self.lists:
            found[one.issuer] = (*found.get(one.issuer, ()), one)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationCheck:
    """What a verifier was told about revocation."""

    crls: Crls
    scope: CrlScope
    unknown: CrlUnknown


def _read(lists: Iterable[tuple[bytes, str]]) -> tuple[RevocationList, ...]:
    """Each list with the name of its file, which an error gives."""
    from handfast.trust.revocation.crl import Unusable, read

    found = []
    for encoded, name in dict(lists).items():
        try:
            found.append(read(encoded))
        except Unusable as error:
            raise ConfigError("bad_crl", path=name, reason=error) from None
    return tuple(found)


def _no_crl(data: bytes, name: str) -> ConfigError:
    found = file_contents.instead_of_crl(data, name)
    return ConfigError("no_crl", path=name, found=found.what, advice=found.advice)


def _lists_of_entry(entry: Path) -> list[tuple[bytes, str]]:
    name, data = escape(str(entry)), files.read(entry)
    must_be_one = entry.suffix == _SUFFIX
    found = [data] if must_be_one and pem.looks_like_der(data) else _pem_lists(data, name)
    if must_be_one and not found:
        raise _no_crl(data, name)
    return [(one, name) for one in found]


def _pem_lists(data: bytes, name: str) -> list[bytes]:
    try:
        return [block.der() for block in pem.blocks(data) if block.label == _PEM_LABEL]
    except ValueError as error:
        raise ConfigError("bad_crl", path=name, reason=error) from None
