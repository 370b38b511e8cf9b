"""When to load anew: because a file changed, or because of a signal."""

from __future__ import annotations

import logging
import signal
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from handfast import limits, logs
from handfast.errors import ApiMisuse, bad_option
from handfast.errors.foreign import said_by
from handfast.fork import renew_in_children
from handfast.text import listed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType, TracebackType
    from typing import Self

    from handfast.reload.handles import Reloading

# Links from one file to another that are followed; more than that is a loop.
_MAX_LINKS = 16


class FileWatcher:
    """Has ``handles`` load anew in threads of its own, from when it is made until ``close`` or the end of ``with``.

    With ``files``, when their files change (this needs the package ``watchfiles``, the extra ``handfast[reload]``): a
    file that was renamed into place or rewritten, and a symbolic link that leads elsewhere now, as Kubernetes swaps its
    ``..data``. With ``on_signal``, such as ``signal.SIGHUP``, at that signal too; only the main thread can ask for it.

    Raises ConfigError bad_option without ``watchfiles``, ApiMisuse bad_argument outside of the main thread.
    """

    _stop: threading.Event

    def __init__(self, *handles: Reloading[Any], files: bool = True, on_signal: int | None = None) -> None:
        self._handles = handles
        renew_in_children(self, _stop=threading.Event)
        # A signal's handler may interrupt anything; of the queues only this one may be used there.
        self._signals: SimpleQueue[bool] = SimpleQueue()
        self._restore: tuple[int, Any] | None = None
        if files:
            _require_watchfiles()
        if on_signal is not None:
            self._restore = on_signal, _handle(on_signal, self._signals)
        targets = [self._watch_files] * files + [self._wait_for_signals] * (on_signal is not None)
        self._threads = [threading.Thread(target=target, name="handfast-reload", daemon=True) for target in targets]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching, and give the signal back to what handled it before."""
        if self._restore is not None:
            signal.signal(*self._restore)
            self._restore = None
        self._stop.set()
        self._signals.put(False)
        for thread in self._threads:
            thread.join()

    def _wait_for_signals(self) -> None:
        while self._signals.get():
            for handle in self._handles:
                handle.reload()

    def _watch_files(self) -> None:
        """Also where the system cannot tell of changes, or no folder is there: then by looking now and again."""
        while not self._stop.is_set():
            try:
                self._watch(self._folders())
            except (OSError, RuntimeError) as error:
                names = listed([handle.name for handle in self._handles])
                logs.say(logging.WARNING, f"watching {names} failed: {said_by(error)}")
                self._stop.wait(limits.RELOAD_INTERVAL)
                self._check()

    def _watch(self, folders: list[Path]) -> None:
        """Until other folders are to be watched. Not the files: one that is replaced takes its watch with it."""
        from watchfiles import watch

        if not folders:
            raise FileNotFoundError("no such folder")
        for _ in watch(
            *folders,
            watch_filter=None,
            stop_event=self._stop,
            rust_timeout=int(limits.RELOAD_INTERVAL * 1000),
            yield_on_timeout=True,
            raise_interrupt=False,
            recursive=False,
        ):
            self._check()
            if self._folders() != folders:
                return

    def _check(self) -> None:
        for handle in self._handles:
            handle.check()

    def _folders(self) -> list[Path]:
        found = {folder for handle in self._handles for path in handle.paths for folder in _folders_of(path)}
        return sorted(folder for folder in found if folder.is_dir())


def _folders_of(path: Path) -> Iterator[Path]:
    """Where a change shows: the folder that ``path`` is or is in, and so for each link on the way to it."""
    for _ in range(_MAX_LINKS):
        yield path.parent
        yield path
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
    yield path.resolve().parent


def _require_watchfiles() -> None:
    from importlib.util import find_spec

    if find_spec("watchfiles") is None:
        advice = "pip install 'handfast[reload]', or reload at a signal"
        raise bad_option("reload", "watchfiles is not installed", advice)


def _handle(number: int, queue: SimpleQueue[bool]) -> Any:
    """Have the signal put into the queue; what handled it before."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        queue.put(True)

    if threading.current_thread() is not threading.main_thread():
        raise ApiMisuse("bad_argument", reason="on_signal works in the main thread only")
    return signal.signal(number, handler)
