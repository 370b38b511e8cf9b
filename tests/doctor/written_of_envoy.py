"""What the real Envoy logs and answers when TLS fails, as a server and as the client of a server behind it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.doctor.envoy import Lines, before, certificates, envoy, of_setting, serving
from tests.doctor.matrix import CLIENTS, SERVER_CASES, Case, Cast
from tests.doctor.servers import s_server
from tests.doctor.written import (
    TOO_DIFFERENT,
    Written,
    answering_in_http,
    by_command,
    converse,
    logged,
    s_server_with,
)
from tests.peers.base import require_peer
from tests.race.servers import threaded
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Envoy starts with no such certificate of its own.
_REFUSED_AS_ITS_OWN = ("rsa-1024", "no-digital-signature")


def _files(cast: Cast, case: Case) -> tuple[Path, Path] | None:
    issued = case.client(cast)
    return None if issued is None else cast.identity("client", issued)


def of_clients(cast: Cast) -> Iterator[Written]:
    """The log of a server that refuses its client."""
    for case in CLIENTS:
        if case.name == "rsa-1024":
            # Python does not use it.
            continue
        with envoy(cast.setting("1.3", crl=cast.crl if case.lists else None)) as running:
            converse("python", running.port, cast, _files(cast, case))
            yield Written(f"Envoy of a client: {case.name}", case.cause, logged(running))
    with envoy(cast.setting("1.3", crl=cast.stale_crl)) as running:
        converse("python", running.port, cast, cast.identity("client", cast.good))
        yield Written("Envoy with a stale list", "client_crl_stale", logged(running))


def of_refusing_clients(cast: Cast) -> Iterator[Written]:
    """The log of a server whose client refuses it, whose hello it cannot use, and who speaks no TLS."""
    scene = cast.scene
    for truth, issued in (
        ("server_wrong_ca", scene.server(scene.other_ca())),
        ("server_expired", scene.server(**scene.expired())),
        ("server_name_constraint", scene.server(scene.constrained_ca())),
    ):
        for version in ("1.3", "1.2"):
            with envoy(cast.setting(version, cast.identity("faulty", issued), asks=False)) as running:
                converse("python", running.port, cast)
                yield Written(f"Envoy refused in {version}: {truth}", truth, logged(running))
    with envoy(cast.setting("1.3", asks=False)) as running:
        converse("python", running.port, cast, version="1.2")
        yield Written("Envoy: no common version", "no_common_version", logged(running))
    with envoy(cast.setting("1.3", asks=False)) as running:
        by_command(require_peer("curl"), "-sS", "--noproxy", "*", f"http://127.0.0.1:{running.port}/")
        yield Written("Envoy: plain HTTP", "http_to_tls", logged(running))


def of_names(cast: Cast) -> Iterator[Written]:
    """A server that knows no site of the name, and servers that let in others than who comes."""
    setting = cast.setting("1.3")
    own, lines = cast.identity("client", cast.good), of_setting(setting)
    with serving(setting, replace(lines, match="filter_chain_match: {server_names: [www.other.example]}")) as running:
        converse("python", running.port, cast, own)
        yield Written("Envoy: unknown name", "sni_refused", logged(running))
    trusted = f"trusted_ca: {{filename: {cast.ca}}}"
    san = f'{trusted}, match_typed_subject_alt_names: [{{san_type: DNS, matcher: {{exact: "other.example"}}}}]'
    for name, more in (("SAN", san), ("hash", f"{trusted}, verify_certificate_hash: ['{'0' * 64}']")):
        with serving(setting, lines.with_fix(f"validation_context: {{{more}}}")) as running:
            converse("python", running.port, cast, own)
            yield Written(f"Envoy: another {name}", "client_not_allowed", logged(running))
    forbidding = "principals: [{authenticated: {principal_name: {exact: other}}}]"
    with serving(setting, lines.with_fix(forbidding)) as running:
        converse("python", running.port, cast, own)
        yield Written("Envoy: another principal", "client_not_allowed", logged(running))


def _told(case: str, truth: str, cast: Cast, lines: Lines, port: int) -> Iterator[Written]:
    """What an Envoy before this port answers its client, and what it logs, where the connection fails."""
    with before(cast.setting(""), lines, port) as running:
        page = by_command(require_peer("curl"), "-sS", "--noproxy", "*", f"http://127.0.0.1:{running.port}/")
        if "upstream connect error" in page:
            yield Written(f"{case}: answer", truth, page)
            assert until(lambda: "response 503" in running.log())
            if "TLS_error" in running.log():
                yield Written(f"{case}: log", truth, running.log())


# As a client it offers no more than TLS 1.2 by itself.
_UP_TO_13 = "tls_params: {tls_maximum_protocol_version: TLSv1_3}"


def _trusting(cast: Cast, *more: str) -> Lines:
    """As a client that verifies the server and, as Envoy does where it is told, its name."""
    names = 'match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: "localhost"}}]'
    verifying = f"validation_context: {{trusted_ca: {{filename: {cast.ca}}}, {names}}}"
    return Lines(("sni: localhost",), (verifying, *(more or (_UP_TO_13,))))


def of_servers(cast: Cast) -> Iterator[Written]:
    """What an Envoy answers whose server it refuses."""
    for case in SERVER_CASES:
        if case.host != "localhost":
            continue
        setting = cast.setting("1.3", cast.identity("faulty", case.server(cast.scene)), asks=False)
        with s_server(setting) as running:
            yield from _told(f"Envoy of a server: {case.name}", case.cause, cast, _trusting(cast), running.port)


def of_refusals(cast: Cast) -> Iterator[Written]:
    """What an Envoy answers that a server refuses."""
    for version in ("1.3", "1.2"):
        for case in CLIENTS:
            if case.name in _REFUSED_AS_ITS_OWN:
                continue
            files = _files(cast, case)
            own = () if files is None else (certificates(*files),)
            maximum = f"tls_params: {{tls_maximum_protocol_version: TLSv{version.replace('.', '_')}}}"
            with s_server(cast.setting(version, crl=cast.crl if case.lists else None)) as running:
                name = f"Envoy refused in {version}: {case.name}"
                yield from _told(name, case.cause, cast, _trusting(cast, *own, maximum), running.port)


def of_hellos(cast: Cast) -> Iterator[Written]:
    """What an Envoy answers that has nothing in common with its server, or has one without TLS."""
    only = {"no common version": "TLSv1_2", "no common suite": "TLSv1_2"}
    for name, truth, arguments, _ in TOO_DIFFERENT:
        if name in only:
            maximum = f"tls_params: {{tls_maximum_protocol_version: {only[name]}}}"
            with s_server_with(cast, *arguments) as running:
                yield from _told(f"Envoy: {name}", truth, cast, _trusting(cast, maximum), running.port)
    with threaded(answering_in_http) as port:
        yield from _told("Envoy before plain HTTP", "plain_http", cast, _trusting(cast), port)
