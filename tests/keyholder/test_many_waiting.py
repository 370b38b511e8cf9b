"""500 handshakes under asyncio that all wait for one key-holder, whose key signs nothing before all have asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from handfast import aio
from handfast.credentials.signers import LocalSigner
from tests import certificates
from tests.aio.support import Made, Recorder, client_config, listening, server_config
from tests.keyholder.support import Running, close, held, remote
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from pathlib import Path

MANY = 500
# At each end of a connection, and once more at a client.
DESCRIPTORS = 3 * MANY + 200


class Patient:
    """Waits until so many wait."""

    def __init__(self, signer: LocalSigner) -> None:
        self._signer = signer
        self.schemes = signer.schemes
        self.waiting = 0
        self._all_here = asyncio.Event()

    async def sign(self, scheme: int, message: bytes) -> bytes:
        self.waiting += 1
        if self.waiting == MANY:
            self._all_here.set()
        await self._all_here.wait()
        return self._signer.sign(scheme, message)


@pytest.fixture
def descriptors() -> Any:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        pytest.skip("a process may not open so many files here")
    if soft != resource.RLIM_INFINITY and soft < DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("descriptors")
def test_500_handshakes_wait_for_one_holder(tmp_path: Path) -> None:
    issued = certificates.server()
    patient = Patient(LocalSigner(issued.key))
    server = remote(issued, tmp_path / "s", timeout=LIMIT)

    async def main() -> None:
        made = Made()
        config = server_config(credentials=[server], handshake_timeout=LIMIT)
        ours = client_config(anonymous=True, handshake_timeout=LIMIT)
        tcp = await aio.create_server(made, "127.0.0.1", 0, config, backlog=MANY)
        async with listening(tcp) as port:
            connecting = [aio.create_connection(Recorder, "127.0.0.1", port, ours) for _ in range(MANY)]
            ends = await asyncio.gather(*connecting)
            assert all(transport.info.complete for transport, _ in ends)
            for transport, protocol in ends:
                transport.abort()
                await protocol.lost
            for one in made.all:
                await one.lost

    with Running(held(issued, signer=patient), path=tmp_path / "s") as running:
        asyncio.run(asyncio.wait_for(main(), LIMIT))
        assert patient.waiting == MANY
        assert running.holder._served == 1
        close(server)
