"""What programs write when TLS fails: each is made to fail as in the fault table, and says so in its own words."""

from __future__ import annotations

import contextlib
import io
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from handfast.doctor.log_lines import parse
from handfast.pki.fault_scene import general_names
from tests.doctor.matrix import CLIENTS, SERVER_CASES, Cast
from tests.doctor.more_servers import MORE_SERVERS
from tests.doctor.servers import SERVERS, Running, nginx, process_server, s_server
from tests.peers import CLIENTS as PEERS
from tests.peers import SERVERS as PEER_SERVERS
from tests.peers.base import ClientAuth, Options, Outcome, require_peer
from tests.race.servers import threaded
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    import socket
    from pathlib import Path


@dataclass(frozen=True)
class Written:
    """What a program wrote, and the cause that is the truth; "" where it cannot be told from what is no fault."""

    case: str
    truth: str
    text: str


Writing = Callable[[Cast], Iterator[Written]]
_SERVERS = SERVERS | MORE_SERVERS
# What our own programs of peers say of a connection that is cut after a handshake that was good to them.
_OUR_WORDS = "the connection ended in the middle"
# What uv says of a page of s_server's, which it took for a list of requirements: nothing was wrong with TLS.
_PAGE = "Unexpected '<'"
# Those that send no certificate where none of the server's CA names issued theirs.
_WITHHOLDING = {"go"}
_WITHHELD = {"client_wrong_ca", "client_missing_intermediate", "client_self_signed"}


def converse(name: str, port: int, cast: Cast, identity: tuple[Path, Path] | None = None, **more: object) -> Outcome:
    """One connection of a foreign client's."""
    own = {} if identity is None else {"certificate": identity[0], "key": identity[1]}
    options: dict[str, object] = {"trust": cast.ca, "server_name": "localhost", **own, **more}
    with PEERS[name](port, Options(**options)) as peer:  # type: ignore[arg-type]
        return peer.outcome()


def _refused(outcome: Outcome) -> bool:
    return not outcome.ok and _OUR_WORDS not in outcome.error and _PAGE not in outcome.text


def _said(outcome: Outcome) -> str:
    return outcome.text if outcome.text.strip() else outcome.error


def of_servers(name: str, leave_out: frozenset[str] = frozenset()) -> Writing:
    """What a client says of faulty servers; it is not asked for a certificate."""

    def write(cast: Cast) -> Iterator[Written]:
        for case in SERVER_CASES:
            if case.name in leave_out:
                continue
            setting = replace(cast.setting("1.3", cast.identity("faulty", case.server(cast.scene))), client_ca=None)
            with s_server(setting) as running:
                outcome = converse(name, running.port, cast, server_name=case.host)
            if _refused(outcome):
                yield Written(f"{name} of a server: {case.name}", case.cause, _said(outcome))

    return write


def of_a_root_that_is_sent(name: str) -> Writing:
    """What a client says of a chain with a root in it that it does not trust."""

    def write(cast: Cast) -> Iterator[Written]:
        other = cast.scene.other_ca()
        certificate, key = cast.identity("other", cast.scene.server(other))
        chain = cast.write("whole.pem", certificate.read_bytes() + other.certificate_pem)
        with s_server(replace(cast.setting("1.3", (chain, key)), client_ca=None)) as running:
            said = _said(converse(name, running.port, cast))
        yield Written(f"{name} of a server: root sent", "server_wrong_ca", said)

    return write


def of_refusals(
    name: str, versions: tuple[str, ...] = ("1.3", "1.2"), leave_out: frozenset[str] = frozenset()
) -> Writing:
    """What a client says when s_server refuses its certificate."""

    def write(cast: Cast) -> Iterator[Written]:
        for version in versions:
            for case in CLIENTS:
                if case.name in leave_out:
                    continue
                more = {} if len(versions) == 1 else {"version": version}
                issued = case.client(cast)
                identity = None if issued is None else cast.identity("client", issued)
                with s_server(cast.setting(version, crl=cast.crl if case.lists else None)) as running:
                    outcome = converse(name, running.port, cast, identity, **more)
                withheld = name in _WITHHOLDING and case.cause in _WITHHELD
                truth = "certificate_withheld" if withheld else case.cause
                if _refused(outcome):
                    yield Written(f"{name} refused in {version}: {case.name}", truth, _said(outcome))

    return write


def logged(running: Running, cause: str = "") -> str:
    """The log, once a line of it names this cause, or any.

    Where a program met several connections, the line that is awaited may not be the first that names one.
    """

    def named() -> bool:
        return any(cause in line.causes if cause else line.causes for line in parse(running.log()).lines)

    assert until(named), running.log()
    return running.log()


