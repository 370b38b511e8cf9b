"""What a server of others is given its TLS by: a live object, the files it is made of, or a function that makes it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from handfast.contrib.server_files import ServerFiles
from handfast.engine import ServerConfig
from handfast.errors import ConfigError, bad_option

ConfigSource: TypeAlias = ServerConfig | ServerFiles | Callable[[], ServerConfig]
ContextSource: TypeAlias = ssl.SSLContext | ServerFiles | Callable[[], ssl.SSLContext]

Source = TypeVar("Source", ConfigSource, ContextSource, "ContextSource | None")


def config_of(source: ConfigSource) -> ServerConfig:
    """The configuration that is given, read or made. Raises ConfigError for what is none."""
    config = source.server_config() if isinstance(source, ServerFiles) else source
    if callable(config):
        config = config()
    if not isinstance(config, ServerConfig):
        raise _unusable(config, "ServerConfig")
    return config


def context_of(source: ContextSource) -> ssl.SSLContext:
    """The context that is given, read or made. Raises ConfigError for what is none."""
    context = source.ssl_context() if isinstance(source, ServerFiles) else source
    if not isinstance(context, ssl.SSLContext) and callable(context):
        context = context()
    if not isinstance(context, ssl.SSLContext):
        raise _unusable(context, "SSLContext")
    return context


def _unusable(given: object, wanted: str) -> ConfigError:
    advice = f"give a handfast.{wanted}, handfast.contrib.ServerFiles, or a function that returns the former"
    return bad_option("tls", f"{type(given).__name__} is no {wanted}", advice)


def to_pickle(source: Source) -> Source:
    """The source, if it can be pickled, for a server's workers. Raises ConfigError for a live one: it holds keys."""
    if isinstance(source, ssl.SSLContext | ServerConfig):
        kind = type(source).__name__
        reason = f"a live {kind} holds keys, and cannot go to the processes that a server starts, as ServerFiles can"
        raise bad_option("tls", reason, "give handfast.contrib.ServerFiles, or a function of a module that makes it")
    return source
