"""``--redis`` and ``--redis-key``: what servers of several processes share, for all verbs that serve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from handfast import limits
from handfast.cli.options import together
from handfast.errors import ConfigError, bad_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.fleet.key_file import KeyFile
    from handfast.fleet.redis_fleet import RedisFleet

    F = TypeVar("F", bound=Callable[..., object])

# What RedisFleet calls its arguments.
_OPTIONS = {"url": "--redis", "keys": "--redis-key"}


def fleet_options(command: F) -> F:
    """--redis, --redis-key."""
    return together(
        click.option(
            "--redis",
            metavar="URL",
            help="Resume sessions of all servers that share this Redis or Valkey, as rediss://HOST:PORT/0 with"
            " ?ssl_ca_certs=FILE&ssl_certfile=FILE&ssl_keyfile=FILE; on this machine also redis:// and unix://.",
        ),
        click.option(
            "--redis-key",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="The key that these servers share and Redis does not have: openssl rand -hex 32.",
        ),
    )(command)


def fleet(redis: str | None, redis_key: Path | None) -> RedisFleet | None:
    """What these options name, closed with the command; None without them. Raises ConfigError.

    A Redis that does not answer soon is no error: the log says so, and it is used once it does.
    """
    if redis is None:
        if redis_key is not None:
            raise bad_option("--redis-key", "there is no --redis that it could be for", "give --redis too")
        return None
    if redis_key is None:
        raise bad_option("--redis", "what is kept there must be sealed", "give --redis-key too")
    from handfast.fleet.redis_fleet import RedisFleet

    try:
        made = RedisFleet(redis, redis_key)
    except ConfigError as error:
        option = str(error.details.get("option", ""))
        if option not in _OPTIONS:
            raise
        raise bad_option(_OPTIONS[option], str(error.details["reason"]), str(error.details["advice"])) from None
    click.get_current_context().with_resource(made)
    made.wait(limits.FLEET_BEAT)
    return made


def key_file(fleet: RedisFleet | None, redis_key: Path | None) -> tuple[KeyFile, ...]:
    """What has a fleet read its keys again, for --reload; () without a fleet."""
    if fleet is None or redis_key is None:
        return ()
    from handfast.fleet.key_file import KeyFile

    return (KeyFile(fleet, redis_key),)
