"""``python -m handfast.keyholder``: the reference key-holder, until SIGINT or SIGTERM. docs/keyholder.md.

Prints one JSON line that says where it listens. Exit status 0: stopped, 2: a flag or a file is unusable.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from handfast.credentials.credentials import Credentials
from handfast.engine import ClientAuth, ServerConfig
from handfast.errors import ApiMisuse, ConfigError, bad_option
from handfast.keyholder.held_keys import HeldKey
from handfast.keyholder.holder import KeyHolder
from handfast.registry import SignatureScheme
from handfast.roles import Role
from handfast.text import escape
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from handfast.x509 import loading as files

if TYPE_CHECKING:
    from collections.abc import Sequence

DONE, USAGE = 0, 2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise bad_option("the command line", message, "--help lists the flags")


def parser() -> argparse.ArgumentParser:
    """The flags."""
    made = _Parser(prog="python -m handfast.keyholder", description="signs TLS handshakes for others")
    keys = made.add_argument_group("keys, and what all of them may be used for")
    keys.add_argument("--key", action="append", required=True, metavar="FILE", help="a private key; may be repeated")
    keys.add_argument("--key-password-file", metavar="FILE", help="its first line opens keys that are encrypted")
    keys.add_argument("--role", action="append", required=True, choices=list(map(str, Role)), help="may be repeated")
    keys.add_argument("--scheme", action="append", default=[], metavar="NAME", help="may be repeated; default: all")
    keys.add_argument("--tls12", action="store_true", help="sign handshakes of TLS 1.2 too")
    unix = made.add_argument_group("callers on this machine")
    unix.add_argument("--unix", metavar="PATH", help="listen on this Unix socket")
    unix.add_argument("--uid", action="append", type=int, help="who may connect; may be repeated; default: this user")
    unix.add_argument("--mode", type=lambda text: int(text, 8), default=0o600, help="of the socket file; default 600")
    tls = made.add_argument_group("callers on other machines, by mutual TLS")
    tls.add_argument("--listen", metavar="HOST:PORT", help="listen there; port 0 is any free one")
    tls.add_argument("--cert", metavar="FILE", help="the holder's own certificate")
    tls.add_argument("--cert-key", metavar="FILE", help="and its key")
    tls.add_argument("--client-ca", metavar="FILE", help="who issues the callers' certificates")
    tls.add_argument("--name", action="append", default=[], help="who may connect: DNS:... or URI:...; may be repeated")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the flags say; the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        flags = parser().parse_args(arguments)
        asyncio.run(_serve(KeyHolder(_keys(flags)), flags))
    except (ConfigError, ApiMisuse) as error:
        print(f"handfast: error: {escape(error.what)} ({error.fault})", file=sys.stderr)
        print(f"handfast: hint: {escape(error.hint)}", file=sys.stderr)
        return USAGE
    return DONE


async def _serve(holder: KeyHolder, flags: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        print(json.dumps({"listening": await _listen(holder, flags)}), flush=True)
        await stopped.wait()
    finally:
        await holder.close()


async def _listen(holder: KeyHolder, flags: argparse.Namespace) -> list[str]:
    places = []
    if flags.unix is not None:
        await holder.listen_unix(flags.unix, uids=flags.uid, mode=flags.mode)
        places.append(os.fspath(flags.unix))
    if flags.listen is not None:
        host, _, port = flags.listen.rpartition(":")
        if not (host and port.isdecimal() and flags.cert and flags.client_ca and flags.name):
            raise bad_option("--listen", "not complete", "give HOST:PORT, --cert, --cert-key, --client-ca and --name")
        try:
            address = await holder.listen_tls(host.strip("[]"), int(port), _tls(flags), names=flags.name)
        except (OSError, OverflowError) as error:
            raise bad_option("--listen", str(error), "choose another address") from None
        places.append(f"{host}:{address[1]}")
    if not places:
        raise bad_option("--unix or --listen", "nobody could connect", "give one of them, or both")
    return places


def _keys(flags: argparse.Namespace) -> list[HeldKey]:
    password = None
    if flags.key_password_file is not None:
        password = files.read(flags.key_password_file).split(b"\n")[0].rstrip(b"\r")
    roles, schemes = frozenset(map(Role, flags.role)), _schemes(flags)
    return [HeldKey.from_file(path, password, roles=roles, schemes=schemes, tls12=flags.tls12) for path in flags.key]


def _schemes(flags: argparse.Namespace) -> tuple[int, ...]:
    try:
        return tuple(SignatureScheme.parse(name) for name in flags.scheme)
    except KeyError as error:
        raise bad_option("--scheme", f"{error} is no signature scheme", "give a name of the registry") from None


def _tls(flags: argparse.Namespace) -> ServerConfig:
    return ServerConfig(
        credentials=[Credentials.from_files(flags.cert, flags.cert_key)],
        client_auth=ClientAuth.REQUIRE_AND_VERIFY,
        verifier=PathVerifier(Roots.from_file(flags.client_ca)),
    )


if __name__ == "__main__":
    sys.exit(main())
