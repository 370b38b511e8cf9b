"""Where Redis is, from its URL, and a connection to it. The only module that imports redis-py.

TLS to Redis is ours: ``rediss://`` goes through ``handfast.aio``, with the ``ClientConfig`` that was given, or with
what the URL names in redis-py's own words: ``ssl_certfile``, ``ssl_keyfile``, ``ssl_ca_certs``.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from redis._parsers import _AsyncRESP2Parser
from redis.asyncio.connection import AbstractConnection, Connection, UnixDomainSocketConnection
from redis.exceptions import InvalidResponse, RedisError, ResponseError

from handfast import limits
from handfast.config.config import ClientConfig
from handfast.credentials.credentials import Credentials
from handfast.errors import bad_option
from handfast.fleet.redis_url import parse
from handfast.io.aio.connect import open_connection
from handfast.text import escape
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence


class _Parser(_AsyncRESP2Parser):
    """redis-py's, which reads no answer of more than ``FLEET_ANSWER`` bytes: each part is counted before it is kept."""

    _left = 0

    async def read_response(self, disable_decoding: bool = False) -> Any:
        self._left = limits.FLEET_ANSWER
        return await super().read_response(disable_decoding)

    async def _read(self, length: int) -> Any:
        self._count(length)
        return await super()._read(length)

    async def _readline(self) -> Any:
        # Of a line asyncio reads no more than 64 KiB.
        line = await super()._readline()
        self._count(len(line) + 2)
        return line

    def _count(self, length: int) -> None:
        self._left -= length
        if self._left < 0:
            raise InvalidResponse(f"an answer has more than {limits.FLEET_ANSWER} bytes")


class _TlsConnection(Connection):
    """redis-py's connection, over TLS of ours."""

    def __init__(self, *, config: ClientConfig, **options: Any) -> None:
        super().__init__(**options)
        self._config = config
        self.opened: asyncio.StreamWriter | None = None

    async def _connect(self) -> None:
        self._reader, self.opened = await open_connection(self.host, self.port, self._config)
        self._writer = self.opened


class RedisPlace:
    """One Redis. ``tls`` is for ``rediss://`` alone; ``plaintext`` lets ``redis://`` leave this machine.

    Raises ConfigError for what cannot be meant, and for files that cannot be read.
    """

    def __init__(self, url: str, tls: ClientConfig | None, *, plaintext: bool) -> None:
        parsed = parse(url)
        if tls is not None and not isinstance(tls, ClientConfig):
            raise bad_option("tls", "it is no ClientConfig", "make one: handfast.ClientConfig(verifier=...)")
        self._options: dict[str, Any] = {
            **parsed.options,
            "protocol": 2,
            "socket_timeout": None,
            "socket_connect_timeout": None,
            "parser_class": _Parser,
        }
        self._kind: type[AbstractConnection] = Connection
        if parsed.scheme == "unix":
            self._kind = UnixDomainSocketConnection
            self._shown = str(parsed.options["path"])
        else:
            self._shown = f"{parsed.options['host']}:{parsed.options['port']}"
        if parsed.scheme == "rediss":
            self._kind = _TlsConnection
            self._options["config"] = _config(tls, parsed.files)
        elif tls is not None or parsed.files:
            raise bad_option("url", "only rediss:// speaks TLS", "begin it with rediss://, or give no files and no tls")
        elif parsed.scheme == "redis" and not plaintext and not _is_here(parsed.options["host"]):
            reason = f"{self} is another machine, and anybody on the way could let early data in twice"
            raise bad_option("url", reason, "begin it with rediss://")

    def __str__(self) -> str:
        return escape(self._shown)

    async def open(self) -> OpenConnection:
        """Connect, and log in where the URL says as whom. Raises OSError and redis-py's errors without the password."""
        connection = self._kind(**self._options)
        try:
            await connection.connect()
        except BaseException as error:
            await _abort(connection)
            if isinstance(error, RedisError):
                error.args = (self._without_password(str(error)),)
            raise
        return OpenConnection(connection)

    def _without_password(self, said: str) -> str:
        """What Redis said; one that knows no AUTH quotes what came with it, shortened."""
        told, password = said.partition(", with args")[0], self._options.get("password")
        return told.replace(password, "***") if password else told


class OpenConnection:
    """One connection: commands go out together, and their replies come in order."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection

    async def ask(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The replies; that of a command which Redis refuses is the exception that says so, and is not raised."""
        packed = self._connection.pack_commands(commands)
        await self._connection.send_packed_command(packed, check_health=False)
        replies: list[Any] = []
        for _ in commands:
            try:
                replies.append(await self._connection.read_response(disable_decoding=True))
            except ResponseError as error:
                replies.append(error)
        return replies

    async def close(self) -> None:
        """End it now, whatever is under way."""
        await _abort(self._connection)


async def _abort(connection: Any) -> None:
    # redis-py knows it no more once it has begun to close it, which over TLS takes the peer's end too.
    writer = connection._writer or getattr(connection, "opened", None)
    if writer is not None:
        writer.transport.abort()
    await connection.disconnect(nowait=True)


def _config(tls: ClientConfig | None, files: dict[str, str]) -> ClientConfig:
    if tls is not None:
        if files:
            raise bad_option("url", f"{min(files)} says what tls says in another way", "leave one of them out")
        return tls
    settings: dict[str, Any] = {}
    if "ssl_ca_certs" in files:
        settings["verifier"] = PathVerifier(Roots.from_path(files["ssl_ca_certs"]))
    if "ssl_certfile" in files:
        settings["credentials"] = Credentials.from_files(files["ssl_certfile"], files.get("ssl_keyfile"))
    elif "ssl_keyfile" in files:
        raise bad_option("url", "there is no ssl_certfile that ssl_keyfile could belong to", "give it too")
    return ClientConfig(**settings)


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
