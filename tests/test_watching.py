"""The watcher: files replaced in each way that is usual, and half done, while handshakes go on without a failure."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import handfast
from handfast import aio, limits
from handfast.errors import ApiMisuse, ConfigError
from handfast.pki.authority import Issued
from tests import certificates
from tests.aio.support import client_config, listening, server_config
from tests.waiting import LIMIT, until

AT_ONCE = 8


class Log(logging.Handler):
    """The lines of the log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    log = Log()
    log.setLevel(logging.WARNING)
    logging.getLogger("handfast").addHandler(log)
    yield log.lines
    logging.getLogger("handfast").removeHandler(log)


class Pair:
    """A certificate and a key as plain files."""

    def __init__(self, folder: Path, issued: Issued) -> None:
        self.folder = folder
        self.cert, self.key = folder / "tls.crt", folder / "tls.key"
        self.start(issued)

    def start(self, issued: Issued) -> None:
        self.cert.write_bytes(issued.cert_pem)
        self.key.write_bytes(issued.key_pem)

    def renamed(self, issued: Issued) -> None:
        """Each file is replaced by another; for a moment they do not fit."""
        for path, data in ((self.cert, issued.cert_pem), (self.key, issued.key_pem)):
            new = path.with_suffix(".new")
            new.write_bytes(data)
            new.replace(path)


class Mounted(Pair):
    """A Kubernetes secret: links to a link to a folder, of which the one in the middle is swapped."""

    def start(self, issued: Issued) -> None:
        self.version = 0
        for path in (self.cert, self.key):
            path.symlink_to(Path("..data", path.name))
        self.swapped(issued)

    def swapped(self, issued: Issued) -> None:
        old, self.version = self.folder / f"..v{self.version}", self.version + 1
        new = self.folder / f"..v{self.version}"
        new.mkdir()
        (new / self.cert.name).write_bytes(issued.cert_pem)
        (new / self.key.name).write_bytes(issued.key_pem)
        link = self.folder / "..data_tmp"
        link.symlink_to(new.name)
        link.replace(self.folder / "..data")
        if old.exists():
            shutil.rmtree(old)


class Load:
    """Clients that connect all the time; every handshake must come off, with one of the ``known`` certificates."""

    def __init__(self, port: int, known: list[Issued]) -> None:
        self._port = port
        self._known = [issued.chain for issued in known]
        self.own_chain: list[tuple[bytes, ...]] = []

    async def until(self, condition: Callable[[], bool]) -> None:
        """Connect, a few at once, until the condition holds."""
        async with asyncio.timeout(LIMIT):
            await asyncio.gather(*(self._connect() for _ in range(AT_ONCE)))
            while not condition():
                await asyncio.gather(*(self._connect() for _ in range(AT_ONCE)))

    async def until_shown(self, issued: Issued) -> None:
        await self.until(lambda: self.own_chain[-1] == issued.chain)

    async def _connect(self) -> None:
        _, writer = await aio.open_connection("127.0.0.1", self._port, client_config(), server_name="localhost")
        chain = handfast.info(writer).peer_chain
        writer.transport.abort()
        assert chain in self._known
        self.own_chain.append(chain)


async def under_load(pair: Pair, known: list[Issued], change: Callable[[Load], object]) -> Load:
    handle = handfast.ReloadingCredentials.from_files(pair.cert, pair.key)
    with handfast.FileWatcher(handle):
        server = await aio.create_server(asyncio.Protocol, "127.0.0.1", 0, server_config(credentials=[handle]))
        async with listening(server) as port:
            load = Load(port, known)
            await load.until_shown(known[0])
            await change(load)  # type: ignore[misc]
            await load.until(lambda: len(load.own_chain) >= 100)
    return load


def issued(count: int) -> list[Issued]:
    return [certificates.ca().server("localhost") for _ in range(count)]


def test_renamed_into_place_under_load(tmp_path):
    first, *others = known = issued(4)
    pair = Pair(tmp_path, first)

    async def change(load: Load) -> None:
        for one in others:
            await asyncio.to_thread(pair.renamed, one)
            await load.until_shown(one)

    load = asyncio.run(under_load(pair, known, change))
    assert list(dict.fromkeys(load.own_chain)) == [one.chain for one in known]


