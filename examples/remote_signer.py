"""A server whose private key is in another process: a key-holder, which signs its handshakes and nothing else.

python examples/remote_signer.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import handfast
from handfast.pki import CertificateAuthority

HOLDER = [sys.executable, "-m", "handfast.keyholder", "--key", "server.key", "--role", "server", "--unix", "holder"]


def main(directory: Path) -> None:
    ca = CertificateAuthority.create("Example CA")
    server = ca.server("localhost")
    (directory / "server.pem").write_bytes(server.cert_pem)
    key = directory / "server.key"
    key.touch(mode=0o600)
    key.write_bytes(server.key_pem)

    with subprocess.Popen(HOLDER, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as holder:
        try:
            holder.stdout and holder.stdout.readline()
            credentials = handfast.RemoteSigner.credentials(directory / "server.pem", directory / "holder")
            talk(credentials, ca)
        finally:
            holder.terminate()
            _, log = holder.communicate()
    print("the key-holder says:", next(line for line in log.splitlines() if "signed" in line).partition("INFO ")[2])


def talk(credentials: handfast.Credentials, ca: CertificateAuthority) -> None:
    """One connection; blocking here, and the same under handfast.aio."""
    listener = handfast.listen("127.0.0.1", 0, handfast.ServerConfig(credentials=credentials))

    def serve_one() -> None:
        with listener.accept() as tls:
            tls.sendall(b"signed from afar\n")

    thread = threading.Thread(target=serve_one)
    thread.start()
    verifier = handfast.PathVerifier(handfast.Roots.from_der([ca.certificate_der]))
    config = handfast.ClientConfig(verifier=verifier)
    with handfast.connect("127.0.0.1", listener.address[1], config, server_name="localhost") as tls:
        print(tls.recv().decode(), end="")
    thread.join()
    listener.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        main(Path(made))
