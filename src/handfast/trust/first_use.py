"""Trust on first use: a server is who it was when it was first met, as ssh has it.

The store is a text file that a person can read and edit: a server's name and the pin of its key in each line. It is
replaced as a whole, under a lock, by a file of mode 0600, so that neither a crash nor another process can make a server
forgotten; a store that cannot be read, or that others may write to, refuses everybody. It has a limit in bytes, and a
server for which there is no room is refused, since to forget another one would let that one's key be changed.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from handfast import files
from handfast.errors import ConfigError
from handfast.limits import FIRST_USE_STORE_BYTES
from handfast.text import escape
from handfast.trust.leaf import accept_leaf, leaf_or_refusal, refuse_leaf
from handfast.trust.pins import key_pin
from handfast.verdict import Verdict, failed, refuse
from handfast.x509 import names
from handfast.x509.purpose import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handfast.trust.presented import PresentedChain
    from handfast.x509.certificates import Parsed

_HEADER = "# Servers and their keys, as first met. To accept a new key, remove the server's line.\n"


class FirstUse:
    """Accepts a server with the key that it had when it was first met, which is kept in the file ``path``.

    It says nothing of a server that is met for the first time but that it will be noticed if it changes. Names, dates
    and issuers are not looked at; where they matter: ``AllOf(PathVerifier(...), FirstUse(...))``, in this order, so
    that none is kept who is refused. Ports share a name's key. Servers only: a client has no name to be known by.
    Raises ConfigError bad_option for an empty path.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        files.refuse_empty(path)
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"FirstUse({escape(str(self.path))})"

    @property
    def policy_id(self) -> bytes:
        """32 bytes, the same for the same file."""
        return sha256(b"first use" + os.fsencode(self.path.absolute())).digest()

    def verify(self, presented: PresentedChain) -> Verdict:
        """The verdict; a server that the file does not have is written to it."""
        if presented.purpose is not Purpose.SERVER or presented.server_name is None:
            return refuse("policy", "trust on first use needs a server's name, and there is none")
        leaf = leaf_or_refusal(presented)
        if isinstance(leaf, Verdict):
            return leaf
        try:
            name = str(names.reference_identity(presented.server_name))
            known = read_store(self.path).get(name)
            if known is None and presented.restored:
                # Its line was removed, and an old session of it is no first meeting.
                return refuse("policy", f"{name} is not known any more, and a session from before says nothing of it")
            if known is None:
                known = self._remember(name, key_pin(leaf.encoded))
        except (ConfigError, OSError) as error:
            return failed(error)
        return self._compare(name, known, leaf)

    def _compare(self, name: str, known: str, leaf: Parsed) -> Verdict:
        shown = key_pin(leaf.encoded)
        if shown == known:
            return accept_leaf(leaf, f"{leaf.subject_text}, whose key is the one that {name} was first met with")
        path = escape(str(self.path))
        words = f"{name} has the key {shown} now; it was first met with {known}, says {path}"
        cure = f"if you know that the key was changed, remove the line of {name} from {path} and connect again"
        return refuse_leaf(leaf, "key_changed", words, f"this may be another machine; {cure}")

    def _remember(self, name: str, pin: str) -> str:
        """Write a server down, unless somebody else was faster; the pin that is in the file afterwards."""
        with _locked(self.path):
            known = read_store(self.path)
            if name not in known:
                known[name] = pin
                write_store(self.path, known)
            return known[name]


def read_store(path: Path) -> dict[str, str]:
    """Name -> pin; none when there is no file. ConfigError for a file that cannot be relied on."""
    shown = escape(str(path))
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(FIRST_USE_STORE_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError("file_unreadable", path=shown, reason=error.strerror or str(error)) from None
    _check_size(path, content)
    if status.st_uid != os.geteuid():
        raise ConfigError("foreign_file", path=shown)
    if stat.S_IMODE(status.st_mode) & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError("writable_by_others", path=shown)
    known: dict[str, str] = {}
    for number, line in enumerate(content.decode("utf-8", "surrogateescape").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2 or not words[1].startswith("sha256//") or words[0] in known:
            reason = "a name for the second time" if words[0] in known else "not a name and a pin"
            raise ConfigError("bad_store", path=shown, line=number, reason=reason)
        known[words[0]] = words[1]
    return known


def write_store(path: Path, known: dict[str, str]) -> None:
    """Replace the file as a whole. ConfigError store_too_large for more than it may hold."""
    content = (_HEADER + "".join(f"{name} {pin}\n" for name, pin in sorted(known.items()))).encode()
    _check_size(path, content)
    new = path.with_name(f"{path.name}.new")
    with files.create_private(new, replace=True) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _check_size(path: Path, content: bytes) -> None:
    if len(content) > FIRST_USE_STORE_BYTES:
        raise ConfigError("store_too_large", path=escape(str(path)), limit=FIRST_USE_STORE_BYTES)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Alone among all threads and processes; a file beside the store is locked, because the store is replaced."""
    with files.append_private(path.with_name(f"{path.name}.lock")) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
