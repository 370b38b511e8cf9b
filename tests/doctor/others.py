"""Libraries and servers of others that live in an environment of their own, since handfast must not need them.

HANDFAST_DOCTOR_PYTHON names its Python: ``make doctor-matrix`` and ``make certificate-tools`` make it, of
requirements/doctor.txt. What is missing there is left out, and said to be.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.peers.base import missing
from tests.waiting import LIMIT

# Absolute, since tests change their directory; not resolved, since the environment is where the link stands.
PYTHON = str(Path(os.environ.get("HANDFAST_DOCTOR_PYTHON") or sys.executable).absolute())


def python_with(module: str) -> str:
    """A Python that has the module, or the end of the running test."""
    if not _has(module):
        missing(f"{module} is not installed beside {PYTHON}")
    return PYTHON


@cache
def _has(module: str) -> bool:
    looking = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([PYTHON, "-c", looking], timeout=LIMIT, check=False).returncode == 0


def program(name: str) -> str:
    """A program that a wheel brought there, or the end of the running test."""
    path = Path(PYTHON).with_name(name)
    if not path.exists():
        missing(f"{name} is not installed beside {PYTHON}")
    return str(path)
