"""A client that prints who the server is, and what the connection came to.

python examples/who_is_there.py
"""

from __future__ import annotations

import threading

import handfast
from handfast.pki import CertificateAuthority


def main() -> None:
    ca = CertificateAuthority.create("Example CA")
    issued = ca.server("localhost", "127.0.0.1")
    server = handfast.ServerConfig(credentials=handfast.Credentials.from_pem(issued.cert_pem, issued.key_pem))
    # In a program of yours: Roots.from_file("ca.pem"), or no verifier at all for the roots that this machine trusts.
    client = handfast.ClientConfig(
        verifier=handfast.PathVerifier(handfast.Roots.from_pem(ca.certificate_pem)),
        versions=["1.3"],
        groups=["x25519", "P-256"],
    )
    with handfast.listen("127.0.0.1", 0, server) as listener:
        thread = threading.Thread(target=lambda: listener.accept().unwrap().close())
        thread.start()
        with handfast.connect("127.0.0.1", listener.address[1], client, server_name="localhost") as tls:
            print(tls)
            # Never None here: connect raises CertificateRejected for a server that is not verified.
            if peer := tls.info.verified_peer:
                print("who:  ", peer.verdict.subject)
                print("names:", ", ".join(peer.verdict.names))
                print("until:", peer.verdict.not_after)
            print("by:   ", tls.info.version, tls.info.suite, tls.info.group)
        thread.join()


if __name__ == "__main__":
    main()
