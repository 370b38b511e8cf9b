"""What a Redis URL is read as, what is refused, and that nothing shows a password that is not percent-encoded."""

from __future__ import annotations

from itertools import product
from typing import Any
from urllib.parse import quote

import pytest

from handfast import RedisFleet
from handfast.errors import ConfigError
from handfast.fleet.redis_url import parse
from tests.fleet.support import KEY
from tests.peers.base import require_module

LOCAL = {"host": "127.0.0.1", "port": 6379}
# Each in the middle of a password, with halves that stand in no sentence of ours.
HALVES = ("Qzj7", "8Xvk")
RAW = [*"/?#@:%[]&=;+\\ \t\n\u2100", "/@", "@/", "@?", "?@", "/#", "%ff", "@x/", "?db=3&", "/0?password="]


@pytest.mark.parametrize(
    ("url", "scheme", "options", "files"),
    [
        ("redis://127.0.0.1", "redis", LOCAL, {}),
        ("REDIS://127.0.0.1/", "redis", LOCAL, {}),
        ("redis:///7", "redis", {"host": "localhost", "port": 6379, "db": 7}, {}),
        ("redis://127.0.0.1?db=7", "redis", {**LOCAL, "db": 7}, {}),
        ("redis://[fe80::1%25eth0]", "redis", {"host": "fe80::1%eth0", "port": 6379}, {}),
        ("redis://redis_1.internal", "redis", {"host": "redis_1.internal", "port": 6379}, {}),
        ("rediss://[::1]:7000/0", "rediss", {"host": "::1", "port": 7000, "db": 0}, {}),
        ("redis://me:a%2F%3f%40b@127.0.0.1", "redis", {**LOCAL, "username": "me", "password": "a/?@b"}, {}),
        ("redis://:a@b:c@127.0.0.1", "redis", {**LOCAL, "password": "a@b:c"}, {}),
        ("redis://127.0.0.1?username=me&password=a%26b", "redis", {**LOCAL, "username": "me", "password": "a&b"}, {}),
        ("unix:///run/a%40b.sock?db=2", "unix", {"path": "/run/a@b.sock", "db": 2}, {}),
        ("unix://me:word@/run/r.sock", "unix", {"path": "/run/r.sock", "username": "me", "password": "word"}, {}),
        ("rediss://127.0.0.1?ssl_ca_certs=/a%40b.pem", "rediss", LOCAL, {"ssl_ca_certs": "/a@b.pem"}),
    ],
)
def test_what_a_url_says(url: str, scheme: str, options: dict[str, Any], files: dict[str, str]) -> None:
    found = parse(url)
    assert (found.scheme, found.options, found.files) == (scheme, options, files)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (None, "it is no text"),
        (b"redis://127.0.0.1", "it is no text"),
        ("", "begins with none of"),
        ("redis:127.0.0.1", "begins with none of"),
        ("https://redis.example", "begins with none of"),
        ("redis://127.0.0.1/pr\nod", "control characters"),
        (" redis://127.0.0.1", "spaces around it"),
        ("redis://127.0.0.1/prod", "its database is no number"),
        ("redis://127.0.0.1/0/", "its database is no number"),
        ("redis://127.0.0.1/1/2", "its database is no number"),
        ("redis://127.0.0.1/-1", "its database is no number"),
        ("redis://127.0.0.1/\u0661", "its database is no number"),
        ("redis://127.0.0.1/" + "1" * 5000, "its database is no number"),
        ("redis://127.0.0.1?db=prod", "its database is no number"),
        ("redis://127.0.0.1/1?db=2", "no more than once in all"),
        ("redis://127.0.0.1?db=1&db=1", "no more than once in all"),
        ("redis://:one@127.0.0.1?password=other", "no more than once in all"),
        ("rediss://127.0.0.1?ssl_ca_certs=a&ssl_ca_certs=b", "no more than once in all"),
        ("rediss://127.0.0.1?ssl_ca_certs=", "each with a value"),
        ("rediss://127.0.0.1?ssl_ca_certs", "cannot be read"),
        ("rediss://127.0.0.1?ssl_cert_reqs=none", "behind its ? may stand db,"),
        ("redis://127.0.0.1?host=redis.example", "behind its ? may stand db,"),
        ("unix:///run/r.sock?path=/other", "behind its ? may stand db,"),
        ("redis://127.0.0.1/0#1", "there is a # in it"),
        ("redis://127.0.0.1:0", "its port is 0"),
        ("redis://127.0.0.1:port", "cannot be read"),
        ("redis://127.0.0.1:65536", "cannot be read"),
        ("redis://::1", "cannot be read"),
        # Some versions of urllib find these themselves.
        ("redis://[::1]x:3", "url: "),
        ("redis://[::1%25%40]", "url: "),
        ("redis://localhost%0a.example", "neither a name nor an address"),
        ("redis://a%00b", "neither a name nor an address"),
        ("redis://a%20b", "neither a name nor an address"),
        ("redis://one,other", "neither a name nor an address"),
        ("redis://[::1", "cannot be read"),
        ("redis://:%ff@127.0.0.1", "cannot be read"),
        ("unix://run/r.sock", "not followed by an absolute path"),
        ("unix://me:word@", "not followed by an absolute path"),
    ],
)
def test_what_cannot_be_meant(url: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(url)
    assert words in caught.value.what
    assert "percent-encoded" in caught.value.hint


@pytest.mark.parametrize("place", ["redis://{}@127.0.0.1:1/0", "rediss://{}@localhost/3", "unix://{}@/nowhere/r.sock"])
@pytest.mark.parametrize("name", ["", "me"])
def test_nothing_shows_any_of_a_password(place: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever of it is not percent-encoded, wherever it stands: either it is refused, or taken as it was meant."""
    require_module("redis")
    for raw, (first, second) in product(RAW, (HALVES, ("", HALVES[1]))):
        url = place.format(f"{name}:{first}{raw}{second}")
        told = [*what_is_told_of(url), caplog.text]
        assert not [half for half in HALVES for text in told if half in text], url


@pytest.mark.parametrize(
    "place", ["redis://{}127.0.0.1%3A1%2F0", "rediss://{}localhost", "unix:///run/r.sock%3Fpassword%3D{}"]
)
def test_nor_where_all_of_a_url_is_percent_encoded(place: str) -> None:
    require_module("redis")
    url = place.format(quote(f"me:{''.join(HALVES)}@", safe=""))
    assert not [half for half in HALVES for text in what_is_told_of(url) if half in text]


def what_is_told_of(url: str) -> list[str]:
    refused: ConfigError | None = None
    try:
        with RedisFleet(url, [KEY], plaintext=url.startswith("redis:")) as node:
            return [repr(node), node.trouble, str(node._place), repr(parse(url))]
    except ConfigError as error:
        refused = error
    assert "percent-encoded" in refused.hint
    assert refused.__context__ is None
    return [str(refused), refused.explain(), repr(refused), repr(refused.details)]
