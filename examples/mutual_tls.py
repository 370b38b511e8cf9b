"""A server that must know who calls it, and a client that shows who it is: the whole of mutual TLS in one process.

python examples/mutual_tls.py
"""

from __future__ import annotations

import threading

import handfast
from handfast.pki import CertificateAuthority


def main() -> None:
    ca = CertificateAuthority.create("Example CA")
    verifier = handfast.PathVerifier(handfast.Roots.from_der([ca.certificate_der]))
    server, client = ca.server("localhost"), ca.client("alice")

    listener = handfast.listen(
        "127.0.0.1",
        0,
        handfast.ServerConfig(
            credentials=handfast.Credentials.from_pem(server.cert_pem, server.key_pem),
            client_auth="require_and_verify",
            verifier=verifier,
        ),
    )

    def serve_one() -> None:
        with listener.accept() as tls:
            peer = tls.handshake().verified_peer
            tls.sendall(f"hello, {peer.verdict.subject if peer else 'nobody'}\n".encode())

    thread = threading.Thread(target=serve_one)
    thread.start()
    config = handfast.ClientConfig(
        verifier=verifier, credentials=handfast.Credentials.from_pem(client.cert_pem, client.key_pem)
    )
    with handfast.connect("127.0.0.1", listener.address[1], config, server_name="localhost") as tls:
        print(tls.recv().decode(), end="")
    thread.join()
    listener.close()


if __name__ == "__main__":
    main()
