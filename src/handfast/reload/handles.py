"""Credentials and trust that are loaded anew while connections go on.

A configuration is frozen; what may change stands in it as a *handle*. What chooses a certificate or judges a chain
takes what the handle holds at that moment and stays with it: one handshake never mixes two generations, and the next
judgement, be it of a new connection, of a resumed session or after the handshake, already uses the new one.

Files change in steps that are not announced: a certificate before its key, a file that is half written, a link that is
swapped. So what was loaded counts only if it is whole, if its parts belong together, and if the files said the same
before and after they were read. Otherwise the generation before stays in use, and one line in the log ``handfast`` says
why.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from handfast import limits, logs
from handfast.credentials.credentials import Credentials
from handfast.credentials.pkcs11_uri import PKCS11
from handfast.crypto.randomness import random_bytes
from handfast.errors import ConfigError, HandfastError
from handfast.errors.foreign import said_by
from handfast.files import kind_of
from handfast.fork import renew_in_children
from handfast.text import escape
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier, Verifier, policy_id, requires_ocsp_response

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from handfast.credentials.passwords import Password
    from handfast.credentials.signers import Deferred
    from handfast.trust.presented import PresentedChain
    from handfast.verdict import Verdict

T = TypeVar("T")
StrPath = str | os.PathLike[str]

_END = re.compile(rb"-----END [A-Z0-9 ]+-----")
# The files are read again if they change meanwhile, so many times.
_ATTEMPTS = 3


class Reloading(Generic[T]):
    """What ``load`` makes of the files or directories ``paths``, and makes anew when it is told to.

    Attributes:
        paths: what the thing is loaded from.
        generation: 1 for the first, one more with every change that took effect.

    A ``Reloading[Credentials]`` may stand in ``credentials`` of a configuration. Making it raises what ``load`` raises.
    It is safe to share between threads.
    """

    _lock: threading.RLock
    # With the lock: whether files are being loaded, and whether a signal's handler then asked for it once more.
    _loading: bool
    _again: bool

    def __init__(self, load: Callable[[], T], *paths: StrPath) -> None:
        self.paths = tuple(map(Path, paths))
        self.generation = 1
        self._load = load
        renew_in_children(self, _lock=threading.RLock, _loading=bool, _again=bool)
        self._own_id = random_bytes(32)
        loaded, self._seen = self._load_settled()
        self._held = loaded, self._seen

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.name}, generation {self.generation}>"

    @property
    def name(self) -> str:
        """The files, for people."""
        return ", ".join(escape(str(path)) for path in self.paths)

    @property
    def current(self) -> T:
        """What is in use now."""
        return self._held[0]

    def reload(self) -> bool:
        """Load anew; whether something else is in use now.

        What cannot be loaded is told in the log, and what was in use stays in use. Where a signal's handler asks in
        the middle of a ``reload`` of its own thread, that one loads once more, and says whether anything changed.
        """
        with self._lock:
            return self._reload()

    def check(self) -> bool:
        """``reload`` if the files changed since they were last looked at."""
        with self._lock:
            return contents(self.paths) != self._seen and self._reload()

    def _reload(self) -> bool:
        self._again = True
        if self._loading:
            return False
        changed, self._loading = False, True
        try:
            while self._again:
                self._again = False
                changed |= self._load_once()
        finally:
            self._loading = False
        return changed

    def _load_once(self) -> bool:
        before = contents(self.paths)
        try:
            loaded, self._seen = self._load_settled()
        except Exception as error:  # noqa: BLE001 (whatever a loader raises, the connections go on)
            # Not what they hold now: that may be whole by now, and has not been read.
            self._seen = before
            what = error.what if isinstance(error, HandfastError) else said_by(error)
            shown = escape(_naming(what, self.name))
            logs.say(logging.WARNING, f"not reloaded, what was loaded before stays in use: {shown}")
            return False
        if self._seen == self._held[1]:
            return False
        self._held = loaded, self._seen
        self.generation += 1
        logs.say(logging.INFO, f"reloaded {escape(self.name)}")
        return True

    def _load_settled(self) -> tuple[T, bytes]:
        """What the files hold, and their digest: the same before and after they were read."""
        for _ in range(_ATTEMPTS):
            before = contents(self.paths)
            _refuse_what_never_ends(self.paths)
            _refuse_cut_off(self.paths)
            loaded = self._load()
            if contents(self.paths) == before:
                return loaded, before
        raise ConfigError("unsettled", path=self.name)


class ReloadingCredentials(Reloading[Credentials]):
    """Our identity, for ``credentials`` of a configuration, as it is in its files now."""

    @classmethod
    def from_files(
        cls,
        cert: StrPath,
        key: StrPath | None = None,
        password: Password | Path | None = None,
        *,
        legacy_client_signatures: bool = False,
    ) -> ReloadingCredentials:
        """As ``Credentials.from_files``, with the same errors. A password's file is followed, a key in a token not."""
        paths = [cert] if key is None or str(key).startswith(PKCS11) else [cert, key]
        if isinstance(password, os.PathLike):
            paths.append(password)
        legacy = legacy_client_signatures
        return cls(lambda: Credentials.from_files(cert, key, password, legacy_client_signatures=legacy), *paths)


