"""Second opinions: what the openssl command and Python's ssl module think of certificates."""

from __future__ import annotations

import re
import ssl
import subprocess
from typing import TYPE_CHECKING

from tests.certificates import require_peer

if TYPE_CHECKING:
    from pathlib import Path

    from handfast.pki.authority import CertificateChain, Issued


def verify_errors(
    directory: Path, root: bytes, chain: CertificateChain, *options: str, crl: bytes | None = None
) -> set[int]:
    """The X509_V_ERR numbers that `openssl verify` finds in the chain, all of them; empty if it is good."""
    for name, content in {"root": root, "chain": chain.cert_pem, "crl": crl or b""}.items():
        (directory / name).write_bytes(content)
    lists = ["-crl_check", "-CRLfile", "crl"] if crl else []
    result = subprocess.run(
        [require_peer("openssl"), "verify", *options, *lists, "-CAfile", "root", "-untrusted", "chain", "chain"],
        cwd=directory,
        capture_output=True,
        text=True,
    )
    errors = {int(number) for number in re.findall(r"^error (\d+) at", result.stderr, re.MULTILINE)}
    if bool(errors) == (result.returncode == 0):
        raise AssertionError(result.stdout + result.stderr)
    return errors


def context(directory: Path, role: int, root: bytes, own: Issued) -> ssl.SSLContext:
    """A context that requires the peer's certificate and checks it as strictly as Python 3.13 does."""
    made = ssl.SSLContext(role)
    made.load_verify_locations(cadata=root.decode())
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    (directory / "own.pem").write_bytes(own.cert_pem)
    (directory / "own.key").write_bytes(own.key_pem)
    made.load_cert_chain(directory / "own.pem", directory / "own.key")
    return made


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """A handshake in memory; raises the SSLError of the side that refuses first."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    done: set[ssl.SSLObject] = set()
    for _ in range(6):
        for side in sides:
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
    if len(done) < 2:
        raise AssertionError("the handshake did not end")
    return sides