def test_rewritten_in_place_and_half_written_under_load(tmp_path, warnings):
    first, second = known = issued(2)
    pair = Pair(tmp_path, first)

    async def change(load: Load) -> None:
        with pair.cert.open("r+b") as file:
            file.truncate(0)
            half = len(second.cert_pem) // 2
            file.write(second.cert_pem[:half])
            file.flush()
            await load.until(lambda: any("tls.crt" in line for line in warnings))
            file.write(second.cert_pem[half:])
        await load.until(lambda: any("does not belong to the certificate" in line for line in warnings))
        assert set(load.own_chain) == {first.chain}
        pair.key.write_bytes(second.key_pem)
        await load.until_shown(second)

    asyncio.run(under_load(pair, known, change))


def test_a_swapped_link_under_load(tmp_path, warnings):
    first, *others = known = issued(4)
    pair = Mounted(tmp_path, first)

    async def change(load: Load) -> None:
        for one in others:
            await asyncio.to_thread(pair.swapped, one)
            await load.until_shown(one)

    load = asyncio.run(under_load(pair, known, change))
    assert list(dict.fromkeys(load.own_chain)) == [one.chain for one in known]
    # Both files change in one step, so there is nothing to warn of.
    assert warnings == []


class Counted:
    """A handle that tells when it was loaded anew."""

    def __init__(self, path: Path) -> None:
        self.loaded = threading.Event()
        self.handle = handfast.Reloading(self._load, path)
        self.loaded.clear()

    def _load(self) -> None:
        self.loaded.set()


@pytest.fixture
def counted(tmp_path: Path) -> Counted:
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    path.write_text("1")
    return Counted(path)


def test_a_signal_loads_anew_and_is_given_back(counted):
    before = signal.getsignal(signal.SIGHUP)
    with handfast.FileWatcher(counted.handle, files=False, on_signal=signal.SIGHUP):
        for _ in range(3):
            counted.loaded.clear()
            os.kill(os.getpid(), signal.SIGHUP)
            assert counted.loaded.wait(LIMIT)
    assert signal.getsignal(signal.SIGHUP) == before


def test_a_folder_that_goes_and_comes_back_is_noticed(counted, monkeypatch):
    monkeypatch.setattr(limits, "RELOAD_INTERVAL", 0.05)
    path = counted.handle.paths[0]
    with handfast.FileWatcher(counted.handle):
        shutil.rmtree(path.parent)
        assert counted.loaded.wait(LIMIT)
        counted.loaded.clear()
        path.parent.mkdir()
        path.write_text("2")
        assert counted.loaded.wait(LIMIT)


def test_links_that_lead_in_a_circle_for_a_while_end_nothing(counted, monkeypatch, warnings):
    monkeypatch.setattr(limits, "RELOAD_INTERVAL", 0.05)
    path = counted.handle.paths[0]
    with handfast.FileWatcher(counted.handle):
        path.unlink()
        path.symlink_to(path.name)
        assert until(lambda: any(line.startswith("watching") for line in warnings))
        counted.loaded.clear()
        path.unlink()
        path.write_text("2")
        assert counted.loaded.wait(LIMIT)


def test_after_the_end_nothing_is_loaded(counted):
    threads = threading.active_count()
    watcher = handfast.FileWatcher(counted.handle)
    watcher.close()
    watcher.close()
    assert threading.active_count() == threads
    counted.handle.paths[0].write_text("2")
    assert not counted.loaded.is_set()


def test_without_watchfiles_there_is_advice(counted, monkeypatch):
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(ConfigError) as caught:
        handfast.FileWatcher(counted.handle)
    assert "handfast[reload]" in caught.value.hint
    with handfast.FileWatcher(counted.handle, files=False, on_signal=signal.SIGHUP):
        pass


def test_a_signal_outside_of_the_main_thread_is_refused(counted):
    errors: list[BaseException] = []

    def make() -> None:
        try:
            handfast.FileWatcher(counted.handle, files=False, on_signal=signal.SIGHUP)
        except ApiMisuse as error:
            errors.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    assert len(errors) == 1
