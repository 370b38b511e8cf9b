"""docs/certificates.md: its commands run as they stand, and its table of keys is right where it is surprising."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handfast.cli import main
from tests.peers import CLIENTS, SERVERS, ClientAuth, Options

if TYPE_CHECKING:
    from tests.cli.conftest import Run

PAGE = (Path(__file__).parents[2] / "docs" / "certificates.md").read_text()
COMMANDS = re.findall(r"^\$ handfast (.*)$", PAGE, re.MULTILINE)


def test_every_command_runs_after_the_others(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "password").write_text("open sesame\n")
    assert len(COMMANDS) > 15
    for command in COMMANDS:
        result = run(*shlex.split(command))
        assert (result.status, result.out != "") == (0, True), f"{command}\n{result.err}"
    named = {name for name in re.findall(r"`pki/([\w.]+)`", PAGE) if name}
    assert named <= {path.name for path in (tmp_path / "pki").iterdir()}


def test_every_option_is_on_the_page(run: Run) -> None:
    options = set(re.findall(r"--[a-z0-9-]+", run("certs", "--help").out)) - {"--help"}
    assert {option for option in options if option not in PAGE} <= {"--key-"}


@pytest.mark.parametrize(
    ("stack", "kind", "accepted"),
    [("go", "ml-dsa-65", True), ("node", "ml-dsa-65", True), ("go", "ed448", False), ("node", "ed448", True)],
)
def test_who_accepts_which_key(stack: str, kind: str, accepted: bool, tmp_path: Path) -> None:
    assert main(["certs", "localhost", "--dir", str(tmp_path), "--key-type", kind]) == 0
    trust = tmp_path / "ca.pem"
    server = Options(
        certificate=tmp_path / "server.pem", key=tmp_path / "server.key", trust=trust,
        client_auth=ClientAuth.REQUIRE, version="1.3",
    )  # fmt: skip
    client = Options(certificate=tmp_path / "client.pem", key=tmp_path / "client.key", trust=trust, version="1.3")
    partner = stack if kind.startswith("ml-dsa") else "python"
    with SERVERS[partner](server) as serving, CLIENTS[stack](serving.port, client) as connecting:
        outcome = connecting.outcome()
    assert (outcome.received or b"").startswith(b"HTTP/") is accepted, outcome.text
