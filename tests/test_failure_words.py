"""One failure, one sentence: a server's log, which has no observer, says what the verdict says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from handfast import limits
from handfast.engine import ClientAuth, ClientConnection, Connection, ServerConnection
from handfast.errors import HandfastError
from handfast.io.failure_log import failure_line
from handfast.outcome import failure_words
from handfast.outcome.certificate_words import DESCRIBER
from handfast.outcome.failure import failure_of
from handfast.registry import CipherSuite, NamedGroup
from handfast.roles import Role
from tests import certificates
from tests.lens.connections import Watched, client_config, roots, server_config, verifier

PLAIN_ALERT = b"\x15\x03\x03\x00\x02\x02\x30"


def failed(client: Any, server: Any, *, name: str = "localhost", bytes_first: bytes = b"") -> tuple[Any, Any]:
    """Our end that failed, with what an observer of it saw: the server's, as servers alone write to the log."""
    watched = Watched(Role.SERVER)
    ends: list[Connection] = [
        ServerConnection(server, **watched.lenses),
        ClientConnection(client, server_name=name),
    ]
    try:
        ends[0].receive(bytes_first)
        for _ in range(4):
            for sender, receiver in ((ends[1], ends[0]), (ends[0], ends[1])):
                data = sender.outgoing()
                try:
                    receiver.receive(data)
                except HandfastError:
                    if receiver is ends[0]:
                        raise
        ends[0].eof()
    except HandfastError as error:
        watched.error = error
    return ends[0], watched


def stranger() -> Any:
    return client_config(certificates.other_ca().client("eve\x1b[2J\nhandfast: all is well"))


TLS12: dict[str, Any] = {"versions": (0x0303,)}
FAILURES = {
    "no certificate": lambda: failed(client_config(), server_config()),
    "no certificate, no names": lambda: failed(client_config(), server_config(ca_names=None)),
    "no certificate in 1.2": lambda: failed(client_config(), server_config(**TLS12)),
    "a stranger's certificate": lambda: failed(stranger(), server_config()),
    "a stranger's certificate in 1.2": lambda: failed(stranger(), server_config(**TLS12)),
    "many CA names": lambda: failed(
        client_config(), server_config(ca_names=roots(certificates.ca(), certificates.other_ca()).names())
    ),
    "our certificate is refused": lambda: failed(
        client_config(verifier=verifier(certificates.other_ca())), server_config(ClientAuth.NONE)
    ),
    "our certificate is refused in 1.2": lambda: failed(
        client_config(verifier=verifier(certificates.other_ca())), server_config(ClientAuth.NONE, **TLS12)
    ),
    "our name is refused": lambda: failed(client_config(), server_config(), name="elsewhere.example"),
    "no suite": lambda: failed(
        client_config(suites=(CipherSuite.TLS_AES_128_GCM_SHA256,)),
        server_config(suites=(CipherSuite.TLS_AES_256_GCM_SHA384,)),
    ),
    "no group": lambda: failed(
        client_config(groups=(NamedGroup.secp256r1,)), server_config(groups=(NamedGroup.secp384r1,))
    ),
    "no version": lambda: failed(client_config(versions=(0x0304,)), server_config(**TLS12)),
    "plain HTTP": lambda: failed(client_config(), server_config(), bytes_first=b"GET / HTTP/1.1\r\n\r\n"),
    "an alert as the first record": lambda: failed(client_config(), server_config(), bytes_first=PLAIN_ALERT),
    "a cut record": lambda: failed(client_config(), server_config(), bytes_first=b"\x16\x03\x01\x20\x00"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_log_and_verdict_name_the_same_cause_in_the_same_words(case):
    server, watched = FAILURES[case]()
    error = server.error
    seen, known = watched.outcome.failure(error), failure_of(server.info, error)
    assert known.code == seen.code == error.code
    words = failure_words.line(known, DESCRIBER)
    # How far the handshake came stands at the head of a log line.
    assert words == failure_words.line(replace(seen, stage=""), DESCRIBER)
    assert watched.verdict in (words, failure_words.line(seen, DESCRIBER))
    line = failure_line(("192.0.2.7", 4711), "", error, server.info)
    section = f" [{error.rfc}]" if error.rfc else ""
    diagnosis = f"; diagnosis: {' or '.join(error.diagnosis)}" if error.diagnosis else ""
    assert line == f"192.0.2.7:4711: handshake failed: {words} ({error.fault}){section}; {watched.hint}{diagnosis}"
    assert line.isprintable()


def test_what_a_certificate_says_makes_no_long_line():
    server, _ = FAILURES["a stranger's certificate"]()
    line = failure_line("peer" * limits.MAX_LOG_LINE, "early", server.error, server.info)
    assert len(line) <= limits.MAX_LOG_LINE + len("...")
