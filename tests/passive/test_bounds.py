"""What a decoder and its lenses keep of a recording that never comes to its end is bounded, in bytes or in number."""

from __future__ import annotations

from typing import Any

import pytest

from handfast.crypto.hashes import SHA256
from handfast.events import Checked, Epoch, Event, EventDispatcher, MessageSeen
from handfast.lens.key_schedule import KeySchedule
from handfast.lens.recorded import RecordedOutcome
from handfast.limits import MAX_CERTIFICATE_REQUESTS, MAX_HANDSHAKE_BYTES, MAX_HANDSHAKE_MESSAGE
from handfast.passive.decoder import Decoder
from handfast.passive.keylog_reader import KeyLogSecrets
from handfast.passive.proofs import Proofs
from handfast.roles import Role
from handfast.wire.messages import CertificateRequest
from tests.passive.recorded import C2S, S2C
from tests.passive.test_decoder import mutual, record

SERVER_HELLO_12 = b"\2\0\0\x26\3\3" + bytes(32) + b"\0\xc0\x2f\0"
LARGE = b"\x0b" + (MAX_HANDSHAKE_MESSAGE - 100).to_bytes(3, "big") + bytes(MAX_HANDSHAKE_MESSAGE - 100)
# More than both sides may send in one handshake.
MANY = 3 * MAX_HANDSHAKE_BYTES // len(LARGE)


def hello() -> MessageSeen:
    return next(event for event in mutual().client_side.events if isinstance(event, MessageSeen))


def decoder() -> Decoder:
    events: list[Event] = []
    return Decoder(EventDispatcher([events.append], [], lambda: 1.0), KeyLogSecrets())


def feed(one: Decoder, direction: Any, message: bytes) -> None:
    for at in range(0, len(message), 16000):
        one.feed(direction, record(22, message[at : at + 16000]))


def size(messages: list[bytes] | None) -> int:
    return sum(map(len, messages or ()))


@pytest.mark.parametrize("direction", [C2S, S2C])
def test_messages_that_no_proof_follows(direction):
    one = decoder()
    for _ in range(MANY):
        feed(one, direction, LARGE)
        assert size(one._proofs._transcript._pending) <= MAX_HANDSHAKE_BYTES
    assert not one._proofs.whole


def test_messages_of_tls12_that_no_proof_follows():
    one = decoder()
    feed(one, C2S, hello().raw)
    feed(one, S2C, SERVER_HELLO_12)
    handshake = one._handshake_12
    assert handshake is not None
    known = size(handshake._messages)
    # As when its records are opened: there is no limit on messages under keys.
    for number in range(MANY):
        handshake.undecoded(Role.SERVER, LARGE)
        assert size(handshake._messages) in (0, known + (number + 1) * len(LARGE))
        assert size(handshake._messages) <= 2 * MAX_HANDSHAKE_BYTES
    assert handshake._messages is None


def test_requests_that_no_answer_follows():
    proofs = Proofs(EventDispatcher.unheard(lambda: 1.0))
    proofs.add(hello().raw, Epoch.PLAINTEXT)
    proofs.start(SHA256)
    for number in range(2 * MAX_CERTIFICATE_REQUESTS):
        request = CertificateRequest(number.to_bytes(4, "big"))
        assert proofs.check(Role.SERVER, request, None, Epoch.APPLICATION)
    assert len(proofs._requests) == MAX_CERTIFICATE_REQUESTS
    assert list(proofs._requests)[-1] == (2 * MAX_CERTIFICATE_REQUESTS - 1).to_bytes(4, "big")


def test_a_trace_with_every_byte_of_messages_without_an_end():
    schedule, seen = KeySchedule(), hello()
    for _ in range(3 * MAX_HANDSHAKE_BYTES // len(seen.raw)):
        schedule.message(seen)
        assert len(schedule._messages) * len(seen.raw) <= 2 * MAX_HANDSHAKE_BYTES
    assert schedule._messages == []


def check(*, ok: bool) -> Checked:
    return Checked(time=1.0, direction=C2S, what="Finished", content=b"", expected=b"", received=b"", ok=ok)


@pytest.mark.parametrize("wrong", [0, 1000])
def test_checks_without_an_end_and_wrong_ones_among_the_last(wrong):
    outcome = RecordedOutcome()
    for number in range(1000 + wrong):
        outcome(check(ok=number < 1000))
    assert outcome.failed == bool(wrong)
    assert len(outcome._checks) < 20
