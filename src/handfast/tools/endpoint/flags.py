"""The command line of the endpoint, turned into its options."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from handfast import limits
from handfast.engine import ClientAuth, ClientConfig, ServerConfig, automatic_ca_names
from handfast.errors import bad_option
from handfast.registry import CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme
from handfast.roles import Role
from handfast.tools.endpoint.answers import Answering, ForcedVerifier, answering_signer, answering_verifier
from handfast.tools.endpoint.options import Address, Export, KeyUpdate, Options, Shutdown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from handfast.credentials.credentials import Credentials
    from handfast.registry import Registry
    from handfast.trust.verifiers import Verifier

_NOBODY = "none"


class _Parser(argparse.ArgumentParser):
    """Raises what is wrong instead of ending the program."""

    def error(self, message: str) -> NoReturn:
        raise bad_option("the command line", message, "--help lists the flags")


def parse(arguments: Sequence[str] | None) -> Options:
    """Options from flags; None means the process's own. Raises ConfigError and ApiMisuse for what makes no sense."""
    flags = parser().parse_args(arguments)
    role = Role(flags.role)
    config = _client_config(flags) if role is Role.CLIENT else _server_config(flags)
    return Options(
        config=config,
        listen=flags.listen,
        connect=flags.connect,
        server_name=_server_name(flags, role),
        count=flags.count,
        timeout=flags.timeout,
        send=_data_to_send(flags),
        expect_bytes=flags.expect_bytes,
        echo_xor=flags.echo_xor,
        exports=tuple(flags.export),
        key_update=KeyUpdate(flags.key_update),
        early_data=b"" if flags.early_data is None else _read(flags.early_data),
        require_later=_require_later(flags, role),
        shutdown=Shutdown(flags.shutdown),
        keylog=flags.keylog,
        watched=not flags.unwatched,
    )


def parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m handfast.tools.endpoint",
        description="Makes TLS connections as told, and prints one JSON line for each. docs/endpoint.md says more.",
        allow_abbrev=False,
    )
    parser.add_argument("--role", choices=tuple(Role), required=True, help="the side of the connection to be")
    _add_transport(parser.add_argument_group("transport"))
    _add_parameters(parser.add_argument_group("parameters"))
    _add_identity(parser.add_argument_group("who we are"))
    _add_trust(parser.add_argument_group("who the peer is"))
    _add_conversation(parser.add_argument_group("the conversation"))
    return parser


def _add_transport(group: argparse._ArgumentGroup) -> None:
    where = group.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--listen", type=_address, metavar="HOST:PORT", help="wait for connections; port 0 is any free one"
    )
    where.add_argument("--connect", type=_address, metavar="HOST:PORT", help="make connections")
    group.add_argument("--count", type=_positive(int), default=1, metavar="N", help="how many, one after the other (1)")
    group.add_argument(
        "--timeout",
        type=_positive(float),
        default=limits.HANDSHAKE_TIMEOUT,
        metavar="SECONDS",
        help="for the handshake, and for each wait for the peer (30)",
    )


def _add_parameters(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--tls",
        "--version",
        type=_version,
        action="append",
        metavar="VERSION",
        help="speak exactly these versions: 1.2, 1.3; repeatable (both)",
    )
    group.add_argument(
        "--old-main-secret", action="store_true", help="TLS 1.2: let in peers without the extended main secret"
    )
    group.add_argument("--suites", type=_names(CipherSuite), metavar="NAMES", help="comma-separated, most wanted first")
    group.add_argument("--groups", type=_names(NamedGroup), metavar="NAMES", help="key exchange groups, likewise")
    group.add_argument(
        "--key-shares",
        type=_names(NamedGroup),
        metavar="NAMES",
        help="client: groups in the first hello; none: no share",
    )
    group.add_argument("--schemes", type=_names(SignatureScheme), metavar="NAMES", help="accepted signature schemes")
    group.add_argument("--alpn", type=_list, default=(), metavar="NAMES", help="application protocols, likewise")
    group.add_argument("--server-name", metavar="NAME", help="client: the name to ask for and verify; none: no name")
    group.add_argument("--max-fragment", type=int, metavar="BYTES", help="the largest plaintext of a record we write")


