"""Passwords and PINs as users give them: a value, a file that holds it, or somebody who knows it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from os import PathLike
from typing import TypeAlias

from handfast.errors import ApiMisuse
from handfast.x509 import loading as files

Password: TypeAlias = bytes | str | PathLike[str] | Callable[[], bytes | str | None]
"""``bytes`` or ``str`` are the password itself; a ``pathlib.Path`` is a file that holds it, with or without a line
break at its end, and which must be there, needed or not; a callable is asked for it, once, and only if something is
encrypted; its None means that there is none."""


def asked_once(password: Password | None) -> Callable[[], bytes | None]:
    """What gives the password when it turns out to be needed; ConfigError at once for a file that is not there."""
    known = _value(password) if isinstance(password, PathLike) else password
    return cache(lambda: _value(known))


def _value(password: Password | None) -> bytes | None:
    given = password() if callable(password) else password
    if isinstance(given, PathLike):
        given = files.read(given).rstrip(b"\r\n")
    if isinstance(given, str):
        given = given.encode()
    if given is not None and not isinstance(given, bytes):
        raise ApiMisuse("bad_argument", reason=f"a password is bytes or text, not {type(given).__name__}")
    return given
