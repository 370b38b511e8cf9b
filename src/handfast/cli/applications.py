"""``handfast serve --app``: an ASGI application of the user's, served by uvicorn over handfast's own transport."""

from __future__ import annotations

import inspect
import logging
import socket
import traceback
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from handfast import limits
from handfast.cli import http, ui, verdict_words, whoami
from handfast.contrib.asgi import connection_info
from handfast.errors import bad_option
from handfast.events import HandshakeComplete
from handfast.io.failure_log import address_text
from handfast.text import escape
from handfast.trust.decided import attribute_named

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.cli.lenses import Lenses
    from handfast.contrib.asgi import Application, Receive, Scope, Send
    from handfast.engine import ServerConfig
    from handfast.events import Event, Observer, SecretSink

_HINT = "write --app module:attribute, and start in the folder in which the module is"


def load(name: str) -> Application:
    """The ASGI application of that name, ``module:attribute``. Raises ConfigError for what is none."""
    if find_spec("uvicorn") is None:
        raise bad_option("--app", "uvicorn, which serves applications, is not installed", "pip install uvicorn")
    found = attribute_named(name, "--app", _HINT)
    if not _takes_three(found):
        reason = f"{name} is no ASGI application, which takes a scope and two functions"
        raise bad_option("--app", reason, "give an ASGI application; Flask's are WSGI, for which see docs/asgi.md")
    application: Application = found
    return application


def _takes_three(app: Any) -> bool:
    try:
        inspect.signature(app).bind(None, None, None)
    except (TypeError, ValueError):
        return False
    return True


def run(app: Application, listening: socket.socket, config: ServerConfig, lenses: Lenses) -> None:
    """Serve until a signal ends it. Raises CommandFailed when the application does not start."""
    import uvicorn

    from handfast.contrib.uvicorn import Protocol

    logger = logging.getLogger("uvicorn.error")
    logger.propagate = False
    logger.handlers[:] = [_Handler(logging.WARNING)]
    watch = _Watch(lenses, listening.getsockname())
    settings = uvicorn.Config(
        _AccessLog(app),
        http=Protocol(config, observe=watch, plain_http_answer=http.plain_http_answer(listening.getsockname())),
        log_config=None,
        access_log=False,
        interface="asgi3",
        # We are the edge: what a client says of its own address counts for nothing.
        proxy_headers=False,
        limit_concurrency=limits.SERVE_CONNECTIONS,
    )
    server = uvicorn.Server(settings)
    try:
        server.run(sockets=[listening])
    except SystemExit as error:
        raise _not_started() from error
    if not server.started:
        raise _not_started()


def _not_started() -> ui.CommandFailed:
    return ui.CommandFailed("the application did not start", "the application", "its traceback is above")


class _Watch:
    """Makes the lenses of each connection; what came of a handshake is said when it is complete."""

    def __init__(self, lenses: Lenses, listening: Any) -> None:
        self._lenses = lenses
        self._listening = listening

    def __call__(self, address: Any) -> tuple[list[Observer], list[SecretSink]]:
        outcome, observers, sinks = self._lenses.watch()
        self._lenses.record(address, http.reached(self._listening, address), observers, sinks)

        def tell(event: Event) -> None:
            if isinstance(event, HandshakeComplete):
                ui.note(f"{address_text(address)}: {verdict_words.verdict_line(outcome)}")

        return [*observers, tell], sinks


class _AccessLog:
    """The application, and a line for each answer that it begins."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        statuses: dict[str, Callable[[Any], int]] = {
            "http.response.start": lambda message: int(message["status"]),
            "websocket.accept": lambda _message: 101,
            "websocket.http.response.start": lambda message: int(message["status"]),
        }

        async def log(message: Any) -> None:
            if message["type"] in statuses:
                # A client that has hung up meanwhile has no address any more.
                client = address_text(tuple(scope["client"] or ("-", 0)))
                query = scope["query_string"].decode("latin-1")
                target = scope.get("raw_path", b"").decode("latin-1") + ("?" + query if query else "")
                status = statuses[message["type"]](message)
                info = connection_info(scope)
                who = "-" if info is None else whoami.in_log(info)
                ui.note(http.access_line(client, scope.get("method", "GET"), target, status, who))
            await send(message)

        await self._app(scope, receive, log if scope["type"] in ("http", "websocket") else send)


class _Handler(logging.Handler):
    """uvicorn's warnings under the output rules; an exception of the application's comes with its traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        message, _, more = record.getMessage().strip().partition("\n")
        ui.warn(message)
        if record.exc_info:
            more += "".join(traceback.format_exception(record.exc_info[1]))
        for line in more.splitlines():
            ui.trace(escape(line))
