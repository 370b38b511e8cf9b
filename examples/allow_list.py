"""A service that tells its callers who they are and lets in those on a list, which may change while it runs.

python examples/allow_list.py
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from pathlib import Path

import handfast
from handfast import aio
from handfast.pki import CertificateAuthority, Issued

BILLING, REPORTS = "spiffe://corp.example/billing", "spiffe://corp.example/reports"


def trust_in(folder: Path) -> handfast.ReloadingVerifier:
    """Workloads of corp.example whose IDs stand in the file ``allowed``; both files are followed."""
    roots, allowed = folder / "ca.pem", folder / "allowed"

    def load() -> handfast.SpiffeVerifier:
        ids = frozenset(allowed.read_text().split())
        return handfast.SpiffeVerifier({"corp.example": handfast.Roots.from_file(roots)}, allow=ids.__contains__)

    return handfast.ReloadingVerifier(load, roots, allowed)


async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # With REQUIRE_AND_VERIFY, nobody comes here unverified.
    if caller := handfast.info(writer).verified_peer:
        identity = next(name for name in caller.verdict.names if name.startswith("URI:spiffe://"))
        size = len(caller.chain[0])
        writer.write(f"you are {caller.verdict.subject}, {identity}, by a certificate of {size} bytes of DER".encode())
    writer.close()
    await writer.wait_closed()


async def call(port: int, ca: CertificateAuthority, identity: Issued) -> None:
    config = handfast.ClientConfig(
        verifier=handfast.PathVerifier(handfast.Roots.from_der([ca.certificate_der])),
        credentials=handfast.Credentials.from_pem(identity.cert_pem, identity.key_pem),
    )
    reader, writer = await aio.open_connection("127.0.0.1", port, config, server_name="localhost")
    try:
        print("answered:", (await reader.read()).decode())
    except handfast.HandfastError as error:
        print("refused:", error.code, "-", error.hint)
    finally:
        writer.close()


async def main() -> None:
    logging.basicConfig(level=logging.CRITICAL)  # Who was refused, and why, is a warning on the logger "handfast".
    ca = CertificateAuthority.create("Example CA")
    server = ca.server("localhost")
    billing, reports = ca.client("billing", BILLING), ca.client("reports", REPORTS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ca.pem").write_bytes(ca.certificate_pem)
        (folder / "allowed").write_text(f"{BILLING}\n")
        trust = trust_in(folder)
        config = handfast.ServerConfig(
            credentials=handfast.Credentials.from_pem(server.cert_pem, server.key_pem),
            client_auth="require_and_verify",
            verifier=trust,
            ca_names=trust.ca_names,
        )
        async with await aio.start_server(greet, "127.0.0.1", 0, config) as listening:
            port = listening.sockets[0].getsockname()[1]
            await call(port, ca, billing)
            await call(port, ca, reports)
            (folder / "allowed").write_text(f"{BILLING}\n{REPORTS}\n")
            # At once rather than soon: in a service, handfast.FileWatcher(trust) or a signal does it.
            print("reloaded:", trust.reload())
            await call(port, ca, reports)


if __name__ == "__main__":
    asyncio.run(main())
