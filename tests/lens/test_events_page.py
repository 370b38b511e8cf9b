"""docs/events.md: its programs run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.certificates import ca, server
from tests.waiting import LIMIT

PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
LIVE, RECORDED = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

# A server in a thread, and the names that the first program takes for granted.
AROUND = """
import threading
import handfast

config = handfast.ClientConfig(verifier=handfast.PathVerifier(handfast.Roots.from_file("ca.pem")))
own = handfast.Credentials.from_files("server.pem", "server.key")
received, watched = [], []
listener = handfast.listen(
    "127.0.0.1", 0, handfast.ServerConfig(credentials=[own]), watch=lambda address: ([watched.append], [])
)

def serve():
    with listener.accept() as tls:
        received.append(tls.recv())

thread = threading.Thread(target=serve)
thread.start()
port = listener.address[1]
{program}
thread.join()
listener.close()
print("received", received, len(watched) > 10)
"""


def run(program: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LIMIT, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_program_that_watches_a_connection_runs(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(ca().certificate_pem)
    (tmp_path / "server.pem").write_bytes(server().cert_pem)
    (tmp_path / "server.key").write_bytes(server().key_pem)
    program = LIVE.replace('"localhost", 1337, config, ', '"127.0.0.1", port, config, ')
    printed = run(AROUND.format(program=program), tmp_path)
    assert "received [b'hello'] True" in printed
    assert "legacy_session_id" in printed
    keys = tmp_path / "keys.log"
    assert keys.stat().st_mode & 0o777 == 0o600
    assert len(keys.read_text().splitlines()) == 5


def test_the_program_that_reads_a_capture_runs(tmp_path: Path) -> None:
    demo = [sys.executable, "-m", "handfast", "demo", "--port", "0", "--out", str(tmp_path)]
    subprocess.run(demo, capture_output=True, check=True, timeout=LIMIT)
    printed = run(RECORDED, tmp_path)
    assert re.search(r"^2 \d+ .*  C>S  application_data", printed, re.MULTILINE)
    assert "legacy_session_id" in printed
