"""A CA and its certificates as a directory: `ca.pem ca.key server.pem server.key client.pem client.key`.

All or nothing: every file is first written under a temporary name in the same directory, complete and on disk, and only
then do they all get their names, by links that cannot replace anything (or by renames, if replacing was asked for). If
one of those fails, the ones before it are taken back. No file system does several files in one step, so a power cut
amid the renames can leave old and new files side by side; loading them says that key and certificate differ.

All steps go through the directory's descriptor: it stays the same directory even if somebody moves it meanwhile.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from handfast.errors import ConfigError
from handfast.files import PRIVATE, errors_for, kind_of, refuse_empty
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from os import PathLike

    from handfast.pki.authority import CertificateAuthority, Issued

_PUBLIC = 0o644
_PUBLIC_ENDINGS = (".pem", ".csr", ".crl", ".ocsp")
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_pki(
    directory: str | PathLike[str],
    ca: CertificateAuthority,
    *,
    server: Issued,
    client: Issued,
    replace: bool = False,
    with_ca_key: bool = True,
) -> tuple[Path, ...]:
    """Write the six files, five without the CA's key; returns their paths. Errors as in `write_files`."""
    files = {"ca.pem": ca.certificate_pem} | ({"ca.key": ca.key_pem()} if with_ca_key else {})
    files |= issued_files("server", server) | issued_files("client", client)
    return write_files(directory, files, replace=replace)


def issued_files(name: str, issued: Issued) -> dict[str, bytes]:
    """NAME.pem and NAME.key, for `write_files`."""
    return {f"{name}.pem": issued.cert_pem, f"{name}.key": issued.key_pem}


def write_files(
    directory: str | PathLike[str], files: Mapping[str, bytes], *, replace: bool = False
) -> tuple[Path, ...]:
    """Write all of the files or none, into a directory that is made if need be; returns their paths.

    Every file gets mode 0600 except those whose names end in .pem, .csr, .crl or .ocsp and whose contents hold no
    private key: 0644. Raises ConfigError file_exists unless ``replace``, and not_a_directory, not_a_regular_file,
    file_unwritable, and bad_option for an empty ``directory``.
    """
    refuse_empty(directory)
    folder = Path(directory)
    with _opened(folder) as descriptor:
        _refuse_obstacles(folder, descriptor, files, replace=replace)
        suffix = f".{secrets.token_hex(8)}"
        try:
            for name, content in files.items():
                with errors_for(folder / name):
                    _write_temporary(descriptor, name + suffix, content, _mode(name, content))
            _publish(folder, descriptor, tuple(files), suffix, replace=replace)
        finally:
            for name in files:
                _unlink(descriptor, name + suffix)
    return tuple(folder / name for name in files)


@contextlib.contextmanager
def locked(directory: str | PathLike[str]) -> Iterator[int]:
    """Hold a lock of the directory, which is there, against others that read a file in it to write it anew.

    Gives the directory's descriptor. Raises ConfigError not_a_directory, file_unwritable.
    """
    with _opened(Path(directory)) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    with errors_for(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (FileExistsError, NotADirectoryError):
            if os.path.lexists(folder):
                kind = kind_of(os.lstat(folder))
                raise ConfigError("not_a_directory", path=escape(str(folder)), kind=kind) from None
            raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse_obstacles(folder: Path, descriptor: int, files: Mapping[str, bytes], *, replace: bool) -> None:
    """Find what is in the way before anything is written; the links and renames check it again."""
    for name in files:
        try:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        except FileNotFoundError:
            continue
        path = escape(str(folder / name))
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError("not_a_regular_file", path=path, kind=kind_of(status))
        if not replace:
            raise ConfigError("file_exists", path=path)


def _mode(name: str, content: bytes) -> int:
    return _PUBLIC if name.endswith(_PUBLIC_ENDINGS) and b"PRIVATE KEY" not in content else PRIVATE


def _write_temporary(descriptor: int, name: str, content: bytes, mode: int) -> None:
    with open(os.open(name, _NEW_FILE, mode, dir_fd=descriptor), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _publish(folder: Path, descriptor: int, names: tuple[str, ...], suffix: str, *, replace: bool) -> None:
    """Give the temporary files their names; after a failure, what was there before is there again."""
    with contextlib.ExitStack() as undo:
        for name in names:
            with errors_for(folder / name):
                if replace and _keep_old(descriptor, name, suffix):
                    undo.callback(_restore, descriptor, name, suffix)
                    _rename(descriptor, name + suffix, name)
                else:
                    os.link(name + suffix, name, src_dir_fd=descriptor, dst_dir_fd=descriptor, follow_symlinks=False)
                    undo.callback(_unlink, descriptor, name)
        undo.pop_all()
    for name in names:
        _unlink(descriptor, _old(name, suffix))
    os.fsync(descriptor)


def _keep_old(descriptor: int, name: str, suffix: str) -> bool:
    """A second name for what is there, if anything is."""
    try:
        os.link(name, _old(name, suffix), src_dir_fd=descriptor, dst_dir_fd=descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _restore(descriptor: int, name: str, suffix: str) -> None:
    _rename(descriptor, _old(name, suffix), name)
    # POSIX: a rename between two names of one file does nothing, and if nothing replaced the file, they are that.
    _unlink(descriptor, _old(name, suffix))


def _old(name: str, suffix: str) -> str:
    return f"{name}{suffix}.old"


def _rename(descriptor: int, source: str, target: str) -> None:
    os.replace(source, target, src_dir_fd=descriptor, dst_dir_fd=descriptor)


def _unlink(descriptor: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=descriptor)