class ReloadingVerifier(Reloading[Verifier]):
    """Trust, for ``verifier`` of a configuration, as it is in its files now: a verifier made anew with each change."""

    @classmethod
    def from_files(cls, roots: StrPath, *, crls: StrPath | None = None, **knobs: Any) -> ReloadingVerifier:
        """A ``PathVerifier`` of these roots and revocation lists, files or directories; ``knobs``: its others."""
        from handfast.trust.revocation.crl_store import Crls

        def load() -> PathVerifier:
            lists = None if crls is None else Crls.from_path(crls)
            return PathVerifier(Roots.from_path(roots), crls=lists, **knobs)

        return cls(load, roots) if crls is None else cls(load, roots, crls)

    def verify(self, presented: PresentedChain) -> Verdict | Awaitable[Verdict] | Deferred:
        """The verdict of the verifier that is in use now."""
        return self.current.verify(presented)

    @property
    def policy_id(self) -> bytes:
        """32 bytes: other ones with every change of the files, so that no session from before it is resumed."""
        verifier, seen = self._held
        return sha256(b"reloading" + (policy_id(verifier) or self._own_id) + seen).digest()

    @property
    def requires_ocsp_response(self) -> bool:
        """Whether the verifier that is in use now does."""
        return requires_ocsp_response(self.current)

    @property
    def ca_names(self) -> Sequence[bytes]:
        """For ``ServerConfig(ca_names=...)``: those of the roots in use at each request, unless too many."""
        return CurrentNames(self)


class CurrentNames(Sequence[bytes]):
    """The DER names of a verifier's roots as they are whenever somebody looks."""

    def __init__(self, handle: Reloading[Verifier]) -> None:
        self._handle = handle

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[bytes, ...]: ...
    def __getitem__(self, index: int | slice) -> bytes | tuple[bytes, ...]:
        return self._names()[index]

    def _names(self) -> tuple[bytes, ...]:
        roots = getattr(self._handle.current, "roots", None)
        names = roots.names() if isinstance(roots, Roots) else ()
        return names if sum(map(len, names)) <= limits.MAX_AUTOMATIC_CA_NAMES else ()


def contents(paths: Sequence[Path]) -> bytes:
    """32 bytes that change with what the files hold, and those of directories; a missing one is a state too."""
    digest = sha256()
    for file in _files(paths):
        data = _bytes(file)
        state = b"-" if data is None else b"+" + sha256(data).digest()
        digest.update(sha256(os.fsencode(file)).digest() + state)
    return digest.digest()


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        try:
            yield from sorted(path.iterdir()) if path.is_dir() else (path,)
        except OSError:
            yield path


def _bytes(path: Path) -> bytes | None:
    try:
        # A pipe would be waited for, and what a thread waits for keeps a program from ending.
        return path.read_bytes() if stat.S_ISREG(path.stat().st_mode) else None
    except OSError:
        return None


def _refuse_what_never_ends(paths: Sequence[Path]) -> None:
    """A pipe or a device has no contents that could be the same before and after they were read."""
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise ConfigError("not_a_regular_file", path=escape(str(path)), kind=kind_of(status))


def _refuse_cut_off(paths: Sequence[Path]) -> None:
    """A PEM file that ends in the middle of a block would otherwise load as if that block were not there."""
    for file in _files(paths):
        data = _bytes(file) or b""
        if data.count(b"-----BEGIN ") != len(_END.findall(data)):
            raise ConfigError("cut_off", path=escape(str(file)))


def _naming(what: str, name: str) -> str:
    """The sentence, with the files' names if it names none of them itself."""
    return what if any(part in what for part in name.split(", ")) else f"{name}: {what}"
