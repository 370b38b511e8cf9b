"""The relay: bytes both ways, and ends as they came."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.proxy.support import backend, echo, running, tcp

if TYPE_CHECKING:
    from tests.aio.conftest import Runner


def test_bytes_go_both_ways(run: Runner) -> None:
    async def main() -> None:
        async with backend(echo) as address, running(tcp(address)) as proxy:
            reader, writer = await proxy.client()
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            entry = await proxy.ended()
            assert (entry.received, entry.sent, entry.code, entry.why) == (5, 5, "", "")
            assert entry.info is not None
            assert entry.info.verified_peer is not None
            assert entry.backend.startswith("127.0.0.1:")
            assert proxy.proxy.journal.connections == 0

    run(main())


def test_a_client_without_a_certificate_is_refused_and_told_why(run: Runner) -> None:
    async def main() -> None:
        async with backend(echo) as address, running(tcp(address)) as proxy:
            reader, writer = await proxy.client(anonymous=True)
            with pytest.raises(Exception, match="certificate_required"):
                await reader.read()
            writer.close()
            entry = await proxy.refused()
            assert entry.code == "certificate_required"
            assert "certificate" in entry.why

    run(main())
