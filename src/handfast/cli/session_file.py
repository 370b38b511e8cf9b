"""``--session FILE``: a client's sessions, kept between runs.

The file holds secrets, and it is trusted: who can write to it can make any machine the server that a session in it is
of. So it is used only if it is ours and closed to others. Each session stands under the 32 bytes that bind it to the
server's name, to whom is trusted and to our certificates: for another server nothing is found in it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from contextlib import suppress
from dataclasses import asdict, fields
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from handfast import limits
from handfast.errors import ConfigError, bad_option
from handfast.files import PRIVATE, create_private, errors_for, kind_of
from handfast.sessions.state import ClientSession
from handfast.sessions.state12 import ClientSession12
from handfast.text import escape

if TYPE_CHECKING:
    from pathlib import Path

    from handfast.sessions.cache import Session

_FORMAT = "handfast sessions 1"
_KINDS: dict[str, type[Session]] = {"1.3": ClientSession, "1.2": ClientSession12}
_PARTITION = 32


class SessionFile:
    """Sessions in a file, which every change is written to at once. Raises ConfigError for a file that is not one.

    Attributes:
        found: how many sessions the file had when it was read. given: how many came since then.
        failure: why the last change could not be stored, or "".
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sessions: list[tuple[bytes, Session]] = _read(path)
        self.found = len(self._sessions)
        self.given = 0
        self.failure = ""
        # Now, and not when a ticket was used up already.
        self._store()

    def __len__(self) -> int:
        return len(self._sessions)

    def __repr__(self) -> str:
        return f"<SessionFile with {len(self)} sessions>"

    def put(self, partition: bytes, session: Session) -> None:
        """Keep a session; the oldest ones of all make room."""
        self.given += 1
        self._sessions.append((partition, session))
        while len(self._sessions) > limits.SESSIONS_IN_FILE or len(self._encoded()) > limits.SESSION_FILE_BYTES:
            del self._sessions[0]
        self._store_quietly()

    def take(self, partition: bytes) -> Session | None:
        """The newest session of a partition, which is then forgotten: a ticket is used once."""
        for position in range(len(self._sessions) - 1, -1, -1):
            if self._sessions[position][0] == partition:
                _, session = self._sessions.pop(position)
                self._store_quietly()
                return session
        return None

    def _store_quietly(self) -> None:
        """The engine lets nothing that a store raises end a connection."""
        try:
            self._store()
        except ConfigError as error:
            self.failure = error.what

    def _store(self) -> None:
        temporary = self._path.with_name(f".{self._path.name[:200]}.{token_hex(8)}")
        try:
            with create_private(temporary) as file:
                file.write(self._encoded())
            with errors_for(self._path):
                os.replace(temporary, self._path)
        except OSError as error:
            raise ConfigError("file_unwritable", path=escape(str(self._path)), reason=error.strerror or error) from None
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _encoded(self) -> bytes:
        sessions = [_encode(partition, session) for partition, session in self._sessions]
        return json.dumps({"format": _FORMAT, "sha256": _digest(sessions), "sessions": sessions}).encode() + b"\n"


def _read(path: Path) -> list[tuple[bytes, Session]]:
    """What the file holds; [] where there is none yet, or an empty one."""
    name = escape(str(path))
    with errors_for(path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return []
    try:
        _check(os.fstat(descriptor), name)
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(limits.SESSION_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    try:
        return _decoded(data) if data else []
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        reason = f"{name} is no file of sessions, or was changed since handfast wrote it"
        raise bad_option("--session", reason, "remove it, and let it be made anew") from None


def _check(status: os.stat_result, name: str) -> None:
    """ConfigError for what is no file of ours alone. A directory can be opened, and not read."""
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError("not_a_regular_file", path=name, kind=kind_of(status))
    if status.st_uid != os.geteuid():
        raise ConfigError("foreign_file", path=name)
    if stat.S_IMODE(status.st_mode) & ~PRIVATE:
        reason = f"{name} is open to others, who may have put a session of their own server into it"
        raise bad_option("--session", reason, "remove it, and let it be made anew")


def _decoded(data: bytes) -> list[tuple[bytes, Session]]:
    if len(data) > limits.SESSION_FILE_BYTES:
        raise ValueError("too long")
    found = json.loads(data)
    if found["format"] != _FORMAT or found["sha256"] != _digest(found["sessions"]):
        raise ValueError("not what was written")
    return [_decode(entry) for entry in found["sessions"]]


def _digest(sessions: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(sessions, sort_keys=True).encode()).hexdigest()


def _encode(partition: bytes, session: Session) -> dict[str, Any]:
    kind = next(name for name, one in _KINDS.items() if isinstance(session, one))
    values = {name: _as_json(value) for name, value in asdict(session).items()}
    return {"partition": partition.hex(), "version": kind, "session": values}


def _as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, tuple | list):
        return [_as_json(one) for one in value]
    return value


def _decode(entry: dict[str, Any]) -> tuple[bytes, Session]:
    partition = bytes.fromhex(entry["partition"])
    kind = _KINDS[entry["version"]]
    values = {name: _of_json(value) for name, value in entry["session"].items()}
    if len(partition) != _PARTITION or set(values) != {field.name for field in fields(kind)}:
        raise ValueError("another shape")
    for field in fields(kind):
        if not _fits(values[field.name], str(field.type)):
            raise ValueError(f"{field.name} is of another type")
    return partition, kind(**values)


def _of_json(value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["base64"], validate=True)
    if isinstance(value, list):
        return tuple(map(_of_json, value))
    return value


def _fits(value: Any, annotation: str) -> bool:
    """Whether a value is of a field's type, which is written as text."""
    match annotation:
        case "bytes":
            return isinstance(value, bytes)
        case "int":
            return type(value) is int and value >= 0
        case "float":
            return type(value) in (int, float)
        case "bool":
            return isinstance(value, bool)
        case "str | None":
            return value is None or isinstance(value, str)
        case "tuple[bytes, ...]":
            return isinstance(value, tuple) and all(isinstance(one, bytes) for one in value)
    return False
