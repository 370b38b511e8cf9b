"""-o: the file is whole or not there."""

from __future__ import annotations

import os
import threading

import pytest

from handfast.cli.output import output_file
from handfast.errors import ConfigError


def write(path, *data, fail=False):
    with output_file(path) as out:
        for piece in data:
            out(piece)
        if fail:
            raise KeyboardInterrupt


def test_a_new_file(tmp_path):
    write(tmp_path / "out", b"one", b"two")
    assert (tmp_path / "out").read_bytes() == b"onetwo"
    assert os.listdir(tmp_path) == ["out"]


def test_a_failure_leaves_what_was_there(tmp_path):
    (tmp_path / "out").write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out", b"half", fail=True)
    assert (tmp_path / "out").read_bytes() == b"before"
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "new", b"half", fail=True)
    assert os.listdir(tmp_path) == ["out"]


def test_the_mode_of_a_replaced_file_stays(tmp_path):
    path = tmp_path / "out"
    path.touch(mode=0o640)
    write(path, b"x")
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_link_leads_to_the_file(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/out")
    write(tmp_path / "link", b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "out").read_bytes() == b"x"


def test_a_pipe_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read = []
    thread = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    thread.start()
    write(tmp_path / "pipe", b"x")
    thread.join()
    assert read == [b"x"]
    assert (tmp_path / "pipe").is_fifo()


def test_what_cannot_be_a_file(tmp_path):
    with pytest.raises(ConfigError, match="is a directory"):
        write(tmp_path, b"x")
    with pytest.raises(ConfigError, match="cannot be written"):
        write(tmp_path / "none" / "out", b"x")
