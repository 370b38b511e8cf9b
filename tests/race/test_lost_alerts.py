"""Does a refused client always learn why? In TLS 1.3 its handshake is over before the server looks at its certificate.

Every server requires a client certificate; the client has none, or an expired one. It writes a request at once, or when
the refusal and perhaps a reset are already there, and then reads. A trial is lost if it learns anything but the alert.
HANDFAST_RACE_TRIALS is the number of trials per combination: 60 in `make race`, a few otherwise.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

import handfast
from handfast import aio
from handfast.errors import HandfastError, PeerRejected
from handfast.pki.authority import CertificateAuthority, Issued
from tests import certificates
from tests.peers.base import REQUEST, missing
from tests.race.servers import SERVERS, Place
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TRIALS = int(os.environ.get("HANDFAST_RACE_TRIALS", "3"))
DELAYS = (0.0, 0.02)
# Go before 1.21 says bad_certificate to everything.
ALERTS = {
    "none": {"certificate_required", "bad_certificate"},
    "expired": {"certificate_expired", "bad_certificate"},
}


def expired_client() -> Issued:
    ca = certificates.ca()
    long_ago = datetime.now(UTC) - timedelta(days=60)
    return CertificateAuthority(ca.certificate, ca.key, now=long_ago).client("alice", days=30)


@pytest.fixture(scope="module")
def configs() -> dict[str, handfast.ClientConfig]:
    verifier = handfast.PathVerifier(handfast.Roots.from_der([certificates.ca().certificate_der]))
    expired = expired_client()
    credentials = handfast.Credentials.from_pem(expired.cert_pem, expired.key_pem)
    return {
        "none": handfast.ClientConfig(verifier=verifier),
        "expired": handfast.ClientConfig(verifier=verifier, credentials=[credentials]),
    }


@pytest.fixture(scope="module", params=SERVERS)
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    directory = tmp_path_factory.mktemp(request.param)
    issued = certificates.server()

    def write(name: str, content: bytes) -> Path:
        path = directory / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        return path

    place = Place(
        directory,
        certificate=write("server.pem", issued.cert_pem),
        key=write("server.key", issued.key_pem),
        both=write("both.pem", issued.cert_pem + issued.key_pem),
        ca=write("ca.pem", certificates.ca().certificate_pem),
    )
    with SERVERS[request.param](place) as listening:
        yield listening


def learned(error: HandfastError) -> str:
    return error.code if isinstance(error, PeerRejected) else f"lost: {error!r}"


def blocking(port: int, config: handfast.ClientConfig, delay: float, trials: int) -> Counter[str]:
    outcomes = Counter[str]()
    for _ in range(trials):
        try:
            with handfast.connect("127.0.0.1", port, config, server_name="localhost", timeout=LIMIT) as tls:
                time.sleep(delay)  # the scene, not a wait: whatever comes first, the alert must be learned
                tls.sendall(REQUEST)
                outcomes[f"lost: received {tls.recv(100)!r}"] += 1
        except HandfastError as error:
            outcomes[learned(error)] += 1
    return outcomes


async def asynchronous(port: int, config: handfast.ClientConfig, delay: float, trials: int) -> Counter[str]:
    outcomes = Counter[str]()
    for _ in range(trials):
        try:
            reader, writer = await aio.open_connection("127.0.0.1", port, config, server_name="localhost")
        except HandfastError as error:
            outcomes[learned(error)] += 1
            continue
        # The loop is busy meanwhile: this is the hard case, in which it writes before it reads.
        time.sleep(delay)
        writer.write(REQUEST)
        try:
            outcomes[f"lost: received {await reader.read(100)!r}"] += 1
        except HandfastError as error:
            outcomes[learned(error)] += 1
        writer.transport.abort()
    return outcomes


def under_asyncio(port: int, config: handfast.ClientConfig, delay: float, trials: int) -> Counter[str]:
    return asyncio.run(asynchronous(port, config, delay, trials))


def under_uvloop(port: int, config: handfast.ClientConfig, delay: float, trials: int) -> Counter[str]:
    try:
        import uvloop
    except ImportError:
        missing("uvloop is not installed")
        raise
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(asynchronous(port, config, delay, trials))


@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("certificate", ALERTS)
@pytest.mark.parametrize("shell", [blocking, under_asyncio, under_uvloop])
def test_no_alert_is_lost(
    port: int,
    configs: dict[str, handfast.ClientConfig],
    shell: Callable[[int, handfast.ClientConfig, float, int], Counter[str]],
    certificate: str,
    delay: float,
) -> None:
    outcomes = shell(port, configs[certificate], delay, TRIALS)
    assert outcomes.keys() <= ALERTS[certificate], outcomes
    assert outcomes.total() == TRIALS


@pytest.mark.skipif(TRIALS < 60, reason="the control is for `make race`")
def test_that_there_is_a_race(tmp_path: Path) -> None:
    """The control: Python's ssl as the client, written to after a while, loses what the shells above do not."""
    issued = certificates.server()
    (tmp_path / "both.pem").write_bytes(issued.cert_pem + issued.key_pem)
    (tmp_path / "ca.pem").write_bytes(certificates.ca().certificate_pem)
    both = tmp_path / "both.pem"
    context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    lost = 0
    with SERVERS["python_ssl"](Place(tmp_path, both, both, both, tmp_path / "ca.pem")) as port:
        for _ in range(10):
            with (
                socket.create_connection(("127.0.0.1", port)) as tcp,
                context.wrap_socket(tcp, server_hostname="localhost") as tls,
            ):
                time.sleep(0.02)
                try:
                    tls.sendall(REQUEST)
                    tls.recv(100)
                except ssl.SSLError as error:
                    lost += "CERTIFICATE_REQUIRED" not in str(error)
                except OSError:
                    lost += 1
    assert lost
