"""``RemoteSigner``: a signer whose key is in another process or on another machine.

Its connection lives in a thread of its own, with an event loop of its own. So one signer serves blocking threads, which
wait for it, and any number of event loops, which await it, and all share one connection. ``sign`` sees which it is:
where an event loop runs in the calling thread, it returns an awaitable. The thread starts with the first signature, in
each process that makes one: a signer may be made before a fork, and used on both sides of it.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from concurrent.futures import TimeoutError as WaitTimeoutError
from typing import TYPE_CHECKING, Self

from handfast import limits
from handfast.credentials.credentials import Credentials
from handfast.crypto import signatures
from handfast.errors import ApiMisuse, ConfigError, LocalFailure
from handfast.fork import renew_in_children
from handfast.keyholder.link import CLOSED, Client, HolderAddress
from handfast.keyholder.messages import key_id_of_certificate, parts_of
from handfast.registry import SignatureScheme
from handfast.text import escape
from handfast.words import is_list, numbers
from handfast.x509 import loading as files

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence
    from concurrent.futures import Future

    from handfast.engine import ClientConfig
    from handfast.keyholder.messages import Parts

# How much longer a blocked thread waits than its request may take, should the other thread be gone.
_GRACE = 1.0


class _Worker:
    """The thread with the connection. OSError or RuntimeError where the system has no room for one."""

    _handing: threading.Lock

    def __init__(self, place: HolderAddress, timeout: float) -> None:
        self.pid = os.getpid()
        self._place = place
        # Nothing is given to a loop that was told to stop: it might never run.
        renew_in_children(self, _handing=threading.Lock)
        self._stopping = False
        self._client = Client(place, timeout)
        self._stopped = asyncio.Event()
        # Made here and not in the thread: where descriptors have run out, this fails, and somebody must hear of it.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="handfast signer", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._loop.close()
            raise

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        await self._stopped.wait()
        await self._client.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def submit(self, key_id: bytes, scheme: int, parts: Parts) -> Future[bytes]:
        """Have a request made in the thread. LocalFailure holder_unreachable if it was stopped."""
        with self._handing:
            if self._stopping:
                raise LocalFailure("holder_unreachable", holder=self._place, reason=CLOSED)
            return asyncio.run_coroutine_threadsafe(self._client.sign(key_id, scheme, parts), self._loop)

    def stop(self) -> None:
        """End the connection and the thread; a second call does nothing."""
        if self.pid != os.getpid():
            return
        with self._handing:
            if not self._stopping:
                self._stopping = True
                self._loop.call_soon_threadsafe(self._stopped.set)
        if threading.current_thread() is not self._thread:
            self._thread.join()


class RemoteSigner:
    """Has a key-holder sign. docs/keyholder.md.

    ``address`` is the path of the holder's Unix socket, or its host and port, and then ``tls`` says whom to trust and
    who we are; the holder's certificate must be for ``server_name``, or else the host. ``certificate`` (DER) is the one
    whose key the holder has; ``schemes`` those of its schemes that the holder grants, by name or number, () for all of
    TLS 1.3.
    ``timeout`` is seconds for one signature, connecting included.
    """

    _starting: threading.Lock

    def __init__(
        self,
        address: str | os.PathLike[str] | tuple[str, int],
        certificate: bytes,
        *,
        tls: ClientConfig | None = None,
        server_name: str | None = None,
        schemes: Sequence[int | str] = (),
        timeout: float = limits.REMOTE_SIGNER_TIMEOUT,
    ) -> None:
        if isinstance(address, tuple) is (tls is None):
            raise ApiMisuse("bad_argument", reason="a host and port need tls, and a Unix socket has none")
        self._place = HolderAddress(address if isinstance(address, tuple) else os.fspath(address), tls, server_name)
        self._timeout = timeout
        try:
            key = signatures.certificate_public_key(certificate)
        except signatures.UnusableKey as error:
            raise ConfigError("bad_certificate", path="the certificate", reason=str(error)) from None
        self.schemes: tuple[int, ...] = signatures.schemes_for(key)
        if not is_list(schemes) or schemes:
            usable = signatures.schemes_of_any_version(key)
            cannot = "the certificate's key cannot make"
            self.schemes = numbers("schemes", schemes, usable, SignatureScheme, cannot)
        self._key_id = key_id_of_certificate(certificate)
        renew_in_children(self, _starting=threading.Lock)
        self._worker: _Worker | None = None

    @classmethod
    def credentials(
        cls,
        cert: str | os.PathLike[str],
        address: str | os.PathLike[str] | tuple[str, int],
        *,
        tls: ClientConfig | None = None,
        server_name: str | None = None,
        schemes: Sequence[int | str] = (),
        timeout: float = limits.REMOTE_SIGNER_TIMEOUT,
    ) -> Credentials:
        """Credentials of the PEM chain in the file ``cert``, leaf first, with a signer made from the rest.

        Raises ConfigError file_missing, file_unreadable, no_certificate, bad_certificate, bad_option.
        """
        name = escape(str(cert))
        data = files.read(cert)
        chain = files.certificates(data, name)
        if not chain:
            raise files.no_certificate(data, name)
        signer = cls(address, chain[0], tls=tls, server_name=server_name, schemes=schemes, timeout=timeout)
        return Credentials(chain, signer)

    def __repr__(self) -> str:
        return f"RemoteSigner({escape(str(self._place))})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def sign(self, scheme: int, message: bytes) -> bytes | Awaitable[bytes]:
        """The signature, or an awaitable of it where an event loop of asyncio runs in this thread.

        Raises LocalFailure: signing_failed for what is no content of a TLS handshake, holder_unreachable,
        holder_refused, holder_lost, holder_timeout.
        """
        try:
            parts = parts_of(message)
        except ValueError as error:
            raise LocalFailure("signing_failed", reason=str(error)) from None
        future = self._running().submit(self._key_id, scheme, parts)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self._wait(future)
        return asyncio.wrap_future(future, loop=loop)

    def _wait(self, future: Future[bytes]) -> bytes:
        try:
            return future.result(self._timeout + _GRACE)
        except WaitTimeoutError:
            raise LocalFailure("holder_timeout", holder=self._place, seconds=self._timeout) from None
        finally:
            future.cancel()

    def close(self) -> None:
        """End the connection; what still waits fails. A later signature connects anew."""
        with self._starting:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()

    def _running(self) -> _Worker:
        worker = self._worker
        if worker is not None and worker.pid == os.getpid():
            return worker
        with self._starting:
            if self._worker is None or self._worker.pid != os.getpid():
                try:
                    self._worker = _Worker(self._place, self._timeout)
                except (OSError, RuntimeError) as error:
                    raise LocalFailure("holder_unreachable", holder=self._place, reason=error) from None
                weakref.finalize(self, self._worker.stop)
            return self._worker
