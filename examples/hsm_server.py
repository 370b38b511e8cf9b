"""A server whose private key never leaves a PKCS#11 token, here one of SoftHSM2, under asyncio.

python examples/hsm_server.py
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import handfast
from handfast.pki import CertificateAuthority, Issued

PIN = "1234"
MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so")


def make_token(directory: Path, issued: Issued) -> None:
    """What an administrator does once: a token with the server's key in it."""
    (directory / "tokens").mkdir()
    (directory / "softhsm2.conf").write_text(f"directories.tokendir = {directory / 'tokens'}\nlog.level = ERROR\n")
    (directory / "server.key").write_bytes(issued.key_pem)
    (directory / "server.pem").write_bytes(issued.cert_pem)
    (directory / "pin").write_text(PIN)
    os.environ["SOFTHSM2_CONF"] = str(directory / "softhsm2.conf")
    for arguments in (
        ["--init-token", "--free", "--label", "example", "--so-pin", "5678"],
        ["--import", str(directory / "server.key"), "--token", "example", "--label", "server", "--id", "01"],
    ):
        subprocess.run(["softhsm2-util", *arguments, "--pin", PIN], check=True, stdout=subprocess.DEVNULL)
    (directory / "server.key").unlink()


async def talk(ca: CertificateAuthority, directory: Path, module: str) -> None:
    uri = f"pkcs11:token=example;object=server?module-path={module}&pin-source=file:{directory / 'pin'}"
    credentials = handfast.Credentials.from_files(directory / "server.pem", uri)
    print(f"serving with {credentials.signer!r}")

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"signed in the token\n")
        writer.close()

    server = await handfast.aio.start_server(greet, "127.0.0.1", 0, handfast.ServerConfig(credentials=credentials))
    async with server:
        (listening,) = server.sockets
        config = handfast.ClientConfig(verifier=handfast.PathVerifier(handfast.Roots.from_der([ca.certificate_der])))
        reader, writer = await handfast.aio.open_connection(
            "127.0.0.1", listening.getsockname()[1], config, server_name="localhost"
        )
        print((await reader.read()).decode(), end="")
        writer.close()


def main() -> None:
    module = next((path for path in MODULES if Path(path).exists()), None)
    if module is None or shutil.which("softhsm2-util") is None:
        print("this example needs SoftHSM2: apt install softhsm2")
        return
    ca = CertificateAuthority.create("Example CA")
    with tempfile.TemporaryDirectory() as name:
        make_token(Path(name), ca.server("localhost"))
        asyncio.run(talk(ca, Path(name), module))


if __name__ == "__main__":
    main()