def of_clients(name: str, cases: tuple[str, ...], version: str = "1.3") -> Writing:
    """What a server's log says of faulty clients: these are Python's, which send what they have."""

    def write(cast: Cast) -> Iterator[Written]:
        for case in CLIENTS:
            if case.name not in cases:
                continue
            issued = case.client(cast)
            identity = None if issued is None else cast.identity("client", issued)
            with _SERVERS[name](cast.setting(version, crl=cast.crl if case.lists else None)) as running:
                converse("python", running.port, cast, identity)
                yield Written(f"{name} of a client: {case.name}", case.cause, logged(running))

    return write


def by_peer(name: str, cases: tuple[str, ...]) -> Writing:
    """What a foreign library says of faulty clients, by a server program of ours."""

    def write(cast: Cast) -> Iterator[Written]:
        certificate, key = cast.server
        options = Options(certificate=certificate, key=key, trust=cast.ca, client_auth=ClientAuth.REQUIRE)
        for case in CLIENTS:
            if case.name in cases:
                issued = case.client(cast)
                identity = None if issued is None else cast.identity("client", issued)
                with PEER_SERVERS[name](options) as server:
                    converse("python", server.port, cast, identity)
                    yield Written(f"{name} of a client: {case.name}", case.cause, _said(server.outcome()))

    return write


def of_stale_lists(name: str) -> Writing:
    def write(cast: Cast) -> Iterator[Written]:
        with _SERVERS[name](cast.setting("1.3", crl=cast.stale_crl)) as running:
            converse("python", running.port, cast, cast.identity("client", cast.good))
            yield Written(f"{name} with a stale list", "client_crl_stale", logged(running))

    return write


def of_refusing_clients(name: str, client: str = "python", version: str = "1.3") -> Writing:
    """What a server's log says when a client refuses its certificate."""

    def write(cast: Cast) -> Iterator[Written]:
        for case, truth, issue in (
            ("wrong-ca", "server_wrong_ca", lambda: cast.scene.server(cast.scene.other_ca())),
            ("expired", "server_expired", lambda: cast.scene.server(**cast.scene.expired())),
            ("name-constraints", "server_name_constraint", lambda: cast.scene.server(cast.scene.constrained_ca())),
        ):
            setting = replace(cast.setting(version, cast.identity("faulty", issue())), client_ca=None)
            with _SERVERS[name](setting) as running:
                converse(client, running.port, cast)
                yield Written(f"{name} refused by {client}: {case}", truth, logged(running))

    return write


# Hellos


def s_server_with(cast: Cast, *arguments: str) -> contextlib.AbstractContextManager[Running]:
    """s_server that asks for no certificate."""
    certificate, key = cast.server
    command = [require_peer("openssl"), "s_server", "-accept", "127.0.0.1:0", "-cert", str(certificate)]
    log = cast.write("hello.log", b"")
    return process_server([*command, "-key", str(key), "-www", *arguments], log, "ACCEPT")


