"""Every Python program in the README and in docs/ runs as it stands.

It is run in a folder that holds the files it names, and finds a server at localhost:1337 (another port, really). What
cannot run alone, because it needs a token or the reader's own names, has ``<!-- fragment -->`` in the line above it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

import handfast
from tests.certificates import ca, client, server
from tests.waiting import LIMIT, OUR_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
FRAGMENT = "<!-- fragment -->\n"
# Its programs serve until they are stopped: tests/frameworks runs them.
SERVING = {ROOT / "docs" / "asgi.md"}
MOST_FRAGMENTS = 3
PASSWORD = b"open sesame"


class Snippet(NamedTuple):
    """A program of a page, and where it starts."""

    place: str
    program: str
    fragment: bool


def snippets() -> Iterator[Snippet]:
    for page in [ROOT / "README.md", *sorted({*(ROOT / "docs").glob("*.md")} - SERVING)]:
        text = page.read_text()
        for found in re.finditer(rf"({FRAGMENT})?```python\n(.*?)```", text, re.DOTALL):
            line = text.count("\n", 0, found.start(2))
            yield Snippet(f"{page.relative_to(ROOT)}:{line}", found[2], found[1] is not None)


SNIPPETS = list(snippets())


def files() -> dict[str, bytes]:
    """What the programs read, by its name."""
    issued = {
        "server": server(),
        "client": client(),
        "shop": ca().server("shop.example"),
        "shop-rsa": ca().server("shop.example", key="rsa-2048"),
        "partners": ca().server("*.partners.example"),
    }
    made = {f"{name}.pem": one.cert_pem for name, one in issued.items()}
    made |= {f"{name}.key": one.key_pem for name, one in issued.items()}
    alice = x509.load_der_x509_certificate(client().chain[0])
    sealed = pkcs12.serialize_key_and_certificates(
        b"alice",
        client().key,
        alice,
        None,
        BestAvailableEncryption(PASSWORD),
    )
    made |= {"alice.p12": sealed, "alice.password": PASSWORD}
    made |= {"ca.pem": ca().certificate_pem, "clients-ca.pem": ca().certificate_pem, "crls/ca.crl": ca().crl([])}
    return made | {"server.ocsp": ca().ocsp_response(server())}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("snippets")
    (made / "crls").mkdir()
    for name, data in files().items():
        (made / name).touch(mode=0o600)
        (made / name).write_bytes(data)
    demo = [sys.executable, "-m", "handfast", "demo", "--port", "0", "--out", str(made / "demo")]
    subprocess.run(demo, capture_output=True, check=True, timeout=LIMIT)
    shutil.copy(made / "demo" / "capture.pcapng", made)
    return made


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server that answers anything with one page, and knows sessions and early data."""
    config = handfast.ServerConfig(
        credentials=[handfast.Credentials.from_pem(server().cert_pem, server().key_pem)],
        client_auth=handfast.ClientAuth.REQUEST,
        verifier=handfast.PathVerifier(handfast.Roots.from_der([ca().certificate_der])),
        tickets=handfast.SealedTickets(),
        max_early_data=16384,
        replay_guard=handfast.MemoryReplayGuard(),
    )
    listener = handfast.listen("127.0.0.1", 0, config, timeout=OUR_LIMIT)

    def serve() -> None:
        with suppress(OSError, handfast.HandfastError):
            while True:
                accepted = listener.accept()
                # A client may have said all, or hung up, before the answer.
                with suppress(handfast.HandfastError), accepted as tls:
                    tls.recv()
                    tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.address[1]
    listener.close()
    thread.join()


@pytest.mark.parametrize("snippet", [one for one in SNIPPETS if not one.fragment], ids=lambda snippet: snippet.place)
def test_it_runs(snippet: Snippet, folder: Path, port: int) -> None:
    program = snippet.program.replace("1337", str(port))
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")


def test_few_are_fragments() -> None:
    fragments = [one for one in SNIPPETS if one.fragment]
    assert len(fragments) <= MOST_FRAGMENTS
    # Even those are Python.
    for one in fragments:
        compile("def fragment():\n" + textwrap.indent(one.program, "    "), one.place, "exec")
