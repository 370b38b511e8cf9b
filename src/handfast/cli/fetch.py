"""One HTTP request of the command line, as curl would make it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import h11

from handfast.cli import http, ui
from handfast.errors import bad_option
from handfast.text import escape
from handfast.x509.files import read

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.cli.target import HttpOptions, Target

_FORM = "application/x-www-form-urlencoded"


def fetch(stream: http.Stream, target: Target, options: HttpOptions, write: Callable[[bytes], None]) -> None:
    """Make the request, ``write`` the body. What is no response, or not all of one, ends the program."""
    request = build_request(target, options)
    try:
        for part in http.request(stream, request):
            if isinstance(part, bytes):
                write(part)
            elif options.include:
                write(_head(part))
    except http.BadRequest as error:
        raise bad_option("-X or -H", str(error), "a method is a word, a header is 'Name: value'") from None
    except http.BadResponse as error:
        ui.fail(f"not a complete HTTP response: {error}", "the peer's fault", "does an HTTP server answer there?")


def build_request(target: Target, options: HttpOptions) -> http.Request:
    """The request that target and options ask for."""
    body = b"&".join(map(_data, options.data))
    usual = [("Host", target.authority), ("User-Agent", "handfast"), ("Accept", "*/*"), ("Connection", "close")]
    if options.data:
        usual += [("Content-Type", _FORM), ("Content-Length", str(len(body)))]
    headers = {name.lower(): (name, value) for name, value in usual}
    more = []
    for line in options.headers:
        name, value = _header(line)
        if headers.pop(name.lower(), None) is not None and not value and not line.endswith(";"):
            continue
        if value or line.endswith(";"):
            more.append((name, value))
    method = options.method or ("POST" if options.data else "GET")
    return http.Request(method, target.path or "/", [*headers.values(), *more], body)


def _header(line: str) -> tuple[str, str]:
    """As in curl: ``Name: value``, ``Name:`` to leave a usual one out, ``Name;`` for one without a value."""
    name, colon, value = line.partition(":")
    if not colon and line.endswith(";"):
        name, colon = line[:-1], ":"
    if not colon or not name.strip():
        raise bad_option("-H", f"{escape(line)!r} is no header", "give 'Name: value'")
    return name.strip(), value.strip()


def _data(value: str) -> bytes:
    """As in curl: ``@FILE`` is the file without its line breaks."""
    if not value.startswith("@"):
        return value.encode("utf-8", "surrogateescape")
    content = sys.stdin.buffer.read() if value == "@-" else read(value[1:])
    return content.translate(None, b"\r\n\0")


def _head(head: h11.Response | h11.InformationalResponse) -> bytes:
    lines = [f"HTTP/{head.http_version.decode()} {head.status_code} {escape(bytes(head.reason))}"]
    lines += [f"{escape(bytes(name))}: {escape(bytes(value))}" for name, value in head.headers.raw_items()]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()
