"""What was measured with: how this Python was built, and which builds of the libraries it has.

An interpreter without profile-guided optimisation runs bytecode more slowly, and its OpenSSL is as fast as any other:
what it measures is not what people who run an optimised one get.
"""

from __future__ import annotations

import os
import platform
import ssl
import sys
import sysconfig
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cryptography
from cryptography.hazmat.backends.openssl.backend import backend

import handfast

OPTIMISED_AS = "one that was built with --enable-optimizations, such as Debian's /usr/bin/python3"


@dataclass(frozen=True)
class PythonBuild:
    """``profile_guided`` is None where the build does not tell."""

    profile_guided: bool | None
    link_time: bool
    level: str
    debug: bool

    @property
    def optimised(self) -> bool | None:
        """Whether it is fit to be measured with; None where it does not tell."""
        return False if self.debug or self.level in ("-O0", "-Og") else self.profile_guided

    def __str__(self) -> str:
        guided = {True: "profile-guided", False: "not profile-guided", None: "profile-guided or not is not told"}
        parts = [guided[self.profile_guided]]
        parts += ["link-time optimised"] if self.link_time else []
        parts += [self.level] if self.level else []
        return ", ".join([*parts, "debug"] if self.debug else parts)

    def warning(self) -> str:
        """What to say before measuring; "" for an optimised build."""
        if self.optimised:
            return ""
        fault = "does not tell how it was built" if self.optimised is None else "was built without optimisation"
        return (
            f"handfast: warning: this Python {fault} ({self}): handfast comes out too slow beside code in C; "
            f"hint: make bench PYTHON=... with {OPTIMISED_AS}"
        )


def python_build(recorded: Mapping[str, Any] | None = None) -> PythonBuild:
    """How this interpreter was built, by what its build ``recorded`` (``sysconfig.get_config_vars()``)."""
    found = sysconfig.get_config_vars() if recorded is None else recorded
    said = {name: str(value) for name, value in found.items()}
    arguments = said.get("CONFIG_ARGS", "")
    flags = " ".join(said.get(name, "") for name in ("PY_CORE_CFLAGS", "PY_CORE_LDFLAGS", "LDFLAGS_NODIST"))
    guided: bool | None = None
    if "--enable-optimizations" in arguments or "-fprofile-use" in flags or _profile_was_taken_out(said):
        guided = True
    elif "CONFIG_ARGS" in said:
        guided = False
    # Debian's record has no -flto either, but the archiver that link-time optimisation needs.
    link_time = "--with-lto" in arguments or "-flto" in flags or said.get("AR", "").endswith("gcc-ar")
    # The last of several counts.
    levels = [flag for flag in said.get("PY_CORE_CFLAGS", "").split() if flag.startswith("-O")]
    return PythonBuild(guided, link_time, levels[-1] if levels else "", said.get("Py_DEBUG", "0") == "1")


def _profile_was_taken_out(said: Mapping[str, str]) -> bool:
    """Whether the record was cleaned after a profile-guided build, as Debian's is.

    ``configure`` sets both flags for every compiler that knows them, whatever is built: one to make a profile, one to
    use it. Debian's packages call ``make profile-opt`` without the option of ``configure``, and afterwards take the
    second flag out of the record, so that extension modules are not built with it.
    """
    return bool(said.get("PGO_PROF_GEN_FLAG")) and said.get("PGO_PROF_USE_FLAG") == ""


def wheel(name: str) -> str:
    """Version of an installed distribution and the platform of its wheel."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return "not installed"
    tags = [line.partition(":")[2].strip() for line in (found.read_text("WHEEL") or "").splitlines() if "Tag:" in line]
    platforms = sorted({tag.rsplit("-", 1)[-1] for tag in tags} - {"any"})
    return f"{found.version} ({platforms[-1]})" if platforms else found.version


def library(module: str, name: str) -> str:
    """Version of a library of TLS, with that of the C library inside where the module tells it as ``ssl`` does."""
    # What a package of others warns of when it is loaded is not for who runs a bench.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        inside = getattr(import_module(module), "OPENSSL_VERSION", "") if find_spec(module) else ""
    return f"{wheel(name)}: {inside}" if inside else wheel(name)


def pyopenssl() -> str:
    """Its version, and how the OpenSSL that it shares with ``cryptography`` was compiled."""
    from OpenSSL import SSL

    compiled = SSL.OpenSSL_version(SSL.OPENSSL_CFLAGS).decode().split()
    return f"{wheel('pyOpenSSL')}: {' '.join(flag for flag in compiled if flag.startswith('-O')) or 'no -O'}"


def cpu() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(names, platform.processor() or "not known")


def load() -> str:
    """How busy the machine has been in the last minute; ratios are best believed where that is little."""
    cores = os.cpu_count()
    return f"{os.getloadavg()[0]:.1f} on {cores} cores" if hasattr(os, "getloadavg") else f"not known, on {cores} cores"


def builds(others: Mapping[str, str]) -> dict[str, str]:
    """Each program and library, by name. ``others`` are modules and the distributions that they come from."""
    found = {
        "Python": f"{platform.python_version()}, {platform.python_compiler()}, {python_build()}",
        "machine": f"{sys.platform} {platform.machine()}",
        "cpu": cpu(),
        "load": load(),
        "handfast": handfast.__version__,
        "ssl": ssl.OPENSSL_VERSION,
        "cryptography": f"{wheel(cryptography.__name__)}: {backend.openssl_version_text()}",
        "pyOpenSSL": pyopenssl(),
        "uvloop": wheel("uvloop"),
        "qh3": wheel("qh3"),
    }
    return found | {name: library(module, name) for module, name in others.items()}
