"""The public names: what docs/api.md lists, what `handfast` exports, and what importing it costs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import handfast

ROOT = Path(__file__).parent.parent


def documented_names() -> set[str]:
    text = (ROOT / "docs" / "api.md").read_text()
    text = text.partition("\n| name of `handfast.pki`")[0] + text.partition("\n## Ask a client")[2]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([A-Za-z_0-9]+)", row)}


def test_documented_and_exported_names_are_the_same() -> None:
    exported = set(handfast.__all__)
    assert documented_names() - {"accept", "connect", "listen", "refuse"} == exported - {
        "accept",
        "connect",
        "listen",
        "refuse",
    }
    assert {"connect", "listen"} <= exported


PUBLIC_MODULES = ("aio", "errors", "events", "lens", "lint", "passive", "pki", "registry")


def test_examples_and_pages_import_public_names_alone() -> None:
    pages = [*(ROOT / "examples").glob("*.py"), ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for module, names in re.findall(r"^(?: *)from handfast(\S*) import (.+)$", page.read_text(), re.MULTILINE):
            # The page of a tool of its own, which it imports; and what imports servers of others, each by its name.
            if page.name == "endpoint.md" or module.split(".")[1:2] == ["contrib"]:
                continue
            assert module.removeprefix(".") in ("", *PUBLIC_MODULES), f"{page.name}: handfast{module}"
            room = getattr(handfast, module.removeprefix(".")) if module else handfast
            public = set(getattr(room, "__all__", dir(room)))
            assert {name.strip() for name in names.split(",")} <= public, f"{page.name}: {names}"


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_a_public_module_is_documented(module: str) -> None:
    room = getattr(handfast, module)
    assert room.__doc__
    assert all(getattr(room, name) is not None for name in getattr(room, "__all__", ()))


def test_every_exported_name_loads() -> None:
    for name in handfast.__all__:
        assert getattr(handfast, name) is not None


def modules_after(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


HEAVY = {"cryptography.x509", "ssl", "asyncio", "click", "rich", "h11", "jinja2", "brotli", "zstandard", "watchfiles"}


def test_importing_handfast_loads_nothing_heavy() -> None:
    loaded = modules_after("import handfast")
    assert not loaded & HEAVY
    assert not any(name.startswith(("cryptography", "handfast.contrib")) for name in loaded)


def test_a_server_without_client_certificates_loads_nothing_heavy(tmp_path: Path) -> None:
    from tests.certificates import ca, server

    (tmp_path / "server.pem").write_bytes(server().cert_pem)
    (tmp_path / "server.key").write_bytes(server().key_pem)
    (tmp_path / "ca.pem").write_bytes(ca().certificate_pem)
    # A whole handshake of the server's side, against a client hello and flight made by another process's engine.
    code = f"""
import handfast
credentials = handfast.Credentials.from_files({str(tmp_path / "server.pem")!r}, {str(tmp_path / "server.key")!r})
server = handfast.ServerConnection(handfast.ServerConfig(credentials=[credentials]))
class Trusting:
    def verify(self, presented):
        return handfast.accept()
client = handfast.ClientConnection(handfast.ClientConfig(verifier=Trusting()), server_name="localhost")
while not (server.connected and client.connected):
    server.receive(client.outgoing())
    client.receive(server.outgoing())
server.send(b"x")
"""
    assert not modules_after(code) & HEAVY
