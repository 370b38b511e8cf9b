"""Captures on demand: whom they are of, and what bounds them."""

from __future__ import annotations

import logging

import pytest

from handfast import limits
from handfast.errors import ConfigError
from handfast.proxy.watching.capturing import Captures, _Writer

HERE = ("127.0.0.1", 443)


def test_only_the_next_connection_of_one_client(tmp_path):
    captures = Captures(tmp_path)
    assert captures.observe(("192.0.2.1", 1), HERE) == ((), ())
    captures.ask("192.0.2.1", "one")
    assert captures.observe(("192.0.2.2", 1), HERE) == ((), ())
    observers, sinks = captures.observe(("192.0.2.1", 1), HERE)
    assert (len(observers), len(sinks)) == (1, 1)
    assert captures.observe(("192.0.2.1", 1), HERE) == ((), ())
    assert (tmp_path / "one.pcapng").stat().st_mode & 0o777 == 0o600


def test_what_another_process_has_taken(tmp_path):
    taken: list[str] = []
    captures = Captures(tmp_path)
    captures.on_taken(taken.append)
    captures.ask("::1", "one")
    captures.forget("::1")
    assert captures.observe(("::1", 1, 0, 0), ("::1", 443)) == ((), ())
    captures.ask("::1", "one")
    captures.observe(("::1", 1, 0, 0), ("::1", 443))
    assert taken == ["::1"]


@pytest.mark.parametrize("name", ["", "..", "../x", "/etc/x", "a/b", ".x", "a b", "x" * 200, "a\n"])
def test_names_that_are_none(tmp_path, name):
    with pytest.raises(ConfigError, match="no name of a file"):
        Captures(tmp_path).ask("192.0.2.1", name)


def test_a_file_that_is_there_is_kept(tmp_path, caplog):
    (tmp_path / "one.pcapng").write_text("mine")
    captures = Captures(tmp_path)
    with pytest.raises(ConfigError, match="is there already"):
        captures.ask("192.0.2.1", "one")
    captures.ask("192.0.2.1", "two")
    (tmp_path / "two.pcapng").write_text("mine")
    with caplog.at_level(logging.WARNING, "handfast"):
        assert captures.observe(("192.0.2.1", 1), HERE) == ((), ())
    assert "no capture of 192.0.2.1" in caplog.text
    assert (tmp_path / "two.pcapng").read_text() == "mine"


def test_so_many_are_waited_for(tmp_path):
    captures = Captures(tmp_path)
    for number in range(limits.PROXY_CAPTURES):
        captures.ask(f"192.0.2.{number}", f"n{number}")
    with pytest.raises(ConfigError, match="asked for already"):
        captures.ask("198.51.100.1", "more")


def test_a_capture_has_a_size_and_a_time(tmp_path, monkeypatch, caplog):
    with caplog.at_level(logging.WARNING, "handfast"):
        for name, limit in (("size", "PROXY_CAPTURE_BYTES"), ("time", "PROXY_CAPTURE_SECONDS")):
            path = tmp_path / name
            monkeypatch.setattr(limits, limit, -1 if name == "time" else 100)
            writer = _Writer(path)
            writer.write(b"a" * 60)
            writer.write(b"a" * 60)
            assert path.stat().st_size == (60 if name == "size" else 0)
            monkeypatch.undo()
    assert caplog.text.count("the capture ends") == 2
