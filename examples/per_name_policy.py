"""One server, two names: the shop is open to everybody, the back office asks who you are.

python examples/per_name_policy.py
"""

from __future__ import annotations

import threading

import handfast
from handfast.pki import CertificateAuthority, Issued


def credentials(issued: Issued) -> handfast.Credentials:
    return handfast.Credentials.from_pem(issued.cert_pem, issued.key_pem)


def answer(tls: handfast.TLSSocket) -> None:
    with tls:
        peer = tls.handshake().verified_peer
        who = "stranger" if peer is None else peer.verdict.subject
        # The Host of a request need not be the name of the hello: what is for one must not be had through the other.
        host = tls.recv().decode()
        tls.sendall(f"{host}: {f'welcome, {who}' if tls.info.serves(host) else '421 Misdirected Request'}\n".encode())


def main() -> None:
    ca = CertificateAuthority.create("Example CA")
    verifier = handfast.PathVerifier(handfast.Roots.from_der([ca.certificate_der]))
    shop = handfast.ServerConfig(credentials=credentials(ca.server("shop.example")))
    office = handfast.ServerConfig(
        credentials=credentials(ca.server("*.office.example")),
        client_auth="require_and_verify",
        verifier=verifier,
    )
    config = handfast.ServerConfig.by_name({"shop.example": shop, "*.office.example": office})
    alice = handfast.ClientConfig(verifier=verifier, credentials=credentials(ca.client("alice")))

    with handfast.listen("127.0.0.1", 0, config) as listener:
        for name, host in (
            ("shop.example", "shop.example"),
            ("books.office.example", "books.office.example"),
            ("shop.example", "books.office.example"),
        ):
            thread = threading.Thread(target=lambda: answer(listener.accept()))
            thread.start()
            with handfast.connect("127.0.0.1", listener.address[1], alice, server_name=name) as tls:
                tls.sendall(host.encode())
                print(f"connected to {name}; {tls.recv().decode()}", end="")
            thread.join()


if __name__ == "__main__":
    main()
