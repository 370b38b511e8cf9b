"""The texts of the doctor's table are those that programs write, and what the doctor makes of them has the truth in it.

`make certificate-tools` makes every program fail in every way; without it, three of them in some.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from handfast.doctor.log_texts import KnownText, alike, programs, texts
from tests.doctor import written as made
from tests.doctor import written_of_browsers as browsers
from tests.doctor import written_of_envoy as envoy
from tests.doctor import written_of_files as files
from tests.doctor import written_of_grpc as grpc
from tests.doctor import written_of_http as http
from tests.doctor.matrix import Cast, ask

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.doctor.written import Writing

slow = pytest.mark.skipif("HANDFAST_TOOLS" not in os.environ, reason="slow: `make certificate-tools` runs it")
CHAINS = ("wrong-ca", "same-name-ca", "missing-intermediate", "self-signed", "issuer-not-a-ca")
DATES = ("expired", "not-yet-valid")
CASES = ("none", *CHAINS, *DATES, "server-purpose")
WITH_LIST = (*CASES, "revoked")
ALL_HELLOS = tuple(case for case, *_ in made.TOO_DIFFERENT)
NO_ADDRESSES = frozenset({"no-san-by-address", "address-not-in-san"})
# NSS's client accepts these, or does not go on.
NSS_TAKES = NO_ADDRESSES | {"no-san", "email-only-san", "no-aki", "no-digital-signature"}

WRITINGS: dict[str, tuple[Writing, ...]] = {
    "openssl": (
        made.of_servers("openssl"),
        made.of_a_root_that_is_sent("openssl"),
        made.of_refusals("openssl"),
        made.of_hellos("openssl", ALL_HELLOS),
        made.of_plain_ports("openssl"),
        made.of_closing_ports("openssl"),
        made.of_unknown_names("openssl"),
        made.of_clients("s_server", WITH_LIST),
        made.of_clients("nginx", ("wrong-ca", "issuer-not-a-ca")),
        made.of_stale_lists("s_server"),
        made.of_refusing_clients("s_server"),
        made.of_plain_clients("s_server"),
        files.of_files("client", files.python_loads),
        files.of_files("server", files.nginx_loads),
    ),
    "nginx": (
        made.of_clients("nginx", WITH_LIST),
        made.of_stale_lists("nginx"),
        made.of_refusing_clients("nginx"),
        made.of_plain_clients("nginx"),
        made.of_nginx_s_pages,
        made.of_clients_that_go,
        files.of_files("server", files.nginx_loads),
    ),
    "haproxy": (
        made.of_clients("haproxy", WITH_LIST),
        made.of_stale_lists("haproxy"),
        made.of_refusing_clients("haproxy"),
    ),
    "go": (
        made.of_servers("go"),
        made.of_refusals("go"),
        made.of_hellos("go"),
        made.of_plain_ports("go"),
        made.of_unknown_names("go"),
        made.of_clients("go", CASES),
        *(made.of_refusing_clients("go", *how) for how in (("python", "1.3"), ("go", "1.3"), ("curl", "1.2"))),
        made.of_refused_hellos("go"),
        made.of_plain_clients("go"),
        files.of_files("server", files.go_loads),
    ),
    "java": (
        made.of_servers("jsse"),
        made.of_refusals("jsse", ("1.3",)),
        made.of_hellos("jsse"),
        made.of_plain_ports("jsse"),
        made.of_closing_ports("jsse"),
        made.by_peer("jsse", CASES),
    ),
    "node": (
        made.of_servers("node"),
        made.of_a_root_that_is_sent("node"),
        made.of_refusals("node"),
        made.of_closing_ports("node"),
        made.of_clients("node", CASES),
        made.of_refusing_clients("node"),
        files.of_files("server", files.node_loads),
    ),
    "rustls": (
        made.of_servers("uv", NO_ADDRESSES),
        made.of_refusals("uv", ("1.3",)),
        made.of_plain_ports("uv"),
    ),
    "postgresql": (
        files.of_postgresql,
        files.of_postgresql_s_certificate,
        files.of_a_postgresql_without_tls,
    ),
    "curl": (
        made.of_servers("curl"),
        made.of_a_root_that_is_sent("curl"),
        made.of_refusals("curl"),
        made.of_hellos("curl"),
        made.of_plain_ports("curl"),
        files.of_files("client", files.curl_loads),
        files.nobody_listens("curl"),
    ),
    "python": (
        made.of_servers("python"),
        made.of_refusals("python", leave_out=frozenset({"rsa-1024"})),
        made.of_plain_ports("python"),
        made.of_closing_ports("python"),
        made.of_clients("python", WITH_LIST),
        made.of_plain_clients("python"),
        files.of_files("client", files.python_loads),
        files.nobody_listens("python"),
        *(write(library) for library in http.LIBRARIES for write in http.ALL),
    ),
    "browsers": (
        browsers.of_chromium,
        made.of_servers("nss", NSS_TAKES),
        made.of_refusals("nss", ("1.3",), frozenset({"rsa-1024"})),
        made.of_hellos("nss"),
    ),
    "gnutls": (
        made.of_servers("gnutls", frozenset({"no-san"})),
        made.of_refusals("gnutls"),
        made.of_hellos("gnutls"),
        made.of_plain_ports("gnutls"),
    ),
    "tunnels": (
        made.of_clients("stunnel", WITH_LIST),
        made.of_stale_lists("stunnel"),
        made.of_refusing_clients("stunnel"),
        made.of_clients("hitch", CASES),
        made.of_refusing_clients("hitch"),
    ),
    "grpc": (grpc.of_servers, grpc.of_clients, grpc.of_others),
    "envoy": (
        envoy.of_clients,
        envoy.of_refusing_clients,
        envoy.of_names,
        envoy.of_servers,
        envoy.of_refusals,
        envoy.of_hellos,
    ),
    "boringssl": (grpc.of_servers, grpc.of_clients, grpc.of_others, envoy.of_refusing_clients),
    "handfast": (made.of_handfast,),
}  # fmt: skip
BRIEF: dict[str, tuple[Writing, ...]] = {
    "curl": (made.of_hellos("curl", ("no common version",)), made.of_plain_ports("curl"), files.nobody_listens("curl")),
    "nginx": (made.of_clients("nginx", ("none", "expired")), made.of_nginx_s_pages),
    "openssl": (made.of_clients("s_server", ("none", "wrong-ca")), made.of_refusing_clients("s_server")),
    "python": (made.of_closing_ports("python"), files.of_files("client", files.python_loads)),
}


def texts_in(writings: Iterable[Writing], cast: Cast) -> set[KnownText]:
    """The texts that stood in what was written; of each writing the doctor's answer has the truth in it."""
    found = set()
    for one in (one for write in writings for one in write(cast)):
        answer = ask("--log", one.text)
        assert (one.truth in answer.causes) if one.truth else not answer.causes, (one, answer.findings)
        lines = [alike(line) for line in one.text.splitlines()]
        found |= {text for text in texts() if any(map(text.stands_in, lines))}
    return found


@slow
@pytest.mark.parametrize("program", WRITINGS)
def test_a_program_writes_what_the_table_says(program: str, cast: Cast) -> None:
    written = texts_in(WRITINGS[program], cast)
    own = {text for text in texts() if text.program is programs()[program]}
    assert written & own, "it was made to say something"
    assert [text.shown for text in own - written if not text.source] == []


@pytest.mark.parametrize("program", BRIEF)
def test_some_of_what_programs_write(program: str, cast: Cast) -> None:
    assert texts_in(BRIEF[program], cast)


def test_every_program_whose_texts_are_tested_is_made_to_write_them() -> None:
    assert {name for name, program in programs().items() if program.seen} == WRITINGS.keys()
