"""One HTTP request of the command line, as curl would make it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import h11

from handfast.cli import http
from handfast.errors import bad_option
from handfast.limits import MAX_PEER_TEXT
from handfast.outcome.cause import HTTP_REFUSALS, HttpAnswer
from handfast.text import escape
from handfast.x509.loading import read

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.cli.target import HttpOptions, Target

_FORM = "application/x-www-form-urlencoded"
# With --fail no body of these statuses and higher ones is written, as curl has it.
_FAILED_FROM = 400
# In the start of a body servers such as nginx and IIS say that it is the client's certificate which they refuse.
_BODY_SEARCHED = 4096
_CERTIFICATE = (b"ssl certificate", b"client certificate", b"tls certificate")


def fetch(stream: http.Stream, target: Target, options: HttpOptions, write: Callable[[bytes], None]) -> HttpAnswer:
    """Make the request, ``write`` the body, and return the status line.

    Raises ``http.BadResponse`` for what is no response, or not all of one.
    """
    request = build_request(target, options)
    head: h11.Response | None = None
    begins = b""
    try:
        for part in http.request(stream, request):
            if isinstance(part, bytes):
                begins += part[: _BODY_SEARCHED - len(begins)]
                if not (options.fail and head is not None and head.status_code >= _FAILED_FROM):
                    write(part)
                continue
            head = part if isinstance(part, h11.Response) else head
            if options.include:
                write(_head(part))
    except http.BadRequest as error:
        raise bad_option("-X or -H", str(error), "a method is a word, a header is 'Name: value'") from None
    if head is None:
        raise http.BadResponse("the server closed the connection without a response")
    speaks_of_certificates = head.status_code in HTTP_REFUSALS and any(one in begins.lower() for one in _CERTIFICATE)
    return HttpAnswer(head.status_code, escape(bytes(head.reason), MAX_PEER_TEXT), speaks_of_certificates)


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
