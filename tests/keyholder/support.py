"""What the tests of the key-holder share: a holder in a thread of its own, and keys for it."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Self

from handfast import Credentials, HeldKey, KeyHolder, RemoteSigner
from handfast.credentials.signers import LocalSigner
from handfast.crypto.private_keys import public_key_info_of
from handfast.roles import Role
from tests import certificates
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from handfast import ServerConfig
    from handfast.pki.authority import Issued

BOTH = frozenset(Role)


def held(issued: Issued, roles: Collection[Role] = BOTH, *, signer: Any = None, **options: Any) -> HeldKey:
    """The key of a certificate, in a holder; ``signer`` may be another one than its own."""
    return HeldKey(signer or LocalSigner(issued.key), public_key_info_of(issued.key), roles, **options)


def remote(issued: Issued, address: Any, **options: Any) -> Credentials:
    """Credentials whose key is in the holder at ``address``; ``signer`` must be closed."""
    return Credentials(issued.chain, RemoteSigner(address, issued.chain[0], **{"timeout": LIMIT, **options}))


def close(*some: Credentials) -> None:
    for credentials in some:
        assert isinstance(credentials.signer, RemoteSigner)
        credentials.signer.close()


class Running:
    """A holder in a thread of its own, on a Unix socket or with TLS."""

    def __init__(
        self,
        *keys: HeldKey,
        path: Path | None = None,
        tls: ServerConfig | None = None,
        names: Collection[str] = (),
        **options: Any,
    ) -> None:
        self.holder = KeyHolder(keys or (held(certificates.server()), held(certificates.client())))
        self._path, self._tls, self._names, self._options = path, tls, names, options
        self._ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._main(),))
        self.port = 0
        self.error: Exception | None = None

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        try:
            if self._path is not None:
                await self.holder.listen_unix(self._path, **self._options)
            if self._tls is not None:
                self.port = (await self.holder.listen_tls("127.0.0.1", 0, self._tls, names=self._names))[1]
            self._ready.set()
            await self._stopped.wait()
        except Exception as error:
            self.error = error
            self._ready.set()
        finally:
            await self.holder.close()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(LIMIT)
        if self.error is not None:
            self._thread.join()
            raise self.error
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()
