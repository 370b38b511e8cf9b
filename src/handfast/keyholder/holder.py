"""The key-holder: a server that signs handshakes, and nothing else, for callers that it knows.

A caller is a user of this machine (a Unix socket, whose kernel says who is at the other end) or a name in a verified
client certificate (TLS). Who is not on the list is told so and nothing more. Each caller has a bucket of signatures,
a part of the connections and of the log, and each connection a bound on the requests that wait; answers are sent as
they are made, in any order. A connection on which nothing happens for a while is ended.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import stat
import struct
import time
from contextlib import suppress
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from handfast import limits, logs
from handfast.engine import ClientAuth
from handfast.errors import ConfigError, HandfastError, bad_option
from handfast.errors.foreign import said_by
from handfast.files import errors_for
from handfast.io.aio import connect as aio
from handfast.io.lookup import info
from handfast.keyholder.held_keys import Refused, SigningRequest, judge
from handfast.keyholder.messages import VERSION, Answer, Code, FrameTooLarge, frame, read_frame
from handfast.registry import SignatureScheme
from handfast.text import escape
from handfast.token_bucket import Throttle, TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from handfast.engine import ServerConfig
    from handfast.keyholder.held_keys import HeldKey

_LOGGER = "handfast.keyholder"
# pid, uid and gid of the process that connected. unix(7), SO_PEERCRED.
_UCRED = struct.Struct("3i")
_FOR_THE_CONNECTION = bytes(4)


class _Caller:
    """What one caller has of everything that is bounded."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self.name = name
        self.connections = 0
        # Requests of all its connections that wait, and their bytes.
        self.pending = 0
        self.pending_bytes = 0
        self.signatures = TokenBucket(limits.HOLDER_SIGNATURES_AT_ONCE, limits.HOLDER_SIGNATURES_PER_SECOND, clock)
        lines = TokenBucket(limits.LOGGED_FAILURES_AT_ONCE, limits.LOGGED_FAILURES_PER_SECOND, clock)
        self._lines = Throttle(lines)

    def has_room(self, size: int) -> bool:
        """Whether another request of so many bytes may wait."""
        fits = self.pending_bytes + size <= limits.HOLDER_PENDING_BYTES_PER_CALLER
        return fits and self.pending < limits.HOLDER_PENDING_PER_CALLER

    def warn(self, what: str, *, level: int = logging.WARNING) -> None:
        """A line in the log, unless there were too many of late."""
        held_back = self._lines.admit()
        if held_back is None:
            return
        more = f" ({held_back} more before this are not shown)" if held_back else ""
        logs.say(level, f"{escape(self.name)}: {escape(what, limits.MAX_LOG_LINE)}{more}", logger=_LOGGER)


# So many turns of the event loop after a connection was accepted it has its task: accepted, its transport made, its
# protocol told, its task begun; and one to spare.
_TURNS_TO_WELCOME = 5


