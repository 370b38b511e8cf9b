"""`handfast certs`: what it makes works, what it breaks is refused, and nothing is overwritten."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from handfast.cli import main
from handfast.credentials.credentials import Credentials
from handfast.pki.faults import FAULTS
from handfast.trust.roots import Roots
from handfast.x509.describe import describe
from tests.cli.conftest import Run

FILES = ["ca.key", "ca.pem", "client.key", "client.pem", "server.key", "server.pem"]


def test_one_command_makes_a_working_pair(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    result = run("certs", "localhost", "127.0.0.1", "spiffe://corp.example/api", "--dir", folder, "--client", "alice")
    assert result.status == 0
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert sorted(Path(line).name for line in result.out.splitlines()) == FILES
    server = Credentials.from_files(folder / "server.pem", folder / "server.key")
    client = Credentials.from_files(folder / "client.pem", folder / "client.key")
    assert server.names == ("DNS:localhost", "IP:127.0.0.1", "URI:spiffe://corp.example/api")
    assert "CN=alice" in describe(client.chain[0]).subject
    assert len(Roots.from_file(folder / "ca.pem")) == 1
    assert stat.S_IMODE((folder / "server.key").stat().st_mode) == 0o600


def test_a_server_and_a_client_talk_with_them(run: Run, tmp_path: Path) -> None:
    import threading

    from handfast.engine import ClientAuth, ClientConfig, ServerConfig
    from handfast.io import sockets
    from handfast.trust.verifiers import PathVerifier

    assert run("certs", "localhost", "--dir", tmp_path, "--key-type", "ed25519").status == 0
    verifier = PathVerifier(Roots.from_file(tmp_path / "ca.pem"))
    config = ServerConfig(
        credentials=[Credentials.from_files(tmp_path / "server.pem", tmp_path / "server.key")],
        client_auth=ClientAuth.REQUIRE_AND_VERIFY,
        verifier=verifier,
    )
    with sockets.listen("127.0.0.1", 0, config) as listener:

        def serve() -> None:
            with listener.accept() as tls:
                tls.sendall(b"hello")

        thread = threading.Thread(target=serve)
        thread.start()
        own = [Credentials.from_files(tmp_path / "client.pem", tmp_path / "client.key")]
        client = ClientConfig(credentials=own, verifier=verifier)
        with sockets.connect("127.0.0.1", listener.address[1], client, server_name="localhost") as tls:
            assert tls.recv() == b"hello"
        thread.join()


def test_nothing_is_overwritten_unless_asked(run: Run, tmp_path: Path) -> None:
    assert run("certs", "localhost", "--dir", tmp_path).status == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert run("certs", "localhost", "--dir", tmp_path).is_error(2, "ca.pem")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert run("certs", "localhost", "--dir", tmp_path, "--replace").status == 0
    assert (tmp_path / "server.pem").read_bytes() != before["server.pem"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("NAME", "is missing")),
        (("not a name!",), ("not a name!",)),
        (("--fault", "no-such-fault"), ("no-such-fault",)),
        (("a", "b", "--fault", "expired"), ("one host",)),
        (("localhost", "--key-type", "dsa"), ("dsa",)),
    ],
)
def test_bad_arguments(run: Run, tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    assert run("certs", *arguments, "--dir", tmp_path / "pki").is_error(2, *words)
    assert not (tmp_path / "pki").exists()


def test_the_list_of_faults_is_the_table(run: Run) -> None:
    listed = [line.split()[0] for line in run("certs", "--list-faults").out.splitlines()]
    assert listed == list(FAULTS)


@pytest.mark.parametrize("fault", ["expired", "client-swapped", "client-revoked"])
def test_a_fault_is_written_and_explained(run: Run, tmp_path: Path, fault: str) -> None:
    result = run("certs", "--fault", fault, "--dir", tmp_path)
    assert result.status == 0
    assert (tmp_path / "ca.pem").exists()
    assert FAULTS[fault].what in result.err
    assert str(FAULTS[fault].code) in result.err


def test_help_opens_with_examples(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["certs", "--help"]) == 0
    assert capfd.readouterr().out.startswith("Examples:\n  handfast certs localhost")
