"""Early data that our client sends, and the ways in which a server can lie about it. RFC 9846 4.3.10 and D.4."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest

from handfast.errors import ApiMisuse
from handfast.registry import ExtensionType
from handfast.roles import Role
from handfast.wire.extensions import EarlyDataIndication, Extensions
from handfast.wire.messages import ClientHello, EndOfEarlyData
from tests.lies import (
    APPLICATION_DATA,
    Record,
    change,
    extended,
    preceded_by,
    without,
)
from tests.peer import Server
from tests.protocol.ours import (
    HANDSHAKE_KEYS,
    SECP256R1,
    Row,
    client,
    table,
)
from tests.protocol.sessions import (
    MAX_EARLY_DATA,
    OTHER_SHA256_SUITE,
    QUESTION,
    SHA384_SUITE,
    Keeping,
    given,
)

EARLY_KEYS = "early data"


# Our client


def sending(session: Any = None, **ours: Any) -> dict[str, Any]:
    return {"sessions": Keeping(session or given()[1]), "early_data": QUESTION, **ours}


KNOWS_IT: dict[str, Any] = {"psks": (given()[0],)}
TAKES_IT: dict[str, Any] = {**KNOWS_IT, "takes_early_data": True}


@pytest.mark.parametrize("chunk", [0, 1])
def test_our_client_sends_early_data(chunk):
    ours = client(observers=[repr] if chunk else [], **sending())
    peer = Server(ours, chunk=chunk, **TAKES_IT).run()
    assert peer.complete, ours.error
    assert bytes(peer.data) == QUESTION
    assert ours.info.early_data == "accepted"
    assert [got.under for got in peer.records if got.content_type == APPLICATION_DATA] == [EARLY_KEYS]
    ours.send(b"later")
    assert bytes(peer.listen().data) == QUESTION + b"later"
    specs = [got for got in peer.records if got.content_type == 20]
    assert len(specs) == 1


@pytest.mark.parametrize("takes", [{}, KNOWS_IT], ids=["no PSK", "the PSK alone"])
@pytest.mark.parametrize("retry", [{}, {"group": SECP256R1}, {"cookie": b"crumbs"}], ids=["at once", "group", "cookie"])
def test_early_data_that_the_server_does_not_take_is_not_sent_again(takes, retry):
    ours = client(**sending())
    peer = Server(ours, **takes, **retry).run()
    assert peer.complete, ours.error
    assert ours.info.resumed == bool(takes)
    reason = "the handshake needed a HelloRetryRequest" if retry else "the server did not take it"
    assert ours.info.early_data == f"rejected: {reason}"
    with pytest.raises(ApiMisuse):
        ours.export_early("EXPORTER-a", b"", 32)
    ours.send(b"later")
    assert bytes(peer.listen().data).count(QUESTION) == (1 if takes else 0)
    assert bytes(peer.data).endswith(b"later")
    assert len([got for got in peer.records if got.content_type == 20]) == 1


REFUSED_BY_CLIENT: dict[str, Any] = {"ours": sending(), "peer": TAKES_IT}


@table(
    Row(
        "early data is taken without the PSK",
        {"EncryptedExtensions": extended(EarlyDataIndication())},
        "early_data_without_psk",
        "illegal_parameter",
        EARLY_KEYS,
        ours=sending(),
        peer={**KNOWS_IT, "accepts_psks": False},
    ),
    Row(
        "early data is taken, but none was offered",
        {"EncryptedExtensions": extended(EarlyDataIndication())},
        "unrequested_extension",
        "unsupported_extension",
        HANDSHAKE_KEYS,
        ours={"sessions": Keeping(given()[1])},
        peer=KNOWS_IT,
    ),
    Row(
        "early data is taken after a retry",
        {"EncryptedExtensions": extended(EarlyDataIndication())},
        "unrequested_extension",
        "unsupported_extension",
        HANDSHAKE_KEYS,
        ours=sending(),
        peer={**KNOWS_IT, "group": SECP256R1},
    ),
    Row(
        "early data is taken under another suite",
        {},
        "early_data_changed",
        "illegal_parameter",
        EARLY_KEYS,
        ours=sending(),
        peer={**TAKES_IT, "chosen_suite": OTHER_SHA256_SUITE},
    ),
    Row(
        "early data is taken under another protocol",
        {},
        "early_data_changed",
        "illegal_parameter",
        EARLY_KEYS,
        ours=sending(application_protocols=("h2",)),
        peer={**TAKES_IT, "protocol": b"h2"},
    ),
    Row(
        "early data is taken under no protocol, where there was one",
        {},
        "early_data_changed",
        "illegal_parameter",
        EARLY_KEYS,
        ours=sending(given(protocol=b"h2")[1], application_protocols=("h2",)),
        peer={"psks": (given(protocol=b"h2")[0],), "takes_early_data": True},
    ),
    Row(
        "the suite of another hash",
        {},
        "psk_for_other_hash",
        "illegal_parameter",
        EARLY_KEYS,
        ours=sending(),
        peer={**TAKES_IT, "chosen_suite": SHA384_SUITE},
    ),
    Row(
        "an answer of TLS 1.2",
        {"ServerHello": without(ExtensionType.supported_versions)},
        "no_common_version",
        "protocol_version",
        EARLY_KEYS,
        **REFUSED_BY_CLIENT,
    ),
    Row(
        "TLS 1.2, which has no early data",
        {"ServerHello": change(extensions=Extensions(), cipher_suite=0xC02B)},
        "early_data_and_old_version",
        "protocol_version",
        EARLY_KEYS,
        ours=sending(versions=(0x0304, 0x0303)),
        peer=TAKES_IT,
    ),
    Row(
        "a wrong Finished",
        {"Finished": change(verify_data=bytes(32))},
        "bad_finished",
        "decrypt_error",
        EARLY_KEYS,
        **REFUSED_BY_CLIENT,
    ),
    Row(
        "EndOfEarlyData from a server",
        {"Finished": EndOfEarlyData()},
        "unexpected_message",
        "unexpected_message",
        EARLY_KEYS,
        **REFUSED_BY_CLIENT,
    ),
    Row(
        "data before the server's Finished",
        {"Finished": preceded_by(Record(APPLICATION_DATA, b"data"))},
        "early_application_data",
        "unexpected_message",
        EARLY_KEYS,
        **REFUSED_BY_CLIENT,
    ),
)
def test_our_client_refuses(row):
    row.check(Role.CLIENT)


NOT_SENT: dict[str, dict[str, Any]] = {
    "there is no session to resume": {"sessions": None},
    f"the session allows {MAX_EARLY_DATA} bytes": {"early_data": bytes(MAX_EARLY_DATA + 1)},
    "the session's suite is not offered": {"suites": (OTHER_SHA256_SUITE, SHA384_SUITE)},
    "the session's application protocol is not offered": sending(given(protocol=b"h2")[1]),
    "the session carries a client identity": sending(replace(given()[1], identified=True)),
}


NOT_SENT_TO: dict[str, dict[str, Any]] = {"the session's suite is not offered": {"chosen_suite": OTHER_SHA256_SUITE}}


@pytest.mark.parametrize("reason", NOT_SENT)
def test_our_client_does_not_send_it(reason):
    ours = client(**{**sending(), **NOT_SENT[reason]})
    peer = Server(
        ours, psks=(given()[0], given(protocol=b"h2")[0]), takes_early_data=True, **NOT_SENT_TO.get(reason, {})
    ).run()
    assert peer.complete, ours.error
    assert ours.info.early_data == f"not sent: {reason}"
    assert peer.got(ClientHello).find(EarlyDataIndication) is None
    assert bytes(peer.data) == b""


def test_data_of_every_kind_is_early_data():
    data = os.urandom(MAX_EARLY_DATA)
    for one in (data, bytearray(data), memoryview(data)):
        ours = client(**sending(early_data=one))
        peer = Server(ours, **TAKES_IT).run()
        assert bytes(peer.data) == data