class KeyHolder:
    """Signs with ``keys`` for those who connect; for one event loop. ``clock`` gives seconds that never go back."""

    def __init__(self, keys: Iterable[HeldKey], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = {key.key_id: key for key in keys}
        self._clock = clock
        self._callers: dict[str, _Caller] = {}
        self._strangers = _Caller("not on the list of callers", clock)
        self._servers: list[asyncio.Server] = []
        self._sockets: list[tuple[str, os.stat_result]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._served = 0

    async def listen_unix(
        self, path: str | os.PathLike[str], *, uids: Collection[int] | None = None, mode: int = 0o600
    ) -> None:
        """Serve processes of the users ``uids``, by default this process's own, on a socket file of this mode.

        A socket file without a listener is replaced. Raises ConfigError file_exists, file_unwritable,
        and bad_option where the system does not say who connects.
        """
        if not (hasattr(socket, "SO_PEERCRED") and hasattr(os, "O_PATH")):
            reason = "this system does not say who is at the other end of a Unix socket"
            raise bad_option("a Unix socket", reason, "use TLS")
        name, allowed = os.fspath(path), frozenset([os.geteuid()] if uids is None else uids)
        sock, status = _bind(name, mode)
        self._sockets.append((name, status))

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            _, uid, _ = _UCRED.unpack(
                writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
            )
            await self._welcome(reader, writer, f"uid {uid}", known=uid in allowed)

        self._servers.append(await asyncio.start_unix_server(connected, sock=sock))

    async def listen_tls(
        self, host: str, port: int, config: ServerConfig, *, names: Collection[str]
    ) -> tuple[Any, ...]:
        """Serve clients whose certificate has one of ``names``: "DNS:front.example", "URI:spiffe://example/front".

        Returns the address. Raises ConfigError bad_option for a configuration that does not verify every client, and
        OSError if the port is taken.
        """
        if config.client_auth is not ClientAuth.REQUIRE_AND_VERIFY:
            reason = "callers without a verified certificate could connect"
            raise bad_option("client_auth", reason, "use require_and_verify")
        allowed = frozenset(names)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = info(writer).verified_peer
            found = sorted(allowed.intersection(peer.verdict.names)) if peer else []
            shown = found or (peer.verdict.names if peer else ())
            await self._welcome(reader, writer, ", ".join(shown) or "nobody", known=bool(found))

        server = await aio.start_server(connected, host, port, config)
        self._servers.append(server)
        address: tuple[Any, ...] = server.sockets[0].getsockname()
        return address

    async def close(self) -> None:
        """Stop listening, end every connection, and remove the socket files."""
        loop = asyncio.get_running_loop()
        # First no more are accepted: a server that is closed loses those that it has accepted and not told of yet.
        for server in self._servers:
            for sock in server.sockets:
                loop.remove_reader(sock)
        for _ in range(_TURNS_TO_WELCOME):
            await asyncio.sleep(0)
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._servers.clear()
        for name, status in self._sockets:
            # Somebody else may have put another one there.
            with suppress(OSError):
                if os.path.samestat(os.lstat(name), status):
                    os.unlink(name)
        self._sockets.clear()

    # One connection

    async def _welcome(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, caller: str, *, known: bool
    ) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            if not known:
                self._strangers.warn(caller)
                await _turn_away(reader, writer, Code.caller_refused)
            else:
                await self._admit(reader, writer, self._caller(caller))
        except (asyncio.IncompleteReadError, OSError, HandfastError) as error:
            shown = escape(caller, limits.MAX_LOG_LINE)
            ended = str(error) or "nothing happened on it"
            logs.say(logging.DEBUG, f"{shown}: the connection ended: {ended}", logger=_LOGGER)
        except asyncio.CancelledError:
            # Only ``close`` does this, and waits: for no caller who does not read, and the task above is not told.
            writer.transport.abort()
        finally:
            writer.close()

    def _caller(self, name: str) -> _Caller:
        """What is known of a caller, of whom the last ones that called are remembered."""
        caller = self._callers.pop(name, None) or _Caller(name, self._clock)
        if len(self._callers) >= limits.HOLDER_CALLERS:
            gone = next((known for known, other in self._callers.items() if not other.connections), None)
            if gone is not None:
                del self._callers[gone]
        self._callers[name] = caller
        return caller

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, caller: _Caller) -> None:
        """Serve a connection if there is room for it, which it takes until it is gone."""
        if self._served >= limits.HOLDER_CONNECTIONS or caller.connections >= limits.HOLDER_CONNECTIONS_PER_CALLER:
            caller.warn("too many connections")
            await _turn_away(reader, writer, Code.busy)
            return
        self._served += 1
        caller.connections += 1
        try:
            async with asyncio.timeout(limits.HOLDER_IDLE_TIMEOUT) as idle:
                await self._serve(reader, writer, caller, idle)
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            await _let_go(writer)
            self._served -= 1
            caller.connections -= 1

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, caller: _Caller, idle: asyncio.Timeout
    ) -> None:
        pending: dict[asyncio.Task[None], int] = {}

        def done(task: asyncio.Task[None]) -> None:
            caller.pending -= 1
            caller.pending_bytes -= pending.pop(task)

        try:
            while True:
                raw = await read_frame(reader, limits.HOLDER_REQUEST_FRAME)
                _postpone(idle)
                waiting = sum(pending.values()) + len(raw)
                full = len(pending) >= limits.HOLDER_PENDING or waiting > limits.HOLDER_PENDING_BYTES
                if full or not caller.has_room(len(raw)):
                    # Nothing more is read until the caller takes what it has asked for.
                    writer.write(frame(_refusal(raw[1:5], Code.busy)))
                    await writer.drain()
                    continue
                task = asyncio.create_task(self._handle(raw, writer, caller, idle))
                pending[task] = len(raw)
                caller.pending += 1
                caller.pending_bytes += len(raw)
                task.add_done_callback(done)
        except FrameTooLarge as error:
            caller.warn(str(error))
            await _turn_away(reader, writer, Code.malformed)
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def _handle(self, raw: bytes, writer: asyncio.StreamWriter, caller: _Caller, idle: asyncio.Timeout) -> None:
        answer = await self._answer(raw, caller)
        with suppress(OSError, HandfastError):
            writer.write(frame(answer))
            await writer.drain()
            _postpone(idle)

    async def _answer(self, raw: bytes, caller: _Caller) -> Answer:
        try:
            if not caller.signatures.take():
                raise Refused(Code.busy)
            order = judge(self._keys, raw)
            signature = await _signature(order, caller)
        except Refused as refused:
            caller.warn(refused.code.name)
            return _refusal(raw[1:5], refused.code)
        scheme, key = SignatureScheme.describe(order.scheme), order.key.key_id.hex()
        logs.say(logging.INFO, f"{caller.name}: signed as {order.role} with {scheme}, key {key}", logger=_LOGGER)
        return Answer(VERSION, int.from_bytes(raw[1:5], "big"), Code.signed, signature)


