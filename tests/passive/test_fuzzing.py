"""``make fuzz-captures``: its inputs are captures, and what breaks a promise is kept."""

from __future__ import annotations

import pytest

from handfast.passive import decode
from tests import fuzz_captures
from tests.passive.test_mutations import bases, capture_of

WHOLE = b"\1\0"


def test_an_input_without_mutations_is_a_whole_capture():
    capture, keys = fuzz_captures.made(WHOLE)
    assert (capture, keys) == (capture_of(bases()[0][0]), bases()[0][1])
    assert len(decode(capture, keys).connections) == 1


@pytest.mark.parametrize("number", range(12))
def test_what_it_starts_from_breaks_nothing(number):
    data = fuzz_captures.seeds()[number]
    assert fuzz_captures.made(data) == fuzz_captures.made(data)
    fuzz_captures.examine(data, counted=number % 6 == 0)


@pytest.mark.parametrize("promise", ["TEXT", "INSTRUCTIONS"])
def test_what_breaks_a_promise_is_kept(tmp_path, monkeypatch, promise):
    monkeypatch.setattr(fuzz_captures, promise, (100, 0))
    monkeypatch.setattr(fuzz_captures, "_COUNTED_EACH", 1)
    target = fuzz_captures.Target(tmp_path)
    with pytest.raises(fuzz_captures.Broken):
        target(WHOLE)
    (kept,) = tmp_path.iterdir()
    assert kept.read_bytes() == WHOLE
    with pytest.raises(fuzz_captures.Broken):
        fuzz_captures.main([str(kept)])


def test_a_moment_of_it(capsys):
    assert fuzz_captures.main(["--seconds", "0.05", "--seed", "7", "--random"]) == 0
    assert capsys.readouterr().out.startswith("fuzzing captures for 0.05 s, without atheris")
