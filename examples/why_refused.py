"""A client that reads why a connection was refused: by the server, by its own verifier, or before anything was sent.

python examples/why_refused.py
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import handfast
from handfast.pki import CertificateAuthority, Issued


def credentials(issued: Issued) -> handfast.Credentials:
    return handfast.Credentials.from_pem(issued.cert_pem, issued.key_pem)


def attempt(title: str, talk: Callable[[], object]) -> None:
    """Say what became of it. ``code`` is for programs; ``hint`` says what can be done."""
    print(f"{title}:")
    try:
        talk()
    except handfast.PeerRejected as error:
        print(f"  the server refused us: {error.code}\n  {error.hint}")
    except handfast.CertificateRejected as error:
        print(f"  we refused the server: {error.code}: {error}\n  {error.hint}")
    except handfast.ConnectionLost as error:
        print(f"  the network: {error.code}: {error}\n  {error.hint}")
    except handfast.ConfigError as error:
        print(f"  our settings: {error}\n  {error.hint}")


def serve(listener: handfast.Listener) -> None:
    while True:
        try:
            tls = listener.accept()
        except OSError:
            return
        try:
            with tls:
                tls.handshake()
        except handfast.HandfastError:
            # The log of the server has the reason too, on the logger "handfast".
            continue


def main() -> None:
    logging.getLogger("handfast").setLevel(logging.CRITICAL)
    ca, others = CertificateAuthority.create("Example CA"), CertificateAuthority.create("Somebody else")
    ours, theirs = (handfast.PathVerifier(handfast.Roots.from_pem(one.certificate_pem)) for one in (ca, others))
    server = handfast.ServerConfig(
        credentials=credentials(ca.server("localhost")), client_auth="require_and_verify", verifier=ours
    )
    with handfast.listen("127.0.0.1", 0, server) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()

        def talk(name: str = "localhost", **settings: object) -> None:
            config = handfast.ClientConfig(**settings)  # type: ignore[arg-type]
            with handfast.connect("127.0.0.1", listener.address[1], config, server_name=name) as tls:
                # In TLS 1.3 the server's refusal may come only now.
                tls.recv()

        attempt("without a certificate", lambda: talk(verifier=ours))
        attempt("with one of another CA", lambda: talk(verifier=ours, credentials=credentials(others.client("alice"))))
        attempt("with another name", lambda: talk("shop.example", verifier=ours))
        attempt("trusting another CA", lambda: talk(verifier=theirs))
        attempt("with a slip of the pen", lambda: talk(verifier=ours, groups=["x25518"]))
        port = listener.address[1]
        listener.close()
        thread.join()
        nowhere = handfast.ClientConfig(verifier=ours)
        attempt("where nobody listens", lambda: handfast.connect("127.0.0.1", port, nowhere))


if __name__ == "__main__":
    main()
