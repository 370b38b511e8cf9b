"""The README and the examples: what they show is what runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from tests.waiting import LIMIT

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("example", sorted(path.name for path in (ROOT / "examples").glob("*.py")))
def test_example_runs(example: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / example], capture_output=True, text=True, timeout=LIMIT, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def without_what_varies(line: str) -> str:
    """Times, sizes of what holds a signature, and the port differ from run to run."""
    line = re.sub(r"\d+\.\d{4}", "T", line)
    line = re.sub(r"\d+ bytes", "N bytes", line)
    line = re.sub(r"signature of \d+", "signature of N", line)
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", line)


def test_the_readmes_transcript_is_what_demo_prints(tmp_path: Path) -> None:
    shown = re.search(r"<!-- demo -->\n```text\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    done = subprocess.run(
        [sys.executable, "-m", "handfast", "demo", "--port", "0", "--out", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == 0
    printed = iter([without_what_varies(line) for line in (done.stdout + done.stderr).splitlines()])
    for line in shown[1].splitlines():
        # In this order, with lines left out between them.
        assert without_what_varies(line) in printed, line


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("whose", ["ours", "nobody's"])
def test_the_program_with_blocking_sockets_runs(whose: str, tmp_path: Path) -> None:
    import handfast
    from tests.certificates import ca, client, other_ca, server

    program = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(), re.DOTALL)
    assert program is not None
    (tmp_path / "ca.pem").write_bytes(ca().certificate_pem)
    shown = client() if whose == "ours" else other_ca().client("mallory")
    (tmp_path / "client.pem").write_bytes(shown.cert_pem)
    (tmp_path / "client.key").write_bytes(shown.key_pem)
    config = handfast.ServerConfig(
        credentials=[handfast.Credentials.from_pem(server().cert_pem, server().key_pem)],
        client_auth=handfast.ClientAuth.REQUIRE_AND_VERIFY,
        verifier=handfast.PathVerifier(handfast.Roots.from_der([ca().certificate_der])),
        tickets=handfast.SealedTickets(),
    )
    listener = handfast.listen("127.0.0.1", 0, config, timeout=LIMIT)

    def serve() -> None:
        for _ in range(2):
            with listener.accept() as tls, suppress(handfast.HandfastError):
                asked = b"".join(iter(tls.recv, b""))
                peer = tls.info.verified_peer
                assert peer is not None
                tls.sendall(f"{asked.decode()} {peer.verdict.subject}, resumed: {tls.info.resumed}".encode())

    thread = Thread(target=serve)
    thread.start()
    script = program[1].replace("1337", str(listener.address[1])).replace("localhost", "127.0.0.1")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=LIMIT, cwd=tmp_path)
    thread.join()
    listener.close()
    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    if whose == "ours":
        assert first.startswith("who am I? CN=alice")
        assert first.endswith("resumed: False")
        assert second.startswith("and now? CN=alice")
        assert second.endswith("resumed: True")
    else:
        assert first == second
        assert first.startswith("refused: unknown_ca: the peer does not trust the CA of our certificate")


def run_here(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", *shlex.split(command)]
    return subprocess.run(words, capture_output=True, text=True, timeout=LIMIT, cwd=folder)


def test_the_readmes_commands_run_one_after_the_other(tmp_path: Path) -> None:
    block = re.search(r"```console\n(\$ handfast certs.*?)```", README, re.DOTALL)
    shown = re.search(r"```text\n(handfast: error: .*?)```", README, re.DOTALL)
    assert block is not None
    assert shown is not None
    certs, enter, serve, *others = block[1].replace("$ ", "").splitlines()
    assert run_here(certs, tmp_path).returncode == 0
    folder = tmp_path / enter.removeprefix("cd ")
    command = [sys.executable, "-m", *shlex.split(serve), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder) as process:
        assert process.stdout is not None
        try:
            found = re.search(r":(\d+)/", process.stdout.readline())
            assert found is not None
            done = [run_here(other.replace("localhost:1337", f"localhost:{found[1]}"), folder) for other in others]
        finally:
            process.terminate()
    *right, refused, _ = done
    assert [one.returncode for one in done] == [0] * len(right) + [1, 0]
    assert "verified" in right[0].stdout
    assert "ClientHello" in right[1].stderr
    told = re.sub(r"handfast CA [0-9a-f]{6}", "handfast CA 3f9a2c", refused.stderr)
    assert told.splitlines() == shown[1].splitlines()
    assert (folder / "broken" / "server.pem").exists()


def test_the_readmes_program_runs_against_serve(tmp_path: Path) -> None:
    from tests.certificates import ca, client, server

    for name, data in {
        "ca.pem": ca().certificate_pem,
        "server.pem": server().cert_pem,
        "server.key": server().key_pem,
        "client.pem": client().cert_pem,
        "client.key": client().key_pem,
    }.items():
        (tmp_path / name).write_bytes(data)
    program = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert program is not None
    serve = [sys.executable, "-m", "handfast", "serve", "--cert", "server.pem", "--key", "server.key"]
    command = [*serve, "--client-ca", "ca.pem", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            started = process.stdout.readline() or process.stderr.readline()
            found = re.search(r"127\.0\.0\.1:(\d+)", started)
            assert found is not None, started
            script = program[1].replace("1337", found[1]).replace('"localhost", ', '"127.0.0.1", ', 1)
            done = subprocess.run(
                [sys.executable, "-c", script], capture_output=True, text=True, timeout=LIMIT, cwd=tmp_path
            )
        finally:
            process.terminate()
    assert done.stderr == ""
    assert "HTTP/1.1 200" in done.stdout
    assert "alice" in done.stdout
