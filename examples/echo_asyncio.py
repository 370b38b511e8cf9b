"""An echo under asyncio whose clients must show who they are.

python examples/echo_asyncio.py
"""

from __future__ import annotations

import asyncio

import handfast
from handfast import aio
from handfast.pki import CertificateAuthority, Issued


def credentials(issued: Issued) -> handfast.Credentials:
    return handfast.Credentials.from_pem(issued.cert_pem, issued.key_pem)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        peer = handfast.info(writer).verified_peer
        print("serving", peer.verdict.subject if peer else "nobody")
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except handfast.HandfastError as error:
        print("lost:", error)
    finally:
        writer.close()


async def main() -> None:
    ca = CertificateAuthority.create("Example CA")
    verifier = handfast.PathVerifier(handfast.Roots.from_pem(ca.certificate_pem))
    server = handfast.ServerConfig(
        credentials=credentials(ca.server("localhost")), client_auth="require_and_verify", verifier=verifier
    )
    client = handfast.ClientConfig(verifier=verifier, credentials=credentials(ca.client("alice")))
    async with await aio.start_server(echo, "127.0.0.1", 0, server) as listening:
        port = listening.sockets[0].getsockname()[1]
        reader, writer = await aio.open_connection("127.0.0.1", port, client, server_name="localhost")
        print(writer.transport)
        writer.write(b"is there an echo?")
        writer.write_eof()
        print((await reader.read()).decode())
        writer.close()
        await writer.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
