"""The doctor's lines for uvicorn, each given to a real uvicorn that has the fault: then it works."""

from __future__ import annotations

import contextlib
import os
import shlex
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from handfast.doctor.catalogue import fixes
from tests.doctor.matrix import Cast, asked
from tests.doctor.others import program
from tests.doctor.servers import Running, listening, process
from tests.peers.hosted import PROGRAMS as APPLICATIONS
from tests.ports import own_port
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(
    os.environ.get("HANDFAST_DOCTOR") != "1", reason="it takes a minute: make doctor-matrix"
)


@contextlib.contextmanager
def uvicorn(cast: Cast, *options: object) -> Iterator[Running]:
    with own_port() as port:
        command = [program("uvicorn"), "application:application", "--app-dir", str(APPLICATIONS), "--port", str(port)]
        environment = {**os.environ, "PAGE": str(cast.write("page", b"hello\n")), "PYTHONDONTWRITEBYTECODE": "1"}
        log = cast.directory / "uvicorn.log"
        with listening([*command, *map(str, options)], log, port, env=environment) as running:
            yield running


def line(code: str, cast: Cast) -> list[str]:
    """The options of the doctor's line, with the files of the cast in it."""
    known = {"server_cert": cast.server[0], "server_key": cast.server[1], "client_ca": cast.ca}
    words = shlex.split(fixes()[code].filled({name: str(path) for name, path in known.items()})["uvicorn"])
    return words[words.index("app:app") + 1 :] if "app:app" in words else words


def options(cast: Cast, **changed: object) -> dict[str, object]:
    """Those of a server that works, with others in their place."""
    usual = {"ssl-certfile": cast.server[0], "ssl-keyfile": cast.server[1], "ssl-ca-certs": cast.ca, "ssl-cert-reqs": 2}
    return usual | {name.replace("_", "-"): value for name, value in changed.items()}


def as_words(given: dict[str, object]) -> list[str]:
    return [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]


def mended(given: dict[str, object], words: list[str]) -> list[str]:
    """The options with those of a fix in their place."""
    names = {word[2:] for word in words if word.startswith("--")}
    return [*as_words({name: value for name, value in given.items() if name not in names}), *words]


@pytest.mark.parametrize(
    ("code", "broken", "cause"),
    [
        ("server_asks", {"ssl_ca_certs": None, "ssl_cert_reqs": None}, "not_requested"),
        ("server_trusts_client_ca", {"ssl_ca_certs": "issuer.pem"}, "client_wrong_ca"),
        # asyncio closes before an alert has left.
        ("suites", {"ssl_ciphers": "ECDHE-RSA-AES128-GCM-SHA256"}, "closed_in_handshake"),
    ],
)
def test_a_line_for_a_server_that_is_mistaken(
    code: str, broken: dict[str, object], cause: str, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(cast.directory)
    given = options(cast, **broken)
    more = ("--tls", "1.2") if code == "suites" else ()
    with uvicorn(cast, *as_words(given)) as running:
        assert cause in asked(cast, running, *more)
    with uvicorn(cast, *mended(given, line(code, cast))) as running:
        assert asked(cast, running, *more) == set()


def test_the_line_for_a_chain(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(cast.directory)
    issued = cast.scene.server(cast.scene.intermediate)
    cast.write("server-chain.pem", issued.cert_pem)
    leaf = issued.cert_pem.partition(b"-----END CERTIFICATE-----\n")
    given = options(cast, ssl_certfile=cast.write("leaf.pem", b"".join(leaf[:2])))
    given["ssl-keyfile"] = cast.write("leaf.key", issued.key_pem)
    with uvicorn(cast, *as_words(given)) as running:
        assert "server_missing_intermediate" in asked(cast, running)
    with uvicorn(cast, *mended(given, line("server_sends_chain", cast))) as running:
        assert asked(cast, running) == set()


def test_the_lines_for_a_key(cast: Cast) -> None:
    """With another key, or one with a password that it was not told, it does not start."""
    key = cast.scene.server()
    other = options(cast, ssl_keyfile=cast.write("other.key", key.key_pem))
    with process(
        [program("uvicorn"), "application:application", *as_words(other)], cast.directory / "u.log"
    ) as running:
        assert running.wait(LIMIT) != 0
    with uvicorn(cast, *mended(other, line("server_right_key", cast))) as served:
        assert asked(cast, served) == set()
    locked = load_pem_private_key(cast.server[1].read_bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"...")
    )
    given = options(cast, ssl_keyfile=cast.write("locked.key", locked))
    with uvicorn(cast, *mended(given, line("server_key_password", cast))) as served:
        assert asked(cast, served) == set()
