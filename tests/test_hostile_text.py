"""What peers, stores and foreign exceptions say, in errors, verdicts, logs and traces: printable, and short."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from string import Formatter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfast import errors, limits
from handfast.engine import ClientAuth
from handfast.errors import HandfastError
from handfast.errors.foreign import said_by
from handfast.io.failure_log import failure_line
from handfast.lens.trace import Trace
from handfast.verdict import Reason, accept, refuse
from handfast.wire import extensions as ext
from tests.lies import extended
from tests.peer import Client, Server
from tests.protocol.ours import Judge, client, server
from tests.protocol.sessions import sealing, ticket

FORGED = "\x1b[2J\r\n127.0.0.1:1: everything is well\u202e\u2028\x9b31m\0"
HOSTILE = [FORGED, FORGED * 10_000, "\x1b" * 300_000, "\ud800" * 5000]
CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HandfastError)]
CODES = [(kind, code) for kind in CLASSES for code in kind.catalogue]
# A sentence has few parts, and an escaped character is ten long at most.
LONGEST = 4 * 10 * limits.MAX_DETAIL_TEXT


class Foreign(Exception):
    """Of somebody's code."""


def assert_safe(text: str, longest: int = LONGEST) -> None:
    assert text.isprintable()
    assert len(text) <= longest


@pytest.mark.parametrize(("kind", "code"), CODES, ids=lambda value: getattr(value, "__name__", value))
def test_no_error_carries_what_a_peer_wrote(kind: Any, code: str) -> None:
    entry = kind.catalogue[code]
    fields = [field for text in (entry.what, entry.hint or kind.default_hint) for field in Formatter().parse(text)]
    for text in HOSTILE:
        # A field with a format of its own is for a number.
        details = {name: 1 if spec else text for _, name, spec, _ in fields if name}
        error = HandfastError.__new__(kind)
        with suppress(TypeError):
            error = kind(code, **details)
            for said in (str(error), error.what, error.hint, error.explain()):
                assert_safe(said)
            assert_safe(failure_line(("127.0.0.1", 1), text, error), 10 * limits.MAX_LOG_LINE)


@settings(max_examples=50)
@given(st.text(st.characters(), max_size=100))
def test_a_foreign_exception_says_what_it_says_in_one_line(text: str) -> None:
    assert_safe(said_by(Foreign(text)))
    assert_safe(failure_line((text, 1), text, Foreign(text)))


def test_an_exception_that_cannot_say_what_it_is() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert said_by(Silent()) == "Silent: it does not say what"
    assert said_by(Foreign()) == "Foreign"


@pytest.mark.parametrize("text", HOSTILE)
def test_verdicts(text: str) -> None:
    yes = accept(explanation=text, names=[text], subject=text)
    no = refuse("policy", text, advice=text, names=[text], subject=text, further=[Reason("policy", None, text)])
    for verdict in (yes, no):
        shown = [verdict.explanation, verdict.advice, verdict.subject, *verdict.names]
        for words in (*shown, *(reason.explanation for reason in verdict.reasons)):
            assert_safe(words)
    error = no.error()
    assert_safe(str(error))
    assert_safe(error.explain())


# Through connections that are watched and logged


def everything(**hello: Any) -> list[str]:
    lines: list[str] = []
    for detail in ("names", "fields", "bytes"):
        trace = Trace(lines.append, detail=detail)
        ours = server(observers=[trace], application_protocols=("h2",), client_auth=ClientAuth.REQUEST)
        Client(ours, **hello).run()
        if ours.error is not None:
            lines.append(failure_line(("127.0.0.1", 1), "", ours.error))
            lines += [str(ours.error), ours.error.explain()]
    return lines


NAMES = (FORGED.encode("utf-8", "surrogateescape"),)


@pytest.mark.parametrize(
    "lie",
    [
        extended(ext.ProtocolNameList(NAMES)),
        extended(ext.ProtocolNameList((b"\x1b\n" * 100, b"\x9b" * 255) * 60)),
        extended(ext.ServerNameList((ext.ServerName(0, b"\x1b[2J\nforged"),))),
        extended(ext.CertificateAuthorities((b"\x30\x03\x1b\n\r",) * 100)),
        extended(ext.SessionTicket(b"\x1b\n" * 1000)),
        lambda hello: replace(hello, cipher_suites=tuple(range(0x2000, 0x2000 + 14_000))),
        extended(ext.NamedGroupList(tuple(range(0x2000, 0x2000 + 14_000)))),
        extended(ext.SignatureSchemeList(tuple(range(0x2000, 0x2000 + 14_000)))),
    ],
    ids=["ALPN", "much ALPN", "SNI", "CA names", "ticket", "suites", "groups", "schemes"],
)
def test_a_hello_in_the_trace_and_in_the_log(lie: Any) -> None:
    lines = everything(lies={"ClientHello": lie})
    assert len(lines) > 3
    for line in lines:
        assert_safe(line, 10 * limits.MAX_LOG_LINE)
        assert len(line) <= limits.MAX_LOG_LINE + 100


def test_first_bytes_and_server_answers() -> None:
    lines: list[str] = []
    ours = client(observers=[Trace(lines.append, detail="fields")], application_protocols=("h2",))
    Server(ours, lies={"EncryptedExtensions": extended(ext.ProtocolNameList(NAMES))}).run()
    assert ours.error is not None
    lines += [str(ours.error), ours.error.explain()]
    plain = server(observers=[Trace(lines.append)])
    with pytest.raises(HandfastError) as refused:
        plain.receive(b"\x1b[2J\nforged\r\n\x9b" * 10)
    lines += [str(refused.value), failure_line(("\x1b", 1), "\n", refused.value)]
    for line in lines:
        assert_safe(line)


class Broken:
    """Whatever is asked of it, it says that it failed, in a way that would command a terminal."""

    schemes = (0x0403,)
    scope, since = b"here", 0.0

    def fail(self, *arguments: Any) -> Any:
        raise Foreign(FORGED * 1000)

    issue = redeem = sign = verify = first_use = put = take = __call__ = fail

    def __repr__(self) -> str:
        return FORGED * 1000


@pytest.mark.parametrize(
    "ours",
    [
        {"tickets": Broken()},
        {"observers": [Broken()]},
        {"verifier": Broken(), "client_auth": ClientAuth.REQUIRE_AND_VERIFY},
        {"choose_config": Broken()},
        {"credentials": Broken()},
    ],
    ids=lambda ours: next(iter(ours)),
)
def test_what_breaks_on_our_side(ours: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    from tests import certificates

    psk = ticket()
    connection = server(**{**sealing(), "verifier": Judge(), **ours})
    peer = Client(connection, psks=(psk,), identity=certificates.client()).run()
    said = [record.getMessage() for record in caplog.records]
    if connection.error is not None:
        said += [str(connection.error), connection.error.explain()]
    said.append(connection.info.client_cert_error)
    assert peer.alerts or any(said) or connection.connected
    for text in said:
        for line in text.splitlines() if text.startswith("internal error") else [text]:
            assert_safe(line)
