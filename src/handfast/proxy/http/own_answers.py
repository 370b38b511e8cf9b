"""Heads of HTTP/1.1 answers, and the answers that the proxy gives itself."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from handfast.proxy.http.header_fields import Fields
    from handfast.proxy.http.request import Refused


@lru_cache(maxsize=128)
def phrase(status: int) -> bytes:
    """The reason phrase of a status, b"" for one that is not registered."""
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""


def head(status: int, reason: bytes, fields: Fields) -> bytes:
    """An answer's head without the line that ends it."""
    return b"".join([b"HTTP/1.1 %d %b\r\n" % (status, reason), *[b"%b: %b\r\n" % field for field in fields]])


def own(refused: Refused) -> tuple[Fields, bytes]:
    """Fields and body of an answer of ours: what the client may know, as a line of text."""
    body = f"{refused.told}\n".encode()
    fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    return [*fields, (b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")], body
