"""Real messages for the tests of the wire layer."""

import ssl


def openssl_client_hello(*, server_name: str = "example.com", protocols: tuple[str, ...] = ("h2", "http/1.1")) -> bytes:
    """The ClientHello that this machine's OpenSSL sends, without the record header."""
    context = ssl.create_default_context()
    if protocols:
        context.set_alpn_protocols(list(protocols))
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=server_name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()[5:]
    raise AssertionError("a handshake cannot end before the server spoke")