def _add_identity(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--cert", action="append", default=[], metavar="FILE", help="PEM chain; repeatable, with --key")
    group.add_argument("--key", action="append", default=[], metavar="FILE", help="the key of the --cert at this place")
    group.add_argument("--post-handshake-auth", action="store_true", help="client: offer to be asked later")
    group.add_argument("--signer", choices=tuple(Answering), default=Answering.SYNC, help="how signatures are made")


def _add_trust(group: argparse._ArgumentGroup) -> None:
    judge = group.add_mutually_exclusive_group()
    judge.add_argument("--trust", type=Path, metavar="FILE", help="PEM roots; a client without it uses this machine's")
    judge.add_argument("--verdict", type=_verdict, metavar="accept|refuse:CODE", help="the verdict, whatever is shown")
    group.add_argument("--crl", type=Path, metavar="FILE", help="revocation lists: a file, or a directory of them")
    group.add_argument("--verifier", choices=tuple(Answering), default=Answering.SYNC, help="how verdicts are given")
    group.add_argument("--no-trust", action="store_true", help="client: report the verdict, and go on without trust")
    group.add_argument("--client-auth", choices=tuple(ClientAuth), help="server: what is asked of clients (none)")
    group.add_argument("--require-later", action="store_true", help="server: ask after the handshake, not in it")
    group.add_argument(
        "--ca-names", metavar="FILE", help="name the CAs of this PEM file; none: none. A server: --trust's"
    )


def _add_conversation(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--send", metavar="TEXT", default="", help="application data to send")
    group.add_argument("--send-file", type=Path, metavar="FILE", help="the same, from a file")
    group.add_argument("--expect-bytes", type=int, default=0, metavar="N", help="how much application data to read (0)")
    group.add_argument("--echo-xor", action="store_true", help="echo each byte XOR 0xFF until the peer's close_notify")
    group.add_argument(
        "--export", type=_export, action="append", default=[], metavar="LABEL:CONTEXTHEX:LENGTH", help="repeatable"
    )
    group.add_argument(
        "--key-update",
        nargs="?",
        choices=tuple(KeyUpdate),
        const=KeyUpdate.SEND,
        default=KeyUpdate.NONE,
        help="change our keys after the handshake; request: have the peer change its own too",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="client: resume sessions, waiting for a ticket each time; server: give them",
    )
    group.add_argument("--early-data", type=Path, metavar="FILE", help="client: send it before the handshake is over")
    group.add_argument("--max-early-data", type=int, default=0, metavar="BYTES", help="server: take so much of it (0)")
    group.add_argument("--shutdown", choices=tuple(Shutdown), default=Shutdown.WAIT, help="how to end (wait)")
    group.add_argument("--keylog", type=Path, metavar="FILE", help="append the traffic secrets, for Wireshark")
    group.add_argument("--unwatched", action="store_true", help="run the engine without observers")


# What a flag's text means; argparse names the flag when one of these raises ArgumentTypeError.


def _address(text: str) -> Address:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:]+)):(\d{1,5})", text)
    if match is None or int(match[3]) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return Address(match[1] or match[2], int(match[3]))


def _positive(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text!r} is not positive")
        return value

    return read


def _version(text: str) -> int:
    try:
        return ProtocolVersion.parse(text)
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a version") from None


