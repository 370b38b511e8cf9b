"""One HTTP request of the command line, as curl would make it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handfast.cli import fetch_h2, http
from handfast.cli.responses import Head
from handfast.errors import bad_option
from handfast.limits import MAX_PEER_TEXT
from handfast.outcome.cause import HTTP_REFUSALS, HttpAnswer
from handfast.text import escape
from handfast.x509.loading import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from handfast.cli.target import HttpOptions, Target
    from handfast.cli.verbose import Verbose

HTTP_1 = "http/1.1"
_FORM = "application/x-www-form-urlencoded"
# With --fail no body of these statuses and higher ones is written, as curl has it.
_FAILED_FROM = 400
# In the start of a body servers such as nginx and IIS say that it is the client's certificate which they refuse.
_BODY_SEARCHED = 4096
_CERTIFICATE = (b"ssl certificate", b"client certificate", b"tls certificate")


def protocols() -> tuple[str, ...]:
    """The versions of HTTP that can be spoken, by their ALPN names, most wanted first."""
    return (fetch_h2.ALPN, HTTP_1) if fetch_h2.available() else (HTTP_1,)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of a request.

    Attributes:
        answer: the status line, for the verdict. location: where a redirect leads that is to be followed, else "".
    """

    answer: HttpAnswer
    location: str


def fetch(
    stream: http.Stream,
    request: http.Request,
    options: HttpOptions,
    write: Callable[[bytes], None],
    verbose: Verbose,
    *,
    protocol: str | None = HTTP_1,
) -> Fetched:
    """Make the request in the version that ALPN chose, ``write`` the body.

    Of a redirect that is to be followed the body is left out. Raises ``http.BadResponse`` for what is no response, or
    not all of one.
    """
    head: Head | None = None
    begins = b""
    version = "2" if protocol == fetch_h2.ALPN else "1.1"
    fields = request.headers if version == "1.1" else fetch_h2.fields(request)
    verbose.sent([f"{request.method} {request.target} HTTP/{version}", *map(": ".join, fields)])
    try:
        for part in _exchange(stream, request, version):
            if isinstance(part, bytes):
                begins += part[: _BODY_SEARCHED - len(begins)]
                if head is not None and not (_is_failed(options, head) or _is_followed(options, head)):
                    write(part)
                continue
            head = part
            verbose.received(head.lines)
            if options.include or options.head:
                write("".join(f"{line}\r\n" for line in [*head.lines, ""]).encode())
    except http.BadRequest as error:
        raise bad_option("-X or -H", str(error), "a method is a word, a header is 'Name: value'") from None
    if head is None or head.informational:
        raise http.BadResponse("the server closed the connection without a response")
    speaks_of_certificates = head.status in HTTP_REFUSALS and any(one in begins.lower() for one in _CERTIFICATE)
    answer = HttpAnswer(head.status, escape(head.reason, MAX_PEER_TEXT), speaks_of_certificates)
    return Fetched(answer, head.location() if options.location else "")


def _is_failed(options: HttpOptions, head: Head) -> bool:
    return options.fail and head.status >= _FAILED_FROM


def _is_followed(options: HttpOptions, head: Head) -> bool:
    return options.location and bool(head.location())


def _exchange(stream: http.Stream, request: http.Request, version: str) -> Iterator[Head | bytes]:
    """The response's parts. h11 judges what a request may be for both versions: h2 takes more."""
    if version == "2":
        http.check(request)
        yield from fetch_h2.request(stream, request)
        return
    for part in http.request(stream, request):
        if isinstance(part, bytes):
            yield part
        else:
            yield Head(part.http_version.decode(), part.status_code, bytes(part.reason), part.headers.raw_items())


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
    method = options.method or ("HEAD" if options.head else "POST" if options.data else "GET")
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
