"""A threaded server that lives on: what one client does ends that client's connection, and nothing else.

A client that is refused, that speaks no TLS or that leaves raises an error in its own thread. A failed handshake is in
the log already, as one line and under a limit, so the thread needs no page of frames for it.

python examples/accept_loop.py
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time

import handfast
from handfast.pki import CertificateAuthority

# How many clients are served at once; the next ones wait in the system's queue.
AT_ONCE = 100


def accept_loop(listener: handfast.Listener) -> None:
    """Serve until the listener is closed."""
    room = threading.BoundedSemaphore(AT_ONCE)
    while True:
        room.acquire()
        try:
            tls = listener.accept()
        except OSError:
            room.release()
            if listener.fileno() < 0:
                return
            # The client has gone already, or this process has too many files open for a moment.
            time.sleep(0.05)
            continue
        threading.Thread(target=serve, args=(tls, room), daemon=True).start()


def serve(tls: handfast.TLSSocket, room: threading.BoundedSemaphore) -> None:
    """One client. The handshake is made here, so that a slow client holds up nobody else."""
    try:
        with tls:
            peer = tls.handshake().verified_peer
            tls.sendall(f"hello, {peer.verdict.subject if peer else 'nobody'}\n".encode())
    except handfast.HandfastError:
        # Whatever a peer or the network does is a HandfastError. Anything else is a mistake in this program, and its
        # traceback is worth printing.
        return
    finally:
        room.release()


def main() -> None:
    logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
    ca, others = CertificateAuthority.create("Example CA"), CertificateAuthority.create("Somebody else")
    server = ca.server("localhost")
    verifier = handfast.PathVerifier(handfast.Roots.from_der([ca.certificate_der]))
    listener = handfast.listen(
        "127.0.0.1",
        0,
        handfast.ServerConfig(
            credentials=handfast.Credentials.from_pem(server.cert_pem, server.key_pem),
            client_auth="require_and_verify",
            verifier=verifier,
        ),
        timeout=10,
    )
    serving = threading.Thread(target=accept_loop, args=(listener,))
    serving.start()
    port = listener.address[1]

    # A scanner, a client that speaks plain text, a stranger, and then one who may come in.
    socket.create_connection(("127.0.0.1", port)).close()
    with socket.create_connection(("127.0.0.1", port)) as plain:
        plain.sendall(b"HELO example.org\r\n")
        plain.recv(100)
    for issued in (others.client("mallory"), ca.client("alice")):
        config = handfast.ClientConfig(
            verifier=verifier, credentials=handfast.Credentials.from_pem(issued.cert_pem, issued.key_pem)
        )
        try:
            with handfast.connect("127.0.0.1", port, config, server_name="localhost") as tls:
                print(tls.recv().decode(), end="")
        except handfast.HandfastError as error:
            print(f"refused: {error}")
    listener.close()
    serving.join()


if __name__ == "__main__":
    main()