def _postpone(idle: asyncio.Timeout) -> None:
    """Something happened. Where the time is up already, nothing is changed by that."""
    if not idle.expired():
        idle.reschedule(asyncio.get_running_loop().time() + limits.HOLDER_IDLE_TIMEOUT)


async def _let_go(writer: asyncio.StreamWriter) -> None:
    """Close; what the caller does not take in time is lost."""
    writer.close()
    try:
        async with asyncio.timeout(limits.LINGER_TIMEOUT):
            await writer.wait_closed()
    except (OSError, HandfastError):
        writer.transport.abort()


async def _turn_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, code: Code) -> None:
    """Say why, and keep what the caller still sends from making the kernel drop that."""
    writer.write(frame(_refusal(_FOR_THE_CONNECTION, code)))
    writer.write_eof()
    left = limits.LINGER_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(limits.LINGER_TIMEOUT):
            while left > 0 and (data := await reader.read(left)):
                left -= len(data)


async def _signature(order: SigningRequest, caller: _Caller) -> bytes:
    try:
        signature: object = order.key.signer.sign(order.scheme, order.content)
        if isawaitable(signature):
            signature = await signature
    except Exception as error:  # noqa: BLE001 (whatever the signer is, the caller gets an answer)
        caller.warn(f"signing failed: {said_by(error)}", level=logging.ERROR)
        raise Refused(Code.signing_failed) from None
    if not isinstance(signature, bytes) or not 0 < len(signature) <= limits.HOLDER_SIGNATURE:
        caller.warn("the signer returned no signature", level=logging.ERROR)
        raise Refused(Code.signing_failed)
    return signature


def _refusal(request_id: bytes, code: Code) -> Answer:
    return Answer(VERSION, int.from_bytes(request_id, "big"), code, b"")


def _bind(path: str, mode: int) -> tuple[socket.socket, os.stat_result]:
    """A socket at ``path``, to which no connection is possible before it has its mode: it does not listen yet."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        with errors_for(path):
            try:
                sock.bind(path)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                if not _deserted(path):
                    raise ConfigError("file_exists", path=escape(path)) from None
                os.unlink(path)
                sock.bind(path)
            return sock, _set_mode(path, mode)
    except BaseException:
        sock.close()
        raise


def _set_mode(path: str, mode: int) -> os.stat_result:
    """Give a socket file its mode, and no other file that has its name by now. Its status. open(2), O_PATH."""
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISSOCK(status.st_mode):
            raise ConfigError("file_exists", path=escape(path))
        # A descriptor of this kind takes no fchmod.
        os.chmod(f"/proc/self/fd/{descriptor}", mode)
    finally:
        os.close(descriptor)
    return status


def _deserted(path: str) -> bool:
    """Whether this is a socket file without a listener; connecting to any other file is refused, too."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        return probe.connect_ex(path) == errno.ECONNREFUSED
