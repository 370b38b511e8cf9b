"""The engine without I/O: two connections exchange bytes through two variables.

python examples/without_io.py
"""

from __future__ import annotations

import handfast
from handfast.pki import CertificateAuthority


def main() -> None:
    ca = CertificateAuthority.create("Example CA")
    issued = ca.server("localhost")
    client = handfast.ClientConnection(
        handfast.ClientConfig(verifier=handfast.PathVerifier(handfast.Roots.from_der([ca.certificate_der]))),
        server_name="localhost",
    )
    server = handfast.ServerConnection(
        handfast.ServerConfig(credentials=handfast.Credentials.from_pem(issued.cert_pem, issued.key_pem))
    )
    while not (client.connected and server.connected):
        server.receive(client.outgoing())
        client.receive(server.outgoing())
    client.send(b"all without a socket")
    for result in server.receive(client.outgoing()):
        if isinstance(result, handfast.Data):
            print(bytes(result.data).decode())


if __name__ == "__main__":
    main()
