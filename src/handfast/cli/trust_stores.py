"""The stores of trusted CAs on this machine, and the commands that put one in and take it out again.

Each CA goes in under a name made of its fingerprint, so that taking it out meets this certificate and no other. Nothing
here runs a command but ``run``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from handfast.errors import bad_option
from handfast.x509 import loading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Command: TypeAlias = tuple[str, ...]

_BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")
_LOCAL = Path("usr/local/share/ca-certificates")
# update-ca-certificates' own places, as its options name them, below the root of the file system.
_DEBIAN_PLACES = {
    "--certsdir": "usr/share/ca-certificates",
    "--localcertsdir": str(_LOCAL),
    "--etccertsdir": "etc/ssl/certs",
    "--certsconf": "etc/ca-certificates.conf",
    "--hooksdir": "etc/ca-certificates/update.d",
}
# Where Chromium and Firefox keep theirs, below the home folder; Snap's own come last.
_NSS_PLACES = (
    ".pki/nssdb",
    ".mozilla/firefox/*",
    "snap/chromium/current/.pki/nssdb",
    "snap/firefox/common/.mozilla/firefox/*",
)
_NSS_DATABASE = "cert9.db"
# What Java and Debian give every store of theirs; it protects nothing.
_JAVA_PASSWORD = "changeit"


@dataclass(frozen=True, kw_only=True)
class Store:
    """One store. ``install`` and ``uninstall`` are commands in their order; ``holds`` says whether the CA is in it.

    ``package`` is what Debian calls the package of the tool.
    """

    name: str
    tool: str
    package: str
    install: tuple[Command, ...]
    uninstall: tuple[Command, ...]
    holds: Callable[[], bool]

    @property
    def is_usable(self) -> bool:
        """Whether the tool is installed."""
        return tool(self.tool) is not None


def tool(name: str) -> str | None:
    """The path of a program, also where only root's path has it."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def run(command: Command) -> str:
    """Run one command; what it complained of, or "" where it succeeded."""
    done = subprocess.run(
        [tool(command[0]) or command[0], *command[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode == 0:
        return ""
    return done.stdout.decode("utf-8", "replace").strip() or f"{command[0]} ended with status {done.returncode}"


def _succeeds(command: Command) -> Callable[[], bool]:
    return lambda: tool(command[0]) is not None and not run(command)


def label(certificate: bytes) -> str:
    """What a CA is called in all stores, in lower case as Java wants it."""
    return f"handfast-{sha256(certificate).hexdigest()[:16]}"


def system_store(path: Path, certificate: bytes, root: Path | None) -> Store:
    """The system's; ``root`` is a folder that stands for the root of the file system, as of an image being built."""
    if root is None and tool("update-ca-certificates") is None and tool("trust") is not None:
        return Store(
            name="the system's store",
            tool="trust",
            package="p11-kit",
            install=(("trust", "anchor", "--store", str(path)),),
            uninstall=(("trust", "anchor", "--remove", str(path)),),
            holds=lambda: _is_anchor(certificate),
        )
    # update-ca-certificates changes its folder.
    base = Path("/") if root is None else root.absolute()
    own = base / _LOCAL / f"{label(certificate)}.crt"
    places = [word for option, place in _DEBIAN_PLACES.items() for word in (option, str(base / place))]
    update = ("update-ca-certificates", *(places if root else ()))
    return Store(
        name=f"the system's store{f' under {root}' if root else ''}",
        tool="update-ca-certificates",
        package="ca-certificates",
        install=(("install", "-D", "-m", "644", str(path), str(own)), update),
        uninstall=(("rm", "-f", str(own)), (*update, "--fresh")),
        # The file that programs read: removing the last CA of all leaves it as it was.
        holds=lambda: _is_in_bundle(certificate, base / _BUNDLE),
    )


def _is_in_bundle(certificate: bytes, bundle: Path) -> bool:
    """A bundle of no certificates at all is empty."""
    data = bundle.read_bytes() if bundle.is_file() else b""
    return bool(data) and certificate in loading.certificates(data, str(bundle))


def _is_anchor(certificate: bytes) -> bool:
    """Whether p11-kit gives it to those who ask for the CAs of servers; it writes them to files alone."""
    with tempfile.TemporaryDirectory(prefix="handfast-") as folder:
        bundle = Path(folder) / "anchors.pem"
        asked = ("--format=pem-bundle", "--filter=ca-anchors", "--purpose=server-auth")
        return _succeeds(("trust", "extract", *asked, str(bundle)))() and _is_in_bundle(certificate, bundle)


def nss_store(path: Path, certificate: bytes, directory: Path, password_file: Path | None = None) -> Store:
    """A certificate database of NSS."""
    own, place = label(certificate), f"sql:{directory}"
    password = () if password_file is None else ("-f", str(password_file))
    return Store(
        name=f"the NSS database {directory}",
        tool="certutil",
        package="libnss3-tools",
        install=(("certutil", "-A", "-d", place, "-n", own, "-t", "C,,", "-i", str(path), *password),),
        uninstall=(("certutil", "-D", "-d", place, "-n", own, *password),),
        holds=_succeeds(("certutil", "-L", "-d", place, "-n", own)),
    )


def java_store(path: Path, certificate: bytes, keystore: Path | None, password_file: Path | None = None) -> Store:
    """A Java keystore, or Java's own list of CAs."""
    own = label(certificate)
    place = ("-cacerts",) if keystore is None else ("-keystore", str(keystore))
    password = ("-storepass", _JAVA_PASSWORD) if password_file is None else ("-storepass:file", str(password_file))
    common = (*place, *password, "-alias", own)
    return Store(
        name="Java's list of CAs" if keystore is None else f"the Java keystore {keystore}",
        tool="keytool",
        package="default-jre-headless",
        install=(("keytool", "-importcert", "-noprompt", "-file", str(path), *common),),
        uninstall=(("keytool", "-delete", *common),),
        holds=_succeeds(("keytool", "-list", *common)),
    )


def usual_database() -> Path:
    """Where Chromium makes its database when it is first started."""
    return _home() / _NSS_PLACES[0]


def nss_databases() -> tuple[Path, ...]:
    """Those of Chromium and of Firefox's profiles in the home folder."""
    return tuple(_found_databases(_home()))


def _home() -> Path:
    return Path(os.path.expanduser("~"))


def _found_databases(home: Path) -> Iterator[Path]:
    for place in _NSS_PLACES:
        yield from sorted(found.parent for found in home.glob(f"{place}/{_NSS_DATABASE}"))


def checked_database(directory: Path) -> Path:
    """``directory`` if it holds a database; ConfigError bad_option otherwise, as certutil would ask for a password."""
    if (directory / _NSS_DATABASE).is_file():
        return directory
    advice = f"make one: certutil -N -d sql:{directory} --empty-password"
    raise bad_option("--nss", f"{directory} holds no NSS database ({_NSS_DATABASE})", advice)


def checked_keystore(keystore: Path) -> Path:
    """``keystore`` if it is a file; ConfigError bad_option otherwise, as keytool would make one."""
    if keystore.is_file():
        return keystore
    raise bad_option("--java", f"{keystore} is no file", "give a keystore that is there")


def checked_file(roots: Path) -> Path:
    """``roots`` if it is no PKCS#11 URI, as GnuTLS takes them for CAs; ConfigError bad_option otherwise."""
    if str(roots)[:7].lower() != "pkcs11:":
        return roots
    advice = "write p11-kit's to one: trust extract --format=pem-bundle --filter=ca-anchors --purpose=server-auth FILE"
    raise bad_option("--cacert", "CAs are read from a file or directory, and this is a PKCS#11 URI", advice)
