"""A server of a fleet in a process of its own: ``python -m tests.fleet.node '{"url": ..., "key": ..., ...}'``.

It prints its port, and tells each client, as JSON, what it found: who answers, whether the session was resumed, and
what became of early data. With ``beat`` it looks that often what Redis is.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import handfast
from handfast import aio, limits


async def main(told: dict[str, Any]) -> None:
    limits.FLEET_BEAT = limits.FLEET_PAUSE = told["beat"]
    with handfast.RedisFleet(told["url"], told["key"], timeout=told["timeout"]) as fleet:
        fleet.wait(told["patience"])
        config = handfast.ServerConfig(
            credentials=handfast.Credentials.from_files(told["cert"], told["cert_key"]),
            verifier=handfast.PathVerifier(handfast.Roots.from_file(told["client_ca"])),
            client_auth="require_and_verify",
            tickets=fleet.stored_tickets if told["stored"] else fleet.tickets,
            replay_guard=fleet.replay_guard,
            max_early_data=1000,
            early_data_with_client_identity=True,
        )

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            info = handfast.info(writer)
            assert info is not None
            assert info.verified_peer is not None
            found = {"node": os.getpid(), "resumed": info.resumed, "early": info.early_data, "ready": fleet.wait(0.0)}
            writer.write(json.dumps(found).encode())
            writer.close()

        server = await aio.start_server(answer, "127.0.0.1", 0, config)
        print(server.sockets[0].getsockname()[1], flush=True)
        # It ends with its standard input.
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