TOO_DIFFERENT: tuple[tuple[str, str, tuple[str, ...], dict[str, Any]], ...] = (
    ("no common version", "no_common_version", ("-tls1_3",), {"version": "1.2"}),
    ("no common suite", "no_common_suite", ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"), {"version": "1.2"}),
    ("no common group", "no_common_group", ("-groups", "P-521"), {"groups": ("x25519",)}),
    ("no common scheme", "no_common_scheme", ("-sigalgs", "RSA-PSS+SHA256"), {}),
    ("no common protocol", "no_common_alpn", ("-alpn", "postgresql"), {"application_protocols": ("http/1.1",)}),
)


def of_hellos(name: str, only: tuple[str, ...] = ("no common version", "no common suite")) -> Writing:
    """What a client says, and s_server of it, when they have nothing in common."""

    def write(cast: Cast) -> Iterator[Written]:
        for case, truth, arguments, options in TOO_DIFFERENT:
            if case not in only:
                continue
            with s_server_with(cast, *arguments) as running:
                outcome = converse(name, running.port, cast, **options)
                yield Written(f"{name}: {case}", truth, _said(outcome))
                if truth != "no_common_alpn":
                    yield Written(f"s_server: {case}", truth, logged(running))

    return write


def of_refused_hellos(name: str) -> Writing:
    """What a server's log says of hellos that it cannot use."""

    def write(cast: Cast) -> Iterator[Written]:
        for truth, version, options in (
            ("no_common_version", "1.3", {"version": "1.2"}),
            ("no_common_suite", "1.2", {"version": "1.2", "suites": ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",)}),
            ("no_common_alpn", "1.3", {"application_protocols": ("postgresql",)}),
        ):
            with _SERVERS[name](replace(cast.setting(version), client_ca=None)) as running:
                converse("python", running.port, cast, **options)
                yield Written(f"{name}: {truth}", truth, logged(running))

    return write


def of_unknown_names(name: str) -> Writing:
    def write(cast: Cast) -> Iterator[Written]:
        with nginx(cast.setting("1.3"), "ssl_reject_handshake on") as running:
            yield Written(f"{name}: unknown name", "sni_refused", _said(converse(name, running.port, cast)))

    return write


def answering_in_http(connection: socket.socket) -> None:
    """A server that speaks HTTP without TLS."""
    connection.recv(4096)
    connection.sendall(b"HTTP/1.0 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    while connection.recv(4096):
        pass


def of_plain_ports(name: str) -> Writing:
    """What a client says of a port that answers in HTTP without TLS."""

    def write(cast: Cast) -> Iterator[Written]:
        with threaded(answering_in_http) as port:
            yield Written(f"{name}: plain HTTP", "plain_http", _said(converse(name, port, cast)))

    return write


def _hear(connection: socket.socket) -> None:
    connection.recv(65536)


def of_closing_ports(name: str) -> Writing:
    """What a client says of a server that closes at its hello."""

    def write(cast: Cast) -> Iterator[Written]:
        with threaded(_hear) as port:
            said = _said(converse(name, port, cast))
        yield Written(f"{name}: closed in the handshake", "closed_in_handshake", said)

    return write


def of_nginx_s_pages(cast: Cast) -> Iterator[Written]:
    """What nginx answers over TLS to one it refuses."""
    for case in CLIENTS:
        if case.name in ("none", "wrong-ca"):
            issued = case.client(cast)
            identity = None if issued is None else cast.identity("client", issued)
            with nginx(cast.setting("1.3")) as running:
                page = converse("curl", running.port, cast, identity).received.decode()
            yield Written(f"nginx answers: {case.name}", case.cause, page)


def _goes_on(running: Running) -> bool:
    return parse(running.log()).known > 1


def of_clients_that_go(cast: Cast) -> Iterator[Written]:
    """What nginx's log says of clients that close without a word."""
    other = cast.scene.server(cast.scene.other_ca())
    named = cast.scene.server(names=general_names("www.other.example"))
    for client, issued in (("node", other), ("curl", named)):
        with nginx(replace(cast.setting("1.3", cast.identity("faulty", issued)), client_ca=None)) as running:
            converse(client, running.port, cast)
            # Its own first line is of the test's attempt to connect.
            assert until(partial(_goes_on, running)), running.log()
            yield Written(f"nginx: {client} goes", "", running.log())


def of_plain_clients(name: str) -> Writing:
    """What a server's log says, and the client is told, when a client speaks HTTP without TLS."""

    def write(cast: Cast) -> Iterator[Written]:
        with _SERVERS[name](replace(cast.setting("1.3"), client_ca=None)) as running:
            told = by_command(require_peer("curl"), "-sS", "--noproxy", "*", f"http://127.0.0.1:{running.port}/")
            yield Written(f"{name}: plain HTTP", "http_to_tls", logged(running))
            if "HTTP" in told:
                yield Written(f"{name} answers plain HTTP", "http_to_tls", told)

    return write


def by_command(*command: object, **environment: str) -> str:
    """What a command writes, which ends by itself."""
    done = subprocess.run(
        [*map(str, command)],
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=LIMIT,
        stdin=subprocess.DEVNULL,
        # Without a terminal no password can be asked for.
        start_new_session=True,
        env=environment or None,
    )
    return done.stdout + done.stderr


# handfast


def of_handfast(cast: Cast) -> Iterator[Written]:
    """What our client prints, and what our server logs."""
    program = (sys.executable, "-m", "handfast", "connect", "-s", "--cacert", cast.ca)
    for case in CLIENTS:
        if case.name in ("issuer-not-a-ca", "rsa-1024"):
            continue
        issued = case.client(cast)
        identity = None if issued is None else cast.identity("client", issued)
        own = () if identity is None else ("--cert", identity[0], "--key", identity[1])
        with s_server(cast.setting("1.3", crl=cast.crl if case.lists else None)) as running:
            told = by_command(*program, *own, f"https://localhost:{running.port}/")
        yield Written(f"handfast refused: {case.name}", case.cause, told)
        if not case.lists:
            yield Written(f"handfast of a client: {case.name}", case.cause, _log_of_ours(cast, identity))
    for server_case in SERVER_CASES:
        if server_case.name in ("expired", "not-yet-valid", "client-purpose", "wrong-ca", "wrong-san"):
            identity = cast.identity("faulty", server_case.server(cast.scene))
            with s_server(replace(cast.setting("1.3", identity), client_ca=None)) as running:
                told = by_command(*program, f"https://localhost:{running.port}/")
            yield Written(f"handfast of a server: {server_case.name}", server_case.cause, told)


def _log_of_ours(cast: Cast, identity: tuple[Path, Path] | None) -> str:
    """What handfast logs, as a server, of a client."""
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    logger = logging.getLogger("handfast")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with _SERVERS["handfast"](cast.setting("1.3")) as running:
            converse("python", running.port, cast, identity)
            assert until(lines.getvalue)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    # What our server found out itself is not what this is about.
    return lines.getvalue().partition("; diagnosis: ")[0]
