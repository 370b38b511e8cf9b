"""Directories of CAs and revocation lists, as ``capath`` names them: looked up at each judgement, as OpenSSL does.

A list that revokes a client, and a CA, may be put there while connections go on. What is there is read again only where
the names, or what the file system says of the files, changed.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from handfast import der, limits
from handfast.crypto.hashes import SHA256
from handfast.verdict import Verdict, failed
from handfast.x509 import pem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from handfast.trust.presented import PresentedChain
    from handfast.trust.verifiers import PathVerifier

_CRL_LABEL = "X509 CRL"
# As ``c_rehash`` names the files of a directory: the hash of a subject, and a counter.
_HASHED = re.compile(r"[0-9a-f]{8}\.r?\d+")


class Found(NamedTuple):
    """What stands in a file of a directory: a certificate, else a revocation list, as DER."""

    certificate: bool
    encoded: bytes
    file: str


class _File(NamedTuple):
    """A file as it was read, and what the file system said of it; None where it may change without saying so."""

    status: tuple[int, ...] | None
    found: tuple[Found, ...]


class Directories:
    """Directories by their names, which stay as they are. It is safe to share between threads."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = tuple(dict.fromkeys(names))
        self._files: dict[str, dict[str, _File]] = {}
        self._found: tuple[Found, ...] = ()

    def found(self) -> tuple[Found, ...]:
        """All that they hold now; the very object of the call before if that is the same.

        A directory that cannot be read any more counts as it was last: what is new in it is not trusted.
        """
        if not self.names:
            return ()
        self._files = {name: self._read(name) for name in self.names}
        found = tuple(one for files in self._files.values() for file in files.values() for one in file.found)
        if found != self._found:
            self._found = found
        return self._found

    def _read(self, name: str) -> dict[str, _File]:
        before = self._files.get(name, {})
        try:
            statuses = _statuses(name)
        except OSError:
            return before
        return {path: _again(path, status, before.get(path)) for path, status in statuses}


def _statuses(directory: str) -> list[tuple[str, os.stat_result]]:
    """The files by their paths, links followed; OSError where the directory cannot be read."""
    found = []
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if _HASHED.fullmatch(entry.name):
                with suppress(OSError):
                    found.append((entry.path, entry.stat()))
    return found


def _again(path: str, status: os.stat_result, before: _File | None) -> _File:
    """The file as it was read, if it is the same one still."""
    told = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    if before is not None and before.status == told:
        return before
    # Two changes may get the same time, so one that is new is read again until another would get a later one.
    settled = status.st_ctime + limits.FILE_TIMES < time.time()
    return _File(told if settled else None, tuple(_found_in(path)))


def _found_in(path: str) -> Iterator[Found]:
    """What a file holds; nothing where it cannot be read or used."""
    try:
        with open(path, "rb") as file:
            contents = blocks(file.read())
    except (OSError, ValueError):
        return
    yield from (Found(certificate, encoded, path) for certificate, encoded in contents)


def blocks(data: bytes) -> list[tuple[bool, bytes]]:
    """Whether it is a certificate (else a revocation list), and its DER; ValueError for what does not parse."""
    used = (one for one in pem.blocks(data) if one.is_certificate or one.label == _CRL_LABEL)
    found = [(one.is_certificate, one.der()) for one in used]
    for certificate, encoded in found:
        if certificate:
            der.certificate_fields(encoded)
    return found


class LookingUp:
    """A verifier that is made anew when directories hold something else. ``make`` may raise HandfastError."""

    requires_ocsp_response = False

    def __init__(self, directories: Directories, make: Callable[[tuple[Found, ...]], PathVerifier]) -> None:
        found = directories.found()
        self._directories = directories
        self._make = make
        self._held = found, make(found)
        self._first_id = self._held[1].policy_id
        self._id: tuple[object, bytes] = None, b""

    def verify(self, presented: PresentedChain) -> Verdict:
        """The verdict by what the directories hold now."""
        try:
            found = self._directories.found()
            held, verifier = self._held
            if found is not held:
                verifier = self._make(found)
                self._held = found, verifier
        except Exception as error:  # noqa: BLE001 (what cannot be judged is refused)
            return failed(error)
        return verifier.verify(presented)

    @property
    def policy_id(self) -> bytes:
        """32 bytes: other ones with every change, so that a client resumes no session from before it."""
        found = self._directories.found()
        of, own = self._id
        if found is not of:
            own = SHA256.digest(self._first_id + b"".join(SHA256.digest(one.encoded) for one in found))
            self._id = found, own
        return own
