"""Writing a directory of certificates and keys: all or nothing, and the keys for their owner only."""

from __future__ import annotations

import errno
import os
import ssl
import stat
from typing import TYPE_CHECKING

import pytest

from handfast.errors import ConfigError
from handfast.pki.directory import write_files, write_pki
from tests import certificates

if TYPE_CHECKING:
    from pathlib import Path

NEW = {"a.pem": b"new a", "b.key": b"new b", "c.pem": b"new c"}


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def write_all(directory: Path, **options: bool) -> tuple[Path, ...]:
    server, client = certificates.server_below_intermediate(), certificates.client()
    return write_pki(directory, certificates.ca(), server=server, client=client, **options)


def test_six_files_that_fit_together(tmp_path):
    directory = tmp_path / "new" / "pki"
    written = write_all(directory)
    names = ["ca.pem", "ca.key", "server.pem", "server.key", "client.pem", "client.key"]
    assert written == tuple(directory / name for name in names)
    assert sorted(contents(directory)) == sorted(names)
    context = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    for role in ("server", "client"):
        context.load_cert_chain(directory / f"{role}.pem", directory / f"{role}.key")
    assert (directory / "server.pem").read_bytes().count(b"BEGIN CERTIFICATE") == 2


@pytest.mark.parametrize(("umask", "public"), [(0o022, 0o644), (0o000, 0o644), (0o077, 0o600)])
def test_keys_are_the_owners_alone(tmp_path, umask, public):
    before = os.umask(umask)
    try:
        written = write_all(tmp_path)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in written}
    assert modes == {path.name: 0o600 if path.suffix == ".key" else public for path in written}


def test_a_key_in_a_pem_file_is_the_owners_alone(tmp_path):
    (path,) = write_files(tmp_path, {"both.pem": certificates.client().cert_pem + certificates.client().key_pem})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_without_the_ca_key(tmp_path):
    write_all(tmp_path, with_ca_key=False)
    assert "ca.key" not in contents(tmp_path)
    assert len(contents(tmp_path)) == 5


@pytest.mark.parametrize("there", NEW)
def test_nothing_is_overwritten_and_nothing_half_written(tmp_path, there):
    (tmp_path / there).write_bytes(b"old")
    with pytest.raises(ConfigError, match=there) as caught:
        write_files(tmp_path, NEW)
    assert caught.value.code == "file_exists"
    assert contents(tmp_path) == {there: b"old"}


def test_replace_replaces_and_leaves_others_alone(tmp_path):
    (tmp_path / "b.key").write_bytes(b"old")
    (tmp_path / "b.key").chmod(0o644)
    (tmp_path / "other").write_bytes(b"other")
    write_files(tmp_path, NEW, replace=True)
    assert contents(tmp_path) == NEW | {"other": b"other"}
    assert stat.S_IMODE((tmp_path / "b.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("target", ["victim", "nothing"])
def test_a_link_is_never_written_through(tmp_path, replace, target):
    outside, directory = tmp_path / "outside", tmp_path / "pki"
    outside.mkdir()
    directory.mkdir()
    (outside / "victim").write_bytes(b"precious")
    (directory / "b.key").symlink_to(outside / target)
    with pytest.raises(ConfigError, match="a symbolic link"):
        write_files(directory, NEW, replace=replace)
    assert contents(outside) == {"victim": b"precious"}
    assert [path.name for path in directory.iterdir()] == ["b.key"]


def test_a_link_in_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "pki").symlink_to("real")
    with pytest.raises(ConfigError, match="is a symbolic link, not a directory"):
        write_files(tmp_path / "pki", NEW)
    assert contents(tmp_path / "real") == {}


def test_a_directory_in_place_of_a_file_is_refused(tmp_path):
    (tmp_path / "c.pem").mkdir()
    with pytest.raises(ConfigError, match="a directory"):
        write_files(tmp_path, NEW, replace=True)
    assert [path.name for path in tmp_path.iterdir()] == ["c.pem"]


def test_a_file_in_place_of_the_directory_is_named(tmp_path):
    (tmp_path / "pki").write_bytes(b"old")
    with pytest.raises(ConfigError, match="pki: is a regular file, not a directory"):
        write_files(tmp_path / "pki", NEW)
    assert contents(tmp_path) == {"pki": b"old"}


def test_a_failure_before_the_names_leaves_nothing(tmp_path):
    with pytest.raises(ConfigError) as caught:
        write_files(tmp_path, NEW | {"missing/d.pem": b"d"})
    assert caught.value.code == "file_unwritable"
    assert contents(tmp_path) == {}


def fail_on_call(monkeypatch, function: str, number: int) -> None:
    """The disk gives out at the nth call of an os function, and then works again."""
    real, calls = getattr(os, function), []

    def failing(*args, **kwargs):
        calls.append(args)
        if len(calls) == number:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **kwargs)

    monkeypatch.setattr(os, function, failing)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("function", ["link", "fsync"])
def test_a_failure_anywhere_leaves_nothing(tmp_path, monkeypatch, function, number):
    fail_on_call(monkeypatch, function, number)
    with pytest.raises(ConfigError, match="No space left"):
        write_files(tmp_path, NEW)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("function", "number"), [("replace", 1), ("replace", 2), ("link", 1), ("link", 2), ("link", 4)]
)
def test_a_failed_replacement_puts_the_old_ones_back(tmp_path, monkeypatch, function, number):
    old = {"a.pem": b"old a", "b.key": b"old b"}
    write_files(tmp_path, old)
    fail_on_call(monkeypatch, function, number)
    with pytest.raises(ConfigError, match="No space left"):
        write_files(tmp_path, NEW, replace=True)
    assert contents(tmp_path) == old


def test_whoever_comes_in_between_is_not_overwritten(tmp_path, monkeypatch):
    real = os.fsync

    def somebody_else_writes(descriptor: int) -> None:
        real(descriptor)
        (tmp_path / "c.pem").write_bytes(b"theirs")

    monkeypatch.setattr(os, "fsync", somebody_else_writes)
    with pytest.raises(ConfigError) as caught:
        write_files(tmp_path, NEW)
    assert caught.value.code == "file_exists"
    assert contents(tmp_path) == {"c.pem": b"theirs"}
