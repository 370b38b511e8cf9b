"""A client with two identities shows each server the one that it asks for, and looks for it only then.

python examples/client_identities.py
"""

from __future__ import annotations

import threading

import handfast
from handfast.events import CertificateChosen, Event
from handfast.pki import CertificateAuthority, Issued


def credentials(issued: Issued) -> handfast.Credentials:
    return handfast.Credentials.from_pem(issued.cert_pem, issued.key_pem)


def greet(tls: handfast.TLSSocket) -> None:
    with tls:
        peer = tls.handshake().verified_peer
        tls.sendall(f"  the server knows {peer.verdict.subject if peer else 'nobody'}\n".encode())


def main() -> None:
    web = CertificateAuthority.create("Web CA")
    work, club = CertificateAuthority.create("Work CA"), CertificateAuthority.create("Club CA")
    mine = [credentials(work.client("alice@work.example")), credentials(club.client("alice@club.example"))]

    def find(request: handfast.CertificateWanted) -> list[handfast.Credentials]:
        # The server has proven who it is: now is the time to open a wallet or to ask for a PIN.
        print(f"{request.server_name} asks for a certificate of {len(request.ca_names)} CA")
        return mine

    def tell(event: Event) -> None:
        if isinstance(event, CertificateChosen):
            for one, candidate in zip(event.considered, mine, strict=True):
                print(f"  {', '.join(candidate.names)}: {'shown' if one.shown else 'not shown'}, because {one.why}")

    client = handfast.ClientConfig(
        verifier=handfast.PathVerifier(handfast.Roots.from_der([web.certificate_der])),
        credentials=find,
        when_no_certificate_matches="send_none",
    )
    for ca in (work, club):
        roots = handfast.Roots.from_der([ca.certificate_der])
        server = handfast.ServerConfig(
            credentials=credentials(web.server("localhost")),
            client_auth="require_and_verify",
            verifier=handfast.PathVerifier(roots),
            ca_names=roots.names(),
        )
        with handfast.listen("127.0.0.1", 0, server) as listener:
            thread = threading.Thread(target=lambda: greet(listener.accept()))
            thread.start()
            port = listener.address[1]
            with handfast.connect("127.0.0.1", port, client, server_name="localhost", observers=[tell]) as tls:
                print(tls.recv().decode(), end="")
            thread.join()


if __name__ == "__main__":
    main()
