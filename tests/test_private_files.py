"""`handfast.files`: owner only, never through a link, never into something that is no regular file."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from handfast import files
from handfast.errors import ConfigError

WRITERS = {
    "create": files.create_private,
    "replace": lambda path: files.create_private(path, replace=True),
    "append": files.append_private,
}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=WRITERS)
def write(request):
    return WRITERS[request.param]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_a_new_file_is_the_owners_alone(tmp_path, write, umask):
    before = os.umask(umask)
    try:
        with write(tmp_path / "new") as file:
            file.write(b"secret")
    finally:
        os.umask(before)
    assert mode(tmp_path / "new") == 0o600
    assert (tmp_path / "new").read_bytes() == b"secret"


def test_create_keeps_what_is_there(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ConfigError, match="exists already") as caught:
        files.create_private(path)
    assert caught.value.code == "file_exists"
    assert str(path) in caught.value.what
    assert path.read_bytes() == b"old"


def test_replace_empties_and_closes_to_others(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"older and longer")
    path.chmod(0o666)
    with files.create_private(path, replace=True) as file:
        file.write(b"new")
    assert (path.read_bytes(), mode(path)) == (b"new", 0o600)


def test_append_appends_at_once_and_closes_to_others(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"first\n")
    path.chmod(0o644)
    with files.append_private(path) as one, files.append_private(path) as other:
        one.write(b"second\n")
        other.write(b"third\n")
        assert path.read_bytes() == b"first\nsecond\nthird\n"
    assert mode(path) == 0o600


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        # The path of a socket may have some hundred bytes at most, which a temporary directory's can exceed.
        os.chdir(path.parent)
        try:
            listener.bind(path.name)
        finally:
            os.chdir(here)


def make_link(path: Path) -> None:
    (path.parent / "victim").write_bytes(b"precious")
    path.symlink_to("victim")


def make_dangling_link(path: Path) -> None:
    path.symlink_to("nothing")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (Path.mkdir, "a directory"),
        (make_fifo, "a pipe"),
        (make_socket, "a socket"),
        (make_link, "a symbolic link"),
        (make_dangling_link, "a symbolic link"),
    ],
)
def test_what_is_no_regular_file_is_refused(tmp_path, write, make, kind):
    path = tmp_path / "trap"
    make(path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConfigError) as caught:
        write(path)
    assert (caught.value.code, caught.value.details["kind"]) == ("not_a_regular_file", kind)
    assert sorted(tmp_path.iterdir()) == before
    assert path.is_dir() or not (tmp_path / "victim").exists() or (tmp_path / "victim").read_bytes() == b"precious"


def test_a_pipe_with_a_reader_gets_nothing(tmp_path, write):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(ConfigError, match="a pipe"):
            write(tmp_path / "pipe")
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)


def test_a_device_is_refused(write):
    with pytest.raises(ConfigError, match="a device"):
        write(os.devnull)


@pytest.mark.parametrize("name", ["replace", "append"])
def test_another_users_file_is_refused(tmp_path, monkeypatch, name):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    with pytest.raises(ConfigError) as caught:
        WRITERS[name](path)
    assert caught.value.code == "foreign_file"
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("name", ["replace", "append"])
def test_a_second_name_of_a_file_is_refused_and_the_file_stays_as_it_is(tmp_path, name):
    """Somebody else may have made it, in a directory of everybody's, for a file that they cannot write to."""
    worth = tmp_path / "worth keeping"
    worth.write_bytes(b"old")
    worth.chmod(0o640)
    (tmp_path / "guessed").hardlink_to(worth)
    with pytest.raises(ConfigError) as caught:
        WRITERS[name](tmp_path / "guessed")
    assert caught.value.code == "hard_link"
    assert (worth.read_bytes(), mode(worth)) == (b"old", 0o640)


def test_a_path_that_leads_nowhere_is_named(tmp_path, write):
    with pytest.raises(ConfigError) as caught:
        write(tmp_path / "no" / "such\n" / "file")
    assert caught.value.code == "file_unwritable"
    assert "such\\x0a" in caught.value.what