def _list(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _names(registry: type[Registry]) -> Callable[[str], tuple[int, ...]]:
    def read(text: str) -> tuple[int, ...]:
        try:
            return () if text == _NOBODY else tuple(map(registry.parse, _list(text)))
        except KeyError as error:
            raise argparse.ArgumentTypeError(f"{error.args[0]!r} is not a registered name") from None

    return read


def _verdict(text: str) -> ForcedVerifier:
    from handfast.errors import CertificateRejected

    code = text.removeprefix("refuse:")
    if text != "accept" and (code == text or code not in CertificateRejected.catalogue):
        raise argparse.ArgumentTypeError("give accept, or refuse: and a code of CertificateRejected")
    return ForcedVerifier(None if text == "accept" else code)


def _export(text: str) -> Export:
    match = re.fullmatch(r"(.+):((?:[0-9A-Fa-f]{2})*|none):(\d{1,5})", text, re.DOTALL)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not LABEL:CONTEXTHEX:LENGTH")
    return Export(match[1], None if match[2] == _NOBODY else bytes.fromhex(match[2]), int(match[3]))


# What flags mean together.


def _client_config(flags: argparse.Namespace) -> ClientConfig:
    if flags.client_auth is not None:
        raise bad_option("--client-auth", "a client asks for no client certificate", "leave it out, or be a server")
    settings = _shared_settings(flags, Role.CLIENT)
    settings["post_handshake_auth"] = flags.post_handshake_auth
    if flags.key_shares is not None:
        settings["key_share_groups"] = flags.key_shares
    if flags.max_early_data:
        raise bad_option("--max-early-data", "it is for servers", "a client has --early-data")
    if flags.early_data is not None and not flags.resume:
        raise bad_option("--early-data", "only a resumed session can send it", "give --resume and --count 2 too")
    if flags.resume:
        from handfast.sessions.cache import SessionCache

        settings["sessions"] = SessionCache()
    return ClientConfig(**settings, enforce_verdict=not flags.no_trust)


def _server_config(flags: argparse.Namespace) -> ServerConfig:
    if flags.no_trust:
        raise bad_option("--no-trust", "it is for clients", "use --client-auth request or require_any")
    if flags.key_shares is not None:
        raise bad_option("--key-shares", "it is for clients", "leave it out")
    if flags.early_data is not None:
        raise bad_option("--early-data", "it is for clients", "a server has --max-early-data")
    if flags.max_early_data and not flags.resume:
        raise bad_option("--max-early-data", "only a resumed session can send any", "give --resume too")
    if flags.post_handshake_auth:
        raise bad_option("--post-handshake-auth", "it is for clients", "use --require-later")
    mode = "none" if flags.require_later else flags.client_auth or "none"
    if flags.client_auth is None and not flags.require_later:
        asked = {"--trust": flags.trust, "--verdict": flags.verdict, "--ca-names": flags.ca_names}
        for name, value in asked.items():
            if value is not None:
                raise bad_option(name, "no client is asked for a certificate", "give --client-auth or --require-later")
    settings = {**_shared_settings(flags, Role.SERVER), **_server_sessions(flags)}
    return ServerConfig(**settings, client_auth=ClientAuth(mode))


def _server_sessions(flags: argparse.Namespace) -> dict[str, Any]:
    from handfast.sessions.replay import MemoryReplayGuard
    from handfast.sessions.tickets import SealedTickets

    if not flags.resume:
        return {}
    guard = MemoryReplayGuard() if flags.max_early_data else None
    return {"tickets": SealedTickets(), "max_early_data": flags.max_early_data, "replay_guard": guard}


def _require_later(flags: argparse.Namespace, role: Role) -> ClientAuth | None:
    if not flags.require_later:
        return None
    if role is Role.CLIENT:
        raise bad_option("--require-later", "a client asks for no client certificate", "use --post-handshake-auth")
    if flags.client_auth == ClientAuth.NONE:
        raise bad_option("--require-later", "--client-auth none asks for no certificate", "leave one of them out")
    return ClientAuth(flags.client_auth or ClientAuth.REQUIRE_AND_VERIFY)


def _shared_settings(flags: argparse.Namespace, role: Role) -> dict[str, Any]:
    settings = {
        "versions": flags.tls,
        "suites": flags.suites,
        "groups": flags.groups,
        "schemes": flags.schemes,
        "application_protocols": flags.alpn,
        "credentials": _credentials(flags),
        "verifier": _verifier(flags, role),
        "ca_names": _ca_names(flags, role),
        "handshake_timeout": flags.timeout,
        "max_fragment": flags.max_fragment,
        # An endpoint that is started with a certificate and with early data is meant to use both.
        "early_data_with_client_identity": flags.early_data is not None or flags.max_early_data > 0,
        "require_extended_main_secret": not flags.old_main_secret,
    }
    return {name: value for name, value in settings.items() if value is not None}


def _credentials(flags: argparse.Namespace) -> tuple[Credentials, ...]:
    from handfast.credentials.credentials import Credentials

    if len(flags.cert) != len(flags.key):
        counts = f"{len(flags.cert)} of one and {len(flags.key)} of the other"
        raise bad_option("--cert and --key", counts, "give them in pairs")
    answering = Answering(flags.signer)
    pairs = zip(flags.cert, flags.key, strict=True)
    return tuple(answering_signer(Credentials.from_files(cert, key), answering) for cert, key in pairs)


def _verifier(flags: argparse.Namespace, role: Role) -> Verifier | None:
    from handfast.trust.revocation.crl_store import Crls
    from handfast.trust.roots import Roots
    from handfast.trust.verifiers import PathVerifier

    verifier: Verifier
    if flags.crl is not None and (flags.verdict is not None or (flags.trust is None and role is Role.SERVER)):
        raise bad_option("--crl", "no path is verified that it could be applied to", "give --trust")
    if flags.verdict is not None:
        verifier = flags.verdict
    elif flags.trust is None and role is Role.SERVER:
        if flags.verifier != Answering.SYNC:
            raise bad_option("--verifier", "there is nothing to verify with", "give --trust or --verdict")
        return None
    else:
        roots = Roots.default() if flags.trust is None else Roots.from_path(flags.trust)
        crls = None if flags.crl is None else Crls.from_path(flags.crl)
        verifier = PathVerifier(roots, check_name=_server_name(flags, role) is not None, crls=crls)
    return answering_verifier(verifier, Answering(flags.verifier))


def _ca_names(flags: argparse.Namespace, role: Role) -> tuple[bytes, ...] | None:
    from handfast.trust.roots import Roots

    if flags.ca_names == _NOBODY:
        return None
    if flags.ca_names is not None:
        return Roots.from_path(flags.ca_names).names()
    if role is Role.CLIENT or flags.trust is None:
        return None
    return automatic_ca_names(Roots.from_path(flags.trust).names())


def _server_name(flags: argparse.Namespace, role: Role) -> str | None:
    name: str | None = flags.server_name
    if role is Role.SERVER:
        if name is not None:
            raise bad_option("--server-name", "it is for clients", "leave it out")
        return None
    if name is None and flags.connect is not None:
        name = flags.connect.host
    return None if name == _NOBODY else name


def _data_to_send(flags: argparse.Namespace) -> bytes:
    if flags.send_file is None:
        data: bytes = flags.send.encode()
        return data
    if flags.send:
        raise bad_option("--send-file", "there is --send too", "give one of them")
    return _read(flags.send_file)


def _read(path: Path) -> bytes:
    from handfast.x509.loading import read

    return read(path)
