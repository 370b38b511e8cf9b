"""``handfast serve --www``: the files of one directory, by GET and HEAD. RFC 9110.

A path is taken apart, decoded and looked up once; links may lead anywhere below the directory and nowhere else. The
file is then opened along its real path, folder by folder and through no link, so that what was checked is what is read
even while somebody changes the directory. Folders are not listed, and what begins with a dot (.git, .htpasswd) is not
there, but for .well-known (RFC 8615).
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from mimetypes import MimeTypes
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote, unquote_to_bytes

from handfast.cli.http import Body, Reply
from handfast.errors import ConfigError, bad_option
from handfast.text import escape

if TYPE_CHECKING:
    from handfast.cli.http import Headers, Request

_INDEX = "index.html"
# Not the system's table: a file has one type, wherever it is served.
_TYPES = MimeTypes(filenames=())
# ... nor by whichever Python: what some of them lack, or name as it was named before RFC 9239.
for _ending, _kind in {
    ".js": "text/javascript", ".mjs": "text/javascript", ".md": "text/markdown", ".wasm": "application/wasm",
    ".webp": "image/webp", ".avif": "image/avif", ".woff": "font/woff", ".woff2": "font/woff2",
}.items():  # fmt: skip
    _TYPES.add_type(_kind, _ending)
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
_NOT_FOUND = Reply(404, b"there is no such file\n")
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Files:
    """Answers requests with the files below ``root``. Raises ConfigError where that is no directory."""

    def __init__(self, root: Path) -> None:
        try:
            self.root = root.resolve(strict=True)
        except (OSError, RuntimeError):
            raise _no_directory(root, "no such directory") from None
        if not self.root.is_dir():
            raise _no_directory(root, "not a directory")

    def refuse_to_show(self, secret: Path) -> None:
        """Raises ConfigError where a file that must stay secret is one of those that are served."""
        with suppress(OSError):
            if secret.resolve(strict=True).is_relative_to(self.root):
                raise bad_option(
                    "--www", f"{escape(str(secret))} is in it, for all to read", "keep what is secret elsewhere"
                )

    def answer(self, request: Request) -> Reply:
        """The reply to one request."""
        if request.method not in ("GET", "HEAD"):
            return Reply(405, b"files are for GET and HEAD\n", headers=[("allow", "GET, HEAD")])
        names = _names(request.path)
        if names is None:
            return _NOT_FOUND
        is_folder = request.path.endswith("/")
        path = self.root.joinpath(*names)
        if not is_folder and os.path.isdir(path) and self._within(path / _INDEX) is not None:
            # Made of the parts, as a path that begins with // would lead to another host.
            where = "/" + "".join(f"{quote(name)}/" for name in names)
            return Reply(301, f"{where}\n".encode(), headers=[("location", where)])
        real = self._within(path / _INDEX if is_folder else path)
        return _NOT_FOUND if real is None else self._file(real, request)

    def _within(self, path: Path) -> Path | None:
        """The real path of what is there, relative to the root; None if nothing is, or it is outside."""
        try:
            real = path.resolve(strict=True).relative_to(self.root)
        except (OSError, RuntimeError, ValueError):
            return None
        return real if all(map(_shown, real.parts)) else None

    def _file(self, real: Path, request: Request) -> Reply:
        try:
            descriptor = self._open(real)
        except OSError:
            return _NOT_FOUND
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            return _NOT_FOUND
        return _reply(os.fdopen(descriptor, "rb"), status, real.name, request)

    def _open(self, real: Path) -> int:
        """Opened by its parts, none of which may have become a link since."""
        folder = os.open(self.root, _OPEN | os.O_DIRECTORY)
        *above, name = real.parts
        for part in above:
            try:
                below = os.open(part, _OPEN | os.O_DIRECTORY, dir_fd=folder)
            finally:
                os.close(folder)
            folder = below
        try:
            return os.open(name, _OPEN, dir_fd=folder)
        finally:
            os.close(folder)


def _no_directory(root: Path, reason: str) -> ConfigError:
    return bad_option("--www", f"{escape(str(root))}: {reason}", "give the directory whose files are served")


def _names(path: str) -> list[str] | None:
    """The decoded parts of a path; None for one that names no file of ours."""
    if not path.startswith("/"):
        return None
    names = [os.fsdecode(unquote_to_bytes(part)) for part in path.split("/") if part]
    return names if all(map(_shown, names)) else None


def _shown(name: str) -> bool:
    """Whether a file of this name may be shown, which is none of "." and ".."."""
    return (name == ".well-known" or not name.startswith(".")) and "/" not in name and "\0" not in name


def _reply(file: BinaryIO, status: os.stat_result, name: str, request: Request) -> Reply:
    """The file, a part of it, or that it is still the same."""
    headers = {key.lower(): value for key, value in request.headers}
    tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
    changed = datetime.fromtimestamp(int(status.st_mtime), UTC)
    about: Headers = [
        ("etag", tag),
        ("last-modified", format_datetime(changed, usegmt=True)),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
    ]
    if _is_known(headers, tag, changed):
        file.close()
        return Reply(304, content_type="", headers=about)
    size = status.st_size
    part = _part(headers, tag, changed, size) if request.method == "GET" else None
    if part is None:
        return Reply(200, content_type=_type(name), headers=about, file=Body(file, size))
    first, last = part
    if first > last:
        file.close()
        return Reply(416, b"no such part\n", headers=[("content-range", f"bytes */{size}"), *about])
    file.seek(first)
    where = ("content-range", f"bytes {first}-{last}/{size}")
    return Reply(206, content_type=_type(name), headers=[where, *about], file=Body(file, last - first + 1))


def _is_known(headers: dict[str, str], tag: str, changed: datetime) -> bool:
    """Whether the client has this very file. RFC 9110 13.1.2, 13.1.3."""
    if (tags := headers.get("if-none-match")) is not None:
        return tags.strip() == "*" or tag in [one.strip().removeprefix("W/") for one in tags.split(",")]
    since = _date(headers.get("if-modified-since"))
    return since is not None and changed <= since


def _part(headers: dict[str, str], tag: str, changed: datetime, size: int) -> tuple[int, int] | None:
    """The first and the last byte that are wanted, the last before the first where there are none such; None for all.

    Several parts at once are answered with the whole file, as RFC 9110 14.2 allows.
    """
    matched = _RANGE.fullmatch(headers.get("range", "").strip())
    if matched is None or matched.groups() == ("", ""):
        return None
    if (condition := headers.get("if-range")) is not None and condition.strip() != tag:
        since = _date(condition)
        if since is None or since != changed:
            return None
    first, last = matched.groups()
    if not first:
        return (max(size - int(last), 0), size - 1) if int(last) else (size, size - 1)
    if last and int(last) < int(first):
        return None
    return min(int(first), size), min(int(last), size - 1) if last else size - 1


def _date(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text or "")
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _type(name: str) -> str:
    """By the name's ending; a compressed file is what it is, and not what is in it."""
    kind, encoding = _TYPES.guess_type(name)
    if encoding is not None:
        return f"application/{encoding}"
    if kind is None:
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
