"""A server that asks for a certificate, takes clients without one too, and lets in by name.

python examples/admit_by_name.py
"""

from __future__ import annotations

import threading

import handfast
from handfast.pki import CertificateAuthority

ADMITTED = {"DNS:alice"}


def answer(info: handfast.ConnectionInfo) -> str:
    """What this client may know. Only ``verified_peer`` is a name to rely on."""
    if info.verified_peer is None:
        return f"hello, stranger ({info.client_cert_error or 'no certificate'})"
    if ADMITTED.isdisjoint(info.verified_peer.verdict.names):
        return f"not for you, {info.verified_peer.verdict.subject}"
    return f"the secret is 42, {info.verified_peer.verdict.subject}"


def serve(listener: handfast.Listener, clients: int) -> None:
    for _ in range(clients):
        try:
            with listener.accept() as tls:
                tls.sendall(answer(tls.handshake()).encode())
        except handfast.HandfastError:
            # It is in the log; the next client is waiting.
            continue


def main() -> None:
    ca, others = CertificateAuthority.create("Example CA"), CertificateAuthority.create("Somebody else")
    issued = ca.server("localhost")
    verifier = handfast.PathVerifier(handfast.Roots.from_pem(ca.certificate_pem))
    server = handfast.ServerConfig(
        credentials=handfast.Credentials.from_pem(issued.cert_pem, issued.key_pem),
        client_auth="request",
        verifier=verifier,
    )
    known = {"alice": ca.client("alice"), "bob": ca.client("bob"), "mallory": others.client("alice")}
    identities = {name: [handfast.Credentials.from_pem(one.cert_pem, one.key_pem)] for name, one in known.items()} | {
        "nobody": []
    }
    with handfast.listen("127.0.0.1", 0, server) as listener:
        thread = threading.Thread(target=serve, args=(listener, len(identities)))
        thread.start()
        for name, credentials in identities.items():
            client = handfast.ClientConfig(verifier=verifier, credentials=credentials)
            with handfast.connect("127.0.0.1", listener.address[1], client, server_name="localhost") as tls:
                print(f"{name}: {tls.recv().decode()}")
        thread.join()


if __name__ == "__main__":
    main()
