"""The headers of records, as far as they are there."""

from __future__ import annotations

import re

import pytest

from handfast.limits import MAX_CIPHERTEXT_12, MAX_PLAINTEXT
from handfast.wire.frames import ANY, CONNECTED, RECORDED, USUAL_LENGTH, USUAL_STARTS, HeaderFault, read_header


def header(content_type: int = 22, version: int = 0x0303, length: int = 1) -> bytes:
    return bytes((content_type,)) + version.to_bytes(2) + length.to_bytes(2)


@pytest.mark.parametrize("rules", [CONNECTED, RECORDED, ANY])
def test_a_header_without_fault_has_none_in_any_part_of_it(rules):
    whole = header(length=rules.limit)
    assert [rules.fault(whole[:size]) for size in range(6)] == [None] * 6


@pytest.mark.parametrize(
    ("rules", "fields", "fault", "known"),
    [
        (CONNECTED, {"content_type": 19}, HeaderFault.CONTENT_TYPE, 1),
        (CONNECTED, {"content_type": 24}, HeaderFault.CONTENT_TYPE, 1),
        (CONNECTED, {"version": 0x0203}, HeaderFault.VERSION, 2),
        (CONNECTED, {"version": 0x0400}, HeaderFault.VERSION, 2),
        (CONNECTED, {"length": MAX_PLAINTEXT + 1}, HeaderFault.LENGTH, 5),
        (RECORDED, {"content_type": 25}, HeaderFault.CONTENT_TYPE, 1),
        (RECORDED, {"version": 0x0305}, HeaderFault.VERSION, 3),
        (RECORDED, {"length": MAX_CIPHERTEXT_12 + 1}, HeaderFault.LENGTH, 5),
        (ANY, {"content_type": 25}, HeaderFault.CONTENT_TYPE, 1),
        (ANY, {"length": MAX_CIPHERTEXT_12 + 1}, HeaderFault.LENGTH, 5),
    ],
)
def test_a_fault_is_found_by_the_byte_that_shows_it(rules, fields, fault, known):
    whole = header(**fields)
    assert [rules.fault(b"before" + whole[:size], 6) for size in range(6)] == [None] * known + [fault] * (6 - known)


def test_what_is_usual_has_no_fault():
    assert all(CONNECTED.fault(start + USUAL_LENGTH.to_bytes(2)) is None for start in USUAL_STARTS)


def test_the_pattern_matches_what_may_start_a_record():
    found = re.compile(RECORDED.start_pattern)
    for content_type in range(256):
        for version in (0x02FF, *range(0x0300, 0x0307), 0x0400):
            start = header(content_type, version)[:3]
            assert (found.match(start) is not None) == (RECORDED.fault(start) is None)


def test_a_header_is_read_from_the_front():
    assert read_header(header(23, 0x0303, 0x1234) + b"more") == (b"\x17\x03\x03", 0x1234)
