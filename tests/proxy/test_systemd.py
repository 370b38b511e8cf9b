"""What systemd hands over and is told."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from handfast import limits
from handfast.proxy.operation.systemd import Handed, Notifier, bound_to
from tests.cli.conftest import CLEAN_ENVIRONMENT
from tests.proxy.program import backend, get, proxying, write_files
from tests.proxy.test_operation import listener, written
from tests.waiting import LIMIT, until

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_files(tmp_path)


def handed_over(*sockets: socket.socket, names: str = "", pid: int | None = None) -> Handed:
    """What a process finds that was handed these, which then are its own."""
    first = max(sock.fileno() for sock in sockets) + 100
    for number, sock in enumerate(sockets):
        os.dup2(sock.fileno(), first + number)
    environment = {"LISTEN_FDS": str(len(sockets)), "LISTEN_PID": str(pid or os.getpid()), "LISTEN_FDNAMES": names}
    found = Handed(environment, first)
    assert environment == {}
    if not found.sockets:
        for number in range(len(sockets)):
            os.close(first + number)
    return found


def test_sockets_by_name_and_address():
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        found = handed_over(one, other, names="web:db")
        assert found.names == {"web": one.getsockname(), "db": other.getsockname()}
        assert set(found.sockets) == {one.getsockname(), other.getsockname()}
        for sock in found.sockets.values():
            assert not sock.get_inheritable()
            sock.close()


def test_sockets_for_another_process_are_left():
    with socket.create_server(("127.0.0.1", 0)) as one:
        assert handed_over(one, pid=1).sockets == {}


def test_datagram_sockets_are_passed_over():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        assert handed_over(one, names="x").sockets == {}


def test_nothing_was_handed_over():
    assert Handed({}).sockets == {}
    assert Handed({"LISTEN_FDS": "x", "LISTEN_PID": str(os.getpid())}).sockets == {}


def test_unix_sockets(tmp_path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "in.sock"))
        assert bound_to(sock) == str(tmp_path / "in.sock")


@pytest.fixture
def manager(tmp_path):
    """Where systemd is told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(LIMIT)
        yield sock


def test_what_systemd_is_told(manager):
    environment = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}
    notifier = Notifier(environment)
    assert (environment, notifier.interval) == ({}, 1.0)
    notifier.ready("2 listeners")
    assert manager.recv(1000) == b"READY=1\nSTATUS=2 listeners"
    notifier.reloading()
    assert manager.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    notifier.alive()
    assert manager.recv(1000) == b"WATCHDOG=1"
    notifier.stopping()
    assert manager.recv(1000) == b"STOPPING=1"


def fill(manager: socket.socket) -> None:
    """Tell it more than its queue takes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, suppress(BlockingIOError):
        sock.setblocking(False)
        while True:
            sock.sendto(b"X=1", manager.getsockname())


def test_a_manager_whose_queue_is_full_is_told_once_it_has_read(manager, monkeypatch):
    monkeypatch.setattr(limits, "SYSTEMD_TIMEOUT", LIMIT)
    fill(manager)
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "1"})
    notifier.alive()
    telling = threading.Thread(target=notifier.ready, args=("all is well",))
    telling.start()
    # Where it is not waited, it has ended by now.
    telling.join(0.05)
    while (told := manager.recv(1000)) == b"X=1":
        pass
    assert told == b"READY=1\nSTATUS=all is well"
    telling.join()


def test_a_manager_that_reads_nothing_holds_nothing_up_for_long(manager, monkeypatch):
    monkeypatch.setattr(limits, "SYSTEMD_TIMEOUT", 0.01)
    fill(manager)
    Notifier({"NOTIFY_SOCKET": manager.getsockname()}).stopping()


def test_a_manager_that_is_gone_or_did_not_ask(tmp_path):
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready("")
    Notifier({"NOTIFY_SOCKET": "@gone"}).ready("")
    notifier = Notifier({"WATCHDOG_USEC": "1"})
    notifier.ready("")
    assert notifier.interval == 0.0
    assert Notifier({"NOTIFY_SOCKET": "x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}).interval == 0.0


@pytest.mark.parametrize("workers", [1, 2])
def test_the_program_tells(folder, manager, workers):
    manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    environment = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "200000"}
    with backend() as app:
        path = written(folder, f"workers = {workers}", listener("app"), app=app.at)
        with proxying("--config", path, env=environment) as proxy:
            _hears(manager, proxy.process.pid, b"READY=1\nSTATUS=1 listener")
            _hears(manager, proxy.process.pid, b"WATCHDOG=1")
            proxy.signals(signal.SIGHUP)
            _hears(manager, proxy.process.pid, b"RELOADING=1")
            _hears(manager, proxy.process.pid, b"READY=1")
            proxy.signals(signal.SIGTERM)
            _hears(manager, proxy.process.pid, b"STOPPING=1")
            assert proxy.ends(None).status == 0


def _hears(manager: socket.socket, pid: int, words: bytes) -> None:
    """Until that is told, by the process that was started and none of its workers."""
    while True:
        data, ancillary, _, _ = manager.recvmsg(1000, socket.CMSG_SPACE(12))
        assert int.from_bytes(ancillary[0][2][:4], sys.byteorder) == pid
        if data.startswith(words):
            return


@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="no systemd-socket-activate")
@pytest.mark.parametrize("workers", [1, 2])
def test_sockets_of_systemd(folder, workers):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with backend() as app:
        content = listener("app").replace("127.0.0.1:0", "systemd:web")
        path = written(folder, f"workers = {workers}", content, app=app.at)
        program = [sys.executable, "-m", "handfast", "proxy", "--config", str(path)]
        command = ["systemd-socket-activate", "--listen", f"127.0.0.1:{port}", "--fdname", "web", *_kept(), *program]
        process = subprocess.Popen(command, env=CLEAN_ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert until(lambda: _get(folder, port) == "app /")
            for number in range(8):
                assert get(folder, port, f"/{number}") == f"app /{number}"
            process.send_signal(signal.SIGHUP)
            assert get(folder, port) == "app /"
            process.terminate()
            process.communicate(timeout=LIMIT)
            assert process.returncode == 0
        finally:
            process.kill()
            process.communicate()


def _kept() -> list[str]:
    return [f"--setenv={name}" for name in CLEAN_ENVIRONMENT if name.startswith("PYTHON")]


def _get(folder: Path, port: int) -> str:
    try:
        return get(folder, port)
    except OSError:
        return ""


def test_the_units_are_good(tmp_path):
    for name in ("handfast-proxy.service", "handfast-proxy.socket"):
        assert (EXAMPLES / name).exists()
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    unit = tmp_path / "handfast-proxy.service"
    text = (EXAMPLES / "handfast-proxy.service").read_text()
    unit.write_text(text.replace("/usr/bin/handfast", sys.executable))
    shutil.copy(EXAMPLES / "handfast-proxy.socket", tmp_path)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    assert [line for line in done.stderr.splitlines() if "handfast-proxy" in line] == []
