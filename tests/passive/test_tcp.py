"""TCP reassembly: whatever way the segments took, the stream is what was sent."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from handfast.limits import REASSEMBLY_BYTES, RETRANSMISSION_BYTES
from handfast.passive.packets import FIN, SYN, Endpoint, Segment
from handfast.passive.tcp import Stream

A, B = Endpoint(b"\x7f\0\0\1", 1), Endpoint(b"\x7f\0\0\1", 2)


def segment(sequence: int, payload: bytes = b"", flags: int = 0) -> Segment:
    return Segment(A, B, sequence % 2**32, flags, payload)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_order_any_overlap_any_number_of_times(data):
    content = data.draw(st.binary(min_size=1, max_size=60))
    start = data.draw(st.sampled_from([0, 1, 2**31, 2**32 - 30, 2**32 - 1]))
    cuts = st.integers(0, len(content))
    pieces = data.draw(st.lists(st.tuples(cuts, cuts).map(sorted), max_size=10))
    pieces += [[at, at + 7] for at in range(0, len(content), 7)]
    segments = [segment(start + 1 + low, content[low:high]) for low, high in pieces]
    segments.append(segment(start + 1 + len(content), flags=FIN))
    stream = Stream()
    assert stream.take(segment(start, flags=SYN)) == b""
    found = b"".join([stream.take(one) for one in data.draw(st.permutations(segments))])
    assert found == content
    assert stream.ended
    assert not stream.incomplete


def test_the_first_copy_of_a_byte_counts():
    stream = Stream()
    assert stream.take(segment(10, b"abc")) == b"abc"
    assert stream.take(segment(10, b"XYZdef")) == b"def"


def test_a_recording_may_begin_anywhere():
    stream = Stream()
    assert stream.take(segment(5000)) == b""
    assert stream.take(segment(5000, b"abc")) == b"abc"
    assert stream.take(segment(4990, b"0123456789")) == b""
    assert stream.take(segment(5003, b"def", FIN)) == b"def"
    assert stream.ended


def test_what_is_missing_is_noticed():
    stream = Stream()
    stream.take(segment(0, flags=SYN))
    assert stream.take(segment(2, b"b")) == b""
    seen = [stream.incomplete]
    assert stream.take(segment(1, b"a")) == b"ab"
    seen.append(stream.incomplete)
    stream.take(segment(9, flags=FIN))
    assert [*seen, stream.incomplete] == [True, False, True]


def test_what_waits_is_bounded():
    stream = Stream()
    stream.take(segment(0, flags=SYN))
    size = 60_000
    for number in range(REASSEMBLY_BYTES // size):
        stream.take(segment(10 + number * size, bytes(size)))
        stream.take(segment(10 + number * size, bytes(size)))
    before = stream.hopeless
    stream.take(segment(10 + REASSEMBLY_BYTES, bytes(size)))
    assert (before, stream.hopeless) == (False, True)


def test_another_stream_begins_with_another_number():
    stream = Stream()
    stream.take(segment(100, flags=SYN))
    stream.take(segment(101, b"abc"))
    assert not stream.is_restarted_by(segment(100, flags=SYN))
    assert not stream.is_restarted_by(segment(5000, b"x"))
    assert stream.is_restarted_by(segment(5000, flags=SYN))
    assert not Stream().is_restarted_by(segment(5000, flags=SYN))


def test_the_first_copy_of_a_byte_that_waits_counts_too():
    stream = Stream()
    stream.take(segment(0, flags=SYN))
    assert stream.take(segment(4, b"def")) == b""
    assert stream.take(segment(4, b"DEFGH")) == b""
    assert stream.take(segment(1, b"abcxy")) == b"abcdefGH"
    assert stream.changed() == 3 + 2


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_what_is_sent_again_with_another_content_is_noticed(data):
    content = data.draw(st.binary(min_size=2, max_size=40))
    low, high = sorted((data.draw(st.integers(0, len(content))), data.draw(st.integers(0, len(content)))))
    other = bytes(byte ^ 1 for byte in content[low:high])
    once = [segment(1 + at, content[at : at + 7]) for at in range(0, len(content), 7)]
    stream = Stream()
    stream.take(segment(0, flags=SYN))
    found = b"".join([stream.take(one) for one in data.draw(st.permutations(once))])
    assert stream.changed() == 0
    found += stream.take(segment(1 + low, other))
    assert found == content
    keep_alive = (low, high) == (len(content) - 1, len(content))
    assert bool(stream.changed()) == (low < high and not keep_alive)


def test_so_many_bytes_are_kept_to_compare():
    stream = Stream()
    stream.take(segment(0, flags=SYN))
    for at in range(0, 3 * RETRANSMISSION_BYTES, 1000):
        stream.take(segment(1 + at, b"a" * 1000))
    end = at + 1000
    stream.take(segment(1 + end - RETRANSMISSION_BYTES, b"bb"))
    recent = stream.changed()
    stream.take(segment(1, b"bb"))
    assert (recent, stream.changed()) == (2, 0)
