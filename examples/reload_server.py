"""A server whose certificate is replaced while it runs: the file's new contents are used, and nobody is cut off.

python examples/reload_server.py
"""

from __future__ import annotations

import signal
import tempfile
import threading
from pathlib import Path

import handfast
from handfast.pki import CertificateAuthority, Issued


def write(folder: Path, issued: Issued) -> None:
    """As a renewal does it: each file is written beside the old one, then takes its name."""
    for name, data in (("server.key", issued.key_pem), ("server.pem", issued.cert_pem)):
        new = folder / f"{name}.new"
        new.write_bytes(data)
        new.replace(folder / name)


def main() -> None:
    ca = CertificateAuthority.create("Example CA")
    client = handfast.ClientConfig(verifier=handfast.PathVerifier(handfast.Roots.from_der([ca.certificate_der])))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, ca.server("localhost"))
        identity = handfast.ReloadingCredentials.from_files(folder / "server.pem", folder / "server.key")
        listener = handfast.listen("127.0.0.1", 0, handfast.ServerConfig(credentials=identity))

        port = listener.address[1]

        def serve() -> None:
            for _ in range(2):
                tls = listener.accept()
                tls.handshake()
                threading.Thread(target=echo, args=(tls,)).start()

        threading.Thread(target=serve).start()
        # In a service: files=True, the default, which needs handfast[reload].
        with handfast.FileWatcher(identity, files=False, on_signal=signal.SIGHUP), connect(port, client) as before:
            renewed = ca.server("localhost")
            write(folder, renewed)
            # At once rather than soon: what `kill -HUP` and the watcher do.
            print("reloaded:", identity.reload())
            with connect(port, client) as after:
                print("new connections see the new certificate:", after.info.peer_chain == renewed.chain)
            before.sendall(b"still here")
            print("the old connection:", before.recv().decode())
        listener.close()


def connect(port: int, config: handfast.ClientConfig) -> handfast.TLSSocket:
    return handfast.connect("127.0.0.1", port, config, server_name="localhost")


def echo(tls: handfast.TLSSocket) -> None:
    with tls:
        while data := tls.recv():
            tls.sendall(data)


if __name__ == "__main__":
    main()
