"""What a program pays once: to import handfast or ssl, and until its first server connection has answered a hello.

Each time is of a new process, `python -m bench.first_connection LAYER DIRECTORY`, whose modules are compiled already:
the time on its core from before the import, in milliseconds, without what Python itself takes to start. The hello comes
from a file.
"""

# Nothing may be imported here that is to be measured, nor what it imports.
import sys
import time

HELLO = "hello.bin"


def first_handfast(directory: str) -> tuple[float, float]:
    """Milliseconds until handfast is imported, and until a server has answered."""
    start = time.process_time()
    import handfast

    imported = time.process_time()
    config = handfast.ServerConfig(
        credentials=[handfast.Credentials.from_files(f"{directory}/server.pem", f"{directory}/server.key")]
    )
    connection = handfast.ServerConnection(config)
    with open(f"{directory}/{HELLO}", "rb") as file:
        connection.receive(file.read())
    if not connection.outgoing():
        sys.exit("handfast: error: the server did not answer the hello")
    return (imported - start) * 1e3, (time.process_time() - start) * 1e3


def first_ssl(directory: str) -> tuple[float, float]:
    """Milliseconds until ssl is imported, and until a server has answered."""
    start = time.process_time()
    import ssl

    imported = time.process_time()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{directory}/server.pem", f"{directory}/server.key")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    with open(f"{directory}/{HELLO}", "rb") as file:
        incoming.write(file.read())
    try:
        server.do_handshake()
    except ssl.SSLWantReadError:
        waiting = True
    else:
        waiting = False
    if not (waiting and outgoing.pending):
        sys.exit("handfast: error: the server did not answer the hello")
    return (imported - start) * 1e3, (time.process_time() - start) * 1e3


LAYERS = {"handfast": first_handfast, "ssl": first_ssl}


if __name__ == "__main__":
    print(*LAYERS[sys.argv[1]](sys.argv[2]))
