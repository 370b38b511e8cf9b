"""Early data that our server refuses is passed over, within bounds, and the handshake goes on. RFC 9846 4.3.10."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from handfast.limits import MIN_PROTECTED, SKIPPED_EARLY_DATA
from handfast.registry import ExtensionType
from handfast.roles import Role
from handfast.wire.extensions import EarlyDataIndication
from handfast.wire.messages import ClientHello
from tests.lies import (
    APPLICATION_DATA,
    HANDSHAKE,
    Plain,
    Record,
    Wire,
    flipped,
    followed_by,
    preceded_by,
    without,
)
from tests.peer import Client
from tests.protocol.ours import (
    APPLICATION_KEYS,
    PLAINTEXT,
    Row,
    server,
)
from tests.protocol.sessions import (
    OTHER_SHA256_SUITE,
    QUESTION,
    early,
    early_data_of,
    sealing,
    ticket,
)

# Our server, a ticket for it that allows early data, and early data.
SENDS: dict[str, Any] = {"psks": (ticket(),), "early_data": QUESTION}
RETRY = {"shared_groups": ()}


# How much is skipped


def lots(size: int, record: int = 2**14) -> list[Record]:
    return [Record(APPLICATION_DATA, bytes(min(record, size - start))) for start in range(0, size, record)]


REFUSED: dict[str, dict[str, Any]] = {
    "at once": {"peer": SENDS, "ours": sealing()},
    "before a retry": {"peer": {**SENDS, **RETRY}, "ours": early()},
}


@pytest.mark.parametrize("where", REFUSED)
@pytest.mark.parametrize("record", [2**14, 1000])
def test_as_much_is_skipped_as_was_promised_or_16_kib(where, record):
    for ours, most in (
        (REFUSED[where]["ours"], SKIPPED_EARLY_DATA),
        ({**early(), "max_early_data": 50_000, "suites": (OTHER_SHA256_SUITE,)}, 50_000),
    ):
        for extra in (0, 1):
            lie = {"EarlyData": lots(most + extra, record)}
            peer = Client(server(**ours), lies=lie, **REFUSED[where]["peer"]).run()
            assert peer.connection.connected == (not extra)
            if extra:
                assert peer.error.code == "too_much_early_data"


@pytest.mark.parametrize("size", [0, 1, MIN_PROTECTED, MIN_PROTECTED + 1])
@pytest.mark.parametrize("where", REFUSED)
def test_records_too_small_to_hold_much_count_for_a_byte(where, size):
    """Or they could be sent for ever."""
    tiny = [Wire(b"\x17\3\3\0" + bytes((size,)) + bytes(size))] * (SKIPPED_EARLY_DATA + 1)
    ours, options = REFUSED[where]["ours"], REFUSED[where]["peer"]
    peer = Client(server(**ours), lies={"EarlyData": tiny}, **options).run()
    under = PLAINTEXT if where == "before a retry" else APPLICATION_KEYS
    assert peer.refusal == ("too_much_early_data", "unexpected_message", under)


def test_the_first_record_that_opens_ends_the_skipping():
    """Half of Finished opens; early data after it is no early data any more."""

    def lie(finished):
        raw = finished.encode()
        return [
            Record(HANDSHAKE, raw[:10]),
            Record(APPLICATION_DATA, b"x", damage=flipped),
            Record(HANDSHAKE, raw[10:]),
        ]

    Row("", {"Finished": lie}, "bad_record_mac", "bad_record_mac", APPLICATION_KEYS, **REFUSED["at once"]).check(
        Role.SERVER
    )


def test_refused_early_data_inside_the_second_hello():
    def lie(hello):
        raw = hello.encode()
        return [Plain(HANDSHAKE, raw[:10]), Wire(b"\x17\3\3\0\x20" + bytes(32)), Plain(HANDSHAKE, raw[10:])]

    Row(
        "", {"BoundSecondClientHello": lie}, "interleaved_record", "unexpected_message", **REFUSED["before a retry"]
    ).check(Role.SERVER)


def test_early_data_after_the_second_hello():
    lie = followed_by(Wire(b"\x17\3\3\0\x20" + bytes(32)))
    Row(
        "",
        {"BoundSecondClientHello": lie},
        "bad_record_mac",
        "bad_record_mac",
        APPLICATION_KEYS,
        **REFUSED["before a retry"],
    ).check(Role.SERVER)


def test_early_data_in_the_second_hello():
    lie = {"SecondClientHello": lambda hello: moved_before_psk(hello, EarlyDataIndication())}
    Row("", lie, "changed_after_retry", "illegal_parameter", **REFUSED["before a retry"]).check(Role.SERVER)


def moved_before_psk(hello: ClientHello, body: EarlyDataIndication) -> ClientHello:
    """The hello with one more extension, and pre_shared_key still at its end."""
    from handfast.wire.extensions import Extensions

    rest = dict(hello.extensions)
    psk = rest.pop(ExtensionType.pre_shared_key)
    return replace(hello, extensions=Extensions({**rest, **Extensions.of(body), ExtensionType.pre_shared_key: psk}))


def test_nothing_is_skipped_that_was_not_announced():
    for psks in ((), (ticket(),)):
        lie = {"ClientHello": without(ExtensionType.early_data)}
        peer = Client(server(**early()), lies=lie, **{**SENDS, "psks": (ticket(),)}).run()
        assert peer.refusal == ("bad_record_mac", "bad_record_mac", APPLICATION_KEYS)
        lie = {"Finished": preceded_by(Wire(b"\x17\3\3\0\x20" + bytes(32)))}
        peer = Client(server(**early()), lies=lie, psks=psks).run()
        assert peer.refusal == ("bad_record_mac", "bad_record_mac", APPLICATION_KEYS)


def test_early_data_is_announced_and_none_comes():
    for ours in (early(), sealing()):
        peer = Client(server(**ours), lies={"EarlyData": []}, **SENDS).run()
        assert peer.complete
        assert early_data_of(peer.results) == b""
