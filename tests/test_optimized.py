"""Under `python -O` asserts are gone; no check of ours may go with them.

pytest cannot run its own assertions there, so a small program refuses, and says so by its exit status.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.waiting import LIMIT

ROOT = Path(__file__).parent.parent

PROGRAM = """
import sys
import handfast
from handfast.pki.authority import CertificateAuthority

if __debug__:
    sys.exit("not optimized")

ours, other = CertificateAuthority.create("one"), CertificateAuthority.create("two")
trusted = handfast.PathVerifier(handfast.Roots.from_der([ours.certificate_der]))


def credentials(issued):
    return [handfast.Credentials.from_pem(issued.cert_pem, issued.key_pem)]


def meet(server_certificate, client_certificates, tamper=bytes, name="localhost"):
    client = handfast.ClientConnection(
        handfast.ClientConfig(verifier=trusted, credentials=client_certificates), server_name=name
    )
    server = handfast.ServerConnection(
        handfast.ServerConfig(
            credentials=server_certificate, verifier=trusted, client_auth=handfast.ClientAuth.REQUIRE_AND_VERIFY
        )
    )
    try:
        for _ in range(4):
            server.receive(client.outgoing())
            client.receive(tamper(server.outgoing()))
    except handfast.HandfastError as error:
        return error.code
    return "connected" if server.connected and client.connected else "stuck"


def flip_last_byte(data):
    return data[:-1] + bytes([data[-1] ^ 1]) if data else data


class Liar:
    schemes = (0x0403,)

    def sign(self, scheme, message):
        return bytes(70)


good, alice = credentials(ours.server("localhost")), credentials(ours.client("alice"))
wrong_signer = [handfast.Credentials(good[0].chain, Liar())]
print(meet(good, alice))
print(meet(credentials(other.server("localhost")), alice))
print(meet(good, credentials(other.client("alice"))))
print(meet(good, []))
print(meet(good, alice, name="elsewhere.example"))
print(meet(good, alice, tamper=flip_last_byte))
print(meet(wrong_signer, alice))
"""

OUTCOMES = [
    "connected",
    "unknown_issuer",
    "unknown_issuer",
    "certificate_required",
    "name_mismatch",
    "bad_record_mac",
    "wrong_signature",
]


def test_every_refusal_stands_without_asserts() -> None:
    done = subprocess.run(
        [sys.executable, "-O", "-c", PROGRAM], capture_output=True, text=True, timeout=LIMIT, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == OUTCOMES
